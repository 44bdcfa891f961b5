"""The built-in payment form: carries out on a call what the pay machine wants.

The machine (``engine.pay.machine``) decides; this file plays its prompts, sends its submission through ``Charging``,
turns its status into webhooks (in SWML's form), and hands keys, finished prompts, answers and time to it. What has to
be written to the ledger is written by one task per program, in order, so that no webhook overtakes the one before it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
import uuid
import weakref
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Protocol

from engine.charging import Charging
from engine.config import FormConfig, FormPrompt
from engine.errors import ConfigError, LedgerError
from engine.events import (
    EngineEvent,
    EntryProgress,
    PaymentFinished,
    PaymentSubmitted,
    PromptFinished,
    PromptStarted,
)
from engine.ledger import Ledger
from engine.log import fields
from engine.metrics import CONNECTOR_SECONDS, PAYMENTS
from engine.outbox import Outbox
from engine.pay.errors import OrderError
from engine.pay.machine import EmitStatus, Finish, PayMachine, Play, StopPlaying, Submit
from engine.pay.order import PayOrder
from engine.pay.prompt_rules import Action, DefaultPrompt, PlayFile, PromptRule, Say
from engine.pay.results import PayResult, PayStatus
from engine.pay.submission import ConnectorAnswer, Operation, Outcome, Submission
from prompts.clip import Clip
from prompts.errors import PromptError
from prompts.store import PromptStore

__all__ = ("FormContext", "FormProgram", "FormPrompts", "Speaker", "order_of")

log = logging.getLogger("engine.form")


class Speaker(Protocol):
    """What a program may ask of its call."""

    def play(self, clips: list[Clip], token: int, *, interruptible: bool) -> None:
        """Play clips in order; ``play_finished`` of the program follows once."""

    def stop_playing(self) -> None:
        """Stop what plays."""

    def program_finished(self) -> None:
        """The program is over: end the call."""


class FormPrompts:
    """Clips for every prompt of every form, rendered before the first call."""

    def __init__(self, store: PromptStore, *, default_locale: str) -> None:
        self._store = store
        self._default_locale = default_locale
        self._custom: dict[tuple[str, str], Clip] = {}

    async def prepare(self, forms: Mapping[str, FormConfig]) -> None:
        """Check the forms' orders and render what they say or play; raise ``ConfigError`` that names the form."""
        for name, form in forms.items():
            try:
                order_of(form)
            except OrderError as error:
                raise ConfigError(error.reason, where=f"form.{name}.{error.field}") from None
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

    async def _render(self, form: FormConfig, prompt: FormPrompt, locale: str) -> Clip:
        if prompt.say:
            return await self._store.speech(prompt.say, locale=locale, voice=form.voice)
        return await self._store.file(Path(prompt.play))

    def clip(self, action: Action, language: str) -> Clip:
        """Return the clip of one action; every one was rendered by ``prepare``."""
        locale = language or self._default_locale
        match action:
            case Say():
                return self._custom[(locale, action.text)]
            case PlayFile():
                return self._custom[(locale, action.url)]
            case DefaultPrompt():
                return self._store.default(action.key, locale)


def order_of(form: FormConfig) -> PayOrder:
    """Return the pay machine's order for a form; raise ``PayError`` that names a wrong field."""
    return PayOrder(
        amount=form.amount,
        currency=form.currency,
        security_code=form.security_code,
        postal_code=form.postal_code,
        min_postal_code_length=form.min_postal_code_length,
        timeout_s=form.timeout_s,
        max_attempts=form.retries,
        valid_card_types=form.card_types,
        token_type=form.token_type,
        description=form.description,
        parameters=form.parameters,
        language=form.language,
        voice=form.voice,
        prompts=tuple(_rule(prompt) for prompt in form.prompts),
    )


