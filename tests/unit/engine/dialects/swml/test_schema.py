"""The vendor's SDK as the judge: what its builders make is taken, and its schema and the engine refuse alike."""

from __future__ import annotations

import json
import re
from pathlib import Path
from textwrap import dedent
from typing import Any

import jsonschema_rs
import pytest
import signalwire
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from signalwire.core.function_result import FunctionResult
from signalwire.core.swml_builder import SWMLBuilder
from signalwire.core.swml_service import SWMLService

from engine.dialects.swml.arguments import METHODS, arguments_of
from engine.dialects.swml.checking import NOT_CARRIED_OUT, document_of, read_document
from engine.dialects.swml.errors import SwmlError
from engine.dialects.swml.methods import Document, Pay
from engine.dialects.swml.reading import read

SCHEMA: dict[str, Any] = json.loads((Path(signalwire.__file__).parent / "schema.json").read_text())
VALIDATOR = jsonschema_rs.validator_for(SCHEMA)
URL = "https://app.example/x"


def schema_takes(document: object) -> bool:
    return VALIDATOR.is_valid(document)


def engine_takes(document: object) -> bool:
    try:
        checked = document_of(document)
    except SwmlError:
        return False
    _ask(checked)
    return True


def _ask(document: Document) -> None:
    """Make the arguments of each step that has no variables."""
    sections = [*document.sections.values()]
    for section in sections:
        for step in section:
            sections += step.blocks.values()
            if not re.search(r"[$%]\{", json.dumps(step.argument)):
                arguments_of(step, step.argument)


def of_main(*steps: object) -> dict[str, Any]:
    return {"version": "1.0.0", "sections": {"main": list(steps)}}


def test_each_method_of_the_schema_is_carried_out_or_known_to_be_refused() -> None:
    names = set()
    for item in SCHEMA["$defs"]["SWMLMethod"]["anyOf"]:
        (name,) = SCHEMA["$defs"][item["$ref"].rpartition("/")[2]]["properties"]
        names.add(name)
    assert names == METHODS | NOT_CARRIED_OUT
    assert not METHODS & NOT_CARRIED_OUT


# -- what the SDK makes


@pytest.fixture
def builder() -> SWMLBuilder:
    return SWMLBuilder(SWMLService(name="shop", route="/swml", basic_auth=("shop", "secret")))


def test_a_document_of_the_builder_is_taken(builder: SWMLBuilder) -> None:
    made: Any = builder
    made.answer(max_duration=600, codecs="PCMU,PCMA")
    made.say("Good evening.", voice="Polly.Joanna", language="en-US", gender="female", volume=3)
    made.play(urls=["say: One moment", "silence: 1.5", "ring:2:us", URL], volume=-2.5, auto_answer=False)
    made.prompt(play="say:Press 1", max_digits=1, terminators="#", digit_timeout=3.5, initial_timeout=8)
    made.switch(variable="prompt_value", case={"1": [{"transfer": {"dest": "pay"}}]}, default=[{"hangup": {}}])
    made.sleep(500)
    made.request(url=URL, method="POST", headers={"X-A": "b"}, body={"a": 1}, save_variables=True, timeout=2.5)
    made.record(beep=True, format="mp3", direction="speak", terminators="#", max_length=30, end_silence_timeout=2.5)
    made.record_call(control_id="r1", stereo=True, format="wav", direction="both")
    made.stop_record_call(control_id="r1")
    made.connect(to="+15550100", answer_on_bridge=True, timeout=20, ringback=["ring:us"])
    made.execute(dest="pay", params={"a": 1}, on_return=[{"hangup": {}}])
    made.send_digits(digits="1w2#")
    made.sip_refer(to_uri="sip:desk@example.com")
    made.user_event(event={"kind": "shop"})
    made.set(a=1)
    made.transfer(dest="pay", params={"a": 1})
    made.hangup(reason="busy")
    made.add_section("pay")
    service = made.service
    assert service.add_verb_to_section(
        "pay", "pay", {"payment_connector_url": URL, "timeout": 7, "security_code": False}
    )
    document = read_document(made.render(), content_type="application/json", max_bytes=1 << 16)
    missing = METHODS - {step.method for step in document.sections["main"]}
    assert missing == {"cond", "label", "unset", "return", "goto", "pay"}  # objects, and no labels, only
    assert document_of(made.build()) == document
    _ask(document)


