"""``<Pay>``: from its attributes to a payment's order, and from a payment to the parameters that tell of it.

Laws (`dialects.md` §4.1 to §4.4, §1):

1. All that can be wrong is found before the caller hears anything, and refused with the vendor's number (`PayRefused`).
   What is only odd is a warning, and the payment goes on.
2. Attributes are read as every library of the vendor's writes them: booleans in any case, lists with spaces, commas or
   as the text of a Python list (D-11, D-16).
3. What a parameter shows of a number is masked by `engine.pay` before it comes here. What is not known yet is left out
   (D-32).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from urllib.parse import urljoin

from engine.connectors.protocol import Capabilities, check
from engine.dialects.twilio import call_sid
from engine.dialects.twiml.commands import Parameters
from engine.dialects.twiml.verbs import Method, Pause, Pay, PayPrompt, Say, Spoken
from engine.errors import PayError
from engine.net.http import split_url
from engine.pay import prompt_rules
from engine.pay.errors import OrderError
from engine.pay.fields import Step
from engine.pay.order import PayOrder
from engine.pay.prompt_rules import Action, PlayFile, PromptRule, Silence, tokens
from engine.pay.results import MaskedFields, PayResult, PayStatus, Result
from engine.pay.rules import RULES, Dialect, PayErrorCode, order_for
from engine.pay.submission import PaymentMethod

__all__ = (
    "ATTRIBUTES",
    "DEFAULT_CONNECTOR",
    "MAX_ACTIONS",
    "MAX_PAUSE_S",
    "OTHER_ATTRIBUTES",
    "PROMPT_ATTRIBUTES",
    "PayRefused",
    "PayRequest",
    "PaySettings",
    "interrupted_parameters",
    "pay_request",
    "refusal_parameters",
    "result_parameters",
    "status_parameters",
)

DEFAULT_CONNECTOR = "Default"
"What ``paymentConnector`` says when it says nothing: the connector of ``[twilio] connector``."
MAX_ACTIONS = 32
"Texts, files and pauses of one prompt, loops counted."
MAX_PAUSE_S = 60.0
MAX_ATTEMPT = 10
"The highest attempt that a prompt may name."
MAX_CONNECTOR_PARAMETERS = 100

_RULES = RULES[Dialect.TWIML]
_ORDER_FIELDS = (
    "amount",
    "currency",
    "description",
    "method",
    "bank_account_type",
    "timeout_s",
    "max_attempts",
    "security_code",
    "postal_code",
    "min_postal_code_length",
    "token_type",
    "valid_card_types",
    "language",
)
ATTRIBUTES: Mapping[str, str] = MappingProxyType({_RULES.name_of(name): name for name in _ORDER_FIELDS})
"Attributes of ``<Pay>`` that make the order, with the names of their fields in `PayOrder`."
OTHER_ATTRIBUTES = (
    "action",
    "input",
    "paymentConnector",
    "paymentConnectorUrl",
    "statusCallback",
    "statusCallbackMethod",
)
"The rest of its attributes."
PROMPT_ATTRIBUTES = ("for", "attempt", "cardType", "errorType", "requireMatchingInputs")
_BANK_STEPS = frozenset({Step.ROUTING_NUMBER, Step.ACCOUNT_NUMBER})
_UNHEARD = frozenset({Step.COMPLETED, Step.FAILED, Step.CANCELED})


class PayRefused(PayError):  # noqa: N818
    """A ``<Pay>`` that cannot be carried out: ``Result=validation-error`` with the vendor's number."""

    def __init__(self, code: int, message: str, field: str) -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.code = int(code)
        "``PayErrorCode`` (`dialects.md` §4.4)."
        self.message = str(self)
        self.field = field
        "The attribute, as the vendor calls it."


@dataclass(frozen=True, slots=True, kw_only=True)
class PaySettings:
    """What a ``<Pay>`` means depends on where it came from and on what there is."""

    base_url: str
    "Where the document came from; empty: it came inline, and every URL in it has to be absolute."
    connectors: Mapping[str, Capabilities]
    "By the names of the configuration."
    default_connector: str
    allow_insecure: bool = False
    "Whether http: is taken for actions, callbacks and connectors (D-30)."
    retry_rule: str = "retries"
    "What ``maxAttempts`` counts (D-12)."
    mask_style: str = "plain"
    language_warning: Callable[[str], str] = field(default=lambda language: "", repr=False)
    "Says that there are no prompts in a language; empty: there are (D-18)."


