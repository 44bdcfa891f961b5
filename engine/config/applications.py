"""Applications of others that decide what happens on a call: ``[app.NAME]``, and what each vendor's have in common."""

from __future__ import annotations

import hashlib
import uuid
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from engine.config.table import ONE_LINE, Table

__all__ = (
    "AppConfig",
    "NccoApp",
    "RelayApp",
    "SignalWireConfig",
    "SwmlApp",
    "TwilioApiKey",
    "TwilioConfig",
    "TwimlApp",
    "VonageConfig",
)

STATUS_EVENTS = Literal["initiated", "ringing", "answered", "completed"]


def _checked_url(value: str) -> str:
    if value and not value.startswith(("https://", "http://")):
        raise ValueError("a URL that starts with https:// or http:// is wanted")
    return value


WebUrl = Annotated[str, AfterValidator(_checked_url)]
"Empty: there is none."


class TwimlApp(Table):
    """An application that answers with TwiML documents."""

    dialect: Literal["twiml"]
    url: WebUrl
    "Where the document of a call is fetched."
    method: Literal["GET", "POST"] = "POST"
    fallback_url: WebUrl = ""
    "Where it is fetched when ``url`` gives none that can be run."
    fallback_method: Literal["GET", "POST"] = "POST"
    status_callback: WebUrl = ""
    "Where the end of a call is told, and with ``status_events`` more."
    status_method: Literal["GET", "POST"] = "POST"
    status_events: tuple[STATUS_EVENTS, ...] = ("completed",)
    sid: str = Field(default="", pattern=r"^(AP[0-9a-f]{32})?$")
    "How REST requests name it (``ApplicationSid``); empty: made of its name, see ``paytone apps``."

    def sid_for(self, name: str) -> str:
        """Return the application's SID."""
        return self.sid or "AP" + hashlib.sha256(f"paytone app {name}".encode()).hexdigest()[:32]


class SwmlApp(Table):
    """An application that answers with SWML documents: one that is fetched, a file, or one that stands here."""

    dialect: Literal["swml"]
    url: WebUrl = ""
    "Where the document of a call is fetched; ``user:password@`` in it becomes HTTP Basic."
    file: str = ""
    "A JSON or YAML file; it is read again when it changes."
    document: str = ""
    "The document itself, JSON or YAML."
    fallback_url: WebUrl = ""
    "Where it is fetched when ``url`` gives none that can be run."

    @model_validator(mode="after")
    def _one_of(self) -> SwmlApp:
        if sum(map(bool, (self.url, self.file, self.document))) != 1:
            raise ValueError("a SWML application wants one of url, file and document")
        return self


class RelayApp(Table):
    """An application that is told of its calls over RELAY, by whichever of its clients joined the context."""

    dialect: Literal["relay"]
    context: str = Field(min_length=1, max_length=256)
    fallback_app: str = ""
    "Application that gets the call when no client takes it, or the one that had it is gone for good."
    fallback_form: str = ""
    "Form that does; without either the call is refused, or ended."
    answer_timeout_s: float = Field(default=30.0, gt=0, le=300)
    "How long a client may let a call ring before the fallback gets it."

    @model_validator(mode="after")
    def _one_fallback(self) -> RelayApp:
        if self.fallback_app and self.fallback_form:
            raise ValueError("either fallback_app or fallback_form, not both")
        return self


class NccoApp(Table):
    """An application of the Voice API: it answers with NCCOs, and may be asked for calls by REST."""

    dialect: Literal["ncco"]
    application_id: str = Field(default="", pattern=r"^([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})?$")
    "How its tokens and events name it; empty: made of its name, see ``paytone apps``."
    public_key: str = ""
    "PEM file with the key that its tokens are checked with; empty: it asks for no calls."
    answer_url: WebUrl = ""
    "Where the NCCO of a call is fetched."
    answer_method: Literal["GET", "POST"] = "GET"
    ncco: str = ""
    "The NCCO itself, JSON, in place of an ``answer_url``."
    event_url: WebUrl = ""
    "Where the states of calls, payments and errors are told; empty: nowhere."
    event_method: Literal["GET", "POST"] = "POST"
    fallback_url: WebUrl = ""
    "Where an NCCO is fetched when ``answer_url``, or an event URL that is to answer with one, fails."
    fallback_method: Literal["GET", "POST"] = "GET"
    connector: str = "sandbox"
    "The connector of its payments (D-49)."
    number: str = Field(default="", max_length=64, pattern=ONE_LINE)
    "Who is seen to call where nobody is named, or a random number of the application is wanted."

    @model_validator(mode="after")
    def _one_of(self) -> NccoApp:
        if bool(self.answer_url) == bool(self.ncco):
            raise ValueError("an NCCO application wants one of answer_url and ncco")
        return self

    def id_for(self, name: str) -> str:
        """Return the application's ID."""
        return self.application_id or str(uuid.uuid5(uuid.NAMESPACE_URL, f"paytone app {name}"))


AppConfig = Annotated[TwimlApp | SwmlApp | RelayApp | NccoApp, Field(discriminator="dialect")]
"One application."


class TwilioApiKey(Table):
    """A key that may be used in place of account SID and token."""

    sid: str = Field(pattern=r"^SK[0-9a-fA-F]{32}$")
    secret_env: str = Field(min_length=1)
    "Environment variable with its secret."


