"""TwiML as it arrives, to verbs that can be run (`dialects.md` §4.1, §4.6).

Laws: a document is a `Document` or a `TwimlError`, whatever the bytes were; what is not known is passed over with a
warning (12200), a wrong value gives the default, and a verb that makes no sense without it is left out. Warnings name
lines and the names of elements and attributes, never a value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from engine.dialects.twiml.attributes import Attributes, Warnings
from engine.dialects.twiml.errors import DOCUMENT_PARSE, TwimlError
from engine.dialects.twiml.markup import MAX_DOCUMENT_BYTES, Element, read
from engine.dialects.twiml.nouns import read_dial
from engine.dialects.twiml.verbs import (
    Document,
    Enqueue,
    Gather,
    Hangup,
    Leave,
    Pause,
    Pay,
    PayPrompt,
    Play,
    Record,
    Redirect,
    Reject,
    Say,
    Spoken,
    Verb,
)

__all__ = ("MAX_LOOP", "MAX_PAUSE_S", "parse")

MAX_PAUSE_S = 3600.0
MAX_LOOP = 1000
_MAX_DIGITS = 128
_DIGITS = re.compile(rf"[0-9*#wW]{{1,{_MAX_DIGITS}}}", re.ASCII)
_PAY_ATTRIBUTES = frozenset(
    {
        "input",
        "action",
        "statusCallback",
        "statusCallbackMethod",
        "paymentMethod",
        "bankAccountType",
        "timeout",
        "maxAttempts",
        "securityCode",
        "postalCode",
        "minPostalCodeLength",
        "paymentConnector",
        "paymentConnectorUrl",
        "tokenType",
        "chargeAmount",
        "currency",
        "language",
        "description",
        "validCardTypes",
    }
)
_PROMPT_ATTRIBUTES = frozenset({"for", "name", "attempt", "cardType", "errorType", "requireMatchingInputs"})


def parse(body: bytes, *, content_type: str = "", max_bytes: int = MAX_DOCUMENT_BYTES) -> Document:
    """Return a document that can be run.

    Raises `TwimlError`: 12300 for what is plainly no XML by its ``content_type``, else 12100 for what cannot be parsed,
    has no ``<Response>`` or is longer than ``max_bytes``.
    """
    root = read(body, content_type=content_type, max_bytes=max_bytes)
    if root.name != "Response":
        raise TwimlError(DOCUMENT_PARSE, f"line {root.line}: the root element is not <Response>")
    warnings = Warnings()
    if root.text:
        warnings.add(root.line, "text outside of a verb is passed over; put it into <Say>")
    verbs: list[Verb] = []
    for child in root.children:
        reader = _VERBS.get(child.name)
        if reader is None:
            warnings.unknown(child, "as a verb")
            continue
        verb = reader(child, warnings)
        if verb is not None:
            verbs.append(verb)
    return Document(verbs=tuple(verbs), warnings=warnings.texts())


def _say(element: Element, warnings: Warnings) -> Say | None:
    attributes = Attributes(element, warnings, ("voice", "language", "loop"))
    if element.children:
        text = f"<speak>{' '.join(element.markup().split())}</speak>"
    else:
        text = element.text
    if not text:
        warnings.add(element.line, "<Say> has no text; it is passed over")
        return None
    return Say(
        text=text,
        language=attributes.text("language"),
        voice=attributes.text("voice"),
        loop=attributes.whole("loop", 1, 0, MAX_LOOP),
    )


def _play(element: Element, warnings: Warnings) -> Play | None:
    attributes = Attributes(element, warnings, ("loop", "digits"))
    _no_children(element, warnings)
    loop = attributes.whole("loop", 1, 0, MAX_LOOP)
    url, digits = element.text, attributes.text("digits")
    if digits and not _DIGITS.fullmatch(digits):
        warnings.add(element.line, f"digits of <Play> wants up to {_MAX_DIGITS} of 0-9, *, # and w; they are not keyed")
        digits = ""
    elif digits and url:
        warnings.add(element.line, "<Play> has digits and a URL; the digits are keyed")
    if digits:
        return Play(digits=digits.lower(), loop=loop)
    if not url:
        warnings.add(element.line, "<Play> has no URL; it is passed over")
        return None
    return Play(url=url, loop=loop)


def _pause(element: Element, warnings: Warnings) -> Pause:
    attributes = Attributes(element, warnings, ("length",))
    _empty(element, warnings)
    return Pause(length_s=attributes.number("length", 1.0, 0.0, MAX_PAUSE_S))


_SPOKEN: Mapping[str, Callable[[Element, Warnings], Spoken | None]] = {"Say": _say, "Play": _play, "Pause": _pause}


def _spoken(elements: list[Element], warnings: Warnings, where: str) -> tuple[Spoken, ...]:
    items = []
    for element in elements:
        reader = _SPOKEN.get(element.name)
        if reader is None:
            warnings.unknown(element, where)
        elif (item := reader(element, warnings)) is not None:
            items.append(item)
    return tuple(items)


def _gather(element: Element, warnings: Warnings) -> Gather:
    attributes = Attributes(
        element,
        warnings,
        ("input", "action", "method", "timeout", "numDigits", "finishOnKey", "actionOnEmptyResult", "bargeIn"),
    )
    _no_text(element, warnings)
    attributes.some_of("input", ("dtmf",), ("dtmf",))
    return Gather(
        action=attributes.text("action"),
        method=attributes.method("method"),
        timeout_s=attributes.number("timeout", 5.0, 0.0, 600.0) if attributes.text("timeout") != "auto" else 5.0,
        num_digits=attributes.whole("numDigits", 1, 1, _MAX_DIGITS) if "numDigits" in attributes else None,
        finish_on_key=attributes.keys("finishOnKey", "#"),
        action_on_empty_result=attributes.flag("actionOnEmptyResult", False),
        barge_in=attributes.flag("bargeIn", True),
        spoken=_spoken(element.children, warnings, "in <Gather>"),
    )


def _redirect(element: Element, warnings: Warnings) -> Redirect | None:
    attributes = Attributes(element, warnings, ("method",))
    _no_children(element, warnings)
    if not element.text:
        warnings.add(element.line, "<Redirect> has no URL; it is passed over")
        return None
    return Redirect(url=element.text, method=attributes.method("method"))


def _hangup(element: Element, warnings: Warnings) -> Hangup:
    Attributes(element, warnings, ())
    _empty(element, warnings)
    return Hangup()


def _reject(element: Element, warnings: Warnings) -> Reject:
    attributes = Attributes(element, warnings, ("reason",))
    _empty(element, warnings)
    return Reject(reason=attributes.choice("reason", "rejected", ("rejected", "busy")))


def _record(element: Element, warnings: Warnings) -> Record:
    attributes = Attributes(
        element,
        warnings,
        (
            *("action", "method", "timeout", "finishOnKey", "maxLength", "playBeep", "trim"),
            *("recordingStatusCallback", "recordingStatusCallbackMethod"),
        ),
    )
    _empty(element, warnings)
    return Record(
        action=attributes.text("action"),
        method=attributes.method("method"),
        timeout_s=attributes.number("timeout", 5.0, 1.0, 3600.0),
        finish_on_key=attributes.keys("finishOnKey", "1234567890*#"),
        max_length_s=attributes.whole("maxLength", 3600, 1, 14400),
        play_beep=attributes.flag("playBeep", True),
        trim=attributes.choice("trim", "trim-silence", ("trim-silence", "do-not-trim")) == "trim-silence",
        status_callback=attributes.text("recordingStatusCallback"),
        status_method=attributes.method("recordingStatusCallbackMethod"),
    )


def _enqueue(element: Element, warnings: Warnings) -> Enqueue | None:
    attributes = Attributes(element, warnings, ("action", "method", "waitUrl", "waitUrlMethod"))
    _no_children(element, warnings)
    if not element.text:
        warnings.add(element.line, "<Enqueue> has no name of a queue; it is passed over")
        return None
    return Enqueue(
        name=element.text,
        action=attributes.text("action"),
        method=attributes.method("method"),
        wait_url=attributes.text("waitUrl") if "waitUrl" in attributes else None,
        wait_method=attributes.method("waitUrlMethod"),
    )


def _leave(element: Element, warnings: Warnings) -> Leave:
    Attributes(element, warnings, ())
    _empty(element, warnings)
    return Leave()


def _pay(element: Element, warnings: Warnings) -> Pay:
    Attributes(element, warnings, _PAY_ATTRIBUTES)
    _no_text(element, warnings)
    prompts: list[PayPrompt] = []
    parameters: list[tuple[str, str]] = []
    for child in element.children:
        if child.name == "Prompt":
            Attributes(child, warnings, _PROMPT_ATTRIBUTES)
            _no_text(child, warnings)
            written = dict(child.attributes)
            if "for" not in written and "name" in written:  # D-17
                written["for"] = written["name"]
            prompts.append(PayPrompt(attributes=written, spoken=_spoken(child.children, warnings, "in <Prompt>")))
        elif child.name == "Parameter":
            attributes = Attributes(child, warnings, ("name", "value"))
            _empty(child, warnings)
            name = attributes.text("name")
            if name:
                parameters.append((name, child.attributes.get("value", "")))
            else:
                warnings.add(child.line, "<Parameter> has no name; it is passed over")
        else:
            warnings.unknown(child, "in <Pay>")
    return Pay(
        attributes=dict(element.attributes),
        prompts=tuple(prompts),
        parameters=tuple(parameters),
        line=element.line,
    )


def _no_text(element: Element, warnings: Warnings) -> None:
    if element.text:
        warnings.add(element.line, f"text in <{element.name}> is passed over")


def _no_children(element: Element, warnings: Warnings) -> None:
    for child in element.children:
        warnings.unknown(child, f"in <{element.name}>")


def _empty(element: Element, warnings: Warnings) -> None:
    _no_text(element, warnings)
    _no_children(element, warnings)


_VERBS: Mapping[str, Callable[[Element, Warnings], Verb | None]] = {
    **_SPOKEN,
    "Gather": _gather,
    "Redirect": _redirect,
    "Hangup": _hangup,
    "Reject": _reject,
    "Record": _record,
    "Dial": read_dial,
    "Enqueue": _enqueue,
    "Leave": _leave,
    "Pay": _pay,
}
