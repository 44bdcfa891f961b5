"""SRTP out of the standards, slowly: AES (FIPS 197), counter mode and key derivation (RFC 3711), GCM (RFC 7714).

For short packets in tests; what libsrtp makes is compared with it.
"""

from __future__ import annotations

import hashlib
import hmac

__all__ = ("aes_cm_keystream", "aes_gcm", "derive", "protect_cm", "protect_gcm")


def _xtime(value: int) -> int:
    return ((value << 1) ^ 0x11B if value & 0x80 else value << 1) & 0xFF


def _gf(a: int, b: int) -> int:
    product = 0
    while b:
        product ^= a if b & 1 else 0
        a, b = _xtime(a), b >> 1
    return product


def _sbox() -> list[int]:
    box = []
    for value in range(256):
        inverse = next((x for x in range(256) if _gf(value, x) == 1), 0)
        turned = 0
        for shift in range(5):
            turned ^= (inverse << shift | inverse >> (8 - shift)) & 0xFF
        box.append(turned ^ 0x63)
    return box


_SBOX = _sbox()


def _round_keys(key: bytes) -> list[bytes]:
    words = [key[i : i + 4] for i in range(0, len(key), 4)]
    n = len(words)
    rcon = 1
    for i in range(n, 4 * (n + 7)):
        word = words[-1]
        if i % n == 0:
            word = bytes(_SBOX[b] for b in word[1:] + word[:1])
            word = bytes([word[0] ^ rcon]) + word[1:]
            rcon = _xtime(rcon)
        elif n > 6 and i % n == 4:
            word = bytes(_SBOX[b] for b in word)
        words.append(bytes(x ^ y for x, y in zip(words[i - n], word, strict=True)))
    return [b"".join(words[i : i + 4]) for i in range(0, len(words), 4)]


def aes(key: bytes, block: bytes) -> bytes:
    """Encrypt one block (FIPS 197 §5.1)."""
    keys = _round_keys(key)
    state = bytes(x ^ y for x, y in zip(block, keys[0], strict=True))
    for number, round_key in enumerate(keys[1:], 1):
        state = bytes(_SBOX[state[(4 * (i // 4 + i % 4) + i % 4) % 16]] for i in range(16))
        if number < len(keys) - 1:
            mixed = bytearray()
            for column in (state[i : i + 4] for i in range(0, 16, 4)):
                for i in range(4):
                    a, b, c, d = (column[(i + j) % 4] for j in range(4))
                    mixed.append(_xtime(a) ^ _xtime(b) ^ b ^ c ^ d)
            state = bytes(mixed)
        state = bytes(x ^ y for x, y in zip(state, round_key, strict=True))
    return state


def aes_cm_keystream(key: bytes, iv: int, n: int) -> bytes:
    """Return n octets of AES in counter mode from a 128-bit IV (RFC 3711 §4.1.1)."""
    blocks = (aes(key, ((iv + i) % (1 << 128)).to_bytes(16)) for i in range((n + 15) // 16))
    return b"".join(blocks)[:n]


def derive(master_key: bytes, master_salt: bytes, label: int, n: int) -> bytes:
    """Return a session key (RFC 3711 §4.3.1 with a key derivation rate of 0; RFC 7714 §11 for salts of 96 bits)."""
    salt = int.from_bytes(master_salt.ljust(14, b"\0"))
    return aes_cm_keystream(master_key, (salt ^ label << 48) << 16, n)


def _xor(a: bytes, b: bytes) -> bytes:
    return bytes(x ^ y for x, y in zip(a, b, strict=True))


def protect_cm(master_key: bytes, master_salt: bytes, packet: bytes, *, index: int, tag: int) -> bytes:
    """Return an RTP packet without CSRC as SRTP, or (first octet 200 to 207) an RTCP packet as SRTCP."""
    is_rtcp = 200 <= packet[1] <= 207
    labels = (3, 4, 5) if is_rtcp else (0, 1, 2)
    key = derive(master_key, master_salt, labels[0], len(master_key))
    auth = derive(master_key, master_salt, labels[1], 20)
    salt = int.from_bytes(derive(master_key, master_salt, labels[2], 14))
    header, payload = (packet[:8], packet[8:]) if is_rtcp else (packet[:12], packet[12:])
    ssrc = int.from_bytes(header[4:8] if is_rtcp else header[8:12])
    iv = (salt << 16) ^ (ssrc << 64) ^ (index << 16)
    sealed = header + _xor(payload, aes_cm_keystream(key, iv, len(payload)))
    if is_rtcp:
        sealed += (1 << 31 | index).to_bytes(4)
        return sealed + hmac.digest(auth, sealed, hashlib.sha1)[:tag]
    return sealed + hmac.digest(auth, sealed + (index >> 16).to_bytes(4), hashlib.sha1)[:tag]


def _ghash(h: int, data: bytes) -> int:
    y = 0
    for start in range(0, len(data), 16):
        x = y ^ int.from_bytes(data[start : start + 16].ljust(16, b"\0"))
        z, v = 0, h
        for bit in range(127, -1, -1):
            if x >> bit & 1:
                z ^= v
            v = v >> 1 ^ (0xE1 << 120 if v & 1 else 0)
        y = z
    return y


def aes_gcm(key: bytes, iv: bytes, plain: bytes, aad: bytes) -> bytes:
    """Return ciphertext and tag of 16 octets (NIST SP 800-38D §7.1, IV of 96 bits)."""
    j0 = int.from_bytes(iv) << 32 | 1
    sealed = _xor(plain, aes_cm_keystream(key, j0 + 1, len(plain)))
    lengths = (8 * len(aad)).to_bytes(8) + (8 * len(sealed)).to_bytes(8)
    hashed = aad + bytes(-len(aad) % 16) + sealed + bytes(-len(sealed) % 16) + lengths
    tag = _ghash(int.from_bytes(aes(key, bytes(16))), hashed).to_bytes(16)
    return sealed + _xor(tag, aes(key, j0.to_bytes(16)))


def protect_gcm(master_key: bytes, master_salt: bytes, packet: bytes, *, index: int) -> bytes:
    """Return an RTP packet without CSRC as SRTP, or an RTCP packet as SRTCP (RFC 7714 §8, §9)."""
    is_rtcp = 200 <= packet[1] <= 207
    labels = (3, 5) if is_rtcp else (0, 2)
    key = derive(master_key, master_salt, labels[0], len(master_key))
    salt = derive(master_key, master_salt, labels[1], 12)
    if is_rtcp:
        esrtcp = (1 << 31 | index).to_bytes(4)
        iv = _xor(bytes(2) + packet[4:8] + bytes(2) + index.to_bytes(4), salt)
        return packet[:8] + aes_gcm(key, iv, packet[8:], packet[:8] + esrtcp) + esrtcp
    iv = _xor(bytes(2) + packet[8:12] + index.to_bytes(6), salt)
    return packet[:12] + aes_gcm(key, iv, packet[12:], packet[:12])
