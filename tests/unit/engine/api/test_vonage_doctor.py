"""What `paytone doctor` says of NCCO applications: their keys and NCCOs, and the secret that signs webhooks."""

from __future__ import annotations

import asyncio
import inspect
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from engine import doctor
from engine.config import Config, parse

PEM, PUBLIC = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
APP = '[app.shop]\ndialect = "ncco"\nncco = "[]"\n'


def verdict(config: Config) -> tuple[str, str]:
    finding = asyncio.run(doctor._voice_api(config))
    assert finding.subject == "Voice API"
    assert (finding.verdict == "ok") is (finding.remedy == "")
    return finding.verdict, f"{finding.detail} / {finding.remedy}"


def config_of(applications: str, *, api: str = '[api]\nlisten = "127.0.0.1:0"\n') -> Config:
    return parse(f'[connector.sandbox]\ntype = "sandbox"\n{api}{applications}')


def with_key(path: Path) -> Config:
    return config_of(f'{APP}public_key = "{path}"\n')


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture
def public(key: rsa.RSAPrivateKey, tmp_path: Path) -> Path:
    path = tmp_path / "shop.pem"
    path.write_bytes(key.public_key().public_bytes(PEM, PUBLIC))
    return path


def test_without_such_an_application_there_is_nothing_to_look_at() -> None:
    assert verdict(config_of(""))[0] == "ok"


def test_an_application_with_or_without_a_key_is_well(public: Path) -> None:
    found, detail = verdict(config_of(APP))
    assert found == "ok"
    assert "without REST, webhooks not signed" in detail
    found, detail = verdict(with_key(public))
    assert found == "ok"
    assert "with REST" in detail


def test_a_key_that_is_missing_or_none_is_told_with_the_remedy(tmp_path: Path, key: rsa.RSAPrivateKey) -> None:
    private = key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    small = rsa.generate_private_key(65537, 1024).public_key().public_bytes(PEM, PUBLIC)
    curve = ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(PEM, PUBLIC)
    for name, text in (("no", None), ("text", b"a key"), ("private", private), ("small", small), ("curve", curve)):
        path = tmp_path / name
        if text is not None:
            path.write_bytes(text)
        found, detail = verdict(with_key(path))
        assert found == "bad", name
        assert "app.shop.public_key" in detail
        assert "openssl rsa" in detail
        assert "BEGIN" not in detail


def test_a_key_without_a_listener_is_told(public: Path) -> None:
    found, detail = verdict(config_of(f'{APP}public_key = "{public}"\n', api=""))
    assert found == "warn"
    assert "api.listen" in detail


def test_a_short_secret_is_told_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    config = config_of(f'[vonage]\nsignature_secret_env = "SHOP_SECRET"\n{APP}')
    monkeypatch.setenv("SHOP_SECRET", "x7" * 15)
    found, detail = verdict(config)
    assert found == "warn"
    assert "SHOP_SECRET" in detail
    assert "x7x7" not in detail
    monkeypatch.setenv("SHOP_SECRET", "x7" * 16)
    found, detail = verdict(config)
    assert found == "ok"
    assert "webhooks signed" in detail


@pytest.mark.parametrize("ncco", ["{", '[{"action": "sing"}]', '[{"action": "pay"}]'])
def test_an_ncco_that_cannot_be_run_is_told_with_its_place(ncco: str) -> None:
    finding = asyncio.run(doctor._documents(config_of(APP.replace('"[]"', f"'{ncco}'"))))
    assert finding.verdict == "bad"
    assert finding.detail.startswith("app.shop.ncco: ")
    assert finding.remedy
    assert asyncio.run(doctor._documents(config_of(APP))).verdict == "ok"


def test_it_is_one_of_the_doctors_checks(public: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def well(config: Config) -> doctor.Finding:
        return doctor.Finding(subject="another", verdict="ok", detail="")

    for name, check in list(vars(doctor).items()):
        if name.startswith("_") and name != "_voice_api" and inspect.iscoroutinefunction(check):
            monkeypatch.setattr(doctor, name, well)
    findings = asyncio.run(doctor.examine(with_key(public)))
    assert [finding.subject for finding in findings].count("Voice API") == 1
    assert len(findings) > 5
