"""A payment that an agent captures on a live call, beside whatever runs there (`dialects.md` §5).

The agent's application creates a session, says which field the caller keys next, and when it is enough; the machine
(``engine.pay.capture``) judges, ``PaymentRun`` carries it out, and each change is told to the application's callback,
in order, through the outbox. `CaptureSessions` takes the requests of the HTTP interface; `CaptureDesk` is what runs
beside the program of a call that has, or had, a session.

Laws:

1. The caller's keys are covered (`LineCover`) before a capture request is answered, and until the entry is over, the
   last key was let go and a tail has passed. While they are covered they go to the session and nowhere else, wanted or
   not: neither to what others hear nor to what runs on the call.
2. A request is done whole or refused whole; a refused one changes nothing, not even where callbacks go.
3. A session that is over answers for as long as its call lives: ``complete`` and ``cancel`` that come again have the
   same answer (D-35). ``KEPT`` of them at most.
4. No result is lost: it is in the outbox before the payment's record is closed, and what a crash left open is told at
   the next start (`tell_interrupted`).
5. The hooks of a payment hold what they tell, and neither the session nor the call.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial

from dsp.mask import MaskFill
from engine.connectors.protocol import Connector, check
from engine.dialects.payments import (
    CreateRequest,
    RequestSettings,
    SessionFacts,
    UpdateRequest,
    call_is_over,
    call_not_found,
    capture_parameters,
    created_parameters,
    interrupted_parameters,
    line_not_covered,
    no_connector,
    not_taken,
    read_create,
    read_update,
    refused_update,
    resource_body,
    result_parameters,
    session_in_progress,
    session_not_found,
    tells_result,
)
from engine.dialects.payments.callbacks import Parameters
from engine.dialects.payments.requests import DEFAULT_CONNECTOR
from engine.dialects.twilio import form_body
from engine.errors import MediaError
from engine.ledger import InterruptedPayment, WebhookPolicy
from engine.log import fields
from engine.media.events import DigitSource
from engine.net.signatures import FORM, SignatureKind
from engine.outbox import Outbox
from engine.pay.capture import CaptureMachine, Refusal
from engine.pay.capture_states import State
from engine.pay.prompt_rules import Action, DefaultPrompt
from engine.pay.results import MaskedFields, PayResult, PayStatus, Result
from engine.payment_run import PaymentRun, SessionInProgressError
from engine.program import CallControl, CallState
from engine.programs.context import ProgramContext
from engine.programs.cover import RUN_ON_S, TAIL_S, LineCover
from prompts.clip import Clip
from prompts.errors import PromptError
from prompts.store import PromptStore

__all__ = ("REPLY_KIND", "CaptureDesk", "CaptureSession", "CaptureSessions", "tell_interrupted")

log = logging.getLogger("engine.programs.capture")

REPLY_KIND = "payments"
"What these payments are called among those whose end is told after a crash (``engine.payments``)."
LABEL = "payments"
"Of these payments in the ledger and the metrics."
KEPT = 32
"Sessions of one call that answer, the one that is open among them."
KEYS_REMEMBERED = 64
"Idempotency keys of a session: enough to notice that an application uses one for everything."
CONTENT_TYPE = f"{FORM}; charset=UTF-8"
MASK_CHAR = "x"
"Of cards in this dialect (D-19); the ledger has its own."
_KEYING = frozenset({State.ARMED, State.KEYING})
_ASKED = frozenset({State.READING, State.CONFIRMING})
_DIGITS = range(10)


class _Clips:
    """``payment_run.Clips``: the confirmation is all that is said."""

    def __init__(self, store: PromptStore, locale: str) -> None:
        self._store = store
        self._locale = locale

    def ready(self, action: Action) -> Clip | None:
        if not isinstance(action, DefaultPrompt) or action.digits:
            return None
        try:
            return self._store.default(action.key, self._locale)
        except PromptError:
            return None  # not rendered yet in this language

    async def render(self, action: Action) -> Clip:
        if not isinstance(action, DefaultPrompt):
            raise PromptError("a session says only what the engine says by itself")
        if not action.digits:
            return await self._store.prompt(action.key, self._locale)
        return await self._store.prompt(action.key, self._locale, digits=action.digits)


class _Teller:
    """Tells a session's callback, in order with what is written of the payment."""

    def __init__(self, facts: SessionFacts, url: str, context: ProgramContext) -> None:
        self.facts = facts
        self.url = url
        self.updated = facts.created
        self._context = context
        self._twilio = context.config.twilio

    def created(self, run: PaymentRun) -> None:
        """Tell that the session is open."""
        self._post(run, created_parameters(self.facts))

    def status(self, run: PaymentRun, status: PayStatus) -> None:
        """Tell of an entry."""
        parameters = capture_parameters(self.facts, status, self.touch(), partial_false=self._twilio.send_partial_false)
        self._post(run, parameters)

    def result(self, run: PaymentRun, result: PayResult) -> None:
        """Tell how it ended."""
        run.then(partial(self._tell_result, form_body(result_parameters(self.facts, result, self.touch()))))

    def touch(self) -> datetime:
        """Note that something changed, and return when."""
        self.updated = self._context.clock()
        return self.updated

    def _post(self, run: PaymentRun, parameters: Parameters) -> None:
        run.then(partial(self._enqueue, form_body(parameters), self.url, WebhookPolicy.STATUS))

    async def _tell_result(self, body: bytes) -> None:
        await self._enqueue(body, self.url, WebhookPolicy.RESULT)
        await self._context.payments.ledger.told(self.facts.payment_id)

    async def _enqueue(self, body: bytes, url: str, policy: WebhookPolicy) -> None:
        await self._context.outbox.enqueue(
            session=self.facts.payment_id,
            url=url,
            body=body,
            content_type=CONTENT_TYPE,
            signature=SignatureKind.TWILIO,
            key_env=self._twilio.auth_token_env,
            policy=policy,
            allow_insecure=self._twilio.allow_insecure_callbacks,
        )

    def reply_to(self) -> dict[str, str]:
        """Return what the ledger keeps until the result is told, so that it can be told after a crash."""
        facts = self.facts
        return {
            "kind": REPLY_KIND,
            "url": self.url,
            "key_env": self._twilio.auth_token_env,
            "allow_insecure": "yes" if self._twilio.allow_insecure_callbacks else "",
            "account_sid": facts.account_sid,
            "created": facts.created.isoformat(),
            "connector": facts.connector,
            "amount": facts.amount,
            "token_type": facts.token_type,
            "bank_account_type": facts.bank_account_type,
        }

    def still_owed(self, result: PayResult) -> dict[str, str]:
        """Return what the ledger keeps with the result until that is told."""
        return self.reply_to()


