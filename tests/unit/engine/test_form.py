"""The built-in form: what its settings mean, which are refused and how, and its prompts."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, cast

import pytest

from engine.charging import Charging
from engine.config import FormConfig, parse
from engine.connectors.protocol import Capabilities, Connector
from engine.errors import ConfigError
from engine.form import FormClips, FormContext, FormProgram, FormPrompts, check_forms, order_of
from engine.ledger import Ledger
from engine.outbox import Outbox
from engine.pay.fields import ErrorType, Step
from engine.pay.order import RetryRule
from engine.pay.prompt_rules import DefaultPrompt, PlayFile, PromptRule, Say
from engine.pay.submission import ConnectorAnswer, Operation, Outcome, PaymentMethod, Submission, TokenType
from engine.payment_run import PaymentContext
from prompts.clip import Clip
from prompts.errors import PromptError, SynthesisError
from prompts.store import PromptStore
from tests.support.call_control import FakeCall

CODES = {**{str(digit): digit for digit in range(10)}, "*": 10, "#": 11}
ROUTING, ACCOUNT = "021000021", "000123456789"


def form_of(text: str) -> FormConfig:
    """Return the form in the lines of a [form.x] table."""
    return parse(f'[connector.sandbox]\ntype = "sandbox"\n[form.x]\n{text}\n').forms["x"]


class FakeConnector:
    def __init__(self, capabilities: Capabilities) -> None:
        self.capabilities = capabilities


def connectors_of(**capabilities: Any) -> dict[str, Connector]:
    return {"sandbox": cast("Connector", FakeConnector(Capabilities(**capabilities)))}


class TestSettings:
    def test_a_bank_debit_that_is_keyed_twice_and_confirmed(self) -> None:
        order = order_of(
            form_of(
                'amount = "80.00"\nmethod = "ach-debit"\nbank_account_type = "commercial-savings"\n'
                'matching = ["bank-account-number"]\nconfirm = true'
            )
        )
        assert (order.method, order.bank_account_type) == ("ach-debit", "commercial-savings")
        assert order.matching == {Step.ACCOUNT_NUMBER}
        assert order.confirm
        assert order.steps == (Step.ROUTING_NUMBER, Step.ACCOUNT_NUMBER)

    def test_every_other_key(self) -> None:
        order = order_of(
            form_of(
                'retries = 3\nretry_rule = "tries"\ndecline_restarts = false\nfirst_digit_timeout_s = 9\n'
                'mask = "x"\nmask_style = "dashed"\ntoken_type = "payment-method"'
            )
        )
        assert (order.max_attempts, order.retry_rule, order.prompts_per_step) == (3, RetryRule.TRIES, 3)
        assert not order.decline_restarts
        assert (order.first_digit_timeout_s, order.mask_char, order.mask_style) == (9.0, "x", "dashed")
        assert order.token_type == TokenType.PAYMENT_METHOD

    def test_without_a_word_it_is_a_card_that_is_saved(self) -> None:
        order = order_of(form_of(""))
        assert order.operation is Operation.TOKENIZE
        assert (order.method, order.matching, order.confirm) == ("credit-card", frozenset(), False)

    def test_prompts_for_bank_steps_and_second_entries(self) -> None:
        form = form_of(
            'method = "ach-debit"\n[[form.x.prompt]]\nfor = "bank-account-number"\nmatching = true\nsay = "Once more."'
        )
        assert order_of(form).prompts == (
            PromptRule(step="bank-account-number", actions=(Say("Once more."),), matching=True),
        )

    @pytest.mark.parametrize(
        ("text", "line", "key", "says"),
        [
            ('bank_account_type = "consumer-savings"', 3, "form.x", "ach-debit"),
            ('method = "cash"', 4, "form.x.method", "'credit-card' or 'ach-debit'"),
            ('matching = ["payment-failed"]', 4, "form.x.matching[0]", "payment-card-number"),
            ('retry_rule = "twice"', 4, "form.x.retry_rule", "'retries' or 'tries'"),
            ('token_type = "wallet"', 4, "form.x.token_type", "payment-method"),
            ('[[form.x.prompt]]\nfor = "postal-code"\nsay = "?"\nerrors = ["wrong"]', 7, "errors[0]", "invalid-date"),
            ('[[form.x.prompt]]\nfor = "postal-code"\nsay = "?"\nattempts = [0]', 7, "attempts[0]", "1"),
        ],
    )
    def test_a_wrong_word_is_refused_with_its_line(self, text: str, line: int, key: str, says: str) -> None:
        with pytest.raises(ConfigError) as caught:
            form_of(text)
        assert str(caught.value).startswith(f"configuration:{line}: ")
        assert key in str(caught.value)
        assert says in str(caught.value)

    def test_the_errors_that_a_prompt_may_name_are_those_of_the_machine(self) -> None:
        names = [str(error) for error in ErrorType]
        names.remove("internal-error")  # nothing is asked again after these
        names.remove("session-in-progress")
        names.remove("invalid-bank-account-type")
        names.remove("invalid-card-number-security-code-capture-sequence")
        for name in (*names, "input-timeout"):
            form = form_of(f'[[form.x.prompt]]\nfor = "postal-code"\nsay = "?"\nerrors = ["{name}"]')
            assert form.prompts[0].errors == (name,)


class TestCheck:
    @pytest.mark.parametrize(
        ("text", "key", "says"),
        [
            ('amount = "-1.00"', "amount", "plain decimal"),
            ('amount = "1.005"', "amount", "decimals of usd"),
            ('amount = "1000000"', "amount", "1,000,000"),
            ('amount = "1.00"\ncurrency = "xyz"', "currency", "ISO 4217"),
            ('card_types = ["visa", "cash"]', "card_types", "no such card type"),
            ('mask = "xx"', "mask", "one character"),
            ('mask = "0"', "mask", "no digit"),
            ('matching = ["bank-account-number"]', "matching", "not asked"),
            ('method = "ach-debit"\nmatching = ["payment-card-number"]', "matching", "not asked"),
            ("postal_code = false\nmatching = ['postal-code']", "matching", "not asked"),
        ],
    )
    def test_an_order_that_is_wrong_names_the_forms_key(self, text: str, key: str, says: str) -> None:
        with pytest.raises(ConfigError, match=says) as caught:
            check_forms({"x": form_of(text)}, {})
        assert caught.value.where == f"form.x.{key}"
        assert caught.value.remedy

    @pytest.mark.parametrize(
        ("text", "capabilities", "key"),
        [
            ('method = "ach-debit"', {}, "method"),
            ("", {"operations": frozenset({Operation.CHARGE})}, "amount"),
            ('amount = "1.00"', {"operations": frozenset({Operation.TOKENIZE})}, "amount"),
            ('token_type = "payment-method"', {}, "token_type"),
            ('amount = "1.00"\ncurrency = "EUR"', {"currencies": frozenset({"usd"})}, "currency"),
        ],
    )
    def test_what_the_connector_does_not_take_is_refused(
        self, text: str, capabilities: dict[str, Any], key: str
    ) -> None:
        with pytest.raises(ConfigError) as caught:
            check_forms({"x": form_of(text)}, connectors_of(**capabilities))
        assert caught.value.where == f"form.x.{key}"
        assert "'sandbox'" in caught.value.remedy

    def test_what_it_takes_is_taken(self) -> None:
        forms = {"x": form_of('method = "ach-debit"\namount = "1.00"')}
        check_forms(forms, connectors_of(methods=frozenset(PaymentMethod)))

    def test_the_shipped_configurations_pass(self) -> None:
        text = (Path(__file__).parents[3] / "examples" / "paytone.toml").read_text(encoding="utf-8")
        every = Capabilities(methods=frozenset(PaymentMethod), token_types=frozenset(TokenType))
        connectors = dict.fromkeys(parse(text).connectors, cast("Connector", FakeConnector(every)))
        check_forms(parse(text).forms, connectors)


class FakeStore:
    """A prompt store that says everything with its name."""

    def __init__(self) -> None:
        self.started = 0
        self.error: PromptError | None = None
        self.said: list[tuple[str, str, dict[str, str]]] = []

    async def start(self) -> None:
        self.started += 1
        if self.error is not None:
            raise self.error

    async def prepare(self, locale: str) -> str:
        return f"{locale} is spoken in English" if locale == "xx" else ""

    async def speech(self, text: str, *, locale: str, voice: str) -> Clip:
        return clip_of(f"{locale} {text}")

    async def file(self, source: str) -> Clip:
        return clip_of(Path(source).name)

    def default(self, key: str, locale: str) -> Clip:
        return clip_of(f"{locale} {key}")

    async def prompt(self, key: str, locale: str, *, voice: str = "", **placeholders: str) -> Clip:
        self.said.append((key, locale, placeholders))
        return clip_of(f"{locale} {key}")


def clip_of(name: str) -> Clip:
    return Clip(name=name, pcmu=b"\xff" * 80, pcma=b"\xd5" * 80)


@pytest.mark.asyncio
class TestPrompts:
    async def prepared(self, form: FormConfig, store: FakeStore | None = None) -> FormClips:
        prompts = FormPrompts(cast("PromptStore", store or FakeStore()), default_locale="en-US")
        await prompts.prepare({"x": form})
        return prompts.clips(form.language)

    async def test_custom_and_default_prompts_are_ready_in_the_forms_language(self) -> None:
        form = form_of(
            'language = "de-DE"\n[[form.x.prompt]]\nfor = "postal-code"\nsay = "PLZ?"\n'
            '[[form.x.prompt]]\nfor = "payment-failed"\nplay = "/x/failed.wav"'
        )
        clips = await self.prepared(form)
        actions = (Say("PLZ?"), PlayFile("/x/failed.wav"), DefaultPrompt("postal-code"))
        found = [clips.ready(action) for action in actions]
        assert [clip.name for clip in found if clip] == ["de-DE PLZ?", "failed.wav", "de-DE postal-code"]

    async def test_digits_are_said_as_they_come(self) -> None:
        store = FakeStore()
        clips = await self.prepared(form_of("confirm = true"), store)
        digits = DefaultPrompt("confirm-last-four", digits="4242")
        assert clips.ready(digits) is None
        assert store.said == []
        await clips.render(digits)
        assert store.said == [("confirm-last-four", "en-US", {"digits": "4242"})]
        with pytest.raises(PromptError):
            await clips.render(Say("anything else"))

    async def test_a_form_that_confirms_has_its_synthesiser_ready_or_is_refused(self) -> None:
        store = FakeStore()
        await self.prepared(form_of(""), store)
        assert store.started == 0
        await self.prepared(form_of("confirm = true"), store)
        assert store.started == 1
        store.error = SynthesisError("espeak-ng is not there", remedy="apt install espeak-ng")
        with pytest.raises(ConfigError) as caught:
            await self.prepared(form_of("confirm = true"), store)
        assert (caught.value.where, caught.value.remedy) == ("form.x.confirm", "apt install espeak-ng")

    @pytest.mark.parametrize(
        ("what", "where"),
        [("file", "form.x.prompt[1]"), ("speech", "form.x.prompt[0]"), ("prepare", "form.x.language")],
    )
    async def test_prompts_that_cannot_be_had_are_named(
        self, monkeypatch: pytest.MonkeyPatch, what: str, where: str
    ) -> None:
        async def fail(*arguments: object, **options: object) -> None:
            raise PromptError("cannot be had", remedy="look there")

        store = FakeStore()
        monkeypatch.setattr(store, what, fail)
        form = form_of(
            '[[form.x.prompt]]\nfor = "postal-code"\nsay = "?"\n'
            '[[form.x.prompt]]\nfor = "payment-failed"\nplay = "/x/failed.wav"'
        )
        with pytest.raises(ConfigError, match="cannot be had") as caught:
            await self.prepared(form, store)
        assert (caught.value.where, caught.value.remedy) == (where, "look there")

    async def test_a_language_without_texts_is_warned_of(self, caplog: pytest.LogCaptureFixture) -> None:
        await self.prepared(form_of('language = "xx"'))
        assert "xx is spoken in English" in caplog.text


class FakeServices:
    """Ledger, charging and outbox in one."""

    def __init__(self) -> None:
        self.submissions: list[Submission] = []
        self.bodies: list[dict[str, Any]] = []
        self.rows: list[dict[str, Any]] = []

    async def start_payment(self, payment_id: str, **values: Any) -> None:
        self.rows.append(values)

    async def finish_payment(self, payment_id: str, **values: Any) -> None:
        self.rows.append(values)

    async def charge(self, payment_id: str, submission: Submission, connector_name: str) -> ConnectorAnswer:
        self.submissions.append(replace(submission))
        return ConnectorAnswer(outcome=Outcome.SUCCEEDED, charge_id="ch_1")

    async def enqueue(self, *, body: bytes, **values: Any) -> None:
        self.bodies.append(json.loads(body)["params"])


@pytest.mark.asyncio
async def test_a_bank_debit_from_the_first_prompt_to_the_end_of_the_call() -> None:
    form = form_of(
        'amount = "80.00"\nmethod = "ach-debit"\nmatching = ["bank-account-number"]\nconfirm = true\n'
        'status_url = "https://shop.example/status"'
    )
    services, call, store, loop = FakeServices(), FakeCall(), FakeStore(), asyncio.get_running_loop()
    prompts = FormPrompts(cast("PromptStore", store), default_locale="en-US")
    await prompts.prepare({"x": form})
    program = FormProgram(
        "x",
        form,
        call,
        FormContext(
            prompts=prompts,
            payments=PaymentContext(
                charging=cast("Charging", services),
                ledger=cast("Ledger", services),
                notify=lambda event: None,
                now=loop.time,
            ),
            outbox=cast("Outbox", services),
            today=lambda: date(2026, 11, 21),
        ),
    )

    def keys(text: str) -> None:
        for char in text:
            program.count_digit("telephone-event")
            program.digit(CODES[char], loop.time())

    async def heard(name: str) -> None:
        async with asyncio.timeout(10):
            while not (call.heard and call.heard[-1][0] == f"en-US {name}"):
                await asyncio.sleep(0)

    program.start(loop.time())
    assert call.recording_holds == 1, "whoever records the call gets no key of it"
    keys(ROUTING)
    keys(ACCOUNT + "#")
    keys(ACCOUNT + "#")
    await heard("confirm-last-four")
    assert store.said[0][2] == {"digits": "89"}
    keys("1")
    await heard("payment-processing")
    program.play_finished(call.tokens[-1], False, loop.time())
    await heard("payment-completed")
    program.play_finished(call.tokens[-1], False, loop.time())
    await program.done()

    assert call.times_hung_up == 1
    (submission,) = services.submissions
    assert (submission.routing_number, submission.account_type) == (ROUTING, "consumer-checking")
    assert [body["for"] for body in services.bodies if not body["error_type"]] == [
        "bank-routing-number",
        "bank-account-number",
        "bank-account-number",
        "payment-processing",
        "payment-completed",
    ]
    last = services.bodies[-1]
    assert (last["bank_account_number"], last["bank_account_type"]) == ("*" * 10 + "89", "consumer-checking")
    assert (services.rows[0]["method"], services.rows[-1]["result"]) == ("ach-debit", "success")
