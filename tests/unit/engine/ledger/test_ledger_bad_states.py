"""SQLite in bad states: each is a ``LedgerError`` that says what to do, and all goes on when the cause is gone."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from engine.errors import LedgerError
from engine.ledger import Ledger
from engine.pay.submission import ConnectorAnswer, Outcome
from tests.support.payments import SlidingClock, submission_of

pytestmark = pytest.mark.asyncio

HURRY_S = 0.05
CHARGED = ConnectorAnswer(outcome=Outcome.SUCCEEDED, charge_id="ch_1")
NOBODY = 65534


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite3"


@pytest_asyncio.fixture
async def ledger(path: Path) -> AsyncIterator[Ledger]:
    ledger = await open_ledger(path)
    await prepare(ledger)
    yield ledger
    await ledger.close()


async def open_ledger(path: Path) -> Ledger:
    return await Ledger.open(f"sqlite+aiosqlite:///{path}", clock=SlidingClock(), busy_timeout_s=HURRY_S)


async def start(ledger: Ledger, payment_id: str) -> None:
    await ledger.start_payment(payment_id, call_id="c", form="f", operation="charge", amount="1.00", currency="usd")


async def prepare(ledger: Ledger) -> None:
    """Leave an attempt under way."""
    await start(ledger, "first")
    await journal(ledger, "first")


async def journal(ledger: Ledger, transaction_id: str) -> None:
    await ledger.journal_attempt("first", submission_of(transaction_id=transaction_id), "gw")


async def refuses_everything(ledger: Ledger, message: str) -> None:
    """Each kind of write fails with the remedy, and an attempt is not sent: it could not be journalled."""
    with pytest.raises(LedgerError, match=message):
        await journal(ledger, "refused")
    with pytest.raises(LedgerError, match=message):
        await start(ledger, "refused")
    with pytest.raises(LedgerError, match=message):
        await ledger.record_outcome("first", CHARGED)
    with pytest.raises(LedgerError, match=message):
        await ledger.webhooks.enqueue("s", "https://a.example/", b"x" * 10_000)


async def works(ledger: Ledger) -> None:
    """What was refused left nothing behind, and all goes on without a restart."""
    await journal(ledger, "later")
    await start(ledger, "later")
    assert await ledger.record_outcome("first", CHARGED)
    assert [attempt.transaction_id for attempt in await ledger.open_attempts()] == ["later"]
    assert {row["payment_id"] for row in await ledger.recent_payments(10)} == {"first", "later"}


class TestVanishedFile:
    async def test_nothing_is_written_into_a_file_that_was_removed(self, ledger: Ledger, path: Path) -> None:
        aside = path.with_suffix(".aside")
        path.rename(aside)
        await refuses_everything(ledger, "removed or replaced")
        assert not path.exists()
        aside.rename(path)
        await works(ledger)

    async def test_nothing_is_written_beside_a_file_that_was_replaced(self, ledger: Ledger, path: Path) -> None:
        aside = path.with_suffix(".aside")
        path.rename(aside)
        shutil.copy(aside, path)
        before = path.read_bytes()
        await refuses_everything(ledger, "put it back, or restart the engine")
        assert path.read_bytes() == before
        aside.rename(path)
        await works(ledger)

    async def test_folder_that_vanished_and_came_back(self, tmp_path: Path) -> None:
        folder = tmp_path / "var"
        folder.mkdir()
        ledger = await open_ledger(folder / "ledger.sqlite3")
        await prepare(ledger)
        folder.rename(tmp_path / "elsewhere")
        await refuses_everything(ledger, "removed or replaced")
        (tmp_path / "elsewhere").rename(folder)
        await works(ledger)
        await ledger.close()


@contextmanager
def small_disk(size: str) -> Iterator[Path]:
    """A file system that is soon full; skip where none may be mounted."""
    with tempfile.TemporaryDirectory(prefix="paytone-disk-") as name:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", name], capture_output=True, text=True, check=False
        )
        if done.returncode:
            pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
        try:
            yield Path(name)
        finally:
            subprocess.run(["umount", "--lazy", name], check=True)


class TestFullDisk:
    async def test_a_full_disk_refuses_and_a_freed_one_goes_on(self) -> None:
        with small_disk("1m") as disk:
            ledger = await open_ledger(disk / "ledger.sqlite3")
            await prepare(ledger)
            ballast = disk / "ballast"
            with ballast.open("wb", buffering=0) as file:
                try:
                    while True:
                        file.write(b"x" * 4096)
                except OSError:
                    pass
            await refuses_everything(ledger, "the disk is full; free some space|disk cannot be read or written")
            assert len(await ledger.recent_payments(5)) == 1
            ballast.unlink()
            await works(ledger)
            await ledger.close()

    async def test_a_limit_of_the_file_size(self, ledger: Ledger, path: Path) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (512, hard))
        try:
            await refuses_everything(ledger, "look at its space, its limits")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        await works(ledger)

    async def test_a_database_at_its_largest(self, ledger: Ledger) -> None:
        async def limit(connection: object) -> None:
            await connection.exec_driver_sql("PRAGMA max_page_count = 1")  # type: ignore[attr-defined]

        async def unlimit(connection: object) -> None:
            await connection.exec_driver_sql("PRAGMA max_page_count = 1073741823")  # type: ignore[attr-defined]

        await ledger._database.run(limit)
        with pytest.raises(LedgerError, match="the disk is full; free some space"):
            await ledger.webhooks.enqueue("s", "https://a.example/", b"x" * 100_000)
        await ledger._database.run(unlimit)
        await works(ledger)


class TestLockedFile:
    async def test_all_who_wait_are_told_and_nobody_waits_for_ever(self, ledger: Ledger, path: Path) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            results = await asyncio.gather(
                *(journal(ledger, f"t{number}") for number in range(20)), return_exceptions=True
            )
            assert [type(result) for result in results] == [LedgerError] * 20
            texts = {str(result) for result in results}
            assert all("locked by another process" in text or "slower than" in text for text in texts), texts
        await works(ledger)


@contextmanager
def as_nobody() -> Iterator[None]:
    """Do as a user who is not root; root may write anywhere."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


