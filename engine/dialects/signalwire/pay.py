"""``pay`` of SWML and ``calling.pay`` of RELAY: from properties to an order (`dialects.md` §2.5, §3.2, §3.3).

Laws:

1. All that can be wrong is found before the caller hears anything, and refused with the property's name (`PayRefused`).
   What is only odd is a warning, and the payment goes on.
2. Text, number and boolean stand for each other wherever one of them is wanted (D-24). An amount is read as text.
   ``null`` and empty text are "not given", as unset variables are.
3. RELAY ignores what it does not know, SWML refuses it. A refusal repeats nothing that was given.

What is told of a payment is ``engine.dialects.signalwire.pay_events``'s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from engine.connectors.protocol import Capabilities, check
from engine.errors import PayError
from engine.net.http import split_url
from engine.pay.errors import OrderError
from engine.pay.order import PayOrder
from engine.pay.prompt_rules import Action, PlayFile, PromptRule, Say, tokens
from engine.pay.rules import RULES, Dialect, order_for
from engine.pay.scalars import read_names, read_text

__all__ = (
    "BUSY",
    "DEFAULT_VOICE",
    "INVALID",
    "MAX_ACTIONS",
    "MAX_PARAMETERS",
    "MAX_PROMPTS",
    "MAX_TEXT",
    "PROPERTIES",
    "PayRefused",
    "PayRequest",
    "PaySettings",
    "pay_request",
)

Code = Literal["422", "409"]
INVALID: Code = "422"
BUSY: Code = "409"
DEFAULT_VOICE = "woman"
"The vendor's, which its builder always writes down: it means whatever the engine's default is."
MAX_PROMPTS = 100
MAX_ACTIONS = 32
"Of one prompt."
MAX_TEXT = 10_000
"Characters of a phrase, or of any other property."
MAX_PARAMETERS = 200
MAX_ATTEMPT = 11
"The highest attempt that a prompt may name: that of ``max_attempts`` 10."

PROPERTIES: Mapping[str, str] = MappingProxyType(
    {
        "charge_amount": "amount",
        "currency": "currency",
        "description": "description",
        "language": "language",
        "max_attempts": "max_attempts",
        "min_postal_code_length": "min_postal_code_length",
        "parameters": "parameters",
        "payment_method": "method",
        "postal_code": "postal_code",
        "security_code": "security_code",
        "timeout": "timeout_s",
        "token_type": "token_type",
        "valid_card_types": "valid_card_types",
        "voice": "voice",
    }
)
"Properties that make the order, with the names of their fields in `PayOrder`."
OTHER_PROPERTIES = ("input", "payment_connector_url", "prompts", "status_url")
PROMPT_PROPERTIES = ("for", "actions", "attempts", "card_type", "error_type")
ACTION_PROPERTIES = ("type", "phrase")


class PayRefused(PayError):  # noqa: N818
    """A payment that cannot be carried out; nothing was heard of it.

    ``parameter`` is the property, empty when it is none's fault. ``code`` is what RELAY answers: ``422`` for a wrong
    property, ``409`` for a call that cannot have a payment now.
    """

    def __init__(self, parameter: str, reason: str, code: Code = INVALID) -> None:
        super().__init__(f"{parameter}: {reason}" if parameter else reason)
        self.parameter = parameter
        self.reason = reason
        self.code: Code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class PaySettings:
    """What properties mean depends on the dialect and on the configuration."""

    dialect: Dialect
    "`Dialect.SWML` or `Dialect.RELAY`."
    allow_insecure: bool = False
    "Whether http: is taken for connector and status URL."
    retry_rule: str = "retries"
    "What ``max_attempts`` counts (D-12)."
    mask_style: str = "plain"
    language_warning: Callable[[str], str] = field(default=lambda language: "", repr=False)
    "Says that there are no prompts in a language; empty: there are (D-18)."


@dataclass(frozen=True, slots=True, kw_only=True)
class PayRequest:
    """A payment that can be carried out."""

    dialect: Dialect
    order: PayOrder
    connector_url: str = field(repr=False)
    status_url: str = field(default="", repr=False)
    "Empty: nobody wants to know."
    warnings: tuple[str, ...] = ()
    "What is odd about the properties, with the remedy."


def pay_request(properties: Mapping[str, Any], settings: PaySettings) -> PayRequest:
    """Return what is asked for; raise `PayRefused` for what cannot be done, before anything is done."""
    if settings.dialect is Dialect.SWML:
        _refuse_others(properties, (*PROPERTIES, *OTHER_PROPERTIES), "")
    if _text(properties, "input", "dtmf").lower() != "dtmf":
        raise PayRefused("input", "has to be dtmf: speech is not understood here")
    connector_url = _url(properties, "payment_connector_url", settings)
    if not connector_url:
        raise PayRefused("payment_connector_url", "is missing")
    status_url = _url(properties, "status_url", settings)
    warnings: list[str] = []
    order = _order(properties, settings, warnings)
    refusal = check(Capabilities(), order)
    if refusal is not None:
        raise PayRefused("payment_connector_url", refusal.message)
    if order.speaks_by_itself and (warning := settings.language_warning(order.language)):
        warnings.append(f"language: {warning}; give every prompt, or another language")
    return PayRequest(
        dialect=settings.dialect,
        order=order,
        connector_url=connector_url,
        status_url=status_url,
        warnings=tuple(warnings),
    )


def _refuse_others(given: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    if not given.keys() <= set(known):
        raise PayRefused(where, f"there is a property that does not exist; known are {', '.join(sorted(known))}")


def _text(given: Mapping[str, Any], name: str, default: str = "") -> str:
    """Return a property as text, the default when it is not given."""
    value = given.get(name)
    if value is None:
        return default
    try:
        text = read_text(value)
    except ValueError as error:
        raise PayRefused(name, f"has to be {error}") from None
    _check_text(text, name)
    return text or default


def _check_text(text: str, name: str) -> None:
    if len(text) > MAX_TEXT:
        raise PayRefused(name, f"is longer than {MAX_TEXT} characters")
    try:
        text.encode()
    except UnicodeEncodeError:  # JSON can write half of a surrogate pair
        raise PayRefused(name, "holds what is no Unicode text") from None


def _url(properties: Mapping[str, Any], name: str, settings: PaySettings) -> str:
    url = _text(properties, name)
    if url:
        try:
            split_url(url, allow_insecure=settings.allow_insecure)
        except ValueError as error:
            raise PayRefused(name, str(error)) from None
    return url


def _order(properties: Mapping[str, Any], settings: PaySettings, warnings: list[str]) -> PayOrder:
    values = {name: properties.get(given) for given, name in PROPERTIES.items()}
    for given in PROPERTIES:
        if isinstance(properties.get(given), str):
            _text(properties, given)  # that it is text, and how much
    _check_parameters(values["parameters"], settings)
    voice = _text(properties, "voice")
    if voice.lower() == DEFAULT_VOICE:
        voice = ""  # the one that the engine's own prompts are recorded in: one payment, one voice
    try:
        return order_for(
            settings.dialect,
            **values,
            prompts=_prompts(properties.get("prompts"), voice, settings, warnings),
            retry_rule=settings.retry_rule,
            mask_style=settings.mask_style,
        )
    except OrderError as error:
        raise PayRefused(RULES[settings.dialect].name_of(error.field), error.reason) from None


def _check_parameters(value: object, settings: PaySettings) -> None:
    """Check how many and how long they are, and in SWML that they hold nothing else; `order_for` reads them."""
    if not isinstance(value, list | tuple | Mapping):
        return
    if len(value) > MAX_PARAMETERS:
        raise PayRefused("parameters", f"more than {MAX_PARAMETERS}")
    items = value.items() if isinstance(value, Mapping) else ()
    for item in value if not isinstance(value, Mapping) else [{"name": name, "value": text} for name, text in items]:
        if not isinstance(item, Mapping):
            continue
        if settings.dialect is Dialect.SWML:
            _refuse_others(item, ("name", "value"), "parameters")
        for text in (item.get("name"), item.get("value")):
            if isinstance(text, str):
                _check_text(text, "parameters")


# -- prompts ---------------------------------------------------------------------------------------------------------


def _prompts(value: object, voice: str, settings: PaySettings, warnings: list[str]) -> tuple[PromptRule, ...]:
    if value is None or (isinstance(value, str) and not value.strip()):
        return ()
    if not isinstance(value, list | tuple):
        raise PayRefused("prompts", "has to be a list")
    if len(value) > MAX_PROMPTS:
        raise PayRefused("prompts", f"more than {MAX_PROMPTS}")
    rules: list[PromptRule] = []
    for index, prompt in enumerate(value):
        where = f"prompts[{index}]"
        if not isinstance(prompt, Mapping):
            raise PayRefused(where, "has to be an object")
        rules += _rules_of(prompt, where, voice, settings, warnings)
    return tuple(rules)


def _rules_of(
    prompt: Mapping[str, Any], where: str, voice: str, settings: PaySettings, warnings: list[str]
) -> list[PromptRule]:
    if settings.dialect is Dialect.SWML:
        _refuse_others(prompt, PROMPT_PROPERTIES, where)
    rules = RULES[settings.dialect]
    steps = _words(prompt, "for", where)
    if not steps:
        raise PayRefused(f"{where}.for", "is missing")
    if not set(steps) <= rules.steps_by_name.keys():
        raise PayRefused(f"{where}.for", f"has to be one of {', '.join(rules.steps_by_name)}")
    card_types = _words(prompt, "card_type", where)
    if not set(card_types) <= set(rules.prompt_card_types):
        raise PayRefused(f"{where}.card_type", f"has to be some of {', '.join(rules.prompt_card_types)}")
    error_types = _words(prompt, "error_type", where)
    if not set(error_types) <= rules.errors_by_name.keys():
        raise PayRefused(f"{where}.error_type", f"has to be some of {', '.join(rules.errors_by_name)}")
    attempts = _attempts(prompt, where)
    actions = _actions(prompt.get("actions"), f"{where}.actions", voice, settings)
    if not actions:
        warnings.append(f"{where} says and plays nothing and is passed over; give it a phrase")
        return []
    return [
        PromptRule(
            step=step,
            actions=actions,
            attempts=attempts,
            card_types=card_types,
            error_types=error_types,
        )
        for step in steps
    ]


def _words(prompt: Mapping[str, Any], name: str, where: str) -> tuple[str, ...]:
    value = prompt.get(name)
    if value is None:
        return ()
    if len(value) > MAX_TEXT if isinstance(value, str | list) else False:
        raise PayRefused(f"{where}.{name}", f"is longer than {MAX_TEXT}")
    try:
        return read_names(value)
    except ValueError as error:
        raise PayRefused(f"{where}.{name}", f"has to be {error}") from None


def _attempts(prompt: Mapping[str, Any], where: str) -> tuple[int, ...]:
    """Return the attempts of ``"2 3"``, of ``2`` or of ``[2, 3]``."""
    value = prompt.get("attempts")
    given = value if isinstance(value, list | tuple) else [value]
    words: list[str] = []
    for item in given[: MAX_ATTEMPT + 1]:
        if isinstance(item, str):
            words += tokens(item[:MAX_TEXT]) or (["?"] if item.strip() else [])
        elif item is not None:
            is_number = isinstance(item, int) and not isinstance(item, bool) and 1 <= item <= MAX_ATTEMPT
            words.append(str(item) if is_number else "?")
    if not all(word.isdigit() and 1 <= int(word[:4]) <= MAX_ATTEMPT for word in words):
        raise PayRefused(f"{where}.attempts", f"has to be some of 1 to {MAX_ATTEMPT}")
    return tuple(map(int, words))


def _actions(value: object, where: str, voice: str, settings: PaySettings) -> tuple[Action, ...]:
    if not isinstance(value, list | tuple):
        raise PayRefused(where, "has to be a list")
    if len(value) > MAX_ACTIONS:
        raise PayRefused(where, f"more than {MAX_ACTIONS}")
    actions: list[Action] = []
    for index, action in enumerate(value):
        here = f"{where}[{index}]"
        if not isinstance(action, Mapping):
            raise PayRefused(here, "has to be an object")
        if settings.dialect is Dialect.SWML:
            _refuse_others(action, ACTION_PROPERTIES, here)
        if (made := _action(action, here, voice)) is not None:
            actions.append(made)
    return tuple(actions)


def _action(action: Mapping[str, Any], where: str, voice: str) -> Action | None:
    try:
        kind, phrase = _text(action, "type"), _text(action, "phrase")
    except PayRefused as refused:
        raise PayRefused(f"{where}.{refused.parameter}", refused.reason) from None
    match kind.lower():
        case "say":
            return Say(phrase, voice=voice) if phrase else None
        case "play":
            try:
                # What is only heard may come by http, as the vendor's schema has it.
                split_url(phrase, allow_insecure=True)
            except ValueError as error:
                raise PayRefused(f"{where}.phrase", str(error)) from None
            return PlayFile(phrase)
        case _:
            raise PayRefused(f"{where}.type", "has to be Say or Play")
