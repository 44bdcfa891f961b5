"""How the Voice API names calls, conversations, numbers and times."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.dialects.ncco.identity import (
    call_id_of,
    call_uuid,
    conversation_of,
    conversation_uuid,
    direction_of,
    named_conversation,
    number_of,
    timestamp,
)
from engine.program import CallFacts

APP = "78d335fa-323d-0114-9c3d-d6f0d48968cf"
ROOMS = uuid.UUID("6b4a3a52-2c0c-4e0e-9d5c-5f0c4d3f7a11")
CALL, OTHER = "a" * 32, "b" * 32


def facts(parent_id: str = "") -> CallFacts:
    return CallFacts(call_id=CALL, direction="out", caller="1", dialled="2", parent_id=parent_id)


@given(st.uuids())
def test_the_uuid_of_a_call_is_its_id_and_leads_back_to_it(one: uuid.UUID) -> None:
    assert call_uuid(one.hex) == str(one)
    assert call_id_of(str(one)) == call_id_of(str(one).upper()) == one.hex


@pytest.mark.parametrize("text", ["", "a", CALL, f"{{{uuid.UUID(CALL)}}}", f"{uuid.UUID(CALL)}\n", "../etc/passwd"])
def test_what_is_no_uuid_is_no_call(text: str) -> None:
    assert call_id_of(text) == ""


@given(st.text(max_size=20))
def test_a_named_conversation_is_the_same_whenever_it_is_met(name: str) -> None:
    encoded = f"{APP}/{name}".encode(errors="replace").decode()
    assert named_conversation(APP, name) == f"CON-{uuid.uuid5(ROOMS, encoded)}"


def test_a_name_that_is_no_unicode_is_a_name_all_the_same() -> None:
    assert named_conversation(APP, "\ud800").startswith("CON-")


def test_conversations_of_two_applications_never_meet() -> None:
    assert named_conversation(APP, "room") != named_conversation(APP.replace("7", "8"), "room")


def test_a_call_begins_in_its_own_conversation_or_in_that_of_who_made_it() -> None:
    assert conversation_of(facts()) == conversation_uuid(CALL) == f"CON-{uuid.UUID(CALL)}"
    assert conversation_of(facts(OTHER)) == conversation_uuid(OTHER)


def test_numbers_are_without_the_plus() -> None:
    assert [number_of(text) for text in ("+1555", "1555", "anonymous", "")] == ["1555", "1555", "anonymous", ""]


def test_a_call_out_is_outbound() -> None:
    assert direction_of(facts()) == "outbound"


def test_times_are_utc_with_milliseconds() -> None:
    at = datetime(2021, 6, 23, 17, 27, 46, 999999, tzinfo=timezone(timedelta(hours=2)))
    assert timestamp(at) == "2021-06-23T15:27:46.999Z"
    assert timestamp(datetime(2021, 1, 1, tzinfo=UTC)) == "2021-01-01T00:00:00.000Z"
