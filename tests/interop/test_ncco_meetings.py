"""``connect`` and ``conversation`` of NCCOs between real telephones: who hears whom, and what is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio

from engine.softphone.backend import BackendName
from engine.softphone.client import Softphone
from engine.softphone.protocol import CallState
from tests.interop.test_bridged_agents import HAS_PJSUA, share_of, voice
from tests.support.recording import write_wav
from tests.support.vonage import Scene, running_scene

pytestmark = [
    pytest.mark.interop,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(240),
    pytest.mark.skipif(
        not HAS_PJSUA, reason="the pjsua2 wheel is not installed (CPython 3.11 and 3.12 on x86-64 only)"
    ),
]
ENOUGH = 0.75
"Of what is said, where a machine stands still for a moment."


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    async with running_scene(tmp_path_factory.mktemp("ncco")) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def fresh(scene: Scene) -> None:
    scene.app.answers.clear()
    scene.app.received.clear()


async def test_the_called_side_hears_its_ncco_then_both_hear_each_other(scene: Scene, tmp_path: Path) -> None:
    for number in (1, 2, 3):
        write_wav(tmp_path / f"says{number}.wav", voice(number))
    scene.app.files["/whisper.wav"] = (tmp_path / "says3.wav").read_bytes()
    async with Softphone(backend=BackendName.NATIVE) as caller, Softphone(backend=BackendName.NATIVE) as agent:
        scene.app.answers["/answer"] = [
            {
                "action": "connect",
                "endpoint": [{"type": "sip", "uri": agent.uri, "onAnswer": {"url": f"{scene.app.url}/whisper"}}],
            },
            {"action": "stream", "streamUrl": [f"{scene.app.url}/whisper.wav"], "loop": 2},
        ]
        # Twice: a telephone misses the beginning of what comes with its answer.
        whisper = {"action": "stream", "streamUrl": [f"{scene.app.url}/whisper.wav"], "loop": 2}
        notify = {"action": "notify", "payload": {"heard": "all"}, "eventUrl": [f"{scene.app.url}/heard"]}
        scene.app.answers["/whisper"] = [whisper, notify]
        await caller.record(str(tmp_path / "caller.wav"))
        await caller.call(scene.engine.uri("shop"))
        await agent.wait_incoming()
        await agent.record(str(tmp_path / "agent.wav"))
        await agent.answer()
        await agent.wait_state(CallState.CONFIRMED)
        own = (await scene.app.wait_for("/answer"))["uuid"]
        asked = await scene.app.wait_for("/whisper")
        await scene.app.wait_for("/heard")
        for _ in range(2):
            await asyncio.gather(caller.play(str(tmp_path / "says1.wav")), agent.play(str(tmp_path / "says2.wav")))
        await agent.hang_up()
        await caller.wait_state(CallState.DISCONNECTED)
        ended = await scene.app.event("completed", asked["uuid"])
        await scene.app.event("completed", own)
    assert asked["uuid"] != own
    assert ended["conversation_uuid"] == scene.app.of("/event", own)[0]["conversation_uuid"]
    assert scene.app.states(asked["uuid"]) in (
        ["started", "ringing", "answered", "completed"],
        ["started", "answered", "completed"],
    )
    assert share_of(tmp_path / "agent.wav", 3) >= ENOUGH, "the whisper"
    assert share_of(tmp_path / "agent.wav", 1) >= ENOUGH
    assert share_of(tmp_path / "caller.wav", 2) >= ENOUGH
    assert share_of(tmp_path / "caller.wav", 3) >= ENOUGH, "the NCCO goes on when the two have parted"


async def test_who_declines_is_told_and_the_answer_replaces_the_ncco(scene: Scene) -> None:
    async with Softphone(backend=BackendName.NATIVE) as caller, Softphone(backend=BackendName.NATIVE) as agent:
        scene.app.answers["/answer"] = [
            {
                "action": "connect",
                "eventType": "synchronous",
                "eventUrl": [f"{scene.app.url}/agent"],
                "endpoint": [{"type": "sip", "uri": agent.uri}],
            },
            {"action": "wait", "timeout": 600},
        ]
        scene.app.answers["/agent"] = lambda told: [] if told["status"] == "busy" else ""
        await caller.call(scene.engine.uri("shop"))
        await agent.wait_incoming()
        await agent.answer(status=486)
        await caller.wait_state(CallState.DISCONNECTED)
        await scene.app.wait_until(lambda: len(scene.app.of("/agent")) >= 2)
    # The question goes directly, and may be there before what was told.
    assert {event["status"] for event in scene.app.of("/agent")} <= {"started", "ringing", "busy"}
    assert [event["status"] for event in scene.app.of("/agent")].count("busy") == 1


def has_entered(scene: Scene, count: int) -> bool:
    return len([event for event in scene.app.of("/event") if event.get("type") == "transfer"]) >= count


async def test_three_in_a_conversation_hear_the_two_others_but_who_is_muted(scene: Scene, tmp_path: Path) -> None:
    one, two, three = (Softphone(backend=BackendName.NATIVE) for _ in range(3))
    async with one, two, three:
        phones = (one, two, three)
        for number, phone in enumerate(phones, start=1):
            scene.app.answers["/answer"] = [
                {"action": "conversation", "name": "board", "mute": number == 3, "endOnExit": number == 1}
            ]
            write_wav(tmp_path / f"says{number}.wav", voice(number))
            await phone.record(str(tmp_path / f"heard{number}.wav"))
            await phone.call(scene.engine.uri("shop"))
            await phone.wait_state(CallState.CONFIRMED)
            await scene.app.wait_until(partial(has_entered, scene, number))
        for number in (1, 2, 3, 1, 2, 3):
            await phones[number - 1].play(str(tmp_path / f"says{number}.wav"))
        await one.hang_up()
        for phone in phones:
            await phone.wait_state(CallState.DISCONNECTED)
    shares = {(ear, mouth): share_of(tmp_path / f"heard{ear}.wav", mouth) for ear in (1, 2, 3) for mouth in (1, 2, 3)}
    # Who hears whom is asked here, not how well: nothing else sounds like a piece of a voice.
    assert all((share > 0.0) is (ear != mouth != 3) for (ear, mouth), share in shares.items()), shares
