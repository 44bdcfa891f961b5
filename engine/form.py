"""The built-in payment form: a payment that the configuration describes, taken on a call without any application.

What goes on in the call is ``PaymentRun``'s; here are the orders, the prompts and the webhooks of ``[form.NAME]`` (in
SWML's form).
"""

from __future__ import annotations

import json
import logging
import time
import uuid
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import partial

from engine.config import FormConfig, FormPrompt
from engine.connectors.protocol import Connector, check
from engine.errors import ConfigError
from engine.ledger import InterruptedPayment, WebhookPolicy
from engine.log import fields
from engine.outbox import Outbox
from engine.pay.errors import OrderError
from engine.pay.fields import Step
from engine.pay.machine import PayMachine
from engine.pay.order import PayOrder, RetryRule
from engine.pay.prompt_rules import Action, DefaultPrompt, PlayFile, PromptRule, Say, Silence
from engine.pay.results import PayResult, PayStatus
from engine.pay.submission import PaymentMethod
from engine.payment_run import PaymentContext, PaymentRun
from engine.program import CallControl
from prompts.clip import Clip
from prompts.errors import PromptError
from prompts.remote import is_url
from prompts.store import PromptStore

__all__ = (
    "REPLY_KIND",
    "FormClips",
    "FormContext",
    "FormProgram",
    "FormPrompts",
    "check_forms",
    "order_of",
    "tell_interrupted",
)

log = logging.getLogger("engine.form")

REPLY_KIND = "form"
"What a form's payments are called among those whose end is told after a crash (``engine.payments``)."
_ENDS = frozenset({Step.COMPLETED, Step.FAILED, Step.CANCELED})


class FormPrompts:
    """Clips for every prompt of every form, rendered before the first call; the digits of a payment as they come."""

    def __init__(self, store: PromptStore, *, default_locale: str) -> None:
        self._store = store
        self._default_locale = default_locale
        self._custom: dict[tuple[str, str], Clip] = {}

    async def prepare(self, forms: Mapping[str, FormConfig]) -> None:
        """Check the forms' orders and render what they say or play; raise ``ConfigError`` that names the form."""
        for name, form in forms.items():
            _checked_order(name, form)
            locale = form.language or self._default_locale
            for index, prompt in enumerate(form.prompts):
                try:
                    self._custom[(locale, prompt.say or prompt.play)] = await self._render(form, prompt, locale)
                except PromptError as error:
                    raise ConfigError(str(error), where=f"form.{name}.prompt[{index}]", remedy=error.remedy) from None
            try:
                warning = await self._store.prepare(locale)
            except PromptError as error:
                raise ConfigError(str(error), where=f"form.{name}.language", remedy=error.remedy) from None
            if warning:
                log.warning(warning, extra=fields(form=name))
            if form.confirm:
                try:
                    # The first caller who confirms shall not wait for the synthesiser to start, or find out it cannot.
                    await self._store.start()
                except PromptError as error:
                    raise ConfigError(str(error), where=f"form.{name}.confirm", remedy=error.remedy) from None

    async def _render(self, form: FormConfig, prompt: FormPrompt, locale: str) -> Clip:
        if prompt.say:
            return await self._store.speech(prompt.say, locale=locale, voice=form.voice)
        return await self._store.file(prompt.play)

    def clips(self, language: str) -> FormClips:
        """Return the prompts in one language; empty: the default one."""
        return FormClips(self._store, self._custom, language or self._default_locale)


class FormClips:
    """``payment_run.Clips`` of one language."""

    def __init__(self, store: PromptStore, custom: Mapping[tuple[str, str], Clip], locale: str) -> None:
        self._store = store
        self._custom = custom
        self._locale = locale

    def ready(self, action: Action) -> Clip | None:
        """Return the clip of an action; None for digits, which are said as they come and kept nowhere."""
        match action:
            case Say():
                return self._custom[(self._locale, action.text)]
            case PlayFile():
                # Of the web what was fetched last; a copy that is no longer fresh is fetched again.
                return (
                    self._store.at_hand(action.url) if is_url(action.url) else self._custom[(self._locale, action.url)]
                )
            case Silence():
                return None  # the configuration has no word for it
            case DefaultPrompt():
                return None if action.digits else self._store.default(action.key, self._locale)

    async def render(self, action: Action) -> Clip:
        """Return the clip of a prompt with digits in it, or of a file from the web; raise ``PromptError``."""
        if isinstance(action, PlayFile):
            return await self._store.file(action.url)
        if not isinstance(action, DefaultPrompt):
            raise PromptError("only what the engine says by itself is said as it comes")
        return await self._store.prompt(action.key, self._locale, digits=action.digits)


