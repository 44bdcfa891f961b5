"""What a step asks for once its variables are put in: values of their types, defaults, bounds, errors with paths."""

from __future__ import annotations

import math
from typing import Any

import pytest

from engine.dialects.signalwire.devices import Device
from engine.dialects.signalwire.digits import DigitRules
from engine.dialects.spoken import Pause, Ring, Say
from engine.dialects.spoken import Play as File
from engine.dialects.swml.arguments import METHODS, arguments_of
from engine.dialects.swml.checking import document_of
from engine.dialects.swml.connecting import MAX_DEVICES
from engine.dialects.swml.errors import ScriptError, SwmlError
from engine.dialects.swml.methods import (
    Answer,
    Arguments,
    Branch,
    Connect,
    Execute,
    Goto,
    Hangup,
    Label,
    Pay,
    Play,
    Prompt,
    Record,
    RecordCall,
    Request,
    Return,
    SendDigits,
    Set,
    SipRefer,
    Sleep,
    Step,
    StopRecordCall,
    Switch,
    Transfer,
    Unset,
    UserEvent,
)
from engine.dialects.swml.parameters import MAX_TEXT_CHARS

URL = "https://app.example/x"
WRONG_TYPE = ScriptError.ELEMENT_WRONG_TYPE
MISSING = ScriptError.METHOD_PARAMETER_MISSING
INVALID = ScriptError.METHOD_PARAMETER_INVALID_VALUE


def step_of(method: str, argument: Any) -> Step:
    labels = [{"label": "there"}] if method == "goto" else []
    return document_of({"sections": {"main": [{method: argument}, *labels]}}).sections["main"][0]


def asked(method: str, argument: Any) -> Arguments:
    """Return what a step asks for that has no variables."""
    step = step_of(method, argument)
    return arguments_of(step, step.argument)


def refused(method: str, argument: Any) -> tuple[ScriptError, str]:
    """Return how an argument is refused whose variables held the wrong thing: nothing was wrong as it was written."""
    step = Step(method=method, argument=argument, path=f"sections.main[0].{method}")
    with pytest.raises(SwmlError) as caught:
        arguments_of(step, argument)
    return caught.value.code, caught.value.where.removeprefix("sections.main[0].")


DEFAULTS: list[tuple[str, Any, Arguments]] = [
    ("answer", {}, Answer(max_duration_s=14400.0)),
    ("answer", None, Answer()),
    ("hangup", {}, Hangup(reason="hangup")),
    ("play", {"url": "say:a"}, Play(items=(Say(text="a"),), volume_db=0.0, auto_answer=True)),
    ("prompt", {"play": "say:a"}, Prompt(items=(Say(text="a"),), digits=DigitRules(max_digits=1))),
    ("record", {}, Record()),
    (
        "record_call",
        {},
        RecordCall(record=Record(direction="both", terminators="", initial_timeout_s=0.0, end_silence_timeout_s=0.0)),
    ),
    ("stop_record_call", {}, StopRecordCall()),
    ("send_digits", {"digits": "1"}, SendDigits(digits="1")),
    ("connect", {"to": "+1555"}, Connect(devices=((Device(to="+1555"),),))),
    ("label", "there", Label(name="there")),
    ("goto", {"label": "there"}, Goto(label="there", when="", max=100)),
    ("execute", {"dest": "x"}, Execute(dest="x")),
    ("transfer", {"dest": "x"}, Transfer(dest="x")),
    ("return", None, Return(value=None)),
    ("set", {}, Set(values={})),
    ("unset", "a", Unset(names=("a",))),
    ("sleep", 0, Sleep(seconds=0.0)),
    ("request", {"url": URL, "method": "GET"}, Request(url=URL, method="GET")),
    ("sip_refer", {"to_uri": "sip:a@b"}, SipRefer(to_uri="sip:a@b")),
    ("user_event", {"event": {}}, UserEvent(event={})),
    ("pay", {"payment_connector_url": URL}, Pay(properties={"payment_connector_url": URL})),
    ("cond", [{"else": []}], (Branch(when="", then=(), otherwise=()),)),
    ("switch", {"variable": "a", "case": {}}, Switch(variable="a", cases={}, default=None)),
]


