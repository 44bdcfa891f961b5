"""What webhooks say of a call: members by member, and how they become a body or a query."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs

import pytest

from engine.dialects.ncco.events import (
    answer_members,
    answered_event,
    body_of,
    completed_event,
    error_event,
    input_event,
    payment_event,
    query_of,
    record_event,
    state_event,
    transfer_event,
    unanswered_status,
)
from engine.events import CallOutcome
from engine.program import CallFacts

UUID = "63f61863-4a51-4f0c-8b21-00a1b2c3d4e5"
CON = f"CON-{UUID}"
FACTS = CallFacts(call_id=UUID.replace("-", ""), direction="in", caller="+15551234567", dialled="+15557654321")
CALL = {"from": "15551234567", "to": "15557654321", "uuid": UUID, "conversation_uuid": CON}
AT = datetime(2021, 6, 23, 15, 27, 46, 479000, tzinfo=UTC)


def facts_with(headers: dict[str, str]) -> CallFacts:
    return CallFacts(call_id=FACTS.call_id, direction="in", caller="anonymous", dialled="shop", headers=headers)


def test_a_state_names_the_call_its_numbers_without_a_plus_and_its_direction() -> None:
    assert state_event(FACTS, CON, "ringing") == {**CALL, "status": "ringing", "direction": "inbound"}


def test_a_call_out_says_so() -> None:
    out = CallFacts(call_id=FACTS.call_id, direction="out", caller="+1", dialled="+2")
    assert state_event(out, CON, "started")["direction"] == "outbound"


def test_an_answer_tells_what_is_not_known_yet_as_null() -> None:
    told = answered_event(FACTS, CON)
    assert told["status"] == "answered"
    assert (told["start_time"], told["rate"], told["network"]) == (None, None, None)


def test_the_end_tells_how_long_the_call_was_up_in_whole_seconds_as_text() -> None:
    told = completed_event(FACTS, CON, answered_at=AT, ended_at=AT + timedelta(seconds=61.2))
    assert told == {
        **CALL,
        "status": "completed",
        "direction": "inbound",
        "start_time": "2021-06-23T15:27:46.479Z",
        "end_time": "2021-06-23T15:28:47.679Z",
        "duration": "61",
        "rate": "0.00",
        "price": "0.00",
        "network": None,
    }


def test_a_call_that_was_never_answered_lasted_no_second() -> None:
    told = completed_event(FACTS, CON, answered_at=None, ended_at=AT)
    assert (told["start_time"], told["duration"]) == (None, "0")


def test_a_clock_that_was_set_back_makes_no_negative_duration() -> None:
    assert completed_event(FACTS, CON, answered_at=AT, ended_at=AT - timedelta(hours=1))["duration"] == "0"


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (CallOutcome.BUSY, "busy"),
        (CallOutcome.REFUSED, "rejected"),
        (CallOutcome.NO_ANSWER, "timeout"),
        (CallOutcome.NOT_FOUND, "failed"),
        (CallOutcome.UNREACHABLE, "unanswered"),
        (CallOutcome.NO_MEDIA, "failed"),
        (CallOutcome.CANCELLED, "cancelled"),
        (None, "failed"),
    ],
)
def test_why_nobody_answered(outcome: CallOutcome | None, status: str) -> None:
    assert unanswered_status(outcome) == status


def test_every_outcome_has_a_state() -> None:
    assert all(unanswered_status(outcome) for outcome in CallOutcome)


def test_an_input_tells_keys_and_the_call() -> None:
    dtmf = {"digits": "12", "timed_out": False}
    assert input_event(FACTS, CON, {"speech": {}, "dtmf": dtmf}) == {"speech": {}, "dtmf": dtmf, **CALL}


def test_members_of_an_input_cannot_pass_for_those_of_the_call() -> None:
    assert input_event(FACTS, CON, {"uuid": "another"})["uuid"] == UUID


def test_a_recording() -> None:
    told = record_event(
        CON, recording=UUID, url="https://e.example/r", size=12, started_at=AT, ended_at=AT + timedelta(seconds=1)
    )
    assert told == {
        "start_time": "2021-06-23T15:27:46.479Z",
        "recording_url": "https://e.example/r",
        "size": 12,
        "recording_uuid": UUID,
        "end_time": "2021-06-23T15:27:47.479Z",
        "conversation_uuid": CON,
    }


def test_a_transfer() -> None:
    assert transfer_event(FACTS, before="CON-a", now="CON-b") == {
        "conversation_uuid_from": "CON-a",
        "conversation_uuid_to": "CON-b",
        "uuid": UUID,
        "type": "transfer",
    }


def test_an_error() -> None:
    assert error_event(CON, "Syntax error in NCCO. [0]: x") == {
        "reason": "Syntax error in NCCO. [0]: x",
        "conversation_uuid": CON,
    }


def test_a_payment_tells_no_more_than_its_status_unless_more_is_given() -> None:
    assert payment_event(FACTS, CON, status="success") == {**CALL, "type": "payment", "status": "success"}
    assert payment_event(FACTS, CON, status="failure", more={"reason": "x", "status": "y"}) == {
        **CALL,
        "type": "payment",
        "reason": "x",
        "status": "failure",
    }


def test_a_request_for_an_ncco_tells_headers_of_the_invite_but_the_vendors() -> None:
    facts = facts_with({"X-Order": "7", "x-lower": "a", "X-Nexmo-Secret": "no", "x-NEXMO": "no"})
    assert answer_members(facts, CON, region_url="https://e.example") == {
        "from": "anonymous",
        "to": "shop",
        "uuid": UUID,
        "conversation_uuid": CON,
        "endpoint_type": "phone",
        "region_url": "https://e.example",
        "SipHeader_X-Order": "7",
        "SipHeader_x-lower": "a",
    }


def test_without_a_public_address_there_is_no_region_url() -> None:
    assert "region_url" not in answer_members(FACTS, CON)


def test_bytes_of_a_header_that_are_no_text_are_question_marks() -> None:
    members = answer_members(facts_with({"X-A": "a\udcff"}), CON)
    assert members["SipHeader_X-A"] == "a?"
    assert b"SipHeader_X-A=a%3F" in query_of(members)


def test_a_body_is_json() -> None:
    assert json.loads(body_of({"a": [1, None, True, "\u00fc"]})) == {"a": [1, None, True, "\u00fc"]}


def test_a_query_has_text_as_it_is_nothing_for_null_and_json_for_the_rest() -> None:
    query = query_of({"t": "a&b=\u00fc", "n": None, "o": {"digits": "1#"}, "b": True, "i": 3, "l": []})
    assert parse_qs(query.decode(), keep_blank_values=True) == {
        "t": ["a&b=\u00fc"],
        "n": [""],
        "o": ['{"digits":"1#"}'],
        "b": ["true"],
        "i": ["3"],
        "l": ["[]"],
    }


def test_numbers_that_were_read_exactly_are_written_as_numbers() -> None:
    assert body_of({"a": Decimal("1.5"), "b": Decimal(12), "c": [Decimal("1E+2")]}) == b'{"a":1.5,"b":12,"c":[100]}'


def _nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("value", [math.nan, math.inf, Decimal("NaN"), Decimal("1E+999"), object(), _nested(100_000)])
def test_what_json_cannot_say_is_an_error_that_repeats_nothing(value: Any) -> None:
    for write in (body_of, query_of):
        with pytest.raises(ValueError, match=r"JSON") as caught:
            write({"a": value})
        assert len(str(caught.value)) < 80
