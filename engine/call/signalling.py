"""What a call asks of its SIP session, carried out on the endpoint."""

from __future__ import annotations

import asyncio

from engine.net.transports import SipTransports
from sip.events import SessionId
from sip.sdp import SessionDescription
from sip.uri import Uri

__all__ = ("EndpointSignalling",)


class EndpointSignalling:
    """``engine.call.call.Signalling`` on the endpoint: each call is carried out and sent at once."""

    def __init__(self, agent: SipTransports) -> None:
        self._agent = agent
        self._now = asyncio.get_running_loop().time

    def ring(self, session: SessionId) -> None:
        """Send 180."""
        self._agent.endpoint.ring(session, self._now())
        self._agent.flush()

    def answer(self, session: SessionId, sdp: SessionDescription) -> None:
        """Send 200 with our session description."""
        self._agent.endpoint.answer(session, sdp, self._now())
        self._agent.flush()

    def reject(self, session: SessionId, status: int, *, retry_after_s: int | None = None) -> None:
        """Send a final failure."""
        headers = (("Retry-After", str(retry_after_s)),) if retry_after_s is not None else ()
        self._agent.endpoint.reject(session, status, self._now(), headers=headers)
        self._agent.flush()

    def answer_offer(self, session: SessionId, sdp: SessionDescription) -> None:
        """Send 200 to a re-INVITE or UPDATE."""
        self._agent.endpoint.answer_offer(session, sdp, self._now())
        self._agent.flush()

    def refuse_offer(self, session: SessionId, status: int) -> None:
        """Refuse a re-INVITE or UPDATE; the session goes on as it was."""
        self._agent.endpoint.refuse_offer(session, status, self._now())
        self._agent.flush()

    def offer(self, session: SessionId, sdp: SessionDescription) -> None:
        """Send a re-INVITE, or an UPDATE."""
        self._agent.endpoint.offer(session, sdp, self._now())
        self._agent.flush()

    def refer(self, session: SessionId, to: Uri) -> None:
        """Ask the peer to call somebody."""
        self._agent.endpoint.refer(session, to, self._now())
        self._agent.flush()

    def hang_up(self, session: SessionId, reason: str = "") -> None:
        """End the session."""
        self._agent.endpoint.hang_up(session, self._now(), reason=reason)
        self._agent.flush()
