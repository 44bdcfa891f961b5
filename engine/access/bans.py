"""What is held against a source, and for how long it is not listened to.

Laws: so many failures within a window are a ban, exactly; from the half of them on answers are withheld for a growing
while, so that guessing is slow before it ends. What comes in while a source is shut out is not counted: a ban ends
when it was said to. Each further ban is twice as long as the one before, up to the longest; a source that behaves for
as long as that after its last ban is new again. Memory is bounded: what has not been touched for longest goes.

A source is an IPv4 address or an IPv6 network of 64 bits, which is what one customer has (RFC 6177 §2).
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from enum import StrEnum

__all__ = ("Ban", "BanBook", "Evidence", "source_key")

MAX_SOURCES = 8192
"Sources that are watched, and as many that are banned."
CHALLENGES_PER_FAILURE = 4
"So many unanswered challenges weigh as one failure: a phone takes one for each call, a scanner answers none."
SLOWED_S = 0.5
"How long answers are withheld at first."
VOUCHED_S = 3600.0
"How long a right password speaks for a source against what anybody could have forged."


class Evidence(StrEnum):
    """What can be held against a source."""

    WRONG_ANSWER = "wrong answer"
    UNKNOWN_USER = "unknown user dialled"
    MALFORMED = "malformed message"
    CLOSED = "no rule admits it"
    SCANNER = "scanner"
    CHALLENGED = "challenged"
    "Weighs a quarter of the others."


@dataclass(frozen=True, slots=True, kw_only=True)
class Ban:
    """A source that is not listened to."""

    source: str
    "IPv4 address, or IPv6 network such as ``2001:db8::/64``."
    until: float
    "Monotonic seconds."
    length_s: float
    times: int
    "Which of its bans it is, from 1."
    is_proven: bool
    "False: from datagrams whose source address anybody could have written; such a ban concerns UDP only."


@dataclass(slots=True)
class _Watch:
    failures: deque[float] = field(default_factory=deque)
    challenges: int = 0
    withheld_until: float = 0.0
    mark: int = 0
    vouched_until: float = 0.0


def source_key(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """Return what is watched and banned for an address: itself, or its network of 64 bits."""
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    return str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))


class BanBook:
    """Failures and bans of sources of one kind of evidence: proven, or such as can be forged.

    Limits as in ``[sip.ban]``. All times are monotonic seconds that the caller passes.
    """

    def __init__(
        self,
        *,
        failures: int,
        window_s: float,
        first_s: float,
        longest_s: float,
        is_proven: bool,
        max_sources: int = MAX_SOURCES,
    ) -> None:
        self._limit = failures
        self._window_s = window_s
        self._first_s = first_s
        self._longest_s = longest_s
        self._is_proven = is_proven
        self._max_sources = max_sources
        self._watched: OrderedDict[str, _Watch] = OrderedDict()
        self._bans: OrderedDict[str, Ban] = OrderedDict()

    def __len__(self) -> int:
        """Return how many entries there are, of watched and of banned sources."""
        return len(self._watched) + len(self._bans)

    def note(self, key: str, kind: Evidence, now: float, *, mark: int = 0) -> Ban | None:
        """Hold something against a source; return the ban if that was too much.

        ``mark`` other than 0 tells what it was: the same twice running counts once (a retransmission).
        """
        watch = self._watch(key)
        if self.is_shut_out(key, now) or now < watch.vouched_until or (mark and mark == watch.mark):
            return None
        watch.mark = mark or watch.mark
        if kind is Evidence.CHALLENGED:
            watch.challenges += 1
            if watch.challenges < CHALLENGES_PER_FAILURE:
                return None
            watch.challenges = 0
        failures = watch.failures
        failures.append(now)
        while failures[0] <= now - self._window_s:
            failures.popleft()
        if len(failures) >= self._limit:
            return self._ban(key, now)
        above_half = len(failures) - (self._limit + 1) // 2
        if above_half > 0:
            # At most a quarter of the window in all, so that who goes on at once is banned within it.
            withheld_s = min(SLOWED_S * 2.0 ** (above_half - 1), self._window_s / (2 * self._limit))
            watch.withheld_until = now + withheld_s
        return None

    def vouch(self, key: str, now: float) -> None:
        """Learn that a source has given a right password: its challenges are forgiven, its failures are not.

        Where evidence can be forged none is taken against it for an hour: else a forger could lock out who calls.
        """
        if self._is_proven:
            if (watch := self._watched.get(key)) is not None:
                watch.challenges = 0
        else:
            watch = self._watch(key)
            watch.vouched_until = now + VOUCHED_S

    def is_banned(self, key: str, now: float) -> bool:
        """Return whether a source is banned."""
        ban = self._bans.get(key)
        return ban is not None and now < ban.until

    def is_shut_out(self, key: str, now: float) -> bool:
        """Return whether a source gets no answer: it is banned, or answers are withheld for a while."""
        watch = self._watched.get(key)
        return (watch is not None and now < watch.withheld_until) or self.is_banned(key, now)

    def bans(self, now: float) -> tuple[Ban, ...]:
        """Return the bans that are in force, the first to end first."""
        return tuple(sorted((ban for ban in self._bans.values() if now < ban.until), key=lambda ban: ban.until))

    def lift(self, key: str) -> bool:
        """End a source's ban and forget what was held against it; False when there was nothing."""
        watched, banned = self._watched.pop(key, None), self._bans.pop(key, None)
        return watched is not None or banned is not None

    def _watch(self, key: str) -> _Watch:
        watch = self._watched.get(key)
        if watch is None:
            while len(self._watched) >= self._max_sources:
                self._watched.popitem(last=False)
            watch = self._watched[key] = _Watch()
        else:
            self._watched.move_to_end(key)
        return watch

    def _ban(self, key: str, now: float) -> Ban:
        last = self._bans.pop(key, None)
        times = last.times + 1 if last is not None and now - last.until < self._longest_s else 1
        length_s = min(self._first_s * 2.0 ** min(times - 1, 40), self._longest_s)
        while len(self._bans) >= self._max_sources:
            self._bans.popitem(last=False)
        ban = Ban(source=key, until=now + length_s, length_s=length_s, times=times, is_proven=self._is_proven)
        self._bans[key] = ban
        self._watched.pop(key, None)
        return ban
