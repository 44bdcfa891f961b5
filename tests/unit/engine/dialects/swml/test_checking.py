"""A document is checked before anything of it runs: what it is made of, the vendor's error names, where it is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from engine.dialects.swml.arguments import METHODS
from engine.dialects.swml.checking import (
    MAX_NESTING,
    MAX_SECTIONS,
    MAX_STEPS,
    NOT_CARRIED_OUT,
    document_of,
    read_document,
)
from engine.dialects.swml.errors import ScriptError, SwmlError
from engine.dialects.swml.methods import Document, Section

CONNECTOR = "https://gw.example/pay"
CONFLICT = ScriptError.METHOD_PARAMETER_CONFLICT
UNKNOWN = ScriptError.METHOD_PARAMETER_UNDEFINED
WRONG_TYPE = ScriptError.ELEMENT_WRONG_TYPE
MISSING = ScriptError.METHOD_PARAMETER_MISSING
INVALID = ScriptError.METHOD_PARAMETER_INVALID_VALUE
HANGUP: dict[str, Any] = {"hangup": {}}


def checked(*steps: object, **sections: object) -> Document:
    return document_of({"version": "1.0.0", "sections": {"main": list(steps), **sections}})


def refusal_of(data: object) -> SwmlError:
    with pytest.raises(SwmlError) as caught:
        document_of(data)
    return caught.value


def refused(*steps: object) -> tuple[ScriptError, str]:
    error = refusal_of({"sections": {"main": list(steps)}})
    return error.code, error.where


def methods_of(section: Section) -> list[str]:
    return [step.method for step in section]


# -- what a document is made of


def test_a_document_is_sections_of_steps_with_their_paths() -> None:
    document = checked({"answer": {}}, {"play": {"url": "say:Hello"}}, bye=[{"hangup": {"reason": "busy"}}])
    assert list(document.sections) == ["main", "bye"]
    assert [(step.method, step.path) for step in document.sections["main"]] == [
        ("answer", "sections.main[0].answer"),
        ("play", "sections.main[1].play"),
    ]
    assert document.sections["bye"][0].argument == {"reason": "busy"}


def test_the_version_may_be_left_out() -> None:
    assert document_of({"sections": {"main": []}}).sections == {"main": ()}


@pytest.mark.parametrize(
    ("data", "code", "where"),
    [
        (None, WRONG_TYPE, ""),
        ("main", WRONG_TYPE, ""),
        ([HANGUP], WRONG_TYPE, ""),
        ({}, ScriptError.SECTIONS_MISSING, ""),
        ({"sections": None}, ScriptError.SECTIONS_MISSING, ""),
        ({"version": "2.0.0", "sections": {"main": []}}, ScriptError.VERSION_INVALID, "version"),
        ({"version": 1.0, "sections": {"main": []}}, ScriptError.VERSION_INVALID, "version"),
        ({"version": None, "sections": {"main": []}}, ScriptError.VERSION_INVALID, "version"),
        ({"sections": {"main": []}, "main": []}, ScriptError.ELEMENT_UNDEFINED, "main"),
        ({"sections": []}, WRONG_TYPE, "sections"),
        ({"sections": {}}, ScriptError.MAIN_SECTION_MISSING, "sections"),
        ({"sections": {"other": []}}, ScriptError.MAIN_SECTION_MISSING, "sections"),
        ({"sections": {"main": None}}, ScriptError.SECTION_CODE_MISSING, "sections.main"),
        ({"sections": {"main": {"answer": {}}}}, WRONG_TYPE, "sections.main"),
        ({"sections": {"main": [], "a b": "x"}}, WRONG_TYPE, "sections.a?b"),
    ],
)
def test_what_is_no_document_is_refused(data: object, code: ScriptError, where: str) -> None:
    error = refusal_of(data)
    assert (error.code, error.where) == (code, where)


@pytest.mark.parametrize(
    ("step", "code", "where"),
    [
        ("answer", WRONG_TYPE, ""),
        (None, WRONG_TYPE, ""),
        ({}, ScriptError.METHOD_MISSING_NAME, ""),
        ({"answer": {}, "hangup": {}}, ScriptError.ELEMENT_INVALID_VALUE, ""),
        ({"anwser": {}}, ScriptError.METHOD_UNDEFINED, ""),
        ({"play": {"url": "say:a", "loop": 2}}, UNKNOWN, ".play"),
        ({"play": {}}, MISSING, ".play"),
        ({"play": None}, MISSING, ".play"),
        ({"play": "say:a"}, WRONG_TYPE, ".play"),
        ({"play": {"url": "say:a", "urls": ["say:b"]}}, CONFLICT, ".play"),
        ({"play": {"url": 7}}, WRONG_TYPE, ".play.url"),
        ({"play": {"url": "hello"}}, INVALID, ".play.url"),
        ({"play": {"urls": ["say:a", "b"]}}, INVALID, ".play.urls[1]"),
        ({"play": {"url": "say:a", "volume": 41}}, INVALID, ".play.volume"),
        ({"play": {"url": "say:a", "volume": "loud"}}, WRONG_TYPE, ".play.volume"),
        ({"play": {"url": "say:a", "auto_answer": 1}}, WRONG_TYPE, ".play.auto_answer"),
        ({"hangup": {"reason": "bored"}}, INVALID, ".hangup.reason"),
        ({"prompt": {"max_digits": 4}}, MISSING, ".prompt"),
        ({"prompt": {"play": "say:a", "max_digits": 0}}, INVALID, ".prompt.max_digits"),
        ({"prompt": {"play": "say:a", "max_digits": 1.5}}, INVALID, ".prompt.max_digits"),
        ({"prompt": {"play": "say:a", "terminators": "x"}}, INVALID, ".prompt.terminators"),
        ({"connect": {}}, MISSING, ".connect"),
        ({"connect": {"to": "+1", "serial": []}}, CONFLICT, ".connect"),
        ({"connect": {"serial": [{"from": "+1"}]}}, MISSING, ".connect.serial[0]"),
        ({"connect": {"to": "+1", "webrtc_media": True}}, INVALID, ".connect.webrtc_media"),
        ({"connect": {"to": "+1", "encryption": "mandatory"}}, INVALID, ".connect.encryption"),
        ({"cond": {"when": "a", "then": []}}, WRONG_TYPE, ".cond"),
        ({"cond": [{"then": []}]}, MISSING, ".cond[0]"),
        ({"cond": [{"when": "a"}]}, MISSING, ".cond[0]"),
        ({"cond": [{"else": []}, {"when": "a", "then": []}]}, CONFLICT, ".cond[0]"),
        ({"cond": [{"when": "a", "then": [], "or": []}]}, UNKNOWN, ".cond[0]"),
        ({"cond": [{"when": "a", "then": {}}]}, WRONG_TYPE, ".cond[0].then"),
        ({"switch": {"case": {}}}, MISSING, ".switch"),
        ({"switch": {"variable": "a"}}, MISSING, ".switch"),
        ({"switch": {"variable": "a", "case": {"x": {}}}}, WRONG_TYPE, ".switch.case.x"),
        ({"execute": {"dest": "a", "result": 1}}, WRONG_TYPE, ".execute.result"),
        ({"execute": {}}, MISSING, ".execute"),
        ({"transfer": {"dest": " "}}, MISSING, ".transfer"),
        ({"label": ""}, INVALID, ".label"),
        ({"label": {}}, WRONG_TYPE, ".label"),
        ({"goto": {"label": "nowhere"}}, INVALID, ".goto.label"),
        ({"sleep": {}}, MISSING, ".sleep"),
        ({"sleep": -2}, INVALID, ".sleep.duration"),
        ({"set": ["a"]}, WRONG_TYPE, ".set"),
        ({"unset": [1]}, WRONG_TYPE, ".unset"),
        ({"request": {"url": "https://a"}}, MISSING, ".request"),
        ({"request": {"url": "ftp://a", "method": "GET"}}, INVALID, ".request.url"),
        ({"request": {"url": "https://a", "method": "BREW"}}, INVALID, ".request.method"),
        ({"record": {"direction": "both"}}, INVALID, ".record.direction"),
        ({"record_call": {"format": "ogg"}}, INVALID, ".record_call.format"),
        ({"send_digits": {"digits": "12x"}}, INVALID, ".send_digits.digits"),
        ({"sip_refer": {}}, MISSING, ".sip_refer"),
        ({"user_event": {"event": "x"}}, WRONG_TYPE, ".user_event.event"),
        ({"pay": {}}, MISSING, ".pay"),
        ({"pay": {"payment_connector_url": CONNECTOR, "amount": "1"}}, UNKNOWN, ".pay"),
        (
            {"pay": {"payment_connector_url": CONNECTOR, "prompts": [{"for": "postal-code"}]}},
            MISSING,
            ".pay.prompts[0]",
        ),
        (
            {"pay": {"payment_connector_url": CONNECTOR, "parameters": [{"name": "a", "value": "b", "c": "d"}]}},
            UNKNOWN,
            ".pay.parameters[0]",
        ),
    ],
)
def test_a_step_that_cannot_be_run_is_refused_where_it_stands(step: object, code: ScriptError, where: str) -> None:
    assert refused(HANGUP, step) == (code, f"sections.main[1]{where}")


@pytest.mark.parametrize("method", sorted(NOT_CARRIED_OUT))
def test_a_method_that_is_not_carried_out_is_refused_before_anything_runs(method: str) -> None:
    error = refusal_of({"sections": {"main": [HANGUP, {method: {}}]}})
    assert error.code is ScriptError.METHOD_UNDEFINED
    assert "not carried out by this engine" in str(error)
    assert method not in METHODS


@pytest.mark.parametrize(
    "properties",
    [
        {"timeout": "soon"},
        {"prompts": "none"},
        {"charge_amount": [1]},
        {"input": "speech"},
        {"prompts": [{"for": "x", "actions": "say"}]},
    ],
)
def test_a_wrong_value_of_pay_is_no_error_of_the_document(properties: dict[str, Any]) -> None:
    checked({"pay": {"payment_connector_url": CONNECTOR, **properties}})


@pytest.mark.parametrize(
    "step",
    [
        {"play": {"url": "${greeting}", "volume": "%{volume}", "auto_answer": "${call.x}", "status_url": "${u}"}},
        {"play": {"urls": "${all}"}},
        {"play": {"urls": ["${one}", "say:${two}"]}},
        {"prompt": {"play": ["${one}"], "max_digits": "${n}", "terminators": "${t}", "speech_hints": "${h}"}},
        {"connect": {"to": "${to}", "timeout": "${t}", "headers": "${h}", "confirm": "${c}", "ringback": "${r}"}},
        {"connect": {"serial": "${devices}", "call_state_events": "${events}", "answer_on_bridge": "%{b}"}},
        {"connect": {"parallel": [{"to": "${a}", "headers": [{"name": "X-${n}", "value": "${v}"}]}]}},
        {"goto": {"label": "${where}", "max": "${n}", "when": "a > ${b}"}},
        {"sleep": "${ms}"},
        {"sleep": {"duration": "%{ms}"}},
        {"execute": {"dest": "${dest}", "params": "${p}"}},
        {"transfer": {"dest": "${dest}"}},
        {"request": {"url": "${u}", "method": "${m}", "headers": {"X-A": "${v}"}, "timeout": "${t}", "body": "${b}"}},
        {"record": {"format": "${f}", "beep": "${b}", "max_length": "${n}", "direction": "${d}"}},
        {"send_digits": {"digits": "${d}"}},
        {"sip_refer": {"to_uri": "sip:${x}@example.com"}},
        {"user_event": {"event": {"a": "${b}"}}},
        {"answer": {"max_duration": "${n}"}},
        {"hangup": {"reason": "${why}"}},
        {"unset": "${name}"},
        {"return": "${value}"},
        {"pay": {"payment_connector_url": "${url}", "timeout": "%{t}"}},
    ],
)
def test_what_holds_a_variable_waits_for_its_value(step: object) -> None:
    assert checked(step)


def test_what_stands_beside_a_variable_is_checked_at_once() -> None:
    assert refused({"play": {"urls": ["${a}", "b"]}})[1] == "sections.main[0].play.urls[1]"
    assert refused({"prompt": {"play": "${a}", "max_digits": 0}})[1] == "sections.main[0].prompt.max_digits"


# -- steps within steps


def test_nested_steps_are_checked_with_the_step_that_holds_them() -> None:
    document = checked(
        {"cond": [{"when": "a == 1", "then": [{"return": 1}], "else": [{"return": 2}]}, {"else": [HANGUP]}]},
        {"switch": {"variable": "a", "case": {"1": [{"return": 3}], "a b": []}, "default": [HANGUP]}},
        {"execute": {"dest": "x", "on_return": [{"return": 4}], "result": {"case": {"5": [HANGUP]}, "default": []}}},
        {"connect": {"to": "+1", "result": [{"when": "a", "then": [HANGUP]}, {"else": []}]}},
    )
    steps = document.sections["main"]
    assert [sorted(step.blocks) for step in steps] == [
        ["[0].else", "[0].then", "[1].else"],
        ["case.1", "case.a b", "default"],
        ["on_return", "result.case.5", "result.default"],
        ["result[0].then", "result[1].else"],
    ]
    assert steps[0].blocks["[0].else"][0].path == "sections.main[0].cond[0].else[0].return"
    assert steps[1].blocks["case.1"][0].path == "sections.main[1].switch.case.1[0].return"
    assert steps[2].blocks["result.case.5"][0].path == "sections.main[2].execute.result.case.5[0].hangup"
    assert steps[3].blocks["result[0].then"][0].path == "sections.main[3].connect.result[0].then[0].hangup"


@pytest.mark.parametrize(
    ("step", "where"),
    [
        ({"cond": [{"when": "a", "then": [HANGUP, {"ply": {}}]}]}, ".cond[0].then[1]"),
        ({"switch": {"variable": "a", "case": {"b c": [{"ply": {}}]}}}, ".switch.case.b?c[0]"),
        ({"execute": {"dest": "a", "on_return": [{"ply": {}}]}}, ".execute.on_return[0]"),
        ({"connect": {"to": "+1", "result": [{"else": [{"ply": {}}]}]}}, ".connect.result[0].else[0]"),
        ({"connect": {"to": "+1", "confirm": [{"ply": {}}]}}, ".connect.confirm[0]"),
        ({"connect": {"parallel": [{"to": "+1", "confirm": [{"ply": {}}]}]}}, ".connect.parallel[0].confirm[0]"),
    ],
)
def test_an_error_within_steps_names_its_place(step: object, where: str) -> None:
    assert refused(step) == (ScriptError.METHOD_UNDEFINED, f"sections.main[0]{where}")


def test_a_goto_finds_its_label_anywhere_in_its_section() -> None:
    checked({"label": "a"}, {"cond": [{"when": "x", "then": [{"goto": {"label": "a"}}]}]})
    checked({"goto": {"label": "b"}}, {"cond": [{"when": "x", "then": [{"label": "b"}]}]})
    checked({"goto": {"label": 1}}, {"label": "1"})
    assert refused({"cond": [{"when": "x", "then": [{"goto": {"label": "a"}}]}]})[1].endswith("goto.label")
    other = {"sections": {"main": [{"goto": {"label": "a"}}], "other": [{"label": "a"}]}}
    assert refusal_of(other).where == "sections.main[0].goto.label"


def test_a_label_stands_once_in_its_section() -> None:
    twice = ({"label": "a"}, {"cond": [{"when": "x", "then": [{"label": "a"}]}]})
    assert refused(*twice) == (ScriptError.ELEMENT_DUPLICATED, "sections.main[1].cond[0].then[0].label")
    checked({"label": "a"}, other=[{"label": "a"}])


def test_steps_that_a_called_side_goes_through_have_labels_of_their_own() -> None:
    checked(
        {"label": "a"},
        {"connect": {"to": "+1", "confirm": [{"play": {"url": "say:Press 1"}}]}},
        {"goto": {"label": "a"}},
    )
    assert refused({"label": "a"}, {"connect": {"to": "+1", "confirm": [{"goto": {"label": "a"}}]}}) == (
        INVALID,
        "sections.main[1].connect.confirm[0].goto.label",
    )


# -- bounds


def test_the_size_of_a_document_is_bounded() -> None:
    checked(*[HANGUP] * MAX_STEPS)
    assert refused(*[HANGUP] * (MAX_STEPS + 1)) == (ScriptError.ELEMENT_INVALID_VALUE, "sections.main")
    many: dict[str, list[Any]] = {f"s{n}": [] for n in range(MAX_SECTIONS)}
    assert refusal_of({"sections": {"main": [], **many}}).code is ScriptError.ELEMENT_INVALID_VALUE


def test_the_nesting_of_steps_is_bounded() -> None:
    def nested(depth: int) -> dict[str, Any]:
        return {"cond": [{"when": "a", "then": [nested(depth - 1)]}]} if depth else HANGUP

    checked(nested(MAX_NESTING))
    assert refused(nested(MAX_NESTING + 1))[0] is ScriptError.NESTED_TOO_DEEP


def test_a_text_is_read_and_checked() -> None:
    document = read_document(b"sections:\n  main:\n    - hangup:\n", content_type="text/x-yaml", max_bytes=100)
    assert methods_of(document.sections["main"]) == ["hangup"]
    with pytest.raises(SwmlError) as caught:
        read_document("sections:\n  main: answer\n", max_bytes=100)
    assert caught.value.code is WRONG_TYPE


def test_no_error_repeats_a_value() -> None:
    number = "4111111111111111"
    for step in (
        {"play": {"url": number}},
        {"play": {"url": "say:a", "volume": number}},
        {"play": {"url": "say:a", "volume": int(number)}},
        {"hangup": {"reason": number}},
        {"goto": {"label": number}},
        {"request": {"url": number, "method": number}},
        {"send_digits": {"digits": number + "x"}},
        {"prompt": {"play": "say:a", "terminators": number + "x"}},
        {"connect": {"to": number, "headers": [number]}},
        {"connect": {"to": number, "call_state_events": [number]}},
    ):
        assert number not in str(refusal_of({"version": "1.0.0", "sections": {"main": [step]}}))
    assert number not in str(refusal_of({"version": number, "sections": {"main": []}}))