@dataclass(frozen=True, slots=True, kw_only=True)
class PayRequest:
    """A ``<Pay>`` that can be carried out."""

    order: PayOrder
    connector: str
    "A name of the configuration; empty: ``connector_url`` is meant."
    connector_url: str = field(default="", repr=False)
    "An endpoint that the document names itself (``paymentConnectorUrl``, D-31)."
    action: str = field(repr=False)
    "Absolute."
    status_callback: str = field(default="", repr=False)
    "Absolute; empty: nobody wants to know."
    status_method: Method = "POST"
    warnings: tuple[str, ...] = ()
    "What is odd about the document, with the remedy."


# -- what is asked for -----------------------------------------------------------------------------------------------


def pay_request(pay: Pay, settings: PaySettings) -> PayRequest:
    """Return what a ``<Pay>`` asks for; raise `PayRefused` for what cannot be done, before anything is done."""
    given = {name: value.strip() for name, value in pay.attributes.items() if value.strip()}
    warnings: list[str] = []
    if tokens(given.get("input", "dtmf")) != ("dtmf",):
        raise PayRefused(PayErrorCode.PARAMETER_VALUE, "has to be dtmf", "input")
    action = _action(given.get("action", ""), settings)
    status_callback, status_method = _status_callback(given, settings)
    order = _order(pay, given, settings, warnings)
    connector, connector_url = _connector(given, order, settings)
    if order.speaks_by_itself and (warning := settings.language_warning(order.language)):
        warnings.append(f"language: {warning}; give every prompt, or another language")
    return PayRequest(
        order=order,
        connector=connector,
        connector_url=connector_url,
        action=action,
        status_callback=status_callback,
        status_method=status_method,
        warnings=tuple(warnings),
    )


def _action(written: str, settings: PaySettings) -> str:
    try:
        return _absolute(written or settings.base_url, settings)
    except ValueError as error:
        raise PayRefused(PayErrorCode.ACTION_URL, str(error), "action") from None


def _status_callback(given: Mapping[str, str], settings: PaySettings) -> tuple[str, Method]:
    method: Method
    match given.get("statusCallbackMethod", "POST").upper():
        case "POST":
            method = "POST"
        case "GET":
            method = "GET"
        case _:
            raise PayRefused(PayErrorCode.PARAMETER_VALUE, "has to be GET or POST", "statusCallbackMethod")
    written = given.get("statusCallback", "")
    if not written:
        return "", method
    try:
        return _absolute(written, settings), method
    except ValueError as error:
        raise PayRefused(PayErrorCode.PARAMETER_VALUE, str(error), "statusCallback") from None


def _absolute(written: str, settings: PaySettings) -> str:
    """Return an absolute URL without a fragment; raise ``ValueError``, which does not repeat it."""
    try:
        url = urljoin(settings.base_url, written).partition("#")[0]
    except ValueError:
        raise ValueError("the URL cannot be read") from None
    if "://" not in url:
        raise ValueError("the URL has to be absolute: the document came inline")
    split_url(url, allow_insecure=settings.allow_insecure)
    return url


def _order(pay: Pay, given: Mapping[str, str], settings: PaySettings, warnings: list[str]) -> PayOrder:
    values: dict[str, object] = {name: given.get(attribute) for attribute, name in ATTRIBUTES.items()}
    try:
        return order_for(
            Dialect.TWIML,
            **values,
            parameters=[{"name": name, "value": value} for name, value in pay.parameters],
            prompts=_prompts(pay.prompts, settings, warnings),
            retry_rule=settings.retry_rule,
            mask_style=settings.mask_style,
        )
    except OrderError as error:
        code = _RULES.code_of(error) or PayErrorCode.PARAMETER_VALUE
        if error.field == "bank_account_type" and given.get("paymentMethod", "") == PaymentMethod.ACH_DEBIT:
            code = PayErrorCode.PARAMETER_VALUE  # 64017 is for one that a card has
        raise PayRefused(code, error.reason, _RULES.name_of(error.field)) from None


