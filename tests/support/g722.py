"""ITU-T G.722 as its clause 6.2 writes it: a block a function, 16-bit words, slow. The oracle of `dsp._g722`.

Written from the standard's pseudo-code and tables, not from `dsp._g722`: decisions are searched, signs compared, tables
written out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

__all__ = ("Band", "decode", "encode")

QMF = (3, -11, -11, 53, 12, -156, 32, 362, -210, -805, 951, 3876)
H = QMF + QMF[::-1]
Q6: tuple[int, ...] = (0, 35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650, 714)
Q6 += (786, 858, 940, 1023, 1121, 1219, 1339, 1458, 1612, 1765, 1980, 2195, 2557, 2919)
ILN: tuple[int, ...] = (0, 63, 62, *range(31, 3, -1))
ILP: tuple[int, ...] = (0, *range(61, 31, -1))
WL = (-60, -30, 58, 172, 334, 538, 1198, 3042)
RL42 = (0, 7, 6, 5, 4, 3, 2, 1, 7, 6, 5, 4, 3, 2, 1, 0)
ILB: tuple[int, ...] = (2048, 2093, 2139, 2186, 2233, 2282, 2332, 2383, 2435, 2489, 2543, 2599, 2656, 2714, 2774, 2834)
ILB += (2896, 2960, 3025, 3091, 3158, 3228, 3298, 3371, 3444, 3520, 3597, 3676, 3756, 3838, 3922, 4008)
WH = (0, -214, 798)
RH2 = (2, 1, 2, 1)
QM2 = (-7408, -1616, 7408, 1616)
QM4: tuple[int, ...] = (0, -20456, -12896, -8968, -6288, -4240, -2584, -1200)
QM4 += (20456, 12896, 8968, 6288, 4240, 2584, 1200, 0)
QM5: tuple[int, ...] = (
    -280,
    -280,
    -23352,
    -17560,
    -14120,
    -11664,
    -9752,
    -8184,
    -6864,
    -5712,
    -4696,
    -3784,
    -2960,
    -2208,
    -1520,
    -880,
)
QM5 += (23352, 17560, 14120, 11664, 9752, 8184, 6864, 5712, 4696, 3784, 2960, 2208, 1520, 880, 280, -280)
_QM6: tuple[int, ...] = (
    24808,
    21904,
    19008,
    16704,
    14984,
    13512,
    12280,
    11192,
    10232,
    9360,
    8576,
    7856,
    7192,
    6576,
    6000,
    5456,
)
_QM6 += (4944, 4464, 4008, 3576, 3168, 2776, 2400, 2032, 1688, 1360, 1040, 728)
QM6: tuple[int, ...] = (-136, -136, -136, -136, *(-v for v in _QM6), *_QM6, 432, 136, -432, -136)


def add(a: int, b: int) -> int:
    """Sum, saturating at 16 bits."""
    return max(-32768, min(32767, a + b))


def mult(a: int, b: int) -> int:
    """Product of two fractions."""
    return add((a * b) >> 15, 0)


def limit(a: int) -> int:
    """Clause 6.2.1.6, LIMIT."""
    return max(-16384, min(16383, a))


def _sign(a: int) -> bool:
    return a < 0


@dataclass
class Band:
    """The state of one sub-band. The index of a list is the standard's: 0 is now."""

    det: int
    nb: int = 0
    s: int = 0
    sz: int = 0
    a: list[int] = field(default_factory=lambda: [0] * 3)
    b: list[int] = field(default_factory=lambda: [0] * 7)
    d: list[int] = field(default_factory=lambda: [0] * 7)
    r: list[int] = field(default_factory=lambda: [0] * 3)
    p: list[int] = field(default_factory=lambda: [0] * 3)

    def scale(self, weight: int, top: int, shift: int) -> None:
        """LOGSCL and SCALEL, LOGSCH and SCALEH."""
        self.nb = max(0, min(top, add(mult(self.nb, 32512), weight)))
        step = ILB[(self.nb >> 6) & 31]
        octave = shift - (self.nb >> 11)
        self.det = (step << -octave if octave < 0 else step >> octave) << 2

    def predict(self, difference: int) -> None:
        """PARREC, RECONS, UPPOL2, UPPOL1, UPZERO, DELAYA, FILTEP, FILTEZ, PREDIC."""
        a, b, d, r, p = self.a, self.b, self.d, self.r, self.p
        d[0] = difference
        p[0] = add(difference, self.sz)
        r[0] = add(self.s, difference)
        wd1 = add(a[1], a[1])
        wd1 = add(wd1, wd1)
        wd2 = add(-wd1, 0) if _sign(p[0]) == _sign(p[1]) else wd1
        wd3 = 128 if _sign(p[0]) == _sign(p[2]) else -128
        a2 = max(-12288, min(12288, add(add(wd2 >> 7, wd3), mult(a[2], 32512))))
        wd1 = 192 if _sign(p[0]) == _sign(p[1]) else -192
        bound = add(15360, -a2)
        a1 = max(-bound, min(bound, add(wd1, mult(a[1], 32640))))
        a[1], a[2] = a1, a2
        for i in range(1, 7):
            wd1 = 0 if d[0] == 0 else 128
            wd2 = wd1 if _sign(d[0]) == _sign(d[i]) else -wd1
            b[i] = add(wd2, mult(b[i], 32640))
        for words, n in ((d, 6), (r, 2), (p, 2)):
            for i in range(n, 0, -1):
                words[i] = words[i - 1]
        sp = add(mult(add(r[1], r[1]), a[1]), mult(add(r[2], r[2]), a[2]))
        self.sz = 0
        for i in range(6, 0, -1):
            self.sz = add(self.sz, mult(add(d[i], d[i]), b[i]))
        self.s = add(sp, self.sz)


