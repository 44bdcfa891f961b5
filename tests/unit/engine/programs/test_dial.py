"""Dial: who is called and how, who is connected, and what the document is told in the end."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest

from dsp.mask import MaskFill
from engine.dialects.twilio import call_sid
from engine.dialects.twiml.commands import DialOut, Parameters, Source
from engine.dialects.twiml.verbs import Client, Conference, Dial, DialQueue, Number, Sip
from engine.errors import CallError, MediaError, ProgramError
from engine.events import CallCreated
from engine.program import CallState, Transfer
from engine.programs.call_recording import RecordingError
from engine.programs.dial import CalleesVerb, make_dial
from engine.programs.leg_program import LegProgram, keying
from engine.programs.queue import TakeVerb
from engine.programs.rooms import ConferenceVerb
from engine.programs.status import StatusPlan
from tests.support.call_control import FakeCall
from tests.support.exchange import FakeExchange, later, run
from tests.support.programs import FakeOutbox, FakePrompts, FakeWeb, config_of, context_of, settle

BASE = "https://app.example.com/voice"
AGENT = Sip(uri="sip:agent@pbx.example.com")
SCREENED = Sip(uri="sip:agent@pbx.example.com", url="/whisper")
HEARD = "<Response><Say>A call for you</Say></Response>"


class Scene:
    """A caller whose document dials."""

    def __init__(self, dial: Dial, *, more: str = "", state: CallState = CallState.ANSWERED, **facts: Any) -> None:
        self.call = FakeCall(state=state, **facts)
        self.exchange, self.web, self.outbox = FakeExchange(), FakeWeb(), FakeOutbox()
        self.context = context_of(self.web, FakePrompts(), self.outbox, config=config_of(more), exchange=self.exchange)
        self.outcomes: list[dict[str, str]] = []
        self.verb = make_dial(DialOut(token=1, dial=dial, base_url=BASE), self.call, self.context, BASE, self._ended)

    def _ended(self, parameters: Parameters) -> None:
        self.outcomes.append(dict(parameters))

    def start(self) -> Scene:
        self.verb.start(asyncio.get_running_loop().time())
        return self

    @property
    def outcome(self) -> dict[str, str]:
        assert len(self.outcomes) == 1
        return self.outcomes[0]

    @property
    def status(self) -> str:
        return self.outcome["DialCallStatus"]

    def leg(self, index: int = 0) -> FakeCall:
        return self.exchange.calls[index]

    def did(self, what: str) -> list[Any]:
        return [argument for asked, argument in self.call.asked if asked == what]

    def hang_up(self) -> None:
        """The caller hangs up."""
        self.call.state = CallState.ENDED
        self.verb.hang_up(asyncio.get_running_loop().time())

    def is_bridged(self, index: int = 0) -> bool:
        return self.call.bridged_with is not None and self.call.bridged_with.facts == self.leg(index).facts


def dial(*nouns: Number | Sip | Client, **how: Any) -> Dial:
    return Dial(nouns=nouns or (AGENT,), **how)


# -- who is called ---------------------------------------------------------------------------------------------------


def test_a_number_goes_to_the_gateway_under_the_callers_own_number() -> None:
    async def play() -> None:
        scene = Scene(dial(Number(number="+15550100"), timeout_s=12.0), caller="+15551234567").start()
        (wanted,) = scene.exchange.wanted
        assert (wanted.to, wanted.caller, wanted.ring_s) == ("+15550100", "+15551234567", 12.0)
        # The new leg is of the same clock, and its call has a parent.
        assert scene.exchange.beside == [scene.call]

    run(play)


@pytest.mark.parametrize(
    ("caller_id", "caller", "said"),
    [("+15559999", "+15551234567", "+15559999"), ("", "jos\u00e9 m", ""), ("", "anonymous", "anonymous")],
)
def test_the_caller_id_is_the_documents_else_the_callers_else_the_engines(
    caller_id: str, caller: str, said: str
) -> None:
    async def play() -> None:
        scene = Scene(dial(caller_id=caller_id), caller=caller).start()
        assert scene.exchange.wanted[0].caller == said

    run(play)


@pytest.mark.parametrize(("timeout_s", "ring_s"), [(0.2, 1.0), (30.0, 30.0), (600.0, 280.0)])
def test_the_ring_time_is_what_a_call_may_ring(timeout_s: float, ring_s: float) -> None:
    async def play() -> None:
        assert Scene(dial(timeout_s=timeout_s)).start().exchange.wanted[0].ring_s == ring_s

    run(play)


def test_headers_of_a_sip_uri_go_along_if_they_are_x_headers_and_credentials_are_its_own() -> None:
    async def play() -> None:
        noun = Sip(
            uri="sip:agent@pbx.example.com;transport=tcp?X-Customer=4%3D2&Replaces=a%3Bto-tag%3D1&Route=evil",
            username="desk",
            password="a-password",
        )
        scene = Scene(dial(noun)).start()
        (wanted,) = scene.exchange.wanted
        assert wanted.to == "sip:agent@pbx.example.com;transport=tcp"
        assert wanted.headers == {"X-Customer": "4=2"}
        assert (wanted.username, wanted.password) == ("desk", "a-password")
        assert "a-password" not in repr(wanted)
        assert "a-password" not in repr(noun)

    run(play)


def test_a_client_is_called_where_the_configuration_says() -> None:
    async def play() -> None:
        scene = Scene(dial(Client(identity="anna & co")), more='client_uri = "sip:{name}@pbx.example.com"\n').start()
        assert scene.exchange.wanted[0].to == "sip:anna%20%26%20co@pbx.example.com"

    run(play)


@pytest.mark.parametrize("noun", [Client(identity="anna"), Sip(uri="agent"), Sip(uri="")])
def test_who_cannot_be_called_is_a_failed_dial_told_behind_the_verbs_beginning(noun: Sip | Client) -> None:
    async def play() -> None:
        scene = Scene(dial(noun)).start()
        assert scene.outcomes == []
        await settle()
        assert scene.outcome == {"DialCallStatus": "failed", "DialBridged": "false"}

    run(play)


def test_one_of_several_that_cannot_be_called_leaves_the_others_ringing() -> None:
    async def play() -> None:
        scene = Scene(dial(Sip(uri="sip:nobody@example.com"), AGENT))
        scene.exchange.unreachable = {"sip:nobody@example.com"}
        scene.start()
        scene.exchange.answer(0)
        assert scene.is_bridged()

    run(play)


def test_no_more_than_ten_are_called_at_once() -> None:
    async def play() -> None:
        scene = Scene(dial(*[Sip(uri=f"sip:agent{n}@example.com") for n in range(40)])).start()
        assert len(scene.exchange.calls) == 10

    run(play)


# -- while it rings --------------------------------------------------------------------------------------------------


def test_the_caller_hears_the_ringback_tone_of_a_country_until_somebody_answers() -> None:
    async def play() -> None:
        scene = Scene(dial(ring_tone="uk")).start()
        assert scene.call.heard == [("ringback uk",)]
        assert scene.did("play") == [True]
        scene.exchange.answer(0)
        assert [what for what, _ in scene.call.asked][-3:] == ["stop_playing", "mask_line", "bridge"]

    run(play)


def test_a_caller_who_is_not_answered_yet_hears_our_ringing_and_is_answered_with_the_bridge() -> None:
    async def play() -> None:
        scene = Scene(dial(answer_on_bridge=True), state=CallState.RINGING).start()
        assert scene.call.asked == []
        scene.exchange.answer(0)
        assert [what for what, _ in scene.call.asked] == ["mask_line", "answer", "bridge"]

    run(play)


def test_a_prompt_that_plays_in_place_of_the_ringback_tone_is_not_stopped_with_it() -> None:
    async def play() -> None:
        scene = Scene(dial()).start()
        scene.verb.play_finished(scene.call.tokens[0], False, 0.0)
        scene.exchange.answer(0)
        assert scene.did("stop_playing") == []

    run(play)


def test_the_first_who_answers_is_connected_and_the_others_are_given_up() -> None:
    async def play() -> None:
        scene = Scene(dial(*[Sip(uri=f"sip:agent{n}@example.com") for n in range(3)])).start()
        scene.exchange.end(0, "busy")
        scene.exchange.answer(2)
        assert scene.is_bridged(2)
        assert [leg.times_hung_up for leg in scene.exchange.calls] == [0, 1, 0]
        assert scene.outcomes == []
        scene.exchange.end(2, "remote_bye")
        assert scene.outcome["DialCallSid"] == call_sid(scene.leg(2).facts.call_id)

    run(play)


def test_of_two_who_answer_at_once_the_second_is_hung_up() -> None:
    async def play() -> None:
        scene = Scene(dial(AGENT, Sip(uri="sip:other@example.com"))).start()
        late = scene.leg(1)
        late.on_hang_up = lambda: None  # its 200 is under way as our CANCEL is
        scene.exchange.answer(0)
        late.cause = ""
        scene.exchange.answer(1)
        assert late.times_hung_up == 2
        assert scene.is_bridged(0)

    run(play)


@pytest.mark.parametrize(
    ("causes", "status"),
    [
        (("busy",), "busy"),
        (("no-answer",), "no-answer"),
        (("refused",), "failed"),
        (("not-found",), "failed"),
        (("unreachable",), "failed"),
        (("no-media",), "failed"),
        (("not-found", "busy"), "busy"),
        (("no-answer", "unreachable"), "no-answer"),
    ],
)
def test_the_outcome_is_that_of_who_came_nearest_to_an_answer(causes: tuple[str, ...], status: str) -> None:
    async def play() -> None:
        scene = Scene(dial(*[Sip(uri=f"sip:agent{n}@example.com") for n in range(len(causes))])).start()
        for index, cause in enumerate(causes):
            assert scene.outcomes == []
            scene.exchange.end(index, cause)
        assert scene.status == status
        assert scene.outcome["DialBridged"] == "false"
        assert "DialCallDuration" not in scene.outcome
        assert scene.did("stop_playing") == [None]

    run(play)


def test_a_caller_who_hangs_up_while_it_rings_gives_everybody_up() -> None:
    async def play() -> None:
        scene = Scene(dial(AGENT, Sip(uri="sip:other@example.com"))).start()
        scene.hang_up()
        assert [leg.times_hung_up for leg in scene.exchange.calls] == [1, 1]
        assert scene.status == "canceled"
        scene.hang_up()
        assert len(scene.outcomes) == 1

    run(play)


# -- connected -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("key", "fill"), [("", MaskFill.TONE), ('mask_fill = "silence"\n', MaskFill.SILENCE)])
def test_both_sides_have_the_masks_line_before_they_are_connected(key: str, fill: MaskFill) -> None:
    async def play() -> None:
        scene = Scene(dial(), more=key).start()
        scene.exchange.answer(0)
        asked = [what for what, _ in scene.call.asked]
        assert scene.did("mask_line") == [fill]
        assert asked.index("mask_line") < asked.index("bridge")
        assert scene.leg().asked == [("mask_line", fill)]

    run(play)


@pytest.mark.parametrize("who", ["caller", "agent"])
def test_who_hangs_up_ends_the_other_or_the_dial(who: str) -> None:
    async def play() -> None:
        scene = Scene(dial()).start()
        scene.exchange.answer(0)
        await later(61.4)
        if who == "caller":
            scene.hang_up()
            assert scene.leg().times_hung_up == 1
        else:
            scene.exchange.end(0, "remote_bye")
            assert scene.call.times_hung_up == 0
            assert scene.call.bridged_with is None
        assert scene.outcome == {
            "DialCallStatus": "completed",
            "DialCallSid": call_sid(scene.leg().facts.call_id),
            "DialCallDuration": "61",
            "DialBridged": "true",
        }

    run(play)


def test_the_time_limit_parts_them() -> None:
    async def play() -> None:
        scene = Scene(dial(time_limit_s=30)).start()
        scene.exchange.answer(0)
        await later(29.0)
        assert scene.is_bridged()
        await later(1.2)
        assert scene.call.bridged_with is None
        assert scene.leg().times_hung_up == 1
        assert (scene.status, scene.outcome["DialCallDuration"]) == ("completed", "30")

    run(play)


def test_a_star_parts_them_only_where_the_document_says_so_and_they_are_connected() -> None:
    async def play() -> None:
        for wanted in (False, True):
            scene = Scene(dial(hangup_on_star=wanted)).start()
            scene.verb.digit(10, 0.0)
            assert scene.outcomes == []
            scene.exchange.answer(0)
            scene.verb.digit(1, 0.0)
            assert scene.outcomes == []
            scene.verb.digit(10, 0.0)
            assert len(scene.outcomes) == wanted

    run(play)


def test_a_document_that_goes_on_elsewhere_parts_them_and_is_told_nothing() -> None:
    async def play() -> None:
        scene = Scene(dial()).start()
        scene.exchange.answer(0)
        scene.verb.stop(0.0)
        assert scene.leg().times_hung_up == 1
        assert scene.call.bridged_with is None
        scene.hang_up()
        await later(20_000.0)
        assert scene.outcomes == []

    run(play)


def test_two_that_cannot_be_connected_end_the_dial_as_failed() -> None:
    async def play() -> None:
        scene = Scene(dial()).start()

        def refuse(other: object, *, relay_keys: bool = True) -> None:
            raise MediaError("no media")

        scene.call.bridge = refuse  # type: ignore[method-assign]
        scene.exchange.answer(0)
        assert scene.status == "failed"
        assert scene.leg().times_hung_up == 1

    run(play)


# -- before they are connected ---------------------------------------------------------------------------------------


def test_digits_are_keyed_to_the_called_side_before_it_is_connected() -> None:
    async def play() -> None:
        scene = Scene(dial(Number(number="+15550100", send_digits="ww12w#"))).start()
        scene.exchange.answer(0)
        assert scene.leg().asked == []
        await later(1.0)
        assert scene.leg().asked == [("send_digits", (1, 2))]
        await later(0.82)
        assert scene.leg().asked[1:] == [("send_digits", (11,))]
        assert not scene.is_bridged()
        await later(0.2)
        assert scene.is_bridged()

    run(play)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", [(0.0, ())]),
        ("12", [(0.0, (1, 2)), (0.32, ())]),
        ("w1", [(0.5, (1,)), (0.66, ())]),
        ("1W*", [(0.0, (1,)), (0.66, (10,)), (0.82, ())]),
        ("x-1", [(0.0, (1,)), (0.16, ())]),
        ("1" * 500, [(0.0, (1,) * 64), (10.24, ())]),
    ],
)
def test_keys_and_waits_are_laid_out_in_time(text: str, parts: list[tuple[float, tuple[int, ...]]]) -> None:
    assert [(round(at, 2), codes) for at, codes in keying(text)] == parts


async def hear(scene: Scene, index: int = 0) -> None:
    """Let the called side hear all that is said to it."""
    await settle()
    leg = scene.leg(index)
    while leg.tokens:
        leg.program.play_finished(leg.tokens.pop(0), False, asyncio.get_running_loop().time())
        await settle()


def test_a_called_side_hears_its_document_first_while_the_caller_hears_ringing() -> None:
    async def play() -> None:
        scene = Scene(dial(SCREENED))
        scene.web.pages["https://app.example.com/whisper"] = HEARD
        scene.start()
        scene.exchange.answer(0)
        await settle()
        (sent,) = scene.web.sent
        assert sent.parameters["CallSid"] == call_sid(scene.leg().facts.call_id)
        assert sent.parameters["ParentCallSid"] == call_sid(scene.call.facts.call_id)
        assert sent.parameters["Direction"] == "outbound-dial"
        assert scene.leg().heard == [("A call for you",)]
        assert not scene.is_bridged()
        assert scene.did("stop_playing") == []
        await hear(scene)
        assert scene.is_bridged()

    run(play)


@pytest.mark.parametrize("page", ["<Response><Hangup/></Response>", 500])
def test_a_document_that_hangs_up_or_cannot_be_had_connects_nobody(page: str | int) -> None:
    async def play() -> None:
        scene = Scene(dial(SCREENED))
        scene.web.pages["https://app.example.com/whisper"] = page
        scene.start()
        scene.exchange.answer(0)
        await settle()
        assert scene.leg().times_hung_up == 1
        assert (scene.status, scene.outcome["DialBridged"]) == ("completed", "false")

    run(play)


def test_a_called_side_accepts_the_call_with_a_key() -> None:
    async def play() -> None:
        scene = Scene(dial(SCREENED))
        scene.web.pages["https://app.example.com/whisper"] = (
            '<Response><Gather numDigits="1" action="/accept"><Say>Press 1</Say></Gather><Hangup/></Response>'
        )
        scene.web.pages["https://app.example.com/accept"] = "<Response/>"
        scene.start()
        scene.exchange.answer(0)
        await settle()
        scene.leg().program.digit(1, asyncio.get_running_loop().time())
        await settle()
        assert scene.web.sent[-1].parameters["Digits"] == "1"
        assert scene.is_bridged()

    run(play)


def test_a_caller_who_hangs_up_during_the_document_ends_it() -> None:
    async def play() -> None:
        scene = Scene(dial(SCREENED))
        scene.web.pages["https://app.example.com/whisper"] = asyncio.get_running_loop().create_future()
        scene.start()
        scene.exchange.answer(0)
        await settle()
        scene.hang_up()
        await settle()
        assert scene.leg().times_hung_up == 1
        assert scene.status == "completed"
        await scene.leg().program.done()

    run(play)


def test_the_application_hears_how_the_call_of_a_noun_goes() -> None:
    async def play() -> None:
        noun = Sip(uri="sip:agent@example.com", status_callback="/progress", status_events=("initiated",))
        scene = Scene(dial(noun)).start()
        facts = scene.leg().facts
        scene.context.status.observe(
            CallCreated(
                call_id=facts.call_id,
                direction="out",
                caller=facts.caller,
                dialled=facts.dialled,
                parent_id=facts.parent_id,
            )
        )
        await scene.context.status.close()
        (item,) = scene.outbox.items
        assert item["url"] == "https://app.example.com/progress"
        assert item["parameters"]["CallStatus"] == "initiated"

    run(play)


# -- a leg that is led away ------------------------------------------------------------------------------------------


def test_a_leg_that_rest_redirects_leaves_the_bridge_and_runs_its_document() -> None:
    async def play() -> None:
        scene = Scene(dial()).start()
        scene.web.pages["https://app.example.com/elsewhere"] = "<Response><Say>Hold on</Say><Pause/></Response>"
        scene.exchange.answer(0)
        leg = scene.leg()
        program = leg.program
        assert isinstance(program, LegProgram)
        program.redirect(Source(url="https://app.example.com/elsewhere"))
        assert scene.call.bridged_with is None
        assert (scene.status, leg.times_hung_up) == ("completed", 0)
        await settle()
        assert leg.heard[0][0] == "Hold on"
        scene.web.pages["https://app.example.com/last"] = "<Response><Hangup/></Response>"
        program.redirect(Source(url="https://app.example.com/last"))
        await settle()
        assert leg.times_hung_up == 1
        with pytest.raises(ProgramError):
            program.redirect(Source(url="https://app.example.com/late"))
        await program.done()
        assert len(scene.outcomes) == 1

    run(play)


def test_a_leg_ends_at_the_limit_that_rest_sets_before_and_after_its_answer() -> None:
    async def play() -> None:
        scene = Scene(dial()).start()
        program = scene.leg().program
        assert isinstance(program, LegProgram)
        program.limit(30.0)
        scene.exchange.answer(0)
        await later(29.0)
        assert scene.is_bridged()
        await later(1.5)
        assert (scene.leg().times_hung_up, scene.status) == (1, "completed")
        scene = Scene(dial()).start()
        scene.exchange.answer(0)
        await later(40.0)
        program = scene.leg().program
        assert isinstance(program, LegProgram)
        program.limit(30.0)
        await later(0.1)
        assert scene.leg().times_hung_up == 1

    run(play)


def test_a_leg_that_is_led_away_goes_on_to_be_told_of() -> None:
    async def play() -> None:
        noun = Sip(uri="sip:agent@example.com", status_callback="/progress")
        scene = Scene(dial(noun)).start()
        scene.exchange.answer(0)
        program = scene.leg().program
        assert isinstance(program, LegProgram)
        call_id = scene.leg().facts.call_id
        scene.context.status.watch(scene.leg().facts, StatusPlan(url="https://app.example.com/new"))
        program.redirect(Source(text="<Response><Pause/></Response>"))
        plan = scene.context.status.plan(call_id)
        assert plan is not None
        assert plan.url == "https://app.example.com/new"
        scene.exchange.end(0, "remote_bye")
        await program.done()

    run(play)


class Recordings:
    """Where calls are recorded, as a double."""

    def __init__(self, *, is_full: bool = False) -> None:
        self.begun: list[tuple[bool, dict[str, Any]]] = []
        self.stopped = 0
        self._is_full = is_full
        self.sid, self.recording_id = "RE" + "1" * 32, "1" * 32

    def start(self, call: FakeCall, **how: Any) -> Recordings:
        assert ("mask_line", MaskFill.TONE) in call.asked
        if self._is_full:
            raise RecordingError("the disk is full")
        self.begun.append((call.bridged_with is not None, how))
        return self

    def stop(self) -> None:
        self.stopped += 1

    def url_of(self, recording_id: str) -> str:
        return f"https://pay.example.com/{recording_id}"


@pytest.mark.parametrize(
    ("record", "is_bridged", "channels"),
    [
        ("record-from-answer", True, "mono"),
        ("record-from-answer-dual", True, "stereo"),
        ("record-from-ringing", False, "mono"),
        ("record-from-ringing-dual", False, "stereo"),
    ],
)
def test_a_dial_is_recorded_behind_the_masks_line(record: str, is_bridged: bool, channels: str) -> None:
    async def play() -> None:
        scene = Scene(dial(record=record, status_callback="/recorded"))
        recordings: Any = Recordings()
        object.__setattr__(scene.context, "recordings", recordings)
        scene.start()
        scene.exchange.answer(0)
        ((begun_bridged, how),) = recordings.begun
        assert begun_bridged is is_bridged
        assert (how["source"], how["channels"]) == ("DialVerb", channels)
        assert how["callback"].url == "https://app.example.com/recorded"
        scene.exchange.end(0, "remote_bye")
        assert recordings.stopped == 1
        assert scene.outcome["RecordingUrl"] == "https://pay.example.com/" + "1" * 32

    run(play)


@pytest.mark.parametrize("recordings", [None, Recordings(is_full=True)])
def test_a_dial_that_cannot_be_recorded_goes_on(recordings: Any) -> None:
    async def play() -> None:
        scene = Scene(dial(record="record-from-answer"))
        object.__setattr__(scene.context, "recordings", recordings)
        scene.start()
        scene.exchange.answer(0)
        assert scene.is_bridged()
        scene.exchange.end(0, "remote_bye")
        assert "RecordingUrl" not in scene.outcome

    run(play)


def test_a_leg_that_is_over_takes_no_document() -> None:
    async def play() -> None:
        scene = Scene(dial()).start()
        scene.exchange.end(0, "busy")
        program = scene.leg().program
        assert isinstance(program, LegProgram)
        with pytest.raises(ProgramError):
            program.redirect(Source(url="https://app.example.com/late"))

    run(play)


# -- a transfer ------------------------------------------------------------------------------------------------------


class Referrer:
    """Asks for a transfer and hears of it."""

    def __init__(self, scene: Scene, to: str = "sip:expert@pbx.example.com", **how: str) -> None:
        self.heard: list[int] = []
        self._wanted = Transfer(to=to, report=lambda status, reason: self.heard.append(status), **how)
        self._program = scene.leg().program

    def ask(self) -> bool:
        assert isinstance(self._program, LegProgram)
        return self._program.transfer(self._wanted)


def test_an_agent_hands_the_caller_over_and_the_dial_goes_on_with_the_new_side() -> None:
    async def play() -> None:
        scene = Scene(dial()).start()
        scene.exchange.answer(0)
        agent = Referrer(scene, replaces="abc;to-tag=1;from-tag=2", referred_by="<sip:agent@pbx.example.com>")
        assert agent.ask()
        wanted = scene.exchange.wanted[1]
        assert (wanted.to, wanted.replaces) == ("sip:expert@pbx.example.com", "abc;to-tag=1;from-tag=2")
        assert wanted.referred_by == "<sip:agent@pbx.example.com>"
        assert scene.is_bridged(0)
        scene.exchange.answer(1)
        assert scene.is_bridged(1)
        assert agent.heard == [200]
        scene.exchange.end(0, "remote_bye")  # the agent hangs up, as RFC 5589 has it
        assert scene.outcomes == []
        scene.exchange.end(1, "remote_bye")
        assert scene.outcome["DialCallSid"] == call_sid(scene.leg(1).facts.call_id)

    run(play)


def test_an_agent_who_stays_on_the_line_after_a_transfer_is_hung_up() -> None:
    async def play() -> None:
        scene = Scene(dial()).start()
        scene.exchange.answer(0)
        Referrer(scene).ask()
        scene.exchange.answer(1)
        await later(4.1)
        assert scene.leg(0).times_hung_up == 1
        assert scene.is_bridged(1)

    run(play)


@pytest.mark.parametrize(
    ("cause", "status"), [("busy", 486), ("no-answer", 480), ("refused", 603), ("unreachable", 503)]
)
def test_a_transfer_that_fails_leaves_the_caller_with_the_agent(cause: str, status: int) -> None:
    async def play() -> None:
        scene = Scene(dial()).start()
        scene.exchange.answer(0)
        agent = Referrer(scene)
        assert agent.ask()
        assert not agent.ask()  # one at a time
        scene.exchange.end(1, cause)
        assert agent.heard == [status]
        assert scene.is_bridged(0)
        assert scene.outcomes == []
        assert agent.ask()

    run(play)


def test_after_a_blind_transfer_whose_agent_is_gone_the_caller_hears_ringing_and_then_the_new_side() -> None:
    async def play() -> None:
        scene = Scene(dial()).start()
        scene.exchange.answer(0)
        Referrer(scene).ask()
        scene.exchange.end(0, "remote_bye")
        assert scene.outcomes == []
        assert scene.call.heard[-1] == ("ringback us",)
        scene.exchange.answer(1)
        assert scene.is_bridged(1)

    run(play)


def test_a_blind_transfer_that_nobody_answers_ends_the_dial() -> None:
    async def play() -> None:
        scene = Scene(dial()).start()
        scene.exchange.answer(0)
        Referrer(scene).ask()
        scene.exchange.end(0, "remote_bye")
        scene.exchange.end(1, "no-answer")
        assert scene.status == "completed"

    run(play)


def test_no_tone_of_ours_takes_the_place_of_a_payments_prompt() -> None:
    async def play() -> None:
        scene = Scene(dial()).start()
        scene.exchange.answer(0)
        Referrer(scene).ask()
        scene.call.guard.enter(scene)
        heard = list(scene.call.heard)
        scene.exchange.end(0, "remote_bye")
        assert scene.call.heard == heard

    run(play)


def test_a_transfer_waits_for_a_connection_and_ends_with_it() -> None:
    async def play() -> None:
        scene = Scene(dial()).start()
        agent = Referrer(scene)
        assert not agent.ask()
        scene.exchange.answer(0)
        assert agent.ask()
        scene.hang_up()
        assert agent.heard == [487]
        assert [leg.times_hung_up for leg in scene.exchange.calls] == [1, 1]
        assert not agent.ask()

    run(play)


def test_a_transfer_to_what_cannot_be_called_is_refused_and_changes_nothing() -> None:
    async def play() -> None:
        scene = Scene(dial())
        scene.exchange.unreachable = {"sip:expert@pbx.example.com"}
        scene.start()
        scene.exchange.answer(0)
        with pytest.raises(CallError):
            Referrer(scene).ask()
        assert scene.is_bridged(0)
        scene.exchange.end(0, "remote_bye")
        assert scene.status == "completed"

    run(play)


# -- beside ----------------------------------------------------------------------------------------------------------


def test_a_dial_is_to_somebody_into_a_room_or_to_a_queue() -> None:
    async def play() -> None:
        assert isinstance(Scene(dial()).verb, CalleesVerb)
        assert isinstance(Scene(Dial(conference=Conference(name="sales"))).verb, ConferenceVerb)
        assert isinstance(Scene(Dial(queue=DialQueue(name="sales"))).verb, TakeVerb)

    run(play)


def test_nothing_of_a_dial_is_left_when_its_call_is_forgotten() -> None:
    async def play() -> None:
        scene = Scene(dial(SCREENED))
        scene.web.pages["https://app.example.com/whisper"] = HEARD
        scene.start()
        scene.exchange.answer(0)
        await hear(scene)
        assert scene.is_bridged()
        scene.hang_up()
        await scene.leg().program.done()
        await settle()
        left: list[weakref.ref[Any]] = [weakref.ref(one) for one in (scene.verb, scene.leg(), scene.leg().program)]
        gc.disable()
        try:
            scene.exchange.calls.clear()
            scene.call.bridged_with = None
            del scene.verb, scene.call
            await settle()
            assert [found() for found in left] == [None, None, None]
        finally:
            gc.enable()

    run(play)
