"""What NCCO applications hear of their calls: each state once, in order, however the call goes."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from engine.config import parse
from engine.dialects.ncco.actions import EventTarget
from engine.dialects.ncco.identity import call_uuid, conversation_uuid
from engine.events import CallFailed, CallOutcome, CallRinging, PromptFinished
from engine.ledger import WebhookPolicy
from engine.net.signatures import FORM, SignatureKind
from engine.programs.ncco.legs import MAX_REASON, MAX_UNBORN, signing
from engine.programs.posts import MAX_WAITING
from tests.support.ncco_legs import APP_ID, CALL, EVENTS, KEY_ENV, LegScene, facts_of, ncco_config

pytestmark = pytest.mark.asyncio

IN = facts_of()
OUT = facts_of(direction="out")
PARENT = facts_of("b" * 32)
CALLED = facts_of("c" * 32, direction="out", parent_id="b" * 32)
OTHER = "https://other.example/e"


# -- states --------------------------------------------------------------------------------------------------------


async def test_a_call_in_from_its_beginning_to_its_end() -> None:
    scene = LegScene()
    leg = scene.legs.watch(IN, app="shop")
    scene.created(IN)
    scene.passes(2)
    scene.answered(IN)
    scene.passes(61)
    scene.ended(IN)
    told = await scene.told()
    assert [one["status"] for one in told] == ["started", "ringing", "answered", "completed"]
    for one in told:
        assert (one["from"], one["to"]) == ("15551234567", "15557654321")
        assert (one["uuid"], one["conversation_uuid"]) == (call_uuid(CALL), f"CON-{call_uuid(CALL)}")
        assert one["direction"] == "inbound"
    assert [one["timestamp"][11:] for one in told] == [
        "12:00:00.000Z",
        "12:00:00.000Z",
        "12:00:02.000Z",
        "12:01:03.000Z",
    ]
    assert (told[3]["start_time"], told[3]["duration"]) == ("2021-06-23T12:00:02.000Z", "61")
    assert (leg.status, leg.application_id) == ("completed", APP_ID)


async def test_a_call_out_rings_when_it_rings_and_once() -> None:
    scene = LegScene()
    scene.legs.watch(OUT, app="shop")
    scene.created(OUT)
    for status in (183, 180, 180):
        scene.rings(OUT, status)
    scene.answered(OUT)
    scene.rings(OUT)
    scene.ended(OUT)
    assert await scene.statuses() == ["started", "ringing", "answered", "completed"]
    assert {one["direction"] for one in await scene.told()} == {"outbound"}


async def test_a_call_in_that_ends_before_its_answer_is_completed_and_lasted_no_second() -> None:
    scene = LegScene()
    scene.legs.watch(IN, app="shop")
    scene.created(IN)
    scene.passes(9)
    scene.ended(IN, "caller_cancelled")
    told = await scene.told()
    assert [one["status"] for one in told] == ["started", "ringing", "completed"]
    assert (told[-1]["duration"], told[-1]["start_time"]) == ("0", None)


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (CallOutcome.BUSY, "busy"),
        (CallOutcome.NO_ANSWER, "timeout"),
        (CallOutcome.CANCELLED, "cancelled"),
        (CallOutcome.REFUSED, "rejected"),
    ],
)
async def test_a_call_out_that_nobody_answered_ends_with_why_and_is_not_completed(
    outcome: CallOutcome, status: str
) -> None:
    scene = LegScene()
    leg = scene.legs.watch(OUT, app="shop")
    scene.created(OUT)
    scene.failed(OUT, outcome)
    assert await scene.statuses() == ["started", status]
    assert leg.status == status
    assert scene.box.items[-1]["policy"] is WebhookPolicy.RESULT


async def test_a_call_out_whose_answer_could_not_be_used_has_failed() -> None:
    scene = LegScene()
    scene.legs.watch(OUT, app="shop")
    scene.created(OUT)
    scene.ended(OUT, "no common media")
    assert await scene.statuses() == ["started", "failed"]


async def test_why_nobody_answered_is_known_before_the_call_is_gone() -> None:
    scene = LegScene()
    leg = scene.legs.watch(OUT, app="shop")
    scene.created(OUT)
    scene.happens(CallFailed(call_id=CALL, outcome=CallOutcome.BUSY, status=486, reason=""))
    assert scene.legs.find(CALL) is leg
    assert leg.status == "busy"


async def test_the_call_ends_when_it_is_over_and_not_with_what_it_still_owes() -> None:
    scene = LegScene()
    leg = scene.legs.watch(IN, app="shop")
    scene.created(IN)
    scene.answered(IN)
    scene.passes(30)
    scene.legs.hung_up(CALL)
    scene.passes(20)  # a payment at its connector
    scene.legs.hung_up(CALL)
    assert scene.legs.find(CALL) is leg
    scene.ended(IN)
    *_, last = await scene.told()
    assert (last["duration"], last["end_time"]) == ("30", "2021-06-23T12:00:30.000Z")
    assert last["timestamp"] == "2021-06-23T12:00:50.000Z"


# -- whom, where, how ----------------------------------------------------------------------------------------------


async def test_each_goes_through_the_outbox_in_the_order_of_its_call() -> None:
    scene = LegScene()
    scene.legs.watch(IN, app="shop")
    scene.created(IN)
    scene.answered(IN)
    scene.ended(IN)
    await scene.legs.close()
    assert [item["policy"] for item in scene.box.items] == [WebhookPolicy.STATUS] * 3 + [WebhookPolicy.RESULT]
    for item in scene.box.items:
        assert (item["session"], item["url"], item["method"]) == (f"ncco-{CALL}", EVENTS, "POST")
        assert (item["signature"], item["key_env"], item["claims"]) == (SignatureKind.NONE, "", {})
        assert not item["allow_insecure"]


async def test_events_are_signed_with_the_secret_that_is_named() -> None:
    scene = LegScene(ncco_config(vonage=f'api_key = "a1b2"\nsignature_secret_env = "{KEY_ENV}"'))
    scene.legs.watch(IN, app="shop")
    scene.created(IN)
    await scene.legs.close()
    item = scene.box.items[0]
    assert (item["signature"], item["key_env"]) == (SignatureKind.VONAGE, KEY_ENV)
    assert item["claims"] == {"application_id": APP_ID, "api_key": "a1b2"}


async def test_a_claim_that_says_nothing_is_left_out() -> None:
    config = ncco_config(vonage=f'signature_secret_env = "{KEY_ENV}"')
    assert signing(config.vonage, APP_ID)["claims"] == {"application_id": APP_ID}


async def test_of_a_get_the_event_is_the_query() -> None:
    scene = LegScene(ncco_config(app=f'event_url = "{EVENTS}"\nevent_method = "GET"'))
    scene.legs.watch(IN, app="shop")
    scene.created(IN)
    scene.answered(IN)
    assert await scene.statuses() == ["started", "ringing", "answered"]
    item = scene.box.items[-1]
    assert (item["method"], item["content_type"]) == ("GET", FORM)
    assert item["told"]["start_time"] == ""


async def test_http_is_taken_for_what_tells_nothing_of_a_payment() -> None:
    scene = LegScene(ncco_config(app='event_url = "http://127.0.0.1:5000/e"'))
    scene.legs.watch(IN, app="shop")
    scene.created(IN)
    await scene.legs.close()
    assert scene.box.items[0]["allow_insecure"]


async def test_a_call_may_tell_its_states_somewhere_else() -> None:
    scene = LegScene()
    scene.legs.watch(IN, app="shop", event=EventTarget(url=OTHER, method="GET"), conversation="CON-x")
    scene.created(IN)
    await scene.legs.close()
    assert [(item["url"], item["method"]) for item in scene.box.items] == [(OTHER, "GET")] * 2
    assert scene.box.items[0]["told"]["conversation_uuid"] == "CON-x"


async def test_a_call_that_is_known_keeps_what_it_has() -> None:
    scene = LegScene()
    leg = scene.legs.watch(IN, app="shop", conversation="CON-x")
    assert scene.legs.watch(IN, app="shop", event=EventTarget(url=OTHER)) is leg
    scene.created(IN)
    assert scene.legs.watch(IN, app="shop", conversation="CON-y") is leg
    assert (leg.event, leg.conversation_uuid) == (EventTarget(url=EVENTS), "CON-x")


async def test_an_application_without_an_event_url_hears_nothing_and_its_calls_are_known() -> None:
    scene = LegScene(ncco_config(app=""))
    leg = scene.legs.watch(IN, app="shop")
    scene.created(IN)
    scene.answered(IN)
    assert (leg.status, leg.answered_at) == ("answered", scene.now)
    scene.ended(IN)
    scene.legs.tell_error(leg, "x")
    assert await scene.told() == []


async def test_an_application_without_an_id_has_one_of_its_name() -> None:
    config = parse(
        '[connector.sandbox]\ntype = "sandbox"\n[app.shop]\ndialect = "ncco"\nanswer_url = "https://app.example/a"\n'
    )
    first, second = (LegScene(config).legs.watch(IN, app="shop") for _ in range(2))
    assert first.application_id == second.application_id != ""


async def test_only_calls_of_ncco_applications_are_watched() -> None:
    more = '[app.other]\ndialect = "swml"\nurl = "https://app.example/s"\n[signalwire]\nproject = "P"\n'
    scene = LegScene(ncco_config(more))
    with pytest.raises(TypeError, match=r"app\.other"):
        scene.legs.watch(IN, app="other")


# -- calls that belong together ------------------------------------------------------------------------------------


async def test_a_call_that_an_ncco_made_begins_in_the_conversation_of_who_made_it() -> None:
    scene = LegScene()
    scene.legs.watch(PARENT, app="shop")
    leg = scene.legs.watch(CALLED, app="shop")
    assert leg.conversation_uuid == conversation_uuid(PARENT.call_id)


async def test_that_nobody_answers_a_synchronous_connect_is_asked_and_not_told() -> None:
    scene = LegScene()
    parent = scene.legs.watch(PARENT, app="shop")
    called = scene.legs.watch(CALLED, app="shop")
    called.is_asked = True
    scene.created(CALLED)
    scene.rings(CALLED)
    scene.failed(CALLED, CallOutcome.BUSY)
    assert await scene.statuses() == ["started", "ringing"]
    assert parent.called is called
    assert called.status == "busy"


@pytest.mark.parametrize("outcome", [CallOutcome.CANCELLED, CallOutcome.BUSY])
async def test_it_is_told_when_nobody_is_left_to_ask(outcome: CallOutcome) -> None:
    scene = LegScene()
    if outcome is CallOutcome.CANCELLED:  # there is no NCCO for it
        scene.legs.watch(PARENT, app="shop")
    called = scene.legs.watch(CALLED, app="shop")
    called.is_asked = True
    scene.created(CALLED)
    scene.failed(CALLED, outcome)
    assert await scene.statuses() == ["started", str(outcome)]


async def test_a_call_that_goes_to_another_conversation_tells_it_once() -> None:
    scene = LegScene()
    leg = scene.legs.watch(IN, app="shop")
    before = leg.conversation_uuid
    scene.legs.moved(leg, "CON-room")
    scene.legs.moved(leg, "CON-room")
    (told,) = await scene.told()
    assert told == {
        "conversation_uuid_from": before,
        "conversation_uuid_to": "CON-room",
        "uuid": leg.uuid,
        "type": "transfer",
        "timestamp": "2021-06-23T12:00:00.000Z",
    }
    scene.created(IN)
    assert {one["conversation_uuid"] for one in (await scene.told())[1:]} == {"CON-room"}


async def test_who_is_wrong_hears_what_is_wrong() -> None:
    scene = LegScene()
    leg = scene.legs.watch(IN, app="shop")
    scene.legs.tell_error(leg, "Syntax error in NCCO. [0].action: unknown")
    (told,) = await scene.told()
    assert told["reason"] == "Syntax error in NCCO. [0].action: unknown"
    assert set(told) == {"reason", "conversation_uuid", "timestamp"}


async def test_an_error_is_told_shortened_and_masked() -> None:
    scene = LegScene()
    leg = scene.legs.watch(IN, app="shop")
    scene.legs.tell_error(leg, "4111 1111 1111 1111 " + "x" * 10_000)
    (told,) = await scene.told()
    assert "4111" not in told["reason"]
    assert len(told["reason"]) <= MAX_REASON


async def test_what_is_told_beside_goes_where_it_is_said() -> None:
    scene = LegScene()
    leg = scene.legs.watch(IN, app="shop")
    scene.legs.tell(leg, {"size": 1}, target=EventTarget(url=OTHER), policy=WebhookPolicy.RESULT)
    await scene.legs.close()
    (item,) = scene.box.items
    assert (item["url"], item["policy"]) == (OTHER, WebhookPolicy.RESULT)
    assert item["told"] == {"size": 1, "timestamp": "2021-06-23T12:00:00.000Z"}


# -- calls that are handed on --------------------------------------------------------------------------------------


async def test_a_call_that_is_handed_on_while_it_is_up_tells_what_happens_from_then_on() -> None:
    scene = LegScene()
    scene.created(OUT)
    scene.rings(OUT)
    scene.passes(5)
    scene.answered(OUT)
    scene.passes(10)
    leg = scene.legs.watch(OUT, app="shop")
    assert leg.status == "answered"
    scene.passes(20)
    scene.ended(OUT)
    (told,) = await scene.told()
    assert (told["status"], told["duration"], told["start_time"]) == ("completed", "30", "2021-06-23T12:00:05.000Z")
    assert len(scene.legs) == 0


async def test_a_call_that_is_handed_on_while_it_rings_tells_its_answer() -> None:
    scene = LegScene()
    scene.created(IN)
    leg = scene.legs.watch(IN, app="shop")
    assert leg.status == "ringing"
    scene.answered(IN)
    assert await scene.statuses() == ["answered"]


async def test_calls_that_are_handed_on_crowd_nobody_out() -> None:
    scene = LegScene()
    for number in range(3 * MAX_UNBORN):
        facts = facts_of(f"{number:032x}")
        scene.created(facts)
        scene.legs.watch(facts, app="shop")
    assert len(scene.legs) == 3 * MAX_UNBORN


# -- bounds and faults ---------------------------------------------------------------------------------------------


async def test_a_call_is_forgotten_with_its_end() -> None:
    scene = LegScene()
    scene.legs.watch(IN, app="shop")
    scene.created(IN)
    scene.ended(IN)
    scene.answered(IN)
    scene.ended(IN)
    assert scene.legs.find(CALL) is None
    assert await scene.statuses() == ["started", "ringing", "completed"]


async def test_calls_that_are_refused_before_they_are_calls_take_no_memory() -> None:
    scene = LegScene()
    for number in range(10 * MAX_UNBORN):
        scene.legs.watch(facts_of(f"{number:032x}"), app="shop")
    assert len(scene.legs) == MAX_UNBORN


async def test_events_of_other_calls_and_of_other_kinds_are_passed_over() -> None:
    scene = LegScene()
    scene.ended(IN)
    scene.happens(CallRinging(call_id="", status=180, early_media=False))
    scene.happens(PromptFinished(call_id=CALL, step="x", barged_in=False))
    scene.legs.hung_up("nobody")
    assert await scene.told() == []


@pytest.mark.parametrize("error", [None, ValueError("the URL cannot be read"), RuntimeError("4111111111111111")])
async def test_what_the_ledger_does_not_take_is_lost_and_disturbs_no_call(
    error: Exception | None, caplog: pytest.LogCaptureFixture
) -> None:
    scene = LegScene()
    scene.legs.watch(IN, app="shop")
    scene.box.fails()
    scene.box.error = error or scene.box.error
    scene.created(IN)
    await scene.legs.close()
    scene.box.error = None
    scene.answered(IN)
    assert await scene.statuses() == ["answered"]
    assert "an event" in caplog.text
    assert EVENTS not in caplog.text
    assert "4111111111111111" not in caplog.text


async def test_what_cannot_be_written_is_lost_and_raises_nothing(caplog: pytest.LogCaptureFixture) -> None:
    scene = LegScene()
    leg = scene.legs.watch(IN, app="shop")
    scene.legs.tell(leg, {"size": float("nan")})
    assert await scene.told() == []
    assert "cannot be told" in caplog.text


async def test_posts_that_the_ledger_is_slow_to_take_are_bounded(caplog: pytest.LogCaptureFixture) -> None:
    scene = LegScene()
    leg = scene.legs.watch(IN, app="shop")
    most = MAX_WAITING[WebhookPolicy.STATUS]
    for number in range(most + 10):
        scene.legs.tell(leg, {"number": number})
    scene.legs.tell(leg, {"number": "last"}, policy=WebhookPolicy.RESULT)
    with caplog.at_level(logging.ERROR):
        told = await scene.told()
    assert [one["number"] for one in told] == [*range(most), "last"]
    assert "too many" in caplog.text


async def test_posts_of_many_calls_are_written_together_and_those_of_one_behind_each_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scene = LegScene()
    under_way: list[str] = []
    most = 0
    put_in = scene.box.enqueue

    async def enqueue(session: str, *args: Any, **more: Any) -> None:
        nonlocal most
        assert session not in under_way
        under_way.append(session)
        most = max(most, len(under_way))
        await asyncio.sleep(0)
        under_way.remove(session)
        await put_in(session, *args, **more)

    monkeypatch.setattr(scene.box, "enqueue", enqueue)
    for number in range(10):
        facts = facts_of(f"{number:032x}")
        scene.legs.watch(facts, app="shop")
        scene.created(facts)
    assert sorted(await scene.statuses()) == ["ringing"] * 10 + ["started"] * 10
    assert most == 10


async def test_closing_waits_for_what_is_told_meanwhile() -> None:
    scene = LegScene()
    leg = scene.legs.watch(IN, app="shop")
    scene.created(IN)
    closing = asyncio.ensure_future(scene.legs.close())
    scene.legs.tell_error(leg, "x")
    await closing
    assert len(scene.box.items) == 3
    await scene.legs.close()
