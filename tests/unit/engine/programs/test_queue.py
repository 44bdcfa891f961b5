"""Enqueue and Dial to a queue: who waits, what is heard meanwhile, who takes whom, and what each document is told."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from engine.dialects.twilio import call_sid
from engine.dialects.twiml.commands import DialOut, Parameters, Queue
from engine.dialects.twiml.verbs import Dial, DialQueue, Enqueue
from engine.errors import MediaError
from engine.program import CallState
from engine.programs import queue as queues
from engine.programs.context import ProgramContext
from engine.programs.dial import make_dial
from engine.programs.queue import QueueVerb
from engine.programs.verb import Verb
from tests.support.call_control import FakeCall
from tests.support.exchange import FakeExchange, later, run
from tests.support.programs import FakePrompts, FakeWeb, config_of, context_of, settle

BASE = "https://app.example.com/voice"
WAIT = "https://app.example.com/wait"


class Party:
    """A call with a verb that runs on it."""

    def __init__(self, context: ProgramContext, number: int) -> None:
        self.context = context
        self.call = FakeCall(state=CallState.ANSWERED, call_id=f"{number:032x}")
        self.outcomes: list[dict[str, str]] = []
        self.verb: Verb

    def ended(self, parameters: Parameters) -> None:
        self.outcomes.append(dict(parameters))

    def start(self) -> Party:
        self.verb.start(asyncio.get_running_loop().time())
        return self

    def hang_up(self) -> None:
        self.call.state = CallState.ENDED
        self.verb.hang_up(asyncio.get_running_loop().time())

    @property
    def result(self) -> str:
        (outcome,) = self.outcomes
        return outcome.get("QueueResult") or outcome["DialCallStatus"]


class Scene:
    """An engine with a queue."""

    def __init__(self) -> None:
        self.web = FakeWeb()
        self.context = context_of(self.web, FakePrompts(), config=config_of(), exchange=FakeExchange())
        self._number = 0

    def caller(self, name: str = "sales", **how: Any) -> Party:
        """Let somebody wait."""
        party = self._party()
        command = Queue(token=1, enqueue=Enqueue(name=name, **how), base_url=BASE)
        party.verb = QueueVerb(command, party.call, self.context, BASE, party.ended)
        return party.start()

    def agent(self, name: str = "sales", url: str = "", **how: Any) -> Party:
        """Let somebody take who waits."""
        party = self._party()
        command = DialOut(token=1, dial=Dial(queue=DialQueue(name=name, url=url), **how), base_url=BASE)
        party.verb = make_dial(command, party.call, self.context, BASE, party.ended)
        return party.start()

    def _party(self) -> Party:
        self._number += 1
        return Party(self.context, self._number)


def are_connected(one: Party, other: Party) -> bool:
    return one.call.bridged_with is other.call


def test_who_waits_hears_music_until_taken_first_come_first_served() -> None:
    async def play() -> None:
        scene = Scene()
        first, second = scene.caller(), scene.caller()
        assert first.call.heard == second.call.heard == [("hold music",)]
        await later(20.0)
        agent = scene.agent()
        await settle()
        assert are_connected(agent, first)
        assert [what for what, _ in first.call.asked] == ["play", "stop_playing", "mask_line"]
        assert [what for what, _ in agent.call.asked] == ["mask_line", "bridge"]
        assert second.call.tokens
        assert second.outcomes == []

    run(play)


@pytest.mark.parametrize("who", ["caller", "agent"])
def test_whoever_hangs_up_both_documents_hear_of_it(who: str) -> None:
    async def play() -> None:
        scene = Scene()
        caller = scene.caller()
        await later(20.0)
        agent = scene.agent()
        await settle()
        await later(60.0)
        (caller if who == "caller" else agent).hang_up()
        assert (caller.result, agent.result) == ("bridged", "completed")
        assert caller.outcomes[0]["QueueTime"] == "20"
        assert caller.outcomes[0]["QueueSid"].startswith("QU")
        assert agent.outcomes[0]["DialCallSid"] == call_sid(caller.call.facts.call_id)
        assert agent.outcomes[0]["DialCallDuration"] == "60"
        # Who stays has a document that goes on.
        assert (caller.call.times_hung_up, agent.call.times_hung_up) == (0, 0)
        assert len(scene.context.queues) == 0

    run(play)


def test_an_agent_waits_for_somebody_to_come_as_long_as_the_document_says() -> None:
    async def play() -> None:
        scene = Scene()
        patient, hasty = scene.agent(timeout_s=60.0), scene.agent("other", timeout_s=5.0)
        await later(6.0)
        assert (hasty.result, patient.outcomes) == ("no-answer", [])
        caller = scene.caller()
        assert are_connected(patient, caller)
        await later(70.0)
        assert patient.outcomes == []

    run(play)


def test_a_caller_who_hangs_up_leaves_the_queue() -> None:
    async def play() -> None:
        scene = Scene()
        first, second = scene.caller(), scene.caller()
        first.hang_up()
        assert first.result == "hangup"
        agent = scene.agent()
        await settle()
        assert are_connected(agent, second)

    run(play)


@pytest.mark.parametrize("taken", [False, True])
def test_a_caller_whom_rest_leads_elsewhere_leaves_the_queue_and_whoever_took_the_call(taken: bool) -> None:
    async def play() -> None:
        scene = Scene()
        caller = scene.caller()
        agent = scene.agent() if taken else None
        await settle()
        caller.verb.stop(0.0)
        assert caller.outcomes == []
        if agent is not None:
            assert agent.result == "completed"
        assert len(scene.context.queues) == 0

    run(play)


def test_the_time_limit_parts_them_and_the_callers_document_goes_on() -> None:
    async def play() -> None:
        scene = Scene()
        caller = scene.caller()
        agent = scene.agent(time_limit_s=30)
        await settle()
        await later(30.5)
        assert (caller.result, agent.result) == ("bridged", "completed")
        assert agent.call.bridged_with is None

    run(play)


def test_two_that_cannot_be_connected_are_told_so() -> None:
    async def play() -> None:
        scene = Scene()
        caller = scene.caller()
        agent = scene.agent()

        def refuse(other: object, *, relay_keys: bool = True) -> None:
            raise MediaError("no media")

        agent.call.bridge = refuse  # type: ignore[method-assign]
        await settle()
        assert (caller.result, agent.result) == ("error", "failed")

    run(play)


def test_a_full_queue_takes_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        monkeypatch.setattr(queues, "MAX_WAITING", 2)
        scene = Scene()
        waiting = [scene.caller(), scene.caller()]
        late = scene.caller()
        assert late.outcomes == []
        await settle()
        assert late.result == "queue-full"
        assert [party.outcomes for party in waiting] == [[], []]

    run(play)


def test_who_waits_hears_the_applications_document_again_and_again_with_the_place_in_the_queue() -> None:
    async def play() -> None:
        scene = Scene()
        scene.caller()
        scene.web.pages[WAIT] = "<Response><Say>Please hold</Say></Response>"
        caller = scene.caller(wait_url="/wait")
        await settle()
        assert caller.call.heard == [("Please hold",)]
        sent = scene.web.sent[0].parameters
        assert (sent["QueuePosition"], sent["CurrentQueueSize"]) == ("2", "2")
        assert sent["CallSid"] == call_sid(caller.call.facts.call_id)
        caller.verb.play_finished(caller.call.tokens[-1], False, asyncio.get_running_loop().time())
        await settle()
        await later(2.0)
        assert len(scene.web.sent) >= 2
        caller.verb.stop(asyncio.get_running_loop().time())
        await caller.verb.done()

    run(play)


def test_a_document_that_leaves_goes_on_behind_the_queue() -> None:
    async def play() -> None:
        scene = Scene()
        scene.web.pages[WAIT] = "<Response><Say>Bye</Say><Leave/></Response>"
        caller = scene.caller(wait_url="/wait")
        await settle()
        caller.verb.play_finished(caller.call.tokens[-1], False, asyncio.get_running_loop().time())
        await settle()
        assert caller.result == "leave"
        assert len(scene.context.queues) == 0
        await caller.verb.done()

    run(play)


def test_a_document_that_hangs_up_ends_the_call() -> None:
    async def play() -> None:
        scene = Scene()
        scene.web.pages[WAIT] = "<Response><Hangup/></Response>"
        caller = scene.caller(wait_url="/wait")
        await settle()
        assert caller.call.times_hung_up == 1

    run(play)


@pytest.mark.parametrize("page", [500, "no document at all"])
def test_where_the_document_cannot_be_had_there_is_music(page: int | str) -> None:
    async def play() -> None:
        scene = Scene()
        scene.web.pages[WAIT] = page
        caller = scene.caller(wait_url="/wait")
        await settle()
        assert caller.call.heard[-1] == ("hold music",)
        assert caller.outcomes == []

    run(play)


@pytest.mark.parametrize(("url", "heard"), [("", []), ("ftp://example.com/x", [("hold music",)])])
def test_an_empty_url_is_silence_and_a_wrong_one_music(url: str, heard: list[tuple[str, ...]]) -> None:
    async def play() -> None:
        assert Scene().caller(wait_url=url).call.heard == heard

    run(play)


def test_music_is_not_stopped_that_a_payments_prompt_took_the_place_of() -> None:
    async def play() -> None:
        scene = Scene()
        caller = scene.caller()
        caller.verb.play_finished(caller.call.tokens[0], False, 0.0)
        scene.agent()
        await settle()
        assert "stop_playing" not in [what for what, _ in caller.call.asked]

    run(play)


SOON = "https://app.example.com/soon"


def test_who_is_taken_hears_the_document_of_the_queue_first() -> None:
    async def play() -> None:
        scene = Scene()
        scene.web.pages[SOON] = "<Response><Say>Here is Anna</Say></Response>"
        caller, agent = scene.caller(), scene.agent(url="/soon")
        await settle()
        assert caller.call.heard[-1] == ("Here is Anna",)
        assert scene.web.sent[0].parameters["CallSid"] == call_sid(caller.call.facts.call_id)
        assert not are_connected(agent, caller)
        caller.verb.play_finished(caller.call.tokens[-1], False, asyncio.get_running_loop().time())
        await settle()
        assert are_connected(agent, caller)
        caller.hang_up()
        assert (caller.result, agent.result) == ("bridged", "completed")
        await caller.verb.done()

    run(play)


@pytest.mark.parametrize("who", ["caller", "agent", "document"])
def test_whoever_goes_during_that_document_ends_it(who: str) -> None:
    async def play() -> None:
        scene = Scene()
        scene.web.pages[SOON] = 500 if who == "document" else asyncio.get_running_loop().create_future()
        caller, agent = scene.caller(), scene.agent(url="/soon")
        await settle()
        if who == "caller":
            caller.hang_up()
        elif who == "agent":
            agent.hang_up()
        await settle()
        assert len(caller.outcomes) == len(agent.outcomes) == 1
        assert agent.outcomes[0]["DialBridged"] == "false"
        assert agent.call.bridged_with is None
        assert len(scene.context.queues) == 0
        await caller.verb.done()

    run(play)