# What an order calls its fields, where a form has another name.
_KEYS = {
    "max_attempts": "retries",
    "valid_card_types": "card_types",
    "mask_char": "mask",
    "prompts": "prompt",
}
# Which key asks for what a connector does not do, by the number of `dialects.md` §4.4.
_REFUSED_FOR = {
    64003: "amount",
    64005: "amount",
    64006: "token_type",
    64007: "amount",
    64011: "currency",
    64013: "method",
}


def check_forms(forms: Mapping[str, FormConfig], connectors: Mapping[str, Connector]) -> None:
    """Raise ``ConfigError`` for a form whose payments could not be taken, naming its key.

    Either its order is wrong in itself, or its connector does not take such payments.
    """
    for name, form in forms.items():
        order = _checked_order(name, form)
        connector = connectors.get(form.connector)
        refusal = check(connector.capabilities, order) if connector is not None else None
        if refusal is not None:
            key = _REFUSED_FOR.get(refusal.pay_error_code, "connector")
            remedy = f"name a connector that does, instead of {form.connector!r}"
            raise ConfigError(refusal.message, where=f"form.{name}.{key}", remedy=remedy)


def _checked_order(name: str, form: FormConfig) -> PayOrder:
    try:
        return order_of(form)
    except OrderError as error:
        where = f"form.{name}.{_KEYS.get(error.field, error.field)}"
        raise ConfigError(error.reason, where=where, remedy="see docs/forms.md") from None


def order_of(form: FormConfig) -> PayOrder:
    """Return the pay machine's order for a form; raise ``OrderError`` that names a wrong field."""
    order = PayOrder(
        amount=form.amount,
        currency=form.currency,
        method=form.method,
        bank_account_type=form.bank_account_type,
        security_code=form.security_code,
        postal_code=form.postal_code,
        min_postal_code_length=form.min_postal_code_length,
        timeout_s=form.timeout_s,
        first_digit_timeout_s=form.first_digit_timeout_s,
        max_attempts=form.retries,
        retry_rule=RetryRule(form.retry_rule),
        decline_restarts=form.decline_restarts,
        valid_card_types=form.card_types,
        token_type=form.token_type,
        description=form.description,
        parameters=form.parameters,
        language=form.language,
        voice=form.voice,
        mask_char=form.mask,
        mask_style=form.mask_style,
        matching=frozenset(Step(step) for step in form.matching),
        confirm=form.confirm,
        prompts=tuple(_rule(prompt) for prompt in form.prompts),
    )
    for step in sorted(order.matching):
        if step not in order.steps:
            raise OrderError("matching", f"{step} is not asked by this form")
    return order


