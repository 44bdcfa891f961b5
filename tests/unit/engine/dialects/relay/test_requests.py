"""Commands of RELAY clients: what they ask for, what may be left out, and what is refused by the parameter's name."""

from __future__ import annotations

import math
from typing import Any

import pytest

from engine.dialects.relay.requests import (
    Answer,
    Collect,
    Connect,
    Control,
    Detect,
    Dial,
    End,
    Pay,
    Play,
    RecordAudio,
    Refer,
    RequestRefused,
    SendDigits,
    Transfer,
    UserEvent,
    read_command,
)
from engine.dialects.signalwire.devices import Device
from engine.dialects.signalwire.digits import DigitRules
from engine.dialects.spoken import Pause, Ring, Say
from engine.dialects.spoken import Play as File

CALL = {"node_id": "paytone", "call_id": "c"}
HELLO = {"type": "tts", "params": {"text": "Hello."}}


def read(method: str, **params: Any) -> Any:
    return read_command(f"calling.{method}", {**CALL, **params})


def refused(method: str, **params: Any) -> RequestRefused:
    with pytest.raises(RequestRefused) as caught:
        read(method, **params)
    return caught.value


def test_every_kind_of_medium_is_read() -> None:
    media = [
        {"type": "tts", "params": {"text": "Hello.", "language": "pl-PL", "voice": "ann"}},
        {"type": "audio", "params": {"url": "https://a.example/x.wav"}},
        {"type": "silence", "params": {"duration": 1.5}},
        {"type": "ringtone", "params": {"name": "us", "duration": "3"}},
    ]
    command = read("play", control_id="a", play=media, volume="-3.5", loop=2)
    assert command == Play(
        control_id="a",
        items=(
            Say(text="Hello.", language="pl-PL", voice="ann"),
            File(url="https://a.example/x.wav"),
            Pause(length_s=1.5),
            Ring(country="us", length_s=3.0),
        ),
        volume_db=-3.5,
        loop=2,
    )


def test_media_may_be_flat_and_a_gender_is_a_voice() -> None:
    command = read("play", control_id="a", play=[{"type": "tts", "text": "Hello.", "gender": "female"}])
    assert command.items == (Say(text="Hello.", voice="woman"),)


@pytest.mark.parametrize(
    ("params", "name"),
    [
        ({"play": [HELLO]}, "control_id"),
        ({"control_id": "", "play": [HELLO]}, "control_id"),
        ({"control_id": "a\n", "play": [HELLO]}, "control_id"),
        ({"control_id": "a" * 129, "play": [HELLO]}, "control_id"),
        ({"control_id": 7, "play": [HELLO]}, "control_id"),
        ({"control_id": "a"}, "play"),
        ({"control_id": "a", "play": []}, "play"),
        ({"control_id": "a", "play": [HELLO] * 101}, "play"),
        ({"control_id": "a", "play": "Hello."}, "play"),
        ({"control_id": "a", "play": ["Hello."]}, "play[0]"),
        ({"control_id": "a", "play": [HELLO, {"type": "video", "params": {}}]}, "play[1].type"),
        ({"control_id": "a", "play": [{"type": "tts", "params": {}}]}, "play[0].params.text"),
        ({"control_id": "a", "play": [{"type": "tts", "text": "\ud800"}]}, "play[0].text"),
        ({"control_id": "a", "play": [{"type": "audio", "params": {"url": "file:///etc/x"}}]}, "play[0].params.url"),
        ({"control_id": "a", "play": [{"type": "audio", "params": {"url": "http://[::"}}]}, "play[0].params.url"),
        ({"control_id": "a", "play": [{"type": "silence", "duration": -1}]}, "play[0].duration"),
        ({"control_id": "a", "play": [{"type": "silence", "duration": "nan"}]}, "play[0].duration"),
        ({"control_id": "a", "play": [{"type": "silence", "duration": True}]}, "play[0].duration"),
        ({"control_id": "a", "play": [HELLO], "volume": 40.5}, "volume"),
        ({"control_id": "a", "play": [HELLO], "volume": 10**400}, "volume"),
        ({"control_id": "a", "play": [HELLO], "loop": 1.5}, "loop"),
        ({"control_id": "a", "play": [HELLO], "loop": -1}, "loop"),
        ({"control_id": "a", "play": [HELLO], "direction": "speak"}, "direction"),
    ],
)
def test_a_play_that_cannot_be_meant_is_refused_by_its_parameter(params: dict[str, Any], name: str) -> None:
    error = refused("play", **params)
    assert error.code == "422"
    assert str(error).startswith(f"{name}: ")


