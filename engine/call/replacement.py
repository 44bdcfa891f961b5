"""Who takes a caller's place in a call (RFC 3891): an agent who called first, and hands the payer over."""

from __future__ import annotations

from dataclasses import dataclass

from sip.errors import NoCommonMedia
from sip.events import InviteReceived, SessionConfirmed, SessionId
from sip.offer_answer import LocalCapabilities, MediaParameters, accept_answer, answer, make_offer
from sip.sdp import SessionDescription

__all__ = ("Replacement",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replacement:
    """A session that was answered and not yet acknowledged: until then the call goes on as it was."""

    session: SessionId
    local: LocalCapabilities
    ours: SessionDescription
    "What we said: an answer, or an offer when the INVITE had none."
    _agreed: MediaParameters | None

    @classmethod
    def of(cls, invite: InviteReceived, local: LocalCapabilities) -> Replacement:
        """Answer an INVITE on the leg that is there; raises ``NoCommonMedia``."""
        if invite.offer is None:
            return cls(session=invite.session, local=local, ours=make_offer(local), _agreed=None)
        ours, agreed = answer(invite.offer, local)
        return cls(session=invite.session, local=local, ours=ours, _agreed=agreed)

    def agreed(self, event: SessionConfirmed) -> MediaParameters:
        """Return what was agreed with the ACK; raises ``SipError``."""
        if self._agreed is not None:
            return self._agreed
        if event.answer is None:
            raise NoCommonMedia("the ACK brought no answer to our offer")
        return accept_answer(self.ours, event.answer)
