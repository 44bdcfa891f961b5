"""Fuzz target: octets as a SWML document, checked, and its steps' arguments made with whatever variables bring.

Runs by ``tests/fuzz/drive.py`` or under atheris; ``one_input(data)`` is one case, and the property tests call it too.
The first octet says how the text came. What must hold: any octets are plain data or a `SwmlError`; data that were read
are the same when written as JSON and read again; a document within its bounds or a `SwmlError`; a step without
placeholders that passed the check can be run; any value in a placeholder's place is taken or a `SwmlError`. Errors are
short, name the step, and quote nothing of a value.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # run as a file, the repository is not on the path
    sys.path.insert(0, str(Path(__file__).parents[2]))

from engine.dialects.swml.arguments import arguments_of
from engine.dialects.swml.checking import MAX_NESTING, MAX_SECTIONS, MAX_STEPS, document_of
from engine.dialects.swml.errors import ScriptError, SwmlError
from engine.dialects.swml.media import MediaRefused, items_of
from engine.dialects.swml.methods import Section, Step
from engine.dialects.swml.reading import MAX_DEPTH, MAX_NODES, read

__all__ = ("SEEDS", "one_input")

TYPES = ("", "application/json", "application/yaml", "text/plain; charset=utf-8")
MAX_BYTES = 4096
MAX_ERROR_CHARS = 800
PLANTED = "4111111111111111"
"What a caller keyed: it may be the value of a variable, and stands in no error then."
BROUGHT: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 7, 2.5, -0.0, 10**400, float("inf"), float("nan"), "", " ", "true", "12", "1e3"),
    *("\ud800", PLANTED, f"say:{PLANTED}x", f"https://{PLANTED}:x/", "say:a", [], ["say:a", PLANTED], [[]], {}),
    *({"a": {"b": [1]}}, [{"name": PLANTED, "value": "\r\n"}], [{"to": "a"}], [[{"to": "a"}]], "${a}", "%{b}"),
)
"""Values that variables may have."""
SEEDS = (
    b"""\x00version: 1.0.0
sections:
  main:
    - answer: {}
    - play: {url: "say: Hello ${name}", volume: -3}
    - pay:
        payment_connector_url: https://gw.example/pay
        prompts:
          - {for: postal-code, actions: [{type: Say, phrase: Your postal code}], attempts: 2 3}
""",
    b"""\x01{"version":"1.0.0","sections":{"main":[
{"prompt":{"play":["say:a","%{b}"],"max_digits":4,"terminators":"#"}},
{"switch":{"variable":"prompt_value","case":{"1":[{"transfer":{"dest":"sub"}}]},"default":[{"hangup":{}}]}}],
"sub":[{"return":[1,null,{"a":1.5}]}]}}""",
    b"""\x02sections:
  main:
  - label: a
  - cond:
    - when: vars.n < 3
      then:
      - goto: {label: a, max: 3}
    - else:
      - hangup: {reason: busy}
  - execute: {dest: sub, params: {a: "${x}"}, on_return: [{sleep: 250}],
      result: {case: {ok: [{set: {a.b: 02134}}, {unset: [a, b]}]}}}
  sub: []
""",
    b"""\x03sections:
  main:
  - connect:
      from: +1555
      timeout: 20
      headers: [{name: X-A, value: b}]
      serial_parallel: [[{to: 'sip:a@b'}, {to: "${to}"}], [{to: 1, confirm: [{play: {url: say:x}}]}]]
      ringback: [ring:2:pl]
      result: [{when: connect_result == 'ok', then: []}, {else: []}]
""",
    b"""\x00{"sections":{"main":[
{"request":{"url":"https://a/","method":"POST","headers":{"X-A":"${a}"},"body":{"b":1}}},
{"record":{"beep":"true","format":"wav"}},{"record_call":{"control_id":"r"}},{"stop_record_call":{}},
{"send_digits":{"digits":"1w2"}},{"sip_refer":{"to_uri":"sip:a@b"}},{"user_event":{"event":{}}},{"sleep":-1}]}}""",
    b"""\x02%YAML 1.2
--- # a comment
"sections": !!map
  main: &a
  - ? play
    : {url: !!str silence:2.5}
  - unset: >-
      a
