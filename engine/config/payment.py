"""Payments: ``[form.NAME]``, ``[[route]]``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from engine.config.table import Table

__all__ = ("FormConfig", "FormPrompt", "RouteConfig")

STEPS = Literal[
    "payment-card-number",
    "expiration-date",
    "security-code",
    "postal-code",
    "bank-routing-number",
    "bank-account-number",
    "payment-processing",
    "payment-completed",
    "payment-failed",
    "payment-canceled",
]


ASKED = Literal[
    "payment-card-number",
    "expiration-date",
    "security-code",
    "postal-code",
    "bank-routing-number",
    "bank-account-number",
]
# What a prompt can be for (`dialects.md` §1.3); both names of a silence.
ERRORS = Literal[
    "timeout",
    "input-timeout",
    "invalid-card-number",
    "invalid-card-type",
    "invalid-date",
    "invalid-security-code",
    "invalid-postal-code",
    "invalid-bank-routing-number",
    "invalid-bank-account-number",
    "input-matching-failed",
    "card-declined",
]


class FormPrompt(Table):
    """A prompt of one's own: text or an audio file, for a step and, if given, attempts, errors and card types."""

    step: STEPS = Field(alias="for")
    say: str = Field(default="", max_length=2000)
    play: str = ""
    attempts: tuple[Annotated[int, Field(ge=1, le=20)], ...] = ()
    errors: tuple[ERRORS, ...] = ()
    card_types: tuple[str, ...] = ()
    matching: bool = False
    "Asks for the second of two entries that have to be the same."

    @model_validator(mode="after")
    def _one_of(self) -> FormPrompt:
        if bool(self.say) == bool(self.play):
            raise ValueError("give exactly one of say (text) and play (audio file)")
        return self


class FormConfig(Table):
    """A payment as it is asked for: what to charge, which fields to ask, where to send it."""

    amount: str = ""
    'Decimal text such as "25.00"; empty: the card is tokenized and not charged.'
    currency: str = "usd"
    description: str = ""
    connector: str = "sandbox"
    method: Literal["credit-card", "ach-debit"] = "credit-card"
    bank_account_type: Literal["consumer-checking", "consumer-savings", "commercial-checking", "commercial-savings"] = (
        "consumer-checking"
    )
    security_code: bool = True
    postal_code: bool | str = True
    "true: ask; false: neither ask nor send; text: the known code, sent without asking."
    min_postal_code_length: int = Field(default=0, ge=0, le=11)
    card_types: tuple[str, ...] = ("visa", "mastercard", "amex")
    retries: int = Field(default=1, ge=0, le=9)
    retry_rule: Literal["retries", "tries"] = "retries"
    "What `retries` counts: prompts beyond the first one, or all of them."
    decline_restarts: bool = True
    "Whether a declined card is asked for again while retries remain."
    timeout_s: float = Field(default=5.0, gt=0, le=600)
    first_digit_timeout_s: float | None = Field(default=None, gt=0, le=600)
    "Silence after the prompt; None: as `timeout_s`."
    matching: tuple[ASKED, ...] = ()
    "Steps that the caller keys twice."
    confirm: bool = False
    "Whether the last digits are read back before anything is charged."
    mask: str = "*"
    mask_style: Literal["plain", "dashed"] = "plain"
    token_type: Literal["reusable", "one-time", "payment-method"] = "reusable"
    parameters: dict[str, str] = Field(default_factory=dict)
    status_url: str = ""
    status_key_env: str = ""
    "Environment variable with the key that signs status webhooks; empty: not signed."
    allow_insecure: bool = False
    language: str = ""
    voice: str = ""
    prompts: tuple[FormPrompt, ...] = Field(default=(), alias="prompt")

    @field_validator("amount", mode="before")
    @classmethod
    def _amount(cls, value: Any) -> Any:
        if isinstance(value, float):
            raise ValueError('write the amount as text, such as amount = "25.00": binary fractions are not money')
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value

    @model_validator(mode="after")
    def _account_rules(self) -> FormConfig:
        if self.method == "credit-card" and "bank_account_type" in self.model_fields_set:
            raise ValueError('bank_account_type is for method = "ach-debit"')
        return self

    @model_validator(mode="after")
    def _status_url_rules(self) -> FormConfig:
        schemes = ("https://", "http://") if self.allow_insecure else ("https://",)
        if self.status_url and not self.status_url.startswith(schemes):
            raise ValueError("status_url must start with https:// (allow_insecure = true admits http:)")
        return self


class RouteConfig(Table):
    """What answers which calls: a form, or an application."""

    to: str = Field(min_length=1)
    "The dialled user, such as `pay` or `4711`; `*` stands for every other."
    form: str = ""
    app: str = ""

    @model_validator(mode="after")
    def _one_of(self) -> RouteConfig:
        if bool(self.form) == bool(self.app):
            raise ValueError("give exactly one of form and app")
        return self
