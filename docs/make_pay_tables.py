"""Write docs/pay.md: what is asked, said and answered in a payment, from the tables that the code runs on.

    PYTHONPATH=. python docs/make_pay_tables.py

A test fails when the file differs from what this writes.
"""

from __future__ import annotations

import math
import runpy
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path

from engine.pay.accounts import MAX_ACCOUNT_DIGITS, MIN_ACCOUNT_DIGITS, ROUTING_DIGITS, mask_account, routing_is_valid
from engine.pay.cards import (
    ALIASES,
    BRANDS,
    CardType,
    MaskStyle,
    accepted_as,
    brand_of,
    is_complete,
    mask_number,
    number_is_valid,
)
from engine.pay.checkout import FIXABLE
from engine.pay.fields import ErrorType, Step, field_of
from engine.pay.order import PayOrder
from engine.pay.prompt_rules import confirm_actions, default_actions
from engine.pay.results import MaskedFields, Result
from engine.pay.rules import OPERATOR_SETTINGS, RULES, Bounds, Dialect, DialectRules, order_for
from engine.pay.submission import Operation, PaymentMethod

PAGE = Path(__file__).parent / "pay.md"
ASKED = tuple(PayOrder().steps) + tuple(PayOrder(method=PaymentMethod.ACH_DEBIT).steps)
ANNOUNCED = (Step.PROCESSING, Step.COMPLETED, Step.FAILED, Step.CANCELED)
NAMES = {
    Dialect.RELAY: "RELAY",
    Dialect.SWML: "SWML",
    Dialect.TWIML: "TwiML",
    Dialect.PAYMENTS: "Payments (REST)",
    Dialect.NCCO: "NCCO",
    Dialect.FORM: "form",
}

# Published for tests by networks and processors; none is anybody's card.
TEST_NUMBERS = (
    *("4111111111111111", "4222222222222", "4000000000000000006", "5555555555554444", "2221000000000009"),
    *("2720990000000007", "2223003122003222", "378282246310005", "6011111111111117", "6221260000000000"),
    *("6229250000000003", "6440000000000005", "36227206271667", "38520000023237", "30569309025904"),
    *("30100000000002", "3566002020360505", "3528000000000007", "3589000000000003", "6771798021000008"),
    *("500000000009", "6200000000000005", "2220990000000002", "2721000000000004", "3527000000000008"),
    *("3590000000000000", "3065930009020004"),
)
TEST_ROUTING_NUMBERS = ("121181976", "021000021", "123456789")

INTRO = """\
# Taking a payment

Generated from the tables in `engine/pay` by `docs/make_pay_tables.py`; change the tables, not this file.

A payment asks for its fields one after the other, has a connector charge or keep them, and says how it ended. Two
machines do this: one asks the caller by itself, one is led by an agent, field by field. Both are pure tables: what
happened and the time go in, what to do comes out. What they share - fields, brands, masks, the attempt at the
connector and its answer - exists once.
"""

