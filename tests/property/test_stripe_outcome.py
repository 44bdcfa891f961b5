"""The Stripe connector never lies about money, whatever happens to its requests and answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.connectors import Stripe
from engine.connectors.stripe import SEARCHABLE_S
from engine.net.http import BadAnswer, HttpResponse, NotSent, Unanswered
from engine.pay.submission import ConnectorAnswer, Operation, Outcome, TokenType
from tests.support.fake_stripe import KEY, WANTS_PAYER, Asked, FakeStripe
from tests.support.payments import VISA, SlidingClock, submission_of

TRANSACTION = "7f4c9d0a-2d8e-4a55-9a0e-5f1c6b7d8e90"
CARDS, CHARGES = "/v1/payment_methods", "/v1/payment_intents"
URL = "http://stripe.example"
"Without TLS only to save loading authorities for each example."
NOISE = b"<html>"


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


def response(status: int, body: bytes, **headers: str) -> HttpResponse:
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return HttpResponse(status=status, headers=pairs, body=body)


class Line:
    """A line to a strict account that loses, delays and ruins what goes over it, by script."""

    def __init__(self, script: list[str], *, moto: bool = True) -> None:
        self.account = FakeStripe(moto=moto)
        self.asked: list[Asked] = []
        self.late: list[Asked] = []
        "Requests that are still under way."
        self._script = [*script]

    async def __call__(
        self, method: str, url: str, *, headers: dict[str, str], body: bytearray, **_: object
    ) -> HttpResponse:
        parts = urlsplit(url)
        lower = {name.lower(): value for name, value in headers.items()} | {"connection": "close"}
        target = parts._replace(scheme="", netloc="").geturl()
        asked = Asked(method=method, target=target, headers=lower, body=bytes(body))
        self.asked.append(asked)
        step = self._script.pop(0) if self._script else "ok"
        if step == "not_sent":
            raise NotSent("x")
        if step == "late":
            self.late.append(asked)
            raise Unanswered("x")
        if step == "arrives":
            self.arrive()
        oops: tuple[int, dict[str, Any]] = (500, {"error": {"type": "api_error"}})
        if step == "kept_500":
            self.account.keep(asked, oops)
        elif step == "kept_500_after":
            self.account.answer(asked, kept=oops)
        elif step.endswith("_after"):
            self.account.answer(asked)
        kind = step.removesuffix("_after")
        if kind == "lost":
            raise Unanswered("x")
        if kind == "garbled":
            raise BadAnswer("x")
        if kind == "moved":
            raise BadAnswer("x", status=307)
        if kind == "noise":
            return response(200, NOISE)
        if kind.isdigit():
            return response(int(kind), NOISE)
        (status, answer), was_kept = self.account.answer(asked)
        again: dict[str, str] = {"stripe_should_retry": "false"} if was_kept and status == 500 else {}
        return response(status, json.dumps(answer).encode(), **again)

    def heal(self) -> None:
        """Carry everything from now on."""
        self._script.clear()

    def arrive(self) -> None:
        """Let everything arrive that is under way."""
        for asked in self.late:
            self.account.answer(asked)
        self.late.clear()


STEPS = [
    *("ok", "ok", "not_sent", "late", "arrives", "lost", "lost_after", "garbled", "garbled_after", "moved_after"),
    *("noise", "noise_after", "500", "500_after", "kept_500", "kept_500_after", "503", "409", "409_after", "408"),
    *("429", "404", "401", "400"),
]
NUMBERS = [VISA, VISA, "4000000000009995", "4000000000000119", "4000000000000341", WANTS_PAYER, "4242424242424241"]


@settings(max_examples=300)
@given(
    script=st.lists(st.sampled_from(STEPS), max_size=10),
    number=st.sampled_from(NUMBERS),
    moto=st.booleans(),
    repeats=st.integers(0, 4),
)
@example(script=["ok", "lost_after", "not_sent", "404"], number=VISA, moto=True, repeats=4)
@example(script=["ok", "late", "429"], number=VISA, moto=True, repeats=1)
@example(script=["kept_500", "ok", "kept_500_after"], number=VISA, moto=True, repeats=4)
def test_money_taken_is_never_called_refused_nor_taken_twice(
    runner: asyncio.Runner, script: list[str], number: str, moto: bool, repeats: int
) -> None:
    line, now = Line(script), [0.0]
    connector = Stripe(
        "gw",
        url=URL,
        key=KEY,
        allow_insecure=True,
        repeats=repeats,
        moto=moto,
        sleep=SlidingClock().sleep,
        send=line,
        clock=lambda: now[0],
    )
    submission = submission_of(number)
    answer = runner.run(connector.submit(submission))
    assert submission.card_number is not None
    assert submission.card_number.wiped
    line.arrive()
    is_charged = line.account.charges == {TRANSACTION: 1}
    assert is_charged or line.account.charges == {}
    if is_charged:
        assert answer.outcome in (Outcome.SUCCEEDED, Outcome.UNKNOWN)
    if answer.outcome is Outcome.SUCCEEDED:
        assert is_charged
    if answer.outcome is Outcome.DECLINED:
        assert number != VISA
    charges = [asked for asked in line.asked if asked.path == CHARGES]
    assert {asked.key for asked in charges} <= {TRANSACTION}
    assert len({asked.body for asked in charges}) <= 1
    assert all(len([a for a in line.asked if a.path == path]) <= repeats + 1 for path in (CARDS, CHARGES))
    if not charges:
        assert answer.outcome in (Outcome.FAILED, Outcome.DECLINED)

    line.heal()
    line.account.index()
    now[0] += SEARCHABLE_S
    found = runner.run(connector.look_up(TRANSACTION))
    assert found is not None
    assert (found.outcome is Outcome.SUCCEEDED) == is_charged
    if answer.outcome is not Outcome.UNKNOWN:
        assert found.outcome is answer.outcome or not charges


@given(
    script=st.lists(st.sampled_from(STEPS), max_size=8),
    number=st.sampled_from(NUMBERS),
    token_type=st.sampled_from(TokenType),
    repeats=st.integers(0, 3),
)
def test_keeping_a_card_is_never_unknown_and_never_charges(
    runner: asyncio.Runner, script: list[str], number: str, token_type: TokenType, repeats: int
) -> None:
    line = Line(script)
    connector = Stripe(
        "gw", url=URL, key=KEY, allow_insecure=True, repeats=repeats, sleep=SlidingClock().sleep, send=line
    )
    submission = submission_of(number, operation=Operation.TOKENIZE, amount="", token_type=token_type)
    answer = runner.run(connector.submit(submission))
    assert answer.outcome is not Outcome.UNKNOWN
    assert (answer.outcome is Outcome.SUCCEEDED) == bool(answer.token_id)
    assert line.account.charges == {}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([VISA, "succeeded"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
STATUSES = st.sampled_from(["succeeded", "processing", "requires_action", "requires_payment_method", "canceled"])
ERRORS = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["card_error", "idempotency_error"]) | JSON,
        "code": st.sampled_from(["card_declined", "expired_card", "processing_error", "lost_card"]) | JSON,
        "decline_code": st.sampled_from(["stolen_card", "do_not_honor"]) | JSON,
        "message": st.just(f"card {VISA}") | JSON,
        "payment_intent": st.fixed_dictionaries({}, optional={"status": STATUSES | JSON}) | JSON,
    },
)
ANSWERS = st.fixed_dictionaries(
    {},
    optional={
        "id": st.sampled_from(["pi_1", f"pi_{VISA}", "pm_1"]) | JSON,
        "object": st.sampled_from(["payment_intent", "payment_method"]) | JSON,
        "status": STATUSES | JSON,
        "latest_charge": st.just({"id": "ch_1"}) | JSON,
        "payment_method": JSON,
        "last_payment_error": ERRORS | JSON,
        "error": ERRORS | JSON,
        "data": st.lists(JSON, max_size=2) | JSON,
    },
)
BODIES = (ANSWERS | JSON).map(lambda value: json.dumps(value).encode()) | st.binary(max_size=50)
CODES = st.sampled_from([200, 200, 201, 204, 400, 401, 402, 404, 409, 422, 429, 500])


@settings(max_examples=300)
@given(path=st.sampled_from([CARDS, CHARGES]), status=CODES, body=BODIES)
def test_no_answer_upsets_the_connector_or_shows_the_card(
    runner: asyncio.Runner, path: str, status: int, body: bytes
) -> None:
    async def send(method: str, url: str, **_: object) -> HttpResponse:
        if url.endswith(CARDS) and path != CARDS:
            return response(200, b'{"object":"payment_method","id":"pm_1"}')
        return response(status, body)

    connector = Stripe("gw", url=URL, key=KEY, allow_insecure=True, repeats=1, sleep=SlidingClock().sleep, send=send)
    got: ConnectorAnswer = runner.run(connector.submit(submission_of()))
    assert VISA not in repr(got)
    assert "lost_card" not in repr(got)
    assert "stolen_card" not in repr(got)
    if got.outcome is Outcome.SUCCEEDED:
        assert status == 200
        assert json.loads(body)["status"] == "succeeded"
    found = runner.run(connector.look_up(TRANSACTION))
    assert found is None or VISA not in repr(found)
