"""The Stripe connector against localstripe, somebody else's idea of Stripe's API: one payment, one decline, one token.

localstripe 1.15.10 is no proof of more: it ignores Idempotency-Key, takes every card for a Visa of 16 digits with a
code of 3, refuses ``description``, ``error_on_requires_action`` and the confirmation of a SetupIntent that is being
created, has no search, and knows no decline codes. What it does not know, the strict account of
`tests.support.fake_stripe` does. Its program listens on every interface and writes what it was told, card numbers in
clear, to a file in /tmp: here its application is served on loopback with that writing taken out.
"""

from __future__ import annotations

import importlib.util
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.connectors import Stripe
from engine.pay.submission import ConnectorAnswer, Operation, Outcome, TokenType
from tests.support.payments import submission_of
from tests.support.process import Program, free_port

pytestmark = [
    pytest.mark.interop,
    pytest.mark.asyncio,
    pytest.mark.skipif(importlib.util.find_spec("localstripe") is None, reason="not installed here: localstripe"),
]

START_S = 60.0
PICKLE = Path("/tmp/localstripe.pickle")
SERVE = """
import sys
from aiohttp import web
from localstripe.resources import Store
Store.dump_to_disk = lambda store: None
from localstripe.server import app
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]))
"""


async def test_payment_decline_and_token(tmp_path: Path) -> None:
    before = PICKLE.stat().st_mtime_ns if PICKLE.exists() else None
    port = free_port(socket.SOCK_STREAM)

    async def submit(number: str = "4242424242424242", **changes: Any) -> ConnectorAnswer:
        # repeats=0: it would carry out each repeat again, for want of idempotency.
        stripe = Stripe("gw", url=f"http://127.0.0.1:{port}", key="sk_test_paytone", allow_insecure=True, repeats=0)
        return await stripe.submit(submission_of(number, description="", **changes))

    async with Program(sys.executable, "-c", SERVE, str(port), directory=tmp_path) as server:
        await server.wait_line("Running on", timeout_s=START_S)
        charged = await submit(parameters={"order": "A 1"})
        declined = await submit("4000000000000341")
        token = await submit(operation=Operation.TOKENIZE, amount="", token_type=TokenType.ONE_TIME)
    assert charged.outcome is Outcome.SUCCEEDED
    assert charged.charge_id.startswith(("ch_", "pi_"))
    assert charged.parameters["payment_intent"].startswith("pi_")
    assert (declined.outcome, declined.error_type) == (Outcome.DECLINED, "card-declined")
    assert token.outcome is Outcome.SUCCEEDED
    assert token.token_id.startswith("pm_")
    assert (PICKLE.stat().st_mtime_ns if PICKLE.exists() else None) == before
