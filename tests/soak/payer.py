"""A process that takes payments and dies at a chosen point of the way: the child of ``tests.soak.kill_nine``.

``python -m tests.soak.payer SETTINGS`` (JSON) opens the engine's own ledger, connectors, charging and outbox, runs the
payment form with keys that are pressed at once, and kills itself with SIGKILL at ``point``, or is killed from outside.
Without a point it settles: it reconciles, delivers what waits, and ends.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import uuid
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import uvloop
from sqlalchemy import func, select

from engine.config import Config, parse
from engine.form import REPLY_KIND, FormContext, FormProgram, tell_interrupted
from engine.ledger.schema import OUTBOX
from engine.net import http
from engine.payment_run import PaymentContext
from engine.payments import Payments
from prompts.clip import Clip
from tests.support.call_control import FakeCall

__all__ = ("POINTS", "main")

KEYS = "4242424242424242#" + "1239" + "123"
CLIP = Clip(name="prompt", pcmu=b"\xff" * 160, pcma=b"\xd5" * 160)
SETTLE_S = 20.0

_Method = Callable[..., Awaitable[Any]]


def die() -> None:
    """End at once, as ``kill -9`` does."""
    os.kill(os.getpid(), signal.SIGKILL)


def before(owner: Any, name: str) -> None:
    """Die instead of running a method."""
    setattr(owner, name, lambda *_, **__: die())


def after(owner: Any, name: str, *, times: int = 1) -> None:
    """Die when a method has returned for the ``times``-th time."""
    inner: _Method = getattr(owner, name)
    left = times

    async def wrapped(*args: Any, **keywords: Any) -> Any:
        nonlocal left
        value = await inner(*args, **keywords)
        left -= 1
        if left == 0:
            die()
        return value

    setattr(owner, name, wrapped)


POINTS: dict[str, Callable[[Payments], None]] = {
    "before the journal": lambda payments: before(payments.ledger, "journal_attempt"),
    "journalled": lambda payments: after(payments.ledger, "journal_attempt"),
    "connected": lambda payments: after(http.Exchange, "connect"),
    "request written": lambda payments: after(http.Exchange, "send"),
    "answer read": lambda payments: after(payments.connectors["gw"], "submit"),
    "outcome written": lambda payments: after(payments.ledger, "record_outcome"),
    "charge connected": lambda payments: after(http.Exchange, "connect", times=2),
    "charge written": lambda payments: after(http.Exchange, "send", times=2),
    "before the result": lambda payments: before(payments.ledger, "finish_payment"),
    "result written": lambda payments: after(payments.ledger, "finish_payment"),
    "webhook queued": lambda payments: after(payments.outbox, "enqueue", times=3),
    "webhook answered": lambda payments: before(payments.ledger.webhooks, "delivered"),
}
"The points that the process sees itself; gateway and receiver know the others. Stripe's charge is its second request."


class Line(FakeCall):
    """A call whose caller has typed everything ahead and hears each prompt out."""

    def __init__(self) -> None:
        super().__init__(call_id=uuid.uuid4().hex)
        self.over = asyncio.Event()
        self.on_hang_up = self.over.set

    def play(self, clips: Sequence[Clip], token: int, *, interruptible: bool, loop: bool = False) -> None:
        """Finish each prompt at once."""
        now = asyncio.get_running_loop()
        now.call_soon(self.program.play_finished, token, False, now.time())


class Prompts:
    """One clip for everything."""

    def clips(self, _: str) -> Prompts:
        """Return the prompts of a language."""
        return self

    def ready(self, _: object) -> Clip:
        """Return the clip."""
        return CLIP


async def pay(config: Config, payments: Payments) -> None:
    """Take one payment."""
    loop = asyncio.get_running_loop()
    line = Line()
    context = FormContext(
        prompts=Prompts(),  # type: ignore[arg-type]
        payments=PaymentContext(
            charging=payments.charging, ledger=payments.ledger, notify=lambda _: None, now=loop.time
        ),
        outbox=payments.outbox,
        today=lambda: datetime.now(UTC).date(),
    )
    program = FormProgram("pay", config.forms["pay"], line, context)
    line.program = program
    program.start(loop.time())
    for key in KEYS:
        program.digit(11 if key == "#" else int(key), loop.time())
    await line.over.wait()
    await program.done()


async def waiting(payments: Payments) -> int:
    """Return how many webhooks are neither delivered nor given up."""
    query = select(func.count()).where(OUTBOX.c.delivered_at.is_(None), OUTBOX.c.dead_at.is_(None))
    ((count,),) = await payments.ledger._database.rows(query)
    return int(count)


async def run(settings: dict[str, Any]) -> None:
    """Pay until killed, or settle."""
    config = parse(settings["config"])
    payments = await Payments.open(config, closings={REPLY_KIND: tell_interrupted})
    if point := settings.get("point"):
        if arm := POINTS.get(point):
            arm(payments)
        while True:
            await pay(config, payments)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + SETTLE_S
    while await waiting(payments) and loop.time() < deadline:
        await asyncio.sleep(0.05)
    await payments.close()


def main() -> None:
    """Run with the settings of the command line."""
    uvloop.run(run(json.loads(sys.argv[1])))


if __name__ == "__main__":
    main()
