"""Events of calls through the real ledger and outbox: in order, signed so that the vendor's own check takes them."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
from vonage_jwt import verify_signature  # type: ignore[import-untyped,unused-ignore]

from engine.config import Config
from engine.ledger import Ledger
from engine.net.http import HttpResponse, Unanswered
from engine.net.web_client import WebClient
from engine.outbox import Outbox
from engine.programs.ncco.legs import NccoLegs
from tests.support.ncco_legs import APP_ID, EVENTS, KEY_ENV, LegScene, facts_of, ncco_config
from tests.support.payments import SlidingClock
from tests.support.programs import FakeWeb, Sent

pytestmark = pytest.mark.asyncio

SECRET = "a-signature-secret-of-32-letters"
SIGNED = f'signature_secret_env = "{KEY_ENV}"\napi_key = "a1b2"'
AT = datetime(2021, 6, 23, 12, 0, tzinfo=UTC)


async def told(tmp_path: Path, config: Config, pages: dict[str, Any]) -> list[Sent]:
    """Have a call in come, be answered and end; return what its application was sent."""
    web, clock = FakeWeb(), SlidingClock()
    web.pages = pages
    ledger = await Ledger.open(f"sqlite+aiosqlite:///{tmp_path / 'ledger.sqlite3'}", clock=clock)
    client = WebClient(web, clock=lambda: AT, key_for={KEY_ENV: SECRET}.__getitem__)
    outbox = Outbox(ledger, client=client, clock=clock, sleep=clock.sleep)
    scene = LegScene(config)
    scene.legs = NccoLegs(outbox, config, clock=lambda: AT)
    scene.legs.watch(facts_of(), app="shop")
    scene.created(facts_of())
    scene.answered(facts_of())
    scene.ended(facts_of())
    await scene.legs.close()
    outbox.start()
    await outbox.stop(drain_s=30.0)
    await ledger.close()
    return web.sent


async def test_events_are_posted_in_their_order_and_the_vendors_check_takes_each(tmp_path: Path) -> None:
    sent = await told(tmp_path, ncco_config(vonage=SIGNED), {EVENTS: HttpResponse(status=200, headers=(), body=b"")})
    assert [json.loads(one.body)["status"] for one in sent] == ["started", "ringing", "answered", "completed"]
    for one in sent:
        token = one.headers["Authorization"].removeprefix("Bearer ")
        assert verify_signature(token, SECRET)
        claims = jwt.decode(token, SECRET, algorithms=["HS256"])
        assert claims["payload_hash"] == hashlib.sha256(one.body).hexdigest()
        assert (claims["application_id"], claims["api_key"], claims["iss"]) == (APP_ID, "a1b2", "Vonage")


async def test_by_get_they_are_queries_and_signed_all_the_same(tmp_path: Path) -> None:
    config = ncco_config(app=f'event_url = "{EVENTS}"\nevent_method = "GET"', vonage=SIGNED)
    sent = await told(tmp_path, config, {EVENTS: HttpResponse(status=200, headers=(), body=b"")})
    assert [parse_qs(urlsplit(one.url).query)["status"] for one in sent] == [
        ["started"],
        ["ringing"],
        ["answered"],
        ["completed"],
    ]
    assert all(not one.body for one in sent)
    assert all(verify_signature(one.headers["Authorization"].removeprefix("Bearer "), SECRET) for one in sent)


async def test_one_that_the_application_does_not_take_at_first_is_not_overtaken(tmp_path: Path) -> None:
    page = [Unanswered("hung up"), *[HttpResponse(status=200, headers=(), body=b"")] * 9]
    sent = await told(tmp_path, ncco_config(), {EVENTS: page})
    assert [json.loads(one.body)["status"] for one in sent] == ["started"]  # the others wait until it is taken
