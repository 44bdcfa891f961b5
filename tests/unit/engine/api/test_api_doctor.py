"""What `paytone doctor` says of the HTTP interface."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from engine import doctor
from engine.api.certificates import make_certificate
from engine.config import Config
from tests.support.api import config_of


def verdict(config: Config) -> tuple[str, str]:
    finding = asyncio.run(doctor._api(config))
    assert finding.subject == "HTTP interface"
    assert (finding.verdict == "ok") is (finding.remedy == "")
    return finding.verdict, finding.detail


def with_api(**values: object) -> Config:
    config = config_of()
    return config.model_copy(update={"api": config.api.model_copy(update=values)})


def test_an_interface_that_is_off_or_can_listen_is_well() -> None:
    assert verdict(with_api(listen=""))[0] == "ok"
    assert verdict(with_api()) == ("ok", "free: 127.0.0.1:0")


def test_a_port_that_is_taken_and_credentials_in_clear_are_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert verdict(with_api(listen=f"127.0.0.1:{taken.getsockname()[1]}"))[0] == "bad"
    assert verdict(with_api(listen="0.0.0.0:0")) == ("warn", "credentials come to 0.0.0.0:0 in clear")


def test_a_certificate_that_ends_or_does_not_fit_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = make_certificate(tmp_path / "1"), make_certificate(tmp_path / "2")
    config = config_of(f'[api.tls]\ncertificate = "{one.certificate}"\nkey = "{one.key}"\n')
    config = config.model_copy(update={"api": config.api.model_copy(update={"tls_listen": "127.0.0.1:0"})})
    assert verdict(config)[0] == "ok"
    monkeypatch.setattr(doctor, "CERTIFICATE_DAYS", 1000)
    assert verdict(config)[0] == "warn"
    one.key.write_bytes(other.key.read_bytes())
    assert verdict(config)[0] == "bad"
