"""What a request to the Calls resource asks for (`dialects.md` §5.5), checked, with the vendor's error codes. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, cast
from urllib.parse import unquote, urlsplit

from engine.api.errors import ApiError
from engine.api.twilio.answers import Form, exactly_one, wrong_value
from engine.config import Config, TwimlApp
from engine.dialects.twiml.commands import Source
from engine.dialects.twiml.verbs import Method
from engine.net.dialling import MAX_HEADER_CHARS, MAX_HEADERS, RING_RANGE_S
from engine.programs.recordings import allows_insecure
from engine.programs.status import StatusPlan, plan_of
from engine.programs.twiml import source_of
from sip.errors import ParseError
from sip.uri import Uri

__all__ = ("CallChange", "CallOrder", "RecordOrder", "call_change", "call_order", "shown")

LABEL = "api"
"What the record of a call says that ran, where no application's name is known."
RING_S = 60.0
MAX_RING_S = 600
"What the vendor takes; the engine lets nobody ring longer than `RING_RANGE_S` says."
MAX_LIMIT_S = 86_400
MAX_URL = 4000
EVENTS = ("initiated", "ringing", "answered", "completed")
RECORDING_EVENTS = ("in-progress", "completed", "absent")
NOT_DONE = ("MachineDetection", "AsyncAmd", "CallToken", "Trim", "RecordingTrack", "CallReason")
"Parameters that are taken and change nothing here."
_NUMBER = re.compile(r"\+?[0-9*#]{2,32}")
_SEPARATORS = re.compile(r"[-. ()]+")
_NAME = re.compile(r"[A-Za-z0-9._~+*#-]{1,64}")
_DIGITS = re.compile(r"[0-9*#wW]{1,32}")
_HEADER = re.compile(r"[Xx]-[A-Za-z0-9-]{1,48}")
_VALUE = re.compile(r"[\x20-\x7e]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordOrder:
    """A recording that was ordered with the call: it begins when the call is answered."""

    channels: Literal["mono", "dual"]
    callback: str = field(repr=False)
    method: Method
    events: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOrder:
    """A call that is to be placed."""

    to: str
    "As ``OutboundCall`` takes it."
    caller: str
    source: Source
    label: str
    status: StatusPlan | None
    send_digits: str
    ring_s: float
    time_limit_s: float | None
    record: RecordOrder | None
    headers: Mapping[str, str] = field(repr=False)
    not_done: tuple[str, ...]
    "Names of parameters that change nothing here."


@dataclass(frozen=True, slots=True, kw_only=True)
class CallChange:
    """What is to be changed of a live call; None and empty: nothing."""

    source: Source | None
    status: Literal["", "canceled", "completed"]
    plan: StatusPlan | None
    time_limit_s: float | None


def call_order(form: Form, config: Config) -> CallOrder:
    """Return the call that a request orders; raise ``ApiError``."""
    to, headers = _called(form.one("To").strip(), config)
    caller = _caller(form)
    source, label, plan = _document(form, config)
    told = _plan(form)
    return CallOrder(
        to=to,
        caller=caller,
        source=source,
        label=label,
        status=told or plan,
        send_digits=_send_digits(form),
        ring_s=min(
            max(float(_whole(form, "Timeout", 21208, 1, MAX_RING_S) or RING_S), RING_RANGE_S[0]), RING_RANGE_S[1]
        ),
        time_limit_s=_time_limit(form),
        record=_record(form, config),
        headers=headers,
        not_done=tuple(name for name in NOT_DONE if form.one(name)),
    )


def call_change(form: Form, config: Config) -> CallChange:
    """Return what a request wants changed; raise ``ApiError``."""
    status = form.one("Status")
    if status not in ("", "canceled", "completed"):
        raise wrong_value("Status", "canceled or completed is wanted")
    source = None
    if form.one("Url") or form.one("Twiml"):
        if not exactly_one(form, ("Url", "Twiml")):
            raise ApiError(400, 21205, "Give exactly one of Url and Twiml")
        source = _source(form, config)
    return CallChange(
        source=source,
        status=cast(Literal["", "canceled", "completed"], status),
        plan=_plan(form),
        time_limit_s=_time_limit(form),
    )


def shown(address: str) -> str:
    """Return what the record calls somebody, of a number, a SIP URI or ``client:NAME``."""
    address = address.strip()
    scheme, colon, rest = address.partition(":")
    if colon and scheme.lower() in ("sip", "sips"):
        return rest.partition("@")[0] if "@" in rest else re.split(r"[;?:]", rest, maxsplit=1)[0]
    if colon and scheme.lower() == "client":
        return rest
    bare = _SEPARATORS.sub("", address)
    return bare if _NUMBER.fullmatch(bare) else address


def _called(text: str, config: Config) -> tuple[str, dict[str, str]]:
    """Return whom to call, and the X- headers of the INVITE."""
    if not text:
        raise ApiError(400, 21201, "No 'To' is given: a number, sip:USER@HOST or client:NAME")
    scheme = text.partition(":")[0].lower()
    if scheme in ("sip", "sips"):
        return _sip(text)
    if scheme == "client":
        name = text[7:]
        if not _NAME.fullmatch(name):
            raise ApiError(400, 21211, "Invalid 'To': client:NAME has letters, digits and . _ ~ + * # - in its name")
        if not config.twilio.client_uri:
            raise ApiError(400, 21211, "Invalid 'To': client:NAME can be called when [twilio] client_uri says where")
        return config.twilio.client_uri.replace("{name}", name), {}
    number = _SEPARATORS.sub("", text)
    if not _NUMBER.fullmatch(number):
        raise ApiError(400, 21211, "Invalid 'To': a number, sip:USER@HOST or client:NAME is wanted")
    return number, {}


def _sip(text: str) -> tuple[str, dict[str, str]]:
    try:
        uri = Uri.parse(text)
    except ParseError:
        raise ApiError(400, 21211, "Invalid 'To': it is no SIP URI") from None
    if uri.password is not None or uri.param("method") is not None:
        raise ApiError(400, 21211, "Invalid 'To': a SIP URI to be called has neither a password nor a method")
    headers = {name: unquote(value or "") for name, value in uri.headers}
    if len(headers) > MAX_HEADERS or any(
        not _HEADER.fullmatch(name) or not _VALUE.fullmatch(value) or len(value) > MAX_HEADER_CHARS
        for name, value in headers.items()
    ):
        raise ApiError(
            400, 21211, f"Invalid 'To': at most {MAX_HEADERS} headers whose names begin with X- can be in a SIP URI"
        )
    return str(uri.without_headers()), headers


def _caller(form: Form) -> str:
    """Return who calls: ``CallerId`` where it is given, else ``From``."""
    text = (form.one("CallerId") or form.one("From")).strip()
    if not text:
        raise ApiError(400, 21213, "No 'From' is given: a number, a SIP URI or client:NAME")
    scheme = text.partition(":")[0].lower()
    if scheme in ("sip", "sips"):
        try:
            Uri.parse(text)
        except ParseError:
            raise ApiError(400, 21212, "Invalid 'From': it is no SIP URI") from None
        return text
    name = text[7:] if scheme == "client" else text
    number = _SEPARATORS.sub("", name)
    if _NUMBER.fullmatch(number):
        return number
    if not _NAME.fullmatch(name):
        raise ApiError(400, 21212, "Invalid 'From': a number, a user name, a SIP URI or client:NAME is wanted")
    return name


def _document(form: Form, config: Config) -> tuple[Source, str, StatusPlan | None]:
    """Return where a call's document comes from, what the call is labelled, and where its application is told."""
    if not any(form.one(name) for name in ("Url", "Twiml", "ApplicationSid")):
        raise ApiError(400, 21205, "Url, Twiml or ApplicationSid is required")
    given = exactly_one(form, ("Url", "Twiml", "ApplicationSid"))
    if not given:
        raise ApiError(400, 21205, "Give exactly one of Url, Twiml and ApplicationSid")
    if given != "ApplicationSid":
        return _source(form, config), LABEL, None
    for name, app in config.apps.items():
        if isinstance(app, TwimlApp) and app.sid_for(name) == form.one("ApplicationSid"):
            return source_of(app), name, plan_of(app)
    raise ApiError(400, 21218, "Invalid ApplicationSid: `paytone apps` lists those that there are")


