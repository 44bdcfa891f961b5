"""What requests to the Voice API ask for (`dialects.md` §6.3), checked: JSON in, data or ``VoiceError`` out. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast
from urllib.parse import urlsplit

from engine.api.vonage.answers import VoiceError, wrong
from engine.config import Config, NccoApp
from engine.dialects.ncco.actions import Endpoint, EventTarget, NccoAction, Stream, Talk
from engine.dialects.ncco.commands import Source
from engine.dialects.ncco.endpoints import endpoint_of
from engine.dialects.ncco.errors import NccoError
from engine.dialects.ncco.reading import actions_of, read_ncco
from sip.errors import ParseError
from sip.uri import Uri

__all__ = (
    "ACTIONS",
    "CallChange",
    "CallOrder",
    "call_change",
    "call_order",
    "digits_order",
    "stream_order",
    "talk_order",
)

Action = Literal["hangup", "mute", "unmute", "earmuff", "unearmuff", "transfer"]
ACTIONS: tuple[Action, ...] = ("hangup", "mute", "unmute", "earmuff", "unearmuff", "transfer")
RING_S = 60.0
MAX_RING_S = 120
MAX_LENGTH_S = 86_400
MAX_URL = 4000
MAX_KEYS = 100
NOT_DONE = ("machine_detection", "machineDetection", "advanced_machine_detection", "advancedMachineDetection")
"Parameters that ask for what nobody does here: who asks for it must not wait for its events."
_KEYS = re.compile(r"[0-9*#pP]+")
_CALLER = re.compile(r"\+?[0-9*#]{2,32}|[A-Za-z0-9._~+*#-]{1,64}")
_SEPARATORS = re.compile(r"[-. ()]+")
_NUMBER = re.compile(r"\+?[0-9*#]{2,32}")
_TALK = ("text", "language", "style", "premium", "loop", "level")
_STREAM = ("loop", "level")


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOrder:
    """A call that is to be placed."""

    to: Endpoint
    caller: str = field(repr=False)
    "As ``OutboundCall`` takes it; empty: as ``[outbound]`` says."
    source: Source
    event: EventTarget | None
    "Where its states are told; None: as its application says."
    ring_s: float
    length_s: float | None

    @property
    def target(self) -> str:
        """Whom to call, as ``OutboundCall`` takes it."""
        return self.to.to

    @property
    def headers(self) -> dict[str, str]:
        """The X- headers of the INVITE."""
        return {f"X-{name}": value for name, value in self.to.headers}


@dataclass(frozen=True, slots=True, kw_only=True)
class CallChange:
    """What is to be done with a live call."""

    action: Action
    source: Source | None = None
    "Of a transfer."


def call_order(body: Mapping[str, Any], app: NccoApp, config: Config) -> CallOrder:
    """Return the call that a request of an application orders; raise ``VoiceError``."""
    for name in NOT_DONE:
        if body.get(name):
            raise wrong(name, "Machines are not told from people here: leave it out.")
    return CallOrder(
        to=_called(body),
        caller=_caller(body, app),
        source=_source(body, app, config),
        event=_event(body),
        ring_s=float(_whole(body, "ringing_timer", 1, MAX_RING_S) or RING_S),
        length_s=_length(body),
    )


def call_change(body: Mapping[str, Any], app: NccoApp, config: Config) -> CallChange:
    """Return what a request wants of a call; raise ``VoiceError``."""
    action = body.get("action")
    if action not in ACTIONS:
        raise wrong("action", f"Must be one of {', '.join(ACTIONS)}.")
    if action != "transfer":
        return CallChange(action=cast(Action, action))
    destination = body.get("destination")
    if not isinstance(destination, dict):
        raise wrong("destination", "Is required: an object with type ncco, and url or ncco.")
    if destination.get("type") != "ncco":
        raise wrong("destination.type", "Must be ncco.")
    has_url, has_ncco = destination.get("url") is not None, destination.get("ncco") is not None
    if has_url is has_ncco:
        raise wrong("destination", "Give one of url and ncco.")
    if has_ncco:
        source = _inline(destination["ncco"], "destination.ncco", config)
    else:
        url = _url(destination["url"], "destination.url")
        source = Source(answer=EventTarget(url=url, method="GET"), fallback=_fallback(app))
    return CallChange(action="transfer", source=source)


def talk_order(body: Mapping[str, Any]) -> Talk:
    """Return what is to be spoken into a call; raise ``VoiceError``."""
    talk = _action_of({"action": "talk", **{name: body[name] for name in _TALK if body.get(name) is not None}})
    assert isinstance(talk, Talk)
    return talk


def stream_order(body: Mapping[str, Any]) -> Stream:
    """Return what is to be played into a call; raise ``VoiceError``."""
    url = _url(body.get("stream_url"), "stream_url")
    members = {name: body[name] for name in _STREAM if body.get(name) is not None}
    stream = _action_of({"action": "stream", "streamUrl": [url], **members})
    assert isinstance(stream, Stream)
    return stream


def digits_order(body: Mapping[str, Any]) -> str:
    """Return what is to be keyed into a call, ``p`` for half a second; raise ``VoiceError``."""
    digits = body.get("digits")
    if isinstance(digits, int) and not isinstance(digits, bool) and 0 <= digits < 10**15:
        digits = str(digits)
    if not isinstance(digits, str) or not digits:
        raise wrong("digits", "Is required.")
    if len(digits) > MAX_KEYS or not _KEYS.fullmatch(digits):
        raise wrong("digits", f"Must be at most {MAX_KEYS} of 0-9 * # p.")
    return digits.lower()


def _action_of(action: dict[str, object]) -> NccoAction:
    """Return what an NCCO's action of the same name would be."""
    try:
        (read,) = actions_of([action])
    except NccoError as error:
        raise wrong(error.where.removeprefix("[0].") or str(action["action"]), error.reason) from None
    return read