PAYMENTS = [
    FunctionResult("ok").pay(URL),
    FunctionResult("ok").pay(
        URL,
        status_url=URL,
        timeout=10,
        max_attempts=3,
        security_code=False,
        postal_code="02134",
        min_postal_code_length=5,
        token_type="one-time",
        charge_amount="10.50",
        currency="pln",
        language="pl-PL",
        voice="Polly.Ewa",
        description="Bilet",
        valid_card_types="visa mastercard",
        parameters=[FunctionResult.create_payment_parameter("order", "A-1")],
        prompts=[
            FunctionResult.create_payment_prompt(
                "payment-card-number",
                [
                    FunctionResult.create_payment_action("Say", "Prosze podac numer karty"),
                    FunctionResult.create_payment_action("Play", "https://cdn.example/number.wav"),
                ],
                card_type="visa",
                error_type="timeout invalid-card-number",
            )
        ],
    ),
]


@pytest.mark.parametrize("result", PAYMENTS, ids=["least", "most"])
def test_a_payment_that_a_function_wants_is_taken(result: FunctionResult) -> None:
    (action,) = result.to_dict()["action"]
    document = read_document(json.dumps(action["SWML"]), max_bytes=1 << 16)
    told, pay = document.sections["main"]
    assert (told.method, pay.method) == ("set", "pay")
    arguments = arguments_of(pay, pay.argument)
    assert isinstance(arguments, Pay)
    assert arguments.properties["payment_connector_url"] == URL
    assert isinstance(arguments.properties["timeout"], str)


@pytest.mark.parametrize(
    "result",
    [
        FunctionResult("x").connect("+15550100"),
        FunctionResult("x").connect("sip:a@example.com", final=False, from_addr="+15550101"),
        FunctionResult("x").record_call(control_id="a", stereo=True, format="mp3", max_length=5.5, terminators="#"),
        FunctionResult("x").record_call(),
        FunctionResult("x").stop_record_call("a"),
        FunctionResult("x").stop_record_call(),
        FunctionResult("x").sip_refer("sip:a@example.com"),
        FunctionResult("x").swml_transfer(URL, "Goodbye"),
        FunctionResult("x").swml_user_event({"a": 1}),
    ],
)
def test_what_else_a_function_wants_is_taken(result: FunctionResult) -> None:
    for action in result.to_dict()["action"]:
        assert engine_takes(action["SWML"])


# -- documents as they are written by hand

BY_HAND = {
    "charge": """
        version: 1.0.0
        sections:
          main:
            - answer: {}
            - pay:
                payment_connector_url: https://gw.example/pay
                charge_amount: "20.45"
                currency: usd
    """,
    "tokenize": """
        sections:
          main:
            - pay: {payment_connector_url: "https://gw.example/pay", token_type: one-time, security_code: false}
            - play: {url: "say: Your card is on file."}
    """,
    "retry": """
        version: 1.0.0
        sections:
          main:
            - pay:
                payment_connector_url: https://gw.example/pay
                charge_amount: "5.00"
                max_attempts: 3
                timeout: 10
                prompts:
                  - for: payment-card-number
                    attempts: "2 3"
                    error_type: timeout invalid-card-number
                    actions:
                      - {type: Say, phrase: Let us try this once more.}
                      - {type: Play, phrase: https://cdn.example/number.wav}
    """,
    "parameters": """
        sections:
          main:
            - pay:
                payment_connector_url: https://gw.example/pay
                parameters:
                  - {name: order, value: A-7}
                  - {name: branch, value: "0012"}
                postal_code: "02134"
    """,
    "polish": """
        sections:
          main:
            - pay:
                payment_connector_url: https://gw.example/pay
                charge_amount: "49.90"
                currency: pln
                language: pl-PL
                prompts:
                  - for: security-code
                    card_type: visa mastercard
                    actions: [{type: Say, phrase: Proszę podać trzy cyfry z tyłu karty.}]
    """,
    "outcome": """
        sections:
          main:
            - pay: {payment_connector_url: "https://gw.example/pay", charge_amount: "1.00"}
            - cond:
                - when: pay_result == 'success'
                  then:
                    - play: {url: "say: Thank you, ${pay_payment_results.payment_confirmation_code}."}
                    - hangup: {}
                - when: pay_result == 'too-many-failed-attempts'
                  then:
                    - transfer: {dest: help}
                - else:
                    - request:
                        url: https://app.example/failed
                        method: POST
                        body: {result: "${pay_result}", error: "%{pay_payment_results.payment_error}"}
          help:
            - connect: {to: "+15550100", timeout: 30}
    """,
}


