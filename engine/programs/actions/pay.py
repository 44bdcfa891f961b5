"""``pay`` of SWML and ``calling.pay`` of RELAY on a call: the payment, its posts, a result that is never lost.

The laws:

1. What cannot be done is refused when the action is made, before the caller hears anything (`PayRefused`).
2. Its course, its line and its one end are `PaymentAction`'s.
3. Status posts go through the outbox in order and hold up nothing. The last one tells the result. The ledger keeps it,
   in the same transaction as the result, until the outbox has it; the next start puts it in (`tell_interrupted`).
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from engine.connectors.protocol import Connector
from engine.connectors.signalwire import BodyForm
from engine.dialects.signalwire.identity import envelope
from engine.dialects.signalwire.pay import BUSY, DEFAULT_VOICE, PayRefused, PayRequest, PaySettings, pay_request
from engine.dialects.signalwire.pay_events import (
    PAY_EVENT,
    interrupted_params,
    status_base,
    status_params,
)
from engine.errors import ConnectorError
from engine.ledger import InterruptedPayment, WebhookPolicy
from engine.log import fields
from engine.net.signatures import SignatureKind
from engine.net.web_client import key_of_environment
from engine.outbox import Outbox
from engine.pay.fields import ErrorType, Step
from engine.pay.order import PayOrder
from engine.pay.results import PayResult, PayStatus
from engine.pay.rules import Dialect
from engine.payment_run import PaymentRun
from engine.program import CallControl, CallState
from engine.programs.actions.paying import PaymentAction
from engine.programs.context import ProgramContext

__all__ = ("REPLY_KIND", "PayAction", "check_properties", "tell_interrupted")

log = logging.getLogger("engine.pay")

REPLY_KIND = "signalwire-pay"
"What these payments are called among those whose end is told after a crash (``engine.payments``)."
_ENDS = frozenset({Step.COMPLETED, Step.FAILED, Step.CANCELED})


class PayAction(PaymentAction):
    """One payment."""

    def __init__(
        self,
        properties: Mapping[str, Any],
        call: CallControl,
        context: ProgramContext,
        *,
        dialect: Dialect,
        control_id: str,
        channel: str,
        on_status: Callable[[PayStatus], None] = lambda status: None,
        on_result: Callable[[PayResult], None] = lambda result: None,
    ) -> None:
        """Judge the properties; raise `PayRefused` for what cannot be done.

        ``channel`` is the ``event_channel`` of status posts. The hooks are called at once, from within any method, also
        from `start`; they shall hold neither the action nor the program, and are forgotten after the end.
        """
        try:
            request, connector = _judge(properties, dialect, call, context)
        except PayRefused as refused:
            log.warning("a payment was refused: %s", refused, extra=fields(call=call.facts.call_id, code=refused.code))
            raise
        for warning in request.warnings:
            log.warning("an odd payment: %s", warning, extra=fields(call=call.facts.call_id))
        self.request = request
        super().__init__(
            request.order,
            connector,
            call,
            context,
            posts=_Posts(request, context, call.facts.call_id, control_id, channel),
            voice=_voice_of(request.order),
            on_status=on_status,
            on_result=on_result,
        )


def check_properties(properties: Mapping[str, Any], dialect: Dialect, context: ProgramContext) -> None:
    """Raise `PayRefused` for properties that no call will make right, before there is one that is up."""
    pay_request(properties, _settings(dialect, context))


def _settings(dialect: Dialect, context: ProgramContext) -> PaySettings:
    signalwire = context.config.signalwire
    return PaySettings(
        dialect=dialect,
        allow_insecure=signalwire.allow_insecure_callbacks,
        retry_rule=signalwire.retry_rule,
        mask_style=signalwire.mask_style,
    )


def _judge(
    properties: Mapping[str, Any], dialect: Dialect, call: CallControl, context: ProgramContext
) -> tuple[PayRequest, Connector]:
    catalog = context.prompts.catalog
    settings = replace(_settings(dialect, context), language_warning=lambda language: catalog.resolve(language).warning)
    request = pay_request(properties, settings)
    connector = _connector(request.connector_url, context)
    if call.state is not CallState.ANSWERED:
        raise PayRefused("", "the call is not answered", BUSY)
    if call.guard.busy:
        raise PayRefused("", f"{ErrorType.SESSION_IN_PROGRESS}: the call has a payment already", BUSY)
    return request, connector


def _connector(url: str, context: ProgramContext) -> Connector:
    signalwire = context.config.signalwire
    try:
        return context.payments.charging.connector_at(
            url,
            form=BodyForm.SWML,
            signing_key=key_of_environment(signalwire.signing_key_env) if signalwire.signing_key_env else "",
            allow_insecure=signalwire.allow_insecure_callbacks,
        )
    except ConnectorError as error:
        raise PayRefused("payment_connector_url", str(error)) from None


def _voice_of(order: PayOrder) -> str:
    """Return the voice of the engine's own prompts; empty: as they are recorded, also for voices of other vendors."""
    return "" if order.voice.lower() in ("", DEFAULT_VOICE) or "." in order.voice else order.voice


