"""What a RELAY client begins on a call: said one after the other, keys to whom they are for, one last event each."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from engine.errors import ProgramError
from engine.programs.actions.collecting import CollectAction
from engine.programs.actions.playing import PlayAction
from engine.programs.relay import works as module
from tests.support.exchange import later, run
from tests.support.programs import settle
from tests.support.relay import RelayScene, tts

CONNECTOR = "https://pay.example.com/charge"


def test_a_play_is_told_from_its_beginning_to_its_end() -> None:
    async def scene() -> None:
        relay = RelayScene()
        await relay.answered()
        result = relay.ask("play", control_id="a", play=[tts("Hello."), {"type": "tts", "text": "Flat."}])
        assert result == {"code": "200", "message": "OK", "call_id": relay.call_id, "control_id": "a"}
        assert relay.session.states == []
        await settle()
        await relay.hear_out()
        assert relay.session.states == ["play:playing", "play:finished"]
        assert [name for play in relay.call.heard for name in play if name != "pause"] == ["Hello.", "Flat."]
        assert relay.session.told[0][1]["control_id"] == "a"
        relay.end()

    run(scene)


def test_what_is_said_waits_for_what_was_said_before() -> None:
    async def scene() -> None:
        relay = RelayScene()
        await relay.answered()
        relay.ask("play", control_id="a", play=[tts("Welcome.")])
        relay.ask("play", control_id="b", play=[tts("Good morning.")])
        relay.ask("play_and_collect", control_id="c", play=[tts("Press one.")], collect={"digits": {"max": 1}})
        await settle()
        assert relay.call.heard == [("Welcome.",)]
        await relay.hear_out(at_most=1)
        assert relay.call.heard[-1] == ("Good morning.",)
        relay.press("9")  # nobody has been asked yet
        await relay.hear_out(at_most=1)
        assert relay.call.heard[-1] == ("Press one.",)
        relay.press("1")
        assert relay.session.told[-1][1]["result"] == {"type": "digit", "params": {"digits": "1", "terminator": ""}}
        relay.end()

    run(scene)


def test_music_without_end_gives_way() -> None:
    async def scene() -> None:
        relay = RelayScene()
        await relay.answered()
        relay.ask("play", control_id="music", play=[tts("La.")], loop=0)
        await settle()
        relay.ask("play", control_id="b", play=[tts("Thank you.")])
        await settle()
        assert relay.session.states[:2] == ["play:playing", "play:finished"]
        assert relay.call.heard[-1] == ("Thank you.",)
        relay.end()

    run(scene)


def test_a_play_that_waits_can_be_stopped() -> None:
    async def scene() -> None:
        relay = RelayScene()
        await relay.answered()
        relay.ask("play", control_id="a", play=[tts("Welcome.")])
        relay.ask("play", control_id="b", play=[tts("Never heard.")])
        relay.ask("play", control_id="c", play=[tts("Goodbye.")])
        await settle()
        assert relay.code("play.stop", control_id="b") == "200"
        assert relay.session.told[-1][1]["control_id"] == "b"
        await relay.hear_out()
        assert [name for play in relay.call.heard for name in play] == ["Welcome.", "Goodbye."]
        assert relay.session.states.count("play:finished") == 3
        relay.end()

    run(scene)


def test_a_play_is_held_resumed_and_made_louder() -> None:
    async def scene() -> None:
        relay = RelayScene()
        await relay.answered()
        relay.ask("play", control_id="a", play=[tts("Hello.")], volume=-3)
        await settle()
        relay.ask("play.pause", control_id="a")
        relay.ask("play.resume", control_id="a")
        relay.ask("play.volume", control_id="a", volume="4.5")
        assert relay.session.states == ["play:playing", "play:paused", "play:playing"]
        assert [one for one in relay.call.asked if one[0] == "set_volume"] == [
            ("set_volume", -3.0),
            ("set_volume", 4.5),
        ]
        assert relay.code("play.volume", control_id="a", volume=41) == "422"
        assert relay.code("play.pause", control_id="b") == "404"
        assert relay.code("play.stop", control_id="b") == "200"  # it may have ended by itself just now
        relay.end()

    run(scene)


def test_a_name_is_one_things_at_a_time() -> None:
    async def scene() -> None:
        relay = RelayScene()
        await relay.answered()
        relay.ask("play", control_id="a", play=[tts("Hello.")])
        assert relay.code("collect", control_id="a", digits={"max": 1}) == "409"
        await settle()
        await relay.hear_out()
        assert relay.code("collect", control_id="a", digits={"max": 1}) == "200"
        relay.end()

    run(scene)


def test_no_more_runs_on_a_call_than_can_be_meant() -> None:
    async def scene() -> None:
        relay = RelayScene()
        await relay.answered()
        codes = [relay.code("detect", control_id=str(n), detect={"type": "digit"}) for n in range(100)]
        assert codes.count("200") == 64
        assert codes.count("409") == 36
        relay.end()

    run(scene)


def test_an_entry_is_told_with_what_was_asked_for_meanwhile() -> None:
    async def scene() -> None:
        relay = RelayScene()
        await relay.answered()
        relay.ask(
            "collect",
            control_id="a",
            digits={"max": 5, "terminators": "#"},
            partial_results=True,
            send_start_of_input=True,
        )
        relay.press("12#")
        assert relay.session.states == ["collect:start_of_input", "collect:digit", "collect:digit", "collect:digit"]
        told = relay.session.of("calling.call.collect")
        assert [params["final"] for params in told] == [False, False, False, True]
        assert told[-1]["result"] == {"type": "digit", "params": {"digits": "12", "terminator": "#"}}
        assert told[-1]["state"] == "finished"
        relay.end()

    run(scene)


def test_an_entry_that_nobody_makes_ends_in_time() -> None:
    async def scene() -> None:
        relay = RelayScene()
        await relay.answered()
        relay.ask("collect", control_id="a", digits={"max": 5}, initial_timeout=7)
        relay.ask("collect", control_id="b", digits={"max": 5}, initial_timeout=7, start_input_timers=False)
        await later(8.0)
        assert [params["control_id"] for params in relay.session.of("calling.call.collect")] == ["a"]
        assert relay.session.states == ["collect:no_input"]
        relay.ask("collect.start_input_timers", control_id="b")
        await later(8.0)
        assert relay.session.states == ["collect:no_input", "collect:no_input"]
        relay.end()

    run(scene)


def test_the_latest_who_asked_gets_the_keys_and_who_only_listens_hears_them_too() -> None:
    async def scene() -> None:
        relay = RelayScene()
        await relay.answered()
        relay.ask("detect", control_id="d", detect={"type": "digit", "params": {"digits": "12"}})
        relay.ask("collect", control_id="a", digits={"max": 2})
        relay.ask("collect", control_id="b", digits={"max": 2})
        relay.press("1234")
        assert [params["control_id"] for params in relay.session.of("calling.call.collect")] == ["b", "a"]
        events = [params["detect"]["params"]["event"] for params in relay.session.of("calling.call.detect")]
        assert events == ["1", "2"]
        await later(31.0)
        assert relay.session.states[-1] == "detect:finished"
        relay.end()

    run(scene)


def test_keys_are_sent() -> None:
    async def scene() -> None:
        relay = RelayScene()
        await relay.answered()
        assert relay.code("send_digits", control_id="a", digits="12w#") == "200"
        await later(3.0)
        assert relay.session.states == ["send_digits:finished"]
        assert [code for what, codes in relay.call.asked if what == "send_digits" for code in codes] == [1, 2, 11]
        relay.end()

    run(scene)


def test_the_far_end_is_held_and_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        relay = RelayScene()
        relay.offer()
        assert relay.code("hold") == "409"
        relay.ask("answer")
        relay.up()
        held: list[bool] = []
        monkeypatch.setattr(relay.call, "put_on_hold", held.append, raising=False)
        assert relay.code("hold") == relay.code("unhold") == "200"
        assert held == [True, False]
        assert relay.session.states[-2:] == ["hold:hold", "hold:unhold"]

        def pays(on: bool) -> None:
            raise ProgramError("who pays is not put on hold")

        monkeypatch.setattr(relay.call, "put_on_hold", pays)
        assert relay.code("hold") == "409"
        relay.end()

    run(scene)


class _Pay:
    """A payment that a test brings to its end."""

    made: list[_Pay] = []  # noqa: RUF012

    def __init__(self, properties: Any, call: Any, context: Any, **hooks: Any) -> None:
        self.properties, self.hooks = properties, hooks
        self.request = object()
        self.happened: list[Any] = []
        self.over = asyncio.Event()
        self.is_over = False
        self.ends_when_told = True
        _Pay.made.append(self)

    @property
    def wants_digits(self) -> bool:
        return not self.is_over

    def start(self, now: float) -> None:
        self.happened.append("start")

    def digit(self, code: int, now: float) -> None:
        self.happened.append(code)

    def digit_ended(self, now: float) -> None:
        pass

    def count_digit(self, source: str) -> None:
        pass

    def play_finished(self, token: int, by_digit: bool, now: float) -> None:
        pass

    def stop(self, now: float) -> None:
        self.happened.append("stop")
        if self.ends_when_told:
            self.end("error")

    def hang_up(self, now: float) -> None:
        self.happened.append("hang_up")
        if self.ends_when_told:
            self.end("error")

    async def done(self) -> None:
        await self.over.wait()

    def end(self, result: str) -> None:
        self.is_over = True
        self.over.set()
        self.hooks["on_result"](result)


@pytest.fixture(name="payments")
def _payments(monkeypatch: pytest.MonkeyPatch) -> list[_Pay]:
    def params(request: Any, what: Any, *, call_id: str, control_id: str) -> dict[str, Any]:
        return {"control_id": control_id, "call_id": call_id, "node_id": "paytone", "state": what}

    _Pay.made = []
    monkeypatch.setattr(module, "PayAction", _Pay)
    monkeypatch.setattr(module, "relay_event_params", params)
    return _Pay.made


def test_a_payment_has_the_keys_for_itself_and_for_a_while_after_it_nobody_has(payments: list[_Pay]) -> None:
    async def scene() -> None:
        relay = RelayScene()
        await relay.answered()
        relay.ask("collect", control_id="a", digits={"max": 9}, initial_timeout=60)
        relay.ask("detect", control_id="d", detect={"type": "digit"}, timeout=60)
        relay.ask("pay", control_id="p", payment_connector_url=CONNECTOR, charge_amount="12.34")
        (pay,) = payments
        assert pay.properties == {"payment_connector_url": CONNECTOR, "charge_amount": "12.34"}
        relay.press("41")
        pay.hooks["on_status"]("collecting")
        pay.end("error")
        relay.press("1")
        await later(0.9)
        relay.press("1")  # the rest of a card number goes on and on
        await later(0.9)
        relay.press("1")
        assert relay.session.states == ["pay:collecting", "pay:error"]
        await later(1.1)
        relay.press("7")
        assert relay.session.states[2:] == ["detect:7"]
        assert pay.happened == ["start", 4, 1]
        relay.end()

    run(scene)


def test_a_payment_waits_for_the_greeting_and_there_is_one_at_a_time(payments: list[_Pay]) -> None:
    async def scene() -> None:
        relay = RelayScene()
        await relay.answered()
        relay.ask("play", control_id="a", play=[tts("Welcome.")])
        await settle()
        assert relay.code("pay", control_id="p", payment_connector_url=CONNECTOR) == "200"
        assert relay.code("pay", control_id="q", payment_connector_url=CONNECTOR) == "409"
        assert payments[0].happened == []
        await relay.hear_out(at_most=1)
        assert payments[0].happened == ["start"]
        assert relay.code("transfer", dest="https://app.example.com/swml") == "409"
        assert relay.code("hold") == "409"
        assert relay.code("pay.stop", control_id="p") == "200"
        assert relay.session.states[-1] == "pay:error"
        assert relay.code("pay.stop", control_id="p") == "200"
        relay.end()

    run(scene)


def test_a_payment_that_was_asked_for_before_the_acknowledgement_begins_with_it(payments: list[_Pay]) -> None:
    async def scene() -> None:
        relay = RelayScene()
        relay.offer()
        relay.ask("answer")
        assert relay.code("pay", control_id="p", payment_connector_url=CONNECTOR) == "200"
        assert payments == []
        relay.up()
        assert payments[0].happened == ["start"]
        relay.end()
        assert payments[0].happened == ["start", "hang_up"]

    run(scene)


def test_a_payment_that_can_never_be_is_refused_before_the_acknowledgement_too(payments: list[_Pay]) -> None:
    async def scene() -> None:
        relay = RelayScene()
        relay.offer()
        relay.ask("answer")
        for wrong in ({"charge_amount": "free"}, {"input": "speech"}, {"status_url": "nowhere"}):
            assert relay.code("pay", control_id="p", payment_connector_url=CONNECTOR, **wrong) == "422"
        relay.up()
        assert payments == []
        relay.end()

    run(scene)


def test_a_payment_that_never_began_is_told_once(payments: list[_Pay]) -> None:
    async def scene() -> None:
        relay = RelayScene()
        relay.offer()
        relay.ask("answer")
        relay.ask("pay", control_id="p", payment_connector_url=CONNECTOR)
        relay.end()
        assert relay.session.states == ["receive:created", "pay:error", "state:ending", "state:ended"]
        assert payments == []

    run(scene)


def test_the_end_of_a_call_is_told_behind_a_payment_that_is_at_its_connector(payments: list[_Pay]) -> None:
    async def scene() -> None:
        relay = RelayScene()
        await relay.answered()
        relay.ask("pay", control_id="p", payment_connector_url=CONNECTOR)
        relay.ask("detect", control_id="d", detect={"type": "digit"})
        payments[0].ends_when_told = False
        relay.end("remote_bye")
        assert payments[0].happened == ["start", "hang_up"]
        assert relay.session.states == ["detect:finished"]
        payments[0].end("finished")
        assert relay.session.states == ["detect:finished", "pay:finished", "state:ending", "state:ended"]
        await relay.program.done()

    run(scene)


def test_a_fallback_waits_for_a_payment_that_is_at_its_connector(payments: list[_Pay]) -> None:
    async def scene() -> None:
        relay = RelayScene(app={"fallback_form": "till"})
        await relay.answered()
        relay.ask("pay", control_id="p", payment_connector_url=CONNECTOR)
        payments[0].ends_when_told = False
        relay.calls.session_over(relay.session)
        await settle()
        assert payments[0].happened == ["start", "stop"]
        assert relay.successors == []
        relay.press("4")
        assert payments[0].happened[-1] == 4
        payments[0].end("finished")
        assert relay.successors[0].heard == ["start"]
        relay.press("4")  # the rest of a card number is nobody's
        assert ("digit", 4) not in relay.successors[0].heard
        await later(1.1)
        relay.press("5")
        assert ("digit", 5) in relay.successors[0].heard
        relay.end()

    run(scene)


@pytest.mark.parametrize("what", ["start", "digit", "play_finished", "stop", "done"])
def test_what_breaks_down_ends_and_nothing_else_with_it(
    what: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("4111111111111111")

    async def scene() -> None:
        relay = RelayScene()
        await relay.answered()
        relay.ask("collect", control_id="sound", digits={"max": 3}, initial_timeout=60)
        monkeypatch.setattr(PlayAction, what if what in ("start", "play_finished", "stop") else "pause", fails)
        if what in ("digit", "done"):
            relay.ask("collect", control_id="broken", digits={"max": 1}, initial_timeout=60)
            monkeypatch.setattr(CollectAction, what, fails)
            relay.press("1")
        else:
            relay.ask("play", control_id="broken", play=[tts("Hello.")])
            await settle()
            await relay.hear_out(at_most=1)
            relay.ask("play.stop", control_id="broken")
        await settle()
        monkeypatch.undo()
        ended = [params for _, params in relay.session.told if params["control_id"] == "broken"]
        assert len([params for params in ended if params["state"] in ("error", "finished")]) == 1
        relay.press("123")
        assert relay.session.of("calling.call.collect")[-1]["result"]["params"]["digits"] == "123"
        relay.end()
        await relay.program.done()

    run(scene)
    assert "4111" not in caplog.text
