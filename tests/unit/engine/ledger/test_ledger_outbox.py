"""The outbox's table: one due a session, found by an index, nothing forgotten, rows of the first release."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from alembic import command
from alembic.config import Config as AlembicConfig
from sqlalchemy import create_engine, text

from engine.errors import LedgerError
from engine.ledger import Ledger, WebhookPolicy
from engine.ledger.upgrade import MIGRATIONS
from engine.ledger.webhooks import MAX_GROUP, receiver_of
from engine.net.signatures import SignatureKind
from tests.support.payments import SlidingClock

pytestmark = pytest.mark.asyncio

URL = "https://a.example/x"


@pytest.fixture
def clock() -> SlidingClock:
    return SlidingClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite3"


@pytest_asyncio.fixture
async def ledger(path: Path, clock: SlidingClock) -> AsyncIterator[Ledger]:
    ledger = await Ledger.open(f"sqlite+aiosqlite:///{path}", clock=clock)
    yield ledger
    await ledger.close()


async def due(ledger: Ledger, clock: SlidingClock, limit: int = 100) -> list[int]:
    return [webhook.id for webhook in await ledger.webhooks.due(clock.now, limit)]


def plans(path: Path, *statements: str) -> list[str]:
    """Return how SQLite would answer each question."""
    with closing(sqlite3.connect(path)) as database:
        return [
            " | ".join(row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {statement}"))
            for statement in statements
        ]


class TestOneWriter:
    async def test_webhooks_that_come_together_are_written_together_in_their_order(
        self, ledger: Ledger, clock: SlidingClock
    ) -> None:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(ledger.webhooks.enqueue("s", URL, str(number).encode()))
                for number in range(MAX_GROUP * 2 + 7)
            ]
        assert [task.result() for task in tasks] == list(range(1, MAX_GROUP * 2 + 8))
        assert await due(ledger, clock) == [1]

    async def test_one_put_in_while_its_sessions_last_is_settled_is_due(
        self, ledger: Ledger, clock: SlidingClock
    ) -> None:
        first = await ledger.webhooks.enqueue("s", URL, b"1")
        for _ in range(20):
            _, second = await asyncio.gather(ledger.webhooks.delivered(first), ledger.webhooks.enqueue("s", URL, b"2"))
            assert await due(ledger, clock) == [second]
            first = second

    async def test_cancelled_caller_does_not_take_its_webhook_along(self, ledger: Ledger, clock: SlidingClock) -> None:
        task = asyncio.create_task(ledger.webhooks.enqueue("s", URL, b"1"))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await ledger.webhooks.enqueue("s", URL, b"2")
        assert await due(ledger, clock) == [1]

    async def test_closed_ledger_takes_nothing(self, ledger: Ledger) -> None:
        await ledger.close()
        with pytest.raises(LedgerError, match="closed"):
            await ledger.webhooks.enqueue("s", URL, b"1")

    async def test_webhook_that_was_forgotten_is_found_at_start(
        self, ledger: Ledger, clock: SlidingClock, path: Path
    ) -> None:
        for session in ("a", "a", "b"):
            await ledger.webhooks.enqueue(session, URL, b"1")
        with closing(sqlite3.connect(path)) as database, database:
            database.execute("UPDATE outbox SET next_at = NULL")
        assert await due(ledger, clock) == []
        assert await ledger.webhooks.repair() == 2
        assert await due(ledger, clock) == [1, 3]
        assert await ledger.webhooks.repair() == 0


class TestDue:
    async def test_busy_receivers_and_what_is_under_way_are_left_out(self, ledger: Ledger, clock: SlidingClock) -> None:
        for number in range(6):
            await ledger.webhooks.enqueue(f"s{number}", f"https://{'ab'[number % 2]}.example/{number}", b"1")
        found = await ledger.webhooks.due(clock.now, 2, except_ids={1, 3}, except_receivers={"https://b.example"})
        assert [webhook.id for webhook in found] == [5]
        assert [webhook.id for webhook in await ledger.webhooks.due(clock.now, 2, except_ids={1, 2})] == [3, 4]

    async def test_each_node_delivers_its_own(self, path: Path, clock: SlidingClock, ledger: Ledger) -> None:
        other = await Ledger.open(f"sqlite+aiosqlite:///{path}", clock=clock, node="two")
        await other.webhooks.enqueue("s", URL, b"1")
        assert await due(ledger, clock) == []
        assert await due(other, clock) == [1]
        assert await ledger.webhooks.next_at(clock.now - timedelta(1)) is None
        await other.close()

    async def test_what_is_due_is_found_by_an_index_and_nothing_is_sorted_or_scanned(
        self, ledger: Ledger, path: Path
    ) -> None:
        is_open = "delivered_at IS NULL AND dead_at IS NULL"
        found = plans(
            path,
            "SELECT id FROM outbox WHERE node = '' AND next_at <= '2030' AND receiver NOT IN ('a') "
            "ORDER BY next_at, id LIMIT 9",
            "SELECT next_at FROM outbox WHERE node = '' AND next_at > '2030' ORDER BY next_at LIMIT 1",
            f"SELECT min(id) FROM outbox WHERE session = 's' AND {is_open}",
        )
        assert found == [
            "SEARCH outbox USING COVERING INDEX ix_outbox_due (node=? AND next_at<?)",
            "SEARCH outbox USING COVERING INDEX ix_outbox_due (node=? AND next_at>?)",
            "SEARCH outbox USING INDEX ix_outbox_open (session=?)",
        ]

    @pytest.mark.parametrize(
        ("url", "receiver"),
        [
            ("https://u:p@A.example:8443/x?y", "https://a.example:8443"),
            ("https://a.example", "https://a.example"),
            ("https://[::1", ""),
            ("nonsense", ""),
        ],
    )
    async def test_receiver_is_scheme_host_and_port(self, url: str, receiver: str) -> None:
        assert receiver_of(url) == receiver


class TestFirstRelease:
    async def test_what_waited_is_delivered_as_before_and_in_its_order(self, path: Path, clock: SlidingClock) -> None:
        config = AlembicConfig()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.set_main_option("path_separator", "os")
        old = create_engine(f"sqlite:///{path}")
        with old.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "0003")
            for session, key, delivered in (("s", "", "'2029-01-01'"), ("s", "K", "NULL"), ("s", "", "NULL")):
                connection.execute(
                    text(
                        "INSERT INTO outbox (session, url, content_type, body, key_env, allow_insecure, attempts, "
                        f"created_at, next_at, delivered_at) VALUES ('{session}', '{URL}', 'application/json', 'x', "
                        f"'{key}', 0, 1, '2029-01-01 00:00:00', '2029-01-01 00:00:00', {delivered})"
                    )
                )
        old.dispose()
        ledger = await Ledger.open(f"sqlite+aiosqlite:///{path}", clock=clock)
        (webhook,) = await ledger.webhooks.due(clock.now, 10)
        assert (webhook.id, webhook.attempts, webhook.policy) == (2, 1, WebhookPolicy.STATUS)
        assert (webhook.request.method, webhook.request.signature) == ("POST", SignatureKind.SIGNALWIRE)
        await ledger.webhooks.delivered(2)
        (webhook,) = await ledger.webhooks.due(clock.now, 10)
        assert (webhook.id, webhook.request.signature, webhook.give_up_at) == (3, SignatureKind.NONE, None)
        await ledger.close()

    async def test_way_back_makes_the_table_of_the_first_release(self, path: Path, clock: SlidingClock) -> None:
        ledger = await Ledger.open(f"sqlite+aiosqlite:///{path}", clock=clock)
        for _ in range(2):
            await ledger.webhooks.enqueue("s", URL, b"1")
        await ledger.close()
        config = AlembicConfig()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.set_main_option("path_separator", "os")
        engine = create_engine(f"sqlite:///{path}")
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.downgrade(config, "0003")
            assert connection.execute(text("SELECT count(*) FROM outbox WHERE next_at = created_at")).scalar() == 2
        engine.dispose()