def _connector(given: Mapping[str, str], order: PayOrder, settings: PaySettings) -> tuple[str, str]:
    """Return the connector's name, or its URL; one of both is empty."""
    name, url = given.get("paymentConnector", ""), given.get("paymentConnectorUrl", "")
    if url and name:
        raise PayRefused(PayErrorCode.PARAMETER_VALUE, "give it or paymentConnector, not both", "paymentConnectorUrl")
    if url:
        try:
            split_url(url, allow_insecure=settings.allow_insecure)
        except ValueError as error:
            raise PayRefused(PayErrorCode.CONNECTOR_CONFIGURATION, str(error), "paymentConnectorUrl") from None
        capabilities = Capabilities()
    else:
        if name not in settings.connectors and name in ("", DEFAULT_CONNECTOR):
            name = settings.default_connector
        found = settings.connectors.get(name)
        if found is None:
            raise PayRefused(
                _RULES.unknown_connector_code or PayErrorCode.UNKNOWN_CONNECTOR,
                "there is no such connector",
                "paymentConnector",
            )
        capabilities = found
    refusal = check(capabilities, order)
    if refusal is not None:
        raise PayRefused(refusal.pay_error_code, refusal.message, "paymentConnectorUrl" if url else "paymentConnector")
    return name, url


def _prompts(prompts: Iterable[PayPrompt], settings: PaySettings, warnings: list[str]) -> tuple[PromptRule, ...]:
    rules: list[PromptRule] = []
    for prompt in prompts:
        rules += _rules_of(prompt, settings, warnings)
    return tuple(rules)


def _rules_of(prompt: PayPrompt, settings: PaySettings, warnings: list[str]) -> list[PromptRule]:
    attributes = prompt.attributes
    # A page of another vendor's compatible dialect writes it so (D-17).
    steps = tokens(attributes.get("for", "") or attributes.get("name", ""))
    if not steps:
        raise OrderError("prompts", "a Prompt has to say what it is for")
    actions = _actions(prompt.spoken, settings, warnings)
    if not actions:
        warnings.append("a Prompt in which nothing is said, played or paused is passed over; put Say or Play into it")
        return []
    matching = _flag(attributes.get("requireMatchingInputs", ""))
    rules = [
        PromptRule(
            step=step,
            actions=actions,
            attempts=_attempts(attributes.get("attempt", "")),
            card_types=tokens(attributes.get("cardType", "")),
            error_types=tokens(attributes.get("errorType", "")),
            matching=matching,
        )
        for step in steps
    ]
    for rule in rules:
        if matching and rule.step not in _BANK_STEPS:
            warnings.append(f"requireMatchingInputs is for bank debits: the Prompt for {rule.step} is not heard")
        elif rule.step in _UNHEARD:
            warnings.append(f"the Prompt for {rule.step} is not heard: say it in the document that the action returns")
    return rules


def _flag(text: str) -> bool:
    words = {"": False, "false": False, "true": True}
    if text.strip().lower() not in words:
        raise OrderError("prompts", "requireMatchingInputs has to be true or false")
    return words[text.strip().lower()]


def _attempts(text: str) -> tuple[int, ...]:
    attempts = tokens(text)
    if not all(
        attempt.isascii() and attempt.isdigit() and 1 <= int(attempt[:4]) <= MAX_ATTEMPT for attempt in attempts
    ):
        raise OrderError("prompts", f"attempt has to be some of 1 to {MAX_ATTEMPT}")
    return tuple(map(int, attempts))


def _actions(spoken: Iterable[Spoken], settings: PaySettings, warnings: list[str]) -> tuple[Action, ...]:
    actions: list[Action] = []
    for item in spoken:
        actions += _repeated(item, settings, warnings)
        if len(actions) > MAX_ACTIONS:
            warnings.append(
                f"of a Prompt only the first {MAX_ACTIONS} texts, files and pauses are heard, loops counted"
            )
            return tuple(actions[:MAX_ACTIONS])
    return tuple(actions)


def _repeated(item: Spoken, settings: PaySettings, warnings: list[str]) -> list[Action]:
    if isinstance(item, Pause):
        return [Silence(round(1000 * min(max(item.length_s, 0.0), MAX_PAUSE_S)))]
    action: Action
    if isinstance(item, Say):
        if not item.text.strip():
            return []
        action = prompt_rules.Say(item.text, language=item.language, voice=item.voice)
    elif item.url:
        try:
            # What is only heard may come by http, as everywhere in a document.
            url = urljoin(settings.base_url, item.url)
            split_url(url, allow_insecure=True)
        except ValueError:
            raise OrderError("prompts", "the URL of a Play cannot be used") from None
        action = PlayFile(url)
    else:
        warnings.append("a Prompt keys no digits: Play digits is passed over")
        return []
    # A payment waits for the end of its prompt: one without end would never time out.
    return [action] * min(item.loop if item.loop > 0 else MAX_ACTIONS, MAX_ACTIONS + 1)


