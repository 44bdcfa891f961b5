"""The outbox: at least once, in order within a session, signed, over restarts."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from engine.connectors.signatures import signature_headers
from engine.ledger import Ledger
from engine.net.http import BadAnswer, HttpResponse, NotSent, Unanswered
from engine.outbox import BACKOFF_S, CONCURRENCY, Outbox
from tests.support.gateway import FakeGateway
from tests.support.payments import SlidingClock

pytestmark = pytest.mark.asyncio

URL = "https://app.example/status?shop=1"


class Receiver:
    """Stands in for the network: answers by script for each URL, 200 when there is none."""

    def __init__(self) -> None:
        self.script: dict[str, list[int | Exception]] = {}
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.at_once = self.most_at_once = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, method: str, url: str, *, headers: dict[str, str], body: bytes, **_: Any) -> HttpResponse:
        assert method == "POST"
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self.gate.wait()
            await asyncio.sleep(0)
        finally:
            self.at_once -= 1
        self.bodies.append(body)
        self.headers.append(headers)
        steps = self.script.get(url, [])
        step = steps.pop(0) if steps else 200
        if isinstance(step, Exception):
            raise step
        return HttpResponse(status=step, headers=(), body=b"ignored")


@pytest.fixture
def clock() -> SlidingClock:
    return SlidingClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite3"


@pytest_asyncio.fixture
async def ledger(path: Path, clock: SlidingClock) -> AsyncIterator[Ledger]:
    ledger = await Ledger.open(f"sqlite+aiosqlite:///{path}", clock=clock, busy_timeout_s=0.05)
    yield ledger
    await ledger.close()


@pytest_asyncio.fixture
async def receiver() -> Receiver:
    return Receiver()


def outbox_of(ledger: Ledger, receiver: Receiver, clock: SlidingClock, **more: Any) -> Outbox:
    return Outbox(ledger, clock=clock, send=receiver, sleep=clock.sleep, **more)


async def settled(path: Path, count: int) -> list[tuple[bool, bool, int]]:
    """Wait until ``count`` webhooks are settled; return (delivered, dead, attempts) of all."""
    for _ in range(10_000):
        await asyncio.sleep(0.001)
        with closing(sqlite3.connect(path)) as database:
            rows = database.execute(
                "SELECT delivered_at IS NOT NULL, dead_at IS NOT NULL, attempts FROM outbox ORDER BY id"
            ).fetchall()
        if sum(delivered or dead for delivered, dead, _ in rows) >= count:
            return [(bool(delivered), bool(dead), attempts) for delivered, dead, attempts in rows]
    raise AssertionError("the outbox does not deliver")


class Running:
    """An outbox that runs within ``async with``."""

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox

    async def __aenter__(self) -> Outbox:
        self.outbox.start()
        return self.outbox

    async def __aexit__(self, *_: object) -> None:
        await self.outbox.stop()


class TestOrder:
    async def test_webhooks_of_a_session_arrive_in_order_one_after_the_other(
        self, ledger: Ledger, receiver: Receiver, clock: SlidingClock, path: Path
    ) -> None:
        async with Running(outbox_of(ledger, receiver, clock)) as outbox:
            for number in range(20):
                await outbox.enqueue("s", URL, str(number).encode())
            await settled(path, 20)
        assert receiver.bodies == [str(number).encode() for number in range(20)]
        assert receiver.most_at_once == 1

    async def test_later_one_waits_while_the_earlier_is_repeated(
        self, ledger: Ledger, receiver: Receiver, clock: SlidingClock, path: Path
    ) -> None:
        receiver.script[URL] = [503, Unanswered("x"), 200, 200]
        async with Running(outbox_of(ledger, receiver, clock)) as outbox:
            await outbox.enqueue("s", URL, b"1")
            await outbox.enqueue("s", URL, b"2")
            assert await settled(path, 2) == [(True, False, 3), (True, False, 1)]
        assert receiver.bodies == [b"1", b"1", b"1", b"2"]

    async def test_session_that_fails_does_not_hold_up_another(
        self, ledger: Ledger, receiver: Receiver, clock: SlidingClock, path: Path
    ) -> None:
        receiver.script["https://bad.example/"] = [503] * 3
        async with Running(outbox_of(ledger, receiver, clock)) as outbox:
            await outbox.enqueue("bad", "https://bad.example/", b"bad")
            await outbox.enqueue("good", URL, b"good")
            await settled(path, 2)
        assert receiver.bodies.index(b"good") < 3

    async def test_many_sessions_are_served_at_once_but_not_all(
        self, ledger: Ledger, receiver: Receiver, clock: SlidingClock, path: Path
    ) -> None:
        for number in range(CONCURRENCY * 3):
            await ledger.enqueue_webhook(f"s{number}", URL, str(number).encode())
        async with Running(outbox_of(ledger, receiver, clock)):
            await settled(path, CONCURRENCY * 3)
        assert 1 < receiver.most_at_once <= CONCURRENCY
        assert len(set(receiver.bodies)) == len(receiver.bodies) == CONCURRENCY * 3


class TestRepeats:
    @pytest.mark.parametrize("failure", [500, 503, 408, 429, NotSent("x"), Unanswered("x"), BadAnswer("x")])
    async def test_server_fault_is_repeated_twice_and_given_up(
        self,
        ledger: Ledger,
        receiver: Receiver,
        clock: SlidingClock,
        path: Path,
        failure: Any,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        receiver.script[URL] = [failure] * 9
        async with Running(outbox_of(ledger, receiver, clock)) as outbox:
            await outbox.enqueue("s", URL, b"1")
            assert await settled(path, 1) == [(False, True, 3)]
        assert clock.slept == pytest.approx(BACKOFF_S[:2])
        assert "a webhook was given up" in caplog.text

    @pytest.mark.parametrize("failure", [400, 401, 404, 410, BadAnswer("redirect", status=302)])
    async def test_refusal_is_final(
        self, ledger: Ledger, receiver: Receiver, clock: SlidingClock, path: Path, failure: Any
    ) -> None:
        receiver.script[URL] = [failure]
        async with Running(outbox_of(ledger, receiver, clock)) as outbox:
            await outbox.enqueue("s", URL, b"1")
            assert await settled(path, 1) == [(False, True, 1)]

    @pytest.mark.parametrize("answer", [200, 201, 204, BadAnswer("too large", status=200)])
    async def test_any_2xx_is_delivered_whatever_its_body(
        self, ledger: Ledger, receiver: Receiver, clock: SlidingClock, path: Path, answer: Any
    ) -> None:
        receiver.script[URL] = [answer]
        async with Running(outbox_of(ledger, receiver, clock)) as outbox:
            await outbox.enqueue("s", URL, b"1")
            assert await settled(path, 1) == [(True, False, 1)]

    async def test_number_of_repeats_can_be_set(
        self, ledger: Ledger, receiver: Receiver, clock: SlidingClock, path: Path
    ) -> None:
        receiver.script[URL] = [503] * 20
        async with Running(outbox_of(ledger, receiver, clock, retries=7)) as outbox:
            await outbox.enqueue("s", URL, b"1")
            assert await settled(path, 1) == [(False, True, 8)]
        assert clock.slept == pytest.approx([*BACKOFF_S, BACKOFF_S[-1], BACKOFF_S[-1]])

    @pytest.mark.parametrize("url", ["http://app.example/", "nonsense"])
    async def test_url_that_cannot_be_requested_is_given_up(
        self, ledger: Ledger, receiver: Receiver, clock: SlidingClock, path: Path, url: str
    ) -> None:
        async with Running(outbox_of(ledger, receiver, clock)) as outbox:
            await outbox.enqueue("s", url, b"1")
            assert await settled(path, 1) == [(False, True, 1)]
        assert receiver.bodies == []


class TestSignature:
    async def test_signed_over_url_without_credentials_and_body(
        self, ledger: Ledger, receiver: Receiver, clock: SlidingClock, path: Path
    ) -> None:
        async with Running(outbox_of(ledger, receiver, clock, key_for={"KEY": "k"}.__getitem__)) as outbox:
            await outbox.enqueue("s", URL.replace("https://", "https://u:p@"), b"{}", key_env="KEY")
            await settled(path, 1)
        assert signature_headers("k", URL, b"{}").items() <= receiver.headers[0].items()

    async def test_not_signed_without_a_key(
        self, ledger: Ledger, receiver: Receiver, clock: SlidingClock, path: Path
    ) -> None:
        async with Running(outbox_of(ledger, receiver, clock)) as outbox:
            await outbox.enqueue("s", URL, b"{}", content_type="text/plain")
            await settled(path, 1)
        assert receiver.headers == [{"Content-Type": "text/plain", "X-Paytone-Delivery": "1"}]

    async def test_never_sent_unsigned_when_the_key_is_missing(
        self, ledger: Ledger, receiver: Receiver, clock: SlidingClock, path: Path
    ) -> None:
        async with Running(outbox_of(ledger, receiver, clock, key_for=lambda _: "")) as outbox:
            await outbox.enqueue("s", URL, b"{}", key_env="KEY")
            assert await settled(path, 1) == [(False, True, 3)]
        assert receiver.bodies == []


class TestRestart:
    async def test_what_an_earlier_run_left_behind_is_delivered_in_order(
        self, ledger: Ledger, receiver: Receiver, clock: SlidingClock, path: Path
    ) -> None:
        for name in (b"1", b"2", b"3"):
            await ledger.enqueue_webhook("s", URL, name)
        async with Running(outbox_of(ledger, receiver, clock)):
            await settled(path, 3)
        assert receiver.bodies == [b"1", b"2", b"3"]

    async def test_tries_of_an_earlier_run_count(
        self, ledger: Ledger, receiver: Receiver, clock: SlidingClock, path: Path
    ) -> None:
        webhook = await ledger.enqueue_webhook("s", URL, b"1")
        for _ in range(2):
            await ledger.webhook_failed(webhook, "x", retry_at=clock.now)
        receiver.script[URL] = [503] * 9
        async with Running(outbox_of(ledger, receiver, clock)):
            assert await settled(path, 1) == [(False, True, 3)]

    async def test_delivery_that_was_not_noted_is_repeated_with_the_same_number(
        self, ledger: Ledger, receiver: Receiver, clock: SlidingClock, path: Path
    ) -> None:
        async with Running(outbox_of(ledger, receiver, clock)) as outbox:
            await outbox.enqueue("s", URL, b"1")
            await settled(path, 1)
        with closing(sqlite3.connect(path)) as database, database:  # as if killed before the note was written
            database.execute("UPDATE outbox SET delivered_at = NULL, attempts = 0")
        async with Running(outbox_of(ledger, receiver, clock)):
            await settled(path, 1)
        assert receiver.bodies == [b"1", b"1"]
        assert receiver.headers[0] == receiver.headers[1]

    async def test_old_settled_ones_are_deleted_at_start(
        self, ledger: Ledger, receiver: Receiver, clock: SlidingClock, path: Path
    ) -> None:
        await ledger.webhook_delivered(await ledger.enqueue_webhook("s", URL, b"old"))
        clock.now += timedelta(days=8)
        await ledger.enqueue_webhook("s", URL, b"new")
        outbox = outbox_of(ledger, receiver, clock)
        outbox.start()
        await outbox.stop()
        assert await settled(path, 1) == [(True, False, 1)]
        assert receiver.bodies == [b"new"]


class TestStop:
    async def test_stop_delivers_what_is_due(
        self, ledger: Ledger, receiver: Receiver, clock: SlidingClock, path: Path
    ) -> None:
        outbox = outbox_of(ledger, receiver, clock)
        outbox.start()
        for name in (b"1", b"2", b"3"):
            await outbox.enqueue("s", URL, name)
        await outbox.stop()
        assert receiver.bodies == [b"1", b"2", b"3"]

    async def test_stop_does_not_wait_for_repeats_to_come(
        self, ledger: Ledger, receiver: Receiver, clock: SlidingClock
    ) -> None:
        async def never(_: float) -> None:
            await asyncio.Event().wait()

        receiver.script[URL] = [503]
        outbox = Outbox(ledger, clock=clock, send=receiver, sleep=never)
        outbox.start()
        await outbox.enqueue("s", URL, b"1")
        await outbox.stop()
        assert receiver.bodies == [b"1"]
        assert await ledger.next_webhook_at(clock.now) is not None

    async def test_stop_is_bounded_and_what_was_under_way_stays_due(
        self, ledger: Ledger, receiver: Receiver, clock: SlidingClock
    ) -> None:
        receiver.gate.clear()
        outbox = outbox_of(ledger, receiver, clock)
        outbox.start()
        await outbox.enqueue("s", URL, b"1")
        await outbox.stop(drain_s=0.05)
        assert len(await ledger.due_webhooks(clock.now, 10)) == 1

    async def test_stop_without_start_and_start_twice_are_harmless(
        self, ledger: Ledger, receiver: Receiver, clock: SlidingClock, path: Path
    ) -> None:
        outbox = outbox_of(ledger, receiver, clock)
        await outbox.stop()
        outbox.start()
        outbox.start()
        await outbox.enqueue("s", URL, b"1")
        await settled(path, 1)
        await outbox.stop()
        assert receiver.bodies == [b"1"]


class TestLedgerTrouble:
    async def test_locked_ledger_is_waited_for(
        self, ledger: Ledger, receiver: Receiver, clock: SlidingClock, path: Path
    ) -> None:
        await ledger.enqueue_webhook("s", URL, b"1")
        other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)

        async def sleep(seconds: float) -> None:
            await clock.sleep(seconds)
            if other.in_transaction:
                other.execute("ROLLBACK")

        other.execute("BEGIN EXCLUSIVE")
        outbox = Outbox(ledger, clock=clock, send=receiver, sleep=sleep)
        outbox.start()
        for _ in range(10_000):
            await asyncio.sleep(0.001)
            if not other.in_transaction:
                break
        other.close()
        await settled(path, 1)
        await outbox.stop()
        assert receiver.bodies[0] == b"1"


class TestOnTheWire:
    async def test_real_client_delivers_to_a_real_server(self, ledger: Ledger, clock: SlidingClock, path: Path) -> None:
        steps: Iterable[str] = ["close", "status:503", "status:200"]
        outbox = Outbox(ledger, clock=clock, sleep=clock.sleep)
        async with FakeGateway(steps) as server, Running(outbox):
            await outbox.enqueue("s", server.url, b'{"a":1}', allow_insecure=True)
            assert await settled(path, 1) == [(True, False, 3)]
        assert [received.body for received in server.requests] == [b'{"a":1}'] * 3
        assert {received.headers["x-paytone-delivery"] for received in server.requests} == {"1"}
