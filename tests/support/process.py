"""Other people's programs as child processes: started, watched by line, ended by their own process id."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

__all__ = ("Program", "free_port", "needs")

STOP_TIMEOUT_S = 5.0
MAX_LINES = 5000


def needs(*programs: str) -> pytest.MarkDecorator:
    """Return the mark that skips a test where a program is not installed."""
    missing = [name for name in programs if shutil.which(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed here: {', '.join(missing)}")


def free_port(kind: socket.SocketKind = socket.SOCK_DGRAM) -> int:
    """Return a port of 127.0.0.1 that is free now."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Program:
    """A running program; ``async with`` ends it, whatever happened."""

    def __init__(
        self, *command: str | Path, directory: Path | None = None, environment: Mapping[str, str] | None = None
    ) -> None:
        self._command: Sequence[str | Path] = command
        self._directory = directory
        self._environment = dict(environment or {})
        self._reader: asyncio.Task[None] | None = None
        self._changed = asyncio.Condition()
        self.lines: list[str] = []
        "What it wrote to standard output and error so far, line by line."
        self.process: asyncio.subprocess.Process | None = None
        self._ended = False

    async def __aenter__(self) -> Program:
        self.process = await asyncio.create_subprocess_exec(
            *self._command,
            cwd=self._directory,
            env={**os.environ, **self._environment},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        self._reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def output(self) -> str:
        """Everything it wrote."""
        return "\n".join(self.lines)

    async def wait_line(self, pattern: str, *, timeout_s: float) -> str:
        """Return the first line, past or future, that matches ``pattern``."""
        return await self.wait_for(
            lambda: next((line for line in self.lines if re.search(pattern, line)), None), pattern, timeout_s=timeout_s
        )

    async def wait_for(self, found: Callable[[], str | None], what: str, *, timeout_s: float) -> str:
        """Return what ``found`` gives, asked again whenever the program wrote a line."""
        try:
            async with asyncio.timeout(timeout_s), self._changed:
                while (result := found()) is None:
                    if self._ended:
                        raise AssertionError(f"{self._command[0]} ended and never said {what!r}:\n{self.output}")
                    await self._changed.wait()
                return result
        except TimeoutError:
            raise AssertionError(
                f"{self._command[0]} did not say {what!r} in {timeout_s:g} s:\n{self.output}"
            ) from None

    async def wait_end(self, *, timeout_s: float) -> int:
        """Return the exit status once the program ended by itself."""
        assert self.process is not None
        try:
            status = await asyncio.wait_for(self.process.wait(), timeout_s)
        except TimeoutError:
            raise AssertionError(f"{self._command[0]} still runs after {timeout_s:g} s:\n{self.output}") from None
        if self._reader is not None:
            await self._reader
        return status

    async def stop(self) -> None:
        """End it by its process id: SIGTERM, and SIGKILL when that does not help."""
        process, self.process = self.process, None
        if process is None:
            return
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(process.wait(), STOP_TIMEOUT_S)
            except TimeoutError:
                process.kill()
                await process.wait()
        if process.stdin is not None:
            process.stdin.close()
        if self._reader is not None:
            await self._reader

    async def _read(self) -> None:
        assert self.process is not None
        stream: Any = self.process.stdout
        while line := await stream.readline():
            async with self._changed:
                self.lines.append(line.decode(errors="replace").rstrip("\r\n"))
                del self.lines[:-MAX_LINES]
                self._changed.notify_all()
        async with self._changed:
            self._ended = True
            self._changed.notify_all()