@pytest.mark.parametrize("name", BY_HAND)
def test_a_document_by_hand_is_taken_as_yaml_and_as_json(name: str) -> None:
    text = dedent(BY_HAND[name])
    data = read(text, content_type="application/yaml", max_bytes=1 << 16)
    assert schema_takes(data)
    document = read_document(text, max_bytes=1 << 16)
    assert document == read_document(json.dumps(data), content_type="application/json", max_bytes=1 << 16)
    assert data == yaml.safe_load(text)
    _ask(document)


# -- the schema


ALIKE: list[dict[str, Any]] = [
    {"answer": {}},
    {"answer": {"max_duration": 60, "codecs": "PCMU"}},
    {"answer": {"volume": 1}},
    {"answer": "now"},
    {"hangup": {"reason": "busy"}},
    {"hangup": {"reason": "bored"}},
    {"hangup": []},
    {"play": {"url": "say:a"}},
    {"play": {"url": "ring:3.5:us", "volume": 40, "auto_answer": False, "status_url": URL}},
    {"play": {"urls": ["say: a", "silence: 2", "ring: us", "https://a.example/b"]}},
    {"play": {"url": "${greeting}"}},
    {"play": {}},
    {"play": {"url": "say:a", "urls": ["say:b"]}},
    {"play": {"url": "hello"}},
    {"play": {"url": "say:a", "volume": 41}},
    {"play": {"url": "say:a", "loop": 2}},
    {"play": {"urls": "x"}},
    {"prompt": {"play": "say:a"}},
    {"prompt": {"play": ["say:a", "silence:1"], "max_digits": 4, "terminators": "#", "digit_timeout": 2.5}},
    {"prompt": {"play": "say:a", "speech_hints": ["yes"], "speech_language": "en-US", "volume": -3}},
    {"prompt": {"max_digits": 4}},
    {"prompt": {"play": "say:a", "max_digits": "many"}},
    {"prompt": {"play": "say:a", "digits": 4}},
    {"cond": [{"when": "a", "then": [{"hangup": {}}], "else": []}, {"else": []}]},
    {"cond": []},
    {"cond": {"when": "a", "then": []}},
    {"cond": [{"then": []}]},
    {"cond": [{"when": "a"}]},
    {"cond": [{"when": "a", "then": [{"nothing": {}}]}]},
    {"switch": {"variable": "a", "case": {"1": [{"hangup": {}}]}, "default": []}},
    {"switch": {"variable": "a", "case": {}}},
    {"switch": {"case": {}}},
    {"switch": {"variable": "a"}},
    {"switch": {"variable": "a", "case": {"1": {"hangup": {}}}}},
    {"connect": {"to": "+15550100", "from": "+15550101", "timeout": 20, "headers": [{"name": "X-A", "value": "b"}]}},
    {"connect": {"serial": [{"to": "a"}, {"to": "b"}], "ringback": ["ring:us"]}},
    {"connect": {"parallel": [{"to": "a", "timeout": 5}], "ringback": {"url": "say:a", "volume": 2}}},
    {"connect": {"serial_parallel": [[{"to": "a"}, {"to": "b"}], [{"to": "c"}]], "answer_on_bridge": True}},
    {"connect": {"to": "a", "confirm": [{"play": {"url": "say:a"}}], "confirm_timeout": 9}},
    {"connect": {"to": "a", "result": {"case": {"connected": []}}, "call_state_events": ["ringing", "ended"]}},
    {"connect": {}},
    {"connect": {"to": "a", "serial": [{"to": "b"}]}},
    {"connect": {"serial": [{"from": "a"}]}},
    {"connect": {"to": "a", "colour": "red"}},
    {"connect": {"to": "a", "headers": [{"name": "X"}]}},
    {"connect": {"to": "a", "call_state_events": ["over"]}},
    {"connect": {"to": "a", "ringback": {"url": "say:a", "colour": 1}}},
    {"execute": {"dest": "main", "params": {"a": 1}, "meta": {}, "on_return": [{"hangup": {}}]}},
    {"execute": {"dest": URL, "result": [{"when": "a", "then": []}]}},
    {"execute": {"dest": URL, "result": {"variable": "a", "case": {"1": []}}}},
    {"execute": {}},
    {"execute": {"dest": "main", "params": []}},
    {"execute": {"dest": "main", "on_return": {}}},
    {"execute": {"dest": "main", "result": 1}},
    {"goto": {}},
    {"goto": {"label": "here", "max": 101}},
    {"goto": {"label": "here", "max": 5, "when": "a"}},
    {"label": {}},
    {"transfer": {"dest": URL, "params": {"a": 1}}},
    {"transfer": {}},
    {"transfer": URL},
    {"return": None},
    {"return": {"a": [1]}},
    {"set": {"a": 1, "b.c": [None]}},
    {"set": "a"},
    {"unset": "a"},
    {"unset": ["a", "b"]},
    {"unset": [1]},
    {"unset": {"a": 1}},
    {"sleep": 500},
    {"sleep": {"duration": -1}},
    {"sleep": "${ms}"},
    {"sleep": {}},
    {"sleep": {"duration": -2}},
    {"sleep": "long"},
    {"request": {"url": URL, "method": "GET"}},
    {"request": {"url": URL, "method": "POST", "headers": {"A": "b"}, "body": {"a": 1}, "save_variables": True}},
    {"request": {"url": URL}},
    {"request": {"url": URL, "method": "BREW"}},
    {"request": {"url": URL, "method": "GET", "body": [1]}},
    {"record": {}},
    {"record": {"stereo": True, "format": "mp4", "direction": "listen", "beep": True, "max_length": 2.5}},
    {"record": {"direction": "both"}},
    {"record": {"format": "ogg"}},
    {"record": {"control_id": "a"}},
    {"record_call": {"control_id": "a", "direction": "both", "format": "wav"}},
    {"record_call": {"direction": "none"}},
    {"stop_record_call": {}},
    {"stop_record_call": {"control_id": "a"}},
    {"stop_record_call": {"id": "a"}},
    {"send_digits": {"digits": "12#"}},
    {"send_digits": {}},
    {"sip_refer": {"to_uri": "sip:a@example.com", "username": "u", "password": "p"}},
    {"sip_refer": {}},
    {"user_event": {"event": {"a": 1}}},
    {"user_event": {"event": "a"}},
    {"user_event": {}},
    {"pay": {"payment_connector_url": URL}},
    {"pay": {"payment_connector_url": URL, "charge_amount": "1.00", "max_attempts": 2, "postal_code": "94105"}},
    {"pay": {"payment_connector_url": URL, "prompts": [{"for": "a", "actions": [{"type": "Say", "phrase": "b"}]}]}},
    {"pay": {"charge_amount": "1.00"}},
    {"pay": {"payment_connector_url": URL, "amount": "1.00"}},
    {"pay": {"payment_connector_url": URL, "parameters": [{"name": "a"}]}},
    {"pay": {"payment_connector_url": URL, "prompts": [{"actions": []}]}},
    {"pay": {"payment_connector_url": URL, "prompts": [{"for": "a", "actions": [{"type": "Say"}]}]}},
    {"pay": {"payment_connector_url": URL, "prompts": [{"for": "a", "actions": [], "attempt": "1"}]}},
    {},
    {"answer": {}, "hangup": {}},
    {"nothing": {}},
]