class CaptureSession:
    """One payment of an agent, from its creation to its result; it outlives that result until the call is gone.

    ``connector`` is the configured name of what `CreateRequest.connector` names. Raise ``SessionInProgressError`` when
    the call has a payment already.
    """

    def __init__(
        self,
        call: CallControl,
        request: CreateRequest,
        *,
        connector: str,
        cover: LineCover,
        context: ProgramContext,
    ) -> None:
        order, twilio = request.order, context.config.twilio
        self.payment_id = uuid.uuid4().hex
        self.call_id = call.facts.call_id
        self.fingerprint = request.fingerprint
        self._cover = cover
        self._context = context
        self._tail_s = TAIL_S
        self._capture_key = b""
        "Of the request that asked for the capture under way, or the last one."
        self._keys: deque[bytes] = deque([request.key], maxlen=KEYS_REMEMBERED)
        self._completed = self._canceled = False
        facts = SessionFacts(
            account_sid=twilio.account_sid,
            call_id=self.call_id,
            payment_id=self.payment_id,
            created=context.clock(),
            connector=request.connector,
            method=str(order.method),
            amount=order.charged_amount,
            token_type=str(order.token_type),
            bank_account_type=order.bank_account_type,
        )
        self._teller = _Teller(facts, request.status_callback, context)
        self._machine = CaptureMachine(order, today=context.today, transaction_id=lambda: str(uuid.uuid4()))
        changed = weakref.WeakMethod(self._changed)
        self._run = PaymentRun(
            self._machine,
            order,
            call_id=self.call_id,
            label=LABEL,
            connector=connector,
            speaker=call,
            clips=_Clips(context.prompts, context.config.prompts.locale),
            context=context.payments,
            guard=call.guard,
            on_status=partial(_on_status, self._teller, changed),
            on_result=partial(_on_result, self._teller, changed),
            payment_id=self.payment_id,
            direction=call.facts.direction,
            reply_to=self._teller.reply_to(),
            still_owed=self._teller.still_owed,
        )
        self._run.start(context.now())
        self._teller.created(self._run)

    # -- what it is ----------------------------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether the payment has no result yet."""
        return self._run.result is None

    @property
    def is_confirming(self) -> bool:
        """Whether the caller is asked to confirm."""
        return self._machine.state in _ASKED

    @property
    def created(self) -> datetime:
        """When it was created, UTC."""
        return self._teller.facts.created

    @property
    def updated(self) -> datetime:
        """When something of it changed last, UTC."""
        return self._teller.updated

    # -- the agent -----------------------------------------------------------------------------------------------

    def update(self, request: UpdateRequest) -> None:
        """Do what a request asks; raise `RequestRefused`, and nothing has changed."""
        before, self._teller.url = self._teller.url, request.status_callback
        try:
            refusal = self._do(request)
        except BaseException:
            self._teller.url = before
            raise
        if refusal is not None:
            self._teller.url = before
            raise refused_update(refusal)
        self._teller.touch()
        self._remember(request.key)

    def _do(self, request: UpdateRequest) -> Refusal | None:
        match request.status:
            case "complete":
                return self._complete()
            case "cancel":
                return self._cancel()
            case _:
                return self._capture(request)

    def _capture(self, request: UpdateRequest) -> Refusal | None:
        afresh = request.key != self._capture_key
        covers = self.is_open and self._machine.state is not State.SUBMITTED
        if covers:
            try:
                self._cover.put_on()  # before the machine takes a key, whatever becomes of the request
            except MediaError as error:
                log.error("no capture: the caller cannot be masked: %s", error, extra=fields(call=self.call_id))
                raise line_not_covered() from None
        refusal = self._run.tell(partial(self._machine.capture, request.capture, afresh=afresh))
        self._settle()
        if refusal is None:
            self._capture_key = request.key
            self._completed = False  # a capture takes a completion back that waits for the caller's word
        return refusal

    def _complete(self) -> Refusal | None:
        if self._completed and not self.is_open:
            return None  # D-35: the same answer
        refusal = self._run.tell(self._machine.complete)
        self._settle()
        self._completed = self._completed or refusal is None
        return refusal

    def _cancel(self) -> Refusal | None:
        if self._canceled:
            return None
        refusal = self._run.tell(self._machine.cancel)
        self._settle()
        self._canceled = refusal is None
        return refusal

    def _remember(self, key: bytes) -> None:
        if key in self._keys:
            log.debug("an IdempotencyKey came again", extra=fields(call=self.call_id))
        else:
            self._keys.append(key)

    # -- the call ------------------------------------------------------------------------------------------------

    def digit(self, code: int, now: float) -> None:
        """Take a key, wanted or not."""
        # Only a digit can end an entry by its length, and be followed by more.
        self._tail_s = RUN_ON_S if code in _DIGITS else TAIL_S
        self._run.digit(code, now)
        self._settle()
        self._tail_s = TAIL_S

    def count_digit(self, source: str) -> None:
        """Count a key by where it came from."""
        self._run.count_digit(source)

    def play_finished(self, token: int, interrupted_by_digit: bool, now: float) -> None:
        """Note that a playlist is over, perhaps the confirmation."""
        self._run.play_finished(token, interrupted_by_digit, now)

    def hang_up(self, now: float) -> None:
        """The caller is gone."""
        self._run.hang_up(now)

    async def done(self) -> None:
        """Wait until the result is in and everything about it is written."""
        await self._run.done()

    def _changed(self) -> None:
        self._settle()

    def _settle(self) -> None:
        """Cover the line while a capture runs, and let go of it when none does any more."""
        if self._machine.state not in _KEYING:
            self._cover.take_off(self._tail_s)


