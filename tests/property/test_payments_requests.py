"""Any form to the Payments resource is a request in its bounds or a refusal; any course of a session ends once."""

from __future__ import annotations

from collections import Counter
from typing import Any
from urllib.parse import urlencode

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.dialects.payments import CAPTURES, RequestRefused
from engine.programs.cover import LONGEST_PRESS_S, RUN_ON_S
from tests.fuzz import fuzz_payments_requests
from tests.support.agent_desk import VISA, AgentDesk
from tests.support.stepped_loop import on_stepped_loop, passes

NAMES = (
    *("IdempotencyKey", "StatusCallback", "BankAccountType", "ChargeAmount", "Currency", "Description", "Input"),
    *("MinPostalCodeLength", "Parameter", "PaymentConnector", "PaymentMethod", "PostalCode", "SecurityCode"),
    *("Timeout", "TokenType", "ValidCardTypes", "RequireMatchingInputs", "Confirmation", "Capture", "Status"),
)
TEXTS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(("true", "false", "0", "12.50", "ach-debit", "usd", '{"a": 1}', "complete", *CAPTURES)),
)
FORMS = st.dictionaries(st.sampled_from(NAMES), TEXTS, max_size=8)


def test_the_seeds_are_read() -> None:
    for seed in fuzz_payments_requests.SEEDS:
        fuzz_payments_requests.one_input(seed)


@settings(max_examples=150, deadline=None)
@given(FORMS, st.booleans())
def test_any_form_is_a_request_or_a_refusal(form: dict[str, str], with_always: bool) -> None:
    body = urlencode(form, errors="surrogatepass").encode("ascii")
    fuzz_payments_requests.one_input(fuzz_payments_requests.ALWAYS * with_always + body)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_form_or_none(data: bytes) -> None:
    fuzz_payments_requests.one_input(data)


# -- the course of a session -----------------------------------------------------------------------------------------

ENTRIES = ("4111111111111111#", "1228", "123", "94105#", "5555555555554444", "#", "*", "1", "2", "7")
STEPS = st.one_of(
    st.tuples(st.just("capture"), st.sampled_from(CAPTURES)),
    st.tuples(st.just("keys"), st.sampled_from(ENTRIES)),
    st.tuples(st.just("all"), st.just("")),
    st.tuples(st.just("status"), st.sampled_from(("complete", "cancel"))),
    st.tuples(st.just("waits"), st.sampled_from((0.1, 1.0, 3.0, 30.0))),
    st.tuples(st.just("create"), st.sampled_from(("k1", "k2"))),
    st.tuples(st.just("prompt"), st.just("")),
    st.tuples(st.just("hangs up"), st.just("")),
)


@settings(max_examples=80, deadline=None)
@given(st.lists(STEPS, max_size=25), st.booleans())
def test_any_course_ends_each_session_once_and_shows_no_key_to_anybody(steps: list[Any], confirm: bool) -> None:
    @on_stepped_loop
    async def check() -> None:
        desk = AgentDesk()
        sessions = [desk.create(Confirmation=str(confirm).lower(), RequireMatchingInputs="security-code")]
        for what, value in steps:
            before = len(desk.program.keys)
            assert _code_of(desk, sessions, what, value) in (0, 21220, 64019, 64020, 64021)
            if what == "waits":
                await passes(value)
            if what == "prompt" and desk.call.tokens:
                desk.prompt_ends()
            if what == "all":
                assert len(desk.program.keys) == before
            assert desk.call.recording_holds in (0, 1)
        desk.hang_up()
        await passes(LONGEST_PRESS_S + RUN_ON_S)
        await desk.done()
        results = Counter(told["Sid"] for told in desk.told if "Result" in told)
        assert results == Counter({session["sid"]: 1 for session in sessions})
        assert len(desk.charging.submissions) <= len(sessions)
        for told in desk.told:
            assert VISA[:6] not in str(told)
            assert set(told.get("SecurityCode", "")) <= {"x"}
        assert not desk.call.guard.busy

    check()


def _code_of(desk: AgentDesk, sessions: list[dict[str, Any]], what: str, value: Any) -> int:
    try:
        _do(desk, sessions, what, value)
    except RequestRefused as refused:
        return refused.code
    return 0


def _do(desk: AgentDesk, sessions: list[dict[str, Any]], what: str, value: Any) -> None:
    session = sessions[-1]
    match what:
        case "capture":
            desk.update(session, Capture=value, IdempotencyKey=value)
        case "keys":
            desk.press(value)
        case "all":
            desk.capture_all(session)
            desk.update(session, Capture="security-code-matcher")
            desk.press("123")
        case "status":
            desk.update(session, Status=value)
        case "create":
            body = desk.create(IdempotencyKey=value)
            if body["sid"] not in [known["sid"] for known in sessions]:
                sessions.append(body)
        case "hangs up":
            desk.hang_up()