@pytest.mark.parametrize("step", ALIKE, ids=[json.dumps(step)[:60] for step in ALIKE])
def test_the_schema_and_the_engine_agree(step: dict[str, Any]) -> None:
    document = of_main({"label": "here"}, step)
    assert engine_takes(document) == schema_takes(document)


def test_the_table_has_both_kinds_for_most_methods() -> None:
    taken = {next(iter(step)) for step in ALIKE if step and schema_takes(of_main(step))}
    refused = {next(iter(step)) for step in ALIKE if step and not schema_takes(of_main(step))}
    assert taken >= METHODS - {"label"}
    assert len(refused & METHODS) >= len(METHODS) - 2


@pytest.mark.parametrize(
    "document",
    [
        {"sections": {"main": []}},
        {"sections": {"main": [], "other": [{"hangup": {}}]}},
        {"version": "2.0.0", "sections": {"main": []}},
        {"version": "1.0.0"},
        {"sections": {}},
        {"sections": {"other": []}},
        {"sections": {"main": {}}},
        {"sections": {"main": None}},
        {"sections": {"main": ["answer"]}},
        {"sections": {"main": []}, "other": []},
        [],
        "main",
    ],
)
def test_the_schema_and_the_engine_agree_on_what_a_document_is(document: object) -> None:
    assert engine_takes(document) == schema_takes(document)