@pytest.mark.parametrize(("method", "argument", "arguments"), DEFAULTS)
def test_what_is_not_given_is_as_the_vendor_has_it(method: str, argument: Any, arguments: Arguments) -> None:
    assert asked(method, argument) == arguments


def test_each_method_is_among_them() -> None:
    assert {method for method, _, _ in DEFAULTS} == METHODS


@pytest.mark.parametrize(
    ("method", "argument", "arguments"),
    [
        ("answer", {"max_duration": 60, "codecs": "PCMU", "username": "a"}, Answer(max_duration_s=60.0)),
        ("hangup", {"reason": "busy"}, Hangup(reason="busy")),
        (
            "play",
            {
                "urls": ["say: a", "silence:1", "ring:2:pl", URL],
                "volume": -6.5,
                "auto_answer": False,
                "status_url": URL,
            },
            Play(
                items=(Say(text="a"), Pause(length_s=1.0), Ring(country="pl", length_s=2.0), File(url=URL)),
                volume_db=-6.5,
                auto_answer=False,
                status_url=URL,
            ),
        ),
        (
            "play",
            {"url": "say:a", "say_voice": "gcloud.x", "say_language": "pl-PL", "say_gender": "male"},
            Play(items=(Say(text="a", voice="gcloud.x", language="pl-PL"),)),
        ),
        (
            "prompt",
            {
                "play": ["say:a", "silence:1"],
                "max_digits": 4,
                "terminators": "#*#",
                "digit_timeout": 2.5,
                "initial_timeout": 9,
                "speech_language": "en-US",
                "speech_hints": ["yes"],
                "volume": 3,
                "say_gender": "female",
            },
            Prompt(
                items=(Say(text="a", voice="woman"), Pause(length_s=1.0)),
                digits=DigitRules(max_digits=4, terminators="#*", digit_timeout_s=2.5, initial_timeout_s=9.0),
                volume_db=3.0,
                wants_speech=True,
            ),
        ),
        (
            "record",
            {"stereo": True, "format": "mp3", "direction": "listen", "terminators": "", "beep": True, "max_length": 9},
            Record(stereo=True, format="mp3", direction="listen", terminators="", beep=True, max_length_s=9.0),
        ),
        (
            "record_call",
            {"control_id": "r1", "input_sensitivity": 30, "initial_timeout": 1.5, "end_silence_timeout": 2},
            RecordCall(
                record=Record(
                    direction="both",
                    terminators="",
                    input_sensitivity=30.0,
                    initial_timeout_s=1.5,
                    end_silence_timeout_s=2.0,
                ),
                control_id="r1",
            ),
        ),
        ("send_digits", {"digits": "1*#ADWw"}, SendDigits(digits="1*#ADWw")),
        ("goto", {"label": "there", "when": "${a} > 1", "max": 3}, Goto(label="there", when="${a} > 1", max=3)),
        (
            "execute",
            {"dest": URL, "params": {"a": [1]}, "meta": {"b": 2}},
            Execute(dest=URL, params={"a": [1]}, meta={"b": 2}),
        ),
        ("transfer", {"dest": URL, "params": {"a": 1}}, Transfer(dest=URL, params={"a": 1})),
        ("return", [1, {"a": None}], Return(value=[1, {"a": None}])),
        ("set", {"a.b": 1, "c": [None]}, Set(values={"a.b": 1, "c": [None]})),
        ("unset", ["a", "b.c"], Unset(names=("a", "b.c"))),
        ("sleep", 1500, Sleep(seconds=1.5)),
        ("sleep", {"duration": 20}, Sleep(seconds=0.02)),
        ("sleep", -1, Sleep(seconds=math.inf)),
        (
            "request",
            {"url": URL, "method": "PUT", "headers": {"X-A": 1, "X-B": True}, "body": {"a": 1}, "timeout": 2.5},
            Request(url=URL, method="PUT", headers=(("X-A", "1"), ("X-B", "true")), body={"a": 1}, timeout_s=2.5),
        ),
        (
            "request",
            {"url": URL, "method": "POST", "body": "a", "save_variables": True},
            Request(url=URL, method="POST", body="a", save_variables=True),
        ),
        ("sip_refer", {"to_uri": "sip:a@b", "status_url": URL}, SipRefer(to_uri="sip:a@b", status_url=URL)),
        ("user_event", {"event": {"a": {"b": 1}}}, UserEvent(event={"a": {"b": 1}})),
    ],
)
def test_what_is_given_is_taken(method: str, argument: Any, arguments: Arguments) -> None:
    assert asked(method, argument) == arguments


