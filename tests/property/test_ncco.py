"""NCCOs: whatever the text and whatever happens, it is read or refused, and comes to one end."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.dialects.ncco.errors import NccoError
from engine.dialects.ncco.reading import actions_of
from tests.fuzz import fuzz_ncco, fuzz_ncco_interpreter

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)
NAMES = st.sampled_from(
    (
        *(
            "text",
            "loop",
            "level",
            "bargeIn",
            "language",
            "streamUrl",
            "type",
            "dtmf",
            "speech",
            "timeOut",
            "maxDigits",
        ),
        *("eventUrl", "eventMethod", "format", "split", "channels", "endOnKey", "endOnSilence", "name", "canHear"),
        *("endpoint", "from", "timeout", "limit", "eventType", "ringbackTone", "payload", "amount", "prompts", "voice"),
    )
)
ACTIONS = st.sampled_from(("talk", "stream", "input", "record", "conversation", "connect", "notify", "wait", "pay"))
VALUES = JSON | st.sampled_from(("dtmf", ["dtmf"], "https://a.example/", ["/a"], 5, "5", {"timeOut": 5}, "synchronous"))
HAPPENS = st.lists(st.integers(1, 0x7F), max_size=40).map(bytes)
PAGES = st.lists(
    st.binary(min_size=1, max_size=40).map(lambda page: b"\x81" + page.replace(b"\0", b"\x19")), max_size=3
)


@settings(max_examples=50)
@given(value=JSON)
def test_any_json_is_an_ncco_or_refused(value: object) -> None:
    with suppress(NccoError):
        actions_of(value)
    fuzz_ncco.one_input(json.dumps(value).encode())


@settings(max_examples=200)
@given(action=ACTIONS, members=st.dictionaries(NAMES, VALUES, max_size=4))
@example(action="talk", members={"text": "Hi"})
def test_any_members_are_taken_or_refused(action: str, members: dict[str, Any]) -> None:
    fuzz_ncco.one_input(json.dumps([{"action": action, **members}]).encode())


@given(data=st.binary(max_size=60))
def test_any_octets_are_an_ncco_or_refused(data: bytes) -> None:
    fuzz_ncco.one_input(data)
    fuzz_ncco.one_input(b"[" + data + b"]")


@settings(max_examples=150)
@given(kind=st.integers(0, 15), happens=HAPPENS, pages=PAGES)
@example(kind=4, happens=b"\x10\x20", pages=[b"\x81\x01\x01"])
def test_whatever_happens_an_ncco_comes_to_one_end(kind: int, happens: bytes, pages: list[bytes]) -> None:
    fuzz_ncco_interpreter.one_input(b"\0".join([bytes([kind]) + happens, *pages]))


def test_the_seeds_of_the_fuzz_targets_hold() -> None:
    for seed in fuzz_ncco.SEEDS:
        fuzz_ncco.one_input(seed)
    for seed in fuzz_ncco_interpreter.SEEDS:
        fuzz_ncco_interpreter.one_input(seed)
        fuzz_ncco_interpreter.one_input(bytes([seed[0] ^ 8]) + seed[1:])


def test_the_seeds_of_the_reader_are_nccos_but_for_those_that_show_a_refusal() -> None:
    refused = 0
    for seed in fuzz_ncco.SEEDS:
        try:
            actions_of(json.loads(seed))
        except NccoError:
            refused += 1
    assert refused == 2
