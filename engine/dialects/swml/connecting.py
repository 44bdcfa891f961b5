"""Whom ``connect`` calls, and how (`dialects.md` §3.6). Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.dialects.signalwire.devices import Device, Devices
from engine.dialects.spoken import Spoken
from engine.dialects.swml.errors import ScriptError, SwmlError
from engine.dialects.swml.methods import Branch, Connect, Switch
from engine.dialects.swml.parameters import Parameters, wrong_type
from engine.dialects.swml.playing import spoken_of

__all__ = ("CALL_EVENTS", "DEVICE_FORMS", "MAX_DEVICES", "connect_of", "header_name")

MAX_DEVICES = 20
"Of one connect, however they are grouped."
CALL_EVENTS = ("created", "ringing", "answered", "ended")
DEVICE_FORMS = ("to", "serial", "parallel", "serial_parallel")
MAX_DURATION_S = 86_400
_MAX_HEADERS = 50
_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
_COMMON = frozenset(
    {
        *("from", "headers", "codecs", "webrtc_media", "session_timeout", "ringback", "result", "timeout"),
        *("max_duration", "answer_on_bridge", "confirm", "confirm_timeout", "username", "password", "encryption"),
        *("call_state_url", "transfer_after_bridge", "call_state_events"),
    }
)
_Confirm = Callable[[Any, str], object]


def connect_of(
    argument: object, where: str, *, result: Switch | tuple[Branch, ...] | None, confirm: _Confirm, pending: bool
) -> Connect:
    """Return what ``connect`` asks for; ``confirm`` checks one, and returns it as it is kept. Raises `SwmlError`."""
    parameters = Parameters(argument, where, _COMMON.union(DEVICE_FORMS), pending=pending)
    given = [form for form in DEVICE_FORMS if form in parameters]
    if not given:
        raise SwmlError(ScriptError.METHOD_PARAMETER_MISSING, where, f"one of {', '.join(DEVICE_FORMS)} is missing")
    if len(given) > 1:
        raise SwmlError(ScriptError.METHOD_PARAMETER_CONFLICT, where, f"only one of {', '.join(given)} can be given")
    return Connect(
        devices=_devices(parameters, given[0], confirm),
        ringback=_ringback(parameters),
        max_duration_s=float(parameters.whole("max_duration", 14400, 1, MAX_DURATION_S)),
        answer_on_bridge=parameters.flag("answer_on_bridge", False),
        call_state_url=parameters.url("call_state_url"),
        call_state_events=_events(parameters),
        transfer_after_bridge=parameters.text("transfer_after_bridge").strip(),
        result=result,
    )


def _devices(parameters: Parameters, form: str, confirm: _Confirm) -> Devices:
    where = parameters.where
    common = _device(parameters, None, confirm)
    if form == "to":
        return ((common,),)
    if parameters.is_pending(form):
        return ()
    groups = parameters.items(form, at_most=MAX_DEVICES)
    places: list[list[tuple[object, str]]] = []
    match form:
        case "serial":
            places = [[(item, f"{where}.{form}[{i}]")] for i, item in enumerate(groups)]
        case "parallel":
            places = [[(item, f"{where}.{form}[{i}]") for i, item in enumerate(groups)]]
        case _:
            for i, group in enumerate(groups):
                if not isinstance(group, list):
                    raise wrong_type(f"{where}.{form}[{i}]", "a list")
                places.append([(item, f"{where}.{form}[{i}][{j}]") for j, item in enumerate(group)])
    if sum(map(len, places)) > MAX_DEVICES:
        raise parameters.invalid(form, f"at most {MAX_DEVICES} devices in all")
    devices = []
    for group in places:
        if not group:
            raise parameters.invalid(form, "a device in each list")
        devices.append(
            tuple(
                _device(Parameters(item, at, _COMMON | {"to"}, pending=parameters.pending), common, confirm)
                for item, at in group
            )
        )
    if not devices:
        raise parameters.invalid(form, "a device")
    return tuple(devices)


def _device(parameters: Parameters, common: Device | None, confirm: _Confirm) -> Device:
    """Return a device; what it does not say is as ``common``, which stands beside the list of devices."""
    base = common or Device(to="")
    if common is not None or "to" in parameters:
        to = parameters.filled("to", max_chars=512)
        if not to.isprintable():
            raise parameters.invalid("to", "one line of printable characters")
    else:
        to = ""
    if parameters.flag("webrtc_media", False):
        raise parameters.refused("webrtc_media", "devices are called by SIP; leave it out")
    if parameters.choice("encryption", "optional", ("mandatory", "optional", "forbidden")) == "mandatory":
        raise parameters.refused("encryption", "the engine's own setting decides on SRTP; leave it out")
    parameters.whole("session_timeout", 0, 0, MAX_DURATION_S)
    asked = parameters.raw("confirm")
    if asked is not None and not parameters.is_pending("confirm"):
        asked = confirm(asked, parameters.at("confirm"))
    return Device(
        to=to,
        from_=parameters.line("from") or base.from_,
        timeout_s=float(parameters.whole("timeout", round(base.timeout_s), 1, 3600)),
        max_duration_s=float(parameters.whole("max_duration", round(base.max_duration_s), 1, MAX_DURATION_S)),
        headers=_headers(parameters) if "headers" in parameters else base.headers,
        codecs=parameters.line("codecs") or base.codecs,
        username=parameters.line("username") or base.username,
        password=parameters.line("password") or base.password,
        confirm=base.confirm if asked is None else asked,
        confirm_timeout_s=float(parameters.whole("confirm_timeout", round(base.confirm_timeout_s), 1, 3600)),
    )


def _headers(parameters: Parameters) -> tuple[tuple[str, str], ...]:
    headers = []
    for index, header in enumerate(parameters.items("headers", at_most=_MAX_HEADERS)):
        at = f"{parameters.at('headers')}[{index}]"
        pair = Parameters(header, at, ("name", "value"), pending=parameters.pending)
        pair.required("value")
        headers.append((header_name(pair), pair.line("value", max_chars=1024)))
    return tuple(headers)


def header_name(pair: Parameters) -> str:
    """Return a header's name; raises `SwmlError` when it is no token (RFC 3261 §25.1)."""
    name = pair.filled("name", max_chars=128)
    if not _TOKEN.issuperset(name):
        raise pair.invalid("name", "the name of a header")
    return name


