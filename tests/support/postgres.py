"""A PostgreSQL server for tests: Debian's programs, a data directory of its own, a Unix socket, no durability.

Started once a session (and once for each worker of xdist); each test has a database of its own, copied from a template
that is migrated once. PostgreSQL refuses to run as root: then it runs as its own user, or as ``nobody``.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from engine.ledger import Ledger

__all__ = ("PostgresServer", "postgres_server", "running_postgres")

START_S = 60.0


def find_programs() -> Path | None:
    """Return the directory of the newest installed server's programs; None where none is installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    initdb = shutil.which("initdb")
    return Path(initdb).resolve().parent if initdb else None


class PostgresServer:
    """A server that can be stopped, killed and started again on the same data."""

    def __init__(self, programs: Path, directory: Path, user: str) -> None:
        self._programs = programs
        self._directory = directory
        self._user = user
        self._group = pwd.getpwnam(user).pw_gid if user else None
        self._names = itertools.count()
        self._process: subprocess.Popen[bytes] | None = None
        self._template = ""

    def prepare(self) -> None:
        """Make the data directory."""
        self._run("initdb", "-D", str(self.data), "-U", "paytone", "-A", "trust", "-E", "UTF8", "--no-sync")

    @property
    def data(self) -> Path:
        """Where the data is."""
        return self._directory / "data"

    @property
    def log(self) -> str:
        """What the server said."""
        return (self._directory / "log").read_text(errors="replace")

    def start(self) -> None:
        """Start it and wait until it answers."""
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self._directory),
            "fsync": "off",
            "full_page_writes": "off",
            "max_connections": "40",
            "shared_buffers": "16MB",
            "timezone": "Asia/Kolkata",  # no server's zone may matter
        }
        options = [text for name, value in settings.items() for text in ("-c", f"{name}={value}")]
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                # A crash of the tests takes it along: nobody would find it otherwise.
                ["setpriv", "--pdeathsig", "QUIT", str(self._programs / "postgres"), "-D", str(self.data), *options],
                stdout=log,
                stderr=log,
                cwd=self._directory,
                user=self._user or None,
                group=self._group,
            )
        self._run("pg_isready", "-h", str(self._directory), "-t", "1", repeat_s=START_S)

    def stop(self) -> None:
        """End it at once, but in order: sessions are cut (fast shutdown)."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """End it as a crash would: every process without a chance to clean up (immediate shutdown)."""
        self._end(signal.SIGQUIT)

    def pause(self) -> None:
        """Freeze all its processes: it neither answers nor goes away."""
        self._signal_all(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._signal_all(signal.SIGCONT)

    def sql(self, statement: str, database: str = "postgres") -> str:
        """Execute a statement; return what it found, one row a line, ``|`` between columns."""
        done = self._run(
            "psql", "-h", str(self._directory), "-U", "paytone", "-d", database, "-XAtqc", statement, repeat_s=0
        )
        return done.strip()

    def empty_database(self) -> str:
        """Create a database without tables; return its name."""
        name = f"t{next(self._names)}"
        self.sql(f"CREATE DATABASE {name}")
        return name

    def ledger_database(self) -> str:
        """Create a database with the ledger's current schema; return its name."""
        if not self._template:
            template = self.empty_database()
            with ThreadPoolExecutor(1) as pool:  # a test's own loop may run in this thread
                pool.submit(asyncio.run, _migrate(self.url(template))).result()
            self._template = template
        name = f"t{next(self._names)}"
        self.sql(f"CREATE DATABASE {name} TEMPLATE {self._template}")
        return name

    def drop(self, database: str) -> None:
        """Delete a database and end whoever works on it."""
        self.sql(f"DROP DATABASE {database} WITH (FORCE)")

    def url(self, database: str) -> str:
        """Return what ``ledger.url`` has to say."""
        return f"postgresql+asyncpg://paytone@/{database}?host={self._directory}"

    def _end(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)
        self._process.wait(60)
        self._process = None

    def _signal_all(self, number: int) -> None:
        assert self._process is not None
        parent = self._process.pid
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        for pid in (parent, *map(int, children)):
            with suppress(ProcessLookupError):  # a child that ended meanwhile: the server has short-lived ones
                os.kill(pid, number)

    def _run(self, program: str, *arguments: str, repeat_s: float = 0) -> str:
        attempts = 1 + int(repeat_s)
        for attempt in range(attempts):
            done = subprocess.run(
                [str(self._programs / program), *arguments],
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
                cwd=self._directory,
                env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8"},
                user=self._user or None,
                group=self._group,
            )
            if done.returncode == 0:
                return done.stdout
            if attempt + 1 < attempts:
                try:
                    assert self._process is not None
                    self._process.wait(0.05)
                    break  # it is gone
                except subprocess.TimeoutExpired:
                    pass
        raise AssertionError(f"{program}: {done.stdout}{done.stderr}")


async def _migrate(url: str) -> None:
    await (await Ledger.open(url)).close()


def _user() -> str:
    """Return as whom the server runs; empty: as we do."""
    if os.geteuid() != 0:
        return ""
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


@contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """Start a server in a temporary directory, end it afterwards; skip the test where PostgreSQL is not installed."""
    programs = find_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed (apt install postgresql)")
    user = _user()
    # Not below pytest's directory: another user must get in, and a socket's path has at most 107 characters.
    with tempfile.TemporaryDirectory(prefix="paytone-pg-", dir="/tmp") as name:
        directory = Path(name)
        if user:
            os.chown(directory, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)
        server = PostgresServer(programs, directory, user)
        server.prepare()
        server.start()
        try:
            yield server
        finally:
            server.resume()
            server.kill()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """The server that all tests of a session share; they do not stop it."""
    with running_postgres() as server:
        yield server
