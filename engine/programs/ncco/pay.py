"""``pay`` of NCCOs on a call: the payment, its webhook, a result that is never lost (`dialects.md` §6.1, §6.2).

The laws:

1. What cannot be done is refused when the action is made, before the caller hears anything (`NccoError`); the program
   tells it as an error. The event URL has to be https: where ``[vonage] allow_insecure_callbacks`` does not say else.
2. Its course, its line and its one end are `PaymentAction`'s.
3. Whatever was not refused is told of once, by POST, as ``success`` or ``failure``; also a payment that another NCCO
   has cut off. The ledger keeps what has to be told, in the same transaction as the result, until the outbox has it;
   the next start puts it in (`tell_interrupted`). On a hang-up it is put in before the call itself is over.
4. What the webhook says of the call is what was true when the payment began.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

from engine.config import NccoApp, VonageConfig
from engine.dialects.ncco.actions import EventTarget, Pay
from engine.dialects.ncco.errors import NccoError
from engine.dialects.ncco.events import body_of, payment_event
from engine.dialects.ncco.identity import timestamp
from engine.dialects.ncco.pay import PayRequest, PaySettings, pay_request, payment_details, payment_status
from engine.dialects.urls import resolved
from engine.ledger import InterruptedPayment, WebhookPolicy
from engine.log import fields
from engine.net.http import split_url
from engine.net.signatures import SignatureKind
from engine.outbox import Outbox
from engine.pay.fields import ErrorType
from engine.pay.results import PayResult, PayStatus
from engine.payment_run import PaymentRun
from engine.program import CallControl, CallState
from engine.programs.actions.paying import PaymentAction
from engine.programs.context import ProgramContext
from engine.programs.ncco.legs import Leg, signing

__all__ = ("REPLY_KIND", "NccoPayAction", "tell_interrupted")

log = logging.getLogger("engine.pay")

REPLY_KIND = "ncco-pay"
"What these payments are called among those whose end is told after a crash (``engine.payments``)."
_BUSY = f"{ErrorType.SESSION_IN_PROGRESS}: the call has a payment already"


class NccoPayAction(PaymentAction):
    """One ``pay``."""

    def __init__(
        self,
        work: Pay,
        call: CallControl,
        context: ProgramContext,
        *,
        leg: Leg,
        base_url: str,
        on_over: Callable[[], None],
    ) -> None:
        """Judge the action; raise `NccoError` for what cannot be done.

        ``base_url`` is what a relative ``eventUrl`` is resolved against. ``on_over`` is called once, at once, from
        within any method, also from `start`; it shall hold neither the action nor the program.
        """
        connector = _connector_of(leg, context)
        request = _judge(work, connector, call, context)
        url = _event_url(work.event, leg, base_url, context.config.vonage)
        noted = fields(call=leg.facts.call_id)
        for warning in request.warnings:
            log.warning("an odd pay: %s", warning, extra=noted)
        if not url:
            log.warning("nobody is told of a payment: there is no event URL", extra=noted)
        super().__init__(
            request.order,
            connector,
            call,
            context,
            posts=_Posts(url, leg, context),
            on_result=lambda result: on_over(),
        )


def _connector_of(leg: Leg, context: ProgramContext) -> str:
    app = context.config.apps[leg.app]
    if not isinstance(app, NccoApp) or app.connector not in context.payments.charging.connectors:
        raise NccoError("", "there is no such connector: see connector of the application, and [connector.NAME]")
    return app.connector


def _judge(work: Pay, connector: str, call: CallControl, context: ProgramContext) -> PayRequest:
    catalog = context.prompts.catalog
    request = pay_request(
        work.properties,
        PaySettings(
            capabilities=context.payments.charging.connectors[connector].capabilities,
            language_warning=lambda language: catalog.resolve(language).warning,
        ),
    )
    if call.state is not CallState.ANSWERED:
        raise NccoError("", "the call is not answered")
    if call.guard.busy:
        raise NccoError("", _BUSY)
    return request


def _event_url(event: EventTarget | None, leg: Leg, base_url: str, settings: VonageConfig) -> str:
    """Return where the payment is told, absolute; empty: nowhere."""
    where, url = "eventUrl", ""
    if event is not None:
        url = resolved(base_url, event.url)
        if not url:
            raise NccoError(where, "has to be a URL that starts with https://")
    elif leg.event is not None:
        where, url = "the event URL of the application", leg.event.url
    if url:
        try:
            split_url(url, allow_insecure=settings.allow_insecure_callbacks)
        except ValueError as error:
            raise NccoError(where, f"{error}: see allow_insecure_callbacks of [vonage] for development") from None
    return url


class _Posts:
    """What is told of one payment (``engine.programs.actions.paying.Posts``): its end."""

    def __init__(self, url: str, leg: Leg, context: ProgramContext) -> None:
        self.payment_id = uuid.uuid4().hex
        self._url = url
        self._leg = leg
        self._context = context
        self._body = b""
        "Once it is made: the ledger and the outbox hold the same."
        settings = context.config.vonage
        signed = signing(settings, leg.application_id)
        self._reply = {
            "kind": REPLY_KIND,
            "url": url,
            "key_env": signed["key_env"],
            "claims": json.dumps(dict(signed["claims"])),
            "allow_insecure": "yes" if settings.allow_insecure_callbacks else "",
            "details": "yes" if settings.tell_payment_details else "",
            "base": json.dumps(payment_event(leg.facts, leg.conversation_uuid, status="")),
        }

    def status(self, run: PaymentRun, status: PayStatus) -> None:
        """Tell nothing: the vendor tells only the end."""

    def result(self, run: PaymentRun, result: PayResult) -> None:
        """Tell the end, once it is written; one that cannot be is told all the same."""
        if self._is_told(result):
            run.then(partial(self._put_in, result))

    async def _put_in(self, result: PayResult) -> None:
        await _put_in(self._context.outbox, self.payment_id, self._reply, self._body_of(result))
        await self._context.payments.ledger.told(self.payment_id)

    def never_begun(self, result: PayResult) -> None:
        """Tell the end behind what was told of the call; what is wrong with the action is an error."""
        legs = self._context.ncco
        if legs is None:
            return
        if not payment_status(result.result):
            legs.tell_error(self._leg, _BUSY)
        elif self._url:
            members = _members_of(result, self._reply)
            legs.tell(self._leg, members, target=EventTarget(url=self._url), policy=WebhookPolicy.RESULT)

    def reply_to(self) -> Mapping[str, str] | None:
        """Return how the application is told the end that it was not told of, should the engine be gone."""
        return self._reply if self._url else None

    def still_owed(self, result: PayResult) -> Mapping[str, str] | None:
        """Return what the ledger keeps until the outbox has the webhook."""
        return {**self._reply, "body": self._body_of(result).decode()} if self._is_told(result) else None

    def _is_told(self, result: PayResult) -> bool:
        return bool(self._url and payment_status(result.result))

    def _body_of(self, result: PayResult) -> bytes:
        self._body = self._body or _timed(_members_of(result, self._reply), self._context.clock())
        return self._body


def _members_of(result: PayResult, reply: Mapping[str, str]) -> dict[str, Any]:
    return _members(
        reply,
        result=result.result,
        error=result.payment_error,
        charge_id=result.charge_id,
        card_number=result.card_number,
    )


def _members(reply: Mapping[str, str], *, result: str, error: str, charge_id: str, card_number: str) -> dict[str, Any]:
    more: dict[str, str] = {}
    if reply["details"]:
        more = payment_details(result=result, error=error, charge_id=charge_id, card_number=card_number)
    return {**json.loads(reply["base"]), "status": payment_status(result), **more}


def _timed(members: Mapping[str, Any], at: datetime) -> bytes:
    return body_of({**members, "timestamp": timestamp(at)})


async def _put_in(outbox: Outbox, payment_id: str, reply: Mapping[str, str], body: bytes) -> None:
    await outbox.enqueue(
        session=payment_id,
        url=reply["url"],
        body=body,
        signature=SignatureKind.VONAGE if reply["key_env"] else SignatureKind.NONE,
        key_env=reply["key_env"],
        claims=json.loads(reply["claims"]),
        policy=WebhookPolicy.RESULT,
        allow_insecure=bool(reply["allow_insecure"]),
    )


def _utc_now() -> datetime:
    return datetime.now(UTC)


async def tell_interrupted(
    payment: InterruptedPayment, outbox: Outbox, *, clock: Callable[[], datetime] = _utc_now
) -> None:
    """Put in the webhook of a payment that the engine's end left untold, unless it was put in; ``LedgerError``.

    One that was cut off in the middle is a failure to its application, or a success when the connector had said so.
    """
    if payment.last_webhook:
        return  # there is no other
    reply = payment.reply_to
    body = reply.get("body", "").encode()
    if not body:
        members = _members(
            reply,
            result=payment.result,
            error=payment.error_code,
            charge_id=payment.charge_id,
            card_number=payment.card_number,
        )
        body = _timed(members, clock())
    await _put_in(outbox, payment.payment_id, reply, body)
