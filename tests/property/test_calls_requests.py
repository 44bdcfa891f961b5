"""Whatever comes to the Calls resource is an order that can be dialled, or an error of the client's."""

from __future__ import annotations

from urllib.parse import urlencode

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.fuzz_calls_requests import GOOD, SEEDS, one_input

NAMES = st.sampled_from(
    (
        *("To", "From", "Url", "Twiml", "ApplicationSid", "Method", "FallbackUrl", "StatusCallback", "Timeout"),
        *("StatusCallbackEvent", "SendDigits", "Record", "RecordingChannels", "TimeLimit", "CallerId", "Status"),
        *("PageSize", "Page", "PageToken", "StartTime", "StartTime<", "EndTime>", "ParentCallSid"),
    )
)
VALUES = st.text(max_size=40) | st.sampled_from(
    ("sip:a@b", "sip:a@b?X-A=1", "client:ann", "+1 555", "https://a/b", "true", "2026-01-31", "60", "w1#", "PA1-0")
)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_any_octets(data: bytes) -> None:
    one_input(data)


@settings(max_examples=120, deadline=None)
@given(st.dictionaries(NAMES, VALUES, max_size=8), st.booleans())
def test_any_parameters(fields: dict[str, str], usual: bool) -> None:
    one_input(urlencode((GOOD | fields) if usual else fields, errors="replace").encode())


def test_seeds() -> None:
    for seed in SEEDS:
        one_input(seed)