@pytest.mark.parametrize(
    ("method", "argument", "other"),
    [
        ("answer", {"max_duration": "60"}, {"max_duration": 60}),
        ("answer", {"max_duration": 60.0}, {"max_duration": 60}),
        ("answer", {"max_duration": ""}, {}),
        ("answer", {"max_duration": None}, {}),
        (
            "play",
            {"url": "say:a", "volume": " -3.5 ", "auto_answer": "False"},
            {"url": "say:a", "volume": -3.5, "auto_answer": False},
        ),
        (
            "prompt",
            {"play": "say:a", "max_digits": "+4", "terminators": 5},
            {"play": "say:a", "max_digits": 4, "terminators": "5"},
        ),
        ("record", {"beep": "true", "stereo": "", "format": "WAV"}, {"beep": True}),
        ("sleep", "250", 250),
        ("sleep", {"duration": "-1"}, -1),
        ("send_digits", {"digits": 123.0}, {"digits": "123"}),
        ("connect", {"to": 15551234, "timeout": "20"}, {"to": "15551234", "timeout": 20}),
        ("label", 7, "7"),
        ("hangup", {"reason": "Busy"}, {"reason": "busy"}),
        ("hangup", {"reason": ""}, {}),
        ("request", {"url": URL, "method": "post", "body": 5}, {"url": URL, "method": "POST", "body": "5"}),
        ("execute", {"dest": "x", "params": None, "on_return": None, "result": None}, {"dest": "x"}),
        ("execute", {"dest": "x", "params": ""}, {"dest": "x"}),
    ],
)
def test_scalars_may_be_of_another_type(method: str, argument: Any, other: Any) -> None:
    assert asked(method, argument) == asked(method, other)


