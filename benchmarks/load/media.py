"""The media plane's cost by the number of calls: one run of legs in one process and callers in another."""

from __future__ import annotations

import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.load.plan import Outcome, compare
from benchmarks.load.proc import cpu_time, memory
from benchmarks.load.worker import Worker

__all__ = ("Load", "MediaRun", "measure")

SETTLE_S = 2.0
"""From the first packet until measuring begins: the legs latch, the jitter buffers fill, the first reports go."""
TAIL_S = 1.0
"""From the last key until the callers hang up: what is on its way arrives."""
CYCLES_PER_S = 50
SUITE = "AES_CM_128_HMAC_SHA1_80"
"""What every SRTP peer has (RFC 4568 §6.2)."""
MAX_WAITED = 0.05
"""With the machine to itself a media thread waits for its core less than a hundredth of the time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is asked of the media plane."""

    calls: int
    mode: str = "in-band"
    "in-band, telephone-event or none."
    seconds: float = 10.0
    presses_per_s: float = 10.0
    "Among all calls."
    threads: int = 1
    phases: int = 4
    record: bool = False
    srtp: bool = False
    bridge: bool = False
    "Each two calls hear each other, one of them behind its mask."
    prompt: bool = True
    seed: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaRun:
    """What it took."""

    calls: int
    mode: str
    record: bool
    srtp: bool
    bridge: bool
    threads: int
    seconds: float
    "Of the steady interval."
    us_per_call_second: float
    "CPU time of the engine's process, user and system."
    user_us: float
    system_us: float
    media_us: float
    "... of its media threads alone."
    generator_us: float
    "CPU time of the callers' process."
    waited: float
    "Share of the interval that a media thread stood ready and others had its core, 0 to 1: the longest of them."
    ticks: int
    late_ticks: int
    skipped_ticks: int
    max_late_us: int
    events_lost: int
    keys: Outcome
    bytes_per_call: float
    "Private memory, without the sockets' in the kernel."
    engine: dict[str, Any]
    "The plane's counters at the end."
    generator: dict[str, Any]

    @property
    def is_disturbed(self) -> bool:
        """Whether others kept the media threads from their work: then the figures are not the engine's."""
        return self.waited > MAX_WAITED

    @property
    def cpu_s_per_call_minute(self) -> float:
        """CPU-seconds of the engine for a minute of a call."""
        return self.us_per_call_second * 60 / 1e6

    @property
    def late_share(self) -> float:
        """Late ticks by all ticks, 0 to 1."""
        return self.late_ticks / self.ticks if self.ticks else 0.0


def measure(load: Load) -> MediaRun:
    """Run it once. Raises WorkerError when a process does not do as asked."""
    with (
        Worker("benchmarks.load.host", str(load.threads)) as host,
        Worker("benchmarks.load.caller") as caller,
        tempfile.TemporaryDirectory() as directory,
    ):
        media_threads = host.ask("ready")["media_threads"]
        before = memory(host.pid)
        remote = caller.ask("bind", sockets=load.phases)["ports"]
        opened = host.ask(
            "open",
            remote=[remote[index % load.phases] for index in range(load.calls)],
            record=str(directory) if load.record else None,
            bridge=load.bridge,
            srtp=SUITE if load.srtp else None,
            prompt=load.prompt,
        )
        begin = round((SETTLE_S + 0.2) * CYCLES_PER_S)
        end = begin + round(load.seconds * CYCLES_PER_S)
        keyed = caller.ask(
            "prepare",
            ports=opened["ports"],
            srtp=opened["srtp"],
            seed=load.seed,
            mode=load.mode,
            begin=begin,
            end=end,
            presses_per_s=load.presses_per_s,
            phases=load.phases,
        )["keys"]
        caller.ask("run", cycles=end + round(TAIL_S * CYCLES_PER_S))
        time.sleep(SETTLE_S)
        marked = host.ask("figures")
        started = time.monotonic()
        cpu_before, caller_before = cpu_time(host.pid), cpu_time(caller.pid)
        time.sleep(load.seconds)
        cpu, caller_cpu = cpu_time(host.pid), cpu_time(caller.pid)
        elapsed_s = time.monotonic() - started
        figures = host.ask("figures")
        after = memory(host.pid)
        totals = caller.ask("finish", timeout_s=load.seconds + 30)
        path = Path(directory) / "heard.json"
        host.ask("digits", path=str(path))
        heard = [[code for code, _ in leg] for leg in json.loads(path.read_text())]
    per_call_second = 1e6 / (load.calls * elapsed_s)
    media_s = sum(cpu.threads_s.get(tid, 0.0) - cpu_before.threads_s.get(tid, 0.0) for tid in media_threads)
    waited_s = max(cpu.waits_s.get(tid, 0.0) - cpu_before.waits_s.get(tid, 0.0) for tid in media_threads)
    return MediaRun(
        calls=load.calls,
        mode=load.mode,
        record=load.record,
        srtp=load.srtp,
        bridge=load.bridge,
        threads=load.threads,
        seconds=elapsed_s,
        us_per_call_second=(cpu.total_s - cpu_before.total_s) * per_call_second,
        user_us=(cpu.user_s - cpu_before.user_s) * per_call_second,
        system_us=(cpu.system_s - cpu_before.system_s) * per_call_second,
        media_us=media_s * per_call_second,
        generator_us=(caller_cpu.total_s - caller_before.total_s) * per_call_second,
        waited=waited_s / elapsed_s,
        ticks=figures["ticks"] - marked["ticks"],
        late_ticks=figures["late_ticks"] - marked["late_ticks"],
        skipped_ticks=figures["skipped_ticks"] - marked["skipped_ticks"],
        max_late_us=figures["max_late_us"],
        events_lost=figures["events_lost"],
        keys=compare(keyed, heard),
        bytes_per_call=(after.private - before.private) / load.calls,
        engine=figures,
        generator=totals,
    )
