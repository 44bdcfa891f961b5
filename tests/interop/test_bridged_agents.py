"""A caller and an agent, real telephones both, connected by ``<Dial>``: what is heard, hanging up, hold, transfer."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from twilio.twiml.voice_response import Dial, VoiceResponse

from engine.softphone.backend import BackendName
from engine.softphone.client import Softphone
from engine.softphone.protocol import CallState, KeyMode, State
from tests.interop.pjsua_peer import PjsuaPeer
from tests.interop.test_twiml_call import TOKEN, WAIT_S, Application, running_application, settings
from tests.interop.transfer_peer import TransferPeer
from tests.support.engine import RunningEngine, running_engine
from tests.support.hearing import HEARD_SCORE, find, read_recording
from tests.support.recording import write_wav

HAS_PJSUA = importlib.util.find_spec("pjsua2") is not None
pytestmark = [
    pytest.mark.interop,
    pytest.mark.asyncio,
    pytest.mark.timeout(240),
    pytest.mark.skipif(
        not HAS_PJSUA, reason="the pjsua2 wheel is not installed (CPython 3.11 and 3.12 on x86-64 only)"
    ),
]
RATE_HZ = 8000


def voice(seed: int, seconds: float = 2.0) -> NDArray[np.float64]:
    """A sound that is like no other: noise of speech's band, in syllables of a fifth of a second."""
    rng = np.random.default_rng(seed)
    n = round(seconds * RATE_HZ)
    spectrum = np.fft.rfft(rng.normal(size=n))
    hz = np.fft.rfftfreq(n, 1 / RATE_HZ)
    spectrum[(hz < 300) | (hz > 3000)] = 0
    sound = np.fft.irfft(spectrum, n)
    sound *= 0.3 + 0.7 * np.abs(np.sin(2 * np.pi * 2.5 * np.arange(n) / RATE_HZ + seed))
    shaped: NDArray[np.float64] = sound / np.max(np.abs(sound)) * 0.4
    return shaped


def files(directory: Path) -> tuple[Path, Path]:
    """What the caller and what the agent says."""
    for name, seed in (("caller.wav", 1), ("agent.wav", 2)):
        write_wav(directory / name, voice(seed))
    return directory / "caller.wav", directory / "agent.wav"


def share_of(recording: Path, seed: int) -> float:
    """Return how many of a voice's quarters of a second are heard somewhere in a recording.

    A machine that stands still for a moment makes telephones stretch and drop what they hear: the whole need not fit.
    """
    heard, said, n = read_recording(recording), voice(seed) * 32767, RATE_HZ // 4
    parts = [said[at : at + n] for at in range(0, len(said), n)]
    return sum(find(heard, part).score >= HEARD_SCORE for part in parts) / len(parts)


@asynccontextmanager
async def dialling(
    directory: Path, agent: str, *, more: str = "", account: str = "", **how: object
) -> AsyncIterator[tuple[RunningEngine, Application]]:
    """An engine whose callers are connected with ``agent``; what comes of the Dial is told at /after.

    ``account`` goes on in ``[twilio]``, ``more`` behind all.
    """
    async with running_application() as application:
        document, behind = VoiceResponse(), VoiceResponse()
        dial = Dial(action="/after", **how)
        dial.sip(agent)
        document.append(dial)
        behind.hangup()
        application.documents = {"/voice": document, "/after": behind}
        text = settings(application).replace("[twilio]\n", f"[twilio]\n{account}") + more
        async with running_engine(text, directory=directory, environment={"TOKEN_FOR_TESTS": TOKEN}) as engine:
            yield engine, application
        assert application.unsigned == []


def phone() -> Softphone:
    return Softphone(backend=BackendName.NATIVE)


