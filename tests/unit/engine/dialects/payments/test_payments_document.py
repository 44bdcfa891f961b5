"""`docs/twilio-payments.md` says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from engine.dialects.payments import CAPTURES, RequestSettings, read_create, refusals
from engine.dialects.payments.callbacks import _BANK, _CARD
from engine.dialects.payments.requests import _FIELDS
from engine.pay.capture import RefusalReason
from engine.pay.fields import ErrorType, Step, field_of
from engine.pay.results import Result
from engine.pay.rules import RULES, Dialect
from engine.programs.capture import KEPT
from engine.programs.cover import RUN_ON_S, TAIL_S

TEXT = (Path(__file__).parents[5] / "docs" / "twilio-payments.md").read_text()
RULE = RULES[Dialect.PAYMENTS]


def section(title: str) -> str:
    return TEXT.split(f"\n## {title}\n")[1].split("\n## ")[0]


def rows(title: str) -> dict[str, list[str]]:
    lines = [line for line in section(title).splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {name: row[1:] for row in cells for name in re.findall(r"`(\w+)`", row[0])}


def test_every_parameter_is_in_the_table_with_its_default() -> None:
    table = rows("Create")
    assert table.keys() == {*_FIELDS, "IdempotencyKey", "StatusCallback", "PaymentConnector", "Input"}
    pairs = [("IdempotencyKey", "k"), ("StatusCallback", "https://h/")]
    order = read_create(pairs, RequestSettings()).order
    for name, field in _FIELDS.items():
        default = table[name][0].strip("`")
        value = getattr(order, field)
        if default != "none":
            assert default.lower() == (
                " ".join(value)
                if isinstance(value, tuple)
                else f"{value:g}".lower()
                if isinstance(value, float)
                else str(value).lower()
            ), name
        else:
            assert not value, name


def test_every_capture_error_result_and_value_is_named() -> None:
    update, told = section("Update"), section("What is told")
    for name in CAPTURES:
        assert name.removesuffix("-matcher") in update
    errors = {RULE.error_name(ErrorType.TIMEOUT), str(ErrorType.MATCHING_FAILED), str(ErrorType.CAPTURE_SEQUENCE)}
    for name in CAPTURES[:6]:
        spec = field_of(Step(name))
        errors |= {str(spec.error), *map(str, spec.also)}
    assert errors <= set(re.findall(r"`([\w-]+)`", told))
    ends = {Result.SUCCESS, Result.PAYMENT_CONNECTOR_ERROR, Result.CANCELED, Result.INTERNAL_ERROR}
    for result in (*ends, Result.CALLER_HUNG_UP, Result.CALLER_INTERRUPTED_WITH_STAR):
        assert f"`{RULE.result_name(result)}`" in told
    for name in (*_CARD, *_BANK):
        assert f"`{name}`" in told


def test_every_refusal_is_in_the_table() -> None:
    table = section("Refusals")
    known = [refusals._REASONS[reason][:2] for reason in RefusalReason]
    makers = (refusals.call_is_over, refusals.call_not_found, refusals.line_not_covered, refusals.no_connector)
    for made in (*(make() for make in makers), refusals.session_in_progress(), refusals.session_not_found()):
        known.append((made.code, made.status))
    for code, status in known:
        assert re.search(rf"^\| {status} \| {int(code)}\b", table, re.MULTILINE), (code, status)
    for code in {*RULE.codes.values(), *RULE.operation_codes.values(), 64018}:
        assert str(code) in table


def test_the_figures_are_those_of_the_code() -> None:
    heard = section("What the others hear")
    assert f"- {TAIL_S:g} s after that" in heard
    assert f"- {RUN_ON_S:g} s after an entry" in heard
    assert f"the last {KEPT} of a call" in section("Again")