class TestForbiddenFolder:
    async def test_a_folder_that_became_read_only(self) -> None:
        with tempfile.TemporaryDirectory(prefix="paytone-ledger-") as name:
            folder = Path(name)
            ledger = await open_ledger(folder / "ledger.sqlite3")
            await prepare(ledger)
            await ledger.close()
            (folder / "ledger.sqlite3").chmod(0o444)
            folder.chmod(0o555)
            with as_nobody():
                with pytest.raises(LedgerError, match=r"cannot be opened: Permission denied; check"):
                    await open_ledger(folder / "ledger.sqlite3")
                with pytest.raises(LedgerError, match=r"check that its folder exists and is writable"):
                    await open_ledger(folder / "another.sqlite3")
            folder.chmod(0o755)
            (folder / "ledger.sqlite3").chmod(0o600)
            ledger = await open_ledger(folder / "ledger.sqlite3")
            await works(ledger)
            await ledger.close()


class TestDamagedFile:
    async def test_a_damaged_file_is_said_to_be_one(self, path: Path) -> None:
        ledger = await open_ledger(path)
        await prepare(ledger)
        for number in range(200):
            await ledger.webhooks.enqueue("s", "https://a.example/", bytes([number]) * 2000)
        await ledger.close()
        whole = path.read_bytes()
        path.write_bytes(whole[:4096] + b"\xa5" * (len(whole) - 4096))  # every page but the first
        with pytest.raises(LedgerError, match=r"is damaged; stop the engine.*restore the last backup"):
            await open_ledger(path)
        path.write_bytes(whole)
        ledger = await open_ledger(path)
        await works(ledger)
        await ledger.close()

    async def test_damage_while_it_is_open(self, ledger: Ledger, path: Path) -> None:
        async def shed(connection: object) -> None:
            await connection.exec_driver_sql("PRAGMA shrink_memory")  # type: ignore[attr-defined]

        for number in range(200):
            await ledger.webhooks.enqueue("s", "https://a.example/", bytes([number]) * 2000)
        await ledger._database.forget_deleted()
        whole = path.read_bytes()
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(b"\xa5" * (len(whole) - 4096))
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("PRAGMA user_version = 7")  # whoever writes makes others read their pages anew
        await ledger._database.run(shed, read_only=True)
        with pytest.raises(LedgerError, match="is damaged"):
            await journal(ledger, "refused")
        with path.open("r+b") as file:
            file.write(whole)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            other.execute("PRAGMA user_version = 8")
        await works(ledger)
