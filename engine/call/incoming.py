"""A call that comes in: answered at once, and its program begins with the ACK."""

from __future__ import annotations

from collections.abc import Callable

from engine.call.call import Call, CallContext
from engine.config import FormConfig
from engine.errors import MediaError
from engine.form import FormProgram
from engine.log import fields
from engine.metrics import CALLS_REFUSED
from sip.errors import NoCommonMedia
from sip.events import InviteReceived, SessionConfirmed
from sip.identity import caller_identity
from sip.offer_answer import answer, make_offer

__all__ = ("IncomingCall",)


class IncomingCall(Call):
    """Made for an INVITE that a route answers::

    INVITE -> leg, answer -> 180, 200 -> ACK -> program runs -> program ends or the caller hangs up -> all released
    """

    direction = "in"

    def __init__(
        self,
        call_id: str,
        invite: InviteReceived,
        form_name: str,
        form: FormConfig,
        context: CallContext,
        make_program: Callable[[Call], FormProgram],
        on_gone: Callable[[Call], None],
    ) -> None:
        identity = caller_identity(invite.headers, trusted=invite.is_trusted)
        # Who wants to stay unknown is called what From says, which a proxy has made anonymous (RFC 3323 §5.3).
        known = () if identity.is_anonymous else identity.asserted
        caller = (known[0] if known else invite.from_).uri
        super().__init__(
            call_id,
            form_name,
            form,
            context,
            make_program,
            on_gone,
            caller=caller.user or "anonymous",
            dialled=invite.request_uri.user or "",
        )
        self.session = invite.session
        self.identity = identity
        self._invite = invite

    def start(self) -> None:
        """Answer the INVITE, or refuse it: 503 without a free port, 488 without a common codec (RFC 3261 §13.3.1)."""
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
                self._configure(media)
        except (NoCommonMedia, MediaError) as error:
            self._log.info("a call is refused: %s", error, extra=fields(call=self.call_id))
            self._refuse(488)
            return
        self._described = ours
        self._begin_record(sip_call_id=self._invite.call_id)
        self._context.signalling.ring(self.session)
        self._context.signalling.answer(self.session, ours)

    def _refuse(self, status: int, *, retry_after_s: int | None = None) -> None:
        CALLS_REFUSED.labels(status=str(status)).inc()
        self._context.signalling.reject(self.session, status, retry_after_s=retry_after_s)

    def acknowledged(self, event: SessionConfirmed) -> None:
        """Take an ACK: that of the set-up begins the program, that of a re-INVITE may bring an answer."""
        if self._confirmed:
            super().acknowledged(event)
        elif self._take_answer(event):
            self._begin_program()