def _events(parameters: Parameters) -> tuple[str, ...]:
    if "call_state_events" not in parameters or parameters.is_pending("call_state_events"):
        return ("ended",)
    events = parameters.items("call_state_events", at_most=2 * len(CALL_EVENTS))
    known = Parameters(
        {str(i): event for i, event in enumerate(events)},
        parameters.at("call_state_events"),
        [str(i) for i in range(len(events))],
        pending=parameters.pending,
    )
    chosen = [known.choice(str(i), "ended", CALL_EVENTS) for i in range(len(events))]
    return tuple(dict.fromkeys(chosen))


def _ringback(parameters: Parameters) -> tuple[Spoken, ...]:
    """Return what the caller hears meanwhile: of a list of URLs, or of an object as of ``play``."""
    value = parameters.raw("ringback")
    if value is None or parameters.is_pending("ringback"):
        return ()
    if isinstance(value, list):
        value = {"urls": value}
    inner = Parameters(
        value,
        parameters.at("ringback"),
        ("url", "urls", "volume", "auto_answer", "say_voice", "say_language", "say_gender", "status_url", "loop"),
        pending=parameters.pending,
    )
    inner.number("volume", 0.0, -40.0, 40.0)
    inner.flag("auto_answer", True)
    inner.url("status_url")
    inner.whole("loop", 1, 0, 1000)
    return spoken_of(inner, required=False)
