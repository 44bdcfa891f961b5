"""The engine's HTTP interface, ``[api]``, and where recordings go, ``[recording]``."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator, model_validator

from engine.config.table import Table, split_address

__all__ = ("ApiConfig", "ApiTlsConfig", "RecordingConfig")


class ApiTlsConfig(Table):
    """Certificate of the HTTPS listener, PEM files; they are read again when they change."""

    certificate: str = ""
    key: str = ""

    @model_validator(mode="after")
    def _both(self) -> ApiTlsConfig:
        if bool(self.certificate) != bool(self.key):
            raise ValueError("certificate and key belong together")
        for name in (self.certificate, self.key):
            if name and not Path(name).is_file():
                raise ValueError(f"{name} is not there; `paytone cert` makes a certificate for tests")
        return self


class ApiConfig(Table):
    """Where the REST interface listens; without ``listen`` and ``tls_listen`` there is none."""

    listen: str = ""
    "Address and TCP port for HTTP: for loopback, or behind a proxy that speaks TLS."
    tls_listen: str = ""
    "Address and TCP port for HTTPS."
    proxy_listen: str = ""
    """Address and TCP port of an HTTP proxy that answers CONNECT for the vendors' host names with the HTTPS listener,
    and for no other: for SDKs that are to be pointed here without a change of code (``docs/twilio.md``)."""
    tls: ApiTlsConfig = ApiTlsConfig()
    public_url: str = ""
    "How others reach the interface, such as ``https://pay.example.com``: it begins the URLs of recordings."
    requests_per_s: float = Field(default=500.0, gt=0, le=100_000)
    "Of one account; what is beyond it is answered 429."
    burst: int = Field(default=1000, ge=1, le=1_000_000)
    "Requests that may come at once."
    max_connections: int = Field(default=1000, ge=1, le=100_000)
    "Open at a time; those beyond it wait."
    max_body_kb: int = Field(default=256, ge=16, le=10_240)

    @field_validator("listen", "tls_listen", "proxy_listen")
    @classmethod
    def _listen(cls, value: str) -> str:
        if value:
            split_address(value)
        return value

    @field_validator("public_url")
    @classmethod
    def _public_url(cls, value: str) -> str:
        if value and not value.startswith(("https://", "http://")):
            raise ValueError("public_url must start with https:// or http://")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _tls_files(self) -> ApiConfig:
        if self.tls_listen and not self.tls.certificate:
            raise ValueError("tls_listen wants [api.tls] certificate and key; `paytone cert` makes them for tests")
        if self.proxy_listen and not self.tls_listen:
            raise ValueError("proxy_listen leads to the HTTPS listener: set tls_listen too")
        return self

    @property
    def is_on(self) -> bool:
        """Whether anything listens."""
        return bool(self.listen or self.tls_listen)


class RecordingConfig(Table):
    """Where calls are recorded to; recording is off without a directory."""

    directory: str = ""
    max_hours: float = Field(default=4.0, gt=0, le=24)
    "After which a recording completes itself."
    keep_days: int = Field(default=0, ge=0, le=36500)
    "Days after which a recording is deleted, file and record; 0: never."