def _source(form: Form, config: Config) -> Source:
    text = form.one("Twiml")
    if len(text.encode("utf-8", "replace")) > config.twilio.max_document_kb * 1024:
        raise wrong_value("Twiml", f"at most {config.twilio.max_document_kb} KiB are taken")
    return Source(
        url=_url(form, "Url", 21205),
        method=_method(form, "Method"),
        text=text,
        fallback_url=_url(form, "FallbackUrl", 21205),
        fallback_method=_method(form, "FallbackMethod"),
    )


def _plan(form: Form) -> StatusPlan | None:
    events = _events(form, "StatusCallbackEvent", EVENTS)
    method = _method(form, "StatusCallbackMethod")
    url = _url(form, "StatusCallback", 21609)
    return StatusPlan(url=url, method=method, events=events or ("completed",)) if url else None


def _record(form: Form, config: Config) -> RecordOrder | None:
    channels = form.one("RecordingChannels") or "mono"
    if channels not in ("mono", "dual"):
        raise wrong_value("RecordingChannels", "mono or dual is wanted")
    callback = _url(form, "RecordingStatusCallback", 21609)
    if callback.startswith("http:") and not allows_insecure(config):
        raise wrong_value("RecordingStatusCallback", "https, unless [twilio] allow_insecure_callbacks is set", 21609)
    method = _method(form, "RecordingStatusCallbackMethod")
    events = _events(form, "RecordingStatusCallbackEvent", RECORDING_EVENTS) or ("completed",)
    wanted = form.one("Record").lower()
    if wanted not in ("", "true", "false"):
        raise wrong_value("Record", "true or false is wanted")
    if wanted != "true":
        return None
    return RecordOrder(
        channels=cast(Literal["mono", "dual"], channels), callback=callback, method=method, events=events
    )