@pytest.mark.parametrize("who", ["caller", "agent"])
async def test_both_hear_each_other_until_one_hangs_up(tmp_path: Path, who: str) -> None:
    says, answers = files(tmp_path)
    async with (
        phone() as caller,
        PjsuaPeer() as agent,
        dialling(tmp_path / "engine", agent.uri) as (engine, application),
    ):
        await caller.record(str(tmp_path / "caller-heard.wav"))
        await caller.call(engine.uri("shop"))
        await agent.wait_incoming()
        await agent.record(str(tmp_path / "agent-heard.wav"))
        await agent.answer()
        await agent.wait_state(CallState.CONFIRMED)
        await asyncio.gather(caller.play(str(says)), agent.play(str(answers)))
        await asyncio.gather(caller.play(str(says)), agent.play(str(answers)))
        await (caller if who == "caller" else agent).hang_up()
        await asyncio.gather(caller.wait_state(CallState.DISCONNECTED), agent.wait_state(CallState.DISCONNECTED))
        told = await application.wait_for("/after")
        await engine.wait_for("call ended", count=2)
        children = [row for row in engine.ledger_rows("calls") if row["parent_id"]]
    assert share_of(tmp_path / "agent-heard.wav", 1) >= 0.75
    assert share_of(tmp_path / "caller-heard.wav", 2) >= 0.75
    assert (told["DialCallStatus"], told["DialBridged"]) == ("completed", "true")
    assert int(told["DialCallDuration"]) >= 4
    assert told["DialCallSid"] == f"CA{children[0]['call_id']}"


@pytest.mark.parametrize(("status", "outcome"), [(486, "busy"), (603, "failed"), (480, "no-answer")])
async def test_an_agent_who_refuses_is_told_to_the_application(tmp_path: Path, status: int, outcome: str) -> None:
    async with (
        phone() as caller,
        phone() as agent,
        dialling(tmp_path / "engine", agent.uri) as (engine, application),
    ):
        await caller.call(engine.uri("shop"))
        await agent.wait_incoming()
        await agent.answer(status=status)
        told = await application.wait_for("/after")
        await caller.wait_state(CallState.DISCONNECTED)
    assert (told["DialCallStatus"], told["DialBridged"]) == (outcome, "false")


async def test_an_agent_who_does_not_answer_is_given_up_in_time(tmp_path: Path) -> None:
    async with (
        phone() as caller,
        PjsuaPeer() as agent,
        dialling(tmp_path / "engine", agent.uri, timeout=2) as (engine, application),
    ):
        await caller.call(engine.uri("shop"))
        await agent.wait_incoming()
        told = await application.wait_for("/after")
        await agent.wait_state(CallState.DISCONNECTED)
    assert told["DialCallStatus"] == "no-answer"


async def test_a_caller_who_hangs_up_while_it_rings_stops_the_ringing(tmp_path: Path) -> None:
    async with (
        phone() as caller,
        PjsuaPeer() as agent,
        dialling(tmp_path / "engine", agent.uri) as (engine, application),
    ):
        await caller.call(engine.uri("shop"))
        await agent.wait_incoming()
        await caller.wait_state(CallState.CONFIRMED)
        await caller.hang_up()
        await agent.wait_state(CallState.DISCONNECTED)
        told = await application.wait_for("/after")
    assert told["DialCallStatus"] == "canceled"


async def test_answer_on_bridge_answers_the_caller_with_the_agent(tmp_path: Path) -> None:
    says, _ = files(tmp_path)
    async with (
        phone() as caller,
        PjsuaPeer() as agent,
        dialling(tmp_path / "engine", agent.uri, answer_on_bridge=True) as (engine, _),
    ):
        await caller.call(engine.uri("shop"))
        await agent.wait_incoming()
        await agent.record(str(tmp_path / "agent-heard.wav"))
        ringing = [event for event in caller.events if isinstance(event, State)]
        assert all(event.state is not CallState.CONFIRMED for event in ringing)
        await agent.answer()
        await caller.wait_state(CallState.CONFIRMED)
        await caller.play(str(says))
        await caller.play(str(says))
        await agent.hang_up()
        await caller.wait_state(CallState.DISCONNECTED)
    assert share_of(tmp_path / "agent-heard.wav", 1) >= 0.75


@pytest.mark.parametrize("mode", [KeyMode.TELEPHONE_EVENT, KeyMode.INFO])
async def test_keys_of_the_caller_reach_the_agent_as_events_and_never_by_info(tmp_path: Path, mode: KeyMode) -> None:
    heard = tmp_path / "keys"
    async with (
        phone() as caller,
        PjsuaPeer(digits=heard) as agent,
        dialling(tmp_path / "engine", agent.uri) as (engine, _),
    ):
        await caller.call(engine.uri("shop"))
        await agent.wait_incoming()
        await agent.answer()
        await agent.wait_state(CallState.CONFIRMED)
        await caller.keys("314", mode=mode)
        if mode is KeyMode.TELEPHONE_EVENT:
            async with asyncio.timeout(WAIT_S):
                while not heard.exists() or len(heard.read_text()) < 3:
                    await asyncio.sleep(0.05)
        await caller.hang_up()
        await agent.wait_state(CallState.DISCONNECTED)
    assert (heard.read_text() if heard.exists() else "") == ("314" if mode is KeyMode.TELEPHONE_EVENT else "")