@pytest.mark.parametrize(
    ("method", "argument", "code", "where"),
    [
        ("play", "x", WRONG_TYPE, "play"),
        ("play", {"url": ""}, INVALID, "play.url"),
        ("play", {"url": {"a": 1}}, WRONG_TYPE, "play.url"),
        ("play", {"url": "${left}"}, INVALID, "play.url"),
        ("play", {"url": "say:a", "volume": float("nan")}, INVALID, "play.volume"),
        ("play", {"url": "say:a", "volume": "1e999"}, INVALID, "play.volume"),
        ("play", {"url": "say:a", "volume": "nan"}, WRONG_TYPE, "play.volume"),
        ("play", {"url": "say:a", "status_url": "/x"}, INVALID, "play.status_url"),
        ("play", {"url": "say:a", "say_voice": "a\nb"}, INVALID, "play.say_voice"),
        ("answer", {"max_duration": []}, WRONG_TYPE, "answer.max_duration"),
        ("answer", {"max_duration": True}, WRONG_TYPE, "answer.max_duration"),
        ("answer", {"max_duration": 10**400}, INVALID, "answer.max_duration"),
        ("goto", {"label": ""}, MISSING, "goto"),
        ("goto", {"label": "a", "max": 101}, INVALID, "goto.max"),
        ("sleep", None, MISSING, "sleep"),
        ("sleep", [], WRONG_TYPE, "sleep.duration"),
        ("transfer", {"dest": 10**5000}, INVALID, "transfer.dest"),
        ("transfer", {"dest": math.inf}, WRONG_TYPE, "transfer.dest"),
        ("sleep", 10**12, INVALID, "sleep.duration"),
        ("transfer", {"dest": ""}, MISSING, "transfer"),
        ("transfer", {"dest": "x" * (MAX_TEXT_CHARS + 1)}, INVALID, "transfer.dest"),
        ("send_digits", {"digits": "1" * 1001}, INVALID, "send_digits.digits"),
        ("sip_refer", {"to_uri": "sip:a\r\nX: y"}, INVALID, "sip_refer.to_uri"),
        ("request", {"url": URL, "method": "GET", "body": []}, WRONG_TYPE, "request.body"),
        ("request", {"url": URL, "method": "GET", "headers": {"A B": "c"}}, INVALID, "request.headers.name"),
        ("request", {"url": URL, "method": "GET", "headers": {"A": "b\r\nC: d"}}, INVALID, "request.headers.value"),
        ("request", {"url": URL, "method": "GET", "headers": {"Host": "x"}}, INVALID, "request.headers"),
        ("request", {"url": URL, "method": "GET", "headers": {"content-length": "9"}}, INVALID, "request.headers"),
        ("set", {"": 1}, INVALID, "set"),
        ("set", "a", WRONG_TYPE, "set"),
        ("unset", {"a": 1}, WRONG_TYPE, "unset"),
        ("pay", {"payment_connector_url": None}, MISSING, "pay"),
        ("connect", {"to": ""}, MISSING, "connect"),
        ("connect", {"to": "a\nb"}, INVALID, "connect.to"),
        ("connect", {"serial": []}, INVALID, "connect.serial"),
        ("connect", {"serial": "x"}, WRONG_TYPE, "connect.serial"),
        ("connect", {"parallel": ["+1"]}, WRONG_TYPE, "connect.parallel[0]"),
        ("connect", {"serial_parallel": [{"to": "a"}]}, WRONG_TYPE, "connect.serial_parallel[0]"),
        ("connect", {"serial_parallel": [[{"to": "a"}], []]}, INVALID, "connect.serial_parallel"),
        ("connect", {"parallel": [{"to": "a"}] * (MAX_DEVICES + 1)}, INVALID, "connect.parallel"),
        ("connect", {"serial_parallel": [[{"to": "a"}] * MAX_DEVICES] * 2}, INVALID, "connect.serial_parallel"),
        ("connect", {"to": "a", "call_state_events": ["over"]}, INVALID, "connect.call_state_events.0"),
        ("connect", {"to": "a", "ringback": "say:x"}, WRONG_TYPE, "connect.ringback"),
        ("connect", {"to": "a", "headers": [{"name": "X:", "value": ""}]}, INVALID, "connect.headers[0].name"),
    ],
)
def test_what_variables_brought_is_checked(method: str, argument: Any, code: ScriptError, where: str) -> None:
    assert refused(method, argument) == (code, where)


def test_a_condition_is_as_it_was_written_even_when_variables_were_put_in() -> None:
    document = [
        ("cond", [{"when": "vars.a == '${b}'", "then": [{"hangup": {}}]}, {"else": []}]),
        ("switch", {"variable": "${a}", "case": {"1": []}}),
        ("goto", {"label": "there", "when": "a ${b}"}),
        ("execute", {"dest": "x", "result": [{"when": "${return_value}", "then": []}]}),
        ("connect", {"to": "x", "result": {"variable": "%{a}", "case": {"1": []}}}),
    ]
    steps = [step_of(method, argument) for method, argument in document]
    cond, switch, goto, execute, connect = (
        arguments_of(step, put_in)
        for step, put_in in zip(
            steps,
            (
                [],
                "put in",
                {"label": "there", "when": "put in"},
                {"dest": "x", "result": "put in"},
                {"to": "x", "result": "put in"},
            ),
            strict=True,
        )
    )
    assert isinstance(cond, tuple)
    assert [branch.when for branch in cond] == ["vars.a == '${b}'", ""]
    assert cond[0].then is steps[0].blocks["[0].then"]
    assert isinstance(switch, Switch)
    assert switch == Switch(variable="${a}", cases={"1": ()}, default=None)
    assert isinstance(goto, Goto)
    assert goto.when == "a ${b}"
    assert isinstance(execute, Execute)
    assert execute.result == (Branch(when="${return_value}", then=()),)
    assert isinstance(connect, Connect)
    assert connect.result == Switch(variable="%{a}", cases={"1": ()}, default=None)


