"""Applications of the Voice API for tests: their keys, their tokens, and an interface that lets them in."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, cast

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from engine.api.deps import ApiDeps, Resource
from engine.config import Config, parse
from engine.ledger import Ledger
from engine.outbox import Outbox
from engine.programs.ncco.legs import NccoLegs
from tests.support.api import API_TOML, ApiScene, api_scene

__all__ = (
    "BANK",
    "BANK_ID",
    "SHOP",
    "SHOP_ID",
    "VoiceScene",
    "bearer",
    "claims_of",
    "private_key",
    "private_pem",
    "public_pem",
    "token_of",
    "voice_config",
    "voice_scene",
)

SHOP, SHOP_ID = "shop", "78d335fa-323d-0114-9c3d-d6f0d48968cf"
BANK, BANK_ID = "bank", "0b1c2d3e-4f50-4617-8293-a4b5c6d7e8f9"


@cache
def _key(_owner: str, bits: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def private_key(owner: str = SHOP, bits: int = 2048) -> rsa.RSAPrivateKey:
    """Return a key, made once for each owner."""
    return _key(owner, bits)


def private_pem(owner: str = SHOP) -> str:
    """Return a private key as the vendor's libraries take it."""
    return private_key(owner).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def public_pem(owner: str = SHOP, bits: int = 2048) -> bytes:
    """Return a public key as the operator has it in a file."""
    return private_key(owner, bits).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def claims_of(application: str = SHOP_ID, *, now: float | None = None, **more: Any) -> dict[str, Any]:
    """Return what the vendor's libraries claim; a claim that is None is left out."""
    at = int(time.time() if now is None else now)
    claims = {"application_id": application, "iat": at, "jti": str(uuid.uuid4()), "exp": at + 900} | more
    return {name: value for name, value in claims.items() if value is not None}


def token_of(owner: str = SHOP, application: str = SHOP_ID, *, now: float | None = None, **more: Any) -> str:
    """Return a token that an application signed."""
    return jwt.encode(claims_of(application, now=now, **more), private_key(owner), algorithm="RS256")


def bearer(token: str | None = None) -> dict[str, str]:
    """Return the header of a token; a fresh one of the shop's without any."""
    return {"Authorization": f"Bearer {token_of() if token is None else token}"}


def voice_config(directory: Path, more: str = "", *, twilio: bool = False, vonage: str = "") -> Config:
    """Return a configuration with the applications ``shop`` and ``bank``, whose keys are in ``directory``."""
    tables = (
        API_TOML if twilio else API_TOML.partition("[twilio]")[0] + "[connector" + API_TOML.partition("[connector")[2]
    )
    for name, identity in ((SHOP, SHOP_ID), (BANK, BANK_ID)):
        (directory / f"{name}.pem").write_bytes(public_pem(name))
        tables += (
            f'[app.{name}]\ndialect = "ncco"\napplication_id = "{identity}"\n'
            f'public_key = "{directory}/{name}.pem"\nanswer_url = "https://{name}.example/answer"\n'
        )
        if name == SHOP:
            tables += 'number = "15550100001"\nfallback_url = "https://shop.example/fallback"\n'
    return parse(f"{tables}[vonage]\n{vonage}\n{more}")


class _NoOutbox:
    async def enqueue(self, session: str, url: str, body: bytes, **more: Any) -> None:
        raise AssertionError("nobody is to be told anything here")


class VoiceScene:
    """An interface that runs, and who asks it."""

    def __init__(self, api: ApiScene, legs: NccoLegs) -> None:
        self.api = api
        self.legs = legs

    async def ask(
        self, method: str, path: str, *, headers: dict[str, str] | None = None, **request: Any
    ) -> tuple[int, Any]:
        """Return status and JSON of a request below ``/v1``, by the shop where no header says otherwise."""
        headers = bearer() if headers is None else headers
        async with self.api.session.request(method, f"{self.api.url}/v1{path}", headers=headers, **request) as answer:
            return answer.status, (await answer.json() if await answer.read() else None)


@asynccontextmanager
async def voice_scene(
    ledger: Ledger,
    config: Config,
    make_resources: Callable[[NccoLegs], Iterable[Resource]] = lambda _legs: (),
    *,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    public: Sequence[str] = (),
    **context: Any,
) -> AsyncIterator[VoiceScene]:
    """Serve resources to the applications of a configuration."""
    legs = NccoLegs(cast("Outbox", _NoOutbox()), config, clock=clock)
    resources: list[Callable[[Any, ApiDeps], None]] = list(make_resources(legs))
    async with api_scene(ledger, resources, config=config, clock=clock, public=public, ncco=legs, **context) as scene:
        yield VoiceScene(scene, legs)
