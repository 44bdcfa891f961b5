"""Session timers (RFC 4028): a call whose peer has silently gone ends by itself.

One side, the refresher, sends an UPDATE or a re-INVITE at half of the interval; each that is answered with 2xx begins
the interval anew. Without one, BYE is sent a little before the interval is over (§10). The last agreement alone counts,
so there is no machine here: each 2xx says anew who refreshes, and how often, or that nobody does.

Laws: the interval is never below our own minimum, whoever asks for less (§5: refreshing is work). What a peer writes
wrongly in ``Session-Expires`` or ``Min-SE`` is as if it were not there.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import StrEnum
from weakref import WeakMethod

from sip.agent import EndpointConfig, UserAgent
from sip.message import Request, Response
from sip.timers import Timer

__all__ = ("MIN_SE_S", "Refresher", "SessionTimer", "is_too_brief", "lists", "session_expires")

MIN_SE_S = 90
"§5: the minimum where nobody names another."
MAX_SE_S = 86_400
"A peer's minimum above it is refused: a day is no session timer."
MAX_ROUNDS = 4
"422 in a row that are believed."

_DELTA = re.compile(r"[ \t]*+([0-9]{1,9})[ \t]*+(?:;(.*))?", re.DOTALL)
_REFRESHER = re.compile(r"(?:^|;)[ \t]*+refresher[ \t]*+=[ \t]*+(uac|uas)[ \t]*+(?:;|$)", re.IGNORECASE)


class Refresher(StrEnum):
    """Who keeps the session alive."""

    NOBODY = "nobody"
    WE = "we"
    PEER = "peer"


def session_expires(message: Request | Response) -> tuple[int, str | None] | None:
    """Return interval in seconds and refresher (``uac``, ``uas`` or None) of a message (§4); None without any."""
    match = _DELTA.fullmatch(message.headers.get("Session-Expires") or "")
    if match is None or int(match.group(1)) == 0:
        return None
    named = _REFRESHER.search(match.group(2) or "")
    return int(match.group(1)), None if named is None else named.group(1).lower()


def lists(message: Request | Response, header: str, tag: str) -> bool:
    """Say whether a list of option tags holds one (they are compared in any case)."""
    return any(one.lower() == tag for one in message.headers.get_all(header))


def is_too_brief(request: Request, config: EndpointConfig) -> bool:
    """Say whether a request wants an interval below our minimum, and can be told so with 422 (§9)."""
    wanted = session_expires(request)
    return wanted is not None and wanted[0] < config.min_se_s and lists(request, "Supported", "timer")


def _min_se(message: Request | Response) -> int | None:
    match = _DELTA.fullmatch(message.headers.get("Min-SE") or "")
    return None if match is None else int(match.group(1))


class SessionTimer:
    """The timer of one session. ``refresh``, its method, sends the refresh, ``expire`` ends it; both held weakly."""

    def __init__(
        self, agent: UserAgent, *, refresh: Callable[[float], object], expire: Callable[[float], object]
    ) -> None:
        self.refresher = Refresher.NOBODY
        self.interval_s = agent.config.session_expires_s or 0
        "Seconds: what was agreed, or what we are going to ask for; 0 to ask for none."
        self._agent = agent
        self._min_se_s = agent.config.min_se_s
        self._rounds = 0
        self._refresh = WeakMethod(refresh)
        self._expire = WeakMethod(expire)

    def ask(self, request: Request, *, first: bool = False) -> None:
        """Put the wish on an INVITE or UPDATE of ours (§7.1): who refreshes already goes on (§7.4)."""
        headers = request.headers
        headers.remove("Session-Expires")
        headers.remove("Min-SE")
        if not self.interval_s or (self.refresher is Refresher.NOBODY and not first):
            return
        role = {Refresher.NOBODY: "", Refresher.WE: ";refresher=uac", Refresher.PEER: ";refresher=uas"}
        headers.set("Session-Expires", f"{self.interval_s}{role[self.refresher]}")
        if self._min_se_s > MIN_SE_S or self._rounds:
            headers.set("Min-SE", str(self._min_se_s))  # §7.4: also in what follows a 422

    def raised(self, response: Response) -> bool:
        """Take a 422; whether the request is worth sending again with the interval it asks for (§7.3)."""
        wanted = _min_se(response)
        if wanted is None or not self._min_se_s <= wanted <= MAX_SE_S or self._rounds >= MAX_ROUNDS:
            return False
        self._rounds += 1
        self._min_se_s = wanted
        self.interval_s = max(self.interval_s, wanted)
        return True

    def agreed(self, response: Response, now: float) -> None:
        """Take the 2xx to an INVITE or UPDATE of ours (§7.2)."""
        self._rounds = 0
        agreed = session_expires(response)
        if agreed is None:
            self._set(Refresher.NOBODY, self.interval_s, now)
            return
        self._set(Refresher.PEER if agreed[1] == "uas" else Refresher.WE, agreed[0], now)

    def accept(self, request: Request, response: Response, now: float) -> None:
        """Put our word on the 2xx to an INVITE or UPDATE of the peer (§9), and begin the interval."""
        wanted, ours_s = session_expires(request), self._agent.config.session_expires_s
        knows_timers = lists(request, "Supported", "timer") or lists(request, "Require", "timer")
        if wanted is None:
            if not knows_timers or not ours_s:
                self._set(Refresher.NOBODY, self.interval_s, now)
                return
            wanted = (max(ours_s, _min_se(request) or MIN_SE_S), None)
        interval_s, refresher = wanted
        if ours_s:
            # It may be made shorter, never below what either side calls the least.
            interval_s = min(interval_s, max(ours_s, _min_se(request) or MIN_SE_S))
        # Table 2: a peer that knows no timers cannot refresh. One that names nobody leaves it to us: then no call ends
        # because a peer lists an extension that it does not have.
        we_refresh = refresher != "uac" or not knows_timers
        response.headers.set("Session-Expires", f"{interval_s};refresher={'uas' if we_refresh else 'uac'}")
        if not we_refresh:
            response.headers.add("Require", "timer")
        self._set(Refresher.WE if we_refresh else Refresher.PEER, interval_s, now)

    def postpone(self, now: float) -> None:
        """A refresh was refused: try again before the interval is over, if there is time (§10)."""
        if self.refresher is Refresher.WE:
            self._agent.timers.arm(self, Timer.SESSION_REFRESH, now + self.interval_s / 8)

    def stop(self) -> None:
        """The session is over."""
        self._agent.timers.disarm_all(self)

    def handle_timer(self, timer: Timer, now: float) -> None:
        """Refresh, or end the session."""
        tell = self._refresh() if timer is Timer.SESSION_REFRESH else self._expire()
        if tell is not None:
            tell(now)

    def _set(self, refresher: Refresher, interval_s: int, now: float) -> None:
        timers = self._agent.timers
        timers.disarm_all(self)
        self.refresher = refresher
        if refresher is Refresher.NOBODY:
            return
        self.interval_s = max(interval_s, self._agent.config.min_se_s)
        if refresher is Refresher.WE:
            timers.arm(self, Timer.SESSION_REFRESH, now + self.interval_s / 2)
        timers.arm(self, Timer.SESSION_EXPIRES, now + self.interval_s - min(32.0, self.interval_s / 3))