# -- what is told ----------------------------------------------------------------------------------------------------


def status_parameters(account_sid: str, call_id: str, order: PayOrder, status: PayStatus) -> Parameters:
    """Return the parameters of a ``statusCallback`` (`dialects.md` §4.2)."""
    return (
        ("AccountSid", account_sid),
        ("CallSid", call_sid(call_id)),
        ("For", str(status.step)),
        ("ErrorType", _RULES.error_name(status.error_type)),
        ("Attempt", str(status.attempt)),
        ("PaymentMethod", str(status.payment_method)),
        *_collected(status, status.payment_method, order.bank_account_type),
    )


def result_parameters(result: PayResult, order: PayOrder) -> Parameters:
    """Return the parameters by which the action learns of the end, beyond the standard ones (`dialects.md` §4.3).

    Empty: there is nothing to be told, another document has taken over.
    """
    name = _RULES.result_name(result.result)
    if not name:
        return ()
    paid = result.result is Result.SUCCESS
    code = _RULES.result_code(result)
    fault = result.connector_error
    failure = (
        ()
        if paid
        else (
            ("PaymentError", _RULES.error_name(result.payment_error)),
            ("PayErrorCode", "" if code is None else str(code)),
            ("ConnectorError", "" if fault is None else fault.code or fault.message),
        )
    )
    returned = sorted(result.parameters.items())[:MAX_CONNECTOR_PARAMETERS]
    return (
        ("Result", name),
        ("PaymentMethod", str(result.payment_method)),
        *_collected(result, result.payment_method, order.bank_account_type),
        *_known(
            ("PaymentToken", result.token_id),
            ("ProfileId", result.profile_id),
            ("PaymentConfirmationCode", result.charge_id),
            *failure,
        ),
        *((f"PayConnector_{key}", value) for key, value in returned),
    )


def refusal_parameters(refused: PayRefused, pay: Pay, result: Result = Result.VALIDATION_ERROR) -> Parameters:
    """Return the parameters by which the action learns that a ``<Pay>`` was refused, before anything was asked."""
    method = pay.attributes.get("paymentMethod", "").strip()
    return (
        ("Result", _RULES.result_name(result)),
        ("PaymentMethod", method if method in tuple(PaymentMethod) else str(PaymentMethod.CREDIT_CARD)),
        ("PaymentError", refused.message),
        ("PayErrorCode", str(refused.code)),
    )


def interrupted_parameters(
    *,
    method: str,
    result: str,
    error: str,
    card_number: str,
    card_type: str,
    charge_id: str,
    token_id: str,
) -> Parameters:
    """Return the parameters of the end of a payment that a crash cut off, as far as the ledger knows it.

    ``card_number`` is masked, by whatever character.
    """
    masked = "".join(char if char.isdigit() else "x" for char in card_number)
    is_card = method != PaymentMethod.ACH_DEBIT
    return (
        ("Result", result),
        ("PaymentMethod", method),
        *_known(
            ("PaymentCardNumber", masked if is_card else ""),
            ("PaymentCardType", card_type if is_card else ""),
            ("PaymentToken", token_id),
            ("PaymentConfirmationCode", charge_id),
            ("PaymentError", error),
        ),
    )


def _collected(fields: MaskedFields, method: str, account_type: str) -> Parameters:
    if method == PaymentMethod.ACH_DEBIT:
        return _known(
            ("BankAccountNumber", fields.account_number),
            ("BankRoutingNumber", fields.routing_number),
            ("BankAccountType", account_type),  # D-33
        )
    return _known(
        ("PaymentCardNumber", fields.card_number),
        ("PaymentCardType", fields.card_type),
        ("ExpirationDate", fields.expiration_date),
        ("SecurityCode", fields.security_code),
        ("PaymentCardPostalCode", fields.postal_code),
    )


def _known(*parameters: tuple[str, str]) -> Parameters:
    return tuple((name, value) for name, value in parameters if value)