@pytest.mark.parametrize("who", ["caller", "agent"])
async def test_hold_outlasts_the_media_timeout_and_both_hear_each_other_again(tmp_path: Path, who: str) -> None:
    says, answers = files(tmp_path)
    async with (
        PjsuaPeer() as caller,
        PjsuaPeer() as agent,
        dialling(tmp_path / "engine", agent.uri, more="\n[media]\ntimeout_s = 2.0\n") as (engine, _),
    ):
        await caller.call(engine.uri("shop"))
        await agent.wait_incoming()
        await agent.answer()
        await agent.wait_state(CallState.CONFIRMED)
        holder = caller if who == "caller" else agent
        await holder.hold()
        await asyncio.sleep(5.0)  # more than twice the time after which silence ends a call
        await holder.unhold()
        await caller.record(str(tmp_path / "caller-heard.wav"))
        await agent.record(str(tmp_path / "agent-heard.wav"))
        await asyncio.gather(caller.play(str(says)), agent.play(str(answers)))
        await asyncio.gather(caller.play(str(says)), agent.play(str(answers)))
        await agent.hang_up()
        await caller.wait_state(CallState.DISCONNECTED)
        assert "media stays away" not in engine.log
    assert share_of(tmp_path / "agent-heard.wav", 1) >= 0.75
    assert share_of(tmp_path / "caller-heard.wav", 2) >= 0.75


@pytest.mark.parametrize("allowed", [True, False])
async def test_an_agent_hands_the_caller_on_only_where_that_is_allowed(tmp_path: Path, allowed: bool) -> None:
    says, _ = files(tmp_path)
    more = "allow_transfers = true\n" if allowed else ""
    async with (
        phone() as caller,
        TransferPeer() as agent,
        PjsuaPeer() as expert,
        dialling(tmp_path / "engine", agent.uri, account=more) as (engine, application),
    ):
        await caller.call(engine.uri("shop"))
        await agent.wait_state(1, "confirmed")
        await engine.wait_for("call answered", count=2)
        await agent.say(f"transfer 1 {expert.uri}")
        if not allowed:
            told = await agent.wait(lambda event: event["event"] == "transfer")
            assert (told["status"], told["final"]) == (603, True)
            return
        await expert.wait_incoming()
        await expert.record(str(tmp_path / "expert-heard.wav"))
        await expert.answer()
        told = await agent.wait(lambda event: event["event"] == "transfer" and event["status"] == 200)
        assert told["final"]
        await agent.wait_state(1, "disconnected")
        await caller.play(str(says))
        await caller.play(str(says))
        await expert.hang_up()
        outcome = await application.wait_for("/after")
        await caller.wait_state(CallState.DISCONNECTED)
    assert outcome["DialCallStatus"] == "completed"
    assert share_of(tmp_path / "expert-heard.wav", 1) >= 0.75


async def test_an_agent_hands_the_caller_to_whom_it_talked_before(tmp_path: Path) -> None:
    async with (
        phone() as caller,
        TransferPeer() as agent,
        TransferPeer() as expert,
        dialling(tmp_path / "engine", agent.uri, account="allow_transfers = true\n") as (engine, application),
    ):
        await caller.call(engine.uri("shop"))
        await agent.wait_state(1, "confirmed")
        await engine.wait_for("call answered", count=2)
        await agent.say(f"call {expert.uri}")
        await agent.wait_state(2, "confirmed")
        await agent.say("replace 1 2")
        told = await agent.wait(lambda event: event["event"] == "transfer" and event["status"] == 200)
        assert told["final"]
        await expert.wait(lambda event: event["event"] == "replaced")
        await agent.wait_state(2, "disconnected")
        await agent.wait_state(1, "disconnected")
        await engine.wait_for("call answered", count=3)
        await caller.hang_up()
        outcome = await application.wait_for("/after")
    assert (outcome["DialCallStatus"], outcome["DialBridged"]) == ("completed", "true")