KEYS = """\
## Keys

* Digits are collected. `#` ends an entry and is no part of it; alone it is an empty entry, which counts as `timeout`.
  A `#` that follows an entry which had ended by its length belongs to that entry.
* `*` cancels, whatever plays, until the connector is asked. From then on no key counts until it has answered: a payment
  must not be told as canceled and be charged. After a declined card, before the next is asked for, `*` counts again.
* The first key stops the prompt and is the first digit. Keys pressed before they are asked for are kept, over the
  borders of fields; an error drops them, because they were pressed in the belief that all was well.
* An entry ends by its length as soon as no further digit could be valid, else by `#` or by silence.
* Silence is counted from the end of the prompt to the first key, then from key to key. A prompt whose end is never
  reported is taken for over after 300 s.

## Entries that have to match

A step that has to match is keyed twice. The second entry is asked for with the prompts made for it (`reenter-to-match`
by default). What was keyed first is checked first: a wrong card number is not asked for again to match. Then only
sameness counts, compared in constant time.

* Two entries that differ are one failed attempt. `input-matching-failed` is said once, in place of the first prompt,
  and both entries are asked for again: nobody knows which of them was wrong.
* Silence is a failed attempt too, but the first entry was right and stays: only the second is asked for again.
* A second entry does not end at the length of the first. Who left a digit out the first time keys one more the second
  time; ending early would let that pass, which is the very mistake that matching is for.
* Until both are the same, no status shows anything of them. Both are wiped however the payment ends.

## Confirmation

Where confirmation is wanted, the last four digits of the card (the last two of an account) are read back before the
connector is asked. 1 confirms, 2 cancels, `*` cancels as anywhere; these stop the reading. Any other key does nothing:
many callers end the last field with a `#` that is not needed, and it shall neither cut the reading short nor decide.
Keys pressed before the reading began count for nothing. After three readings without 1 or 2, each followed by the
silence of the order, the payment ends as `canceled`; the connector was not asked. A card that is keyed after a decline
is read back like the first.

## Attempts

An entry that is wrong, empty or does not match costs an attempt of its step; each step counts its own. `max_attempts` N
means N retries, N + 1 prompts (setting `retry_rule = "tries"`: N prompts). When they are used up, the payment ends as
`too-many-failed-attempts` and tells the last error. A declined payment costs an attempt too where the dialect asks for
another card: everything is forgotten, the card number is asked for again with the error, and the attempt goes to the
connector under an identity of its own. Where the outcome is unknown nothing is ever asked again.

## Stopped from outside

A hang-up, a stop by the application and a fault of the engine end a payment at once, at any moment, with the words
`caller-hung-up`, `relay-pay-stop` and `internal-error`. Once it was submitted they wait for the connector's answer,
and that answer is the result: money that moved is never told as an error. The secrets are wiped in each case.
"""


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """Return the lines of a Markdown table."""
    head = list(head)
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    return [*lines, *(f"| {' | '.join(row)} |" for row in rows), ""]


