"""Whatever happens to calls of NCCO applications, their states are told once and in order; any request is written."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.dialects.ncco.actions import EventTarget
from engine.dialects.ncco.commands import FetchNcco
from engine.dialects.ncco.events import body_of, query_of
from engine.errors import ProgramError
from engine.net.http import HttpResponse, NotSent
from engine.programs.ncco.fetching import ask
from tests.fuzz.fuzz_ncco_legs import SEEDS, one_input
from tests.support.ncco_legs import LegScene, facts_of
from tests.support.programs import FakePrompts, FakeWeb, context_of
from tests.support.stepped_loop import on_stepped_loop, passes

TEXTS = st.text(max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
MEMBERS = st.dictionaries(TEXTS, JSON, max_size=5)
FIRST = EventTarget(url="https://app.example/answer", method="GET")
SPARE = EventTarget(url="https://spare.example/answer")
PASSING = (0, 429, 500, 502)
"Of what a URL answers with, that which is asked for once more; 0: nothing is sent."


@pytest.mark.parametrize("seed", SEEDS)
def test_what_has_been_seen(seed: bytes) -> None:
    one_input(seed)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60))
def test_any_happenings_in_any_order_tell_each_state_once_and_in_order(data: bytes) -> None:
    one_input(data)


@given(MEMBERS)
def test_a_body_is_what_was_told(members: dict[str, Any]) -> None:
    assert json.loads(body_of(members)) == members


@given(MEMBERS)
def test_a_query_is_what_was_told(members: dict[str, Any]) -> None:
    read = dict(parse_qsl(query_of(members).decode("ascii"), keep_blank_values=True))
    assert read.keys() == members.keys()
    for name, value in members.items():
        if isinstance(value, str):
            assert read[name] == value
        else:
            assert (json.loads(read[name]) if read[name] else None) == value


def _expected(answers: list[list[int]]) -> tuple[list[int], bool]:
    """Return how often each URL is asked, and whether somebody answers."""
    asked = []
    for statuses in answers:
        asked.append(1 if statuses[0] not in PASSING else 2)
        if 200 in (statuses[0], statuses[1] if asked[-1] == 2 else 0):
            return asked, True
    return asked, False


STATUSES = st.lists(st.sampled_from((200, 404, 400, *PASSING)), min_size=2, max_size=2)


@settings(max_examples=60, deadline=None)
@given(st.lists(STATUSES, min_size=1, max_size=2))
def test_each_url_is_asked_as_often_as_that_may_help_and_no_more(answers: list[list[int]]) -> None:
    @on_stepped_loop
    async def run() -> None:
        web = FakeWeb()
        targets = (FIRST, SPARE)[: len(answers)]
        for target, statuses in zip(targets, answers, strict=True):
            web.pages[target.url] = [
                HttpResponse(status=status, headers=(), body=b"[]") if status else NotSent("no connection")
                for status in statuses
            ]
        scene = LegScene()
        leg = scene.legs.watch(facts_of(), app="shop")
        fallback = targets[1] if len(targets) == 2 else None
        context = context_of(web, FakePrompts(), config=scene.config)
        command = FetchNcco(token=1, asking="answer", target=FIRST, fallback=fallback)
        asking = asyncio.ensure_future(ask(command, leg, context))
        await passes(10.0)
        counts, is_answered = _expected(answers)
        hosts = [urlsplit(url).hostname for url in web.urls]
        assert hosts == [
            urlsplit(target.url).hostname for target, count in zip(targets, counts, strict=False) for _ in range(count)
        ]
        error = asking.exception()
        assert (error is None) == is_answered
        assert error is None or isinstance(error, ProgramError)

    run()
