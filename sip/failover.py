"""The next hops of an INVITE of ours, tried one after the other (RFC 3263 §4.3).

Laws: another next hop is tried when one did not answer, could not be reached, or answered 503; any other answer is
the peer's word and counts. A hop that was left while it was silent can still answer: then it is cancelled or hung up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sip.address import Address
from sip.agent import UserAgent
from sip.errors import LocalProtocolError
from sip.forks import Forks, NobodyListens
from sip.message import Request, Response
from sip.transaction import ClientTransaction
from sip.uri import Uri

__all__ = ("MAX_NEXT_HOPS", "NextHops", "Straggler", "failed_over")

MAX_NEXT_HOPS = 16
"More addresses of one name are nobody's configuration."


@dataclass(slots=True)
class NextHops:
    """Where an INVITE goes, in order. ``try_limit_s``: how long a silent one is waited for; None: timer B."""

    waiting: list[Address]
    try_limit_s: float | None = None
    unavailable: Response | None = None
    "The 503 of a hop that was left: the best word when no later one has any (RFC 3261 §16.7, step 6)."

    @classmethod
    def of(cls, next_hop: Address | Sequence[Address], try_limit_s: float | None) -> tuple[Address, NextHops]:
        """Return the first hop and the rest; raises LocalProtocolError when there is none."""
        hops = [next_hop] if isinstance(next_hop, Address) else list(dict.fromkeys(next_hop))
        if not hops:
            raise LocalProtocolError("an INVITE needs a next hop")
        if try_limit_s is not None and not try_limit_s > 0:
            raise LocalProtocolError("the limit of a try is above 0 s")
        return hops[0], cls(hops[1:MAX_NEXT_HOPS], try_limit_s)

    def leave(self, response: Response | None) -> bool:
        """Whether to go on after this response, or after none, of the current hop."""
        if response is not None:
            if response.status != 503:
                return False
            self.unavailable = self.unavailable or response
        return bool(self.waiting)


class Straggler(NobodyListens):
    """User of an INVITE that was given up while nothing had come: it is withdrawn when something comes (§9.1)."""

    def __init__(self, agent: UserAgent, forks: Forks) -> None:
        self._agent = agent
        self._forks = forks
        self._cancelled = False

    def on_response(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        """Cancel what rings; acknowledge and hang up what was answered (§13.2.2.4, §15)."""
        if response.status < 200 and not self._cancelled:
            self._cancelled = True
            self._agent.layer.cancel(transaction, NobodyListens(), now)
        elif 200 <= response.status < 300 and not self._forks.acknowledged_again(response):
            self._forks.hang_up(transaction, response, now)


def failed_over(
    agent: UserAgent, invite: Request, destination: Address, *, contact_user: str | None, gruu: Uri | None = None
) -> Request:
    """Write an INVITE for another next hop: a transaction of its own in the same call, credentials left out."""
    request = Request("INVITE", invite.uri, invite.headers.copy(), invite.body)
    for name in ("Via", "Authorization", "Proxy-Authorization"):
        request.headers.remove(name)
    request.headers.set("CSeq", f"{invite.cseq.number + 1} INVITE")
    # Another transport has another Contact, unless it is one that leads to us by all of them.
    agent.identify(request, destination, contact_user=contact_user, gruu=gruu)
    return request
