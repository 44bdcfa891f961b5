"""A payment as it is asked for, whatever dialect it came from: checked once, before anything is played."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType

from engine.pay.cards import ALIASES, CardType, MaskStyle
from engine.pay.errors import OrderError
from engine.pay.fields import Step, field_of
from engine.pay.money import parse_amount
from engine.pay.prompt_rules import PromptRule
from engine.pay.submission import Operation, PaymentMethod, TokenType

__all__ = ("MaskStyle", "PayOrder", "RetryRule")

_MAX_TIMEOUT_S = 600.0  # REST Payments, Timeout
_MAX_RETRIES = 10
_ANNOUNCED = frozenset({Step.PROCESSING, Step.COMPLETED, Step.FAILED, Step.CANCELED})
_NO_PARAMETERS: Mapping[str, str] = MappingProxyType({})


class RetryRule(StrEnum):
    """What ``max_attempts`` counts: the documents say both (`dialects.md` §1.5, D-12)."""

    RETRIES = "retries"
    TRIES = "tries"


_PROMPTS_BEYOND = {RetryRule.RETRIES: 1, RetryRule.TRIES: 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class PayOrder:
    """What to ask the caller for and what to do with it. Raise `OrderError`, which names the field, for a wrong one."""

    amount: str = ""
    "Decimal text in major units; empty or zero: the card is tokenized, not charged."
    currency: str = "usd"
    "ISO 4217 in any case; passed on as written."
    method: str = PaymentMethod.CREDIT_CARD
    security_code: bool = True
    postal_code: bool | str = True
    "True: ask. False: leave out. Text: the known code, passed on as it is."
    min_postal_code_length: int = 0
    timeout_s: float = 5.0
    "Silence between two keys that ends an entry, in seconds, up to 600."
    first_digit_timeout_s: float | None = None
    "Wait for the first key from the end of the prompt, in seconds; None: as `timeout_s`; ``math.inf``: no limit (D-4)."
    max_attempts: int = 1
    retry_rule: RetryRule = RetryRule.RETRIES
    decline_restarts: bool = True
    "Whether a declined card is asked for again while attempts remain (D-13)."
    valid_card_types: tuple[str, ...] = ("visa", "mastercard", "amex")
    token_type: str = TokenType.REUSABLE
    description: str = ""
    parameters: Mapping[str, str] = field(default_factory=lambda: _NO_PARAMETERS)
    prompts: tuple[PromptRule, ...] = ()
    announced: frozenset[Step] = _ANNOUNCED
    "Which of the steps that ask nothing are played and reported; dialects differ (`dialects.md` §1.1)."
    language: str = ""
    voice: str = ""
    mask_char: str = "*"
    mask_style: str = MaskStyle.PLAIN
    matching: frozenset[Step] = frozenset()
    "Steps that are keyed twice and have to be the same both times."
    confirm: bool = False
    "Whether the last four are read back before the connector is asked: 1 confirms, 2 cancels (`dialects.md` §5.2)."
    bank_account_type: str = "consumer-checking"
    limit_included: bool = False
    "Whether exactly 1,000,000 is a permitted amount."

    def __post_init__(self) -> None:
        self._require("method", self.method in tuple(PaymentMethod), "credit-card or ach-debit")
        self._require("token_type", self.token_type in tuple(TokenType), "reusable, one-time or payment-method")
        parse_amount(self.amount, self.currency, limit_included=self.limit_included)
        self._require("timeout_s", 0 < self.timeout_s <= _MAX_TIMEOUT_S, "more than 0 and at most 600 seconds")
        self._require(
            "first_digit_timeout_s",
            self.first_digit_timeout_s is None or self.first_digit_timeout_s > 0,
            "more than 0 seconds",
        )
        self._require("max_attempts", 0 <= self.max_attempts <= _MAX_RETRIES, "0 to 10")
        longest = field_of(Step.POSTAL_CODE).max_digits
        self._require("min_postal_code_length", 0 <= self.min_postal_code_length <= longest, f"0 to {longest} digits")
        self._require("mask_char", len(self.mask_char) == 1 and not self.mask_char.isdigit(), "one character, no digit")
        names = {*CardType, *ALIASES}
        self._require("valid_card_types", bool(self.valid_card_types), "at least one card type")
        for name in self.valid_card_types:
            self._require("valid_card_types", name in names, f"no such card type: {name[:40]!r}")
        self._require("mask_style", self.mask_style in tuple(MaskStyle), "plain or dashed")
        self._require("matching", not self.matching & _ANNOUNCED, "only steps that are asked")
        self._require("announced", self.announced <= _ANNOUNCED, "only steps that ask nothing")

    @staticmethod
    def _require(name: str, holds: bool, reason: str) -> None:
        if not holds:
            raise OrderError(name, reason)

    @property
    def operation(self) -> Operation:
        """Charge for an amount above zero, else tokenize (`dialects.md` §1.10)."""
        amount = parse_amount(self.amount, self.currency, limit_included=self.limit_included)
        return Operation.CHARGE if amount > Decimal(0) else Operation.TOKENIZE

    @property
    def tokenizes(self) -> bool:
        """Whether nothing is charged."""
        return self.operation is Operation.TOKENIZE

    @property
    def charged_amount(self) -> str:
        """The amount as configured; empty when tokenizing."""
        return "" if self.tokenizes else self.amount

    @property
    def steps(self) -> tuple[Step, ...]:
        """What is asked, in order (`dialects.md` §1.1)."""
        if self.method == PaymentMethod.ACH_DEBIT:
            return (Step.ROUTING_NUMBER, Step.ACCOUNT_NUMBER)
        wanted = {Step.SECURITY_CODE: self.security_code, Step.POSTAL_CODE: self.postal_code is True}
        order = (Step.CARD_NUMBER, Step.EXPIRATION_DATE, Step.SECURITY_CODE, Step.POSTAL_CODE)
        return tuple(step for step in order if wanted.get(step, True))

    @property
    def prompts_per_step(self) -> int:
        """How often a step is asked before the payment is given up, the first time included."""
        return max(1, self.max_attempts + _PROMPTS_BEYOND[self.retry_rule])

    @property
    def speaks_by_itself(self) -> bool:
        """Whether the caller may hear a prompt of the engine's own, which then has to exist in the language (D-18)."""
        always = [rule for rule in self.prompts if not any(rule.specificity)]
        first = {rule.step for rule in always if not rule.matching}
        second = {rule.step for rule in always if rule.matching}
        return self.confirm or not ({*self.steps, *self.announced} <= first and self.matching & {*self.steps} <= second)

    @property
    def accepted(self) -> frozenset[str]:
        """Brands that are wanted, aliases resolved."""
        return frozenset(str(ALIASES.get(name, name)) for name in self.valid_card_types)
