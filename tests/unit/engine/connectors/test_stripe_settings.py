"""The Stripe connector out of the configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trustme
from pydantic import ValidationError

from engine.config import StripeConnector
from engine.connectors import Stripe, open_connector
from engine.errors import ConfigError
from engine.pay.submission import Operation, Outcome
from tests.support.fake_stripe import CUSTOMER, KEY, FakeStripe, served
from tests.support.payments import submission_of

pytestmark = pytest.mark.asyncio


def settings(**changes: Any) -> StripeConnector:
    return StripeConnector(**({"type": "stripe", "key_env": "STRIPE_KEY"} | changes))


async def test_settings_reach_the_connector(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("STRIPE_KEY", KEY)
    async with FakeStripe(tls=served(authority), host="localhost", moto=False) as stripe:
        chosen = settings(
            url=stripe.url,
            moto=False,
            customer=CUSTOMER,
            api_version="2024-06-20",
            tls={"ca": str(tmp_path / "ca.pem")},
        )
        connector = await open_connector("live", chosen)
        answer = await connector.submit(submission_of(operation=Operation.TOKENIZE, amount=""))
        await connector.close()
    assert (connector.name, answer.outcome) == ("live", Outcome.SUCCEEDED)
    assert stripe.customers == {CUSTOMER: [answer.token_id]}
    assert {asked.headers["stripe-version"] for asked in stripe.asked} == {"2024-06-20"}


async def test_key_comes_out_of_the_environment_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STRIPE_KEY", raising=False)
    with pytest.raises(ConfigError, match=r"connector\.live\.key_env"):
        await open_connector("live", settings())
    monkeypatch.setenv("STRIPE_KEY", KEY)
    assert isinstance(await open_connector("live", settings()), Stripe)


async def test_authorities_that_cannot_be_read_are_a_mistake_of_the_configuration(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("STRIPE_KEY", KEY)
    with pytest.raises(ConfigError, match=r"missing\.pem"):
        await open_connector("live", settings(tls={"ca": "/nowhere/missing.pem"}))


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"key_env": ""}, "key_env is missing"),
        ({"url_env": "X"}, "stripe takes url"),
        ({"url": "http://127.0.0.1:1"}, "https://"),
        ({"customer": "card_1"}, "starts with cus_"),
        ({"api_version": "latest"}, "api_version is a date"),
    ],
)
async def test_wrong_setting_says_what_is_wrong(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        settings(**wrong)