def _low_scale(low: Band, code: int) -> None:
    difference = mult(low.det, QM4[code >> 2])
    low.scale(WL[RL42[code >> 2]], 18432, 8)
    low.predict(difference)


def _high_scale(high: Band, code: int) -> None:
    difference = mult(high.det, QM2[code])
    high.scale(WH[RH2[code]], 22528, 10)
    high.predict(difference)


def _encode_low(low: Band, x: int) -> int:
    e = add(x, -low.s)
    magnitude = e if e >= 0 else -(e + 1)
    interval = 1
    while interval < 30 and magnitude >= (Q6[interval] * low.det) >> 12:
        interval += 1
    code = ILN[interval] if e < 0 else ILP[interval]
    _low_scale(low, code)
    return code


def _encode_high(high: Band, x: int) -> int:
    e = add(x, -high.s)
    magnitude = e if e >= 0 else -(e + 1)
    outer = magnitude >= (564 * high.det) >> 12
    code = (0 if outer else 1) if e < 0 else (2 if outer else 3)
    _high_scale(high, code)
    return code


def encode(samples: Sequence[int], rate_hz: int) -> bytes:
    """Code all the samples, from the start state."""
    low, high = Band(32), Band(8)
    if rate_hz == 8000:
        return bytes(0xC0 | _encode_low(low, x >> 1) for x in samples)
    out = bytearray()
    line = [0] * 24  # newest last
    for i in range(0, len(samples) - 1, 2):
        line = [*line[2:], samples[i], samples[i + 1]]
        odd = sum(H[k] * line[k] for k in range(0, 24, 2))
        even = sum(H[k] * line[k] for k in range(1, 24, 2))
        code = _encode_high(high, limit((even - odd) >> 14)) << 6
        out.append(code | _encode_low(low, limit((even + odd) >> 14)))
    return bytes(out)


def decode(data: bytes, rate_hz: int, bitrate: int = 64_000) -> list[int]:
    """Decode all the octets, from the start state."""
    low, high = Band(32), Band(8)
    table, shift = {64_000: (QM6, 0), 56_000: (QM5, 1), 48_000: (QM4, 2)}[bitrate]
    out: list[int] = []
    line = [0] * 24
    for octet in data:
        code = octet & 0x3F
        rl = limit(add(low.s, mult(low.det, table[code >> shift])))
        _low_scale(low, code)
        if rate_hz == 8000:
            out.append(2 * rl)
            continue
        rh = limit(add(high.s, mult(high.det, QM2[octet >> 6])))
        _high_scale(high, octet >> 6)
        line = [*line[2:], rl + rh, rl - rh]
        out.append(add(sum(H[k] * line[k] for k in range(1, 24, 2)) >> 11, 0))
        out.append(add(sum(H[k] * line[k] for k in range(0, 24, 2)) >> 11, 0))
    return out
