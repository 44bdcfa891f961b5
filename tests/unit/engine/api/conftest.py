"""A ledger in memory, and the secrets that the interface reads."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import pytest_asyncio

from engine.ledger import Ledger
from tests.support.api import ENVIRONMENT


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the ledger's tables, made once."""
    path = tmp_path_factory.mktemp("api") / "ledger.sqlite3"

    async def migrate() -> None:
        await (await Ledger.open(f"sqlite+aiosqlite:///{path}")).close()

    with ThreadPoolExecutor(1) as pool:  # a test's own loop may run in this thread
        pool.submit(asyncio.run, migrate()).result()
    return path


@pytest_asyncio.fixture
async def ledger(tmp_path: Path, migrated: Path) -> AsyncIterator[Ledger]:
    """A ledger of its own."""
    shutil.copy(migrated, tmp_path / "ledger.sqlite3")
    opened = await Ledger.open(f"sqlite+aiosqlite:///{tmp_path / 'ledger.sqlite3'}")
    yield opened
    await opened.close()