def _events(form: Form, name: str, known: tuple[str, ...]) -> tuple[str, ...]:
    events = tuple(dict.fromkeys(event for value in form.all(name) for event in value.replace(",", " ").split()))
    if not set(events) <= set(known):
        raise wrong_value(name, f"some of {', '.join(known)} are wanted, each in a parameter of its own", 21626)
    return events


def _url(form: Form, name: str, code: int) -> str:
    text = form.one(name)
    if not text:
        return ""
    try:
        parts = urlsplit(text)
        is_web = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_web = False
    if not is_web or len(text) > MAX_URL or not text.isprintable() or " " in text:
        raise wrong_value(name, "an absolute URL that begins with https:// or http:// is wanted", code)
    return text


def _method(form: Form, name: str) -> Method:
    value = form.one(name).upper() or "POST"
    if value not in ("GET", "POST"):
        raise wrong_value(name, "GET or POST is wanted", 21209)
    return cast(Method, value)


def _send_digits(form: Form) -> str:
    text = form.one("SendDigits")
    if text and not _DIGITS.fullmatch(text):
        raise wrong_value("SendDigits", "up to 32 of 0-9 * # w are wanted", 21206)
    return text.lower()


def _time_limit(form: Form) -> float | None:
    seconds = _whole(form, "TimeLimit", 20001, 1, MAX_LIMIT_S)
    return None if seconds is None else float(seconds)


def _whole(form: Form, name: str, code: int, low: int, high: int) -> int | None:
    text = form.one(name).strip()
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,6}", text) or not low <= int(text) <= high:
        raise wrong_value(name, f"whole seconds of {low} to {high} are wanted", code)
    return int(text)