class _Posts:
    """The posts to one payment's status URL, put into the outbox in order; none without a URL.

    That a payment is completed, failed or canceled is not posted by itself but with the result, which follows when the
    caller has heard it: who is told twice may deliver twice.
    """

    def __init__(
        self, request: PayRequest, context: ProgramContext, call_id: str, control_id: str, channel: str
    ) -> None:
        self.payment_id = uuid.uuid4().hex
        self._request = request
        self._context = context
        self._signalwire = context.config.signalwire
        self._call_id = call_id
        self._control_id = control_id
        self._channel = channel
        self._last: PayStatus | None = None
        "The end of the payment, or of a try, that was not posted yet."
        self._body = b""
        "Of the last post, once it is made: the ledger and the outbox hold the same."

    def status(self, run: PaymentRun, status: PayStatus) -> None:
        """Post a step, behind those before it."""
        last, self._last = self._last, None
        if last is not None:
            self._post_step(run, last)
        if status.step in _ENDS:
            self._last = status
        else:
            self._post_step(run, status)

    def _post_step(self, run: PaymentRun, status: PayStatus) -> None:
        if self._request.status_url:
            run.then(partial(self._put_in, self._body_of(status)))

    def never_begun(self, result: PayResult) -> None:
        """Post nothing: `PayAction.start` tells the end by its hook."""

    def still_owed(self, result: PayResult) -> Mapping[str, str] | None:
        """Return what the ledger keeps until the outbox has the last post."""
        reply = self.reply_to()
        if reply is not None:
            reply["body"] = self._result_body(result).decode()
        return reply

    def result(self, run: PaymentRun, result: PayResult) -> None:
        """Post the result, once it is written; one that cannot be is told all the same."""
        if self._request.status_url:
            run.then(partial(self._put_in_last, result))

    def _result_body(self, result: PayResult) -> bytes:
        self._body = self._body or self._body_of(result)
        return self._body

    async def _put_in_last(self, result: PayResult) -> None:
        await self._put_in(self._result_body(result))
        await self._context.payments.ledger.told(self.payment_id)

    async def _put_in(self, body: bytes) -> None:
        await self._context.outbox.enqueue(
            session=self.payment_id,
            url=self._request.status_url,
            body=body,
            signature=SignatureKind.SIGNALWIRE if self._signalwire.signing_key_env else SignatureKind.NONE,
            key_env=self._signalwire.signing_key_env,
            policy=WebhookPolicy.STATUS,
            allow_insecure=self._signalwire.allow_insecure_callbacks,
        )

    def _body_of(self, what: PayStatus | PayResult) -> bytes:
        error_type = self._last.error_type if isinstance(what, PayResult) and self._last is not None else ""
        return _body(
            status_params(
                self._request, what, call_id=self._call_id, control_id=self._control_id, error_type=error_type
            ),
            channel=self._channel,
            at=self._context.clock(),
            project=self._signalwire.project,
            space=self._signalwire.space,
        )

    def reply_to(self) -> dict[str, str] | None:
        """Return how the application is told the end that it was not told of, should the engine be gone."""
        if not self._request.status_url:
            return None
        base = status_base(self._request, call_id=self._call_id, control_id=self._control_id)
        return {
            "kind": REPLY_KIND,
            "url": self._request.status_url,
            "key_env": self._signalwire.signing_key_env,
            "allow_insecure": "yes" if self._signalwire.allow_insecure_callbacks else "",
            "channel": self._channel,
            "project": self._signalwire.project,
            "space": self._signalwire.space,
            "base": json.dumps(base),
        }


def _body(params: Mapping[str, Any], *, channel: str, at: datetime, project: str, space: str) -> bytes:
    whole = envelope(PAY_EVENT, params, channel=channel, timestamp=at.timestamp(), project=project, space=space)
    return json.dumps(whole, separators=(",", ":")).encode()


def _utc_now() -> datetime:
    return datetime.now(UTC)


async def tell_interrupted(
    payment: InterruptedPayment, outbox: Outbox, *, clock: Callable[[], datetime] = _utc_now
) -> None:
    """Put in the last post of a payment that the engine's end left untold, unless it was put in; ``LedgerError``."""
    if _tells_result(payment.last_webhook):
        return
    reply = payment.reply_to
    body = reply.get("body", "").encode()
    if not body:
        params = interrupted_params(
            json.loads(reply["base"]),
            result=payment.result,
            error=payment.error_code,
            card_number=payment.card_number,
            card_type=payment.card_type,
            charge_id=payment.charge_id,
            token_id=payment.token_id,
        )
        body = _body(params, at=clock(), channel=reply["channel"], project=reply["project"], space=reply["space"])
    await outbox.enqueue(
        session=payment.payment_id,
        url=reply["url"],
        body=body,
        signature=SignatureKind.SIGNALWIRE if reply["key_env"] else SignatureKind.NONE,
        key_env=reply["key_env"],
        policy=WebhookPolicy.RESULT,
        allow_insecure=bool(reply["allow_insecure"]),
    )


def _tells_result(body: bytes) -> bool:
    """Return whether a post is the last one of a payment."""
    try:
        return "result" in json.loads(body)["params"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return False
