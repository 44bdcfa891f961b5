"""Requests about recordings, whatever stands in them: a page, a recording that is begun, or an error of the client."""

from __future__ import annotations

from datetime import datetime
from types import SimpleNamespace
from typing import Any, cast

from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.api.errors import ApiError
from engine.api.twilio.answers import Form
from engine.api.twilio.recordings import EVENTS, created_between, number_of, recording_callback
from engine.config import Config

DATES = st.one_of(
    st.text(max_size=30),
    st.datetimes().map(datetime.isoformat),
    st.dates().map(lambda day: day.isoformat()),
    st.sampled_from(["9999-12-31", "0001-01-01T00:00:00+14:00", "2030-01-02T03:04:05Z", "2030-W01-1"]),
)
DEPS = cast(Any, SimpleNamespace(config=Config.model_validate({"sip": {"listen": "udp:127.0.0.1:0"}})))
URLS = st.one_of(
    st.text(max_size=40),
    st.text(max_size=20).map(lambda rest: "https://" + rest),
    st.sampled_from(
        ["https://[", "http://a.example/x", "https://a.example:99999/", "//a.example", "https://a.example/x"]
    ),
)


def refused_rightly(error: ApiError) -> None:
    assert error.status == 400
    assert error.message


@settings(max_examples=150, deadline=None)
@given(exact=DATES, after=DATES, before=DATES, which=st.sets(st.sampled_from(["", "<", ">"])))
@example(exact="9999-12-31", after="", before="", which={""})
def test_dates_of_a_list_are_times_or_refused(exact: str, after: str, before: str, which: set[str]) -> None:
    values = {"": exact, ">": after, "<": before}
    query = Form([(f"DateCreated{name}", values[name]) for name in sorted(which)])
    try:
        times = created_between(query)
    except ApiError as error:
        refused_rightly(error)
        return
    for time in times:
        assert time is None or time.tzinfo is not None


@settings(max_examples=150, deadline=None)
@given(text=st.one_of(st.text(max_size=20), st.integers().map(str)))
@example(text="²")
@example(text="9" * 5000)
def test_sizes_and_numbers_of_pages_are_within_bounds_or_refused(text: str) -> None:
    try:
        number = number_of(Form([("PageSize", text)]), "PageSize", 50, 1, 1000)
    except ApiError as error:
        refused_rightly(error)
    else:
        assert 1 <= number <= 1000


@settings(max_examples=150, deadline=None)
@given(
    url=URLS,
    method=st.sampled_from(["", "GET", "POST", "get", "PUT"]),
    events=st.lists(st.one_of(st.sampled_from([*EVENTS, "in-progress completed"]), st.text(max_size=12)), max_size=4),
)
def test_callbacks_can_be_told_or_are_refused(url: str, method: str, events: list[str]) -> None:
    pairs = [("RecordingStatusCallback", url), ("RecordingStatusCallbackMethod", method)]
    pairs += [("RecordingStatusCallbackEvent", event) for event in events]
    try:
        callback = recording_callback(Form(pairs), DEPS)
    except ApiError as error:
        refused_rightly(error)
        return
    if callback is None:
        assert not url
        return
    assert callback.url.startswith("https://"), "as long as nobody allows http"
    assert callback.method in ("GET", "POST")
    assert callback.events
    assert set(callback.events) <= set(EVENTS)