def _on_status(
    teller: _Teller, changed: weakref.WeakMethod[Callable[[], None]], run: PaymentRun, status: PayStatus
) -> None:
    teller.status(run, status)
    if (settle := changed()) is not None:
        settle()


def _on_result(
    teller: _Teller, changed: weakref.WeakMethod[Callable[[], None]], run: PaymentRun, result: PayResult
) -> None:
    teller.result(run, result)
    if (settle := changed()) is not None:
        settle()


class CaptureDesk:
    """``engine.program.Companion`` of a call that has sessions, one open at a time; it holds the call weakly."""

    def __init__(self, call: CallControl, context: ProgramContext) -> None:
        self._context = context
        self._cover = LineCover(call, now=context.now, call_at=asyncio.get_running_loop().call_at)
        self._sessions: OrderedDict[str, CaptureSession] = OrderedDict()
        self._current: CaptureSession | None = None
        "The latest one, open or not."
        self._source = ""

    # -- requests ------------------------------------------------------------------------------------------------

    def create(self, call: CallControl, request: CreateRequest, connector: str) -> CaptureSession:
        """Open a session, or return the open one that the very same request made (D-35); raise `RequestRefused`.

        ``call`` is the desk's own.
        """
        current = self._current
        if current is not None and current.is_open and current.fingerprint == request.fingerprint:
            return current
        try:
            session = CaptureSession(call, request, connector=connector, cover=self._cover, context=self._context)
        except SessionInProgressError:
            raise session_in_progress() from None
        self._current = self._sessions[session.payment_id] = session
        while len(self._sessions) > KEPT:
            self._sessions.popitem(last=False)
        return session

    def session(self, payment_id: str) -> CaptureSession | None:
        """Return a session of this call."""
        return self._sessions.get(payment_id)

    # -- what happens on the call --------------------------------------------------------------------------------

    @property
    def wants_digits(self) -> bool:
        """While keys are covered, and while the caller is asked to confirm."""
        return self._cover.is_on or (self._current is not None and self._current.is_confirming)

    def digit(self, code: int, now: float) -> None:
        """Take a key; no end is told of one that came as SIP INFO."""
        self._cover.key(is_held=self._source != DigitSource.INFO)
        if self._current is not None:
            self._current.digit(code, now)

    def digit_ended(self, now: float) -> None:
        """Note that the last key was let go."""
        self._cover.key_ended()

    def count_digit(self, source: str) -> None:
        """Count a key by where it came from."""
        self._source = str(source)
        if self._current is not None:
            self._current.count_digit(source)

    def play_finished(self, token: int, interrupted_by_digit: bool, now: float) -> None:
        """Note that a playlist is over."""
        if self._current is not None:
            self._current.play_finished(token, interrupted_by_digit, now)

    def hang_up(self, now: float) -> None:
        """The call is over: an open session ends, one at its connector by the answer."""
        self._cover.close()
        if self._current is not None:
            self._current.hang_up(now)

    async def done(self) -> None:
        """Wait until all sessions have told what they have to tell."""
        for session in [*self._sessions.values()]:
            await session.done()