MORE_THAN_THE_SCHEMA: list[dict[str, Any]] = [
    # D-24: a scalar may be of another type, as the vendor's own helpers send it.
    {"answer": {"max_duration": "60"}},
    {"play": {"url": "say:a", "volume": "3", "auto_answer": "true"}},
    {"prompt": {"play": "say:a", "max_digits": "4", "terminators": 5}},
    {"sleep": "500"},
    {"connect": {"to": 15550100}},
    {"pay": {"payment_connector_url": URL, "timeout": "7", "security_code": "true", "charge_amount": 10.5}},
    # Any case of a word, and a value of pay: what is wrong there is an outcome of the payment (D-29).
    {"request": {"url": URL, "method": "get"}},
    {"pay": {"payment_connector_url": URL, "input": "speech"}},
    # A placeholder within a text whose form the schema wants.
    {"play": {"url": "${base}/a.mp3"}},
    # Nothing given: "- hangup:" of YAML.
    {"hangup": None},
    {"answer": {"max_duration": None}},
]
LESS_THAN_THE_SCHEMA: list[dict[str, Any]] = [
    # What could not be carried out, or does not say what to do.
    {"play": {"url": "silence:"}},
    {"play": {"url": "https://"}},
    {"prompt": {"play": "say:a", "max_digits": 0}},
    {"prompt": {"play": "say:a", "terminators": "x"}},
    {"cond": [{"else": []}, {"when": "a", "then": []}]},
    {"connect": {"to": ""}},
    {"connect": {"serial": []}},
    {"connect": {"to": "a", "webrtc_media": True}},
    {"connect": {"to": "a", "encryption": "mandatory"}},
    {"goto": {"label": "nowhere"}},
    {"send_digits": {"digits": "abc"}},
    {"request": {"url": "ftp://a.example", "method": "GET"}},
    {"request": {"url": URL, "method": "GET", "headers": {"Host": "b"}}},
    # What this engine does not do.
    {"denoise": {}},
    {"tap": {"uri": "rtp://a.example:9"}},
]


@pytest.mark.parametrize("step", MORE_THAN_THE_SCHEMA, ids=json.dumps)
def test_more_is_taken_than_the_schema_takes(step: dict[str, Any]) -> None:
    assert engine_takes(of_main(step))
    assert not schema_takes(of_main(step))


@pytest.mark.parametrize("step", LESS_THAN_THE_SCHEMA, ids=json.dumps)
def test_what_cannot_be_carried_out_is_refused_although_the_schema_takes_it(step: dict[str, Any]) -> None:
    assert not engine_takes(of_main(step))
    assert schema_takes(of_main(step))


# -- documents of our own making

WORDS = st.text("abcz019 _-", min_size=1, max_size=8).map(lambda text: f"w{text}w")
URLS = st.one_of(
    WORDS.map(lambda word: f"say: {word}"),
    st.integers(0, 99).map(lambda length: f"silence:{length}"),
    st.sampled_from(["ring:us", "ring:2.5:pl", "https://a.example/b?c", "http://a.example"]),
)
FLAGS = st.sampled_from([True, False, "${flag}", "%{flag}"])
VOLUMES = st.one_of(st.integers(-40, 40), st.floats(-40, 40, allow_nan=False))