def _code(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def _said(step: Step, **situation: object) -> str:
    actions = default_actions(step, **situation)  # type: ignore[arg-type]
    return " → ".join(f"`{action.key}`" for action in actions)


# -- steps -----------------------------------------------------------------------------------------------------------

RIGHT = {
    Step.CARD_NUMBER: "prefix, length and check digit of a brand (below), and the brand is wanted",
    Step.EXPIRATION_DATE: "MMYY, from the current month to 20 years ahead; valid through the last day of its month",
    Step.SECURITY_CODE: "as many digits as the brand has (below)",
    Step.POSTAL_CODE: "digits, at least as many as configured, never none",
    Step.ROUTING_NUMBER: f"{ROUTING_DIGITS} digits, ABA checksum, prefix in use",
    Step.ACCOUNT_NUMBER: f"{MIN_ACCOUNT_DIGITS} to {MAX_ACCOUNT_DIGITS} digits",
}


def _errors_of(step: Step) -> tuple[ErrorType, ...]:
    field = field_of(step)
    return (ErrorType.TIMEOUT, field.error, *field.also)


def steps() -> list[str]:
    """Return what is asked, and what is said about each error."""
    lines = ["## Steps", "", "In the order in which they are asked; which of them are asked the order decides.", ""]
    lines += table(
        ("step", "right when", "at most", "ends by itself", "errors"),
        (
            (
                f"`{step}`",
                RIGHT[step],
                f"{field_of(step).max_digits} digits",
                "no, or by the brand's length"
                if step is Step.CARD_NUMBER
                else "no"
                if field_of(step).open_ended
                else "at its length",
                _code(_errors_of(step)),
            )
            for step in ASKED
        ),
    )
    lines += [
        "## Steps × errors × prompts",
        "",
        "What the caller hears, by the keys of the prompt catalogue, where the application has no prompt of its own",
        "for it. The error comes first, then the step. How to end an entry is said after an error, and only of entries",
        "that do not end by their length: whoever gets it right needs no `#` and is not held up by words about it.",
        "`please-reenter` and `cancel-key` are in the catalogue for prompts of one's own; by default the prompt of the",
        "step, which says what is wanted, is the better reminder. A bank debit that is refused is no declined card: of",
        "it only the step is said.",
        "",
    ]
    rows: list[tuple[str, str, str]] = []
    for step in ASKED:
        rows.append((f"`{step}`", "", _said(step)))
        if step is Step.SECURITY_CODE:
            rows.append((f"`{step}`, amex", "", _said(step, card_type="amex")))
        rows += [(f"`{step}`", f"`{error}`", _said(step, error_type=error)) for error in _errors_of(step)]
        matching = ErrorType.MATCHING_FAILED
        rows.append((f"`{step}`", f"`{matching}`", _said(step, error_type=matching)))
        rows.append((f"`{step}`, second entry", "", _said(step, matching=True)))
        timeout = ErrorType.TIMEOUT
        rows.append((f"`{step}`, second entry", f"`{timeout}`", _said(step, error_type=timeout, matching=True)))
    for method in PaymentMethod:
        order = PayOrder(method=method)
        first = order.steps[0]
        named = {ErrorType.CARD_DECLINED, *(error for step in order.steps for error in _errors_of(step))}
        bank = method is PaymentMethod.ACH_DEBIT
        rows += [
            (f"`{first}`, after a payment that failed", f"`{error}`", _said(first, error_type=error, bank=bank))
            for error in ErrorType
            if error in FIXABLE & named and error not in _errors_of(first)
        ]
    for step in ANNOUNCED:
        rows.append((f"`{step}`", "", _said(step)))
        if _said(step, tokenize=True) != _said(step):
            rows.append((f"`{step}`, nothing charged", "", _said(step, tokenize=True)))
    failed = Step.FAILED
    rows += [
        (f"`{failed}`", f"`{error}`", _said(failed, error_type=error))
        for error in ErrorType
        if _said(failed, error_type=error) != _said(failed)
    ]
    reading = " → ".join(f"`{action.key}`" for action in confirm_actions(MaskedFields(last_four="0000")))
    rows.append(("confirmation", "", reading))
    return lines + table(("step", "error", "said"), rows)


# -- brands ----------------------------------------------------------------------------------------------------------


def _range(low: str, high: str) -> str:
    return low if low == high else f"{low}–{high}"


def _lengths(lengths: Iterable[int]) -> str:
    sizes = sorted(lengths)
    if len(sizes) > 2 and sizes == list(range(sizes[0], sizes[-1] + 1)):
        return f"{sizes[0]}–{sizes[-1]}"
    return ", ".join(map(str, sizes))


def brands() -> list[str]:
    """Return the brands, and what they make of the published test numbers."""
    lines = ["## Card brands", "", "In the order of evaluation: the first whose prefix fits.", ""]
    rows = []
    for brand in BRANDS:
        but = ", ".join(_range(*pair) for pair in brand.except_prefixes)
        prefixes = ", ".join(_range(*pair) for pair in brand.prefixes)
        rows.append(
            (
                f"`{brand.card_type}`",
                prefixes + (f"; not {but}" if but else ""),
                _lengths(brand.lengths),
                str(brand.code_digits),
                "yes" if brand.luhn else "no",
            )
        )
    lines += table(("brand", "prefixes", "digits", "security code", "check digit"), rows)
    aliases = ", ".join(f"`{alias}` is accepted in lists and means `{brand}`" for alias, brand in ALIASES.items())
    wanted = frozenset({str(CardType.MAESTRO)})
    counted = accepted_as(b"6200000000000005", wanted)
    lines += [
        f"{aliases}. `{CardType.UNIONPAY}` is recognised and cannot be named in a list; its numbers that start with 6 "
        f"count as `{counted}` where that is accepted.",
        "",
        "Published test numbers, as the code judges them:",
        "",
    ]
    numbers = []
    for number in TEST_NUMBERS:
        digits = number.encode()
        found = brand_of(digits)
        numbers.append(
            (
                f"`{number}`",
                f"`{found.card_type}`" if found is not None else "none",
                "right" if number_is_valid(digits) else "`invalid-card-number`",
                "at once" if is_complete(digits) else "with `#` or silence",
            )
        )
    lines += table(("number", "brand", "number", "ends"), numbers)
    lines += table(
        ("routing number", "judged"),
        (
            (f"`{n}`", "right" if routing_is_valid(n.encode()) else f"`{ErrorType.ROUTING_NUMBER}`")
            for n in TEST_ROUTING_NUMBERS
        ),
    )
    return lines


def masks() -> list[str]:
    """Return how numbers are shown."""
    shown = (("1111", 16), ("0005", 15), ("5904", 14), ("2222", 13), ("0006", 19))
    lines = [
        "## Masks",
        "",
        "Of a card number the last four are shown, of an account number the last two, of a security code nothing;",
        "never the first six. Expiry, postal code and routing number are shown. The character is the dialect's;",
        "`mask_style` chooses between the two forms.",
        "",
    ]
    lines += table(
        ("digits", "`plain`", "`dashed`"),
        (
            (
                str(length),
                f"`{mask_number(last, length, char='x')}`",
                f"`{mask_number(last, length, char='x', style=MaskStyle.DASHED)}`",
            )
            for last, length in shown
        ),
    )
    return [*lines[:-1], "", f"An account number of twelve digits: `{mask_account(b'000123456789')}`.", ""]


# -- dialects --------------------------------------------------------------------------------------------------------

LEAST = {Dialect.NCCO: {"amount": "1"}}


def _order(dialect: Dialect) -> PayOrder:
    return order_for(dialect, **LEAST.get(dialect, {}))


def _seconds(seconds: float | None) -> str:
    if seconds is None:
        return "as between keys"
    return "no limit" if math.isinf(seconds) else f"{seconds:g} s"


def _bounds(name: str, bounds: Bounds, rules: DialectRules) -> str:
    return f"{bounds.low:g}–{bounds.high:g}" if name in rules.settable else "fixed"


def _any(words: Iterable[str]) -> str:
    return _code(words) or "–"


def _languages(rules: DialectRules) -> str:
    if not rules.languages:
        return "any"
    return "; ".join(f"{method}: {', '.join(names)}" for method, names in rules.languages.items())


PROPERTIES: tuple[tuple[str, Callable[[PayOrder, DialectRules], str]], ...] = (
    ("methods", lambda order, rules: _any(rules.methods)),
    ("announced", lambda order, rules: _any(s for s in ANNOUNCED if s in order.announced)),
    ("currency by default", lambda order, rules: f"`{order.currency}`"),
    ("currencies", lambda order, rules: f"{len(rules.currencies)} of a list" if rules.currencies else "ISO 4217"),
    ("amount", lambda order, rules: "up to 1,000,000" if order.limit_included else "below 1,000,000"),
    ("no amount, or 0", lambda order, rules: "tokenizes" if rules.zero_permitted else "refused"),
    ("brands by default", lambda order, rules: _any(order.valid_card_types)),
    ("brands that may be named", lambda order, rules: _any(rules.card_types)),
    ("token types", lambda order, rules: _any(rules.token_types)),
    (
        "bank account types",
        lambda order, rules: _any(rules.bank_account_types) if PaymentMethod.ACH_DEBIT in rules.methods else "–",
    ),
    (
        "postal code",
        lambda order, rules: (
            "never asked"
            if "postal_code" not in rules.settable
            else "asked, not, or given as text"
            if rules.postal_code_text
            else "asked or not"
        ),
    ),
    ("wait for the first key", lambda order, rules: _seconds(order.first_digit_timeout_s)),
    ("silence between keys", lambda order, rules: _seconds(order.timeout_s)),
    ("… may be (s)", lambda order, rules: _bounds("timeout_s", rules.timeout_bounds, rules)),
    ("prompts for a step", lambda order, rules: str(order.prompts_per_step)),
    ("retries may be", lambda order, rules: _bounds("max_attempts", rules.attempt_bounds, rules)),
    (
        "after a decline",
        lambda order, rules: "another card, while attempts remain" if order.decline_restarts else "ends",
    ),
    ("keyed twice", lambda order, rules: _any(s for s in ASKED if s in rules.matching)),
    ("confirmation", lambda order, rules: "if wanted" if "confirm" in rules.settable else "–"),
    ("mask", lambda order, rules: f"`{order.mask_char}`, {order.mask_style}"),
    ("language by default", lambda order, rules: order.language or "the engine's"),
    ("languages with prompts by default", lambda order, rules: _languages(rules)),
    ("a timeout in webhooks", lambda order, rules: f"`{rules.error_name(ErrorType.TIMEOUT)}`"),
    ("wrong field", lambda order, rules: str(int(rules.other_code)) if rules.other_code else "–"),
    ("second session", lambda order, rules: str(int(rules.busy_code)) if rules.busy_code else "–"),
)


def dialects() -> list[str]:
    """Return what each dialect does otherwise."""
    lines = [
        "## Dialects",
        "",
        "The rows of `engine/pay/rules.py`, with what holds where nothing is given; `order_for` makes orders by them.",
        "",
    ]
    head = ("", *NAMES.values())
    lines += table(
        head, ((name, *(show(_order(dialect), RULES[dialect]) for dialect in NAMES)) for name, show in PROPERTIES)
    )
    lines += [
        "What may be given, by the name it has there. Of every payment the engine's settings, not documents, decide",
        f"{_code(sorted(OPERATOR_SETTINGS))}.",
        "",
    ]
    settable = [
        name
        for name in PayOrder.__dataclass_fields__
        if name not in OPERATOR_SETTINGS and any(name in rules.settable for rules in RULES.values())
    ]
    lines += table(
        ("field", *NAMES.values()),
        (
            (
                f"`{name}`",
                *(f"`{RULES[d].name_of(name)}`" if name in RULES[d].settable else "–" for d in NAMES),
            )
            for name in settable
        ),
    )
    lines += ["### Results", "", "How it ended, in each dialect's word; – where it is not told.", ""]
    lines += table(
        ("result", *NAMES.values()),
        (
            (f"`{result}`", *(f"`{RULES[d].result_name(result)}`".replace("``", "–") for d in NAMES))
            for result in Result
        ),
    )
    lines += ["### Numbers", "", "For a field that is wrong, and for what the connector said.", ""]
    numbered = [dialect for dialect in NAMES if RULES[dialect].codes]
    lines += table(
        ("field", *(NAMES[d] for d in numbered)),
        (
            *((f"`{name}`", *(str(RULES[d].codes[name]) for d in numbered)) for name in RULES[numbered[0]].codes),
            ("any other", *(str(int(RULES[d].other_code or 0)) for d in numbered)),
            ("no such connector", *(str(int(RULES[d].unknown_connector_code or 0)) for d in numbered)),
            *(
                (f"the connector cannot {operation}", *(str(RULES[d].operation_codes[operation]) for d in numbered))
                for operation in Operation
            ),
        ),
    )
    lines += table(
        ("operation", "outcome", *(NAMES[d] for d in numbered)),
        (
            (str(operation), str(outcome), *(str(RULES[d].outcome_codes[operation, outcome]) for d in numbered))
            for operation, outcome in RULES[numbered[0]].outcome_codes
        ),
    )
    return lines


# -- machines --------------------------------------------------------------------------------------------------------


def machines() -> list[str]:
    """Return the matrix and the drawing of each machine that is built in."""
    drawn = runpy.run_path(str(Path(__file__).with_name("make_state_diagrams.py")))
    lines = [
        "## States × inputs",
        "",
        "In each cell the next state; · where the input is ignored. What is done on the way stands in the page named",
        "below each drawing.",
        "",
    ]
    for page, (title, module) in drawn["MACHINES"].items():
        if find_spec(module) is None:
            continue
        transitions = drawn["table_of"](module)
        state_type, input_type = (type(part) for part in next(iter(transitions)))
        lines += [f"### {title}", ""]
        lines += table(
            ("", *(str(state) for state in state_type)),
            (
                (
                    f"`{event}`",
                    *(
                        str(transitions[state, event][0]) if (state, event) in transitions else "·"
                        for state in state_type
                    ),
                )
                for event in input_type
            ),
        )
        lines += [
            *drawn["diagram"](transitions),
            "",
            f"Every transition with its action: [states/{page}](states/{page}).",
        ]
        lines.append("")
    return lines


def page() -> str:
    """Return the whole page."""
    lines = [*steps(), KEYS, *brands(), *masks(), *dialects(), *machines()]
    return INTRO + "\n" + "\n".join(lines).rstrip() + "\n"


def main() -> None:
    """Write the page."""
    PAGE.write_text(page())


if __name__ == "__main__":
    main()
