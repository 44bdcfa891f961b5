"""The outbox: at least once, in order within a session, signed, over restarts."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.errors import LedgerError
from engine.ledger import Ledger, WebhookPolicy
from engine.net.egress import Egress
from engine.net.http import BadAnswer, HttpResponse, NotSent, Unanswered
from engine.net.http_pool import HttpPool
from engine.net.signatures import FORM, SignatureKind, signalwire_headers, twilio_signature
from engine.net.web_client import WebClient
from engine.outbox import CONCURRENCY, PER_RECEIVER, SHARE, Outbox
from tests.support.gateway import FakeGateway
from tests.support.payments import SlidingClock

pytestmark = pytest.mark.asyncio

URL = "https://app.example/status?shop=1"


class Receiver:
    """Stands in for the network: answers by script for each URL, 200 when there is none."""

    def __init__(self) -> None:
        self.script: dict[str, list[int | Exception | HttpResponse]] = {}
        self.bodies: list[bytes] = []
        self.requests: list[tuple[str, str]] = []
        "Method and URL."
        self.headers: list[dict[str, str]] = []
        self.at_once = self.most_at_once = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.free: set[str] = set()
        "URLs that the gate does not hold."

    async def __call__(self, method: str, url: str, *, headers: dict[str, str], body: bytes, **_: Any) -> HttpResponse:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if url not in self.free:
                await self.gate.wait()
            await asyncio.sleep(0)
        finally:
            self.at_once -= 1
        self.requests.append((method, url))
        self.bodies.append(body)
        self.headers.append(headers)
        steps = self.script.get(url, [])
        step = steps.pop(0) if steps else 200
        if isinstance(step, Exception):
            raise step
        if isinstance(step, HttpResponse):
            return step
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


def outbox_of(
    ledger: Ledger,
    receiver: Receiver,
    clock: SlidingClock,
    *,
    keys: dict[str, str] | None = None,
    sleep: Any = None,
    **more: Any,
) -> Outbox:
    client = WebClient(receiver, clock=clock, key_for=lambda name: (keys or {}).get(name, ""), token_id=lambda: "t")
    more = {"random": lambda: 1.0} | more
    return Outbox(ledger, client=client, clock=clock, sleep=sleep or clock.sleep, **more)


Settled = list[tuple[bool, bool, int]]


async def settled(path: Path, count: int, *, before: Callable[[Settled], bool] = lambda _: True) -> Settled:
    """Wait until ``count`` webhooks are settled, and ``before`` says so; return (delivered, dead, attempts) of all."""
    for _ in range(10_000):
        await asyncio.sleep(0.001)
        with closing(sqlite3.connect(path)) as database:
            rows = database.execute(
                "SELECT delivered_at IS NOT NULL, dead_at IS NOT NULL, attempts FROM outbox ORDER BY id"
            ).fetchall()
        if sum(delivered or dead for delivered, dead, _ in rows) >= count and before(rows):
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
        count = CONCURRENCY * 3
        async with asyncio.TaskGroup() as group:
            for number in range(count):
                url = f"https://app{number % 9}.example/"
                group.create_task(ledger.webhooks.enqueue(f"s{number}", url, str(number).encode()))
        receiver.gate.clear()
        async with Running(outbox_of(ledger, receiver, clock)):
            while receiver.at_once < CONCURRENCY:
                await asyncio.sleep(0)
            receiver.gate.set()
            await settled(path, count)
        assert receiver.most_at_once == CONCURRENCY
        assert len(set(receiver.bodies)) == len(receiver.bodies) == count

    async def test_receiver_that_hangs_holds_its_share_and_no_more(
        self, ledger: Ledger, receiver: Receiver, clock: SlidingClock, path: Path
    ) -> None:
        receiver.gate.clear()
        receiver.free.add(URL)
        async with asyncio.TaskGroup() as group:
            for number in range(SHARE * 2):
                group.create_task(ledger.webhooks.enqueue(f"h{number}", "https://hangs.example/", b"hangs"))
        async with Running(outbox_of(ledger, receiver, clock)) as outbox:
            for number in range(20):
                await outbox.enqueue(f"s{number}", URL, str(number).encode())
            await settled(path, 20)
            assert sorted(receiver.bodies) == sorted(str(number).encode() for number in range(20))
            assert receiver.at_once == PER_RECEIVER
            receiver.gate.set()
            await settled(path, 20 + SHARE * 2)


class TestRepeats:
    @pytest.mark.parametrize("failure", [500, 503, 408, 425, 429, NotSent("x"), Unanswered("x"), BadAnswer("x")])
    async def test_status_is_repeated_twice_and_given_up(
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
        assert clock.slept == pytest.approx([2.0, 4.0])
        assert "a webhook was given up" in caplog.text
        assert caplog.text.count("a receiver does not take webhooks") == 1

    @pytest.mark.parametrize("failure", [400, 401, 404, 410, BadAnswer("redirect", status=302)])
    @pytest.mark.parametrize("policy", WebhookPolicy)
    async def test_refusal_is_final(
        self,
        ledger: Ledger,
        receiver: Receiver,
        clock: SlidingClock,
        path: Path,
        failure: Any,
        policy: WebhookPolicy,
    ) -> None:
        receiver.script[URL] = [failure]
        async with Running(outbox_of(ledger, receiver, clock)) as outbox:
            await outbox.enqueue("s", URL, b"1", policy=policy)
            assert await settled(path, 1) == [(False, True, 1)]

    @pytest.mark.parametrize("answer", [200, 201, 204, BadAnswer("too large", status=200)])
    async def test_any_2xx_is_delivered_whatever_its_body(
        self, ledger: Ledger, receiver: Receiver, clock: SlidingClock, path: Path, answer: Any
    ) -> None:
        receiver.script[URL] = [answer]
        async with Running(outbox_of(ledger, receiver, clock)) as outbox:
            await outbox.enqueue("s", URL, b"1")
            assert await settled(path, 1) == [(True, False, 1)]

    async def test_result_is_repeated_until_its_time_is_over_and_once_at_its_end(
        self, ledger: Ledger, receiver: Receiver, clock: SlidingClock, path: Path
    ) -> None:
        receiver.script[URL] = [503] * 99
        async with Running(outbox_of(ledger, receiver, clock, give_up_s=3600.0)) as outbox:
            began = clock.now
            await outbox.enqueue("s", URL, b"1", policy=WebhookPolicy.RESULT)
            ((delivered, dead, attempts),) = await settled(path, 1)
        assert (delivered, dead) == (False, True)
        # 2, 4, 8 ... 512 s are 1022 s; then 600 s each, and what is left until the end of the hour
        assert attempts == 9 + 4 + 1 + 1
        assert clock.slept[:9] == pytest.approx([2.0**n for n in range(1, 10)])
        assert (clock.now - began).total_seconds() == pytest.approx(3600.0)

    async def test_jitter_is_full(self, ledger: Ledger, receiver: Receiver, clock: SlidingClock, path: Path) -> None:
        drawn = iter([0.25, 0.0])
        receiver.script[URL] = [503] * 9
        async with Running(outbox_of(ledger, receiver, clock, random=lambda: next(drawn))) as outbox:
            await outbox.enqueue("s", URL, b"1")
            await settled(path, 1)
        assert sum(clock.slept) == pytest.approx(0.5)

    @pytest.mark.parametrize(
        ("value", "policy", "waits_s"),
        [
            ("7", "status", 7),
            ("Wed, 02 Jan 2030 03:04:15 GMT", "status", 10),
            ("Wed, 02 Jan 2030 03:00:00 GMT", "status", 0),
            ("86400", "status", 60),
            ("86400", "result", 3600),
            ("9" * 400, "result", 3600),
            ("-5", "status", 0),
            ("soon", "status", 0),
            ("", "status", 0),
        ],
    )
    async def test_retry_after_is_respected_within_reason(
        self,
        ledger: Ledger,
        receiver: Receiver,
        clock: SlidingClock,
        path: Path,
        value: str,
        policy: str,
        waits_s: float,
    ) -> None:
        busy = HttpResponse(status=503, headers=[(b"retry-after", value.encode())], body=b"")
        receiver.script[URL] = [busy]
        async with Running(outbox_of(ledger, receiver, clock, random=lambda: 0.0)) as outbox:
            await outbox.enqueue("s", URL, b"1", policy=WebhookPolicy(policy))
            assert await settled(path, 1) == [(True, False, 2)]
        assert sum(clock.slept) == pytest.approx(waits_s, abs=0.01)

    @pytest.mark.parametrize("url", ["http://app.example/", "nonsense", "https://[::1/", "https://a/ b"])
    async def test_url_that_cannot_be_requested_is_given_up(
        self, ledger: Ledger, receiver: Receiver, clock: SlidingClock, path: Path, url: str
    ) -> None:
        async with Running(outbox_of(ledger, receiver, clock)) as outbox:
            await outbox.enqueue("s", url, b"1")
            assert await settled(path, 1) == [(False, True, 1)]
        assert receiver.bodies == []

    @pytest.mark.parametrize(
        "more", [{"session": "s" * 65}, {"body": b"x" * (1 << 18) + b"x"}, {"key_env": "\x00"}, {"method": "M" * 9}]
    )
    async def test_what_the_ledger_cannot_hold_is_refused_alone(
        self, ledger: Ledger, receiver: Receiver, clock: SlidingClock, path: Path, more: dict[str, Any]
    ) -> None:
        async with Running(outbox_of(ledger, receiver, clock)) as outbox:
            with pytest.raises(LedgerError, match="a webhook"):
                await outbox.enqueue(**({"session": "s", "url": URL, "body": b"1"} | more))
            await outbox.enqueue("s", URL, b"2")
            assert await settled(path, 1) == [(True, False, 1)]


class TestDeadLetters:
    async def test_dead_ones_are_listed_without_query_and_password(
        self, ledger: Ledger, receiver: Receiver, clock: SlidingClock, path: Path
    ) -> None:
        url = "https://u:secret@app.example/status?token=secret"
        receiver.script[url] = [404]
        async with Running(outbox_of(ledger, receiver, clock)) as outbox:
            await outbox.enqueue("s", url, b"1")
            await settled(path, 1)
        (row,) = await ledger.webhooks.listed(10, dead=True)
        assert (row["id"], row["url"], row["last_error"]) == (1, "https://app.example/status?", "status 404")
        assert "secret" not in str(row)
        assert await ledger.webhooks.listed(10, dead=False) == []

    async def test_retried_one_goes_before_what_still_waits(
        self, ledger: Ledger, receiver: Receiver, clock: SlidingClock, path: Path
    ) -> None:
        receiver.script[URL] = [404, 503, 503, 503]
        asleep = asyncio.Event()

        async def sleep(_: float) -> None:
            asleep.set()
            await asyncio.Event().wait()

        first = outbox_of(ledger, receiver, clock, sleep=sleep)
        first.start()
        await first.enqueue("s", URL, b"1")
        await first.enqueue("s", URL, b"2", policy=WebhookPolicy.RESULT)
        await first.enqueue("s", URL, b"3")
        await asleep.wait()
        await first.stop()
        assert receiver.bodies == [b"1", b"2"]
        assert await ledger.webhooks.retry([99], give_up_at=clock.now) == 0
        assert await ledger.webhooks.retry([1], give_up_at=clock.now + timedelta(days=1)) == 1
        receiver.script.clear()
        async with Running(outbox_of(ledger, receiver, clock)):
            await settled(path, 3)
        assert receiver.bodies == [b"1", b"2", b"1", b"2", b"3"]

    async def test_all_are_retried_and_their_count_begins_anew(
        self, ledger: Ledger, receiver: Receiver, clock: SlidingClock, path: Path
    ) -> None:
        receiver.script[URL] = [503] * 6
        async with Running(outbox_of(ledger, receiver, clock)) as outbox:
            await outbox.enqueue("a", URL, b"1")
            await outbox.enqueue("b", URL, b"2")
            await settled(path, 2)
        assert await ledger.webhooks.retry(None, give_up_at=clock.now + timedelta(days=1)) == 2
        receiver.script[URL] = [503] * 4
        async with Running(outbox_of(ledger, receiver, clock)):
            assert await settled(path, 2) == [(True, False, 3)] * 2


class TestSignature:
    async def test_signed_over_url_without_credentials_and_body(
        self, ledger: Ledger, receiver: Receiver, clock: SlidingClock, path: Path
    ) -> None:
        async with Running(outbox_of(ledger, receiver, clock, keys={"KEY": "k"})) as outbox:
            await outbox.enqueue("s", URL.replace("https://", "https://u:p@"), b"{}", key_env="KEY")
            await settled(path, 1)
        assert signalwire_headers("k", URL, b"{}").items() <= receiver.headers[0].items()

    async def test_twilio_form_is_signed_by_its_parameters(
        self, ledger: Ledger, receiver: Receiver, clock: SlidingClock, path: Path
    ) -> None:
        twilio: dict[str, Any] = {"content_type": FORM, "key_env": "KEY", "signature": SignatureKind.TWILIO}
        async with Running(outbox_of(ledger, receiver, clock, keys={"KEY": "k"})) as outbox:
            await outbox.enqueue("s", URL, b"b=2&a=+%2B&c=", **twilio)
            await outbox.enqueue("s", URL, b"b=2", method="GET", **twilio)
            await settled(path, 2)
        pairs = [("a", " +"), ("b", "2"), ("c", "")]
        assert receiver.headers[0]["X-Twilio-Signature"] == twilio_signature("k", URL, pairs)
        assert receiver.headers[0]["Content-Type"] == FORM
        assert receiver.requests == [("POST", URL), ("GET", URL + "&b=2")]
        assert receiver.headers[1]["X-Twilio-Signature"] == twilio_signature("k", URL + "&b=2", [])
        assert (receiver.bodies[1], "Content-Type" in receiver.headers[1]) == (b"", False)

    async def test_headers_and_claims_of_the_dialect_go_along(
        self, ledger: Ledger, receiver: Receiver, clock: SlidingClock, path: Path
    ) -> None:
        async with Running(outbox_of(ledger, receiver, clock, keys={"KEY": "k"})) as outbox:
            await outbox.enqueue(
                "s",
                URL,
                b"{}",
                headers={"X-Home-Region": "us1"},
                signature=SignatureKind.VONAGE,
                key_env="KEY",
                claims={"api_key": "abc"},
            )
            await settled(path, 1)
        assert receiver.headers[0]["X-Home-Region"] == "us1"
        payload = receiver.headers[0]["Authorization"].split(".")[1]
        assert json.loads(base64.urlsafe_b64decode(payload + "==")) == {
            "api_key": "abc",
            "iat": int(datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp()),
            "jti": "t",
            "iss": "Vonage",
            "payload_hash": hashlib.sha256(b"{}").hexdigest(),
        }

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
        async with Running(outbox_of(ledger, receiver, clock)) as outbox:
            await outbox.enqueue("s", URL, b"{}", key_env="KEY")
            assert await settled(path, 1) == [(False, True, 3)]
        assert receiver.bodies == []

    async def test_key_is_not_in_the_ledger(
        self, ledger: Ledger, receiver: Receiver, clock: SlidingClock, path: Path
    ) -> None:
        async with Running(outbox_of(ledger, receiver, clock, keys={"KEY": "the-very-key"})) as outbox:
            await outbox.enqueue("s", URL, b"{}", key_env="KEY")
            await settled(path, 1)
        assert all(b"the-very-key" not in file.read_bytes() for file in path.parent.iterdir())


class TestRestart:
    async def test_what_an_earlier_run_left_behind_is_delivered_in_order(
        self, ledger: Ledger, receiver: Receiver, clock: SlidingClock, path: Path
    ) -> None:
        for name in (b"1", b"2", b"3"):
            await ledger.webhooks.enqueue("s", URL, name)
        async with Running(outbox_of(ledger, receiver, clock)):
            await settled(path, 3)
        assert receiver.bodies == [b"1", b"2", b"3"]

    async def test_tries_of_an_earlier_run_count(
        self, ledger: Ledger, receiver: Receiver, clock: SlidingClock, path: Path
    ) -> None:
        webhook = await ledger.webhooks.enqueue("s", URL, b"1")
        for _ in range(2):
            await ledger.webhooks.failed(webhook, "x", retry_at=clock.now)
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
            database.execute("UPDATE outbox SET delivered_at = NULL, attempts = 0, next_at = created_at")
        async with Running(outbox_of(ledger, receiver, clock)):
            await settled(path, 1)
        assert receiver.bodies == [b"1", b"1"]
        assert receiver.headers[0] == receiver.headers[1]

    async def test_old_settled_ones_are_deleted_at_start(
        self, ledger: Ledger, receiver: Receiver, clock: SlidingClock, path: Path
    ) -> None:
        await ledger.webhooks.delivered(await ledger.webhooks.enqueue("s", URL, b"old"))
        clock.now += timedelta(days=8)
        await ledger.webhooks.enqueue("s", URL, b"new")
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
        outbox = outbox_of(ledger, receiver, clock, sleep=never)
        outbox.start()
        await outbox.enqueue("s", URL, b"1")
        await outbox.stop()
        assert receiver.bodies == [b"1"]
        assert await ledger.webhooks.next_at(clock.now) is not None

    async def test_stop_is_bounded_and_what_was_under_way_stays_due(
        self, ledger: Ledger, receiver: Receiver, clock: SlidingClock
    ) -> None:
        receiver.gate.clear()
        outbox = outbox_of(ledger, receiver, clock)
        outbox.start()
        await outbox.enqueue("s", URL, b"1")
        await outbox.stop(drain_s=0.05)
        assert len(await ledger.webhooks.due(clock.now, 10)) == 1

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

    async def test_old_settled_ones_are_deleted_while_it_runs(
        self, ledger: Ledger, receiver: Receiver, clock: SlidingClock, path: Path
    ) -> None:
        async with Running(outbox_of(ledger, receiver, clock)) as outbox:
            await outbox.enqueue("s", URL, b"old")
            await settled(path, 1)
            clock.now += timedelta(days=8)
            await outbox.enqueue("s", URL, b"new")
            assert await settled(path, 1, before=lambda rows: len(rows) == 1) == [(True, False, 1)]

    async def test_what_another_process_put_in_is_found(
        self,
        ledger: Ledger,
        receiver: Receiver,
        clock: SlidingClock,
        path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr("engine.outbox.POLL_S", 0.01)
        async with Running(outbox_of(ledger, receiver, clock)):
            other = await Ledger.open(f"sqlite+aiosqlite:///{path}", clock=clock)
            await other.webhooks.enqueue("s", URL, b"1")
            await other.close()
            assert await settled(path, 1) == [(True, False, 1)]

    async def test_numbers_of_deleted_ones_never_come_again(self, ledger: Ledger, clock: SlidingClock) -> None:
        """A receiver that remembers deliveries would take the new one for the old."""
        await ledger.webhooks.delivered(await ledger.webhooks.enqueue("s", URL, b"old"))
        assert await ledger.webhooks.purge(clock.now + timedelta(days=1)) == 1
        assert await ledger.webhooks.enqueue("s", URL, b"new") == 2


class TestLedgerTrouble:
    async def test_locked_ledger_is_waited_for_and_nothing_is_delivered_twice(
        self, ledger: Ledger, receiver: Receiver, clock: SlidingClock, path: Path
    ) -> None:
        for number in range(3):
            await ledger.webhooks.enqueue(f"s{number}", URL, str(number).encode())
        other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        refusals = 0

        async def sleep(seconds: float) -> None:
            nonlocal refusals
            await clock.sleep(seconds)
            refusals += 1
            if refusals == 3 and other.in_transaction:
                other.execute("ROLLBACK")

        receiver.gate.clear()
        outbox = outbox_of(ledger, receiver, clock, sleep=sleep)
        outbox.start()
        while receiver.at_once < 3:
            await asyncio.sleep(0)
        other.execute("BEGIN IMMEDIATE")  # reading goes on, writing doesn't
        receiver.gate.set()
        while other.in_transaction:
            await asyncio.sleep(0)
        other.close()
        await settled(path, 3)
        await outbox.stop()
        assert sorted(receiver.bodies) == [b"0", b"1", b"2"]

    async def test_full_disk_refuses_the_new_and_keeps_the_old(
        self, ledger: Ledger, receiver: Receiver, clock: SlidingClock, path: Path
    ) -> None:
        async def limit(pages: int) -> None:
            async def work(connection: AsyncConnection) -> None:
                await connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")

            await ledger._database.run(work)

        async def sleep(seconds: float) -> None:
            await clock.sleep(seconds)
            await limit(1 << 20)  # someone made room

        await limit(60)
        taken = 0

        async def fill() -> None:
            nonlocal taken
            while taken < 1000:
                await ledger.webhooks.enqueue(f"s{taken}", URL, str(taken).encode() + b"x" * 9000)
                taken += 1

        with pytest.raises(LedgerError, match="disk is full"):
            await fill()
        assert taken > 0
        async with Running(outbox_of(ledger, receiver, clock, sleep=sleep)):
            await settled(path, taken)
        assert sorted(int(body.rstrip(b"x")) for body in receiver.bodies) == [*range(taken)]

    async def test_row_that_cannot_be_read_does_not_end_the_outbox(
        self, ledger: Ledger, receiver: Receiver, clock: SlidingClock, path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        await ledger.webhooks.enqueue("s", URL, b"1")
        with closing(sqlite3.connect(path)) as database, database:
            database.execute("UPDATE outbox SET signature = 'of-tomorrow'")

        async def sleep(_: float) -> None:
            with closing(sqlite3.connect(path)) as database, database:
                database.execute("UPDATE outbox SET signature = 'none'")

        async with Running(outbox_of(ledger, receiver, clock, sleep=sleep)):
            await settled(path, 1)
        assert "webhooks wait: ValueError" in caplog.text


class TestOnTheWire:
    async def test_real_client_delivers_to_a_real_server(self, ledger: Ledger, clock: SlidingClock, path: Path) -> None:
        steps: Iterable[str] = ["close", "status:503", "status:200"]
        pool = HttpPool(Egress(["127.0.0.1"]))
        outbox = Outbox(ledger, client=WebClient(pool.request, clock=clock), clock=clock, sleep=clock.sleep)
        async with FakeGateway(steps) as server, Running(outbox):
            await outbox.enqueue("s", server.url, b'{"a":1}', allow_insecure=True)
            assert await settled(path, 1) == [(True, False, 3)]
            assert [received.body for received in server.requests] == [b'{"a":1}'] * 3
            assert {received.headers["x-paytone-delivery"] for received in server.requests} == {"1"}
        await pool.close()

    @pytest.mark.parametrize(
        "step",
        ["silence", "drip", "head_flood", "informational_flood", "oversized", "truncated", "raw:\x00\x01\r\n\r\n"],
    )
    async def test_receiver_out_of_its_mind_stops_nobody_else(
        self, ledger: Ledger, clock: SlidingClock, path: Path, step: str
    ) -> None:
        pool = HttpPool(Egress(["127.0.0.1"]))
        client = WebClient(pool.request, clock=clock, timeout_s=0.2)
        outbox = Outbox(ledger, client=client, clock=clock, sleep=clock.sleep)
        async with FakeGateway([step] * 3) as mad, FakeGateway(["status:204"] * 5) as sane, Running(outbox):
            await outbox.enqueue("mad", mad.url, b"{}", allow_insecure=True)
            for number in range(5):
                await outbox.enqueue(f"s{number}", sane.url, b"{}", allow_insecure=True)
            rows = await settled(path, 6)
        # An answer of 200 with a body that can't be read is a delivery all the same.
        assert rows[0] in ((False, True, 3), (True, False, 1))
        assert rows[0][0] == (step in ("oversized", "truncated"))
        assert rows[1:] == [(True, False, 1)] * 5
        await pool.close()
