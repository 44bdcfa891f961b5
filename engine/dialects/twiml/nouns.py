"""``<Dial>`` and whom it names (`dialects.md` §4.6)."""

from __future__ import annotations

from typing import Any

from engine.dialects.twiml.attributes import BEEPS, Attributes, Warnings
from engine.dialects.twiml.markup import Element
from engine.dialects.twiml.verbs import Client, Conference, Dial, DialQueue, Number, Sip

__all__ = ("MAX_DIGITS", "MAX_NOUNS", "read_dial")

MAX_NOUNS = 10
"Who can be called at once."
MAX_DIGITS = 64
"Keyed after the answer."
_RECORD = (
    "do-not-record",
    "record-from-answer",
    "record-from-ringing",
    "record-from-answer-dual",
    "record-from-ringing-dual",
)
_EVENTS = ("initiated", "ringing", "answered", "completed")
_CONFERENCE_EVENTS = ("start", "end", "join", "leave", "mute", "hold", "modify", "speaker", "announcement")
_NOUN = ("url", "method", "statusCallback", "statusCallbackMethod", "statusCallbackEvent")


def read_dial(element: Element, warnings: Warnings) -> Dial | None:
    """Return what a ``<Dial>`` says; None, with a warning, when it names nobody."""
    attributes = Attributes(
        element,
        warnings,
        (
            *("action", "method", "timeout", "hangupOnStar", "timeLimit", "callerId", "record", "answerOnBridge"),
            *("ringTone", "recordingStatusCallback", "recordingStatusCallbackMethod"),
        ),
    )
    nouns, rooms, queues = _named(element, warnings)
    if len(nouns) > MAX_NOUNS:
        warnings.add(element.line, f"<Dial> calls {MAX_NOUNS} at most; the others are passed over")
    if (bool(nouns) + len(rooms) + len(queues)) > 1:
        warnings.add(element.line, "<Dial> takes several to call, or one <Conference>, or one <Queue>, in this order")
    if not (nouns or rooms or queues):
        warnings.add(element.line, "<Dial> names nobody; it is passed over")
        return None
    return Dial(
        nouns=tuple(nouns[:MAX_NOUNS]),
        conference=rooms[0] if rooms and not nouns else None,
        queue=queues[0] if queues and not nouns and not rooms else None,
        action=attributes.text("action"),
        method=attributes.method("method"),
        timeout_s=attributes.number("timeout", 30.0, 1.0, 600.0),
        hangup_on_star=attributes.flag("hangupOnStar", False),
        time_limit_s=attributes.whole("timeLimit", 14400, 1, 86400),
        caller_id=attributes.text("callerId"),
        record=_record(attributes),
        answer_on_bridge=attributes.flag("answerOnBridge", False),
        ring_tone=attributes.text("ringTone"),
        status_callback=attributes.text("recordingStatusCallback"),
        status_method=attributes.method("recordingStatusCallbackMethod"),
    )


def _named(
    element: Element, warnings: Warnings
) -> tuple[list[Number | Sip | Client], list[Conference], list[DialQueue]]:
    nouns: list[Number | Sip | Client] = []
    rooms: list[Conference] = []
    queues: list[DialQueue] = []
    if element.text:
        nouns.append(Number(number=element.text))
    for child in element.children:
        noun = _noun(child, warnings)
        if isinstance(noun, Conference):
            rooms.append(noun)
        elif isinstance(noun, DialQueue):
            queues.append(noun)
        elif noun is not None:
            nouns.append(noun)
    return nouns, rooms, queues


def _noun(element: Element, warnings: Warnings) -> Number | Sip | Client | Conference | DialQueue | None:
    name = element.text
    if element.name == "Client":
        return _client(element, warnings)
    if element.name not in ("Number", "Sip", "Conference", "Queue"):
        warnings.unknown(element, "in <Dial>")
        return None
    for child in element.children:
        warnings.unknown(child, f"in <{element.name}>")
    if not name:
        warnings.add(element.line, f"<{element.name}> is empty; it is passed over")
        return None
    match element.name:
        case "Number":
            attributes = Attributes(element, warnings, (*_NOUN, "sendDigits"))
            return Number(number=name, send_digits=_digits(attributes, element, warnings), **_common(attributes))
        case "Sip":
            attributes = Attributes(element, warnings, (*_NOUN, "username", "password"))
            return Sip(
                uri=name,
                username=attributes.text("username"),
                password=attributes.text("password"),
                **_common(attributes),
            )
        case "Queue":
            attributes = Attributes(element, warnings, ("url", "method"))
            return DialQueue(name=name, url=attributes.text("url"), method=attributes.method("method"))
    return _conference(element, warnings)


def _client(element: Element, warnings: Warnings) -> Client | None:
    attributes = Attributes(element, warnings, _NOUN)
    identity = element.text
    for child in element.children:
        if child.name == "Identity" and child.text:
            identity = child.text
        else:
            warnings.unknown(child, "in <Client>")
    if not identity:
        warnings.add(element.line, "<Client> is empty; it is passed over")
        return None
    return Client(identity=identity, **_common(attributes))


def _common(attributes: Attributes) -> dict[str, Any]:
    return {
        "url": attributes.text("url"),
        "method": attributes.method("method"),
        "status_callback": attributes.text("statusCallback"),
        "status_method": attributes.method("statusCallbackMethod"),
        "status_events": attributes.some_of("statusCallbackEvent", ("completed",), _EVENTS),
    }


def _conference(element: Element, warnings: Warnings) -> Conference:
    attributes = Attributes(
        element,
        warnings,
        (
            *("muted", "startConferenceOnEnter", "endConferenceOnExit", "maxParticipants", "beep", "waitUrl"),
            *("waitMethod", "record", "recordingStatusCallback", "recordingStatusCallbackMethod"),
            *("statusCallback", "statusCallbackMethod", "statusCallbackEvent"),
        ),
    )
    return Conference(
        name=element.text,
        muted=attributes.flag("muted", False),
        start_on_enter=attributes.flag("startConferenceOnEnter", True),
        end_on_exit=attributes.flag("endConferenceOnExit", False),
        max_participants=attributes.whole("maxParticipants", 250, 1, 250),
        beep=attributes.choice("beep", "true", BEEPS, any_case=True),
        wait_url=attributes.text("waitUrl") if "waitUrl" in attributes else None,
        wait_method=attributes.method("waitMethod"),
        record=attributes.choice("record", "do-not-record", ("do-not-record", "record-from-start", "true", "false"))
        in ("record-from-start", "true"),
        recording_callback=attributes.text("recordingStatusCallback"),
        recording_method=attributes.method("recordingStatusCallbackMethod"),
        status_callback=attributes.text("statusCallback"),
        status_method=attributes.method("statusCallbackMethod"),
        status_events=attributes.some_of("statusCallbackEvent", (), _CONFERENCE_EVENTS),
    )


def _record(attributes: Attributes) -> str:
    value = attributes.choice("record", "do-not-record", (*_RECORD, "true", "false"), any_case=True)
    return {"true": "record-from-answer", "false": "do-not-record"}.get(value, value)


def _digits(attributes: Attributes, element: Element, warnings: Warnings) -> str:
    digits = attributes.text("sendDigits")
    if len(digits) <= MAX_DIGITS and set(digits) <= set("0123456789*#wW"):
        return digits.lower()
    wanted = f"up to {MAX_DIGITS} of 0-9, *, # and w"
    warnings.add(element.line, f"sendDigits of <{element.name}> wants {wanted}; none is keyed")
    return ""
