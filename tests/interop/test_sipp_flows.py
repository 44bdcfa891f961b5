"""SIPp walks through call flows, each a scenario file of its own in ``scenarios/``; nothing may be left behind.

The other side is the SIP stack on a real socket (``answerer``). Through the relay every flow is walked again with each
datagram doubled, with pairs swapped, and with each datagram lost in turn.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sip.events import InfoDigitReceived, SessionEnded
from tests.interop.answerer import Answerer, running_answerer
from tests.support.engine import DEFAULT_TOML, running_engine
from tests.support.lossy_relay import Choose, HostPort, LossyRelay, running_relay
from tests.support.process import Program, free_port, needs
from tests.support.trace_reader import read_pcap
from tests.support.wire import Fate

pytestmark = [pytest.mark.interop, pytest.mark.asyncio, needs("sipp")]

SCENARIOS = Path(__file__).parent / "scenarios"
TIMEOUT_S = 25
AT_ONCE = 4

FLOWS = {
    "basic": "pay",
    "bye_at_once": "pay",
    "late_offer": "pay",
    "hold": "pay",
    "reinvite_without_offer": "pay",
    "cancel": "ring",
    "lost_ack": "pay",
    "info": "pay",
    "options": "pay",
    "unknown_method": "pay",
    "unknown_require": "pay",
    "rejected": "busy",
    "not_found": "nobody",
    "update": "pay",
    "prack": "pay",
    "timer_refresh": "pay",
    "timer_too_small_422": "pay",
    "refer_refused": "pay",
    "replaces": "pay",
}
"The dialled user of each scenario."

FOR_LOAD = {"talk", "stay"}
"Walked by test_day_in_the_life.py."

# lost_ack loses what it is about by itself; in prack SIPp cannot tell the two 200 apart when one of them is lost, which
# test_rfc3262_prack.py can.
LOSSY = sorted(set(FLOWS) - {"lost_ack", "bye_at_once", "prack"})


async def walk(name: str, target: HostPort, directory: Path, *, contact: HostPort | None = None) -> None:
    """Let SIPp make one call; fails with SIPp's words unless everything came as the scenario says."""
    directory.mkdir(parents=True, exist_ok=True)
    port = free_port()
    host, contact_port = contact or ("127.0.0.1", port)
    command = (
        *("sipp", f"{target[0]}:{target[1]}", "-sf", str(SCENARIOS / f"{name}.xml"), "-s", FLOWS[name]),
        *("-i", "127.0.0.1", "-p", str(port), "-key", "contact", f"{host}:{contact_port}"),
        *("-m", "1", "-l", "1", "-nostdin", "-timeout", f"{TIMEOUT_S}s", "-timeout_error"),
        # What comes twice or late is no reason to give a call up.
        *("-default_behaviors", "all,-abortunexp" if contact else "all"),
        *("-trace_err", "-error_file", "errors.log"),
    )
    async with Program(*command, directory=directory, environment={"TERM": "dumb"}) as sipp:
        status = await sipp.wait_end(timeout_s=TIMEOUT_S + 10)
    errors = directory / "errors.log"
    told = errors.read_text(errors="replace") if errors.exists() else ""
    assert status == 0, f"{name}:\n{told}\n{sipp.output[-3000:]}"


async def walk_through(name: str, answerer: Answerer, choose: Choose, directory: Path) -> LossyRelay:
    """Walk a flow through a relay of its own; return the relay."""
    async with running_relay(answerer.address[:2], choose) as relay:
        await walk(name, relay.front, directory, contact=relay.back)
    return relay


async def test_every_scenario_is_walked_by_somebody() -> None:
    assert {path.stem for path in SCENARIOS.glob("*.xml")} == set(FLOWS) | FOR_LOAD


@pytest.mark.parametrize("name", sorted(FLOWS))
async def test_a_flow_goes_as_its_standard_says_and_leaves_nothing(name: str, tmp_path: Path) -> None:
    async with running_answerer() as answerer:
        await walk(name, answerer.address[:2], tmp_path)
        await answerer.wait_quiet()
        assert answerer.endpoint.statistics.parse_errors == 0
        if name == "info":
            assert answerer.count(InfoDigitReceived) == 3
        if FLOWS[name] == "pay" and not name.startswith("unknown") and name != "replaces":
            assert answerer.count(SessionEnded) == 1


@pytest.mark.parametrize("name", LOSSY)
async def test_a_flow_survives_every_datagram_coming_twice(name: str, tmp_path: Path) -> None:
    async with running_answerer() as answerer:
        relay = await walk_through(name, answerer, lambda _number, _data: Fate.DOUBLE, tmp_path)
        assert relay.counts.doubled == relay.counts.received > 0
        await answerer.wait_quiet()
        if name == "info":
            assert answerer.count(InfoDigitReceived) == 3, "a key that comes twice is one key"


@pytest.mark.parametrize("name", LOSSY)
async def test_a_flow_survives_datagrams_that_overtake_each_other(name: str, tmp_path: Path) -> None:
    async with running_answerer() as answerer:
        relay = await walk_through(
            name, answerer, lambda number, _data: Fate.LATE if number % 3 == 1 else Fate.PASS, tmp_path
        )
        assert relay.counts.late > 0
        await answerer.wait_quiet()


def losing(position: int) -> Choose:
    """Lose one datagram; not a 180, which nobody sends again before a minute has gone (RFC 3261 §13.3.1.1)."""
    return lambda number, data: Fate.LOSE if number == position and b" 180 " not in data[:12] else Fate.PASS


@pytest.mark.parametrize("name", LOSSY)
async def test_a_flow_survives_the_loss_of_any_one_datagram(name: str, tmp_path: Path) -> None:
    places = asyncio.Semaphore(AT_ONCE)
    async with running_answerer() as answerer:
        # Where the machine stands still, somebody repeats a datagram: the walk with the fewest counts.
        whole = [await walk_through(name, answerer, losing(-1), tmp_path / f"whole-{n}") for n in range(3)]
        received = min(walk.counts.received for walk in whole)

        async def lose(position: int) -> int:
            async with places:
                return (await walk_through(name, answerer, losing(position), tmp_path / str(position))).counts.lost

        async with asyncio.TaskGroup() as group:
            walks = [group.create_task(lose(position)) for position in range(received)]
        assert sum(walk.result() for walk in walks) >= received - 2, "all but a 180 was lost once"
        await answerer.wait_quiet()


async def test_an_engine_s_traces_show_the_call_and_not_the_keys(tmp_path: Path) -> None:
    traced = DEFAULT_TOML + '\n[trace]\nladder = true\npcap = "sip.pcap"\n'
    async with running_engine(traced, directory=tmp_path / "engine") as engine:
        await walk("info", engine.sip_address, tmp_path)
        await engine.wait_for("sip ladder ")
        await engine.wait_for(r"← BYE 6")
    packets = read_pcap(tmp_path / "engine" / "sip.pcap")
    bodies = [packet.payload.partition(b"\r\n\r\n")[2] for packet in packets if packet.payload.startswith(b"INFO ")]
    assert len(bodies) == 4
    assert all(set(body) == {ord("*")} for body in bodies)
    assert sum(packet.destination == engine.sip_address for packet in packets) == 7, "INVITE, ACK, four INFO, BYE"
    assert "Signal" not in engine.log
