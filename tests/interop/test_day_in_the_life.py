"""A day in the life: fifty calls a second through a bad network, registrations beside them, and nothing left after it.

Each datagram is lost with 1 %, doubled with 5 %, overtaken with 3 %, in both directions. Of fifty callers forty listen
and hang up, five press a key and put the call on hold, five dialled a number that no form answers and hear 404. How
long it lasts is ``PAYTONE_DAY_S`` (seconds, 20 unless told): ``PAYTONE_DAY_S=1200`` is the whole day.
"""

from __future__ import annotations

import asyncio
import csv
import os
import re
import socket
import urllib.request
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.interop.small_registrar import PASSWORD, running_registrar
from tests.support.engine import DEFAULT_TOML, RunningEngine, running_engine
from tests.support.lossy_relay import Faults, LossyRelay, running_relay
from tests.support.process import Program, free_port, needs

DAY_S = int(os.environ.get("PAYTONE_DAY_S", "20"))
DRAIN_S = 90
"From the last call until nothing may be left: transactions stay for 32 s (timers J, L), and calls end before that."

pytestmark = [
    pytest.mark.interop,
    pytest.mark.soak,
    pytest.mark.asyncio,
    pytest.mark.timeout(2 * DAY_S + 2 * DRAIN_S),
    needs("sipp"),
]

SCENARIOS = Path(__file__).parent / "scenarios"
ACCOUNTS = 5
EXPIRES_S = 40
"Refreshed after half of it at the earliest: twice within the day and its end."
FAULTS = {"loss": 0.01, "duplicates": 0.05, "reorder": 0.03}


@dataclass(frozen=True, slots=True, kw_only=True)
class Callers:
    """One SIPp with a scenario; ``user`` is whom they dial."""

    scenario: str
    user: str
    per_second: int


CALLERS = (
    Callers(scenario="talk", user="pay", per_second=40),
    Callers(scenario="stay", user="pay", per_second=5),
    Callers(scenario="not_found", user="nobody", per_second=5),
)


async def call_all_day(callers: Callers, relay: LossyRelay, directory: Path) -> tuple[int, int, str]:
    """Let SIPp call; return how many calls went as the scenario says, how many did not, and SIPp's words."""
    directory.mkdir()
    calls = callers.per_second * DAY_S
    command = (
        *("sipp", f"{relay.front[0]}:{relay.front[1]}", "-sf", str(SCENARIOS / f"{callers.scenario}.xml")),
        *("-s", callers.user, "-i", "127.0.0.1", "-p", str(free_port()), "-mi", "127.0.0.1"),
        *("-key", "contact", f"{relay.back[0]}:{relay.back[1]}"),
        *("-r", str(callers.per_second), "-m", str(calls), "-l", str(calls), "-nostdin"),
        *("-timeout", f"{DAY_S + DRAIN_S}s", "-timeout_error", "-default_behaviors", "all,-abortunexp"),
        *("-trace_err", "-error_file", "errors.log", "-trace_stat", "-stf", "figures.csv", "-fd", "1"),
    )
    async with Program(*command, directory=directory, environment={"TERM": "dumb"}) as sipp:
        await sipp.wait_end(timeout_s=DAY_S + DRAIN_S + 10)
    with (directory / "figures.csv").open(encoding="ascii") as file:
        last = list(csv.DictReader(file, delimiter=";"))[-1]
    errors = directory / "errors.log"
    told = errors.read_text(errors="replace") if errors.exists() else ""
    return int(last["SuccessfulCall(C)"]), int(last["FailedCall(C)"]), f"{told[-4000:]}\n{sipp.output[-2500:]}"


def configuration(metrics_port: int, registrar_port: int) -> str:
    accounts = "".join(
        f'[account.line{number}]\nregistrar = "sip:127.0.0.1:{registrar_port}"\nuser = "line{number}"\n'
        'password_env = "DAY_PASSWORD"\n'
        for number in range(ACCOUNTS)
    )
    return f'{DEFAULT_TOML}\n[log]\nlevel = "warning"\n[metrics]\nlisten = "127.0.0.1:{metrics_port}"\n{accounts}'


def gauges(port: int) -> dict[str, float]:
    """Return what the engine holds now."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    names = r"paytone_(sip_open\{what=\"\w+\"\}|calls_active|media_legs) ([0-9.e+]+)"
    return {re.sub(r"\W+", " ", found[1]).strip(): float(found[2]) for found in re.finditer(names, text)}


async def wait_empty(port: int) -> None:
    """Wait until nothing is left but a refresh timer for each registration."""
    expected = {"sip_open what sessions", "sip_open what dialogs", "sip_open what transactions", "sip_open what timers"}
    now: dict[str, float] = {}
    try:
        async with asyncio.timeout(DRAIN_S):
            while True:
                now = await asyncio.to_thread(gauges, port)
                assert set(now) == expected | {"calls_active", "media_legs"}
                timers = now.pop("sip_open what timers")
                if not any(now.values()) and timers == ACCOUNTS:
                    return
                await asyncio.sleep(0.2)
    except TimeoutError:
        raise AssertionError(f"left behind: {now}") from None


def assert_calm(engine: RunningEngine) -> None:
    """Check that nothing went wrong inside, whatever the network did."""
    assert not [line for line in engine.lines if "Traceback" in line or " ERROR " in line], engine.log[-5000:]


async def test_a_day_of_calls_through_a_bad_network_leaves_nothing_behind(tmp_path: Path) -> None:
    metrics_port = free_port(socket.SOCK_STREAM)
    async with AsyncExitStack() as stack:
        registrar = await stack.enter_async_context(running_registrar(expires_s=EXPIRES_S))
        engine = await stack.enter_async_context(
            running_engine(
                configuration(metrics_port, registrar.port),
                directory=tmp_path / "engine",
                environment={"DAY_PASSWORD": PASSWORD},
            )
        )
        relays = [
            await stack.enter_async_context(running_relay(engine.sip_address, Faults(seed=seed, **FAULTS).chooser()))
            for seed, _ in enumerate(CALLERS)
        ]
        async with asyncio.TaskGroup() as group:
            days = [
                group.create_task(call_all_day(callers, relay, tmp_path / callers.scenario))
                for callers, relay in zip(CALLERS, relays, strict=True)
            ]
        for callers, day in zip(CALLERS, days, strict=True):
            succeeded, failed, told = day.result()
            assert (succeeded, failed) == (callers.per_second * DAY_S, 0), f"{callers}:\n{told}\n{engine.log[-2000:]}"
        await wait_empty(metrics_port)
        for relay in relays:
            share = relay.counts.received / 100
            assert 0.2 * share < relay.counts.lost < 3 * share, relay.counts
            assert relay.counts.doubled > relay.counts.late > 0
        assert all(registrar.registered[f"line{number}"] >= 2 for number in range(ACCOUNTS)), registrar.registered
        assert_calm(engine)
    assert_calm(engine)
    assert engine.process.returncode == 0