""",
    b'\x01["say: a","silence:1.5","ring:us","ring:2.5:pl","https://a/b?c"," SAY:","silence:.","ring:1:usa",7]',
    b"\x02sections:\n  main:\n  - play: &p {urls: &u [say:a, silence:1]}\n  - play: *p\n  - unset: *u\n  - *p\n",
    b"\x02a0: &a0 [x, x]\na1: &a1 [*a0, *a0]\na2: &a2 [*a1, *a1]\na3: {<<: *a2, *a1: 1}\n",
    b"\x02a: [*x, <<, .nan, 1e999, 0x1F, 1:30]\na: b",
    *(
        b'\x01{"sections":{"main":[{"%s":%s}]}}' % (method, argument)
        for method, argument in (
            (b"play", b'{"urls":"${a}","volume":"${a}","auto_answer":"${a}","status_url":"${a}","say_voice":"${a}"}'),
            (b"prompt", b'{"play":"${a}","max_digits":"${a}","terminators":"${a}","speech_hints":"${a}"}'),
            (b"connect", b'{"serial":"${a}","headers":"${a}","timeout":"${a}","ringback":"${a}","confirm":"${a}"}'),
            (
                b"connect",
                b'{"parallel":[{"to":"${a}"}],"call_state_events":["${a}"],"headers":[{"name":"${a}","value":""}]}',
            ),
            (b"request", b'{"url":"${a}","method":"${a}","headers":"${a}","body":"${a}","save_variables":"${a}"}'),
            (b"record", b'{"format":"${a}","max_length":"${a}","beep":"${a}"}'),
            (b"pay", b'{"payment_connector_url":"${a}","prompts":"${a}","parameters":["${a}"],"timeout":"${a}"}'),
            (b"sleep", b'"${a}"'),
            (b"unset", b'["${a}"]'),
            (b"set", b'{"${a}":"${a}"}'),
            (b"transfer", b'{"dest":"${a}","params":"${a}"}'),
            (b"user_event", b'{"event":"${a}"}'),
            (b"send_digits", b'{"digits":"${a}"}'),
            (b"sip_refer", b'{"to_uri":"${a}"}'),
            (b"answer", b'{"max_duration":"${a}"}'),
            (b"hangup", b'{"reason":"${a}"}'),
        )
    ),
)


def one_input(data: bytes) -> None:
    """Run one case; raises whatever should not happen."""
    how = data[0] if data else 0
    try:
        value = read(data[1:], content_type=TYPES[how & 3], max_bytes=MAX_BYTES)
    except SwmlError as error:
        _look_at(error, ScriptError.PARSE_ERROR, ScriptError.ELEMENT_DUPLICATED)
        return
    _check_plain(value)
    assert read(json.dumps(value), content_type="application/json", max_bytes=16 * MAX_BYTES) == value
    if isinstance(value, list):
        _play(value)
    try:
        document = document_of(value)
    except SwmlError as error:
        _look_at(error)
        return
    assert len(document.sections) <= MAX_SECTIONS
    count = 0
    for step in _steps(document.sections.values()):
        count += 1
        _run(step, how >> 2)
    assert count <= MAX_STEPS


def _look_at(error: SwmlError, *codes: ScriptError) -> None:
    assert error.code in (codes or ScriptError)
    assert len(str(error)) <= MAX_ERROR_CHARS
    assert str(error).isprintable()


def _look_at_value(error: SwmlError, step: Step) -> None:
    _look_at(error)
    assert error.where.startswith(step.path)
    assert PLANTED not in str(error)


def _check_plain(value: object) -> None:
    nodes, depth, level = 0, 0, [value]
    while level:
        nodes, depth = nodes + len(level), depth + 1
        below: list[object] = []
        for item in level:
            assert type(item) in (type(None), bool, int, float, str, list, dict)
            if isinstance(item, dict):
                assert all(type(key) is str for key in item)
                below += item.values()
            elif isinstance(item, list):
                below += item
            elif isinstance(item, str):
                item.encode()
        level = below
    assert nodes <= MAX_NODES
    assert depth <= MAX_DEPTH + 1


def _play(urls: list[Any]) -> None:
    index = 0
    try:
        items_of(urls)
    except MediaRefused as refused:
        index = refused.index
    assert 0 <= index <= len(urls)


def _steps(sections: Any, depth: int = 0) -> Iterator[Step]:
    assert depth <= MAX_NESTING
    section: Section
    for section in sections:
        for step in section:
            yield step
            yield from _steps(step.blocks.values(), depth + 1)


def _run(step: Step, which: int) -> None:
    """Run a step as it is written, and with each of some values in its placeholders' places."""
    if not _has_placeholder(step.argument):
        arguments_of(step, step.argument)
        return
    for turn in range(4):
        brought = BROUGHT[(which + 8 * turn) % len(BROUGHT)]
        try:
            arguments_of(step, _put_in(step.argument, brought))
        except SwmlError as error:
            _look_at_value(error, step)


def _has_placeholder(value: object) -> bool:
    if isinstance(value, dict):
        return any(map(_has_placeholder, value)) or any(map(_has_placeholder, value.values()))
    if isinstance(value, list):
        return any(map(_has_placeholder, value))
    return isinstance(value, str) and ("${" in value or "%{" in value)


def _put_in(value: Any, brought: Any) -> Any:
    if isinstance(value, dict):
        return {key: _put_in(item, brought) for key, item in value.items()}
    if isinstance(value, list):
        return [_put_in(item, brought) for item in value]
    return brought if _has_placeholder(value) else value


if __name__ == "__main__":
    import atheris  # type: ignore[import-untyped,unused-ignore]

    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
