"""The two databases that a ledger can have, for tests that hold for both."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

from tests.support.postgres import PostgresServer

__all__ = ("Backend", "PostgresBackend", "SqliteBackend")


class Backend(Protocol):
    """A database, looked at past the ledger."""

    name: str
    url: str

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Return a table as the database has it; times are texts of its own kind."""

    def execute(self, script: str) -> None:
        """Execute statements."""

    def contents(self) -> bytes:
        """Return every octet that it keeps on the disk."""


class SqliteBackend:
    """A file."""

    name = "sqlite"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.url = f"sqlite+aiosqlite:///{path}"

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Read it on a connection of our own."""
        with closing(sqlite3.connect(self.path)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(f"SELECT * FROM {table}")]

    def execute(self, script: str) -> None:
        """Execute statements."""
        with closing(sqlite3.connect(self.path)) as connection:
            connection.executescript(script)
            connection.commit()

    def contents(self) -> bytes:
        """Return the file and those beside it."""
        return b"".join(
            file.read_bytes() for file in self.path.parent.iterdir() if file.name.startswith(self.path.name)
        )


class PostgresBackend:
    """A database of a server."""

    name = "postgresql"

    def __init__(self, server: PostgresServer, database: str) -> None:
        self.server = server
        self.database = database
        self.url = server.url(database)

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Read it with psql."""
        found = self.server.sql(f"SELECT coalesce(json_agg(t), '[]') FROM {table} t", self.database)
        rows: list[dict[str, Any]] = json.loads(found)
        return rows

    def execute(self, script: str) -> None:
        """Execute statements."""
        self.server.sql(script, self.database)

    def contents(self) -> bytes:
        """Return the tables' files, and the server's log of all writes."""
        self.server.sql("CHECKPOINT", self.database)
        number = self.server.sql(f"SELECT oid FROM pg_database WHERE datname = '{self.database}'")
        files = [*(self.server.data / "base" / number).iterdir(), *(self.server.data / "pg_wal").iterdir()]
        return b"".join(file.read_bytes() for file in files if file.is_file())
