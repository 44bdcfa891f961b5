"""What is done when more calls come than can be served: new ones are sent elsewhere, early and cheaply (RFC 6357).

Laws: only an INVITE that would begin a call is refused (and OPTIONS, with which dispatchers ask); who is in a call is
always served. A refusal is 503 with Retry-After (RFC 3261 §21.5.4), without state, written before the message has been
parsed as a whole: what a refusal costs is taken from those who are served.

The measure is how long each message has waited when its turn comes: it is the delay that callers feel, whatever the
cause is (RFC 6357 §6). In steady overload the queue is held at the target: a server that never runs dry, and a
wait that does not grow. Between one late message and an overload decides the mean of the last tenth of a second.
Retry-After is spread at random, so that those who were refused together do not come back together (§9).
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable

from sip.address import Address
from sip.errors import LocalProtocolError, ParseError
from sip.grammar import split_list
from sip.headers import Via
from sip.message import REASON_PHRASES
from sip.routing import response_destination

__all__ = ("MAX_HEAD", "OverloadController", "quick_refusal")

SMOOTHING_S = 0.1
"Time constant of the mean: an overload is noticed within about this time, a pause of one collection is not."
LONGEST_STEP_S = 0.01
"Of the time since the message before, what a delay speaks for; the rest was silence, in which nothing waited."
HOLD_S = 0.05
"How long the delay of the last message counts as that of now."
BOUND = 2.0
"Times the target: the wait beyond which a new call is refused whatever the mean is."
RETRY_AFTER_S = (1, 10)
"Shortest and longest Retry-After."
MAX_HEAD = 8192
"Octets of a head that is looked at without parsing."

_START_LINE = re.compile(rb"INVITE [^ \t]++ SIP/2\.0")
_NAMES = {
    b"via": b"Via",
    b"v": b"Via",
    b"from": b"From",
    b"f": b"From",
    b"to": b"To",
    b"t": b"To",
    b"call-id": b"Call-ID",
    b"i": b"Call-ID",
    b"cseq": b"CSeq",
}


class OverloadController:
    """Tells from the delays of messages whether a new call can be served in time.

    ``target_s`` is the wait that is held in overload, in seconds; no call whose INVITE has waited twice as long is
    taken. ``entropy(n)`` returns n unpredictable octets. Time is monotonic seconds.
    """

    def __init__(self, *, target_s: float = 0.02, entropy: Callable[[int], bytes]) -> None:
        if not 0 < target_s < 10:
            raise LocalProtocolError("the delay that is aimed at is above 0 and below 10 seconds")
        self.target_s = target_s
        self._entropy = entropy
        self._latest_s = 0.0
        self._mean_s = 0.0
        self._at = -math.inf

    def observe_delay(self, seconds: float, now: float) -> None:
        """Learn how long the message whose turn it is has waited; call it before the message is handed over."""
        step_s = max(0.0, now - self._at)
        spoken_s = min(step_s, LONGEST_STEP_S)
        mean_s = self._mean_s * math.exp((spoken_s - step_s) / SMOOTHING_S)
        self._latest_s = seconds = max(0.0, seconds)
        self._mean_s = mean_s + (seconds - mean_s) * -math.expm1(-spoken_s / SMOOTHING_S)
        self._at = now

    def mean_s(self, now: float) -> float:
        """Return the smoothed delay, in seconds; it fades while nothing comes."""
        silence_s = max(0.0, now - self._at - LONGEST_STEP_S)
        return self._mean_s * math.exp(-silence_s / SMOOTHING_S)

    def is_overloaded(self, now: float) -> bool:
        """Return whether calls had better go elsewhere: what a dispatcher's OPTIONS is told."""
        return self.mean_s(now) > self.target_s

    def must_refuse(self, now: float) -> bool:
        """Return whether a call that begins now is to be refused."""
        if now - self._at > HOLD_S or self._latest_s <= self.target_s:
            return False
        return self._latest_s > BOUND * self.target_s or self._mean_s > self.target_s

    def retry_after_s(self) -> int:
        """Return what to say in Retry-After: 1 to 10 seconds, at random."""
        shortest_s, longest_s = RETRY_AFTER_S
        return shortest_s + self._entropy(1)[0] * (longest_s - shortest_s + 1) // 256


def quick_refusal(
    data: bytes,
    source: Address,
    *,
    is_known: Callable[[Via], bool],
    secret: bytes,
    headers: tuple[tuple[str, str], ...],
) -> tuple[bytes, Address] | None:
    """Return the 503 to an INVITE that would begin a call, and where it goes; None for any other message.

    None as well for what takes a closer look: a To tag, folded lines, a header twice or missing, a Via that cannot be
    read, and an INVITE whose transaction ``is_known``. ``secret`` keys the To tag, which is the same for the same
    request (§8.2.7).
    """
    end = data.find(b"\r\n\r\n", 0, MAX_HEAD)
    head = data[: max(end, 0)]
    # A fold or a lone line end would let a line mean something else to the peer than to us.
    if b"\n " in head or b"\n\t" in head or not head.count(b"\r") == head.count(b"\n") == head.count(b"\r\n"):
        return None
    start_line, *lines = head.split(b"\r\n")
    if _START_LINE.fullmatch(start_line) is None:
        return None
    found: dict[bytes, list[bytes]] = {}
    for line in lines:
        name, _, value = line.partition(b":")
        known = _NAMES.get(name.rstrip(b" \t").lower())
        if known is not None:
            found.setdefault(known, []).append(value.strip(b" \t"))
    if len(found) != 5 or any(len(found[name]) != 1 for name in (b"From", b"To", b"Call-ID", b"CSeq")):
        return None
    to = found[b"To"][0]
    if b";" in to.rpartition(b">")[2] or b"tag=" in to.lower():
        return None
    try:
        first, *others = split_list(found[b"Via"][0].decode("ascii"))
        via = Via.parse(first)
    except (ParseError, ValueError):
        return None
    if not via.has_cookie or is_known(via):
        return None
    seed = b"\n".join((found[b"Call-ID"][0], found[b"From"][0], found[b"CSeq"][0], found[b"Via"][0]))
    tag = hashlib.blake2s(seed, key=secret, digest_size=8).hexdigest().encode()
    stamped = ", ".join((str(via.with_source(source.host, source.port)), *others)).encode()
    response = [
        b"SIP/2.0 503 " + REASON_PHRASES[503].encode(),
        b"Via: " + stamped,
        *(b"Via: " + value for value in found[b"Via"][1:]),
        b"From: " + found[b"From"][0],
        b"To: " + to + b";tag=" + tag,
        b"Call-ID: " + found[b"Call-ID"][0],
        b"CSeq: " + found[b"CSeq"][0],
        *(f"{name}: {value}".encode() for name, value in headers),
        b"Content-Length: 0",
        b"",
        b"",
    ]
    return b"\r\n".join(response), response_destination(via, source)
