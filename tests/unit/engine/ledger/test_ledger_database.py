"""The ledger's database: schema, durability, locks, and errors that say what to do."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config as AlembicConfig
from alembic.migration import MigrationContext
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from engine.errors import LedgerError
from engine.ledger import Ledger
from engine.ledger.database import Database
from engine.ledger.schema import METADATA
from engine.pay.submission import ConnectorAnswer, Outcome
from tests.support.ledger_backend import Backend, SqliteBackend
from tests.support.payments import submission_of

pytestmark = pytest.mark.asyncio

HURRY_S = 0.05
"A short busy timeout, so that a test of locks does not wait."


ROOT = Path(__file__).parents[4]
NEWEST = "0007"
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
OLD_ROWS = """
INSERT INTO calls VALUES ('c1', 'x@y', 'alice', 'pay', 'donation', '', {3d}, {3d}, 'bye', 50, 1);
INSERT INTO payments VALUES ('p1', 'c1', 'donation', 'charge', 'credit-card', '10.55', 'usd', '', {3d}, {3d},
 'success', '************4242', 'visa', 'ch_1', '', '', '');
INSERT INTO payments VALUES ('p2', 'c1', 'donation', 'charge', 'credit-card', '1.00', 'usd', '', {1d}, NULL,
 NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO payments VALUES ('p0', 'c0', 'donation', 'charge', 'credit-card', '2.00', 'usd', '', {9d}, {9d},
 'caller-hung-up', '', '', '', '', '', '');
INSERT INTO charge_attempts (transaction_id, payment_id, connector, operation, method, amount, currency, card_number,
 card_type, node, created_at, outcome, outcome_at, reconciled, charge_id, token_id, error_code, error_message) VALUES
 ('t1', 'p1', 'gw', 'charge', 'credit-card', '10.55', 'usd', '************4242', 'visa', '', {3d}, 'declined', {3d},
  {no}, '', '', 'card_declined', 'no'),
 ('t2', 'p1', 'gw2', 'charge', 'credit-card', '10.55', 'usd', '************4242', 'visa', '', {3d}, 'succeeded', {3d},
  {no}, 'ch_1', '', '', ''),
 ('t3', 'p2', 'gw', 'charge', 'credit-card', '1.00', 'usd', '************4242', 'visa', '', {1d}, NULL, NULL,
  {no}, NULL, NULL, NULL, NULL);
INSERT INTO outbox (session, url, content_type, body, key_env, allow_insecure, attempts, created_at, next_at) VALUES
 ('p1', 'https://a.example/', 'application/json', {body}, '', {no}, 1, {3d}, {3d});
"""
"What an engine of the first release wrote; `3d` is three days before noon."


def make_first_release(backend: Backend) -> None:
    """Make the first release's tables, and fill them."""

    def upgrade(connection: Connection) -> None:
        config = AlembicConfig()
        config.set_main_option("script_location", str(ROOT / "engine/ledger/migrations"))
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")

    async def make() -> None:
        engine = create_async_engine(backend.url)
        async with engine.begin() as connection:
            await connection.run_sync(upgrade)
        await engine.dispose()

    with ThreadPoolExecutor(1) as pool:  # the test's own loop runs here
        pool.submit(asyncio.run, make()).result()
    is_sqlite = backend.name == "sqlite"
    words = {"no": "0" if is_sqlite else "false", "body": "X'7b7d'" if is_sqlite else "'\\x7b7d'::bytea"}
    for days in (1, 3, 9):
        time = NOON - timedelta(days=days)
        words[f"{days}d"] = f"'{time:%Y-%m-%d %H:%M:%S}.000000{'' if is_sqlite else '+00'}'"
    backend.execute(OLD_ROWS.format(**words))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite3"


@pytest.fixture
def sqlite_url(path: Path) -> str:
    return f"sqlite+aiosqlite:///{path}"


async def differences(url: str) -> list[object]:
    """Return what migrations made otherwise than the schema says, types included."""

    def compare(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        found: list[object] = compare_metadata(context, METADATA)
        return found

    database = await Database.open(url)
    try:
        return await database.run(lambda connection: connection.run_sync(compare), read_only=True)
    finally:
        await database.close()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield


async def start(ledger: Ledger, payment_id: str = "p") -> None:
    await ledger.start_payment(payment_id, call_id="c", form="f", operation="charge", amount="1.00", currency="usd")


class TestSchema:
    async def test_migrations_make_exactly_the_tables_of_the_schema(self, empty_backend: Backend) -> None:
        await (await Ledger.open(empty_backend.url)).close()
        assert await differences(empty_backend.url) == []
        (version,) = empty_backend.rows("alembic_version")
        assert version["version_num"] == NEWEST

    async def test_opening_again_changes_nothing(self, url: str) -> None:
        first = await Ledger.open(url)
        await start(first)
        await first.close()
        second = await Ledger.open(url)
        assert len(await second.recent_payments(10)) == 1
        await second.close()

    async def test_schema_of_a_newer_release_is_refused(self, backend: Backend) -> None:
        await (await Ledger.open(backend.url)).close()
        backend.execute("UPDATE alembic_version SET version_num = '9999'")
        for read_only in (False, True):
            with pytest.raises(LedgerError, match=r"9999 is not ours: .*newer release"):
                await Ledger.open(backend.url, read_only=read_only)
        assert [row["version_num"] for row in backend.rows("alembic_version")] == ["9999"]

    async def test_migration_that_fails_leaves_nothing_behind(self, empty_backend: Backend) -> None:
        empty_backend.execute("CREATE TABLE outbox (x int)")  # in the way of the last table of the first revision
        with pytest.raises(LedgerError, match="already exists"):
            await Ledger.open(empty_backend.url)
        for table in ("calls", "payments", "charge_attempts", "alembic_version"):
            with pytest.raises((sqlite3.OperationalError, AssertionError), match=r"no such table|does not exist"):
                empty_backend.rows(table)
        # And nothing has to be restarted when the cause is gone.
        empty_backend.execute("DROP TABLE outbox")
        await (await Ledger.open(empty_backend.url)).close()

    async def test_data_of_every_earlier_release_is_brought_forward_intact(self, empty_backend: Backend) -> None:
        make_first_release(empty_backend)
        ledger = await Ledger.open(empty_backend.url, clock=lambda: NOON)
        assert await differences(empty_backend.url) == []
        rows = {row["payment_id"]: row async for row in ledger.export.payments()}
        assert [
            (row["transaction_id"], row["outcome"], row["attempts"], row["connector"]) for row in rows.values()
        ] == [*(("t3", None, 1, "gw"), ("t2", "succeeded", 2, "gw2"), (None, None, 0, None))]
        assert rows["p1"]["started_at"] == NOON - timedelta(days=3)
        assert (rows["p1"]["amount"], rows["p1"]["card_number"], rows["p1"]["result"]) == (
            *("10.55", "************4242", "success"),
        )
        assert (rows["p1"]["direction"], rows["p1"]["token_type"], rows["p1"]["erased_at"]) == (None, None, None)
        (call,) = [row async for row in ledger.export.calls()]
        assert (call["caller"], call["packets_in"], call["mos"], call["direction"]) == ("alice", 50, None, None)
        assert [attempt.transaction_id for attempt in await ledger.open_attempts()] == ["t3"]
        (webhook,) = await ledger.webhooks.due(NOON, 10)
        assert (webhook.session, webhook.request.body, webhook.attempts) == ("p1", b"{}", 1)
        # What was there goes on: outcomes, new attempts of old payments, new webhooks behind the old ones.
        assert await ledger.record_outcome("t3", ConnectorAnswer(outcome=Outcome.DECLINED), reconciled=True)
        await ledger.journal_attempt("p2", submission_of(transaction_id="t4"), "gw")
        assert await ledger.webhooks.enqueue("p1", "https://a.example/", b"2") > webhook.id
        assert await ledger.interrupted.close() == 1
        await ledger.close()

    async def test_engines_that_start_at_once_migrate_once(self, empty_backend: Backend) -> None:
        make_first_release(empty_backend)
        script = (
            "import asyncio, sys\n"
            "from engine.ledger import Ledger\n"
            "print('ready', flush=True); sys.stdin.readline()\n"
            "async def main():\n"
            "    await (await Ledger.open(sys.argv[1], busy_timeout_s=60.0)).close()\n"
            "asyncio.run(main())\n"
        )
        engines = [
            subprocess.Popen(
                [sys.executable, "-c", script, empty_backend.url],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=ROOT,
            )
            for _ in range(2)
        ]
        for engine in engines:
            assert engine.stdout is not None
            assert engine.stdout.readline() == b"ready\n"
        for engine in engines:
            assert engine.stdin is not None
            engine.stdin.write(b"\n")
            engine.stdin.flush()
        for engine in engines:
            _, said = engine.communicate(timeout=60)
            assert (engine.returncode, said) == (0, b"")
        assert len(empty_backend.rows("alembic_version")) == 1
        assert await differences(empty_backend.url) == []


class TestBesideAnEngine:
    """Tools read, and settle, while an engine works."""

    async def test_reading_takes_no_lock_and_writes_nothing(self, backend: Backend) -> None:
        engine = await Ledger.open(backend.url)
        await engine.claim()
        await start(engine)
        reader = await Ledger.open(backend.url, read_only=True)
        assert len(await reader.recent_payments(5)) == 1
        with pytest.raises(LedgerError, match=r"cannot be written|read-only"):
            await start(reader, "q")
        await start(engine, "r")
        assert len(await reader.recent_payments(5)) == 2
        await reader.close()
        await engine.close()

    async def test_older_schema_is_not_migrated_by_a_tool(self, empty_backend: Backend) -> None:
        make_first_release(empty_backend)
        for read_only in (True, False):
            with pytest.raises(LedgerError, match=r"older release.*start the engine once"):
                await Ledger.open(empty_backend.url, migrate=False, read_only=read_only)
        assert [row["version_num"] for row in empty_backend.rows("alembic_version")] == ["0001"]

    async def test_database_that_is_not_there_is_not_made_by_a_tool(self, url: str, tmp_path: Path) -> None:
        missing = f"sqlite+aiosqlite:///{tmp_path}/missing.sqlite3"
        for read_only in (True, False):
            with pytest.raises(LedgerError, match="does not exist"):
                await Ledger.open(missing, migrate=False, read_only=read_only)
        assert not (tmp_path / "missing.sqlite3").exists()


class TestDurability:
    async def test_sqlite_is_set_to_survive_a_crash(self, sqlite_url: str) -> None:
        database = await Database.open(sqlite_url)

        async def pragmas(connection: object) -> list[object]:
            values = []
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout"):
                result = await connection.exec_driver_sql(f"PRAGMA {name}")  # type: ignore[attr-defined]
                values.append(result.scalar())
            return values

        # synchronous 2 is FULL: a commit is on the disk when it returns.
        assert await database.run(pragmas) == ["wal", 2, 1, 5000]
        await database.close()

    async def test_file_is_for_its_owner_only(self, sqlite_url: str, path: Path) -> None:
        ledger = await Ledger.open(sqlite_url)
        await start(ledger)
        for file in path.parent.iterdir():
            assert file.stat().st_mode & 0o077 == 0, file.name
        await ledger.close()

    async def test_memory_database_serves_for_trials(self) -> None:
        ledger = await Ledger.open("sqlite+aiosqlite:///:memory:")
        await ledger.claim()
        await start(ledger)
        assert len(await ledger.recent_payments(5)) == 1
        await ledger.close()


class TestErrors:
    async def test_locked_database_says_who_to_look_for(self, sqlite_url: str, path: Path) -> None:
        ledger = await Ledger.open(sqlite_url, busy_timeout_s=HURRY_S)
        with locked(path), pytest.raises(LedgerError, match=r"locked by another process.*fuser"):
            await start(ledger)
        # And goes on when the lock is gone.
        await start(ledger)
        await ledger.close()

    async def test_lock_that_goes_in_time_is_waited_for(self, sqlite_url: str, path: Path) -> None:
        ledger = await Ledger.open(sqlite_url)
        holder = subprocess.Popen(
            [
                sys.executable,
                "-c",
                "import sqlite3, sys\n"
                "c = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
                "c.execute('BEGIN IMMEDIATE'); print('held', flush=True); sys.stdin.read(1)",
                str(path),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        with holder:
            assert holder.stdout is not None
            assert holder.stdin is not None
            assert holder.stdout.readline() == b"held\n"
            waiting = asyncio.create_task(start(ledger))
            await asyncio.sleep(0)
            holder.stdin.close()
            await waiting
        await ledger.close()

    async def test_readers_do_not_mind_a_writer(self, sqlite_url: str, path: Path) -> None:
        ledger = await Ledger.open(sqlite_url, busy_timeout_s=HURRY_S)
        await start(ledger)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert len(await ledger.recent_payments(5)) == 1
        await ledger.close()

    async def test_locked_when_it_has_to_be_migrated(self, sqlite_url: str, path: Path) -> None:
        make_first_release(SqliteBackend(path))
        with locked(path), pytest.raises(LedgerError, match="locked"):
            await Ledger.open(sqlite_url, busy_timeout_s=HURRY_S)
        await (await Ledger.open(sqlite_url)).close()

    async def test_opening_what_is_current_waits_for_no_lock(self, sqlite_url: str, path: Path) -> None:
        await (await Ledger.open(sqlite_url)).close()
        with locked(path):
            ledger = await Ledger.open(sqlite_url, busy_timeout_s=HURRY_S)
            assert await ledger.recent_payments(1) == []
            with pytest.raises(LedgerError, match="locked"):
                await ledger.interrupted.close()
        await ledger.close()

    @pytest.mark.parametrize(
        ("url", "message"),
        [
            ("sqlite+aiosqlite:////no/such/folder/x.sqlite3", "folder exists"),
            ("nonsense", "no database URL"),
            ("sqlite+nosuchdriver:///x", "driver cannot be loaded"),
        ],
    )
    async def test_unusable_url_says_what_to_do(self, url: str, message: str) -> None:
        with pytest.raises(LedgerError, match=message):
            await Ledger.open(url)

    async def test_file_that_is_no_database(self, sqlite_url: str, path: Path) -> None:
        path.write_bytes(b"this is not a database" * 100)
        with pytest.raises(LedgerError, match="not a database"):
            await Ledger.open(sqlite_url)

    async def test_password_of_the_url_is_not_repeated(self) -> None:
        with pytest.raises(LedgerError) as caught:
            await Ledger.open("postgresql+nosuch://user:hidden@host/db")
        assert "hidden" not in str(caught.value)

    async def test_disk_that_is_full_is_said(self, sqlite_url: str, path: Path) -> None:
        ledger = await Ledger.open(sqlite_url)
        database = ledger._database

        async def fill(connection: object) -> None:
            await connection.exec_driver_sql("PRAGMA max_page_count = 1")  # type: ignore[attr-defined]
            for number in range(1000):
                await connection.exec_driver_sql(  # type: ignore[attr-defined]
                    "INSERT INTO payments (payment_id, call_id, form, operation, method, amount, currency, node,"
                    " started_at) VALUES (?, 'c', 'f', 'o', 'm', ?, 'usd', '', '2030-01-01')",
                    (str(number), "x" * 1000),
                )

        with pytest.raises(LedgerError, match="disk is full"):
            await database.run(fill)
        await ledger.close()


class TestClaim:
    async def test_second_engine_on_the_same_file_is_refused(self, sqlite_url: str) -> None:
        first, second = await Ledger.open(sqlite_url), await Ledger.open(sqlite_url)
        await first.claim()
        await first.claim()  # again is harmless
        with pytest.raises(LedgerError, match="another engine"):
            await second.claim()
        # Reading beside it is allowed: `paytone payments` does it.
        assert await second.recent_payments(1) == []
        await first.close()
        await second.claim()
        await second.close()

    async def test_claim_goes_with_a_killed_process(self, sqlite_url: str, path: Path) -> None:
        ledger = await Ledger.open(sqlite_url)
        holder = subprocess.Popen(
            [
                sys.executable,
                "-c",
                "import fcntl, sys\n"
                "f = open(sys.argv[1], 'a'); fcntl.flock(f, fcntl.LOCK_EX)\n"
                "print('held', flush=True); sys.stdin.read()",
                f"{path}.lock",
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        with holder:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"held\n"
            with pytest.raises(LedgerError, match="another engine"):
                await ledger.claim()
            holder.kill()
        await ledger.claim()
        await ledger.close()


async def test_closed_ledger_writes_nothing_more(sqlite_url: str) -> None:
    ledger = await Ledger.open(sqlite_url)
    await ledger.close()
    with pytest.raises(LedgerError, match="closed"):
        await start(ledger)