def test_a_condition_may_be_a_constant_and_a_case_any_text() -> None:
    assert asked("cond", [{"when": True, "then": []}]) == (Branch(when="true", then=()),)
    cases = asked("switch", {"variable": "a", "case": {"": [], "a.b[0]": [], "default": []}, "default": []})
    assert cases == Switch(variable="a", cases={"": (), "a.b[0]": (), "default": ()}, default=())


# -- connect


def devices_of(argument: dict[str, Any]) -> tuple[tuple[Device, ...], ...]:
    connect = asked("connect", argument)
    assert isinstance(connect, Connect)
    return connect.devices


def test_devices_are_called_in_groups() -> None:
    a, b, c = ({"to": name} for name in "abc")
    assert devices_of({"to": "a"}) == ((Device(to="a"),),)
    assert devices_of({"serial": [a, b]}) == ((Device(to="a"),), (Device(to="b"),))
    assert devices_of({"parallel": [a, b]}) == ((Device(to="a"), Device(to="b")),)
    assert devices_of({"serial_parallel": [[a, b], [c]]}) == ((Device(to="a"), Device(to="b")), (Device(to="c"),))


def test_a_device_says_how_it_is_called_or_what_stands_beside_the_list_does() -> None:
    common = {"from": "+1", "timeout": 20, "max_duration": 60, "headers": [{"name": "X-A", "value": "b"}]}
    own = {"to": "b", "from": "+2", "timeout": "30", "codecs": "PCMU", "username": "u", "password": "p"}
    (first,), (second,) = devices_of({**common, "confirm": "https://a.example/c", "serial": [{"to": "a"}, own]})
    headers = (("X-A", "b"),)
    asks: dict[str, Any] = {"confirm": "https://a.example/c", "headers": headers, "max_duration_s": 60.0}
    assert first == Device(to="a", from_="+1", timeout_s=20.0, **asks)
    assert second == Device(to="b", from_="+2", timeout_s=30.0, codecs="PCMU", username="u", password="p", **asks)


def test_a_confirmation_is_kept_as_written() -> None:
    confirm = [{"play": {"url": "say:${who} calls"}}, {"prompt": {"play": "say:Press 1", "max_digits": 1}}]
    ((device,),) = devices_of({"to": "a", "confirm": confirm, "confirm_timeout": 9})
    assert device.confirm == confirm
    assert device.confirm_timeout_s == 9.0


def test_what_is_heard_and_told_while_it_rings() -> None:
    connect = asked(
        "connect",
        {
            "to": "a",
            "ringback": ["ring:pl", "say:Wait"],
            "answer_on_bridge": True,
            "max_duration": 90,
            "call_state_url": URL,
            "call_state_events": ["ended", "answered", "ended"],
            "timeout": 5,
            "transfer_after_bridge": URL,
        },
    )
    assert connect == Connect(
        devices=((Device(to="a", timeout_s=5.0, max_duration_s=90.0),),),
        ringback=(Ring(country="pl"), Say(text="Wait")),
        max_duration_s=90.0,
        answer_on_bridge=True,
        call_state_url=URL,
        call_state_events=("ended", "answered"),
        transfer_after_bridge=URL,
    )
    with_object = asked("connect", {"to": "a", "ringback": {"url": "say:x", "say_gender": "male", "volume": 2}})
    assert isinstance(with_object, Connect)
    assert with_object.ringback == (Say(text="x", voice="man"),)


def test_secrets_of_a_device_are_in_no_repr() -> None:
    connect = asked("connect", {"to": "sip:secret@b", "username": "u", "password": "secret"})
    assert "secret" not in repr(connect)
