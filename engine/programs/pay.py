"""``<Pay>`` on a call: the payment, its prompts and callbacks, and a result that is never lost (`dialects.md` §4).

The laws:

1. What cannot be done is refused before the caller hears anything, and told as ``Result=validation-error``.
2. From the first question until the result is told, and the last key was let go, nothing of the caller reaches a
   recording (D-28), and the mask is on for whoever else hears the call; see `QuietLine`.
3. A result is told once: by the action request, whose fate `PayVerb.told` learns; when that one was not to be had, by
   the outbox, which repeats it; when the engine is gone before either, at the next start (`tell_interrupted`). The
   ledger keeps what has to be told, in the same transaction as the result, until it is.
4. A payment that another document has cut off is told of only if the connector had been asked.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
import weakref
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from urllib.parse import parse_qsl

from engine.config import TwilioConfig
from engine.connectors.protocol import Connector
from engine.connectors.signalwire import BodyForm
from engine.dialects.twilio import call_status, form_body, standard_parameters
from engine.dialects.twiml.commands import Parameters, StartPay
from engine.dialects.twiml.pay import (
    PayRefused,
    PayRequest,
    PaySettings,
    interrupted_parameters,
    pay_request,
    refusal_parameters,
    result_parameters,
    status_parameters,
)
from engine.errors import ConnectorError, LedgerError, MediaError
from engine.ledger import InterruptedPayment, WebhookPolicy
from engine.log import fields
from engine.net.signatures import FORM, SignatureKind
from engine.net.web_client import key_of_environment
from engine.outbox import Outbox
from engine.pay.machine import PayMachine
from engine.pay.results import PayResult, PayStatus, Result
from engine.pay.rules import PayErrorCode
from engine.payment_run import PaymentRun
from engine.program import CallControl, CallFacts, CallState
from engine.programs.context import ProgramContext
from engine.programs.pay_prompts import PayClips
from engine.programs.quiet_line import QuietLine
from engine.programs.verb import Ended

__all__ = ("REPLY_KIND", "TOLD_LIMIT_S", "PayVerb", "tell_interrupted")

log = logging.getLogger("engine.pay")

REPLY_KIND = "twiml-pay"
"What these payments are called among those whose end is told after a crash (``engine.payments``)."
TOLD_LIMIT_S = 400.0
"How long an action request may take, redirects and all, before the outbox is given the result as well."
_CONTENT_TYPE = f"{FORM}; charset=UTF-8"
_ODD_DOCUMENT = 12200
"The vendor's number for what is wrong with a document and does not stop it."


class PayVerb:
    """One ``<Pay>`` (``engine.programs.verb.Verb``)."""

    def __init__(
        self, command: StartPay, call: CallControl, context: ProgramContext, base_url: str, ended: Ended
    ) -> None:
        self._pay = command.pay
        self._call: CallControl = call if isinstance(call, weakref.ProxyType) else weakref.proxy(call)
        self._context = context
        self._base_url = base_url
        self._ended: Ended | None = ended
        self._run: PaymentRun | None = None
        self._line: QuietLine | None = None
        self._outcome: _Outcome | None = None

    # -- inputs --------------------------------------------------------------------------------------------------

    def start(self, now: float) -> None:
        """Begin to ask, or refuse at once."""
        facts = self._call.facts
        ended, self._ended = self._ended, None
        assert ended is not None
        try:
            self._begin(facts, ended, now)
        except PayRefused as refused:
            log.warning(
                "a <Pay> was refused: %s",
                refused,
                extra=fields(call=facts.call_id, line=self._pay.line, code=refused.code),
            )
            ended(refusal_parameters(refused, self._pay))
        except MediaError as error:
            log.error("no payment: the line cannot be covered: %s", error, extra=fields(call=facts.call_id))
            fault = PayRefused(PayErrorCode.SERVICE_UNAVAILABLE, "the line cannot be covered", "")
            ended(refusal_parameters(fault, self._pay, Result.INTERNAL_ERROR))

    def _begin(self, facts: CallFacts, ended: Ended, now: float) -> None:
        context = self._context
        twilio = context.config.twilio
        request = self._request(twilio)
        connector = self._connector(request, twilio)
        if self._call.guard.busy:
            raise PayRefused(PayErrorCode.INVALID_OPERATION, "session-in-progress: the call has a payment already", "")
        for warning in request.warnings:
            extra = fields(call=facts.call_id, line=self._pay.line, code=_ODD_DOCUMENT)
            log.warning("an odd <Pay>: %s", warning, extra=extra)
        order = request.order
        payment_id = uuid.uuid4().hex
        line = QuietLine(self._call, now=context.now)
        line.hold()
        clips = PayClips(context.prompts, order, call_id=facts.call_id)
        outcome = _Outcome(request, self._call, context, payment_id, line, clips, ended)
        run = PaymentRun(
            PayMachine(order, today=context.today, transaction_id=lambda: str(uuid.uuid4())),
            order,
            call_id=facts.call_id,
            label=self._call.program.label,
            connector=connector,
            speaker=self._call,
            clips=clips,
            context=context.payments,
            guard=self._call.guard,
            on_status=outcome.status,
            on_result=outcome.result,
            payment_id=payment_id,
            direction=facts.direction,
            reply_to=_reply_to(request, twilio, facts),
            still_owed=outcome.still_owed,
        )
        self._run, self._line, self._outcome = run, line, outcome
        clips.render_ahead()
        run.start(now)

    def _request(self, twilio: TwilioConfig) -> PayRequest:
        connectors = self._context.payments.charging.connectors
        catalog = self._context.prompts.catalog
        return pay_request(
            self._pay,
            PaySettings(
                base_url=self._base_url,
                connectors={name: connector.capabilities for name, connector in connectors.items()},
                default_connector=twilio.connector,
                allow_insecure=twilio.allow_insecure_callbacks,
                retry_rule=twilio.retry_rule,
                mask_style=twilio.mask_style,
                language_warning=lambda language: catalog.resolve(language).warning,
            ),
        )

    def _connector(self, request: PayRequest, twilio: TwilioConfig) -> str | Connector:
        if not request.connector_url:
            return request.connector
        try:
            return self._context.payments.charging.connector_at(
                request.connector_url,
                form=BodyForm.COMPATIBLE,
                signing_key=key_of_environment(twilio.auth_token_env),
                allow_insecure=twilio.allow_insecure_callbacks,
            )
        except ConnectorError as error:
            raise PayRefused(PayErrorCode.CONNECTOR_CONFIGURATION, str(error), "paymentConnectorUrl") from None

    def digit(self, code: int, now: float) -> None:
        """Take a key."""
        if self._run is not None and self._line is not None:
            self._line.digit(code, now)
            self._run.digit(code, now)

    def digit_ended(self, now: float) -> None:
        """Do nothing: `QuietLine` hears of it, also when the payment is over."""

    def count_digit(self, source: str) -> None:
        """Note where the key that follows came from."""
        if self._run is not None and self._line is not None:
            self._line.count_digit(source)
            self._run.count_digit(source)

    def play_finished(self, token: int, by_digit: bool, now: float) -> None:
        """A prompt is over."""
        if self._run is not None:
            self._run.play_finished(token, by_digit, now)

    def hang_up(self, now: float) -> None:
        """The caller is gone: the payment ends, or its connector's answer ends it; the result is told all the same."""
        if self._run is not None:
            self._run.hang_up(now)

    def stop(self, now: float) -> None:
        """Give up for another document; what the connector had been asked for is told by the outbox."""
        self._ended = None
        if self._run is not None and self._outcome is not None:
            self._outcome.give_up()
            self._run.stop(now)

    def told(self, delivered: bool) -> None:
        """Learn whether the action took the result; if not, the outbox has to bring it there."""
        if self._outcome is not None:
            self._outcome.told(delivered)

    async def done(self) -> None:
        """Wait until the payment is over, its result written, and told or in the outbox."""
        if self._run is not None and self._outcome is not None:
            await self._run.done()
            await self._outcome.settled()


