"""A process that takes one payment from its keys to its end, for the search of its memory.

``python -m tests.support.payer`` takes a JSON object of settings in its first argument and the caller's keys on
standard input, one byte at a time, so that no string of them is ever made. They go into a pay machine; what it submits
goes through ``Charging``, as on a call. Everything that a careless engine might keep is kept until the end: the
machine, its commands, the submission, the answer. It writes one JSON object a line to standard output and its log to
standard error; when all is over it says ``idle`` and waits for the end of standard input.

Settings: ``ledger``; ``method`` (``credit-card``, ``ach-debit``); ``connector`` (``sandbox``, ``signalwire``,
``compatible``, ``twilio``, ``stripe``) with ``url`` and ``ca``, or ``database`` and ``faults``; ``timeout_s``,
``repeats``; ``leak``: keep a copy of what was keyed, for the search to find; and ``end``:

* ``answer``: wait for the connector
* ``raise``: the connector breaks down after it has sent the payment
* ``hang up``: the caller hangs up while the connector works; ``leave``: what waits for the connector is cancelled
* ``cancel``: everything that runs is cancelled while the connector works
* ``shut down``: the engine is stopped while the connector works

All but the first two wait for a ``!`` on standard input.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import sys
from collections.abc import Awaitable, Callable
from datetime import date
from typing import Any

import uvloop

from engine.charging import Charging
from engine.connectors import Connector, SandboxGateway, SignalWire, Stripe, Twilio
from engine.connectors.signalwire import BodyForm
from engine.ledger import Ledger
from engine.net.http import HttpResponse, request
from engine.net.tls import client_context
from engine.pay.commands import Command, Submit
from engine.pay.machine import PayMachine
from engine.pay.order import PayOrder
from engine.pay.submission import ConnectorAnswer, Submission
from tests.support.fake_stripe import KEY
from tests.support.gateway import BASIC_AUTH

PAYMENT = "payment-1"
TRANSACTION = "7f4c9d0a-2d8e-4a55-9a0e-5f1c6b7d8e90"
STAR, POUND = 10, 11
kept: list[object] = []


def say(**values: Any) -> None:
    """Tell the test something."""
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


async def told() -> None:
    """Wait until the test says that it is time."""
    while await asyncio.get_running_loop().run_in_executor(None, os.read, 0, 1) not in (b"!", b""):
        pass


async def at_once(_: float) -> None:
    """Let the time before a repeat pass."""
    await asyncio.sleep(0)


async def broken(*args: Any, **options: Any) -> HttpResponse:
    """Send the request, then break down, with a message that quotes what was sent."""
    await request(*args, **options)
    raise RuntimeError(f"sent {len(options['body'])} bytes and broke")


class Broken:
    """A connector that breaks down when the payment is on its way."""

    def __init__(self, inner: Connector) -> None:
        self.inner = inner
        self.name = inner.name
        self.capabilities = inner.capabilities

    async def submit(self, submission: Submission) -> ConnectorAnswer:
        """Let it pay, and break down."""
        await self.inner.submit(submission)
        raise RuntimeError("broke")

    async def look_up(self, transaction_id: str) -> ConnectorAnswer | None:
        """Ask the gateway."""
        return await self.inner.look_up(transaction_id)

    async def close(self) -> None:
        """Close the gateway."""
        await self.inner.close()


async def connector_of(settings: dict[str, Any], sleep: Callable[[float], Awaitable[None]]) -> Connector:
    """Return the connector that the settings name."""
    kind = settings["connector"]
    if kind == "sandbox":
        sandbox = await SandboxGateway.open("gw", database=settings["database"], faults=settings["faults"], sleep=sleep)
        return Broken(sandbox) if settings["end"] == "raise" else sandbox
    options: dict[str, Any] = {
        "url": settings["url"],
        "tls": client_context(settings["ca"]),
        "timeout_s": settings["timeout_s"],
        "repeats": settings["repeats"],
        "sleep": at_once,
        "send": broken if settings["end"] == "raise" else request,
    }
    match kind:
        case "stripe":
            return Stripe("gw", key=KEY, **options)
        case "twilio":
            return Twilio("gw", basic_auth=BASIC_AUTH, **options)
        case _:
            form = BodyForm.COMPATIBLE if kind == "compatible" else BodyForm.SWML
            return SignalWire("gw", signing_key="k", form=form, **options)


class Call:
    """What a call is to a payment: keys into the machine, commands out of it."""

    def __init__(self, settings: dict[str, Any]) -> None:
        order = PayOrder(amount="25.00", method=settings["method"], max_attempts=0)
        self.machine = PayMachine(order, today=lambda: date(2026, 11, 21), transaction_id=lambda: TRANSACTION)
        self.commands: list[Command] = []
        self.now = 0.0

    def take(self) -> None:
        """Keep what the machine wants."""
        while (command := self.machine.next_command()) is not None:
            self.commands.append(command)

    def keyed(self) -> Submission:
        """Feed keys until the machine submits."""
        self.machine.start(self.now)
        self.take()
        while not (submissions := [command for command in self.commands if isinstance(command, Submit)]):
            byte = os.read(0, 1)
            assert byte, "the keys ended before the payment was submitted"
            self.now += 0.25
            self.machine.digit(POUND if byte == b"#" else byte[0] - ord("0"), self.now)
            self.take()
        return submissions[0].submission


async def run(settings: dict[str, Any]) -> None:
    """Take the payment, end it as the settings say, and wait to be looked at."""
    ledger = await Ledger.open(settings["ledger"])
    gate = asyncio.Event()

    async def sleep(_: float) -> None:
        say(state="at work")
        await gate.wait()

    in_the_middle = settings["end"] not in ("answer", "raise")
    connector = await connector_of(settings, sleep if in_the_middle else at_once)
    charging = Charging(ledger, {"gw": connector})
    call = Call(settings)
    say(state="ready")
    submission = call.keyed()
    await ledger.start_payment(
        PAYMENT, call_id="call-1", form="donation", operation="charge", amount="25.00", currency="usd"
    )
    kept.extend((call, submission, charging))
    secrets = [submission.card_number, submission.account_number, submission.security_code]
    leaked = [secret.view().tobytes() for secret in secrets if secret] if settings.get("leak") else []
    waiting = asyncio.ensure_future(charging.charge(PAYMENT, submission, "gw"))
    if in_the_middle:
        await told()
    match settings["end"]:
        case "hang up":
            call.machine.hang_up(call.now)
        case "leave":
            waiting.cancel()
        case "cancel":
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
    say(state="told")
    gate.set()
    answer = await asyncio.gather(waiting, return_exceptions=settings["end"] in ("leave", "cancel"))
    await charging.drain()
    if isinstance(answer[0], ConnectorAnswer):
        call.machine.connector_answered(answer[0], call.now)
        say(state="answered", outcome=answer[0].outcome, code=answer[0].error_code)
    else:
        call.machine.hang_up(call.now)
        say(state="answered", outcome="", code=type(answer[0]).__name__)
    call.take()
    kept.extend((answer, leaked))
    if settings["end"] == "shut down":
        await connector.close()
        await ledger.close()
    gc.collect()
    say(state="idle", wiped=_all_wiped(submission))
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.buffer.read)
    if settings["end"] == "cancel":
        os._exit(0)  # the ledger's own task was cancelled too: nobody is left who could close it
    if settings["end"] != "shut down":
        await connector.close()
        await ledger.close()


def _all_wiped(submission: Submission) -> bool:
    secrets = (submission.card_number, submission.account_number, submission.security_code)
    return all(secret.wiped for secret in secrets if secret is not None)


def main() -> None:
    """Run with the settings of the command line."""
    settings = json.loads(sys.argv[1])
    logging.basicConfig(level=logging.DEBUG)
    loop_factory = uvloop.new_event_loop if settings.get("uvloop") else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(run(settings))


if __name__ == "__main__":
    main()
