"""Pairs of UDP ports for RTP and RTCP.

RTP takes an even port and RTCP the next one (RFC 3550 §11). A pair that was given back rests a while: what a former
peer still sends must not reach another caller.
"""

from __future__ import annotations

import errno
import socket
from collections import deque
from dataclasses import dataclass

from engine.errors import MediaError

__all__ = ("QUARANTINE_S", "PortPair", "PortPool")

QUARANTINE_S = 5.0
"""Longer than a peer goes on sending after a BYE that it answered; the retransmission of an unanswered one (64*T1)
takes 32 s, and then the symmetric-RTP rules of the next leg keep its packets out."""
RECEIVE_BUFFER = 256 * 1024
"""Bytes: what a peer sends in several seconds, so that a stall of ours loses nothing."""
IP_RECVERR, IPV6_RECVERR = 11, 25
"""From linux/in.h and linux/in6.h; the module socket has no names for them."""
DSCP_EF = 46
"""Expedited forwarding, what RFC 4594 §4.1 marks telephony with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PortPair:
    """Two bound, non-blocking sockets; `rtcp` is bound to the port after `rtp`'s."""

    port: int
    rtp: socket.socket
    rtcp: socket.socket

    def close(self) -> None:
        """Close both; safe to call twice."""
        self.rtp.close()
        self.rtcp.close()


class PortPool:
    """Even ports of a range, longest unused first."""

    def __init__(
        self,
        host: str,
        port_range: tuple[int, int],
        *,
        quarantine_s: float = QUARANTINE_S,
        dscp: int = DSCP_EF,
    ) -> None:
        first, last = port_range
        if not 1 <= first < last <= 65535:
            raise MediaError(f"the RTP port range {first}-{last} is none: use 1 to 65535, first below last")
        if not 0 <= dscp <= 63:
            raise MediaError(f"DSCP {dscp} is none: 0 to 63, {DSCP_EF} for telephony (RFC 4594)")
        self._host = host
        self._dscp = dscp
        self._range = port_range
        self._quarantine_s = quarantine_s
        self._family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._free: deque[int] = deque(range(first + first % 2, last, 2))
        self._resting: deque[tuple[float, int]] = deque()
        if not self._free:
            raise MediaError(f"the RTP port range {first}-{last} has no even port followed by another: widen it")

    @property
    def host(self) -> str:
        """The literal address that pairs are bound to."""
        return self._host

    @property
    def family(self) -> int:
        """`socket.AF_INET` or `socket.AF_INET6`."""
        return self._family

    @property
    def available(self) -> int:
        """Pairs that may be tried now, without those that rest."""
        return len(self._free)

    def open_pair(self, now: float) -> PortPair:
        """Bind a pair at monotonic `now`; raise MediaError when none is left."""
        self._end_quarantine(now)
        for _ in range(len(self._free)):
            port = self._free.popleft()
            pair = self._bind(port)
            if pair is not None:
                return pair
            # Another program has it: it goes to the end of the queue.
            self._free.append(port)
        first, last = self._range
        raise MediaError(
            f"no RTP port is free on {self._host} in {first}-{last} ({len(self._resting)} pairs rest after a call): "
            "widen the port range, or allow fewer calls"
        )

    def release(self, pair: PortPair, now: float) -> None:
        """Close a pair and let its ports rest from monotonic `now` on."""
        pair.close()
        self._resting.append((now + self._quarantine_s, pair.port))

    def _end_quarantine(self, now: float) -> None:
        while self._resting and self._resting[0][0] <= now:
            self._free.append(self._resting.popleft()[1])

    def _bind(self, port: int) -> PortPair | None:
        rtp = self._open(port)
        if rtp is None:
            return None
        try:
            rtcp = self._open(port + 1)
        except MediaError:
            rtp.close()
            raise
        if rtcp is None:
            rtp.close()
            return None
        return PortPair(port=port, rtp=rtp, rtcp=rtcp)

    def _open(self, port: int) -> socket.socket | None:
        """Return a bound socket, None when the port is in use; raise when the host or the system refuses."""
        try:
            sock = socket.socket(self._family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        except OSError as error:
            raise MediaError(
                f"no socket could be opened for RTP ({error.strerror}): raise the limit of open files (ulimit -n)"
            ) from error
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            self._mark(sock)
            sock.bind((self._host, port))
        except OSError as error:
            sock.close()
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return None
            raise MediaError(
                f"RTP cannot be bound on {self._host} ({error.strerror}): use an address of this machine"
            ) from error
        return sock

    def _mark(self, sock: socket.socket) -> None:
        level, option, errors = (
            (socket.IPPROTO_IPV6, socket.IPV6_TCLASS, IPV6_RECVERR)
            if self._family == socket.AF_INET6
            else (socket.IPPROTO_IP, socket.IP_TOS, IP_RECVERR)
        )
        sock.setsockopt(level, option, self._dscp << 2)
        # ICMP about packets that we sent, also on sockets that are not connected (ip(7), ipv6(7)).
        sock.setsockopt(level, errors, 1)