class _Outcome:
    """Tells the application of one payment; holds neither the run nor, but by proxy, the call."""

    def __init__(
        self,
        request: PayRequest,
        call: CallControl,
        context: ProgramContext,
        payment_id: str,
        line: QuietLine,
        clips: PayClips,
        ended: Ended,
    ) -> None:
        self._request = request
        self._call = call
        self._facts = call.facts
        self._context = context
        self._twilio = context.config.twilio
        self._payment_id = payment_id
        self._line = line
        self._clips = clips
        self._ended: Ended | None = ended
        self._parameters: Parameters = ()
        self._gave_up = False
        self._is_told = asyncio.Event()
        self._telling: asyncio.Task[None] | None = None

    # -- hooks of the run ------------------------------------------------------------------------------------------

    def status(self, run: PaymentRun, status: PayStatus) -> None:
        """Put a step into the outbox, behind those before it."""
        if self._request.status_callback:
            parameters = status_parameters(self._twilio.account_sid, self._facts.call_id, self._request.order, status)
            run.then(partial(self._put_in_status, parameters))

    async def _put_in_status(self, parameters: Parameters) -> None:
        request = self._request
        await self._context.outbox.enqueue(
            session=self._payment_id,
            url=request.status_callback,
            body=form_body(parameters),
            method=request.status_method,
            content_type=_CONTENT_TYPE,
            signature=SignatureKind.TWILIO,
            key_env=self._twilio.auth_token_env,
            policy=WebhookPolicy.STATUS,
            allow_insecure=self._twilio.allow_insecure_callbacks,
        )

    def still_owed(self, result: PayResult) -> Mapping[str, str] | None:
        """Return what the ledger keeps until the result is told."""
        parameters = result_parameters(result, self._request.order)
        if not parameters:
            return None
        reply = _reply_to(self._request, self._twilio, self._facts)
        return {**reply, "body": form_body(self._whole(parameters, CallState.ENDED)).decode()}

    def result(self, run: PaymentRun, result: PayResult) -> None:
        """Have the result told once it is written; what is keyed until then is nobody's."""
        self._line.take_keys()
        self._clips.close()
        self._parameters = result_parameters(result, self._request.order)
        run.then(self._tell)

    async def _tell(self) -> None:
        ended, self._ended = self._ended, None
        if not self._parameters:
            self._line.release()
            self._is_told.set()
        elif ended is None:
            self.told(delivered=False)
        else:
            ended(self._parameters)

    # -- how it was taken ------------------------------------------------------------------------------------------

    def give_up(self) -> None:
        """Note that nobody waits for the result any more."""
        self._ended = None

    def told(self, delivered: bool) -> None:
        """Note what became of the action request; a second word about it is of no interest."""
        self._line.release()
        if self._telling is None:
            self._telling = asyncio.get_running_loop().create_task(self._settle(delivered))

    async def _settle(self, delivered: bool) -> None:
        try:
            if not delivered:
                await self._put_in_result()
            await self._context.payments.ledger.told(self._payment_id)
        except LedgerError as error:
            # What is owed stays in the ledger: the next start tells it.
            log.error("a result could not be handed on: %s", error, extra=fields(call=self._facts.call_id))
        except Exception:
            log.exception("a result could not be handed on", extra=fields(call=self._facts.call_id))
        finally:
            self._is_told.set()

    async def _put_in_result(self) -> None:
        state = CallState.ENDED
        with suppress(ReferenceError):
            state = self._call.state
        await self._context.outbox.enqueue(
            session=self._payment_id,
            url=self._request.action,
            body=form_body(self._whole(self._parameters, state)),
            content_type=_CONTENT_TYPE,
            signature=SignatureKind.TWILIO,
            key_env=self._twilio.auth_token_env,
            policy=WebhookPolicy.RESULT,
            allow_insecure=self._twilio.allow_insecure_callbacks,
        )

    async def settled(self) -> None:
        """Wait until the result was told or put into the outbox; an action that nobody answers for is put in."""
        try:
            async with asyncio.timeout(TOLD_LIMIT_S):
                await self._is_told.wait()
        except TimeoutError:
            log.warning("nothing was heard of an action request", extra=fields(call=self._facts.call_id))
            self.told(delivered=False)
            await self._is_told.wait()

    def _whole(self, parameters: Parameters, state: CallState) -> Parameters:
        return (*standard_parameters(self._twilio.account_sid, self._facts, call_status(state)), *parameters)


