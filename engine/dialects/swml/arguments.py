"""What a step asks for, of its argument (`dialects.md` §3.6). Pure.

`arguments_of` is given an argument with its variables put in. What decides where a document goes on (``when``,
``variable``, ``case`` ...) and nested steps are taken from the step as it is written: these name variables themselves.
`check` does the same before a document runs, with what holds no placeholder.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from engine.dialects.signalwire.digits import KEYS, MAX_DIGITS, DigitRules
from engine.dialects.swml.connecting import connect_of, header_name
from engine.dialects.swml.errors import ScriptError, SwmlError
from engine.dialects.swml.methods import (
    Answer,
    Arguments,
    Branch,
    Execute,
    Goto,
    Hangup,
    Label,
    Pay,
    Play,
    Prompt,
    Record,
    RecordCall,
    Request,
    Return,
    SendDigits,
    Set,
    SipRefer,
    Sleep,
    Step,
    StopRecordCall,
    Switch,
    Transfer,
    Unset,
    UserEvent,
)
from engine.dialects.swml.parameters import Parameters, mapping_of, text_of, wrong_type
from engine.dialects.swml.playing import heard, spoken_of

__all__ = ("METHODS", "arguments_of", "check")

MAX_SLEEP_MS = 86_400_000
"A day; -1 is without end."
MAX_TIMEOUT_S = 86_400.0
MAX_NAMES = 1000
"Of one set or unset."
_MAX_HEADERS = 50
_MAX_SENT = 1000
_SENT = re.compile(r"[0-9*#A-DWw]*", re.ASCII)
_FORMATS = ("wav", "mp3", "mp4")
_METHODS = ("GET", "POST", "PUT", "DELETE")
_OWN_HEADERS = frozenset({"host", "content-length", "transfer-encoding", "connection"})
_SAY = ("volume", "say_voice", "say_language", "say_gender", "status_url")
_SPEECH = ("speech_timeout", "speech_end_timeout", "speech_language", "speech_hints", "speech_engine")
_RECORD = (
    *("stereo", "format", "direction", "terminators", "beep", "input_sensitivity"),
    *("initial_timeout", "end_silence_timeout", "max_length", "status_url"),
)
_PAY = frozenset(
    {
        *("payment_connector_url", "charge_amount", "currency", "description", "input", "language", "max_attempts"),
        *("min_postal_code_length", "parameters", "payment_method", "postal_code", "prompts", "security_code"),
        *("status_url", "timeout", "token_type", "valid_card_types", "voice"),
    }
)
_Confirm = Callable[[Any, str], object]


def arguments_of(step: Step, argument: Any) -> Arguments:
    """Return what a step asks for; raises `SwmlError` that names the parameter by its path."""
    return _METHODS_OF[step.method](_Asked(step, argument, lambda confirm, where: confirm, pending=False))


def check(step: Step, confirm: _Confirm) -> None:
    """Raise the `SwmlError` that `arguments_of` is going to raise whatever the variables are.

    ``confirm`` checks what a called side has to agree to, and returns it.
    """
    _METHODS_OF[step.method](_Asked(step, step.argument, confirm, pending=True))


class _Asked:
    """An argument, and the step that it is of."""

    def __init__(self, step: Step, argument: Any, confirm: _Confirm, *, pending: bool) -> None:
        self.step = step
        self.argument = argument
        self.confirm = confirm
        self.pending = pending
        self.where = step.path

    def parameters(self, *known: str) -> Parameters:
        return Parameters(self.argument, self.where, known, pending=self.pending)

    def written(self) -> Mapping[str, Any]:
        """Return the argument as written."""
        return mapping_of(self.step.argument, self.where)


# -- calls


def _answer(asked: _Asked) -> Answer:
    parameters = asked.parameters("max_duration", "codecs", "username", "password")
    for name in ("codecs", "username", "password"):  # the media of a call are settled by its offer and the engine
        parameters.line(name)
    return Answer(max_duration_s=float(parameters.whole("max_duration", 14400, 1, 86_400)))


def _hangup(asked: _Asked) -> Hangup:
    return Hangup(reason=asked.parameters("reason").choice("reason", "hangup", ("hangup", "busy", "decline")))


def _connect(asked: _Asked) -> Arguments:
    return connect_of(
        asked.argument,
        asked.where,
        result=_result(asked),
        confirm=asked.confirm,
        pending=asked.pending,
    )


def _sip_refer(asked: _Asked) -> SipRefer:
    parameters = asked.parameters("to_uri", "status_url", "username", "password")
    parameters.line("username")
    parameters.line("password")
    parameters.filled("to_uri")
    return SipRefer(to_uri=parameters.line("to_uri", max_chars=1024), status_url=parameters.url("status_url"))


def _send_digits(asked: _Asked) -> SendDigits:
    parameters = asked.parameters("digits")
    digits = parameters.filled("digits", max_chars=_MAX_SENT)
    if not parameters.is_pending("digits") and not _SENT.fullmatch(digits):
        raise parameters.invalid("digits", "a text of 0-9, *, #, A-D, W and w")
    return SendDigits(digits=digits)


# -- what is heard and keyed


def _play(asked: _Asked) -> Play:
    parameters = asked.parameters("url", "urls", "auto_answer", *_SAY)
    return Play(
        items=spoken_of(parameters),
        volume_db=parameters.number("volume", 0.0, -40.0, 40.0),
        auto_answer=parameters.flag("auto_answer", True),
        status_url=parameters.url("status_url"),
    )


def _prompt(asked: _Asked) -> Prompt:
    parameters = asked.parameters(
        "play", "max_digits", "terminators", "digit_timeout", "initial_timeout", *_SPEECH, *_SAY
    )
    parameters.required("play")
    rules = DigitRules(
        max_digits=parameters.whole("max_digits", 1, 1, MAX_DIGITS),
        terminators=_keys(parameters, ""),
        digit_timeout_s=parameters.number("digit_timeout", 5.0, 0.0, MAX_TIMEOUT_S),
        initial_timeout_s=parameters.number("initial_timeout", 5.0, 0.0, MAX_TIMEOUT_S),
    )
    parameters.number("speech_timeout", 0.0, 0.0, MAX_TIMEOUT_S)
    parameters.number("speech_end_timeout", 0.0, 0.0, MAX_TIMEOUT_S)
    parameters.line("speech_language")
    parameters.line("speech_engine")
    parameters.items("speech_hints", at_most=1000)
    return Prompt(
        items=heard(parameters, "play"),
        digits=rules,
        volume_db=parameters.number("volume", 0.0, -40.0, 40.0),
        wants_speech=any(name in parameters for name in _SPEECH),
        status_url=parameters.url("status_url"),
    )


def _keys(parameters: Parameters, default: str) -> str:
    keys = parameters.text("terminators", default).strip().upper()
    if not set(keys) <= set(KEYS):
        raise parameters.invalid("terminators", f"a text of {KEYS}")
    return "".join(dict.fromkeys(keys))


# -- recordings


def _record(asked: _Asked) -> Record:
    return _recording(asked.parameters(*_RECORD), Record(), ("speak", "listen"))


def _record_call(asked: _Asked) -> RecordCall:
    parameters = asked.parameters("control_id", *_RECORD)
    default = Record(direction="both", terminators="", initial_timeout_s=0.0, end_silence_timeout_s=0.0)
    record = _recording(parameters, default, ("speak", "listen", "both"))
    return RecordCall(record=record, control_id=parameters.line("control_id"))


def _recording(parameters: Parameters, default: Record, directions: tuple[Any, ...]) -> Record:
    return Record(
        stereo=parameters.flag("stereo", default.stereo),
        format=parameters.choice("format", default.format, _FORMATS),  # type: ignore[arg-type]
        direction=parameters.choice("direction", default.direction, directions),
        terminators=_keys(parameters, default.terminators),
        beep=parameters.flag("beep", default.beep),
        input_sensitivity=parameters.number("input_sensitivity", default.input_sensitivity, 0.0, 100.0),
        initial_timeout_s=parameters.number("initial_timeout", default.initial_timeout_s, 0.0, MAX_TIMEOUT_S),
        end_silence_timeout_s=parameters.number(
            "end_silence_timeout", default.end_silence_timeout_s, 0.0, MAX_TIMEOUT_S
        ),
        max_length_s=parameters.number("max_length", default.max_length_s, 0.0, MAX_TIMEOUT_S),
        status_url=parameters.url("status_url"),
    )


def _stop_record_call(asked: _Asked) -> StopRecordCall:
    return StopRecordCall(control_id=asked.parameters("control_id").line("control_id"))


# -- where it goes on


def _cond(asked: _Asked) -> tuple[Branch, ...]:
    return _branches(asked.step.argument, asked.step, asked.where, "")


def _branches(items: object, step: Step, where: str, prefix: str) -> tuple[Branch, ...]:
    """Return the items of a ``cond``, or of ``result``; their steps are in ``step.blocks``, by ``prefix``."""
    if not isinstance(items, list):
        raise wrong_type(where, "a list")
    branches = []
    for index, item in enumerate(items):
        at = f"{where}[{index}]"
        parameters = Parameters(item, at, ("when", "then", "else"))
        then = step.blocks.get(f"{prefix}[{index}].then")
        otherwise = step.blocks.get(f"{prefix}[{index}].else")
        if "when" in parameters:
            if then is None:
                raise parameters.missing("then")
        elif then is not None or otherwise is None:
            raise parameters.missing("when")
        elif index < len(items) - 1:
            raise SwmlError(ScriptError.METHOD_PARAMETER_CONFLICT, at, "an else without when can only be the last one")
        branches.append(Branch(when=_condition(parameters, "when"), then=then or (), otherwise=otherwise or ()))
    return tuple(branches)


def _condition(parameters: Parameters, name: str) -> str:
    """Return an expression; the text of one, or a constant."""
    if name not in parameters:
        return ""
    return parameters.filled(name, max_chars=4096)


def _switch(asked: _Asked) -> Switch:
    return _cases(asked.step.argument, asked.step, asked.where, "", needs_variable=True)


def _cases(value: object, step: Step, where: str, prefix: str, *, needs_variable: bool) -> Switch:
    parameters = Parameters(value, where, ("variable", "case", "default"))
    parameters.required("case")
    if needs_variable:
        parameters.required("variable")
    variable = parameters.filled("variable", max_chars=4096) if "variable" in parameters else ""
    names = [text_of(name, where) for name in parameters.mapping("case")]
    cases = {name: step.blocks[f"{prefix}case.{name}"] for name in names}
    return Switch(variable=variable, cases=cases, default=step.blocks.get(f"{prefix}default"))


def _result(asked: _Asked) -> Switch | tuple[Branch, ...] | None:
    """Return what goes on by the outcome of a method."""
    value = asked.written().get("result")
    where = f"{asked.where}.result"
    match value:
        case None:
            return None
        case list():
            return _branches(value, asked.step, where, "result")
        case dict():
            return _cases(value, asked.step, where, "result.", needs_variable=False)
    raise wrong_type(where, "a switch or a list of conditions")


def _label(asked: _Asked) -> Label:
    name = text_of(asked.step.argument, asked.where).strip()
    if not name or len(name) > 256:
        raise SwmlError(
            ScriptError.METHOD_PARAMETER_INVALID_VALUE, asked.where, "a name of at most 256 characters is wanted"
        )
    return Label(name=name)


def _goto(asked: _Asked) -> Goto:
    parameters = asked.parameters("label", "when", "max")
    label = parameters.filled("label", max_chars=256)
    when = Parameters({"when": asked.written().get("when")}, asked.where, ("when",))
    return Goto(label=label, when=_condition(when, "when"), max=parameters.whole("max", 100, 1, 100))


def _execute(asked: _Asked) -> Execute:
    parameters = asked.parameters("dest", "params", "meta", "on_return", "result")
    return Execute(
        dest=parameters.filled("dest"),
        params=parameters.mapping("params"),
        meta=parameters.mapping("meta"),
        on_return=asked.step.blocks.get("on_return", ()),
        result=_result(asked),
    )


def _transfer(asked: _Asked) -> Transfer:
    parameters = asked.parameters("dest", "params", "meta")
    return Transfer(
        dest=parameters.filled("dest"), params=parameters.mapping("params"), meta=parameters.mapping("meta")
    )


def _return(asked: _Asked) -> Return:
    return Return(value=asked.argument)


def _sleep(asked: _Asked) -> Sleep:
    value = asked.argument
    parameters = Parameters(
        value if isinstance(value, Mapping) else {"duration": value}, asked.where, ("duration",), pending=asked.pending
    )
    parameters.required("duration")
    milliseconds = parameters.whole("duration", 0, -1, MAX_SLEEP_MS)
    return Sleep(seconds=math.inf if milliseconds < 0 else milliseconds / 1000)


# -- variables, and who is told


def _set(asked: _Asked) -> Set:
    values = mapping_of(asked.argument, asked.where)
    if len(values) > MAX_NAMES or not all(0 < len(name) <= 256 for name in values):
        raise SwmlError(
            ScriptError.METHOD_PARAMETER_INVALID_VALUE,
            asked.where,
            f"at most {MAX_NAMES} names of at most 256 characters are wanted",
        )
    return Set(values=values)


def _unset(asked: _Asked) -> Unset:
    value = asked.argument
    names = value if isinstance(value, list) else [value]
    if len(names) > MAX_NAMES or not all(isinstance(name, str) for name in names):
        raise wrong_type(asked.where, f"a name, or a list of at most {MAX_NAMES}")
    return Unset(names=tuple(name.strip() for name in names if name.strip()))


def _request(asked: _Asked) -> Request:
    parameters = asked.parameters("url", "method", "headers", "body", "timeout", "connect_timeout", "save_variables")
    parameters.filled("url")
    parameters.filled("method")
    body = parameters.raw("body")
    if body is not None and not isinstance(body, Mapping):
        body = text_of(body, parameters.at("body"))
    parameters.number("connect_timeout", 0.0, 0.0, MAX_TIMEOUT_S)
    return Request(
        url=parameters.url("url"),
        method=parameters.choice("method", "GET", _METHODS),  # type: ignore[arg-type]
        headers=_headers(parameters),
        body=body,
        timeout_s=parameters.number("timeout", 0.0, 0.0, MAX_TIMEOUT_S),
        save_variables=parameters.flag("save_variables", False),
    )


def _headers(parameters: Parameters) -> tuple[tuple[str, str], ...]:
    written = parameters.mapping("headers")
    if len(written) > _MAX_HEADERS:
        raise parameters.invalid("headers", f"an object of at most {_MAX_HEADERS}")
    headers = []
    for name, value in written.items():
        pair = Parameters(
            {"name": name, "value": value}, parameters.at("headers"), ("name", "value"), pending=parameters.pending
        )
        token = header_name(pair)
        if token.lower() in _OWN_HEADERS:
            raise parameters.refused("headers", "Host, Content-Length and the like are set by the engine")
        headers.append((token, pair.line("value", max_chars=8192)))
    return tuple(headers)


def _user_event(asked: _Asked) -> UserEvent:
    parameters = asked.parameters("event")
    parameters.required("event")
    return UserEvent(event=parameters.mapping("event"))


def _pay(asked: _Asked) -> Pay:
    """Return the properties: values are judged where orders are made, a wrong one ends no document (D-29)."""
    properties = mapping_of(asked.argument, asked.where)
    parameters = Parameters(properties, asked.where, _PAY, pending=asked.pending)
    parameters.required("payment_connector_url")
    for at, parameter in _each(properties.get("parameters"), parameters.at("parameters")):
        Parameters(parameter, at, ("name", "value")).required("name", "value")
    for at, prompt in _each(properties.get("prompts"), parameters.at("prompts")):
        Parameters(prompt, at, ("for", "actions", "attempts", "card_type", "error_type")).required("for", "actions")
        for at_action, action in _each(prompt.get("actions"), f"{at}.actions"):
            Parameters(action, at_action, ("type", "phrase")).required("type", "phrase")
    return Pay(properties=properties)


def _each(items: object, where: str) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the objects of a list with their paths; what is none is left to whom makes an order of it."""
    found = items if isinstance(items, list) else []
    return [(f"{where}[{index}]", item) for index, item in enumerate(found) if isinstance(item, Mapping)]


_METHODS_OF: Mapping[str, Callable[[_Asked], Arguments]] = {
    "answer": _answer,
    "cond": _cond,
    "connect": _connect,
    "execute": _execute,
    "goto": _goto,
    "hangup": _hangup,
    "label": _label,
    "pay": _pay,
    "play": _play,
    "prompt": _prompt,
    "record": _record,
    "record_call": _record_call,
    "request": _request,
    "return": _return,
    "send_digits": _send_digits,
    "set": _set,
    "sip_refer": _sip_refer,
    "sleep": _sleep,
    "stop_record_call": _stop_record_call,
    "switch": _switch,
    "transfer": _transfer,
    "unset": _unset,
    "user_event": _user_event,
}
METHODS = frozenset(_METHODS_OF)
"Those that are carried out."
