"""Fuzz commands of RELAY clients: any JSON is a method and its parameters; none is a fault of ours.

Runs by ``tests/fuzz/drive.py`` or under atheris; ``one_input(data)`` is one case, and the property tests call it too.
What must hold: whatever cannot be meant is a `RequestRefused` with one of its codes, whose text holds no value of the
request; what is meant is in its limits, and shows neither keys nor whom is called.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # run as a file, the repository is not on the path
    sys.path.insert(0, str(Path(__file__).parents[2]))

from engine.dialects.relay.reading import BAD, GONE, UNSUPPORTED
from engine.dialects.relay.requests import (
    Collect,
    Command,
    Connect,
    Control,
    Dial,
    Play,
    RecordAudio,
    RequestRefused,
    SendDigits,
    read_command,
)
from engine.dialects.spoken import Say

__all__ = ("METHODS", "SEEDS", "one_input", "one_request")

METHODS = (
    *("answer", "end", "pass", "play", "play_and_collect", "collect", "record", "send_digits", "detect", "connect"),
    *("disconnect", "transfer", "hold", "unhold", "refer", "pay", "user_event", "dial", "play.stop", "play.pause"),
    *("play.resume", "play.volume", "play_and_collect.stop", "play_and_collect.volume", "collect.stop"),
    *("collect.start_input_timers", "record.stop", "record.pause", "record.resume", "detect.stop", "pay.stop", "ai"),
)
_TTS = {"type": "tts", "params": {"text": "Hello."}}
_PHONE = {"type": "phone", "params": {"to_number": "+15550100777", "from_number": "+15550100001", "timeout": 30}}
_SIP = {"type": "sip", "params": {"to": "sip:a@b", "headers": [{"name": "X-A", "value": "1"}], "codecs": ["PCMU"]}}
SEEDS = tuple(
    json.dumps(seed).encode()
    for seed in (
        ["play", {"control_id": "a", "play": [_TTS, {"type": "silence", "duration": 1}], "volume": "3", "loop": 0}],
        ["play", {"control_id": "a", "play": [{"type": "audio", "params": {"url": "https://a/b.wav"}}]}],
        ["play_and_collect", {"control_id": "a", "play": [_TTS], "collect": {"digits": {"max": 4}}}],
        ["collect", {"control_id": "a", "digits": {"max": 4, "terminators": "#"}, "partial_results": "true"}],
        ["record", {"control_id": "a", "record": {"audio": {"beep": True, "format": "mp3", "direction": "both"}}}],
        ["send_digits", {"control_id": "a", "digits": "12w#"}],
        ["detect", {"control_id": "a", "detect": {"type": "digit", "params": {"digits": "12"}}, "timeout": 5}],
        ["connect", {"devices": [[_PHONE, _SIP], [_PHONE]], "ringback": [{"type": "ringtone", "name": "us"}]}],
        ["dial", {"tag": "t", "devices": [[_SIP]], "max_duration": 5}],
        ["transfer", {"dest": "https://a.example/b"}],
        ["refer", {"device": _SIP}],
        ["pay", {"control_id": "a", "payment_connector_url": "https://a"}],
        ["play.volume", {"control_id": "a", "volume": -4.5}],
        ["record.pause", {"control_id": "a", "behavior": "skip"}],
        ["end", {"reason": "busy"}],
    )
)


def one_input(data: bytes) -> None:
    """Take octets as JSON: a list of a method and its parameters."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return
    match value:
        case [str() as method, dict() as params]:
            one_request(method, params)
        case dict() as params:
            for method in METHODS:
                one_request(method, params)


def one_request(method: str, params: Mapping[str, Any]) -> None:
    """Read one request."""
    try:
        command = read_command(f"calling.{method}", params)
    except RequestRefused as error:
        _check_refusal(error)
        return
    _check(command)


def _check_refusal(error: RequestRefused) -> None:
    assert error.code in (BAD, GONE, UNSUPPORTED)
    assert len(str(error)) < 400


def _check(command: Command) -> None:
    match command:
        case Play() | Collect():
            assert len(command.items) <= 100
            assert all(len(item.text) <= 16_384 for item in command.items if isinstance(item, Say))
            assert -40.0 <= command.volume_db <= 40.0
        case SendDigits():
            assert 0 < len(command.digits) <= 1000
            assert set(command.digits) <= set("0123456789*#ABCDW")
            assert command.digits not in repr(command).replace(f"control_id={command.control_id!r}", "")
        case RecordAudio():
            assert math.isfinite(command.settings.initial_timeout_s)
        case Connect() | Dial():
            devices = [device for group in command.devices for device in group]
            assert 0 < len(devices) <= 32
            assert all(1.0 <= device.timeout_s <= 280.0 for device in devices)
            said = "".join(f"{device.to}{device.from_}{device.headers!r}" for device in devices)
            assert not any(character in said for character in "\r\n\0"), "a line break would be a header"
        case Control():
            assert -40.0 <= command.volume_db <= 40.0
    if isinstance(command, Collect):
        rules = command.rules
        assert 1 <= rules.max_digits <= 1000
        assert rules.digit_timeout_s > 0.0
        assert rules.initial_timeout_s > 0.0


if __name__ == "__main__":
    import atheris  # type: ignore[import-untyped,unused-ignore]

    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