def _some(required: dict[str, Any], **optional: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(required, optional=optional)


LEAVES = st.one_of(
    _some({}, max_duration=st.integers(1, 86400), codecs=WORDS).map(lambda a: {"answer": a}),
    _some({}, reason=st.sampled_from(["hangup", "busy", "decline"])).map(lambda a: {"hangup": a}),
    _some({"url": URLS}, volume=VOLUMES, auto_answer=FLAGS, say_voice=WORDS).map(lambda a: {"play": a}),
    _some({"urls": st.lists(URLS, max_size=3)}, say_gender=WORDS, status_url=st.just(URL)).map(lambda a: {"play": a}),
    _some(
        {"play": st.one_of(URLS, st.lists(URLS, max_size=2))},
        max_digits=st.integers(1, 1000),
        terminators=st.text("0123456789*#", max_size=3),
        digit_timeout=st.integers(0, 60),
        speech_hints=st.lists(WORDS, max_size=2),
    ).map(lambda a: {"prompt": a}),
    _some({}, stereo=FLAGS, format=st.sampled_from(["wav", "mp3", "mp4"]), beep=FLAGS).map(lambda a: {"record": a}),
    _some({}, control_id=WORDS, direction=st.sampled_from(["speak", "both"])).map(lambda a: {"record_call": a}),
    _some(
        {"url": st.just(URL), "method": st.sampled_from(["GET", "POST", "PUT", "DELETE"])},
        headers=st.dictionaries(st.just("X-A"), WORDS),
        body=st.one_of(WORDS, st.dictionaries(WORDS, st.integers(0, 9), max_size=2)),
        save_variables=FLAGS,
    ).map(lambda a: {"request": a}),
    _some({"to": WORDS}, timeout=st.integers(1, 600), ringback=st.lists(URLS, max_size=2), answer_on_bridge=FLAGS).map(
        lambda a: {"connect": a}
    ),
    _some({"payment_connector_url": st.just(URL)}, timeout=st.integers(1, 9), postal_code=st.booleans()).map(
        lambda a: {"pay": a}
    ),
    st.integers(-1, 10**6).map(lambda length: {"sleep": length}),
    st.dictionaries(WORDS, st.one_of(st.none(), st.booleans(), WORDS), max_size=3).map(lambda a: {"set": a}),
    st.one_of(WORDS, st.lists(WORDS, max_size=3)).map(lambda names: {"unset": names}),
    st.text("0123456789*#ABCDWw", min_size=1, max_size=9).map(lambda digits: {"send_digits": {"digits": digits}}),
    st.one_of(st.none(), WORDS, st.lists(st.integers(), max_size=2)).map(lambda value: {"return": value}),
)


def _nested(steps: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    block = st.lists(steps, max_size=2)
    branch = _some({"when": WORDS, "then": block}, **{"else": block})
    cases = st.dictionaries(WORDS, block, max_size=2)
    return st.one_of(
        st.lists(branch, max_size=2).map(lambda a: {"cond": a}),
        _some({"variable": WORDS, "case": cases}, default=block).map(lambda a: {"switch": a}),
        _some({"dest": WORDS}, on_return=block, result=st.lists(branch, max_size=2)).map(lambda a: {"execute": a}),
        _some({"to": WORDS, "result": _some({"case": cases}, default=block)}).map(lambda a: {"connect": a}),
    )


STEPS = st.recursive(LEAVES, _nested, max_leaves=6)


@settings(max_examples=25, deadline=None)
@given(steps=st.lists(STEPS, max_size=4), other=st.lists(STEPS, max_size=2))
def test_documents_of_our_own_making_are_taken_by_both(steps: list[Any], other: list[Any]) -> None:
    document = {"version": "1.0.0", "sections": {"main": steps, "other": other}}
    assert engine_takes(document)
    assert schema_takes(document)


@settings(max_examples=25, deadline=None)
@given(step=STEPS, name=st.sampled_from(["colour", "Url", "to_", "whenn"]))
def test_a_parameter_that_the_schema_does_not_know_is_refused_by_both(step: dict[str, Any], name: str) -> None:
    ((method, argument),) = step.items()
    if isinstance(argument, dict) and method not in ("set", "return"):
        document = of_main({method: {**argument, name: "red"}})
        assert not schema_takes(document)
        assert not engine_takes(document)
