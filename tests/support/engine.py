"""A whole engine in a process of its own, for the end-to-end and interop tests.

``running_engine(toml)`` writes the configuration into a directory of its own, starts ``paytone serve``, waits for its
ready line and ends it by its process id. Ports are free ones; everything is on loopback.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sqlite3
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from engine.connectors import SandboxGateway

__all__ = ("DEFAULT_TOML", "RunningEngine", "free_udp_port", "running_engine")

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 45.0

DEFAULT_TOML = """
[connector.sandbox]
type = "sandbox"
database = "sandbox.sqlite3"

[form.donation]
amount = "25.00"
currency = "usd"
description = "Donation"
connector = "sandbox"

[form.save-card]
connector = "sandbox"

[[route]]
to = "pay"
form = "donation"

[[route]]
to = "save"
form = "save-card"
"""


def free_udp_port() -> int:
    """Return a port of loopback that is free now for UDP, and for TCP too: the engine listens on both."""
    while True:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe,
            socket.socket(socket.AF_INET, socket.SOCK_STREAM) as stream,
        ):
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
            with suppress(OSError):
                stream.bind(("127.0.0.1", port))
                return port


class RunningEngine:
    """A started engine: where it listens, what it logged, what its gateway and ledger hold."""

    def __init__(self, directory: Path, port: int, process: asyncio.subprocess.Process) -> None:
        self.directory = directory
        self.sip_address = ("127.0.0.1", port)
        self.process = process
        self.lines: list[str] = []
        "Everything the engine wrote so far, standard output and error, line by line."

    @property
    def pid(self) -> int:
        """Process id of the engine."""
        return self.process.pid

    @property
    def log(self) -> str:
        """Everything the engine wrote so far, standard output and error."""
        return "\n".join(self.lines)

    def uri(self, user: str = "pay") -> str:
        """Return the SIP URI of a route."""
        return f"sip:{user}@{self.sip_address[0]}:{self.sip_address[1]}"

    def sandbox_transactions(self) -> list[dict[str, Any]]:
        """Return what the built-in gateway received, masked, in order."""
        path = self.directory / "sandbox.sqlite3"
        return [dict(row) for row in SandboxGateway.read(str(path))] if path.exists() else []

    def ledger_rows(self, table: str) -> list[dict[str, Any]]:
        """Return all rows of a table of the ledger."""
        with sqlite3.connect(f"file:{self.directory / 'ledger.sqlite3'}?mode=ro", uri=True) as connection:
            connection.row_factory = sqlite3.Row
            rows = [dict(row) for row in connection.execute(f"SELECT * FROM {table}")]
        connection.close()
        return rows

    def files(self) -> list[Path]:
        """Return every file that the engine wrote."""
        return [path for path in self.directory.rglob("*") if path.is_file()]

    async def wait_for(self, pattern: str, *, timeout_s: float = 20.0, count: int = 1) -> None:
        """Wait until ``count`` lines of the log match ``pattern``."""
        async with asyncio.timeout(timeout_s):
            while sum(1 for line in self.lines if re.search(pattern, line)) < count:
                await asyncio.sleep(0.05)

    async def read_log(self) -> None:
        """Collect the process's output until it ends."""
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            self.lines.append(line.decode(errors="replace").rstrip("\n"))


@asynccontextmanager
async def running_engine(
    toml: str = DEFAULT_TOML,
    *,
    directory: Path,
    environment: Mapping[str, str] | None = None,
    stop_signal: signal.Signals = signal.SIGTERM,
) -> AsyncIterator[RunningEngine]:
    """Run ``paytone serve`` with ``toml`` (``[sip]``, ``[ledger]``, ``[prompts]`` are added if absent)."""
    directory.mkdir(parents=True, exist_ok=True)
    port = free_udp_port()
    text = toml
    if "[sip]" not in toml:
        text += f'\n[sip]\nlisten = "127.0.0.1:{port}"\n'
    else:
        port = int(re.findall(r'listen\s*=\s*\[?\s*"[^"]*:(\d+)"', toml)[0])
    if "[ledger]" not in toml:
        text += '\n[ledger]\nurl = "sqlite+aiosqlite:///ledger.sqlite3"\n'
    if "[prompts]" not in toml:
        text += '\n[prompts]\ncache = "prompt-cache"\n'
    (directory / "paytone.toml").write_text(text, encoding="utf-8")
    root = Path(__file__).parents[2]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "engine",
        "serve",
        "--config",
        "paytone.toml",
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(root), "PYTHONUNBUFFERED": "1", **(environment or {})},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    engine = RunningEngine(directory, port, process)
    reader = asyncio.ensure_future(engine.read_log())
    try:
        try:
            await engine.wait_for(r"paytone listens on", timeout_s=START_TIMEOUT_S)
        except TimeoutError:
            raise AssertionError(f"the engine did not start:\n{engine.log}") from None
        yield engine
    finally:
        if process.returncode is None:
            process.send_signal(stop_signal)
            try:
                await asyncio.wait_for(process.wait(), STOP_TIMEOUT_S)
            except TimeoutError:
                process.kill()
                await process.wait()
        await reader
