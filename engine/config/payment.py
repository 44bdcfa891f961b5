"""Payments: ``[connector.NAME]``, ``[form.NAME]``, ``[[route]]``."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from engine.config.table import Table

__all__ = ("ConnectorConfig", "FormConfig", "FormPrompt", "RouteConfig", "SandboxConnector", "SignalWireConnector")

STEPS = Literal[
    "payment-card-number",
    "expiration-date",
    "security-code",
    "postal-code",
    "payment-processing",
    "payment-completed",
    "payment-failed",
    "payment-canceled",
]


class SandboxConnector(Table):
    """The built-in test gateway: answers by published test-card numbers, takes no money."""

    type: Literal["sandbox"]
    database: str = "var/sandbox.sqlite3"
    faults: tuple[str, ...] = ()
    "Faults of the next payments, one each; ``engine.connectors.sandbox`` has the table: decline, delay:SECONDS ..."


class SignalWireConnector(Table):
    """A gateway that speaks SignalWire's `payment_connector_url` wire."""

    type: Literal["signalwire"]
    url: str = ""
    url_env: str = ""
    "Name of the environment variable that holds the URL, for URLs with a user and a password."
    signing_key_env: str = ""
    timeout_s: float = Field(default=10.0, gt=0, le=60)
    repeats: int = Field(default=5, ge=0, le=10)
    allow_insecure: bool = False
    "Allow http: URLs (development only)."

    @model_validator(mode="after")
    def _url_rules(self) -> SignalWireConnector:
        if bool(self.url) == bool(self.url_env):
            raise ValueError("give exactly one of url and url_env")
        if self.url and not self.url.startswith(("https://", "http://")):
            raise ValueError("url must start with https://")
        if self.url.startswith("http://") and not self.allow_insecure:
            raise ValueError("url must start with https:// (allow_insecure = true admits http: for development)")
        if re.match(r"https?://[^/]*@", self.url):
            raise ValueError("a URL with a password does not belong in this file: name a variable in url_env")
        return self


ConnectorConfig = Annotated[SandboxConnector | SignalWireConnector, Field(discriminator="type")]


class FormPrompt(Table):
    """A prompt of one's own: text or an audio file, for a step and, if given, attempts, errors and card types."""

    step: STEPS = Field(alias="for")
    say: str = Field(default="", max_length=2000)
    play: str = ""
    attempts: tuple[int, ...] = ()
    errors: tuple[str, ...] = ()
    card_types: tuple[str, ...] = ()

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
    security_code: bool = True
    postal_code: bool | str = True
    "true: ask; false: neither ask nor send; text: the known code, sent without asking."
    min_postal_code_length: int = Field(default=0, ge=0, le=11)
    card_types: tuple[str, ...] = ("visa", "mastercard", "amex")
    retries: int = Field(default=1, ge=0, le=9)
    timeout_s: float = Field(default=5.0, gt=0, le=600)
    token_type: Literal["reusable", "one-time"] = "reusable"
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
    def _status_url_rules(self) -> FormConfig:
        schemes = ("https://", "http://") if self.allow_insecure else ("https://",)
        if self.status_url and not self.status_url.startswith(schemes):
            raise ValueError("status_url must start with https:// (allow_insecure = true admits http:)")
        return self


class RouteConfig(Table):
    """Which calls a form answers."""

    to: str = Field(min_length=1)
    "The dialled user, such as `pay` or `4711`; `*` stands for every other."
    form: str
