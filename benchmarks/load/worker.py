"""Processes that take part in a measurement: a JSON object a line to them, one back for each.

The processes end when their standard input does, so none outlives who started it.
"""

from __future__ import annotations

import json
import os
import resource
import selectors
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

__all__ = ("Worker", "WorkerError", "raise_file_limit", "serve")

OPEN_FILES = 65536
MAX_LINE_BYTES = 8_000_000

Command = Callable[[dict[str, Any]], dict[str, Any]]


class WorkerError(RuntimeError):
    """A process of the measurement refused, fell silent or ended."""


def raise_file_limit() -> int:
    """Allow this process as many open files as it may have; return the limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    return limit


def serve(commands: Mapping[str, Command], *, readers: Mapping[int, Callable[[], None]] | None = None) -> None:
    """Answer lines of standard input until it ends; call a reader when its descriptor is readable."""
    with selectors.DefaultSelector() as selector:
        selector.register(0, selectors.EVENT_READ)
        for fd, reader in (readers or {}).items():
            selector.register(fd, selectors.EVENT_READ, reader)
        waiting = b""
        while True:
            for key, _ in selector.select():
                if key.data is not None:
                    key.data()
                    continue
                data = os.read(0, 65536)
                waiting += data
                if not data or len(waiting) > MAX_LINE_BYTES:
                    return
                *lines, waiting = waiting.split(b"\n")
                for line in lines:
                    sys.stdout.write(json.dumps(_answer(commands, line)) + "\n")
                    sys.stdout.flush()


def _answer(commands: Mapping[str, Command], line: bytes) -> dict[str, Any]:
    try:
        request = json.loads(line)
        return commands[request.pop("do")](request)
    except Exception as error:  # whatever it is, who asked has to hear of it
        return {"error": f"{type(error).__name__}: {error}"}


class Worker:
    """The other end of `serve`: one process, asked one thing at a time."""

    def __init__(self, module: str, *arguments: str, prefix: Sequence[str] = ()) -> None:
        self._name = module
        self._process = subprocess.Popen(
            [*prefix, sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._waiting = b""

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def ask(self, do: str, *, timeout_s: float = 60.0, **arguments: Any) -> dict[str, Any]:
        """Send a command and return the answer; raise WorkerError when none comes or it is a refusal."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, **arguments}).encode() + b"\n")
            self._process.stdin.flush()
        except (OSError, ValueError) as error:  # ValueError: closed by us
            raise WorkerError(f"{self._name} has ended") from error
        deadline = time.monotonic() + timeout_s
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._waiting:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise WorkerError(f"{self._name} did not answer {do!r} within {timeout_s:.0f} s")
                data = os.read(self._process.stdout.fileno(), 65536)
                if not data or len(self._waiting) > MAX_LINE_BYTES:
                    raise WorkerError(f"{self._name} ended at {do!r}")
                self._waiting += data
        line, _, self._waiting = self._waiting.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise WorkerError(f"{self._name}: {answer['error']}")
        return answer

    def close(self) -> None:
        """End the process; safe to call twice."""
        if self._process.stdin is not None:
            try:
                self._process.stdin.close()
            except OSError:
                pass
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