def _rule(prompt: FormPrompt) -> PromptRule:
    action: Action = Say(prompt.say) if prompt.say else PlayFile(prompt.play)
    return PromptRule(
        step=prompt.step,
        actions=(action,),
        attempts=prompt.attempts,
        card_types=prompt.card_types,
        error_types=prompt.errors,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class FormContext:
    """What the programs of an engine share."""

    prompts: FormPrompts
    charging: Charging
    ledger: Ledger
    outbox: Outbox
    notify: Callable[[EngineEvent], None]
    now: Callable[[], float]
    today: Callable[[], date]


class FormProgram:
    """One payment on one call, from the ACK to the result."""

    def __init__(self, call_id: str, form_name: str, form: FormConfig, speaker: Speaker, context: FormContext) -> None:
        self._call_id = call_id
        self._form_name = form_name
        self._form = form
        # The call keeps its program, and not the other way round: nothing of a call, least of all what was keyed, shall
        # wait in memory for the garbage collector.
        self._speaker: Speaker = weakref.proxy(speaker)
        self._context = context
        self._order = order_of(form)
        self._machine = PayMachine(self._order, today=context.today, transaction_id=lambda: str(uuid.uuid4()))
        self._payment_id = uuid.uuid4().hex
        self._steps: dict[int, str] = {}
        self._digits: Counter[str] = Counter()
        self._timer: asyncio.TimerHandle | None = None
        self._started = False
        self._jobs: asyncio.Queue[Callable[[], Awaitable[None]] | None] = asyncio.Queue()
        self._worker: asyncio.Task[None] | None = None

    # -- inputs --------------------------------------------------------------------------------------------------

    def start(self, now: float) -> None:
        """Begin: the caller can hear us."""
        self._started = True
        self._worker = asyncio.get_running_loop().create_task(self._work())
        self._jobs.put_nowait(self._record_payment)
        self._machine.start(now)
        self._carry_out()

    def digit(self, code: int, now: float) -> None:
        """Take a key (RFC 4733 event code)."""
        self._machine.digit(code, now)
        self._carry_out()

    def count_digit(self, source: str) -> None:
        """Count a key by where it came from, for the transcript."""
        self._digits[str(source)] += 1

    def play_finished(self, token: int, interrupted_by_digit: bool, now: float) -> None:
        """A prompt of ours is over."""
        step = self._steps.pop(token, None)
        if step is None:
            return
        self._context.notify(PromptFinished(call_id=self._call_id, step=step, barged_in=interrupted_by_digit))
        self._machine.prompt_finished(token, now)
        self._carry_out()

    def hang_up(self, now: float) -> None:
        """The caller is gone, or the call ends for another reason."""
        self._machine.hang_up(now)
        if self._started:
            self._carry_out()

    async def done(self) -> None:
        """Wait until the result is in and everything about it is written."""
        if self._worker is not None:
            await self._worker

    # -- the machine's commands ----------------------------------------------------------------------------------

    def _carry_out(self) -> None:
        while (command := self._machine.next_command()) is not None:
            match command:
                case Play():
                    self._play(command)
                case StopPlaying():
                    self._speaker.stop_playing()
                case Submit():
                    self._submit(command.submission)
                case EmitStatus():
                    self._status(command.status)
                case Finish():
                    self._finish(command.result)
        self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self._machine.next_timer()
        if due is not None:
            self._timer = asyncio.get_running_loop().call_at(due, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._machine.handle_timer(self._context.now())
        self._carry_out()

    def _play(self, command: Play) -> None:
        clips = [self._context.prompts.clip(action, self._form.language) for action in command.actions]
        self._steps[command.token] = str(command.step)
        log.debug("prompt", extra=fields(call=self._call_id, step=command.step))
        self._context.notify(
            PromptStarted(
                call_id=self._call_id,
                step=str(command.step),
                names=tuple(clip.name for clip in clips),
                duration_ms=sum(clip.duration_ms for clip in clips),
            )
        )
        self._speaker.play(clips, command.token, interruptible=command.interruptible)

    def _submit(self, submission: Submission) -> None:
        self._context.notify(
            PaymentSubmitted(
                call_id=self._call_id, connector=self._form.connector, transaction_id=submission.transaction_id
            )
        )
        self._jobs.put_nowait(lambda: self._charge(submission))

    async def _charge(self, submission: Submission) -> None:
        began = time.monotonic()
        try:
            answer = await self._context.charging.charge(self._payment_id, submission, self._form.connector)
        except Exception:
            # Charging answers, it does not raise; whatever this is, the caller must not wait for ever.
            log.exception("charging failed", extra=fields(call=self._call_id))
            answer = ConnectorAnswer(outcome=Outcome.UNKNOWN, error_code="internal", error_message="internal error")
        CONNECTOR_SECONDS.labels(connector=self._form.connector).observe(time.monotonic() - began)
        log.info(
            "connector answered",
            extra=fields(call=self._call_id, transaction=submission.transaction_id, outcome=answer.outcome),
        )
        self._machine.connector_answered(answer, self._context.now(), transaction_id=submission.transaction_id)
        self._carry_out()

    def _status(self, status: PayStatus) -> None:
        self._context.notify(
            EntryProgress(
                call_id=self._call_id,
                step=str(status.step),
                error_type=str(status.error_type),
                attempt=status.attempt,
                card_number=status.card_number,
                card_type=status.card_type,
                expiration_date=status.expiration_date,
                security_code=status.security_code,
                postal_code=status.postal_code,
            )
        )
        log.info(
            "payment step",
            extra=fields(call=self._call_id, step=status.step, error=status.error_type, attempt=status.attempt),
        )
        if self._form.status_url:
            body = _status_body(status, self._form.status_url, self._payment_id, self._call_id)
            self._jobs.put_nowait(lambda: self._enqueue(body))

    async def _enqueue(self, body: bytes) -> None:
        try:
            await self._context.outbox.enqueue(
                session=self._payment_id,
                url=self._form.status_url,
                body=body,
                key_env=self._form.status_key_env,
                allow_insecure=self._form.allow_insecure,
            )
        except LedgerError as error:
            log.error("a status could not be queued: %s", error, extra=fields(call=self._call_id))

    def _finish(self, result: PayResult) -> None:
        PAYMENTS.labels(form=self._form_name, result=str(result.result)).inc()
        log.info(
            "payment finished",
            extra=fields(
                call=self._call_id, result=result.result, error=result.payment_error, outcome=result.outcome or "none"
            ),
        )
        self._context.notify(
            PaymentFinished(
                call_id=self._call_id,
                result=str(result.result),
                amount=self._form.amount if self._order.operation is Operation.CHARGE else "",
                currency=self._form.currency,
                card_number=result.card_number,
                card_type=result.card_type,
                charge_id=result.charge_id,
                token_id=result.token_id,
                error=result.payment_error,
                digits_by_source=tuple(sorted(self._digits.items())),
            )
        )
        self._jobs.put_nowait(lambda: self._record_result(result))
        self._jobs.put_nowait(None)
        self._speaker.program_finished()

    # -- what is written, in order -------------------------------------------------------------------------------

    async def _work(self) -> None:
        while (job := await self._jobs.get()) is not None:
            try:
                await job()
            except LedgerError as error:
                log.error("the ledger could not be written: %s", error, extra=fields(call=self._call_id))

    async def _record_payment(self) -> None:
        await self._context.ledger.start_payment(
            self._payment_id,
            call_id=self._call_id,
            form=self._form_name,
            operation=str(self._order.operation),
            amount=self._form.amount,
            currency=self._form.currency,
        )

    async def _record_result(self, result: PayResult) -> None:
        await self._context.ledger.finish_payment(
            self._payment_id,
            result=str(result.result),
            card_type=result.card_type,
            card_number=result.card_number,
            charge_id=result.charge_id,
            token_id=result.token_id,
            error_code=result.payment_error_code,
            error_message=result.payment_error,
        )


def _status_body(status: PayStatus, url: str, payment_id: str, call_id: str) -> bytes:
    """Return the JSON of `dialects.md` §3.4 for one status."""
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
                "control_id": payment_id,
                "call_id": call_id,
                "node_id": "",
            },
        }
    ).encode()
