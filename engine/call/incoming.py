"""A call that comes in: its program says when it is answered, and begins with the ACK."""

from __future__ import annotations

from collections.abc import Callable

from engine.call.call import Call
from engine.call.context import CallContext
from engine.errors import MediaError
from engine.log import fields
from engine.metrics import CALLS_REFUSED
from engine.program import CallControl, CallFacts, Program
from sip.errors import NoCommonMedia, ParseError
from sip.events import InviteReceived, SessionConfirmed
from sip.identity import caller_identity
from sip.offer_answer import answer, make_offer
from sip.uri import NameAddr

__all__ = ("IncomingCall",)

MAX_HEADERS = 32
"X- headers of an INVITE that a program gets to see."


class IncomingCall(Call):
    """Made for an INVITE that a route answers::

    INVITE -> leg, answer prepared -> 180, program offered -> 200 -> ACK -> program starts
           -> program ends or the caller hangs up -> all released
    """

    def __init__(
        self,
        call_id: str,
        invite: InviteReceived,
        context: CallContext,
        make_program: Callable[[CallControl], Program],
        on_gone: Callable[[Call], None],
    ) -> None:
        identity = caller_identity(invite.headers, trusted=invite.is_trusted)
        # Who wants to stay unknown is called what From says, which a proxy has made anonymous (RFC 3323 §5.3).
        known = () if identity.is_anonymous else identity.asserted
        caller = known[0] if known else invite.from_
        facts = CallFacts(
            call_id=call_id,
            direction="in",
            caller=caller.uri.user or "anonymous",
            dialled=invite.request_uri.user or "",
            caller_name=caller.display_name,
            forwarded_from=_forwarded_from(invite),
            headers=_extra_headers(invite),
        )
        super().__init__(facts, context, make_program, on_gone)
        self.session = invite.session
        self.identity = identity
        self._invite = invite
        self._answered = False

    def start(self) -> None:
        """Ring, or refuse the INVITE: 503 without a free port, 488 without a common codec (RFC 3261 §13.3.1)."""
        try:
            local = self._open_leg()
        except MediaError as error:
            self._log.error("a call is refused: %s", error, extra=fields(call=self.call_id))
            self._refuse(503, retry_after_s=10)
            return
        try:
            if self._invite.offer is None:  # late offer: ours goes out in the 200 (§13.2.1), theirs comes in the ACK
                ours = self._offer_sent = make_offer(local)
            else:
                ours, media = answer(self._invite.offer, local)
                # Until we have answered nobody has to send.
                self._configure(media, rtp_timeout_ms=0)
        except (NoCommonMedia, MediaError) as error:
            self._log.info("a call is refused: %s", error, extra=fields(call=self.call_id))
            self._refuse(488)
            return
        self._described = ours
        self._begin_record(sip_call_id=self._invite.call_id)
        self._context.signalling.ring(self.session)
        self._program.offered(self._context.now())

    def answer(self) -> None:
        """Answer: the program begins with the ACK."""
        if self._answered or self._ended is not None or self._hanging_up or self._described is None:
            return
        self._answered = True
        if self._media is not None:
            self._configure(self._media)
        self._context.signalling.answer(self.session, self._described)

    def reject(self, status: int) -> None:
        """Refuse the call; once it is answered, hang up."""
        if self._answered:
            self.hang_up("")
        elif self._ended is None and not self._hanging_up:
            self._hanging_up = True
            self._refuse(status)
            self._tell_over()

    def _refuse(self, status: int, *, retry_after_s: int | None = None) -> None:
        CALLS_REFUSED.labels(status=str(status)).inc()
        self._context.signalling.reject(self.session, status, retry_after_s=retry_after_s)

    def acknowledged(self, event: SessionConfirmed) -> None:
        """Take an ACK: that of the set-up begins the program, that of a re-INVITE may bring an answer."""
        if self._confirmed:
            super().acknowledged(event)
        elif self._take_answer(event):
            self._begin_program()


def _forwarded_from(invite: InviteReceived) -> str:
    """Return the user of the first Diversion (RFC 5806), the most recent one, or an empty text."""
    value = invite.headers.get("Diversion")
    if not value:
        return ""
    try:
        return NameAddr.parse(value.split(",")[0]).uri.user or ""
    except ParseError:
        return ""


def _extra_headers(invite: InviteReceived) -> dict[str, str]:
    extra = [(name, value) for name, value in invite.headers.items() if name.lower().startswith("x-")]
    return dict(extra[:MAX_HEADERS])
