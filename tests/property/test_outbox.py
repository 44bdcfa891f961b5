"""The outbox under any order of failures: each session in order, nothing lost, nothing settled without a reason."""

from __future__ import annotations

import asyncio
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.errors import LedgerError
from engine.ledger import Ledger, WebhookPolicy
from engine.net.http import BadAnswer, HttpResponse, NotSent, Unanswered
from engine.net.web_client import WebClient
from engine.outbox import RETRIES, Outbox
from tests.support.payments import SlidingClock

OUTCOMES: dict[str, int | Exception] = {
    "taken": 200,
    "refused": 404,
    "busy": 503,
    "slow down": 429,
    "down": NotSent("x"),
    "silent": Unanswered("x"),
    "mad": BadAnswer("x"),
    "taken and mad": BadAnswer("x", status=200),
}
FINAL = {"taken": True, "taken and mad": True, "refused": False}
"Whether it was delivered."
SESSIONS = ("a", "b", "c")
# What becomes of each request in turn: an outcome; or the outbox is stopped hard, before the receiver or after it.
STEPS = st.lists(st.sampled_from([*OUTCOMES, "crash before", "crash after"]), max_size=30)
WEBHOOKS = st.lists(st.tuples(st.sampled_from(SESSIONS), st.sampled_from(WebhookPolicy)), min_size=1, max_size=12)


class Receiver:
    """Answers by script, then takes everything; writes down what came and what it said."""

    def __init__(self, steps: Sequence[str]) -> None:
        self.steps = [*steps]
        self.heard: list[tuple[int, str]] = []
        self.crash = asyncio.Event()

    async def __call__(self, method: str, url: str, *, headers: dict[str, str], **_: Any) -> HttpResponse:
        step = self.steps.pop(0) if self.steps else "taken"
        delivery = int(headers["X-Paytone-Delivery"])
        if step == "crash before":
            self.crash.set()
            await asyncio.Event().wait()
        if step == "crash after":
            self.heard.append((delivery, step))
            self.crash.set()
            await asyncio.Event().wait()
        self.heard.append((delivery, step))
        outcome = OUTCOMES[step]
        if isinstance(outcome, Exception):
            raise outcome
        return HttpResponse(status=outcome, headers=(), body=b"")


async def _deliver_all(path: Path, webhooks: Sequence[tuple[str, WebhookPolicy]], steps: Sequence[str]) -> None:
    clock, receiver = SlidingClock(), Receiver(steps)
    ledger = await Ledger.open(f"sqlite+aiosqlite:///{path}", clock=clock)
    sessions: dict[str, list[int]] = defaultdict(list)
    policies: dict[int, WebhookPolicy] = {}

    def started() -> Outbox:
        client = WebClient(receiver, clock=clock)
        outbox = Outbox(ledger, client=client, clock=clock, sleep=clock.sleep, random=lambda: 0.5)
        outbox.start()
        return outbox

    outbox = started()
    for number, (session, policy) in enumerate(webhooks, 1):
        await outbox.enqueue(session, "https://a.example/", b"{}", policy=policy)
        sessions[session].append(number)
        policies[number] = policy
    while await ledger.webhooks.listed(1, dead=False):
        if receiver.crash.is_set():
            receiver.crash.clear()
            await outbox.stop(drain_s=0.0)
            outbox = started()
        await asyncio.sleep(0)
    await outbox.stop()
    dead = {row["id"] for row in await ledger.webhooks.listed(99, dead=True)}
    await ledger.close()

    said: dict[int, list[str]] = defaultdict(list)
    for number, step in receiver.heard:
        said[number].append(step)
    for numbers in sessions.values():
        order = [number for number, _ in receiver.heard if number in numbers]
        assert order == sorted(order), "a later one came before an earlier one was settled"
        assert set(order) | dead >= set(numbers), "one was lost"
    crashed = any(step.startswith("crash") for step in steps)  # a try may then have come twice, and been counted once
    for number, policy in policies.items():
        last = said[number][-1] if said[number] else ""
        if number in dead:
            failures = [step for step in said[number] if step != "crash after"]
            is_used_up = len(failures) == RETRIES + 1 or (crashed and len(failures) > RETRIES)
            assert last == "refused" or (policy is WebhookPolicy.STATUS and is_used_up)
        else:
            assert FINAL.get(last) is True


@pytest.mark.soak  # long; CI runs it
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(WEBHOOKS, STEPS)
def test_any_order_of_failures_keeps_each_sessions_order_and_loses_none(
    webhooks: list[tuple[str, WebhookPolicy]], steps: list[str]
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(_deliver_all(Path(directory) / "ledger.sqlite3", webhooks, steps))


def test_ledger_error_is_the_callers_when_nothing_can_be_stored() -> None:
    async def run() -> None:
        clock = SlidingClock()
        ledger = await Ledger.open("sqlite+aiosqlite:///:memory:", clock=clock)
        await ledger.close()
        outbox = Outbox(ledger, client=WebClient(Receiver([]), clock=clock), clock=clock)
        try:
            await outbox.enqueue("s", "https://a.example/", b"{}")
        except LedgerError:
            return
        raise AssertionError("it was taken")

    asyncio.run(run())
