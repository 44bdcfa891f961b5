"""NCCOs: what is taken, in which forms, and what is refused with which words."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from vonage_voice.models import ncco as builder

from engine.dialects.ncco.actions import (
    Connect,
    Conversation,
    Endpoint,
    EventTarget,
    Input,
    NccoAction,
    Notify,
    Pay,
    Record,
    Stream,
    Talk,
    Wait,
)
from engine.dialects.ncco.errors import NccoError
from engine.dialects.ncco.reading import MAX_ACTIONS, MAX_DEPTH, MAX_TALK_CHARS, actions_of, read_ncco

PLANTED = "4111111111111111"
PHONE = {"type": "phone", "number": "15551234567"}


def read(value: object) -> tuple[NccoAction, ...]:
    return read_ncco(json.dumps(value).encode(), max_bytes=65_536)


def one(**action: Any) -> NccoAction:
    (only,) = read([action])
    return only


def refusal(value: object) -> NccoError:
    with pytest.raises(NccoError) as caught:
        read(value)
    return caught.value


# -- talk and stream


def test_a_talk_has_the_vendors_defaults() -> None:
    assert one(action="talk", text="Hello") == Talk(
        text="Hello", language="en-US", style=0, loop=1, level=0.0, barge_in=False
    )


def test_a_talk_says_how_it_is_spoken() -> None:
    spoken = one(action="talk", text="Hallo", language="de-DE", style=2, loop=0, level=-0.5, bargeIn=True, premium=True)
    assert spoken == Talk(text="Hallo", language="de-DE", style=2, loop=0, level=-0.5, barge_in=True)


def test_numbers_and_booleans_may_come_as_text() -> None:
    spoken = one(action="talk", text="Hi", loop="2", level="0.5", style="1", bargeIn="True")
    assert spoken == Talk(text="Hi", loop=2, level=0.5, style=1, barge_in=True)


def test_what_is_null_is_as_if_it_were_not_there() -> None:
    assert one(action="talk", text="Hi", loop=None, level=None, bargeIn=None, language=None) == Talk(text="Hi")


@pytest.mark.parametrize(
    ("named", "language"),
    [
        ({"voiceName": "Celine"}, "fr-FR"),
        ({"voiceName": "kimberly"}, "en-US"),
        ({"voiceName": "Nobody"}, "en-US"),
        ({"voiceName": "Celine", "language": "de-DE"}, "de-DE"),
    ],
)
def test_the_name_of_a_voice_says_its_language_where_nothing_else_does(named: dict[str, Any], language: str) -> None:
    assert one(action="talk", text="Hi", **named) == Talk(text="Hi", language=language)


def test_markup_does_not_count_as_spoken() -> None:
    text = f"<speak><prosody rate='slow'>{'a' * MAX_TALK_CHARS}</prosody></speak>"
    assert one(action="talk", text=text) == Talk(text=text)
    assert refusal([{"action": "talk", "text": "a" * (MAX_TALK_CHARS + 1)}]).where == "[0].text"


@pytest.mark.parametrize("url", ["https://app.example.com/a.mp3", ["https://app.example.com/a.mp3"]])
def test_a_url_may_stand_in_a_list(url: object) -> None:
    streamed = one(action="stream", streamUrl=url, level=1, loop=3, bargeIn="false")
    assert streamed == Stream(url="https://app.example.com/a.mp3", level=1.0, loop=3)


def test_a_relative_url_stays_as_it_is_written() -> None:
    streamed = one(action="stream", streamUrl=["../a.mp3"])
    assert isinstance(streamed, Stream)
    assert streamed.url == "../a.mp3"


# -- input


def test_an_input_has_the_vendors_defaults() -> None:
    assert one(action="input", type=["dtmf"]) == Input(timeout_s=3.0, max_digits=4, submit_on_hash=False)


@pytest.mark.parametrize("kind", ["dtmf", ["dtmf"]])
def test_an_input_says_when_an_entry_is_complete(kind: object) -> None:
    entry = one(
        action="input",
        type=kind,
        dtmf={"timeOut": 10, "maxDigits": 20, "submitOnHash": True},
        eventUrl=["https://app.example.com/keys"],
        eventMethod="get",
    )
    assert entry == Input(
        timeout_s=10.0,
        max_digits=20,
        submit_on_hash=True,
        event=EventTarget(url="https://app.example.com/keys", method="GET"),
    )


def test_the_old_form_of_an_input_has_its_settings_beside_the_action() -> None:
    assert one(action="input", timeOut=5, maxDigits="1", submitOnHash="true") == Input(
        timeout_s=5.0, max_digits=1, submit_on_hash=True, is_old=True
    )
    assert one(action="input") == Input(is_old=True)
    assert one(action="input", dtmf={"maxDigits": 1}) == Input(max_digits=1)


def test_beside_keys_speech_may_be_asked_for() -> None:
    entry = one(action="input", type=["speech", "dtmf"], speech={"language": "en-GB"}, dtmf={"maxDigits": 1})
    assert entry == Input(max_digits=1, wants_speech=True)


@pytest.mark.parametrize("entry", [{"type": ["speech"]}, {"type": "speech", "speech": {}}, {"speech": {}}])
def test_speech_alone_is_refused_with_the_remedy(entry: dict[str, Any]) -> None:
    error = refusal([{"action": "input", **entry}])
    assert error.where == "[0].type"
    assert "ask for dtmf" in error.reason


@pytest.mark.parametrize(
    ("dtmf", "where"),
    [
        ({"timeOut": 11}, "[0].dtmf.timeOut"),
        ({"timeOut": -1}, "[0].dtmf.timeOut"),
        ({"maxDigits": 21}, "[0].dtmf.maxDigits"),
        ({"maxDigits": 0}, "[0].dtmf.maxDigits"),
        ({"maxDigits": 1.5}, "[0].dtmf.maxDigits"),
        ({"submitOnHash": "maybe"}, "[0].dtmf.submitOnHash"),
    ],
)
def test_what_an_input_cannot_do_is_refused(dtmf: dict[str, Any], where: str) -> None:
    assert refusal([{"action": "input", "type": ["dtmf"], "dtmf": dtmf}]).where == where


# -- record


def test_a_recording_has_the_vendors_defaults() -> None:
    assert one(action="record") == Record()


def test_a_recording_says_what_ends_it() -> None:
    recorded = one(
        action="record",
        format="wav",
        endOnSilence=3,
        endOnKey="#",
        timeOut=7200,
        beepStart=True,
        eventUrl="https://app.example.com/r",
    )
    assert recorded == Record(
        format="wav",
        end_on_silence_s=3.0,
        end_on_key="#",
        timeout_s=7200.0,
        beep_start=True,
        event=EventTarget(url="https://app.example.com/r"),
    )


@pytest.mark.parametrize(
    ("members", "split", "channels"),
    [
        ({"split": "conversation"}, True, 2),
        ({"channels": 2}, True, 2),
        ({"split": "conversation", "channels": 8}, True, 8),
        ({"split": "conversation", "channels": 1}, False, 1),
        ({"channels": 1}, False, 1),
    ],
)
def test_channels_are_apart_when_there_are_two(members: dict[str, Any], split: bool, channels: int) -> None:
    recorded = one(action="record", **members)
    assert isinstance(recorded, Record)
    assert (recorded.split, recorded.channels) == (split, channels)


@pytest.mark.parametrize(
    "members",
    [
        {"endOnSilence": 2},
        {"endOnSilence": 11},
        {"timeOut": 2},
        {"timeOut": 7201},
        {"endOnKey": "12"},
        {"endOnKey": "A"},
        {"format": "flac"},
        {"split": "both"},
        {"channels": 33},
        {"eventMethod": "DELETE"},
    ],
)
def test_what_a_recording_cannot_be_is_refused(members: dict[str, Any]) -> None:
    assert refusal([{"action": "record", **members}]).where == f"[0].{next(iter(members))}"


# -- conversation, connect


def test_a_conversation_has_the_vendors_defaults() -> None:
    assert one(action="conversation", name="support") == Conversation(
        name="support", start_on_enter=True, end_on_exit=False, record=False, mute=False
    )


def test_a_conversation_says_who_hears_whom() -> None:
    met = one(
        action="conversation",
        name=7,
        musicOnHoldUrl=["https://app.example.com/m.mp3"],
        startOnEnter="false",
        endOnExit=True,
        record=True,
        canSpeak=[],
        canHear=["63f61863-4a51-4f0c-8b21-00a1b2c3d4e5"],
    )
    assert met == Conversation(
        name="7",
        music_on_hold="https://app.example.com/m.mp3",
        start_on_enter=False,
        end_on_exit=True,
        record=True,
        can_speak=(),
        can_hear=("63f61863-4a51-4f0c-8b21-00a1b2c3d4e5",),
    )


@pytest.mark.parametrize("endpoint", [PHONE, [PHONE]])
def test_a_connect_has_the_vendors_defaults(endpoint: object) -> None:
    assert one(action="connect", endpoint=endpoint) == Connect(
        endpoint=Endpoint(type="phone", to="15551234567"), caller="", timeout_s=60.0, limit_s=7200.0, synchronous=False
    )


def test_a_connect_says_how_it_calls() -> None:
    connected = one(
        action="connect",
        endpoint=[PHONE],
        **{"from": "15557654321"},
        timeout="45",
        limit=600,
        eventType="synchronous",
        eventUrl=["/events"],
        ringbackTone=["https://app.example.com/ring.wav"],
        machineDetection="continue",
        advancedMachineDetection={"behavior": "continue"},
    )
    assert connected == Connect(
        endpoint=Endpoint(type="phone", to="15551234567"),
        caller="15557654321",
        timeout_s=45.0,
        limit_s=600.0,
        synchronous=True,
        ringback_url="https://app.example.com/ring.wav",
        event=EventTarget(url="/events"),
    )


def test_a_random_number_is_one_that_is_not_named() -> None:
    connected = one(action="connect", endpoint=[PHONE], randomFromNumber=True)
    assert isinstance(connected, Connect)
    assert connected.caller == ""
    both = {"action": "connect", "endpoint": [PHONE], "randomFromNumber": True, "from": "15557654321"}
    assert refusal([both]).where == "[0].randomFromNumber"


def test_one_endpoint_is_called() -> None:
    error = refusal([{"action": "connect", "endpoint": [PHONE, PHONE]}])
    assert error.where == "[0].endpoint"
    assert refusal([{"action": "connect", "endpoint": []}]).where == "[0].endpoint"
    assert refusal([{"action": "connect"}]).where == "[0].endpoint"


# -- notify, wait, pay


def test_a_notify_tells_its_payload_as_it_is() -> None:
    payload = {"foo": "bar", "n": 1.5, "deep": [{"x": None}]}
    told = one(action="notify", payload=payload, eventUrl=["https://app.example.com/n"], eventMethod="POST")
    assert told == Notify(payload=payload, event=EventTarget(url="https://app.example.com/n"))
    assert isinstance(told, Notify)
    assert json.loads(json.dumps(told.payload)) == payload  # can be written again


@pytest.mark.parametrize("left_out", ["payload", "eventUrl"])
def test_a_notify_needs_a_payload_and_where_it_goes(left_out: str) -> None:
    action = {"action": "notify", "payload": {}, "eventUrl": ["https://app.example.com/n"]}
    del action[left_out]
    error = refusal([action])
    assert (error.where, error.reason) == (f"[0].{left_out}", "is missing")


@pytest.mark.parametrize(
    ("timeout", "seconds"), [(None, 10.0), (5, 5.0), ("0.5", 0.5), (0, 0.1), (-3, 0.1), (9999, 7200.0)]
)
def test_a_wait_is_kept_within_its_range(timeout: object, seconds: float) -> None:
    assert one(action="wait", timeout=timeout) == Wait(timeout_s=seconds)


def test_a_payment_keeps_its_members_and_the_figures_of_its_amount() -> None:
    (paid,) = read_ncco(
        b'[{"action":"pay","amount":9.90,"currency":"gbp","eventUrl":["https://app.example.com/p"],'
        b'"voice":{"language":"en-GB","style":0}}]',
        max_bytes=1000,
    )
    assert isinstance(paid, Pay)
    assert paid.properties == {
        "amount": Decimal("9.90"),
        "currency": "gbp",
        "voice": {"language": "en-GB", "style": 0},
    }
    assert str(paid.properties["amount"]) == "9.90"
    assert paid.event == EventTarget(url="https://app.example.com/p", method="POST")


def test_what_a_payment_cannot_be_is_told_by_its_place() -> None:
    error = refusal([{"action": "talk", "text": "Hi"}, {"action": "pay", "amount": -1}])
    assert error.where.startswith("[1].amount")


# -- whole NCCOs


def test_what_the_vendors_library_builds_is_read() -> None:
    events = ["https://app.example.com/e"]
    built = [
        builder.Talk(text="Hi", bargeIn=True, loop=1, level=0, language="en-US", style=1, premium=True),
        builder.Stream(streamUrl=["https://app.example.com/a.mp3"], level=0.5, bargeIn=False, loop=2),
        builder.Input(
            type=["dtmf", "speech"],
            dtmf=builder.Dtmf(timeOut=5, maxDigits=12, submitOnHash=True),
            speech=builder.Speech(language="en-US"),
            eventUrl=events,
            eventMethod="POST",
        ),
        builder.Record(format="wav", channels=2, endOnSilence=4, endOnKey="*", timeOut=60, eventUrl=events),
        builder.Connect(
            endpoint=[builder.SipEndpoint(uri="sip:a@example.com", headers={"customer": "1"})],
            from_="15557654321",
            eventType="synchronous",
            ringbackTone=["https://app.example.com/r.mp3"],
        ),
        builder.Notify(payload={"a": 1}, eventUrl=events, eventMethod="GET"),
        builder.Wait(timeout=1.5),
        builder.Conversation(name="room", musicOnHoldUrl=["https://app.example.com/m.mp3"], canHear=[]),
    ]
    ncco = read([action.model_dump(mode="json", by_alias=True, exclude_none=True) for action in built])
    assert [type(action).__name__ for action in ncco] == [type(action).__name__ for action in built]
    with_nulls = read([action.model_dump(mode="json", by_alias=True) for action in built])
    assert with_nulls == ncco


def test_an_empty_list_is_an_ncco() -> None:
    assert read([]) == ()


def test_members_that_are_not_known_are_passed_over() -> None:
    assert one(action="talk", text="Hi", tomorrow={"a": [1]}) == Talk(text="Hi")


def test_of_a_key_that_stands_twice_the_last_one_counts() -> None:
    (spoken,) = read_ncco(b'[{"action":"talk","text":"a","text":"b"}]', max_bytes=100)
    assert spoken == Talk(text="b")


def test_a_byte_order_mark_is_passed_over() -> None:
    assert read_ncco(b"\xef\xbb\xbf []", max_bytes=100) == ()


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ({"action": "talk", "text": "Hi"}, ""),
        ("talk", ""),
        (None, ""),
        (["talk"], "[0]"),
        ([{"text": "Hi"}], "[0].action"),
        ([{"action": "dance"}], "[0].action"),
        ([{"action": ["talk"], "text": "Hi"}], "[0].action"),
        ([{"action": "talk"}], "[0].text"),
        ([{"action": "talk", "text": "  "}], "[0].text"),
        ([{"action": "talk", "text": 5}], "[0].text"),
        ([{"action": "talk", "text": "a\u0000"}], "[0].text"),
        ([{"action": "talk", "text": "Hi", "level": 1.1}], "[0].level"),
        ([{"action": "talk", "text": "Hi", "loop": -1}], "[0].loop"),
        ([{"action": "stream"}], "[0].streamUrl"),
        ([{"action": "stream", "streamUrl": ["https://a.example.com/", "https://b.example.com/"]}], "[0].streamUrl"),
        ([{"action": "stream", "streamUrl": ["ftp://a.example.com/x"]}], "[0].streamUrl"),
        ([{"action": "stream", "streamUrl": [5]}], "[0].streamUrl"),
        ([{"action": "conversation"}], "[0].name"),
        ([{"action": "conversation", "name": "a", "canHear": [5]}], "[0].canHear"),
        ([{"action": "connect", "endpoint": [PHONE], "eventType": "asynchronous"}], "[0].eventType"),
        ([{"action": "connect", "endpoint": [PHONE], "from": "a b"}], "[0].from"),
        ([{"action": "input", "type": ["keys"]}], "[0].type"),
        ([{"action": "input", "type": ["dtmf"], "eventUrl": ["javascript:alert(1)"]}], "[0].eventUrl"),
        ([{"action": "talk", "text": "\ud800"}], ""),
    ],
)
def test_what_is_no_ncco_is_refused_with_its_place(value: object, where: str) -> None:
    assert refusal(value).where == where


def test_moving_conversations_is_refused_with_the_remedy() -> None:
    error = refusal([{"action": "transfer", "conversationId": "CON-1"}])
    assert error.where == "[0].action"
    assert "conversation" in error.reason


def test_an_ncco_has_so_many_actions_at_most() -> None:
    assert len(read([{"action": "talk", "text": "Hi"}] * MAX_ACTIONS)) == MAX_ACTIONS
    assert str(MAX_ACTIONS) in refusal([{"action": "talk", "text": "Hi"}] * (MAX_ACTIONS + 1)).reason


def test_the_length_is_looked_at_before_anything_else() -> None:
    with pytest.raises(NccoError, match="longer than 10 octets"):
        read_ncco(b"[[[[[[[[[[[[[", max_bytes=10)


@pytest.mark.parametrize("depth", [MAX_DEPTH, 100_000])
def test_depth_has_a_bound(depth: int) -> None:
    body = b"[" * depth + b"]" * depth
    inner = b'[{"action":"notify","eventUrl":"https://a.example.com/","payload":{"a":' + body + b"}}]"
    with pytest.raises(NccoError, match="nested deeper"):
        read_ncco(inner, max_bytes=1 << 20)


@pytest.mark.parametrize(
    "number", [b"NaN", b"Infinity", b"1e999", b"1e-999", b"1e99999999999999999999", b"9" * 41, b"9" * 5000]
)
def test_numbers_are_finite_and_of_a_reasonable_length(number: bytes) -> None:
    for action in (b'"wait","timeout"', b'"pay","amount"'):
        with pytest.raises(NccoError):
            read_ncco(b'[{"action":' + action + b":" + number + b"}]", max_bytes=10_000)


def test_data_that_no_text_gives_is_refused_too() -> None:
    for value in (float("nan"), float("inf"), 10**400, object(), b"x"):
        with pytest.raises(NccoError):
            actions_of([{"action": "wait", "timeout": value}])


@pytest.mark.parametrize("body", [b"", b"[", b"{}]", b"\xff[]", b'[{"action":"talk" "text"}]', b"<xml/>"])
def test_what_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(NccoError):
        read_ncco(body, max_bytes=100)


@pytest.mark.parametrize(
    "action",
    [
        {"action": PLANTED},
        {"action": "talk", "text": "Hi", "level": PLANTED},
        {"action": "talk", "text": "Hi", "bargeIn": PLANTED},
        {"action": "stream", "streamUrl": f"x-{PLANTED}://a"},
        {"action": "record", "endOnKey": PLANTED},
        {"action": "record", "format": PLANTED},
        {"action": "input", "type": PLANTED},
        {"action": "connect", "endpoint": [{"type": PLANTED}]},
        {"action": "connect", "endpoint": [{"type": "phone", "number": f"{PLANTED}x"}]},
        {"action": "connect", "endpoint": [{"type": "sip", "uri": "sip:a", "headers": {f"{PLANTED}:": ""}}]},
        {"action": "pay", "amount": f"-{PLANTED}"},
    ],
)
def test_no_refusal_repeats_a_value(action: dict[str, Any]) -> None:
    assert PLANTED not in str(refusal([action]))
