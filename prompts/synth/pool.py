"""A pool of worker processes that synthesise, decode and master, so that the engine's process does neither.

A library or program that crashes, hangs or leaks takes its worker with it and nothing else. A worker that dies or does
not answer in time is killed with all it started, by its own process group; its request is repeated once, on a fresh
one. Workers get a small environment: the engine's holds secrets.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping, Sequence
from pathlib import Path

from prompts.synth.wire import PREFIX_SIZE, Header, WireError, lengths, pack, unpack_header

__all__ = ("TIMEOUT_S", "WorkerError", "WorkerPool")

TIMEOUT_S = 10.0
"For one request, the start of the worker included; a sentence takes 0.02 s, the start up to 1 s."
_ATTEMPTS = 2
_GRACE_S = 1.0
_COMMAND = (sys.executable, "-P", "-m", "prompts.synth.worker")
_INHERITED = ("ESPEAK_DATA_PATH", "HOME", "LD_LIBRARY_PATH", "PATH", "TMPDIR", "VIRTUAL_ENV")
_MAX_DETAIL = 200


class WorkerError(Exception):
    """The worker died or hung, twice; the text says how."""


class WorkerPool:
    """Up to ``workers`` processes, started when they are first needed."""

    def __init__(self, *, workers: int = 1, timeout_s: float = TIMEOUT_S, command: Sequence[str] = _COMMAND) -> None:
        """Start nothing yet. ``command`` is another worker, for tests."""
        if workers < 1:
            raise ValueError("a pool has at least one worker")
        self._size = workers
        self._timeout_s = timeout_s
        self._command = tuple(command)
        self._turns = asyncio.Semaphore(workers)
        self._idle: list[_Worker] = []
        self._all: set[_Worker] = set()
        self._ending: set[asyncio.Task[None]] = set()
        self._closed = False
        self.restarts = 0
        "Workers that had to be replaced so far."

    @property
    def pids(self) -> tuple[int, ...]:
        """Process ids of the workers that run."""
        return tuple(sorted(worker.pid for worker in self._all if worker.alive))

    async def start(self) -> None:
        """Start all workers now, so that the first request does not wait for it; raise WorkerError."""
        while len(self._all) < self._size and not self._closed:
            self._idle.append(await self._spawn())

    async def request(self, header: Mapping[str, str | int], body: bytes = b"") -> tuple[Header, bytes]:
        """Send one request and return its answer; raise WorkerError.

        Cancelling ends the worker: its answer would be taken for that of the next request.
        """
        frame = pack(header, body)
        reason = ""
        async with self._turns:
            for _ in range(_ATTEMPTS):
                worker = await self._take()
                try:
                    answer = await asyncio.wait_for(worker.exchange(frame), self._timeout_s)
                except TimeoutError:
                    self._discard(worker)
                    reason = f"the speech worker did not answer within {self._timeout_s:g} s"
                except (WireError, EOFError, OSError):
                    self._discard(worker)
                    reason = f"the speech worker ended{await worker.last_words()}"
                except BaseException:
                    self._discard(worker)
                    raise
                else:
                    self._idle.append(worker)
                    return answer
                self.restarts += 1
                if self._closed:
                    break
        raise WorkerError(reason)

    async def close(self) -> None:
        """End all workers: by closing their input, and by force one second later."""
        self._closed = True
        for worker in self._idle:
            worker.release()
        if self._idle:
            await asyncio.wait([asyncio.ensure_future(worker.wait()) for worker in self._idle], timeout=_GRACE_S)
        self._idle.clear()
        for worker in tuple(self._all):
            self._discard(worker)
        while self._ending:
            await asyncio.gather(*self._ending)

    async def _take(self) -> _Worker:
        if self._closed:
            raise WorkerError("the speech workers were closed")
        while self._idle:
            worker = self._idle.pop()
            if worker.alive:
                return worker
            self._discard(worker)
            self.restarts += 1
        return await self._spawn()

    async def _spawn(self) -> _Worker:
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=PIPE,
                stdout=PIPE,
                stderr=PIPE,
                env=_environment(),
                # Ctrl-C at the terminal is for the engine, which drains; and the group can be killed as one.
                start_new_session=True,
            )
        except OSError as error:
            raise WorkerError(f"the speech worker could not be started: {error.strerror}") from None
        worker = _Worker(process)
        self._all.add(worker)
        return worker

    def _discard(self, worker: _Worker) -> None:
        worker.kill()
        self._all.discard(worker)
        task = asyncio.get_running_loop().create_task(worker.wait())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)


class _Worker:
    """One process, and one exchange at a time."""

    def __init__(self, process: Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self._process = process
        self._stdin, self._stdout, self._stderr = process.stdin, process.stdout, process.stderr
        self.pid = process.pid

    @property
    def alive(self) -> bool:
        return self._process.returncode is None

    async def exchange(self, frame: bytes) -> tuple[Header, bytes]:
        self._stdin.write(frame)
        await self._stdin.drain()
        head_size, body_size = lengths(await self._stdout.readexactly(PREFIX_SIZE))
        header = unpack_header(await self._stdout.readexactly(head_size))
        return header, await self._stdout.readexactly(body_size)

    async def last_words(self) -> str:
        """Return the last line on standard error, which is why a worker could not start (it says nothing later)."""
        try:
            text = await asyncio.wait_for(self._stderr.read(65536), _GRACE_S)
        except TimeoutError:
            return ""
        lines = text.decode("utf-8", "replace").strip().splitlines()
        return f": {lines[-1][:_MAX_DETAIL]}" if lines else ""

    def release(self) -> None:
        self._stdin.close()

    def kill(self) -> None:
        if self.alive:
            # The worker leads a session of its own, so its id is its group's: what it runs ends with it.
            try:
                os.killpg(self.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self._stdin.close()

    async def wait(self) -> None:
        await self._process.wait()


def _environment() -> dict[str, str]:
    environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    root = str(Path(__file__).parents[2])
    environment |= {
        "LANG": "C.UTF-8",
        "PYTHONPATH": root,
        # One sentence is too short to share among threads, and the cores belong to the calls.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    return environment