def _rule(prompt: FormPrompt) -> PromptRule:
    action: Action = Say(prompt.say) if prompt.say else PlayFile(prompt.play)
    return PromptRule(
        step=prompt.step,
        actions=(action,),
        attempts=prompt.attempts,
        card_types=prompt.card_types,
        error_types=prompt.errors,
        matching=prompt.matching,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class FormContext:
    """What the programs of an engine share."""

    prompts: FormPrompts
    payments: PaymentContext
    outbox: Outbox
    today: Callable[[], date]


class FormProgram:
    """One payment on one call, from the ACK to the result."""

    def __init__(self, form_name: str, form: FormConfig, call: CallControl, context: FormContext) -> None:
        order = order_of(form)
        call_id = call.facts.call_id
        self.label = form_name
        self._call: CallControl = weakref.proxy(call)  # the call keeps its program, and not the other way round
        self._run = PaymentRun(
            PayMachine(order, today=context.today, transaction_id=lambda: str(uuid.uuid4())),
            order,
            call_id=call_id,
            label=form_name,
            connector=form.connector,
            speaker=call,
            clips=context.prompts.clips(form.language),
            context=context.payments,
            guard=call.guard,
            on_status=partial(_post_status, form, call_id, context.outbox) if form.status_url else _tell_nobody,
            on_result=self._finished,
            direction=call.facts.direction,
            reply_to=_reply_to(form),
        )

    def offered(self, now: float) -> None:
        """Answer a call in at once."""
        self._call.answer()

    def start(self, now: float) -> None:
        """Begin: the caller can hear us."""
        # All of a form is a payment: whoever records the call gets nothing of it (D-28).
        self._call.hold_recording()
        self._run.start(now)

    def digit(self, code: int, now: float) -> None:
        """Take a key (RFC 4733 event code); what comes before the start is kept as type-ahead."""
        self._run.digit(code, now)

    def digit_ended(self, now: float) -> None:
        """Note that a key was let go."""

    def count_digit(self, source: str) -> None:
        """Count a key by where it came from, for the transcript."""
        self._run.count_digit(source)

    def play_finished(self, token: int, interrupted_by_digit: bool, now: float) -> None:
        """A prompt of ours is over."""
        self._run.play_finished(token, interrupted_by_digit, now)

    def hang_up(self, now: float) -> None:
        """The caller is gone, or the call ends for another reason."""
        self._run.hang_up(now)

    async def done(self) -> None:
        """Wait until the result is in and everything about it is written."""
        await self._run.done()

    def _finished(self, run: PaymentRun, result: PayResult) -> None:
        self._call.hang_up("")


def _tell_nobody(run: PaymentRun, status: PayStatus) -> None:
    """A form without a status_url."""


def _reply_to(form: FormConfig) -> dict[str, str] | None:
    """Return what is kept with an open payment, so that its end can be told after a crash."""
    if not form.status_url:
        return None
    return {
        "kind": REPLY_KIND,
        "url": form.status_url,
        "key_env": form.status_key_env,
        "allow_insecure": "yes" if form.allow_insecure else "",
        "account_type": form.bank_account_type,
    }


async def tell_interrupted(payment: InterruptedPayment, outbox: Outbox) -> None:
    """Put in the webhook with the end of a payment that a crash interrupted, unless it was told; ``LedgerError``."""
    paid = payment.result == "success"
    told = _announced_in(payment.last_webhook)
    if told == Step.COMPLETED or (told in (Step.FAILED, Step.CANCELED) and not paid):
        return
    reply = payment.reply_to
    status = PayStatus(
        step=Step.COMPLETED if paid else Step.FAILED,
        payment_method=PaymentMethod(payment.method),
        card_number=payment.card_number,
        card_type=payment.card_type,
    )
    body = _status_body(status, reply["url"], reply["account_type"], payment.payment_id, payment.call_id)
    await outbox.enqueue(
        session=payment.payment_id,
        url=reply["url"],
        body=body,
        key_env=reply["key_env"],
        policy=WebhookPolicy.RESULT,
        allow_insecure=bool(reply["allow_insecure"]),
    )


def _announced_in(body: bytes) -> str:
    """Return which step a status webhook tells of; empty when it is none of ours."""
    try:
        return str(json.loads(body)["params"]["for"])
    except (ValueError, KeyError, TypeError):
        return ""


def _post_status(form: FormConfig, call_id: str, outbox: Outbox, run: PaymentRun, status: PayStatus) -> None:
    body = _status_body(status, form.status_url, form.bank_account_type, run.payment_id, call_id)
    policy = WebhookPolicy.RESULT if status.step in _ENDS else WebhookPolicy.STATUS
    run.then(
        lambda: outbox.enqueue(
            session=run.payment_id,
            url=form.status_url,
            body=body,
            key_env=form.status_key_env,
            policy=policy,
            allow_insecure=form.allow_insecure,
        )
    )


def _status_body(status: PayStatus, url: str, account_type: str, payment_id: str, call_id: str) -> bytes:
    """Return the JSON of `dialects.md` §3.4 for one status; SWML knows no bank debits, so their members are our own."""
    bank = {
        "bank_routing_number": status.routing_number,
        "bank_account_number": status.account_number,
        "bank_account_type": account_type,
    }
    return json.dumps(
        {
            "event_type": "calling.call.pay",
            "event_channel": f"swml:{call_id}",
            "timestamp": time.time(),
            "project_id": "",
            "space_id": "",
            "params": {
                "status_url": url,
                "status_url_method": "POST",
                "for": str(status.step),
                "error_type": str(status.error_type),
                "payment_method": str(status.payment_method),
                "payment_card_number": status.card_number,
                "payment_card_type": status.card_type,
                "security_code": status.security_code,
                "expiration_date": status.expiration_date,
                "payment_card_postal_code": status.postal_code,
                **(bank if status.payment_method is PaymentMethod.ACH_DEBIT else {}),
                "control_id": payment_id,
                "call_id": call_id,
                "node_id": "",
            },
        }
    ).encode()
