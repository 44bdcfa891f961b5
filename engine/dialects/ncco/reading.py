"""The text of an NCCO, to its actions (`dialects.md` §6.1, §6.3). Pure.

Laws: whatever the bytes are, the outcome is an NCCO or an `NccoError`, which names the place and repeats no value; time
and memory are bounded by the length of the text, which is looked at first. Members that are not known are passed over,
actions that are not known are refused; of a key that stands twice the last one counts.

Numbers with a fraction stay decimals in the members of ``pay``: no binary floating point comes near an amount (§1.10).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Literal

from engine.dialects.ncco.actions import (
    Connect,
    Conversation,
    EventTarget,
    Input,
    Ncco,
    NccoAction,
    Notify,
    Pay,
    Record,
    Stream,
    Talk,
    Wait,
)
from engine.dialects.ncco.endpoints import endpoint_of
from engine.dialects.ncco.errors import NccoError
from engine.dialects.ncco.members import Members
from engine.dialects.ncco.pay import check_pay
from engine.dialects.ncco.voices import language_of

__all__ = ("MAX_ACTIONS", "MAX_DEPTH", "MAX_NODES", "MAX_TALK_CHARS", "actions_of", "read_ncco")

MAX_ACTIONS = 200
"Of an NCCO."
MAX_DEPTH = 32
"Lists and objects within each other."
MAX_NODES = 20_000
"Values of an NCCO, however they are nested."
MAX_TALK_CHARS = 1500
"Of what is spoken, markup not counted."
_MAX_MARKUP_CHARS = 8192
_MAX_FIGURES = 40
_MAX_WHOLE = 10**_MAX_FIGURES
_MAX_LOOP = 1000
_MAX_LEGS = 100
_LONGEST_S = 7200.0
_NO_VALUE = "a value is no text, and no number that can be taken"
_MARKUP = re.compile(r"<[^<>]*>")
_CALLER = re.compile(r"\+?[0-9*#]{1,32}|sips?:[\x21-\x7e]+", re.IGNORECASE)


def read_ncco(body: bytes, *, max_bytes: int) -> Ncco:
    """Return what a text says: JSON, UTF-8. Raises `NccoError`."""
    return actions_of(_json(body, max_bytes))


def actions_of(value: object) -> Ncco:
    """Return the actions of an NCCO that is JSON data already. Raises `NccoError`."""
    if not isinstance(value, list):
        raise NccoError("", "a list of actions is wanted")
    if len(value) > MAX_ACTIONS:
        raise NccoError("", f"at most {MAX_ACTIONS} actions are taken; fetch the rest by an eventUrl")
    _check(value)
    return tuple(_action(action, f"[{index}]") for index, action in enumerate(value))


# -- JSON


def _json(body: bytes, max_bytes: int) -> object:
    if len(body) > max_bytes:
        raise NccoError("", f"the NCCO is longer than {max_bytes} octets")
    try:
        value: object = json.loads(body.decode("utf-8-sig"), parse_float=Decimal, parse_constant=_no_constant)
    except UnicodeDecodeError:
        raise NccoError("", "the NCCO is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise NccoError(f"line {error.lineno}, column {error.colno}", f"the NCCO is no JSON: {error.msg}") from None
    except (ValueError, ArithmeticError):  # more figures than an int is made of, an exponent of twenty figures
        raise NccoError("", _NO_VALUE) from None
    except RecursionError:
        raise _too_deep() from None
    return value


def _no_constant(name: str) -> None:
    raise NccoError("", "NaN and Infinity are not taken")


def _too_deep() -> NccoError:
    return NccoError("", f"lists and objects are nested deeper than {MAX_DEPTH}")


def _check(value: object) -> None:
    """Refuse what is nested too deep, has too many values, is no data of JSON, or has half characters."""
    level, n_values = [value], 0
    for _ in range(MAX_DEPTH + 1):
        n_values += len(level)
        if n_values > MAX_NODES:
            raise NccoError("", f"the NCCO has more than {MAX_NODES} values")
        below: list[object] = []
        for item in level:
            match item:
                case dict():
                    below += [*item.keys(), *item.values()]
                case list():
                    below += item
                case _:
                    _check_scalar(item)
        if not below:
            return
        level = below
    raise _too_deep()


def _check_scalar(item: object) -> None:
    match item:
        case None | bool():
            return
        case str():
            usable = item.isascii() or _is_text(item)
        case int():
            usable = abs(item) < _MAX_WHOLE
        case float() | Decimal():
            # One so small that it is nothing, or too large, is no number that anybody meant.
            usable = math.isfinite(number := float(item)) and bool(number) == bool(item)
            if isinstance(item, Decimal):
                usable = usable and len(item.as_tuple().digits) <= _MAX_FIGURES
        case _:
            usable = False
    if not usable:
        raise NccoError("", _NO_VALUE)


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return True


def _plain(value: Any) -> Any:
    """Return data without decimals; their depth is bounded."""
    match value:
        case dict():
            return {key: _plain(item) for key, item in value.items()}
        case list():
            return [_plain(item) for item in value]
        case Decimal():
            return float(value)
        case _:
            return value


# -- actions


def _action(value: object, where: str) -> NccoAction:
    if not isinstance(value, Mapping):
        raise NccoError(where, "an object is wanted")
    name = value.get("action")
    if name == "pay":
        return _pay(value, where)
    members = Members(_plain(value), where)
    if name == "transfer":
        members.refuse("action", "conversations are not merged here; meet in one by conversation")
    read = _ACTIONS.get(name) if isinstance(name, str) else None
    if read is None:
        members.refuse("action", f"{', '.join(_ACTIONS)} or pay is wanted")
    return read(members)


def _talk(members: Members) -> Talk:
    text = members.text("text", None, _MAX_MARKUP_CHARS, lines=True)
    if len(_MARKUP.sub("", text)) > MAX_TALK_CHARS:
        members.refuse("text", f"at most {MAX_TALK_CHARS} characters are spoken; talk twice")
    voice = members.text("voiceName", "", 64)
    return Talk(
        text=text,
        language=members.text("language", "", 35).strip() or language_of(voice) or "en-US",
        style=members.whole("style", 0, 0, 1000),
        loop=_loop(members),
        level=members.number("level", 0.0, -1.0, 1.0),
        barge_in=members.flag("bargeIn", default=False),
    )


def _loop(members: Members) -> int:
    return min(members.whole("loop", 1, 0, 10**9), _MAX_LOOP)


def _stream(members: Members) -> Stream:
    return Stream(
        url=members.url("streamUrl", required=True),
        loop=_loop(members),
        level=members.number("level", 0.0, -1.0, 1.0),
        barge_in=members.flag("bargeIn", default=False),
    )


def _input(members: Members) -> Input:
    types = members.texts("type", 2, 16)
    if types is None:
        # Without one it is the old form, whose settings stand beside the action, or says by them what it wants.
        types = tuple(name for name in ("dtmf", "speech") if members.has(name)) or ("dtmf",)
        keys = members.within("dtmf") if members.has("dtmf") else members
    else:
        keys = members.within_any("dtmf")
    if any(name not in ("dtmf", "speech") for name in types):
        members.refuse("type", "dtmf is wanted")
    if "dtmf" not in types:
        members.refuse("type", "speech is not recognised here; ask for dtmf, alone or beside it")
    return Input(
        timeout_s=keys.number("timeOut", 3.0, 0.0, 10.0),
        max_digits=keys.whole("maxDigits", 4, 1, 20),
        submit_on_hash=keys.flag("submitOnHash", default=False),
        wants_speech="speech" in types,
        is_old=keys is members,
        event=members.event(),
    )


def _record(members: Members) -> Record:
    wants_split = members.has("split") and members.choice("split", "", ("conversation", "")) != ""
    split = wants_split or members.has("channels")  # channels without a split mean one, as the vendor's library says
    channels = members.whole("channels", 2 if split else 1, 1, 32)
    key = members.keys("endOnKey", "", "0123456789*#", 1)
    silence_s = members.number("endOnSilence", 0.0, 0.0, 10.0)
    timeout_s = members.number("timeOut", 0.0, 0.0, _LONGEST_S)
    for name, seconds in (("endOnSilence", silence_s), ("timeOut", timeout_s)):
        if 0 < seconds < 3:
            members.refuse(name, "3 seconds at least are wanted")
    formats: dict[str, Literal["mp3", "wav", "ogg"]] = {"mp3": "mp3", "wav": "wav", "ogg": "ogg"}
    return Record(
        format=formats[members.choice("format", "mp3", tuple(formats))],
        split=split and channels > 1,
        channels=channels,
        end_on_silence_s=silence_s,
        end_on_key=key,
        timeout_s=timeout_s,
        beep_start=members.flag("beepStart", default=False),
        event=members.event(),
    )


def _conversation(members: Members) -> Conversation:
    return Conversation(
        name=members.figures("name", None, 255),
        music_on_hold=members.url("musicOnHoldUrl"),
        start_on_enter=members.flag("startOnEnter", default=True),
        end_on_exit=members.flag("endOnExit", default=False),
        record=members.flag("record", default=False),
        mute=members.flag("mute", default=False),
        can_speak=members.texts("canSpeak", _MAX_LEGS, 64),
        can_hear=members.texts("canHear", _MAX_LEGS, 64),
        event=members.event(),
    )


def _connect(members: Members) -> Connect:
    endpoint = endpoint_of(*members.one_of("endpoint"))
    caller = members.figures("from", "", 256)
    if caller and not _CALLER.fullmatch(caller):
        members.refuse("from", "a number is wanted")
    if members.flag("randomFromNumber", default=False) and caller:
        members.refuse("randomFromNumber", "either from or randomFromNumber is taken")
    return Connect(
        endpoint=endpoint,
        caller=caller,
        timeout_s=members.number("timeout", 60.0, 1.0, _LONGEST_S),
        limit_s=members.number("limit", _LONGEST_S, 1.0, _LONGEST_S),
        synchronous=members.has("eventType") and bool(members.choice("eventType", "", ("synchronous", ""))),
        ringback_url=members.url("ringbackTone"),
        event=members.event(),
    )


def _notify(members: Members) -> Notify:
    payload = members.value("payload")
    if not isinstance(payload, Mapping):
        members.refuse("payload", "an object is wanted" if payload is not None else "is missing")
    event = members.event(required=True)
    assert event is not None  # it was required
    return Notify(payload=payload, event=event)


def _wait(members: Members) -> Wait:
    seconds = members.number("timeout", 10.0, -1e9, 1e9)
    return Wait(timeout_s=min(max(seconds, 0.1), _LONGEST_S))


def _pay(value: Mapping[str, Any], where: str) -> Pay:
    properties = {name: item for name, item in value.items() if name not in ("action", "eventUrl", "eventMethod")}
    check_pay(properties, where)
    url = Members(value, where).url("eventUrl")
    return Pay(properties=properties, event=EventTarget(url=url) if url else None)


_ACTIONS: dict[str, Callable[[Members], NccoAction]] = {
    "talk": _talk,
    "stream": _stream,
    "input": _input,
    "record": _record,
    "conversation": _conversation,
    "connect": _connect,
    "notify": _notify,
    "wait": _wait,
}
