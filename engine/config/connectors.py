"""Where payments are sent: ``[connector.NAME]``, one class a ``type``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field, model_validator

from engine.config.table import Table
from engine.errors import ConnectorError

__all__ = (
    "ConnectorConfig",
    "GatewayTlsConfig",
    "SandboxConnector",
    "SignalWireConnector",
    "StripeConnector",
    "TwilioConnector",
    "UnknownConnectorError",
    "choose_connector",
)

DEFAULT = "Default"
"The connector of a document that names none (`dialects.md` §4.1)."


class UnknownConnectorError(ConnectorError):
    """A document or a request names a connector that the configuration does not have."""

    pay_error_code = 64004
    "Number of `dialects.md` §4.4."


def choose_connector(names: Iterable[str], wanted: str) -> str:
    """Return the one of the configured ``names`` that ``wanted`` means; empty stands for ``Default``.

    The exact name goes first, then the only one that differs in case. When nothing is named ``Default`` and there is
    one connector alone, that one is the default. Raise ``UnknownConnectorError`` otherwise.
    """
    wanted, known = wanted or DEFAULT, sorted(names)
    if wanted in known:
        return wanted
    alike = [name for name in known if name.casefold() == wanted.casefold()]
    if not alike and wanted.casefold() == DEFAULT.casefold():
        alike = known
    if len(alike) == 1:
        return alike[0]
    reason = f"which of {', '.join(alike)} is meant" if alike else f"known: {', '.join(known) or 'none'}"
    raise UnknownConnectorError(f"there is no connector {wanted[:64]!r} ({reason})")


class SandboxConnector(Table):
    """The built-in test gateway: answers by published test-card numbers, takes no money."""

    type: Literal["sandbox"]
    database: str = "var/sandbox.sqlite3"
    faults: tuple[str, ...] = ()
    "Faults of the next payments, one each; docs/connectors.md has the table: decline, delay:SECONDS ..."


class GatewayTlsConfig(Table):
    """What a gateway must show, and what we show it; TLS 1.2 at least, always verified.

    The files are read again when they change.
    """

    ca: str = ""
    "PEM file with the authorities that are trusted; empty: those of the system."
    certificate: str = ""
    "PEM file with our certificate chain, for gateways that ask for one."
    key: str = ""
    "PEM file with its private key."

    @model_validator(mode="after")
    def _pair(self) -> GatewayTlsConfig:
        if bool(self.certificate) != bool(self.key):
            raise ValueError("certificate and key belong together: give both or none")
        return self


class _Gateway(Table):
    """What the connectors to gateways elsewhere have in common."""

    url: str = ""
    url_env: str = ""
    "Name of the environment variable that holds the URL, for URLs with a user and a password."
    timeout_s: float = Field(default=10.0, gt=0, le=60)
    "For each try."
    repeats: int = Field(default=5, ge=0, le=10)
    "Of an unanswered request, with the same transaction id."
    allow_insecure: bool = False
    "Allow http: URLs (development only)."
    tls: GatewayTlsConfig = GatewayTlsConfig()

    def _check_url(self) -> None:
        if self.url and not self.url.startswith(("https://", "http://")):
            raise ValueError("url must start with https://")
        if self.url.startswith("http://") and not self.allow_insecure:
            raise ValueError("url must start with https:// (allow_insecure = true admits http: for development)")
        if re.match(r"https?://[^/]*@", self.url):
            raise ValueError("a URL with a password does not belong in this file: name a variable in url_env")


class SignalWireConnector(_Gateway):
    """A gateway that speaks SignalWire's `payment_connector_url` wire."""

    type: Literal["signalwire"]
    signing_key_env: str = ""
    "Environment variable with the key that signs the request; empty: not signed."
    body: Literal["swml", "compatible"] = "swml"
    "Which of the two published forms of the body the gateway reads (D-45)."

    @model_validator(mode="after")
    def _url_rules(self) -> SignalWireConnector:
        if bool(self.url) == bool(self.url_env):
            raise ValueError("give exactly one of url and url_env")
        self._check_url()
        return self


class TwilioConnector(_Gateway):
    """A gateway that speaks Twilio's generic pay connector wire, cards and bank debits."""

    type: Literal["twilio"]
    user: str = ""
    password_env: str = ""
    "HTTP Basic: the user, and the environment variable with the password."
    bank_debits: bool = True
    "Whether the gateway takes bank accounts."

    @model_validator(mode="after")
    def _url_rules(self) -> TwilioConnector:
        if bool(self.url) == bool(self.url_env):
            raise ValueError("give exactly one of url and url_env")
        if bool(self.user) != bool(self.password_env):
            raise ValueError("user and password_env belong together: give both or none")
        self._check_url()
        return self


class StripeConnector(_Gateway):
    """Stripe's REST API; the account needs its approval for raw card numbers and for MOTO."""

    type: Literal["stripe"]
    url: str = "https://api.stripe.com"
    "Another one is for tests."
    key_env: str = ""
    "Environment variable with the secret key."
    moto: bool = True
    "Mark charges as mail order, telephone order: no authentication of the payer is possible on a call."
    customer: str = ""
    "Customer (`cus_...`) that reusable cards are attached to; empty: a SetupIntent without one."
    api_version: str = ""
    "Stripe-Version header; empty: the account's own."

    @model_validator(mode="after")
    def _url_rules(self) -> StripeConnector:
        if not self.key_env:
            raise ValueError("key_env is missing: name the environment variable with the secret key")
        if self.url_env:
            raise ValueError("stripe takes url, and needs none")
        if self.customer and not re.fullmatch(r"cus_[A-Za-z0-9_]+", self.customer):
            raise ValueError("customer is no customer of Stripe's: its id starts with cus_")
        if self.api_version and not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(\.[a-z]+)?", self.api_version):
            raise ValueError("api_version is a date, such as 2024-06-20, with a name behind it in newer ones")
        self._check_url()
        return self


ConnectorConfig = Annotated[
    SandboxConnector | SignalWireConnector | TwilioConnector | StripeConnector, Field(discriminator="type")
]
