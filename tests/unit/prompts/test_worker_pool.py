"""The pool against a worker that does what each test asks for; the real one is in test_espeak.py."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from prompts.synth.pool import WorkerError, WorkerPool

pytestmark = pytest.mark.asyncio

STUB = """
import json, os, subprocess, sys, time
from pathlib import Path
from prompts.synth.wire import PREFIX_SIZE, lengths, pack, unpack_header

inp, out = sys.stdin.buffer, sys.stdout.buffer
while prefix := inp.read(PREFIX_SIZE):
    head, body = lengths(prefix)
    header, body = unpack_header(inp.read(head)), inp.read(body)
    op, mark = header["op"], Path(header.get("mark", "/nonexistent"))
    first = not mark.exists()
    if op == "die" or op == "die-once" and first:
        if op == "die-once": mark.touch()
        print("it is all over", file=sys.stderr)
        sys.stderr.flush()
        os._exit(3)
    if op == "hang-once" and first:
        child = subprocess.Popen(["sleep", "600"])
        mark.write_text(str(child.pid))
        time.sleep(600)
    if op == "hang": time.sleep(600)
    if op == "garbage":
        out.write(b"\\xff" * 64); out.flush(); time.sleep(600)
    if op == "environment": body = json.dumps(dict(os.environ)).encode()
    out.write(pack({"ok": 1, "pid": os.getpid()}, body)); out.flush()
"""
COMMAND = (sys.executable, "-c", STUB)


@pytest_asyncio.fixture
async def pool() -> AsyncIterator[WorkerPool]:
    pool = WorkerPool(command=COMMAND)
    yield pool
    await pool.close()
    assert pool.pids == ()


async def test_nothing_runs_before_the_first_request(pool: WorkerPool) -> None:
    assert pool.pids == ()


async def test_one_worker_answers_one_request_after_the_other(pool: WorkerPool) -> None:
    answers = await asyncio.gather(*(pool.request({"op": "echo"}, b"%d" % i) for i in range(20)))
    assert [body for _, body in answers] == [b"%d" % i for i in range(20)]
    assert {header["pid"] for header, _ in answers} == set(pool.pids)
    assert len(pool.pids) == 1


async def test_start_brings_up_all_workers() -> None:
    pool = WorkerPool(workers=2, command=COMMAND)
    await pool.start()
    assert len(pool.pids) == 2
    await pool.close()


async def test_a_worker_killed_while_idle_is_replaced_and_the_request_served(pool: WorkerPool) -> None:
    before, _ = await pool.request({"op": "echo"})
    os.kill(int(before["pid"]), signal.SIGKILL)
    after, body = await pool.request({"op": "echo"}, b"again")
    assert body == b"again"
    assert after["pid"] != before["pid"]
    assert pool.restarts == 1


async def test_a_request_whose_worker_dies_is_repeated_once(pool: WorkerPool, tmp_path: Path) -> None:
    _, body = await pool.request({"op": "die-once", "mark": str(tmp_path / "mark")}, b"again")
    assert body == b"again"
    assert pool.restarts == 1


async def test_a_request_that_kills_each_worker_fails_with_its_last_words(pool: WorkerPool) -> None:
    with pytest.raises(WorkerError, match="ended: it is all over"):
        await pool.request({"op": "die"})
    assert pool.restarts == 2
    _, body = await pool.request({"op": "echo"}, b"the next one is served")
    assert body == b"the next one is served"


async def test_a_hung_worker_is_killed_with_its_children_and_the_request_repeated(tmp_path: Path) -> None:
    # Long enough for a worker to start on a busy machine; it is waited for once.
    pool = WorkerPool(command=COMMAND, timeout_s=3.0)
    mark = tmp_path / "mark"
    _, body = await pool.request({"op": "hang-once", "mark": str(mark)}, b"again")
    assert body == b"again"
    assert pool.restarts == 1
    assert has_ended(int(mark.read_text()))
    await pool.close()


@pytest.mark.soak  # long; CI runs it
async def test_under_load_each_request_gets_its_own_answer_though_workers_die_and_hang(tmp_path: Path) -> None:
    pool = WorkerPool(workers=3, command=COMMAND, timeout_s=5.0)
    faults = {5: "die-once", 11: "die-once", 12: "die-once", 20: "hang-once", 33: "die-once"}
    requests = [
        pool.request({"op": faults.get(number, "echo"), "mark": str(tmp_path / str(number))}, b"%d" % number)
        for number in range(60)
    ]
    answers = await asyncio.gather(*requests)
    assert [body for _, body in answers] == [b"%d" % number for number in range(60)]
    assert pool.restarts == len(faults)
    assert len(pool.pids) <= 3
    await pool.close()


async def test_a_request_that_hangs_each_worker_fails() -> None:
    pool = WorkerPool(command=COMMAND, timeout_s=0.3)
    with pytest.raises(WorkerError, match=r"did not answer within 0\.3 s"):
        await pool.request({"op": "hang"})
    assert pool.restarts == 2
    await pool.close()


async def test_a_worker_that_sends_no_frame_is_ended(pool: WorkerPool) -> None:
    with pytest.raises(WorkerError, match="ended"):
        await pool.request({"op": "garbage"})


async def test_a_cancelled_request_does_not_leave_its_answer_to_the_next(pool: WorkerPool) -> None:
    hanging = asyncio.create_task(pool.request({"op": "hang"}))
    while not pool.pids:
        await asyncio.sleep(0)
    (pid,) = pool.pids
    hanging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hanging
    header, body = await pool.request({"op": "echo"}, b"mine")
    assert body == b"mine"
    assert header["pid"] != pid


async def test_a_worker_does_not_inherit_the_secrets_of_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYTONE_CONNECTOR_KEY", "planted")
    pool = WorkerPool(command=COMMAND)
    _, body = await pool.request({"op": "environment"})
    assert b"planted" not in body
    assert b"PATH" in body
    await pool.close()


async def test_close_ends_workers_and_refuses_what_comes_later(pool: WorkerPool) -> None:
    header, _ = await pool.request({"op": "echo"})
    await pool.close()
    assert has_ended(int(header["pid"]))
    with pytest.raises(WorkerError, match="closed"):
        await pool.request({"op": "echo"})


async def test_close_ends_a_worker_in_the_middle_of_a_request(pool: WorkerPool) -> None:
    hanging = asyncio.create_task(pool.request({"op": "hang"}))
    while not pool.pids:
        await asyncio.sleep(0)
    await pool.close()
    with pytest.raises(WorkerError):
        await hanging
    assert pool.pids == ()


async def test_a_worker_that_cannot_be_started_is_a_worker_error() -> None:
    pool = WorkerPool(command=("/nonexistent/python",))
    with pytest.raises(WorkerError, match="could not be started"):
        await pool.request({"op": "echo"})
    await pool.close()


async def test_a_pool_has_at_least_one_worker() -> None:
    with pytest.raises(ValueError, match="at least one"):
        WorkerPool(workers=0)


def has_ended(pid: int) -> bool:
    """Wait for a process to end, 10 s at most."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], 10.0)[0])
    finally:
        os.close(descriptor)
