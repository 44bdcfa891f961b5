"""NCCOs on calls: what is done in which order, what waits for what, what replaces what, and what ends it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engine.dialects.ncco.actions import Connect, EventTarget, Input, Pay, Record, Stream, Talk
from engine.dialects.ncco.commands import (
    AnswerCall,
    Begin,
    BeginRecording,
    Command,
    FetchNcco,
    Finished,
    Source,
    Stop,
    TellError,
    Wait,
    Warn,
)
from engine.dialects.ncco.interpreter import MAX_ACTIONS, MAX_IN_A_ROW, MAX_NCCOS, NCCOS_A_SECOND, Interpreter, State

ANSWER = EventTarget(url="https://app.example.com/ncco/answer", method="GET")
FALLBACK = EventTarget(url="https://fallback.example.com/", method="GET")
EVENTS = "https://app.example.com/events"
HI = {"action": "talk", "text": "Hi"}
KEYS = {"action": "input", "type": ["dtmf"], "eventUrl": [EVENTS]}
NOTIFY = {"action": "notify", "payload": {"foo": "bar"}, "eventUrl": ["/n"], "eventMethod": "GET"}
PAY = {"action": "pay", "amount": 9.99}
CONNECT = {"action": "connect", "endpoint": [{"type": "phone", "number": "15551234567"}], "eventUrl": [EVENTS]}
ENTERED = {"digits": "12", "timed_out": False}


def ncco(*done: dict[str, Any]) -> bytes:
    return json.dumps(done).encode()


class Run:
    """A call with its NCCO; time stands still but where a test moves it."""

    def __init__(self, *done: dict[str, Any], is_up: bool = True, source: Source | None = None) -> None:
        self.interpreter = Interpreter(source or Source(text=ncco(*done), fallback=FALLBACK))
        self.now = 100.0
        self.token = 0
        if is_up:
            self.interpreter.answered(self.now)
        self.interpreter.start(self.now)

    def take(self) -> list[Command]:
        """Take the commands that are due, and remember the token of the last one that has one."""
        taken: list[Command] = []
        while (command := self.interpreter.next_command()) is not None:
            taken.append(command)
            self.token = getattr(command, "token", self.token)
        return taken

    def only(self) -> Command:
        (command,) = self.take()
        return command

    def fetch(self) -> FetchNcco:
        command = self.only()
        assert isinstance(command, FetchNcco)
        return command

    def begun(self) -> Begin:
        command = self.only()
        assert isinstance(command, Begin)
        return command

    def heard(self) -> str:
        work = self.begun().work
        assert isinstance(work, Talk)
        return work.text

    def ended(self, **outcome: Any) -> None:
        self.interpreter.ended(self.token, outcome, self.now)

    def fetched(self, body: bytes, url: str = "https://app.example.com/other/page") -> None:
        self.interpreter.fetched(self.token, body, url, self.now)

    def failed(self) -> None:
        self.interpreter.fetch_failed(self.token, "it answers 503", self.now)


# -- the order


def test_actions_are_done_one_after_the_other_and_then_the_call_ends() -> None:
    run = Run(HI, PAY, {"action": "stream", "streamUrl": ["a.wav"]})
    assert run.heard() == "Hi"
    run.ended()
    assert isinstance(run.begun().work, Pay)
    run.ended()
    assert run.begun().work == Stream(url="a.wav")
    run.ended()
    assert run.take() == [Finished(reason="")]
    assert run.interpreter.is_over


def test_a_call_that_rings_is_answered_once_before_the_first_action_is_done() -> None:
    run = Run(HI, HI, is_up=False)
    assert run.take() == [AnswerCall()]
    assert run.interpreter.state is State.ANSWERING
    run.interpreter.answered(run.now)
    run.begun()
    run.ended()
    run.begun()


@pytest.mark.parametrize(
    "action",
    [
        HI,
        KEYS,
        PAY,
        CONNECT,
        {"action": "stream", "streamUrl": "a.wav"},
        {"action": "record"},
        {"action": "wait"},
        {"action": "conversation", "name": "room"},
    ],
)
def test_everything_but_a_notify_answers_the_call(action: dict[str, Any]) -> None:
    run = Run(action, is_up=False)
    assert run.take() == [AnswerCall()]


def test_a_notify_leaves_the_call_ringing() -> None:
    run = Run(NOTIFY, HI, is_up=False)
    assert run.fetch().asking == "notify"
    run.fetched(b"")
    assert run.take() == [AnswerCall()]


def test_an_empty_ncco_is_over_at_once() -> None:
    assert Run(is_up=False).take() == [Finished(reason="")]


def test_a_recording_runs_beside_what_follows() -> None:
    run = Run({"action": "record", "format": "wav"}, HI)
    recording, talk = run.take()
    assert recording == BeginRecording(record=Record(format="wav"))
    assert isinstance(talk, Begin)


def test_a_wait_takes_its_time() -> None:
    run = Run({"action": "wait", "timeout": 5})
    assert run.take() == [Wait(token=1, seconds=5.0)]
    run.ended()
    assert run.take() == [Finished(reason="")]


# -- the first NCCO


def test_the_first_ncco_is_asked_for_while_the_call_rings() -> None:
    run = Run(source=Source(answer=ANSWER, fallback=FALLBACK), is_up=False)
    assert run.take() == [FetchNcco(token=1, asking="answer", target=ANSWER, fallback=FALLBACK)]
    run.fetched(ncco({"action": "stream", "streamUrl": "a.wav"}), "https://app.example.com/moved")
    assert run.take() == [AnswerCall()]
    run.interpreter.answered(run.now)
    assert run.begun().base_url == "https://app.example.com/moved"


def test_a_call_may_be_up_before_the_ncco_is_there() -> None:
    run = Run(source=Source(answer=ANSWER), is_up=False)
    run.take()
    run.interpreter.answered(run.now)
    assert run.take() == []
    run.fetched(ncco(HI))
    assert run.heard() == "Hi"


def test_a_first_ncco_that_cannot_be_had_is_the_end() -> None:
    run = Run(source=Source(answer=ANSWER))
    run.take()
    run.failed()
    assert run.take() == [TellError(reason="The NCCO cannot be had: it answers 503"), Finished(reason="error")]


def test_a_first_ncco_with_an_error_is_the_end_and_nothing_of_it_is_done() -> None:
    run = Run(HI, {"action": "dance"})
    told, finished = run.take()
    assert isinstance(told, TellError)
    assert told.reason.startswith("Syntax error in NCCO. [1].action: ")
    assert finished == Finished(reason="error")


def test_without_any_source_there_is_nothing_to_do() -> None:
    told, finished = Run(source=Source()).take()
    assert isinstance(told, TellError)
    assert finished == Finished(reason="error")


# -- keys


def test_what_was_keyed_goes_to_the_event_url() -> None:
    run = Run(KEYS, HI)
    assert run.begun().work == Input(event=EventTarget(url=EVENTS))
    run.ended(**ENTERED)
    asked = run.fetch()
    assert (asked.asking, asked.target, asked.fallback) == ("input", EventTarget(url=EVENTS), FALLBACK)
    assert asked.members == {"dtmf": {"digits": "12", "timed_out": False}}
    assert "12" not in repr(asked)


def test_who_asked_for_speech_is_told_that_nothing_was_said() -> None:
    run = Run({"action": "input", "type": ["dtmf", "speech"]})
    run.begun()
    run.ended(**ENTERED)
    assert run.fetch().members == {"dtmf": {"digits": "12", "timed_out": False}, "speech": {}}


def test_an_input_of_the_old_form_has_an_event_of_the_old_form() -> None:
    run = Run({"action": "input", "eventUrl": [EVENTS]})
    run.begun()
    run.ended(**ENTERED)
    assert run.fetch().members == {"dtmf": "12", "timed_out": False}


def test_an_input_that_could_not_begin_tells_nothing() -> None:
    run = Run(KEYS, HI)
    run.begun()
    run.ended()
    assert run.heard() == "Hi"


@pytest.mark.parametrize(
    "body", [b"", b"  ", b"{}", b"OK", b"null", b'{"action":"talk","text":"x"}', b"\xff\xfe", b"<a>"]
)
def test_an_answer_that_is_no_list_lets_the_ncco_go_on(body: bytes) -> None:
    run = Run(KEYS, HI)
    run.begun()
    run.ended(**ENTERED)
    run.fetch()
    run.fetched(body)
    assert run.heard() == "Hi"


def test_an_answer_that_is_a_list_takes_the_place_of_what_is_left() -> None:
    run = Run(KEYS, HI)
    run.begun()
    run.ended(**ENTERED)
    run.fetch()
    run.fetched(b"\xef\xbb\xbf\n" + ncco({"action": "talk", "text": "You keyed 12"}), "https://app.example.com/new")
    begun = run.begun()
    assert begun.work == Talk(text="You keyed 12")
    assert begun.base_url == "https://app.example.com/new"
    run.ended()
    assert run.take() == [Finished(reason="")]


def test_an_empty_list_ends_the_call() -> None:
    run = Run(KEYS, HI)
    run.begun()
    run.ended(**ENTERED)
    run.fetch()
    run.fetched(b"[]")
    assert run.take() == [Finished(reason="")]


@pytest.mark.parametrize("body", [b"[", b'[{"action":"dance"}]', b"[1]", b"[" * 50_000])
def test_a_list_that_is_no_ncco_is_told_and_what_is_left_goes_on(body: bytes) -> None:
    run = Run(KEYS, HI)
    run.begun()
    run.ended(**ENTERED)
    run.fetch()
    run.fetched(body)
    told, begun = run.take()
    assert isinstance(told, TellError)
    assert told.reason.startswith("Syntax error in NCCO. ")
    assert isinstance(begun, Begin)


def test_an_event_url_that_gives_no_answer_lets_the_ncco_go_on() -> None:
    run = Run(HI, KEYS, HI)
    run.begun()
    run.ended()
    run.begun()
    run.ended(**ENTERED)
    run.fetch()
    run.failed()
    warned, begun = run.take()
    assert warned == Warn(where="[1]", reason="the event URL gives no answer: it answers 503")
    assert isinstance(begun, Begin)


# -- keys that end what is heard


def test_keys_end_all_that_is_heard_up_to_the_input() -> None:
    barge = {**HI, "bargeIn": True}
    stays = {"action": "stream", "streamUrl": "a.wav", "bargeIn": False}
    run = Run(HI, barge, stays, HI, KEYS, HI)
    assert run.heard() == "Hi"
    run.ended()
    begun = run.begun()
    assert isinstance(begun.work, Input)
    assert begun.heard_first == (Talk(text="Hi", barge_in=True), Stream(url="a.wav"), Talk(text="Hi"))
    run.ended(**ENTERED)
    run.fetch()
    run.fetched(b"")
    assert run.heard() == "Hi"


def test_behind_the_input_what_is_heard_is_heard_to_its_end_again() -> None:
    run = Run({**HI, "bargeIn": True}, KEYS, HI, KEYS)
    run.begun()
    run.ended(**ENTERED)
    run.fetch()
    run.fetched(b"")
    begun = run.begun()
    assert (begun.work, begun.heard_first) == (Talk(text="Hi"), ())


@pytest.mark.parametrize("behind", [[], [PAY], [{"action": "record"}, KEYS]])
def test_without_an_input_behind_it_all_is_heard_to_its_end_and_told_once(behind: list[dict[str, Any]]) -> None:
    barge = {**HI, "bargeIn": True}
    run = Run(HI, barge, barge, *behind)
    run.begun()
    run.ended()
    told, first = run.take()
    assert told == TellError(reason="Syntax error in NCCO. [1].bargeIn: an input has to follow what is heard")
    assert first == Begin(token=2, work=Talk(text="Hi", barge_in=True))
    run.ended()
    assert run.begun() == Begin(token=3, work=Talk(text="Hi", barge_in=True))


def test_a_new_ncco_is_looked_at_anew_for_what_keys_end() -> None:
    barge = {**HI, "bargeIn": True}
    run = Run(barge, barge, {**NOTIFY, "eventUrl": [EVENTS]})
    run.take()
    run.ended()
    run.begun()
    run.ended()
    run.fetch()
    run.fetched(ncco(barge, KEYS))
    assert len(run.begun().heard_first) == 1


# -- notify, connect


def test_a_notify_sends_its_payload_and_nothing_else() -> None:
    run = Run(source=Source(answer=ANSWER))
    run.take()
    run.fetched(ncco(NOTIFY, HI), "https://app.example.com/a/b")
    assert run.take() == [
        FetchNcco(
            token=2,
            asking="notify",
            target=EventTarget(url="/n", method="GET"),
            members={"foo": "bar"},
            base_url="https://app.example.com/a/b",
        )
    ]
    run.fetched(ncco(PAY))
    assert isinstance(run.begun().work, Pay)


@pytest.mark.parametrize("status", ["timeout", "failed", "rejected", "unanswered", "busy"])
def test_the_answer_to_the_event_of_a_synchronous_connect_replaces_what_is_left(status: str) -> None:
    run = Run({**CONNECT, "eventType": "synchronous"}, HI)
    assert isinstance(run.begun().work, Connect)
    run.ended(status=status)
    asked = run.fetch()
    assert (asked.asking, asked.members, asked.target) == ("connect", {"status": status}, EventTarget(url=EVENTS))
    run.fetched(ncco(PAY))
    assert isinstance(run.begun().work, Pay)


@pytest.mark.parametrize(
    ("event_type", "outcome"),
    [({"eventType": "synchronous"}, {"status": ""}), ({"eventType": "synchronous"}, {}), ({}, {"status": "busy"})],
)
def test_otherwise_what_is_behind_a_connect_follows(event_type: dict[str, Any], outcome: dict[str, Any]) -> None:
    run = Run({**CONNECT, **event_type}, HI)
    run.begun()
    run.ended(**outcome)
    assert run.heard() == "Hi"


# -- another NCCO by transfer


@pytest.mark.parametrize("is_up", [True, False])
def test_a_transfer_stops_what_runs_and_begins_the_other_ncco(is_up: bool) -> None:
    run = Run(HI) if is_up else Run(NOTIFY, is_up=False)
    run.take()
    run.interpreter.replace(Source(text=ncco(PAY)), run.now)
    stopped, *rest = run.take()
    assert stopped == Stop(token=1)
    if not is_up:
        assert rest == [AnswerCall()]
        run.interpreter.answered(run.now)
        rest = run.take()
    assert isinstance(rest[0], Begin)
    assert isinstance(rest[0].work, Pay)


def test_a_transfer_while_the_call_is_being_answered_answers_it_once() -> None:
    run = Run(HI, is_up=False)
    assert run.take() == [AnswerCall()]
    run.interpreter.replace(Source(answer=ANSWER, fallback=FALLBACK), run.now)
    asked = run.fetch()
    assert (asked.asking, asked.target, asked.base_url) == ("answer", ANSWER, "")
    run.fetched(ncco(PAY))
    assert run.take() == []
    run.interpreter.answered(run.now)
    assert isinstance(run.begun().work, Pay)


def test_a_transfer_to_what_cannot_be_had_ends_the_call() -> None:
    run = Run(HI)
    run.take()
    run.interpreter.replace(Source(answer=ANSWER), run.now)
    run.take()
    run.failed()
    told, finished = run.take()
    assert isinstance(told, TellError)
    assert finished == Finished(reason="error")


def test_before_the_start_a_transfer_changes_what_is_started() -> None:
    interpreter = Interpreter(Source(text=ncco(HI)))
    interpreter.replace(Source(text=ncco(PAY)), 0.0)
    assert interpreter.next_command() is None
    interpreter.answered(0.0)
    interpreter.start(0.0)
    begun = interpreter.next_command()
    assert isinstance(begun, Begin)
    assert isinstance(begun.work, Pay)


def test_what_was_stopped_changes_nothing_when_it_answers_after_all() -> None:
    run = Run(KEYS, HI)
    run.take()
    run.interpreter.replace(Source(text=ncco(PAY, HI)), run.now)
    run.take()
    run.interpreter.ended(1, ENTERED, run.now)
    assert run.take() == []


# -- the end


def test_when_the_call_ends_what_was_begun_is_left_to_end_by_itself() -> None:
    run = Run(PAY, HI)
    run.take()
    run.interpreter.hang_up(run.now)
    assert run.take() == [Finished(reason="hung-up")]
    run.ended()
    run.interpreter.hang_up(run.now)
    run.interpreter.replace(Source(text=ncco(HI)), run.now)
    run.interpreter.start(run.now)
    run.interpreter.answered(run.now)
    assert run.take() == []


@pytest.mark.parametrize("action", [NOTIFY, {"action": "wait"}])
def test_when_the_call_ends_requests_and_waits_are_given_up(action: dict[str, Any]) -> None:
    run = Run(action)
    run.take()
    run.interpreter.hang_up(run.now)
    assert run.take() == [Stop(token=1), Finished(reason="hung-up")]


def test_a_call_that_ends_while_it_is_answered_is_over() -> None:
    run = Run(HI, is_up=False)
    run.take()
    run.interpreter.hang_up(run.now)
    assert run.take() == [Finished(reason="hung-up")]


# -- bounds


def test_a_notify_that_is_answered_by_itself_ends() -> None:
    run = Run(NOTIFY)
    n_asked = 0
    while isinstance(command := run.take()[-1], FetchNcco):
        n_asked += 1
        assert n_asked <= MAX_IN_A_ROW
        run.fetched(ncco(NOTIFY))
    assert command == Finished(reason="error")
    assert n_asked == MAX_IN_A_ROW


def test_nccos_that_lead_to_each_other_slowly_end_too() -> None:
    run = Run(NOTIFY)
    n_asked = 0
    while isinstance(command := run.take()[-1], FetchNcco):
        n_asked += 1
        assert n_asked <= MAX_NCCOS
        run.now += 1 / NCCOS_A_SECOND
        run.fetched(ncco(NOTIFY))
    assert command == Finished(reason="error")
    assert n_asked == MAX_NCCOS


def test_a_call_has_so_many_actions_at_most() -> None:
    many = [{"action": "record"}] * 199
    run = Run(*many, NOTIFY)
    n_done = 0
    while isinstance(last := (taken := run.take())[-1], FetchNcco):
        n_done += len(taken)
        run.now += 60
        run.fetched(ncco(*many, NOTIFY))
    assert last == Finished(reason="error")
    assert n_done + len(taken) - 2 == MAX_ACTIONS


def test_an_answer_has_a_bound_of_its_own() -> None:
    interpreter = Interpreter(Source(text=ncco(HI)), max_bytes=10)
    interpreter.start(0.0)
    told = interpreter.next_command()
    assert isinstance(told, TellError)
    assert "longer than 10 octets" in told.reason
