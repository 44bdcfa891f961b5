"""The ledger's database: schema, durability, locks, and errors that say what to do."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, text

from engine.errors import LedgerError
from engine.ledger import Ledger
from engine.ledger.database import Database
from engine.ledger.schema import METADATA

pytestmark = pytest.mark.asyncio

HURRY_S = 0.05
"A short busy timeout, so that a test of locks does not wait."


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite3"


@pytest.fixture
def url(path: Path) -> str:
    return f"sqlite+aiosqlite:///{path}"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield


async def start(ledger: Ledger, payment_id: str = "p") -> None:
    await ledger.start_payment(payment_id, call_id="c", form="f", operation="charge", amount="1.00", currency="usd")


class TestSchema:
    async def test_migrations_make_exactly_the_tables_of_the_schema(self, url: str, path: Path) -> None:
        await (await Ledger.open(url)).close()
        engine = create_engine(f"sqlite:///{path}")
        with engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            assert compare_metadata(context, METADATA) == []
            assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == "0003"
        engine.dispose()

    async def test_opening_again_changes_nothing(self, url: str) -> None:
        first = await Ledger.open(url)
        await start(first)
        await first.close()
        second = await Ledger.open(url)
        assert len(await second.recent_payments(10)) == 1
        await second.close()

    async def test_schema_of_a_newer_release_is_refused(self, url: str, path: Path) -> None:
        await (await Ledger.open(url)).close()
        with closing(sqlite3.connect(path)) as database, database:
            database.execute("UPDATE alembic_version SET version_num = '9999'")
        with pytest.raises(LedgerError, match="newer release"):
            await Ledger.open(url)

    async def test_migration_that_fails_leaves_nothing_behind(
        self, url: str, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with closing(sqlite3.connect(path)) as database, database:
            database.execute("CREATE TABLE outbox (x)")  # in the way of the last table
        with pytest.raises(LedgerError, match="already exists"):
            await Ledger.open(url)
        with closing(sqlite3.connect(path)) as database:
            names = {row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        assert names == {"outbox"}


class TestDurability:
    async def test_sqlite_is_set_to_survive_a_crash(self, url: str) -> None:
        database = await Database.open(url)

        async def pragmas(connection: object) -> list[object]:
            values = []
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout"):
                result = await connection.exec_driver_sql(f"PRAGMA {name}")  # type: ignore[attr-defined]
                values.append(result.scalar())
            return values

        # synchronous 2 is FULL: a commit is on the disk when it returns.
        assert await database.run(pragmas) == ["wal", 2, 1, 5000]
        await database.close()

    async def test_file_is_for_its_owner_only(self, url: str, path: Path) -> None:
        ledger = await Ledger.open(url)
        await start(ledger)
        for file in path.parent.iterdir():
            assert file.stat().st_mode & 0o077 == 0, file.name
        await ledger.close()

    async def test_memory_database_serves_for_trials(self) -> None:
        ledger = await Ledger.open("sqlite+aiosqlite:///:memory:")
        ledger.claim()
        await start(ledger)
        assert len(await ledger.recent_payments(5)) == 1
        await ledger.close()


class TestErrors:
    async def test_locked_database_says_who_to_look_for(self, url: str, path: Path) -> None:
        ledger = await Ledger.open(url, busy_timeout_s=HURRY_S)
        with locked(path), pytest.raises(LedgerError, match=r"locked by another process.*fuser"):
            await start(ledger)
        # And goes on when the lock is gone.
        await start(ledger)
        await ledger.close()

    async def test_lock_that_goes_in_time_is_waited_for(self, url: str, path: Path) -> None:
        ledger = await Ledger.open(url)
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

    async def test_readers_do_not_mind_a_writer(self, url: str, path: Path) -> None:
        ledger = await Ledger.open(url, busy_timeout_s=HURRY_S)
        await start(ledger)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert len(await ledger.recent_payments(5)) == 1
        await ledger.close()

    async def test_locked_at_opening(self, url: str, path: Path) -> None:
        await (await Ledger.open(url)).close()
        with locked(path), pytest.raises(LedgerError, match="locked"):
            await Ledger.open(url, busy_timeout_s=HURRY_S)

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

    async def test_file_that_is_no_database(self, url: str, path: Path) -> None:
        path.write_bytes(b"this is not a database" * 100)
        with pytest.raises(LedgerError, match="not a database"):
            await Ledger.open(url)

    async def test_password_of_the_url_is_not_repeated(self) -> None:
        with pytest.raises(LedgerError) as caught:
            await Ledger.open("postgresql+nosuch://user:hidden@host/db")
        assert "hidden" not in str(caught.value)

    async def test_disk_that_is_full_is_said(self, url: str, path: Path) -> None:
        ledger = await Ledger.open(url)
        database = ledger._database

        async def fill(connection: object) -> None:
            await connection.exec_driver_sql("PRAGMA max_page_count = 1")  # type: ignore[attr-defined]
            for number in range(1000):
                await connection.exec_driver_sql(  # type: ignore[attr-defined]
                    "INSERT INTO payments VALUES (?, 'c', 'f', 'o', 'm', ?, 'usd', '', '2030-01-01', "
                    "NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
                    (str(number), "x" * 1000),
                )

        with pytest.raises(LedgerError, match="disk is full"):
            await database.run(fill)
        await ledger.close()


class TestClaim:
    async def test_second_engine_on_the_same_file_is_refused(self, url: str) -> None:
        first, second = await Ledger.open(url), await Ledger.open(url)
        first.claim()
        first.claim()  # again is harmless
        with pytest.raises(LedgerError, match="another engine"):
            second.claim()
        # Reading beside it is allowed: `paytone payments` does it.
        assert await second.recent_payments(1) == []
        await first.close()
        second.claim()
        await second.close()

    async def test_claim_goes_with_a_killed_process(self, url: str, path: Path) -> None:
        ledger = await Ledger.open(url)
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
                ledger.claim()
            holder.kill()
        ledger.claim()
        await ledger.close()


async def test_closed_ledger_writes_nothing_more(url: str) -> None:
    ledger = await Ledger.open(url)
    await ledger.close()
    with pytest.raises(LedgerError, match="closed"):
        await start(ledger)