class CaptureSessions:
    """The sessions of all calls, as the HTTP interface asks for them; one for an engine.

    ``connectors`` are the configured ones by name. What is known of a call's sessions goes with the call.
    """

    def __init__(self, context: ProgramContext, connectors: Mapping[str, Connector]) -> None:
        self._context = context
        self._connectors = connectors
        self._desks: weakref.WeakKeyDictionary[CallControl, CaptureDesk] = weakref.WeakKeyDictionary()
        twilio = context.config.twilio
        self._settings = RequestSettings(allow_insecure=twilio.allow_insecure_callbacks, mask_style=twilio.mask_style)

    def create(self, call_id: str, parameters: Sequence[tuple[str, str]]) -> dict[str, object]:
        """Open a session on a call and return the answer's body; raise `RequestRefused`."""
        call = self._call(call_id)
        if call.state is not CallState.ANSWERED:
            raise call_is_over()
        request = read_create(parameters, self._settings)
        connector = self._connector_of(request)
        if call.guard.busy and call not in self._desks:
            raise session_in_progress()  # a payment that the call's program takes
        # Whoever comes to hear the call, now or later, hears it behind the mask; where there is a line, it stays.
        call.mask_line(fill=MaskFill(self._context.config.twilio.mask_fill))
        desk = self._desks.get(call)
        if desk is None:
            desk = self._desks[call] = CaptureDesk(call, self._context)
            call.attach(desk)
        session = desk.create(call, request, connector)
        return self._body(session, session.created)

    def update(self, call_id: str, payment_id: str, parameters: Sequence[tuple[str, str]]) -> dict[str, object]:
        """Do what is asked of a session and return the answer's body; raise `RequestRefused`."""
        desk = self._desks.get(self._call(call_id))
        session = desk.session(payment_id) if desk is not None else None
        if session is None:
            raise session_not_found()
        session.update(read_update(parameters, self._settings))
        return self._body(session, session.updated)

    def _call(self, call_id: str) -> CallControl:
        call = self._context.exchange.call(call_id)
        if call is None:
            raise call_not_found()
        return call

    def _connector_of(self, request: CreateRequest) -> str:
        name = request.connector
        if name not in self._connectors and name.lower() == DEFAULT_CONNECTOR.lower():
            name = self._context.config.twilio.connector
        connector = self._connectors.get(name)
        if connector is None:
            raise no_connector()
        if (refusal := check(connector.capabilities, request.order)) is not None:
            raise not_taken(refusal)
        return name

    def _body(self, session: CaptureSession, updated: datetime) -> dict[str, object]:
        return resource_body(
            self._context.config.twilio.account_sid,
            session.call_id,
            session.payment_id,
            created=session.created,
            updated=updated,
        )