def test_an_entry_has_the_vendors_rules() -> None:
    command = read("collect", control_id="a", digits={"max": "4", "terminators": "#*", "digit_timeout": 2.5})
    assert command == Collect(
        control_id="a",
        rules=DigitRules(max_digits=4, terminators="#*", digit_timeout_s=2.5, initial_timeout_s=4.0),
    )
    assert read("collect", control_id="a", digits={}).rules.max_digits == 1
    assert read("collect", control_id="a", digits={"terminators": "#"}).rules.max_digits > 100
    assert read("collect", control_id="a", digits={}, initial_timeout=0).rules.initial_timeout_s == math.inf
    assert not read("collect", control_id="a", digits={}, start_input_timers="false").starts_timers
    flags = read("collect", control_id="a", digits={}, partial_results=True, send_start_of_input=True, continuous=True)
    assert (flags.tells_partial, flags.tells_start, flags.is_continuous) == (True, True, True)


def test_an_entry_behind_a_prompt_is_read_from_collect() -> None:
    command = read(
        "play_and_collect",
        control_id="a",
        play=[HELLO],
        collect={"digits": {"max": 3}, "initial_timeout": 10.0, "partial_results": True},
        volume=2,
    )
    assert (command.rules.max_digits, command.rules.initial_timeout_s) == (3, 10.0)
    assert command.items == (Say(text="Hello."),)
    assert (command.volume_db, command.tells_partial) == (2.0, True)


def test_speech_alone_is_not_carried_out_and_beside_keys_it_is_passed_over() -> None:
    assert refused("collect", control_id="a", speech={}).code == "501"
    error = refused("play_and_collect", control_id="a", play=[HELLO], collect={"speech": {}})
    assert str(error).startswith("collect.speech: ")
    assert read("collect", control_id="a", speech={"language": "en"}, digits={"max": 2}).rules.max_digits == 2
    assert str(refused("collect", control_id="a", digits={"max": 0})).startswith("digits.max: ")
    assert str(refused("collect", control_id="a", digits={"terminators": "x"})).startswith("digits.terminators: ")


def test_a_recording_has_the_vendors_defaults() -> None:
    settings = read("record", control_id="a", record={"audio": {}}).settings
    assert (settings.direction, settings.terminators, settings.beep, settings.stereo) == ("speak", "#*", False, False)
    assert (settings.initial_timeout_s, settings.end_silence_timeout_s) == (5.0, 1.0)
    assert read("record", control_id="a") == RecordAudio(control_id="a", settings=settings)
    audio = {"beep": "true", "stereo": True, "direction": "both", "terminators": "", "end_silence_timeout": 0}
    settings = read("record", control_id="a", record={"audio": {**audio, "format": "mp3"}}).settings
    assert (settings.beep, settings.stereo, settings.direction, settings.terminators) == (True, True, "both", "")
    assert settings.format == "mp3"
    assert str(refused("record", control_id="a", record={"audio": {"format": "ogg"}})).startswith("record.audio.format")


def test_keys_are_read_without_being_shown() -> None:
    command = read("send_digits", control_id="a", digits="1w2#a")
    assert command == SendDigits(control_id="a", digits="1W2#A")
    assert "1W2" not in repr(command)
    error = refused("send_digits", control_id="a", digits="4111x")
    assert "4111" not in str(error)
    assert str(refused("send_digits", control_id="a")).startswith("digits: ")


def test_only_keys_are_detected() -> None:
    assert read("detect", control_id="a", detect={"type": "digit"}) == Detect(control_id="a")
    command = read("detect", control_id="a", detect={"type": "digit", "params": {"digits": "12#"}}, timeout=5)
    assert (command.digits, command.timeout_s) == ("12#", 5.0)
    assert refused("detect", control_id="a", detect={"type": "machine"}).code == "501"


