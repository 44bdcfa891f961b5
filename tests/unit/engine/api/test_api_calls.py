"""The Calls resource: calls out by request, what is told of calls, lists, another document, the end, deletion."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from urllib.parse import urlencode

import pytest
from twilio.base.exceptions import TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client

from engine.api.deps import ApiDeps
from engine.api.twilio import accounts
from engine.api.twilio.answers import Form
from engine.api.twilio.call_orders import CallOrder, RecordOrder
from engine.api.twilio.calls import Calls
from engine.api.twilio.live import LiveCalls
from engine.dialects.twiml.commands import Source
from engine.errors import BusyError, CallError, ConfigError, ProgramError
from engine.events import CallAnswered, CallCreated, CallEnded, CallFailed, CallOutcome
from engine.ledger import Ledger
from engine.program import CallControl, CallState, Program
from engine.programs.status import StatusPlan
from tests.support.api import ACCOUNT_SID, TOKEN, ApiScene, FakeExchange, api_scene, authorization, config_of
from tests.support.call_control import FakeCall
from tests.support.payments import SlidingClock

pytestmark = pytest.mark.asyncio

NUMBER, OWN = "+15550100777", "+15550100001"
URL = "https://app.example.com/voice"
APP_TOML = """
[app.shop]
dialect = "twiml"
url = "https://shop.example.com/twiml"
status_callback = "https://shop.example.com/status"
sid = "AP0123456789abcdef0123456789abcdef"
"""
PROPERTIES = {
    *("sid", "account_sid", "parent_call_sid", "to", "to_formatted", "from", "from_formatted", "phone_number_sid"),
    *("status", "start_time", "end_time", "duration", "price", "price_unit", "direction", "answered_by"),
    *("api_version", "forwarded_from", "group_sid", "caller_name", "queue_time", "trunk_sid", "date_created"),
    *("date_updated", "uri", "subresource_uris"),
}


class FakeProgram:
    """What `Calls` sees of ``TwimlProgram``."""

    def __init__(self, order: CallOrder | None = None) -> None:
        self.order = order
        self.redirected: list[Source] = []
        self.limits: list[float] = []
        self.is_over = False

    def redirect(self, source: Source) -> None:
        if self.is_over:
            raise ProgramError("the call is over")
        self.redirected.append(source)

    def limit(self, seconds: float) -> None:
        self.limits.append(seconds)


def form_of(fields: Mapping[str, str | None]) -> Form:
    given = {"To": NUMBER, "From": OWN, "Url": URL} | dict(fields)
    return Form((name, value) for name, value in given.items() if value is not None)


class FakeTeller:
    def __init__(self) -> None:
        self.plans: list[StatusPlan | None] = []

    def watch(self, facts: Any, plan: StatusPlan | None) -> None:
        self.plans.append(plan)


class Scene(ApiScene):
    live: LiveCalls
    teller: FakeTeller
    orders: list[CallOrder]
    recorded: list[tuple[CallControl, RecordOrder]]

    async def create(self, **fields: Any) -> tuple[int, Any]:
        return await self.ask("POST", "/Calls.json", data=form_of(fields).pairs)

    def up(self, call_id: str, *, state: CallState = CallState.ANSWERED, **facts: Any) -> tuple[FakeCall, FakeProgram]:
        """Let there be a call with a program of an application."""
        call, program = self.exchange.add(call_id, state=state, **facts), FakeProgram()
        call.program = cast(Program, program)
        self.created(call_id)
        return call, program

    def tell_of_placed_calls(self) -> None:
        """Let observers hear of a call while it is being placed, as the engine does."""
        place = self.exchange.place

        def placing(*arguments: Any, **named: Any) -> CallControl:
            call = place(*arguments, **named)
            self.created(call.facts.call_id)
            return call

        self.exchange.place = placing  # type: ignore[method-assign]

    def created(self, call_id: str) -> None:
        self.live.observe(CallCreated(call_id=call_id, direction="out", caller="", dialled="", parent_id=""))


@asynccontextmanager
async def scene_of(ledger: Ledger, toml: str = "", **options: Any) -> AsyncIterator[Scene]:
    exchange, teller = FakeExchange(), FakeTeller()
    live = LiveCalls(exchange, clock=lambda: datetime.now(UTC))
    orders: list[CallOrder] = []
    recorded: list[tuple[CallControl, RecordOrder]] = []

    def make(call: CallControl, order: CallOrder, deps: ApiDeps) -> Program:
        orders.append(order)
        return cast(Program, FakeProgram(order))

    calls = Calls(live, make_program=make, record=options.pop("record", lambda *what: recorded.append(what)))
    async with api_scene(
        ledger, [calls.add_routes, accounts.add_routes], config=config_of(toml), exchange=exchange, status=teller
    ) as scene:
        scene.__class__ = Scene
        made = cast(Scene, scene)
        made.live, made.teller, made.orders, made.recorded = live, teller, orders, recorded
        yield made


def call_id(number: int) -> str:
    return f"{number:032x}"


def answered(identity: str) -> CallAnswered:
    return CallAnswered(call_id=identity, caller="", dialled="", form="", codec="PCMU", telephone_event=True)


async def record(
    ledger: Ledger,
    number: int,
    *,
    cause: str = "remote_bye",
    is_answered: bool = True,
    is_over: bool = True,
    **values: Any,
) -> str:
    identity = call_id(number)
    facts = {"caller": NUMBER, "dialled": "pay", "direction": "in"} | values
    await ledger.record_call_start(identity, sip_call_id=f"sip-{number}", form="shop", **facts)
    if is_answered:
        await ledger.record_call_answer(identity)
    if is_over:
        await ledger.record_call_end(identity, cause=cause)
    return identity


# -- create


async def test_a_call_is_placed_and_told_with_every_property_of_the_vendor(ledger: Ledger) -> None:
    async with scene_of(ledger) as scene:
        status, body = await scene.create(Timeout="25", TimeLimit="600", SendDigits="1w2W#")
        assert status == 201
        assert set(body) == PROPERTIES
        sid = body["sid"]
        assert body["uri"] == f"/2010-04-01/Accounts/{ACCOUNT_SID}/Calls/{sid}.json"
        assert body["subresource_uris"]["payments"] == f"/2010-04-01/Accounts/{ACCOUNT_SID}/Calls/{sid}/Payments.json"
        told = {name: body[name] for name in ("account_sid", "status", "direction", "to", "from", "duration", "price")}
        assert told == {
            "account_sid": ACCOUNT_SID,
            "status": "queued",
            "direction": "outbound-api",
            "to": NUMBER,
            "from": OWN,
            "duration": None,
            "price": None,
        }
        (wanted,), (order,) = scene.exchange.placed, scene.orders
        assert (wanted.to, wanted.caller, wanted.ring_s) == (NUMBER, OWN, 25.0)
        assert (order.source.url, order.time_limit_s, order.send_digits) == (URL, 600.0, "1w2w#")
        assert order.status is None
        assert order.record is None


async def test_a_refused_call_is_not_placed(ledger: Ledger) -> None:
    async with scene_of(ledger) as scene:
        status, body = await scene.create(To="somebody")
        assert (status, body["code"], body["status"]) == (400, 21211, 400)
        assert not scene.exchange.placed


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (CallError("a telephone number needs a gateway"), (400, 21214)),
        (BusyError("as many calls are up as sip.max_calls allows"), (503, 20503)),
        (ConfigError("the environment variable PBX is not set"), (500, 20500)),
    ],
)
async def test_what_the_engine_cannot_place_is_an_answer(ledger: Ledger, error: Any, expected: tuple[int, int]) -> None:
    async with scene_of(ledger) as scene:
        scene.exchange.refuse = error
        status, body = await scene.create()
        assert (status, body["code"]) == expected
        assert "PBX" not in body["message"]


async def test_an_application_brings_its_document_and_its_status_callback(ledger: Ledger) -> None:
    async with scene_of(ledger, APP_TOML) as scene:
        sid = "AP0123456789abcdef0123456789abcdef"
        assert (await scene.create(Url=None, ApplicationSid=sid))[0] == 201
        (order,) = scene.orders
        assert (order.label, order.source.url) == ("shop", "https://shop.example.com/twiml")
        assert order.status is not None
        assert order.status.url == "https://shop.example.com/status"


async def test_progress_is_told_of_the_events_that_are_wanted(ledger: Ledger) -> None:
    async with scene_of(ledger) as scene:
        data = [
            *(("To", NUMBER), ("From", OWN), ("Twiml", "<Response><Hangup/></Response>")),
            *(("StatusCallback", "https://a.example/s"), ("StatusCallbackMethod", "get")),
            *(("StatusCallbackEvent", "ringing"), ("StatusCallbackEvent", "completed")),
        ]
        assert (await scene.ask("POST", "/Calls.json", data=data))[0] == 201
        (order,) = scene.orders
        assert order.status == StatusPlan(url="https://a.example/s", method="GET", events=("ringing", "completed"))
        assert order.source.text == "<Response><Hangup/></Response>"


async def test_a_recording_that_was_ordered_begins_with_the_answer(ledger: Ledger) -> None:
    async with scene_of(ledger) as scene:
        scene.tell_of_placed_calls()
        await scene.create(Record="true", RecordingChannels="dual", RecordingStatusCallback="https://a.example/r")
        identity = call_id(1)
        assert not scene.recorded
        scene.live.observe(answered(identity))
        scene.live.observe(answered(identity))
        ((call, order),) = scene.recorded
        assert call.facts.call_id == identity
        assert (order.channels, order.callback, order.events) == ("dual", "https://a.example/r", ("completed",))


async def test_without_a_place_for_recordings_the_call_goes_on(
    ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    async with scene_of(ledger, record=None) as scene:
        assert (await scene.create(Record="true", MachineDetection="Enable"))[0] == 201
    assert "not recorded" in caplog.text
    assert "passed over" in caplog.text


# -- fetch and list


async def test_a_live_call_is_told_as_it_is_now(ledger: Ledger) -> None:
    async with scene_of(ledger) as scene:
        call, _ = scene.up(call_id(7), state=CallState.RINGING, caller=NUMBER, dialled="pay", caller_name="Ann")
        for state, status in (
            (CallState.RINGING, "ringing"),
            (CallState.ANSWERED, "in-progress"),
        ):
            call.state = state
            found, body = await scene.ask("GET", f"/Calls/CA{call_id(7)}.json")
            assert (found, body["status"], body["caller_name"], body["end_time"]) == (200, status, "Ann", None)
            assert body["start_time"] == body["date_created"] is not None
        scene.live.observe(answered(call_id(7)))
        call.state = CallState.ENDED
        assert (await scene.ask("GET", f"/Calls/CA{call_id(7)}.json"))[1]["status"] == "completed"


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (CallOutcome.BUSY, "busy"),
        (CallOutcome.NO_ANSWER, "no-answer"),
        (CallOutcome.UNREACHABLE, "failed"),
        (CallOutcome.CANCELLED, "canceled"),
    ],
)
async def test_a_call_that_nobody_answered_is_told_so_before_its_record_is(
    ledger: Ledger, outcome: CallOutcome, status: str
) -> None:
    async with scene_of(ledger) as scene:
        call, _ = scene.up(call_id(7), state=CallState.QUEUED, direction="out")
        call.state = CallState.ENDED
        scene.live.observe(CallFailed(call_id=call_id(7), outcome=outcome, status=None, reason=""))
        assert (await scene.ask("GET", f"/Calls/CA{call_id(7)}.json"))[1]["status"] == status
        await record(ledger, 7, cause=str(outcome), is_answered=False, direction="out")
        scene.live.observe(CallEnded(call_id=call_id(7), cause=str(outcome), duration_s=1.0))
        del scene.exchange.up[call_id(7)]
        body = (await scene.ask("GET", f"/Calls/CA{call_id(7)}.json"))[1]
        assert (body["status"], body["duration"]) == (status, None)
        assert len(scene.live) == 0


async def test_a_call_that_is_over_is_told_from_its_record() -> None:
    clock = SlidingClock()
    ledger = await Ledger.open("sqlite+aiosqlite:///:memory:", clock=clock)
    try:
        identity = await record(ledger, 3, is_over=False)
        started = (await ledger.calls.find(identity)).started_at  # type: ignore[union-attr]
        clock.now += timedelta(seconds=42.9)
        await ledger.record_call_end(identity, cause="remote_bye")
        async with scene_of(ledger) as scene:
            status, body = await scene.ask("GET", f"/Calls/CA{identity}.json")
            assert (status, body["status"], body["direction"]) == (200, "completed", "inbound")
            assert set(body) == PROPERTIES
            assert body["start_time"] == started.strftime("%a, %d %b %Y %H:%M:%S +0000")
            assert body["duration"] == "42"
    finally:
        await ledger.close()


@pytest.mark.parametrize("sid", ["CA" + "0" * 32, "CA12", "PK" + "0" * 32, "CA" + "G" * 32, "CA" + "0" * 31 + "%00"])
async def test_a_call_that_is_not_there_is_20404(ledger: Ledger, sid: str) -> None:
    async with scene_of(ledger) as scene:
        for method in ("GET", "POST", "DELETE"):
            status, body = await scene.ask(method, f"/Calls/{sid}.json", data={"Status": "completed"})
            assert (status, body["code"]) == (404, 20404)
        assert (await scene.ask("GET", f"/Calls/{sid}/Events.json"))[0] == 404


async def ids_of(scene: Scene, **query: Any) -> list[int]:
    status, body = await scene.ask("GET", "/Calls.json?" + urlencode(query))
    assert status == 200, body
    return [int(call["sid"][2:], 16) for call in body["calls"]]


async def test_calls_are_filtered_by_status_numbers_parent_and_time(ledger: Ledger) -> None:
    async with scene_of(ledger) as scene:
        await record(ledger, 1)
        await record(ledger, 2, cause="busy", is_answered=False, direction="out", dialled="+15550100002")
        await record(ledger, 3, cause="no-answer", is_answered=False, direction="out", parent_id=call_id(1))
        await record(ledger, 4, cause="unreachable", is_answered=False, direction="out")
        await record(ledger, 5, cause="cancelled", is_answered=False)
        await record(ledger, 6, is_over=False)
        scene.up(call_id(6))
        await record(ledger, 7, is_over=False, is_answered=False)
        scene.up(call_id(7), state=CallState.RINGING)
        assert await ids_of(scene) == [7, 6, 5, 4, 3, 2, 1]
        for status, expected in (
            ("completed", [1]),
            ("busy", [2]),
            ("no-answer", [3]),
            ("failed", [4]),
            ("canceled", [5]),
            ("in-progress", [6]),
            ("ringing", [7]),
            ("queued", []),
            ("nonsense", []),
        ):
            assert await ids_of(scene, Status=status) == expected, status
            for call in (await scene.ask("GET", "/Calls.json?" + urlencode({"Status": status})))[1]["calls"]:
                assert call["status"] == status
        assert await ids_of(scene, To="+1 555 010 0002") == [2]
        assert await ids_of(scene, To="sip:pay@host", From=NUMBER, Status="completed") == [1]
        assert await ids_of(scene, ParentCallSid="CA" + call_id(1)) == [3]
        assert await ids_of(scene, ParentCallSid="nonsense") == []
        today = datetime.now(UTC).date()
        tomorrow = today + timedelta(days=1)
        assert len(await ids_of(scene, StartTime=today)) + len(await ids_of(scene, StartTime=tomorrow)) == 7
        assert await ids_of(scene, **{"StartTime>": tomorrow + timedelta(days=1)}) == []
        assert len(await ids_of(scene, **{"EndTime<": f"{tomorrow}T23:59:59Z"})) == 5


@pytest.mark.parametrize(
    "query",
    [
        "PageSize=x",
        "Page=-1",
        "PageToken=PA",
        "PageToken=PAfffffffffffffff-1",
        "StartTime=soon",
        "EndTime%3C=0001-01-01",
    ],
)
async def test_a_list_that_cannot_be_meant_is_refused(ledger: Ledger, query: str) -> None:
    async with scene_of(ledger) as scene:
        assert (await scene.ask("GET", f"/Calls.json?{query}"))[0] == 400


async def test_pages_lead_to_their_neighbours_and_keep_the_filter(ledger: Ledger) -> None:
    async with scene_of(ledger) as scene:
        for number in range(1, 8):
            await record(ledger, number)
        await record(ledger, 99, dialled="else")
        seen: list[list[int]] = []
        uri: str | None = f"/2010-04-01/Accounts/{ACCOUNT_SID}/Calls.json?To=pay&PageSize=3"
        pages: list[Any] = []
        while uri is not None:
            if len(pages) == 1:
                await record(ledger, 50)  # a call that comes meanwhile moves nothing
            async with scene.session.get(scene.url + uri, headers=authorization()) as answer:
                pages.append(await answer.json())
            seen.append([int(call["sid"][2:], 16) for call in pages[-1]["calls"]])
            uri = pages[-1]["next_page_uri"]
        assert seen == [[7, 6, 5], [4, 3, 2], [1]]
        assert [(page["page"], page["start"], page["end"]) for page in pages] == [(0, 0, 2), (1, 3, 5), (2, 6, 6)]
        assert pages[0]["previous_page_uri"] is None
        assert all("To=pay" in page["first_page_uri"] for page in pages)
        async with scene.session.get(scene.url + pages[2]["previous_page_uri"], headers=authorization()) as answer:
            back = await answer.json()
        assert [int(call["sid"][2:], 16) for call in back["calls"]] == [4, 3, 2]
        assert back["page"] == 1
        assert await ids_of(scene, To="pay", PageSize=3, Page=1) == [5, 4, 3]


# -- update


async def test_a_live_call_is_given_another_document(ledger: Ledger) -> None:
    async with scene_of(ledger) as scene:
        _, program = scene.up(call_id(1))
        path = f"/Calls/CA{call_id(1)}.json"
        data = {"Url": URL, "Method": "GET", "FallbackUrl": URL + "/f", "StatusCallback": "https://a.example/s"}
        status, body = await scene.ask("POST", path, data=data | {"TimeLimit": "90"})
        assert (status, body["status"]) == (200, "in-progress")
        assert program.redirected == [Source(url=URL, method="GET", fallback_url=URL + "/f")]
        assert program.limits == [90.0]
        assert [plan.url for plan in scene.teller.plans if plan] == ["https://a.example/s"]
        assert (await scene.ask("POST", path, data={"Twiml": "<Response/>"}))[0] == 200
        assert program.redirected[1] == Source(text="<Response/>")
        program.is_over = True
        status, body = await scene.ask("POST", path, data={"Twiml": "<Response/>"})
        assert (status, body["code"]) == (400, 21220)


async def test_what_is_not_in_progress_takes_no_document(ledger: Ledger) -> None:
    async with scene_of(ledger) as scene:
        over = await record(ledger, 2)
        scene.up(call_id(3), state=CallState.RINGING)
        form = scene.exchange.add(call_id(4))
        form.program = cast(Program, object())
        scene.up(call_id(5), state=CallState.ENDED)
        for identity in (over, call_id(3), call_id(4), call_id(5)):
            status, body = await scene.ask("POST", f"/Calls/CA{identity}.json", data={"Url": URL})
            assert (status, body["code"]) == (400, 21220)
        assert (await scene.ask("POST", f"/Calls/CA{over}.json", data={"Status": "completed"}))[1]["code"] == 21220


@pytest.mark.parametrize(
    ("state", "status", "ends"),
    [
        (CallState.ANSWERED, "completed", True),
        (CallState.ANSWERED, "canceled", False),
        (CallState.RINGING, "canceled", True),
        (CallState.RINGING, "completed", True),
        (CallState.QUEUED, "canceled", True),
    ],
)
async def test_completed_ends_every_call_and_canceled_those_not_answered(
    ledger: Ledger, state: CallState, status: str, ends: bool
) -> None:
    async with scene_of(ledger) as scene:
        call, program = scene.up(call_id(1), state=state, direction="out")
        if state is CallState.ANSWERED:
            scene.live.observe(answered(call_id(1)))
        found, body = await scene.ask("POST", f"/Calls/CA{call_id(1)}.json", data={"Status": status, "Url": URL})
        assert found == 200
        assert (call.times_hung_up == 1) is ends
        assert not program.redirected
        expected = "in-progress" if not ends else "completed" if state is CallState.ANSWERED else "canceled"
        assert body["status"] == expected


@pytest.mark.parametrize(
    ("data", "code"),
    [({"Status": "paused"}, 20001), ({"Url": URL, "Twiml": "<Response/>"}, 21205), ({"Url": "x"}, 21205)],
)
async def test_a_change_that_cannot_be_meant_is_refused(ledger: Ledger, data: dict[str, str], code: int) -> None:
    async with scene_of(ledger) as scene:
        call, program = scene.up(call_id(1))
        status, body = await scene.ask("POST", f"/Calls/CA{call_id(1)}.json", data=data)
        assert (status, body["code"]) == (400, code)
        assert not program.redirected
        assert not call.times_hung_up


# -- delete


async def test_the_record_of_a_call_that_is_over_can_be_deleted(ledger: Ledger) -> None:
    async with scene_of(ledger) as scene:
        over = await record(ledger, 1)
        crashed = await record(ledger, 2, is_over=False)
        live = await record(ledger, 3, is_over=False)
        scene.up(live)
        status, body = await scene.ask("DELETE", f"/Calls/CA{live}.json")
        assert (status, body["code"]) == (409, 20009)
        for identity in (over, crashed):
            assert await scene.ask("DELETE", f"/Calls/CA{identity}.json") == (204, None)
            assert (await scene.ask("DELETE", f"/Calls/CA{identity}.json"))[0] == 404
        assert await ids_of(scene) == [3]


async def test_a_call_that_a_crash_ended_is_not_told_as_live(ledger: Ledger) -> None:
    async with scene_of(ledger) as scene:
        await record(ledger, 1, is_over=False)
        await record(ledger, 2, is_over=False, is_answered=False)
        assert (await scene.ask("GET", f"/Calls/CA{call_id(1)}.json"))[1]["status"] == "completed"
        assert (await scene.ask("GET", f"/Calls/CA{call_id(2)}.json"))[1]["status"] == "failed"


# -- the vendor's own client


async def test_the_vendors_client_works_unchanged(ledger: Ledger) -> None:
    async with scene_of(ledger) as scene:
        for number in range(1, 6):
            await record(ledger, number)
        scene.tell_of_placed_calls()
        client = scene.sdk()

        def use() -> None:
            made = client.calls.create(
                to=NUMBER,
                from_=OWN,
                url=URL,
                status_callback="https://a.example/s",
                status_callback_event=["initiated", "completed"],
                record=True,
                timeout=20,
            )
            assert (made.status, made.direction, made._from) == ("queued", "outbound-api", OWN)
            fetched = client.calls(made.sid).fetch()
            assert fetched.sid == made.sid
            listed = client.calls.list(to="pay", page_size=2)
            assert [int(call.sid[2:], 16) for call in listed] == [5, 4, 3, 2, 1]
            assert listed[0].date_created.tzinfo is not None
            assert listed[0].duration == "0"
            streamed = [
                call.sid
                for call in client.calls.stream(start_time_after=datetime(2020, 1, 1, tzinfo=UTC), page_size=3, limit=4)
            ]
            assert len(streamed) == 4
            assert client.calls.list(start_time_before=datetime(2020, 1, 1, tzinfo=UTC)) == []
            assert client.calls(listed[0].sid).events.list() == []
            assert client.calls(listed[0].sid).notifications.list() == []
            assert client.calls(made.sid).update(status="canceled").status == "canceled"
            assert client.calls(listed[0].sid).delete() is True
            with pytest.raises(TwilioRestException) as gone:
                client.calls(listed[0].sid).fetch()
            assert (gone.value.status, gone.value.code) == (404, 20404)
            with pytest.raises(TwilioRestException) as over:
                client.calls(listed[1].sid).update(twiml="<Response/>")
            assert (over.value.status, over.value.code) == (400, 21220)
            assert client.api.accounts(ACCOUNT_SID).fetch().status == "active"
            assert [account.sid for account in client.api.accounts.list()] == [ACCOUNT_SID]

        await scene.in_thread(use)


async def test_a_client_whose_requests_are_led_here_by_its_http_client(ledger: Ledger) -> None:
    async with scene_of(ledger) as scene:

        class Here(TwilioHttpClient):  # type: ignore[misc]
            def request(self, method: str, url: str, *args: Any, **options: Any) -> Any:
                return super().request(method, url.replace("https://api.twilio.com", scene.url, 1), *args, **options)

        client = Client(ACCOUNT_SID, TOKEN, http_client=Here())
        account = await scene.in_thread(client.api.accounts(ACCOUNT_SID).fetch)
        assert (account.sid, account.status) == (ACCOUNT_SID, "active")
