"""Calls that RELAY clients lead: who gets them, whose commands count, what is told until the end, the fallback."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest

from engine.events import CallRinging
from engine.program import CallState
from tests.support.exchange import later, run
from tests.support.programs import config_of, settle
from tests.support.relay import PROJECT, FakeSession, RelayScene, tts


def test_a_call_in_is_told_to_a_client_of_its_context() -> None:
    async def scene() -> None:
        relay = RelayScene()
        relay.offer()
        assert relay.sessions.asked == ["shop"]
        ((event_type, params),) = relay.session.told
        assert event_type == "calling.call.receive"
        assert params["call_id"] == relay.call_id
        assert (params["call_state"], params["direction"], params["context"]) == ("created", "inbound", "shop")
        assert params["project_id"] == PROJECT
        assert params["device"]["params"]["from_number"] == "+15551234567"
        assert relay.session.n_calls == 1
        relay.end()

    run(scene)


def test_an_answer_is_told_when_the_far_end_has_acknowledged_it() -> None:
    async def scene() -> None:
        relay = RelayScene()
        relay.offer()
        assert relay.ask("answer") == {"code": "200", "message": "OK", "call_id": relay.call_id}
        assert relay.ask("answer")["code"] == "200"
        assert [what for what, _ in relay.call.asked] == ["answer"]
        assert relay.session.states == ["receive:created"]
        relay.up()
        assert relay.session.states[1:] == ["state:answered"]
        relay.end()

    run(scene)


def test_what_is_asked_for_before_the_acknowledgement_begins_with_it() -> None:
    async def scene() -> None:
        relay = RelayScene()
        relay.offer()
        assert relay.code("play", control_id="a", play=[tts("Hello.")]) == "409"
        relay.ask("answer")
        assert relay.code("play", control_id="a", play=[tts("Hello.")]) == "200"
        await settle()
        assert relay.call.heard == []
        relay.up()
        await settle()
        assert relay.call.heard == [("Hello.",)]
        relay.end()

    run(scene)


@pytest.mark.parametrize(("reason", "status"), [("busy", 486), ("decline", 603), ("hangup", 603), ("noAnswer", 480)])
def test_a_call_that_rings_is_refused_by_its_end(reason: str, status: int) -> None:
    async def scene() -> None:
        relay = RelayScene()
        relay.offer()
        assert relay.code("end", reason=reason) == "200"
        assert relay.call.asked == [("reject", status)]
        relay.end("rejected")
        assert relay.session.states[1:] == ["state:ending", "state:ended"]
        assert relay.session.told[-1][1]["end_reason"] == reason
        assert relay.session.n_calls == 0

    run(scene)


def test_a_call_that_is_up_is_hung_up_by_its_end_and_its_end_is_told_once() -> None:
    async def scene() -> None:
        relay = RelayScene()
        await relay.answered()
        assert relay.code("end") == "200"
        relay.end("local_bye")
        relay.end("local_bye")
        await relay.program.done()
        assert relay.session.states == ["state:ending", "state:ended"]
        assert relay.session.told[-1][1]["end_reason"] == "hangup"
        assert relay.code("play", control_id="a", play=[tts("Hello.")]) == "404"
        assert relay.code("end") == "404"

    run(scene)


def test_every_last_event_comes_before_the_end_of_the_call() -> None:
    async def scene() -> None:
        relay = RelayScene()
        await relay.answered()
        relay.ask("play", control_id="one", play=[tts("Hello.")])
        relay.ask("play", control_id="two", play=[tts("And good morning.")])
        relay.ask("collect", control_id="three", digits={"max": 4})
        relay.ask("detect", control_id="four", detect={"type": "digit"})
        relay.ask("send_digits", control_id="five", digits="1W2")
        await settle()
        relay.session.told.clear()
        relay.end("remote_bye")
        states = relay.session.states
        assert states[-2:] == ["state:ending", "state:ended"]
        assert sorted(states[:-2]) == [
            "collect:error",
            "detect:finished",
            "play:finished",
            "play:finished",
            "send_digits:finished",
        ]
        relay.end("remote_bye")
        assert len(relay.session.states) == len(states)

    run(scene)


def test_a_command_about_another_clients_call_finds_none() -> None:
    async def scene() -> None:
        relay, other = RelayScene(), FakeSession("client-2")
        await relay.answered()
        assert relay.ask("end", session=other)["code"] == "404"
        assert relay.ask("end", call_id="f" * 32)["code"] == "404"
        assert relay.ask("end", call_id=7)["code"] == "422"
        assert relay.call.state is CallState.ANSWERED
        relay.end()

    run(scene)


def test_methods_that_are_not_carried_out_are_refused_by_number() -> None:
    async def scene() -> None:
        relay = RelayScene()
        await relay.answered()
        for method in (
            "tap",
            "stream",
            "ai",
            "transcribe",
            "denoise.stop",
            "queue.enter",
            "join_room",
            "send_fax",
            "x",
        ):
            assert relay.code(method, control_id="a") == "501", method
        assert relay.calls.command(relay.session, "messaging.send", {})["code"] == "501"
        relay.end()

    run(scene)


def test_a_client_that_passes_a_call_on_is_told_its_end_and_another_one_gets_it() -> None:
    async def scene() -> None:
        first, second = FakeSession("client-1"), FakeSession("client-2")
        relay = RelayScene(first, second)
        relay.offer()
        assert relay.code("pass") == "200"
        assert first.states == ["receive:created", "state:ending", "state:ended"]
        assert second.states == ["receive:created"]
        assert (first.n_calls, second.n_calls) == (0, 1)
        assert relay.ask("answer", session=first)["code"] == "404"
        assert relay.ask("answer", session=second)["code"] == "200"
        assert relay.ask("pass", session=second)["code"] == "409"
        relay.end()

    run(scene)


def test_a_call_that_everybody_passes_on_goes_to_the_fallback() -> None:
    async def scene() -> None:
        relay = RelayScene(FakeSession("client-1"), FakeSession("client-2"), app={"fallback_form": "till"})
        relay.offer()
        for session in relay.sessions.sessions:
            relay.ask("pass", session=session)
        (successor,) = relay.successors
        assert successor.asked_for == ("", "till")
        assert successor.heard == ["offered"]
        relay.up()
        relay.press("1")
        relay.end()
        await relay.program.done()
        assert successor.heard == [
            "offered",
            "start",
            ("count", "rfc4733"),
            ("digit", 1),
            "digit_ended",
            "hang_up",
            "done",
        ]

    run(scene)


def test_without_a_client_and_a_fallback_a_call_is_refused() -> None:
    async def scene() -> None:
        relay = RelayScene()
        relay.session.is_connected = False
        relay.offer()
        assert relay.call.asked == [("reject", 480)]

    run(scene)


def test_a_client_that_lets_a_call_ring_loses_it() -> None:
    async def scene() -> None:
        relay = RelayScene(app={"fallback_app": "other", "answer_timeout_s": 5})
        relay.offer()
        await later(4.0)
        assert relay.successors == []
        await later(1.1)
        assert relay.successors[0].asked_for == ("other", "")
        assert relay.session.states == ["receive:created", "state:ending", "state:ended"]
        assert relay.session.told[-1][1]["end_reason"] == "abandoned"
        assert relay.session.n_calls == 0
        assert relay.code("answer") == "404"
        relay.end()

    run(scene)


def test_a_client_that_answers_in_time_keeps_its_call() -> None:
    async def scene() -> None:
        relay = RelayScene(app={"fallback_app": "other", "answer_timeout_s": 5})
        await relay.answered()
        await later(60.0)
        assert relay.successors == []
        relay.end()

    run(scene)


def test_the_calls_of_a_client_that_is_gone_for_good_go_to_the_fallback() -> None:
    async def scene() -> None:
        relay = RelayScene(app={"fallback_app": "other"})
        await relay.answered()
        relay.ask("play", control_id="a", play=[tts("Hello.")], loop=0)
        relay.ask("collect", control_id="b", digits={"max": 4})
        await settle()
        relay.session.told.clear()
        relay.session.is_over = True
        relay.calls.session_over(relay.session)
        await settle()
        assert relay.successors[0].heard == ["start"]
        assert relay.call.asked[-1] == ("stop_playing", None)
        assert relay.session.told == []
        relay.press("5")
        assert ("digit", 5) in relay.successors[0].heard
        relay.end()

    run(scene)


def test_a_call_that_rings_for_a_client_that_is_gone_is_offered_to_the_fallback() -> None:
    async def scene() -> None:
        relay = RelayScene(app={"fallback_app": "other"})
        relay.offer()
        relay.calls.session_over(relay.session)
        await settle()
        assert relay.successors[0].heard == ["offered"]
        relay.end()

    run(scene)


def test_without_a_fallback_the_calls_of_a_client_that_is_gone_end() -> None:
    async def scene() -> None:
        relay = RelayScene()
        await relay.answered()
        relay.calls.session_over(relay.session)
        await settle()
        assert relay.call.times_hung_up == 1
        await relay.program.done()

    run(scene)


def test_a_call_lasts_no_longer_than_its_client_says() -> None:
    async def scene() -> None:
        relay = RelayScene()
        relay.offer()
        relay.ask("answer", max_duration=2)
        relay.up()
        await later(119.0)
        assert relay.call.times_hung_up == 0
        await later(1.5)
        assert relay.call.times_hung_up == 1
        assert relay.session.told[-1][1]["end_reason"] == "max_duration"

    run(scene)


def test_a_call_is_handed_on_to_another_application_and_its_end_is_told_all_the_same() -> None:
    async def scene() -> None:
        relay = RelayScene(config=_with_app())
        await relay.answered()
        relay.ask("play", control_id="a", play=[tts("Hello.")])
        await settle()
        assert relay.code("transfer", dest="other") == "200"
        assert relay.successors[0].asked_for == ("other", "")
        assert relay.successors[0].heard == ["start"]
        assert relay.session.states[-1] == "play:finished"
        assert relay.code("play", control_id="b", play=[tts("Hello.")]) == "404"
        relay.end("remote_bye")
        assert relay.session.states[-2:] == ["state:ending", "state:ended"]
        assert relay.session.n_calls == 0

    run(scene)


@pytest.mark.parametrize(
    ("dest", "code"),
    [("nobody", "422"), ("sip:ann@b.example", "501"), ("+15550100", "501"), ("", "422"), (None, "422")],
)
def test_a_call_is_not_handed_on_to_what_there_is_not(dest: Any, code: str) -> None:
    async def scene() -> None:
        relay = RelayScene(config=_with_app())
        await relay.answered()
        assert relay.code("transfer", dest=dest) == code
        assert relay.code("play", control_id="b", play=[tts("Hello.")]) == "200"
        relay.end()

    run(scene)


def test_that_a_call_out_rings_is_told_by_what_the_engine_observes() -> None:
    async def scene() -> None:
        relay = RelayScene()
        relay.calls.command(relay.session, "calling.dial", _dial([["sip:ann@b.example"]]))
        (call,) = relay.exchange.calls
        relay.calls.observe(CallRinging(call_id=call.facts.call_id, status=180, early_media=False))
        relay.calls.observe(CallRinging(call_id=call.facts.call_id, status=183, early_media=True))
        assert relay.session.states == ["dial:dialing", "state:created", "state:ringing"]

    run(scene)


def test_what_breaks_down_is_an_answer_and_no_more() -> None:
    async def scene() -> None:
        relay = RelayScene()
        await relay.answered()

        def fails(reason: str) -> None:
            raise RuntimeError("4111111111111111")

        relay.call.hang_up = fails  # type: ignore[method-assign]
        result = relay.ask("end")
        assert result["code"] == "500"
        assert "4111" not in str(result)
        relay.end()

    run(scene)


def test_nothing_of_a_call_lives_on() -> None:
    async def scene() -> None:
        relay = RelayScene()
        await relay.answered()
        relay.ask("play", control_id="a", play=[tts("Hello.")])
        relay.ask("collect", control_id="b", digits={"max": 4})
        relay.ask("detect", control_id="c", detect={"type": "digit"})
        await settle()
        relay.end()
        await relay.program.done()
        await settle()
        program, call = weakref.ref(relay.program), weakref.ref(relay.call)
        calls = relay.calls
        gc.collect()
        gc.disable()
        try:
            del relay.program, relay.call
            assert program() is None
            assert call() is None
        finally:
            gc.enable()
        assert not calls._led

    run(scene)


def _with_app() -> Any:
    return config_of(
        f"""
[signalwire]
project = "{PROJECT}"

[app.other]
dialect = "twiml"
url = "https://app.example.com/voice"
"""
    )


def _dial(groups: list[list[str]], tag: str = "tag-1", **more: Any) -> dict[str, Any]:
    devices = [[{"type": "sip", "params": {"to": to, "timeout": 20}} for to in group] for group in groups]
    return {"tag": tag, "devices": devices, **more}