def test_devices_are_groups_of_numbers_and_uris() -> None:
    devices = [
        [
            {"type": "phone", "params": {"to_number": "+15550100777", "from_number": "+15550100001", "timeout": 30}},
            {"type": "sip", "params": {"to": "ann@b.example", "headers": [{"name": "X-A", "value": "1"}]}},
        ],
        [{"type": "phone", "to_number": "+15550100778"}],
    ]
    command = read(
        "connect", devices=devices, ringback=[{"type": "ringtone", "params": {"name": "pl"}}], max_duration=2
    )
    assert command == Connect(
        devices=(
            (
                Device(to="+15550100777", from_="+15550100001", timeout_s=30.0),
                Device(to="sip:ann@b.example", headers=(("X-A", "1"),)),
            ),
            (Device(to="+15550100778"),),
        ),
        ringback=(Ring(country="pl"),),
        max_duration_s=120.0,
    )
    dial = read_command("calling.dial", {"tag": "t", "devices": devices, "region": "us"})
    assert isinstance(dial, Dial)
    assert (dial.tag, dial.devices, dial.max_duration_s) == ("t", command.devices, None)


@pytest.mark.parametrize(
    ("devices", "code", "name"),
    [
        (None, "422", "devices"),
        ([], "422", "devices"),
        ([[]], "422", "devices[0]"),
        ([{"type": "phone"}], "422", "devices[0]"),
        ([["+15550100777"]], "422", "devices[0][0]"),
        ([[{"type": "phone", "params": {}}]], "422", "devices[0][0].params.to"),
        ([[{"type": "phone", "params": {"to_number": "1", "timeout": 0}}]], "422", "devices[0][0].params.timeout"),
        ([[{"type": "call", "params": {"to": "1"}}]], "501", "devices[0][0].type"),
        (
            [[{"type": "sip", "to": "a@b", "headers": [{"name": "Via", "value": ""}]}]],
            "422",
            "devices[0][0].headers[0]",
        ),
        ([[{"type": "sip", "to": "a@b"}] * 33], "422", "devices"),
    ],
)
def test_devices_that_cannot_be_called_are_refused_by_their_place(devices: Any, code: str, name: str) -> None:
    error = refused("connect", devices=devices)
    assert error.code == code
    assert str(error).startswith(name)


def test_what_a_call_is_handed_on_to_is_told_by_its_form() -> None:
    assert read("transfer", dest="https://a.example/swml") == Transfer(kind="url", dest="https://a.example/swml")
    assert read("transfer", dest='{"version": "1.0.0"}').kind == "document"
    assert read("transfer", dest="version: 1.0.0\nsections:\n  main: []\n").kind == "document"
    assert read("transfer", dest="shop").kind == "app"
    assert refused("transfer", dest="sip:a@b.example").code == "501"
    assert refused("transfer", dest={"version": "1.0.0"}).code == "422"


def test_who_is_referred_to_is_a_uri_or_a_number() -> None:
    assert read("refer", device={"type": "sip", "params": {"to": "sip:a@b.example"}}) == Refer(to="sip:a@b.example")
    assert read("refer", device={"type": "phone", "params": {"to_number": "+15550100777"}}).to == "tel:+15550100777"
    assert refused("refer").code == "422"
    assert refused("refer", device={"type": "fax", "params": {"to": "1"}}).code == "501"


def test_a_payment_is_passed_on_as_it_came() -> None:
    command = read("pay", control_id="a", payment_connector_url="https://a.example", charge_amount=12.5, new_key=[1])
    properties = {"payment_connector_url": "https://a.example", "charge_amount": 12.5, "new_key": [1]}
    assert command == Pay(control_id="a", properties=properties)
    assert "12.5" not in repr(command)


def test_what_runs_is_controlled_by_its_name() -> None:
    assert read("play.stop", control_id="a") == Control(kind="play", verb="stop", control_id="a")
    assert read("play_and_collect.volume", control_id="a", volume=-4) == Control(
        kind="collect", verb="volume", control_id="a", volume_db=-4.0
    )
    assert read("record.pause", control_id="a", behavior="skip").is_skipped
    assert str(refused("play.volume", control_id="a")).startswith("volume: ")
    assert str(refused("pay.stop")).startswith("control_id: ")


def test_small_commands() -> None:
    assert read("answer") == Answer()
    assert read("answer", max_duration="2").max_duration_s == 120.0
    assert read("end", reason="busy") == End(reason="busy")
    assert read("end", reason="bored") == End()
    assert read("user_event", event="sold", order=7) == UserEvent(event={"event": "sold", "order": 7})


def test_other_methods_are_not_carried_out() -> None:
    assert refused("ai").code == "501"
    assert refused("play.stop.now").code == "501"
