"""What a call is made of, faked: its session, its leg, its ledger and its program."""

from __future__ import annotations

from typing import Any

from engine.errors import MediaError
from engine.media import LegStatistics
from engine.program import CallControl
from sip.errors import LocalProtocolError
from sip.events import SessionId
from sip.sdp import SessionDescription, parse
from sip.uri import Uri

__all__ = ("SESSION", "STATISTICS", "FakeLedger", "FakeLeg", "FakePlane", "FakeProgram", "Signals", "described")

SESSION = SessionId(1)
STATISTICS = LegStatistics(
    **{name: {} if name == "discarded_by_cause" else 0 for name in LegStatistics.__dataclass_fields__}  # type: ignore[arg-type]
)


class Signals:
    """What was asked of the SIP session, as (what, with what)."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Any]] = []
        self.is_busy = False
        "Whether the endpoint has an offer or a REFER open already."

    def ring(self, session: SessionId) -> None:
        self.sent.append(("ring", None))

    def answer(self, session: SessionId, sdp: SessionDescription) -> None:
        self.sent.append(("answer", sdp))

    def reject(self, session: SessionId, status: int, *, retry_after_s: int | None = None) -> None:
        self.sent.append(("reject", status))

    def answer_offer(self, session: SessionId, sdp: SessionDescription) -> None:
        self.sent.append(("answer_offer", sdp))

    def refuse_offer(self, session: SessionId, status: int) -> None:
        self.sent.append(("refuse_offer", status))

    def offer(self, session: SessionId, sdp: SessionDescription) -> None:
        self.sent.append(("offer", sdp))
        if self.is_busy:
            raise LocalProtocolError("another offer is open")

    def refer(self, session: SessionId, to: Uri) -> None:
        self.sent.append(("refer", str(to)))
        if self.is_busy:
            raise LocalProtocolError("another REFER is under way")

    def hang_up(self, session: SessionId, reason: str = "") -> None:
        self.sent.append(("hang_up", reason))


class FakeLeg:
    id = 6
    rtp_port = 30000
    refused_ptime_ms = 60
    room = None

    def __init__(self) -> None:
        self.configured: list[dict[str, Any]] = []
        self.closed = False

    def configure(self, **parameters: Any) -> None:
        if parameters["ptime_ms"] == self.refused_ptime_ms:
            raise MediaError("cannot be done here")
        self.configured.append(parameters)

    def statistics(self) -> LegStatistics:
        return STATISTICS

    def close(self) -> None:
        self.closed = True


class FakePlane:
    def __init__(self) -> None:
        self.leg = FakeLeg()

    def open_leg(self, *, beside: Any = None) -> FakeLeg:
        return self.leg


class FakeLedger:
    async def record_call_start(self, call_id: str, **facts: Any) -> None:
        pass

    async def record_call_answer(self, call_id: str) -> None:
        pass

    async def record_call_end(self, call_id: str, **facts: Any) -> None:
        pass


class FakeProgram:
    """Answers at once, and waits."""

    label = "form"

    def __init__(self, call: CallControl) -> None:
        self.call = call

    def offered(self, now: float) -> None:
        self.call.answer()

    def digit(self, code: int, now: float) -> None:
        pass

    def digit_ended(self, now: float) -> None:
        pass

    def count_digit(self, source: str) -> None:
        pass

    def play_finished(self, token: int, interrupted_by_digit: bool, now: float) -> None:
        pass

    def start(self, now: float) -> None:
        pass

    def hang_up(self, now: float) -> None:
        pass

    async def done(self) -> None:
        pass


def described(*lines: str) -> SessionDescription:
    head = ("v=0", "o=- 5 5 IN IP4 192.0.2.20", "s=-", "c=IN IP4 192.0.2.20", "t=0 0")
    return parse("\r\n".join((*head, *lines)).encode())
