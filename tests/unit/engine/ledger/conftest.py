"""The ledger on both of its databases."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import pytest_asyncio

from engine.ledger import Ledger
from tests.support.ledger_backend import Backend, PostgresBackend, SqliteBackend
from tests.support.payments import SlidingClock
from tests.support.postgres import PostgresServer, postgres_server

__all__ = ("backend", "clock", "empty_backend", "ledger", "postgres", "postgres_server", "sqlite_template", "url")


@pytest.fixture
def postgres(postgres_server: PostgresServer) -> Iterator[PostgresBackend]:
    """A database of the server, with the ledger's tables."""
    database = postgres_server.ledger_database()
    yield PostgresBackend(postgres_server, database)
    postgres_server.drop(database)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the ledger's tables, made once."""
    path = tmp_path_factory.mktemp("template") / "ledger.sqlite3"

    async def migrate() -> None:
        await (await Ledger.open(f"sqlite+aiosqlite:///{path}")).close()

    with ThreadPoolExecutor(1) as pool:  # a test's own loop may run in this thread
        pool.submit(asyncio.run, migrate()).result()
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def backend(request: pytest.FixtureRequest, tmp_path: Path, sqlite_template: Path) -> Backend:
    """A database with the ledger's tables."""
    if request.param == "sqlite":
        shutil.copy(sqlite_template, tmp_path / "ledger.sqlite3")
        return SqliteBackend(tmp_path / "ledger.sqlite3")
    found: PostgresBackend = request.getfixturevalue("postgres")
    return found


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    """A database without a table."""
    if request.param == "sqlite":
        yield SqliteBackend(tmp_path / "ledger.sqlite3")
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    database = server.empty_database()
    yield PostgresBackend(server, database)
    server.drop(database)


@pytest.fixture
def url(backend: Backend) -> str:
    return backend.url


@pytest.fixture
def clock() -> SlidingClock:
    return SlidingClock()


@pytest_asyncio.fixture
async def ledger(url: str, clock: SlidingClock) -> AsyncIterator[Ledger]:
    ledger = await Ledger.open(url, clock=clock)
    yield ledger
    await ledger.close()