# -- after a crash ---------------------------------------------------------------------------------------------------


async def tell_interrupted(payment: InterruptedPayment, outbox: Outbox) -> None:
    """Put in the callback with the end of a session that the engine's own end left untold, unless it was put in.

    Raise ``LedgerError``.
    """
    paid = payment.result == str(Result.SUCCESS)
    told = tells_result(payment.last_webhook)
    if told == str(Result.SUCCESS) or (told and not paid):
        return
    reply = payment.reply_to
    facts = SessionFacts(
        account_sid=reply["account_sid"],
        call_id=payment.call_id,
        payment_id=payment.payment_id,
        created=datetime.fromisoformat(reply["created"]),
        connector=reply["connector"],
        method=payment.method,
        amount=reply["amount"],
        token_type=reply["token_type"],
        bank_account_type=reply["bank_account_type"],
    )
    parameters = interrupted_parameters(
        facts,
        result=payment.result,
        error=payment.error_code,
        values=MaskedFields(card_number=payment.card_number.replace("*", MASK_CHAR), card_type=payment.card_type),
        charge_id=payment.charge_id,
        token_id=payment.token_id,
        updated=datetime.now(UTC),
    )
    await outbox.enqueue(
        session=payment.payment_id,
        url=reply["url"],
        body=form_body(parameters),
        content_type=CONTENT_TYPE,
        signature=SignatureKind.TWILIO,
        key_env=reply["key_env"],
        policy=WebhookPolicy.RESULT,
        allow_insecure=bool(reply["allow_insecure"]),
    )