def _reply_to(request: PayRequest, twilio: TwilioConfig, facts: CallFacts) -> dict[str, str]:
    """Return how the application is told the end of a payment that it was not told of, should the engine be gone."""
    standard = standard_parameters(twilio.account_sid, facts, call_status(CallState.ENDED))
    return {
        "kind": REPLY_KIND,
        "url": request.action,
        "key_env": twilio.auth_token_env,
        "allow_insecure": "yes" if twilio.allow_insecure_callbacks else "",
        "standard": form_body(standard).decode(),
    }


async def tell_interrupted(payment: InterruptedPayment, outbox: Outbox) -> None:
    """Put in the result of a payment that the engine's end left untold, unless it was put in; ``LedgerError``.

    A payment that was cut off in the middle is ``internal-error`` to its application, or a success when the connector
    had said so.
    """
    if any(name == "Result" for name, _ in _form_of(payment.last_webhook)):
        return
    reply = payment.reply_to
    body = reply.get("body", "").encode()
    if not body:
        known = interrupted_parameters(
            method=payment.method,
            result=payment.result,
            error=payment.error_code,
            card_number=payment.card_number,
            card_type=payment.card_type,
            charge_id=payment.charge_id,
            token_id=payment.token_id,
        )
        body = form_body((*_form_of(reply["standard"].encode()), *known))
    await outbox.enqueue(
        session=payment.payment_id,
        url=reply["url"],
        body=body,
        content_type=_CONTENT_TYPE,
        signature=SignatureKind.TWILIO,
        key_env=reply["key_env"],
        policy=WebhookPolicy.RESULT,
        allow_insecure=bool(reply["allow_insecure"]),
    )


def _form_of(body: bytes) -> list[tuple[str, str]]:
    """Return the parameters of a form, none when it is none."""
    try:
        return parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=1000)
    except ValueError:
        return []
