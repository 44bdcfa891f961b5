"""What is to be heard, and whom to call, as RELAY writes it (`dialects.md` §2.4). Pure.

``{"type": "tts", "params": {"text": ...}}`` and the flat ``{"type": "tts", "text": ...}`` are the same (D-23).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from engine.dialects.relay.reading import BAD, UNSUPPORTED, Reader, RequestRefused
from engine.dialects.signalwire.devices import Device, Devices
from engine.dialects.spoken import Pause, Play, Ring, Say, Spoken

__all__ = ("read_devices", "read_items", "refer_target")

MAX_ITEMS = 100
MAX_TEXT = 16_384
MAX_URL = 2048
MAX_PAUSE_S = 3600.0
MAX_DEVICES = 32
"Of all groups together."
MAX_HEADERS = 16
MEDIA = ("tts", "audio", "silence", "ringtone")
DEVICES = ("phone", "sip")
_VOICES = {"female": "woman", "male": "man"}


def read_items(reader: Reader, name: str) -> tuple[Spoken, ...]:
    """Return a list of media; raise `RequestRefused`."""
    return tuple(
        _item(*_typed(reader, f"{name}[{number}]", value, MEDIA))
        for number, value in enumerate(reader.list(name, MAX_ITEMS))
    )


def _typed(reader: Reader, name: str, value: Any, kinds: tuple[str, ...], code: str = BAD) -> tuple[str, Reader]:
    """Return the type of a medium or a device, and its parameters, which may stand beside it."""
    if not isinstance(value, Mapping):
        reader.refuse(name, "an object is wanted")
    whole = Reader(value, f"{reader.path(name)}.")
    kind = whole.text("type", None, 32).lower()
    if kind not in kinds:
        raise RequestRefused(code, f"{whole.path('type')}: {' or '.join(kinds)} is wanted")
    return kind, whole.table("params") if whole.has("params") else whole


def _item(kind: str, params: Reader) -> Spoken:
    match kind:
        case "tts":
            voice = params.text("voice", "", 256) or _VOICES.get(params.text("gender", "", 32).lower(), "")
            return Say(
                text=params.text("text", None, MAX_TEXT, lines=True),
                language=params.text("language", "", 64),
                voice=voice,
            )
        case "audio":
            url = params.text("url", None, MAX_URL).strip()
            if not _is_web_url(url):
                params.refuse("url", "an absolute http(s) URL is wanted")
            return Play(url=url)
        case "silence":
            return Pause(length_s=params.number("duration", None, 0.0, MAX_PAUSE_S))
        case _:
            return Ring(country=params.text("name", "us", 16), length_s=params.number("duration", 0.0, 0.0, 3600.0))


def _is_web_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False


def read_devices(reader: Reader, name: str) -> Devices:
    """Return groups of devices, one after the other, those of a group all at once; raise `RequestRefused`."""
    groups: list[tuple[Device, ...]] = []
    count = 0
    for number, group in enumerate(reader.list(name, MAX_DEVICES)):
        where = f"{name}[{number}]"
        if not isinstance(group, list) or not group:
            reader.refuse(where, "a list of devices is wanted")
        count += len(group)
        if count > MAX_DEVICES:
            reader.refuse(name, f"at most {MAX_DEVICES} are wanted")
        typed = [_typed(reader, f"{where}[{index}]", value, DEVICES, UNSUPPORTED) for index, value in enumerate(group)]
        groups.append(tuple(_device(kind, params) for kind, params in typed))
    return tuple(groups)


def _device(kind: str, params: Reader) -> Device:
    to = "to_number" if params.has("to_number") else "to"
    from_ = "from_number" if params.has("from_number") else "from"
    return Device(
        to=_target(kind, params, to),
        from_=params.text(from_, "", 256),
        timeout_s=params.number("timeout", 60.0, 1.0, 280.0),
        max_duration_s=params.number("max_duration", 240.0, 0.1, 1440.0) * 60.0,
        headers=_headers(params),
        codecs=_codecs(params),
        username=params.text("username", "", 256),
        password=params.text("password", "", 256),
    )


def _target(kind: str, params: Reader, name: str) -> str:
    to = params.text(name, None, 512).strip()
    if kind == "sip" and not to.lower().startswith(("sip:", "sips:")):
        to = f"sip:{to}"
    return to


def _headers(params: Reader) -> tuple[tuple[str, str], ...]:
    if not params.has("headers"):
        return ()
    value = params.value("headers")
    if isinstance(value, list) and not value:
        return ()
    headers: list[tuple[str, str]] = []
    for number, header in enumerate(params.list("headers", MAX_HEADERS)):
        where = f"headers[{number}]"
        if not isinstance(header, Mapping):
            params.refuse(where, "an object is wanted")
        one = Reader(header, f"{params.path(where)}.")
        name = one.text("name", None, 64)
        if not name.lower().startswith("x-"):
            one.refuse("name", "only headers that begin with X- can be sent")
        headers.append((name, one.text("value", "", 256)))
    return tuple(headers)


def _codecs(params: Reader) -> str:
    value = params.value("codecs")
    if isinstance(value, list):
        return ",".join(str(codec) for codec in value[:16] if isinstance(codec, str) and len(codec) <= 32)
    return params.text("codecs", "", 256)


def refer_target(device: Reader) -> str:
    """Return whom a ``refer`` names, as a URI: that of a ``sip`` device, or ``tel:`` of a ``phone``'s number."""
    params = device.table("params") if device.has("params") else device
    kind = device.text("type", "sip", 32).lower()
    if kind not in DEVICES:
        raise RequestRefused(UNSUPPORTED, f"{device.path('type')}: {' or '.join(DEVICES)} is wanted")
    to = _target(kind, params, "to_number" if params.has("to_number") else "to")
    return f"tel:{to}" if kind == "phone" and not to.lower().startswith(("tel:", "sip:", "sips:")) else to