class TwilioConfig(Table):
    """The account of TwiML applications and of the REST interface in their dialect."""

    account_sid: str = Field(default="", pattern=r"^(AC[0-9a-f]{32})?$")
    "AC and 32 hexadecimal digits, chosen by the operator; empty: no TwiML and no REST."
    auth_token_env: str = ""
    "Environment variable with the token: it opens the REST interface and signs webhooks."
    api_keys: tuple[TwilioApiKey, ...] = Field(default=(), alias="api_key")
    connector: str = "sandbox"
    "``Default``: the connector of payments that name none."
    allow_insecure_callbacks: bool = False
    "Whether http: is taken for actions and callbacks of payments (D-30); for development."
    client_uri: str = Field(default="", pattern=ONE_LINE)
    "SIP URI that ``<Client>NAME</Client>`` calls, with ``{name}`` in it, such as ``sip:{name}@pbx.example.com``."
    retry_rule: Literal["retries", "tries"] = "retries"
    "What ``maxAttempts`` counts: prompts beyond the first one, or all of them (D-12)."
    mask_style: Literal["plain", "dashed"] = "plain"
    "Of card numbers in webhooks (D-19)."
    send_partial_false: bool = True
    "Whether the callback of a complete entry says ``PartialResult=false`` (D-40)."
    mask_fill: Literal["tone", "silence"] = "tone"
    "What agents and recordings hear in place of a key."
    allow_transfers: bool = False
    "Whether whom ``<Dial>`` has connected may hand the caller on by REFER: that is a call at the operator's cost."
    max_document_kb: int = Field(default=64, ge=1, le=1024)
    document_timeout_s: float = Field(default=15.0, gt=0, le=60)
    "How long an application may take for a document."

    @field_validator("client_uri")
    @classmethod
    def _client_uri(cls, value: str) -> str:
        if value and ("{name}" not in value or not value.startswith(("sip:", "sips:"))):
            raise ValueError('client_uri wants a SIP URI with {name} in it, such as "sip:{name}@pbx.example.com"')
        return value

    @model_validator(mode="after")
    def _token(self) -> TwilioConfig:
        if bool(self.account_sid) != bool(self.auth_token_env):
            raise ValueError("account_sid and auth_token_env belong together")
        return self


class SignalWireConfig(Table):
    """The project of SWML documents and RELAY clients."""

    project: str = Field(default="", max_length=64, pattern=r"^[A-Za-z0-9-]*$")
    "The project's ID, mostly a UUID, chosen by the operator; empty: no SWML and no RELAY."
    token_env: str = ""
    "Environment variable with the API token that RELAY clients show; empty: no RELAY."
    signing_key_env: str = ""
    "Environment variable with the key that signs requests for documents, and webhooks; empty: they are not signed."
    space: str = Field(default="", max_length=256, pattern=ONE_LINE)
    "The ``space_id`` that requests and events tell; of no meaning here."
    allow_insecure_callbacks: bool = False
    "Whether http: is taken for connectors and status URLs of payments; for development."
    retry_rule: Literal["retries", "tries"] = "retries"
    "What ``max_attempts`` counts: prompts beyond the first one, or all of them (D-12)."
    mask_style: Literal["plain", "dashed"] = "plain"
    "Of card numbers in status posts and events (D-19)."
    max_document_kb: int = Field(default=256, ge=1, le=4096)
    document_timeout_s: float = Field(default=15.0, gt=0, le=60)
    "How long an application may take for a document."
    max_clients: int = Field(default=100, ge=1, le=10_000)
    "RELAY clients connected at a time."
    max_calls_per_client: int = Field(default=1000, ge=1, le=100_000)
    "Calls that one client is given at a time: the vendor's client takes no more than a thousand by itself."
    restore_s: float = Field(default=120.0, gt=0, le=3600)
    "How long the session of a RELAY client that is gone is kept: its calls go on, its events wait (D-21)."

    @model_validator(mode="after")
    def _project(self) -> SignalWireConfig:
        if (self.token_env or self.signing_key_env) and not self.project:
            raise ValueError("token_env and signing_key_env want a project")
        return self


class VonageConfig(Table):
    """What NCCO applications and the Voice API have in common."""

    api_key: str = Field(default="", max_length=64, pattern=r"^[A-Za-z0-9]*$")
    "The account, as signed webhooks name it; of no other meaning here."
    signature_secret_env: str = ""
    "Environment variable with the secret that signs webhooks (32 characters at least); empty: they are not signed."
    allow_insecure_callbacks: bool = False
    "Whether http: is taken for event URLs of payments; for development."
    tell_payment_details: bool = False
    "Whether payment webhooks tell ``reason``, ``confirmation_code`` and the masked ``card`` besides (D-43)."
    max_document_kb: int = Field(default=64, ge=1, le=1024)
    document_timeout_s: float = Field(default=15.0, gt=0, le=60)
    "How long an application may take for an NCCO, each time it is asked."
    clock_skew_s: float = Field(default=60.0, ge=0, le=600)
    "How far the clocks of REST clients may be off."
    max_token_life_s: float = Field(default=86_400.0, gt=0, le=86_400)
    "How long a token may be good, from ``iat`` to ``exp``."
    max_token_uses: int = Field(default=100, ge=1, le=1_000_000)
    "How many requests one token (``jti``) may make: clients make a new one each time, and send a few once more."