# -- a call's parts --------------------------------------------------------------------------------------------------


def _called(body: Mapping[str, Any]) -> Endpoint:
    to = body.get("to")
    if isinstance(to, dict):
        to = [to]
    if not to:
        raise wrong("to", "Is required.")
    if not isinstance(to, list) or len(to) != 1 or not isinstance(to[0], dict):
        raise wrong("to", "Must be a list of one endpoint.")
    endpoint = dict(to[0])
    if "dtmf_answer" in endpoint:
        endpoint.setdefault("dtmfAnswer", endpoint.pop("dtmf_answer"))
    if isinstance(number := endpoint.get("number"), str):
        endpoint["number"] = _SEPARATORS.sub("", number)
    try:
        return endpoint_of(endpoint, "to[0]")
    except NccoError as error:
        raise wrong(error.where or "to", error.reason) from None


def _caller(body: Mapping[str, Any], app: NccoApp) -> str:
    caller, at_random = body.get("from"), body.get("random_from_number")
    if at_random not in (None, True, False):
        raise wrong("random_from_number", "Must be true or false.")
    if caller in (None, "", {}):
        if not at_random:
            raise wrong("from", "Is required, or random_from_number.")
        return app.number
    if at_random:
        raise wrong("random_from_number", "Cannot be used together with from.")
    if isinstance(caller, dict):
        kind = caller.get("type") or ("sip" if "uri" in caller else "phone")
        if kind not in ("phone", "sip"):
            raise wrong("from.type", "Must be phone or sip.")
        key = "number" if kind == "phone" else "uri"
        return _caller_text(caller.get(key), f"from.{key}")
    return _caller_text(caller, "from")


def _caller_text(value: object, where: str) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10**32:
        value = str(value)
    if not isinstance(value, str) or not value.strip():
        raise wrong(where, "Is required: a number or a SIP URI.")
    text = value.strip()
    if text.lower().startswith(("sip:", "sips:")):
        try:
            Uri.parse(text)
        except ParseError:
            raise wrong(where, "Must be a number or a SIP URI.") from None
        return text
    number = _SEPARATORS.sub("", text)
    if _NUMBER.fullmatch(number):
        return number
    if not _CALLER.fullmatch(text):
        raise wrong(where, "Must be a number or a SIP URI.")
    return text


def _source(body: Mapping[str, Any], app: NccoApp, config: Config) -> Source:
    has_url, has_ncco = body.get("answer_url") is not None, body.get("ncco") is not None
    if not has_url and not has_ncco:
        raise VoiceError(400, invalid={"ncco": "Is required, or answer_url.", "answer_url": "Is required, or ncco."})
    if has_url and has_ncco:
        raise wrong("answer_url", "Cannot be used together with ncco.")
    if has_ncco:
        return _inline(body["ncco"], "ncco", config)
    method = _method(body, "answer_method", "GET")
    url = _url(body["answer_url"], "answer_url")
    return Source(answer=EventTarget(url=url, method=method), fallback=_fallback(app))


def _inline(value: object, where: str, config: Config) -> Source:
    """Return an NCCO that came with a request; it is read as it will be when it runs."""
    if not isinstance(value, list):
        raise wrong(where, "Must be a list of actions.")
    text = json.dumps(value).encode("ascii")
    try:
        read_ncco(text, max_bytes=config.vonage.max_document_kb * 1024)
    except NccoError as error:
        raise wrong(where, str(error)) from None
    return Source(text=text)


def _fallback(app: NccoApp) -> EventTarget | None:
    return EventTarget(url=app.fallback_url, method=app.fallback_method) if app.fallback_url else None


def _event(body: Mapping[str, Any]) -> EventTarget | None:
    method = _method(body, "event_method", "POST")
    value = body.get("event_url")
    return EventTarget(url=_url(value, "event_url"), method=method) if value not in (None, "", []) else None


def _length(body: Mapping[str, Any]) -> float | None:
    seconds = _whole(body, "length_timer", 1, MAX_LENGTH_S)
    return None if seconds is None else float(seconds)


# -- values ----------------------------------------------------------------------------------------------------------


def _url(value: object, where: str) -> str:
    """Return an absolute URL, which the vendor wants in a list."""
    if isinstance(value, list):
        if len(value) != 1:
            raise wrong(where, "Must be a list of one URL.")
        value = value[0]
    is_web = False
    if isinstance(value, str):
        try:
            parts = urlsplit(value)
            is_web = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
        except ValueError:
            is_web = False
    if not is_web or not isinstance(value, str) or len(value) > MAX_URL or not value.isprintable() or " " in value:
        raise wrong(where, "Must be an absolute URL that begins with https:// or http://.")
    return value


def _method(body: Mapping[str, Any], name: str, default: Literal["GET", "POST"]) -> Literal["GET", "POST"]:
    value = body.get(name) or default
    method = value.upper() if isinstance(value, str) else ""
    if method not in ("GET", "POST"):
        raise wrong(name, "Must be GET or POST.")
    return cast(Literal["GET", "POST"], method)


def _whole(body: Mapping[str, Any], name: str, low: int, high: int) -> int | None:
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise wrong(name, f"Must be a whole number of {low} to {high}.")
    return value
