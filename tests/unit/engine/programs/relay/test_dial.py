"""``calling.dial``: groups of devices in turn, who answers first, states with the tag, and what is told of the end."""

from __future__ import annotations

from typing import Any

from engine.program import CallState
from tests.support.exchange import later, run
from tests.support.programs import settle
from tests.support.relay import RelayScene, tts


def _sip(to: str) -> dict[str, Any]:
    return {"type": "sip", "params": {"to": to, "timeout": 20, "headers": [{"name": "X-Order", "value": "7"}]}}


def _phone(number: str) -> dict[str, Any]:
    params = {"to_number": number, "from_number": "+15550100001", "timeout": 30}
    return {"type": "phone", "params": params}


class Dialled(RelayScene):
    """A client that dials."""

    def dial(self, *groups: list[dict[str, Any]], tag: str = "tag-1", **more: Any) -> dict[str, Any]:
        params = {"tag": tag, "devices": [*groups], **more}
        return dict(self.calls.command(self.session, "calling.dial", params))

    def program_at(self, index: int) -> Any:
        return self.exchange.calls[index].program

    def of_call(self, index: int) -> list[str]:
        """Return the states that were told of one call."""
        call_id = self.exchange.calls[index].facts.call_id
        states = self.session.of("calling.call.state")
        return [params["call_state"] for params in states if params["call_id"] == call_id]


def test_who_answers_is_told_and_the_call_is_the_clients() -> None:
    async def scene() -> None:
        relay = Dialled()
        assert relay.dial([_phone("+15550100777")]) == {"code": "200", "message": "Dialing"}
        (wanted,) = relay.exchange.wanted
        assert (wanted.to, wanted.caller, wanted.ring_s) == ("+15550100777", "+15550100001", 30.0)
        relay.exchange.answer(0)
        await settle()
        assert relay.session.states == ["dial:dialing", "state:created", "state:answered", "dial:answered"]
        call = relay.session.told[-1][1]["call"]
        call_id = relay.exchange.calls[0].facts.call_id
        assert (call["call_id"], call["tag"], call["dial_winner"]) == (call_id, "tag-1", "true")
        assert all(params["tag"] == "tag-1" for _, params in relay.session.told)
        assert relay.session.n_calls == 1
        assert relay.code("play", call_id=call_id, control_id="a", play=[tts("Hello.")]) == "200"
        relay.exchange.end(0, "remote_bye")
        assert relay.of_call(0) == ["created", "answered", "ending", "ended"]
        assert relay.session.n_calls == 0
        await relay.program_at(0).done()

    run(scene)


def test_of_a_group_the_first_who_answers_is_it() -> None:
    async def scene() -> None:
        relay = Dialled()
        relay.dial([_sip("sip:a@b.example"), _sip("sip:c@d.example")])
        assert relay.exchange.wanted[0].headers == {"X-Order": "7"}
        relay.exchange.answer(1)
        await settle()
        assert relay.exchange.calls[0].state is CallState.ENDED
        assert relay.of_call(0) == ["created", "ending", "ended"]
        ended = [params for params in relay.session.of("calling.call.state") if params["call_state"] == "ended"]
        assert ended[0]["end_reason"] == "cancel"
        assert [params["dial_state"] for params in relay.session.of("calling.call.dial")] == ["dialing", "answered"]
        assert relay.session.n_calls == 1
        relay.exchange.end(1, "remote_bye")

    run(scene)


def test_groups_are_called_one_after_the_other_and_the_end_is_told() -> None:
    async def scene() -> None:
        relay = Dialled()
        relay.dial([_sip("sip:a@b.example")], [_sip("sip:c@d.example")])
        assert len(relay.exchange.calls) == 1
        relay.exchange.end(0, "busy")
        assert len(relay.exchange.calls) == 2
        relay.exchange.end(1, "no-answer")
        await settle()
        ended = [params for params in relay.session.of("calling.call.state") if params["call_state"] == "ended"]
        assert [params["end_reason"] for params in ended] == ["busy", "noAnswer"]
        assert relay.session.states[-1] == "dial:failed"
        assert relay.session.n_calls == 0
        assert relay.dial([_sip("sip:a@b.example")])["code"] == "200"  # the tag is free again

    run(scene)


def test_what_cannot_be_called_fails_and_leaves_nothing_behind() -> None:
    async def scene() -> None:
        relay = Dialled()
        relay.exchange.unreachable = {"sip:a@b.example"}
        assert relay.dial([_sip("sip:a@b.example")])["code"] == "200"
        await settle()
        assert relay.session.states == ["dial:dialing", "dial:failed"]
        assert relay.session.n_calls == 0
        assert relay.dial([_sip("sip:<>@")])["code"] == "422"
        assert relay.dial([{"type": "webrtc", "params": {"to": "a"}}])["code"] == "501"
        assert relay.dial()["code"] == "422"
        assert relay.session.states == ["dial:dialing", "dial:failed"]

    run(scene)


def test_a_tag_is_one_diallings_at_a_time() -> None:
    async def scene() -> None:
        relay = Dialled()
        relay.dial([_sip("sip:a@b.example")])
        assert relay.dial([_sip("sip:a@b.example")])["code"] == "409"
        assert relay.dial([_sip("sip:a@b.example")], tag="tag-2")["code"] == "200"
        relay.exchange.end(0, "busy")
        relay.exchange.end(1, "busy")

    run(scene)


def test_a_call_that_is_ended_while_it_rings_is_no_answer() -> None:
    async def scene() -> None:
        relay = Dialled()
        relay.dial([_sip("sip:a@b.example")])
        call_id = relay.exchange.calls[0].facts.call_id
        assert relay.code("end", call_id=call_id) == "200"
        await settle()
        assert relay.session.states[-1] == "dial:failed"
        assert relay.of_call(0) == ["created", "ending", "ended"]

    run(scene)


def test_the_shorter_of_the_limits_ends_the_call() -> None:
    async def scene() -> None:
        relay = Dialled()
        relay.dial([_sip("sip:a@b.example")], max_duration=1)
        relay.exchange.answer(0)
        await later(59.0)
        assert relay.exchange.calls[0].times_hung_up == 0
        await later(2.0)
        assert relay.exchange.calls[0].times_hung_up == 1
        assert relay.session.told[-1][1]["end_reason"] == "max_duration"

    run(scene)


def test_a_client_that_is_gone_dials_no_more() -> None:
    async def scene() -> None:
        relay = Dialled()
        relay.dial([_sip("sip:a@b.example")], [_sip("sip:c@d.example")])
        relay.dial([_sip("sip:e@f.example")], tag="tag-2")
        relay.exchange.answer(1)
        relay.calls.session_over(relay.session)
        await settle()
        assert [call.state for call in relay.exchange.calls] == [CallState.ENDED, CallState.ENDED]
        assert relay.session.n_calls == 0

    run(scene)
