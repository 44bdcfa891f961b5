"""A process that charges once, for tests that kill it.

``python -m tests.support.charger`` takes a JSON object of settings in its first argument and keyed digits on standard
input (card number, ``#``, security code, ``#``), one byte at a time, so that no string of them is ever made. It writes
one JSON object a line to standard output and, when done, waits for the end of standard input.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from datetime import UTC, datetime
from typing import Any

import uvloop

from engine.charging import Charging
from engine.connectors import Connector, SandboxGateway, SignalWire
from engine.ledger import Ledger
from engine.net.egress import Egress
from engine.net.http_pool import HttpPool
from engine.net.web_client import WebClient
from engine.outbox import Outbox
from engine.pay.secret import Secret
from engine.pay.submission import ConnectorAnswer, Operation, Submission
from engine.reconciling import Reconciler

PAYMENT = "payment-1"
TRANSACTION = "7f4c9d0a-2d8e-4a55-9a0e-5f1c6b7d8e90"


def say(**values: Any) -> None:
    """Tell the test something."""
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


def keyed() -> Secret:
    """Read digits up to ``#``."""
    secret = Secret(19)
    while (byte := os.read(0, 1)) not in (b"#", b""):
        secret.append(byte[0] - ord("0"))
    return secret


class Stuck:
    """A connector whose answer never gets back to us: the gateway has booked, and then silence."""

    def __init__(self, inner: SandboxGateway) -> None:
        self.inner = inner
        self.name = inner.name
        self.capabilities = inner.capabilities

    async def submit(self, submission: Submission) -> ConnectorAnswer:
        """Let the gateway book, say so, and hang."""
        await self.inner.submit(submission)
        say(state="booked")
        await asyncio.Event().wait()
        raise AssertionError

    async def look_up(self, transaction_id: str) -> ConnectorAnswer | None:
        """Ask the gateway."""
        return await self.inner.look_up(transaction_id)

    async def close(self) -> None:
        """Close the gateway."""
        await self.inner.close()


async def connector_of(settings: dict[str, Any]) -> Connector:
    """Return the connector that the settings name."""
    if "gateway" in settings:
        return SignalWire(
            "gw",
            url=settings["gateway"],
            allow_insecure=True,
            signing_key="k",
            timeout_s=settings.get("timeout_s", 30.0),
        )
    sandbox = await SandboxGateway.open("gw", database=settings["sandbox"], faults=settings.get("faults", ()))
    return Stuck(sandbox) if settings.get("stuck") else sandbox


async def run(settings: dict[str, Any]) -> None:
    """Reconcile, then charge when told to, then deliver webhooks when told to."""
    ledger = await Ledger.open(settings["ledger"])
    connector = await connector_of(settings)
    charging = Charging(ledger, {"gw": connector})
    reconciler = Reconciler(ledger, {"gw": connector}, is_running=charging.is_running, clock=lambda: datetime.now(UTC))
    for record in await reconciler.at_start():
        say(state="reconciled", **record.for_log())
    if settings.get("charge"):
        await ledger.start_payment(
            PAYMENT, call_id="call-1", form="donation", operation="charge", amount="25.00", currency="usd"
        )
        submission = Submission(
            transaction_id=TRANSACTION,
            operation=Operation.CHARGE,
            card_number=keyed(),
            security_code=keyed(),
            card_type="mastercard",
            expiry_month="12",
            expiry_year="30",
            postal_code="94105",
            amount="25.00",
        )
        answer = await charging.charge(PAYMENT, submission, "gw")
        del submission
        say(state="answered", outcome=answer.outcome, code=answer.error_code)
    for name in settings.get("webhooks", ()):
        await ledger.webhooks.enqueue("session", settings["receiver"], name.encode(), allow_insecure=True)
    if "receiver" in settings:
        pool = HttpPool(Egress(["127.0.0.0/8"]))
        client = WebClient(pool.request, clock=lambda: datetime.now(UTC))
        outbox = Outbox(ledger, client=client, clock=lambda: datetime.now(UTC))
        outbox.start()
        say(state="delivering")
        await outbox.stop(drain_s=30.0)
        await pool.close()
    say(state="idle")
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.buffer.read)
    await connector.close()
    await ledger.close()


def main() -> None:
    """Run with the settings of the command line."""
    settings = json.loads(sys.argv[1])
    loop_factory = uvloop.new_event_loop if settings.get("uvloop") else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(run(settings))


if __name__ == "__main__":
    main()
