"""What we say to an INVITE before its final response, and its PRACKs (RFC 3261 §13.3.1.1, RFC 3262 §3, §5).

Laws: a caller that requires 100rel gets every provisional above 100 reliably. A description goes out reliably once;
when its PRACK is here the first offer and answer are done, and the 2xx repeats neither. An INVITE without an offer gets
ours in a reliable provisional or in the 2xx, never in one that may be lost (RFC 3261 §13.2.1).
"""

from __future__ import annotations

from collections.abc import Callable

from sip.agent import UserAgent
from sip.bodies import SDP, description_or_none
from sip.message import Response
from sip.reinvite import is_readable
from sip.reliable import ReliableProvisionals
from sip.sdp import SessionDescription
from sip.session_timer import lists
from sip.transaction import InviteServerTransaction, ServerTransaction

__all__ = ("Early",)


class Early:
    """The provisional responses to one INVITE that came in."""

    def __init__(self, agent: UserAgent, on_no_prack: Callable[[float], object]) -> None:
        self.is_agreed = False
        "Whether offer and answer are done before the 2xx."
        self.described: SessionDescription | None = None
        "What went out reliably."
        self._agent = agent
        self._is_late = False
        self._reliable = ReliableProvisionals(agent, on_no_prack)

    @property
    def holds_final(self) -> bool:
        """Whether a 2xx has to wait for a PRACK."""
        return self._reliable.holds_final

    @property
    def is_offering(self) -> bool:
        """Whether an offer of ours is out in a reliable provisional, without its answer."""
        return self._is_late and self.described is not None and not self.is_agreed

    def send(
        self, invite: InviteServerTransaction, response: Response, sdp: SessionDescription | None, now: float
    ) -> None:
        """Send a provisional above 100, reliably when the caller requires it or the configuration says so."""
        request = invite.request
        required = lists(request, "Require", "100rel")
        wanted = self._agent.config.reliable_provisionals == "supported" and lists(request, "Supported", "100rel")
        is_late = self._is_late = description_or_none(request) is None
        reliable = required or (wanted and sdp is not None)
        if not reliable:
            if sdp is not None and not is_late and self.described is None:
                _describe(response, sdp)
            invite.respond(response, now)
            return
        if is_late and sdp is None and self.described is None:
            return  # RFC 3262 §5: the first one would have to carry our offer, and there is none yet
        if sdp is not None and self.described is None:
            self.described = sdp
            _describe(response, sdp)
        self._reliable.send(invite, response, now)

    def acknowledge(self, prack: ServerTransaction, now: float) -> tuple[bool, SessionDescription | None]:
        """Take a PRACK and answer it, unless it has an offer; return whether that is so, and its description.

        A description that is the answer to ours is returned too: then the first part is False.
        """
        agent, request = self._agent, prack.request
        acknowledged = self._reliable.acknowledge(request, now)
        if acknowledged is None:
            prack.respond(agent.response(request, 481), now)
            return False, None
        was_offer = bool(acknowledged.body) and self._is_late
        if not is_readable(agent, prack, now):
            return False, None
        described = description_or_none(request)
        if acknowledged.body and (not was_offer or described is not None):
            self.is_agreed = True
        if described is not None and not was_offer:
            return True, described
        prack.respond(agent.response(request, 200), now)
        return False, described

    def stop(self) -> None:
        """A final response is out."""
        self._reliable.stop()


def _describe(response: Response, sdp: SessionDescription) -> None:
    response.headers.set("Content-Type", SDP)
    response.body = sdp.serialize()
