"""Status callbacks of calls: what is told of each event, in order, by the plan of each call."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from engine.config import TwimlApp
from engine.dialects.twilio import call_sid
from engine.events import (
    CallAnswered,
    CallCreated,
    CallEnded,
    CallFailed,
    CallOutcome,
    CallRinging,
    EngineEvent,
    PromptFinished,
)
from engine.ledger import WebhookPolicy
from engine.net.signatures import FORM, SignatureKind
from engine.outbox import Outbox
from engine.program import CallFacts
from engine.programs.status import MAX_UNBORN, CallStatusTeller, StatusPlan, plan_of
from tests.support.programs import ACCOUNT, FakeOutbox, config_of, settle

pytestmark = pytest.mark.asyncio

CALL = "0" * 31 + "a"
ALL = ("initiated", "ringing", "answered", "completed")
URL = "https://app.example/status"


class Scene:
    """A teller, its outbox, and a clock that a test moves."""

    def __init__(self, *, direction: str = "out", events: Sequence[str] = ALL, parent_id: str = "") -> None:
        self.now = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
        self.outbox = FakeOutbox()
        self.teller = CallStatusTeller(cast("Outbox", self.outbox), config_of().twilio, clock=lambda: self.now)
        self.facts = CallFacts(
            call_id=CALL,
            direction=cast("Any", direction),
            caller="+15550001",
            dialled="+15550002",
            parent_id=parent_id,
        )
        self.teller.watch(self.facts, StatusPlan(url=URL, events=events))

    def created(self) -> None:
        self.happens(
            CallCreated(
                call_id=CALL,
                direction=self.facts.direction,
                caller=self.facts.caller,
                dialled=self.facts.dialled,
                parent_id=self.facts.parent_id,
            )
        )

    def answered(self) -> None:
        self.happens(
            CallAnswered(
                call_id=CALL,
                caller="+15550001",
                dialled="+15550002",
                form="shop",
                codec="PCMU",
                telephone_event=True,
            )
        )

    def ended(self, cause: str = "bye") -> None:
        self.happens(CallEnded(call_id=CALL, cause=cause, duration_s=99.0))

    def happens(self, event: EngineEvent) -> None:
        self.teller.observe(event)

    def passes(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    async def told(self) -> list[dict[str, str]]:
        await settle()
        return [item["parameters"] for item in self.outbox.items]

    async def statuses(self) -> list[str]:
        return [parameters["CallStatus"] for parameters in await self.told()]


async def test_a_call_out_from_its_beginning_to_its_end() -> None:
    scene = Scene()
    scene.created()
    scene.happens(CallRinging(call_id=CALL, status=180, early_media=False))
    scene.passes(10)
    scene.answered()
    scene.passes(61)
    scene.ended()
    told = await scene.told()
    assert [parameters["CallStatus"] for parameters in told] == ["initiated", "ringing", "in-progress", "completed"]
    assert [parameters["SequenceNumber"] for parameters in told] == ["0", "1", "2", "3"]
    assert told[-1]["CallDuration"] == "61"
    assert told[-1]["Duration"] == "2"
    assert told[-1]["SipResponseCode"] == "200"
    assert told[-1]["Timestamp"] == "Sun, 22 Nov 2026 12:01:11 +0000"
    for parameters in told:
        assert parameters["CallSid"] == call_sid(CALL)
        assert parameters["AccountSid"] == ACCOUNT
        assert parameters["CallbackSource"] == "call-progress-events"
        assert parameters["Direction"] == "outbound-api"
        assert (parameters["From"], parameters["To"]) == ("+15550001", "+15550002")
    assert all("CallDuration" not in parameters for parameters in told[:-1])


async def test_a_call_in_rings_when_it_comes() -> None:
    scene = Scene(direction="in")
    scene.created()
    scene.answered()
    scene.ended()
    assert await scene.statuses() == ["ringing", "in-progress", "completed"]


async def test_each_goes_through_the_outbox_signed_and_in_the_order_of_its_call() -> None:
    scene = Scene()
    scene.created()
    scene.ended("cancelled")
    await settle()
    first, last = scene.outbox.items
    assert (first["session"], first["url"], first["method"]) == (CALL, URL, "POST")
    assert (first["signature"], first["key_env"]) == (SignatureKind.TWILIO, "TWILIO_TOKEN")
    assert first["content_type"] == FORM
    assert (first["policy"], last["policy"]) == (WebhookPolicy.STATUS, WebhookPolicy.RESULT)
    assert not first["allow_insecure"]


@pytest.mark.parametrize(
    ("outcome", "status", "told"),
    [
        (CallOutcome.BUSY, 486, "busy"),
        (CallOutcome.NO_ANSWER, 480, "no-answer"),
        (CallOutcome.REFUSED, 603, "failed"),
        (CallOutcome.NOT_FOUND, 404, "failed"),
        (CallOutcome.UNREACHABLE, None, "failed"),
        (CallOutcome.NO_MEDIA, 488, "failed"),
        (CallOutcome.CANCELLED, 487, "canceled"),
    ],
)
async def test_a_call_that_nobody_answered_is_told_under_completed(
    outcome: CallOutcome, status: int | None, told: str
) -> None:
    scene = Scene(events=("completed",))
    scene.created()
    scene.happens(CallFailed(call_id=CALL, outcome=outcome, status=status, reason=""))
    scene.ended(str(outcome))
    (parameters,) = await scene.told()
    assert parameters["CallStatus"] == told
    assert (parameters["CallDuration"], parameters["Duration"]) == ("0", "0")
    assert parameters.get("SipResponseCode") == (None if status is None else str(status))


async def test_only_what_the_plan_wants_is_told() -> None:
    scene = Scene(events=("answered",))
    scene.created()
    scene.answered()
    scene.ended()
    assert await scene.statuses() == ["in-progress"]


async def test_a_second_provisional_answer_is_not_told_again() -> None:
    scene = Scene(events=("ringing",))
    scene.created()
    for status in (180, 183, 180):
        scene.happens(CallRinging(call_id=CALL, status=status, early_media=status == 183))
    assert await scene.statuses() == ["ringing"]


async def test_the_duration_ends_with_the_call_and_not_with_what_it_still_owes() -> None:
    scene = Scene(events=("completed",))
    scene.created()
    scene.answered()
    scene.passes(30)
    scene.teller.hung_up(CALL)
    scene.passes(20)  # a payment at its connector
    scene.teller.hung_up(CALL)
    scene.ended()
    (parameters,) = await scene.told()
    assert parameters["CallDuration"] == "30"


async def test_a_plan_may_change_while_the_call_is_up() -> None:
    scene = Scene()
    scene.created()
    scene.teller.watch(scene.facts, StatusPlan(url="https://other.example/s", method="GET", events=("completed",)))
    scene.answered()
    scene.ended()
    await settle()
    assert [(item["url"], item["method"]) for item in scene.outbox.items] == [
        (URL, "POST"),
        ("https://other.example/s", "GET"),
    ]
    assert scene.outbox.items[-1]["parameters"]["SequenceNumber"] == "1"


async def test_a_plan_may_be_taken_back() -> None:
    scene = Scene()
    scene.created()
    scene.teller.watch(scene.facts, None)
    scene.answered()
    scene.ended()
    assert await scene.statuses() == ["initiated"]


async def test_a_call_is_forgotten_with_its_end() -> None:
    scene = Scene()
    scene.created()
    scene.ended()
    scene.answered()
    scene.ended()
    assert await scene.statuses() == ["initiated", "canceled"]
    assert len(scene.teller) == 0


async def test_calls_that_are_refused_before_they_are_calls_take_no_memory() -> None:
    scene = Scene()
    for number in range(10 * MAX_UNBORN):
        facts = CallFacts(call_id=f"{number:032x}", direction="in", caller="x", dialled="y")
        scene.teller.watch(facts, StatusPlan(url=URL))
    assert len(scene.teller) <= MAX_UNBORN


async def test_events_of_other_calls_and_of_other_kinds_are_passed_over() -> None:
    scene = Scene()
    scene.happens(CallEnded(call_id="f" * 32, cause="bye", duration_s=1.0))
    scene.happens(PromptFinished(call_id=CALL, step="x", barged_in=False))
    assert await scene.told() == []


async def test_a_ledger_that_fails_loses_a_status_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene()
    scene.outbox.is_broken = True
    scene.created()
    await settle()
    scene.outbox.is_broken = False
    scene.answered()
    assert await scene.statuses() == ["in-progress"]
    assert "a call's status is lost" in caplog.text


async def test_closing_waits_for_what_was_told() -> None:
    scene = Scene()
    scene.created()
    scene.ended()
    await scene.teller.close()
    assert len(scene.outbox.items) == 2
    await scene.teller.close()


async def test_a_call_for_another_call_says_so() -> None:
    scene = Scene(parent_id="b" * 32)
    scene.created()
    (parameters,) = await scene.told()
    assert parameters["Direction"] == "outbound-dial"
    assert parameters["ParentCallSid"] == call_sid("b" * 32)


async def test_http_is_taken_where_somebody_chose_it() -> None:
    scene = Scene()
    scene.teller.watch(scene.facts, StatusPlan(url="http://127.0.0.1:5000/s", events=ALL))
    scene.created()
    await settle()
    assert scene.outbox.items[0]["allow_insecure"]


async def test_the_plan_of_an_application_is_that_of_its_table() -> None:
    app = '\n[app.shop]\ndialect = "twiml"\nurl = "https://app.example/v"\n'
    assert plan_of(cast(TwimlApp, config_of(app).apps["shop"])) is None
    app += 'status_callback = "https://app.example/s"\nstatus_method = "GET"\nstatus_events = ["answered"]\n'
    assert plan_of(cast(TwimlApp, config_of(app).apps["shop"])) == StatusPlan(
        url="https://app.example/s", method="GET", events=("answered",)
    )
