"""What all calls of an engine share, and what each asks of its SIP session."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from engine.config import MediaConfig
from engine.events import EngineEvent
from engine.ledger import Ledger
from engine.media import MediaPlane
from sip.events import SessionId
from sip.sdp import SessionDescription
from sip.uri import Uri

__all__ = ("CallContext", "Signalling")


class Signalling(Protocol):
    """What a call may ask of its SIP session; each call sends at once."""

    def ring(self, session: SessionId) -> None:
        """Send 180."""

    def answer(self, session: SessionId, sdp: SessionDescription) -> None:
        """Send 200 with our session description."""

    def reject(self, session: SessionId, status: int, *, retry_after_s: int | None = None) -> None:
        """Send a final failure."""

    def answer_offer(self, session: SessionId, sdp: SessionDescription) -> None:
        """Send 200 to a re-INVITE."""

    def refuse_offer(self, session: SessionId, status: int) -> None:
        """Refuse a re-INVITE; the session goes on as it was."""

    def offer(self, session: SessionId, sdp: SessionDescription) -> None:
        """Send an offer of ours; raise ``LocalProtocolError`` while another one is open."""

    def refer(self, session: SessionId, to: Uri) -> None:
        """Send REFER; raise ``LocalProtocolError`` while another one is under way."""

    def hang_up(self, session: SessionId, reason: str = "") -> None:
        """End the session."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallContext:
    """What all calls of an engine share."""

    signalling: Signalling
    plane: MediaPlane
    ledger: Ledger
    advertised_host: str
    rtp_timeout_ms: int
    media: MediaConfig
    "Codecs, SRTP and rtcp-mux of every call."
    notify: Callable[[EngineEvent], None]
    now: Callable[[], float]
    "Monotonic seconds, the endpoint's and the media plane's clock."
