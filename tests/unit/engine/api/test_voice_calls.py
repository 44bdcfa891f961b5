"""The Voice API by HTTP: who is let in, calls placed and told of, and how refusals look."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from vonage_voice.models.responses import CallInfo, CallList, CreateCallResponse

from engine.api.server import ApiServer
from engine.config import parse
from engine.dialects.ncco.identity import call_uuid, conversation_uuid, named_conversation
from engine.errors import BusyError, CallError, ConfigError
from engine.ledger import Ledger
from engine.program import CallState
from tests.support.voice import (
    BANK,
    BANK_ID,
    SHOP,
    bearer,
    token_of,
    voice_config,
)
from tests.support.voice_calls import (
    ID,
    NCCO,
    NUMBER,
    OTHER,
    OWN,
    THIRD,
    record,
    scene_of,
)

pytestmark = pytest.mark.asyncio

NOBODY = {"type": "NOT_FOUND", "error_title": "Not found"}


@pytest.fixture
def at(tmp_path: Path) -> Callable[..., Any]:
    return lambda **more: voice_config(tmp_path, **more)


# -- who is let in -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [9_000, 40_000], ids=["of a token", "of a header"])
async def test_a_token_that_is_too_long_is_refused_as_the_vendor_does(
    ledger: Ledger, at: Callable[..., Any], length: int
) -> None:
    wanted = (401, "UNAUTHORIZED", "Unauthorized") if length < 16_000 else (400, "BAD_REQUEST", "Bad Request")
    async with scene_of(ledger, at()) as scene:
        status, body = await scene.ask("GET", "/calls", headers=bearer(token_of(filler="x" * length)))
        assert (status, body["type"], body["error_title"]) == wanted
        assert (await scene.ask("GET", "/calls"))[0] == 200


async def test_every_path_below_v1_wants_a_token(ledger: Ledger, at: Callable[..., Any]) -> None:
    paths = ["/calls", f"/calls/{call_uuid(ID)}", f"/calls/{call_uuid(ID)}/talk", f"/files/{call_uuid(ID)}", "/none"]
    async with scene_of(ledger, at()) as scene:
        for path in paths:
            for headers in ({}, {"Authorization": "Basic YTpi"}, bearer("a.b.c"), bearer(token_of("stranger"))):
                status, body = await scene.ask("GET", path, headers=headers)
                assert (status, body["type"], body["error_title"]) == (401, "UNAUTHORIZED", "Unauthorized")
                assert set(body) == {"type", "error_title", "detail"}


async def test_a_refusal_asks_for_a_bearer(ledger: Ledger, at: Callable[..., Any]) -> None:
    async with scene_of(ledger, at()) as scene, scene.api.session.get(f"{scene.api.url}/v1/calls") as answer:
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert answer.content_type == "application/json"


async def test_what_there_is_not_is_refused_in_the_vendor_s_shape(ledger: Ledger, at: Callable[..., Any]) -> None:
    async with scene_of(ledger, at()) as scene:
        status, body = await scene.ask("GET", "/none")
        assert (status, body["type"], body["error_title"]) == (404, "NOT_FOUND", "Not found")
        status, body = await scene.ask("PATCH", "/calls")
        assert (status, body["type"]) == (405, "METHOD_NOT_ALLOWED")
        status, body = await scene.ask("POST", "/calls", data=b"x" * 300_000)
        assert (status, body["type"]) == (413, "PAYLOAD_TOO_LARGE")


async def test_other_paths_keep_their_own_shape(ledger: Ledger, at: Callable[..., Any]) -> None:
    async with scene_of(ledger, at(twilio=True)) as scene:
        status, body = await scene.api.ask("GET", "/None.json")
        assert (status, body["code"]) == (404, 20404)
        status, body = await scene.api.ask("GET", "/Calls.json", auth=None, headers=bearer())
        assert (status, body["code"]) == (401, 20003)
        async with scene.api.session.get(f"{scene.api.url}/v1beta") as answer:
            assert (await answer.json())["code"] == 20003
        status, _ = await scene.ask("GET", "/calls")
        assert status == 200


async def test_a_token_is_good_for_a_few_requests(ledger: Ledger, at: Callable[..., Any]) -> None:
    async with scene_of(ledger, at(vonage="max_token_uses = 2")) as scene:
        headers = bearer(token_of())
        answers = [await scene.ask("GET", "/calls", headers=headers) for _ in range(3)]
        assert [status for status, _ in answers] == [200, 200, 401]
        assert "jti" in answers[2][1]["detail"]


async def test_too_many_requests_are_told_so(ledger: Ledger, at: Callable[..., Any]) -> None:
    config = at()
    slow = config.model_copy(update={"api": config.api.model_copy(update={"requests_per_s": 0.1, "burst": 1})})
    async with scene_of(ledger, slow) as scene:
        await scene.ask("GET", "/calls")
        status, body = await scene.ask("GET", "/calls")
        assert (status, body["type"], body["error_title"]) == (429, "TOO_MANY_REQUESTS", "Too many requests")


async def test_an_engine_may_have_the_voice_api_alone(ledger: Ledger, at: Callable[..., Any]) -> None:
    async with scene_of(ledger, at()) as scene:
        assert not scene.api.deps.account_sid
        assert (await scene.ask("GET", "/calls"))[0] == 200


async def test_without_any_key_there_is_nothing_to_serve() -> None:
    config = parse(
        '[api]\nlisten = "127.0.0.1:0"\n[connector.sandbox]\ntype = "sandbox"\n'
        '[app.shop]\ndialect = "ncco"\nncco = "[]"\n'
    )
    with pytest.raises(ConfigError) as caught:
        await ApiServer.start(cast(Any, _Deps(config)), [])
    assert "public_key" in caught.value.remedy


class _Deps:
    account_sid = ""

    def __init__(self, config: Any) -> None:
        self.config = config


# -- a call is placed --------------------------------------------------------------------------------------------------


async def test_a_call_with_an_ncco(ledger: Ledger, at: Callable[..., Any]) -> None:
    async with scene_of(ledger, at()) as scene:
        status, body = await scene.create(
            event_url=["https://shop.example/own"], event_method="GET", ringing_timer=20, length_timer=90
        )
        assert status == 201
        call_id = "0" * 31 + "1"
        assert body == {
            "uuid": call_uuid(call_id),
            "status": "started",
            "direction": "outbound",
            "conversation_uuid": conversation_uuid(call_id),
        }
        CreateCallResponse(**body)
        (wanted,) = scene.exchange.placed
        assert (wanted.to, wanted.caller, wanted.ring_s) == (NUMBER, OWN, 20.0)
        ((app, program),) = scene.programs
        assert app == SHOP
        assert program.order is not None
        assert json.loads(program.order.source.text) == NCCO
        assert program.order.event is not None
        assert program.order.event.url == "https://shop.example/own"
        assert program.order.event.method == "GET"
        assert program.order.length_s == 90.0


async def test_a_call_with_an_answer_url(ledger: Ledger, at: Callable[..., Any]) -> None:
    async with scene_of(ledger, at()) as scene:
        status, _ = await scene.create(ncco=None, answer_url=["https://shop.example/a"], answer_method="POST")
        assert status == 201
        order = scene.programs[0][1].order
        assert order is not None
        assert order.source.answer is not None
        assert order.source.fallback is not None
        assert (order.source.answer.url, order.source.answer.method) == ("https://shop.example/a", "POST")
        assert order.source.fallback.url == "https://shop.example/fallback"
        assert scene.exchange.placed[0].ring_s == 60.0


async def test_a_call_to_a_sip_uri_from_a_number_at_random(ledger: Ledger, at: Callable[..., Any]) -> None:
    async with scene_of(ledger, at()) as scene:
        to = [{"type": "sip", "uri": "sip:ann@pbx.example", "headers": {"Ticket": "7"}, "dtmfAnswer": "1p2"}]
        status, _ = await scene.create(**{"to": to, "from": None, "random_from_number": True})
        assert status == 201
        (wanted,) = scene.exchange.placed
        assert (wanted.to, wanted.caller, dict(wanted.headers)) == ("sip:ann@pbx.example", OWN, {"X-Ticket": "7"})
        order = scene.programs[0][1].order
        assert order is not None
        assert order.to.dtmf_answer == "1p2"


async def test_an_ncco_s_fault_is_told_with_its_place(ledger: Ledger, at: Callable[..., Any]) -> None:
    async with scene_of(ledger, at()) as scene:
        _, body = await scene.create(ncco=[*NCCO, {"action": "stream"}])
        assert body["invalid_parameters"]["ncco"].startswith("[1]")


async def test_a_body_may_call_itself_what_it_likes(ledger: Ledger, at: Callable[..., Any]) -> None:
    async with scene_of(ledger, at()) as scene:
        body = {"to": [{"type": "phone", "number": NUMBER}], "from": OWN, "ncco": NCCO}
        headers = bearer() | {"Content-Type": "text/plain"}
        assert (await scene.ask("POST", "/calls", data=json.dumps(body), headers=headers))[0] == 201


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (BusyError("too many calls"), 503, "SERVICE_UNAVAILABLE"),
        (CallError("a telephone number needs a gateway"), 400, "BAD_REQUEST"),
        (ConfigError("a password is missing", where="x", remedy="y"), 500, "INTERNAL_SERVER_ERROR"),
    ],
)
async def test_calls_that_cannot_be_placed(
    ledger: Ledger, at: Callable[..., Any], error: Any, status: int, kind: str
) -> None:
    async with scene_of(ledger, at()) as scene:
        scene.exchange.refuse = error
        answer = await scene.create()
        assert (answer[0], answer[1]["type"]) == (status, kind)
        assert ("to" in answer[1].get("invalid_parameters", {})) is (status == 400)
        assert "password" not in json.dumps(answer[1])


# -- what is told of calls ---------------------------------------------------------------------------------------------


async def test_a_call_that_is_up(ledger: Ledger, at: Callable[..., Any]) -> None:
    async with scene_of(ledger, at()) as scene:
        scene.up(caller="+15551234567", dialled="4711")
        status, body = await scene.ask("GET", f"/calls/{call_uuid(ID)}")
        assert status == 200
        told = CallInfo(**body)
        assert (told.uuid, told.status, told.direction) == (call_uuid(ID), "answered", "inbound")
        assert body["from"] == {"type": "phone", "number": "15551234567"}
        assert body["to"] == {"type": "phone", "number": "4711"}
        assert told.link == f"/v1/calls/{call_uuid(ID)}"
        assert told.duration is None
        assert told.price is None


async def test_a_call_that_is_over(ledger: Ledger, at: Callable[..., Any]) -> None:
    await record(ledger, ID)
    async with scene_of(ledger, at()) as scene:
        _, body = await scene.ask("GET", f"/calls/{call_uuid(ID)}")
        told = CallInfo(**body)
        assert (told.status, told.direction) == ("completed", "outbound")
        assert told.duration is not None
        assert told.duration.isdigit()
        assert (told.rate, told.price) == ("0.00", "0.00")
        assert told.start_time is not None
        assert told.end_time is not None


async def test_how_calls_ended_that_nobody_answered(ledger: Ledger, at: Callable[..., Any]) -> None:
    causes = {
        "busy": "busy",
        "no-answer": "timeout",
        "refused": "rejected",
        "not-found": "failed",
        "unreachable": "unanswered",
        "no-media": "failed",
        "cancelled": "cancelled",
        "something else": "failed",
    }
    ids = {cause: f"{number:032x}" for number, cause in enumerate(causes)}
    for cause, call_id in ids.items():
        await record(ledger, call_id, answered=False, cause=cause)
    await record(ledger, "e" * 32, answered=False, ended=False)  # a crash came between
    await record(ledger, "f" * 32, answered=False, cause="rejected", direction="in")
    async with scene_of(ledger, at()) as scene:
        for cause, status in causes.items():
            _, body = await scene.ask("GET", f"/calls/{call_uuid(ids[cause])}")
            assert body["status"] == status
            _, listed = await scene.ask("GET", f"/calls?status={status}")
            wanted = {call_uuid(ids[other]) for other in causes if causes[other] == status}
            assert {call["uuid"] for call in listed["_embedded"]["calls"]} == wanted
        _, body = await scene.ask("GET", f"/calls/{call_uuid('e' * 32)}")
        assert body["status"] == "failed"
        _, listed = await scene.ask("GET", "/calls?status=completed")
        (told,) = listed["_embedded"]["calls"]
        assert (told["uuid"], told["status"], told["duration"]) == (call_uuid("f" * 32), "completed", "0")


async def test_calls_of_others_are_none(ledger: Ledger, at: Callable[..., Any]) -> None:
    await record(ledger, OTHER, app=BANK)
    await record(ledger, THIRD, app="a form")
    async with scene_of(ledger, at()) as scene:
        scene.up(ID, BANK)
        for call_id in (ID, OTHER, THIRD, "4" * 32):
            for method, path, body in (
                ("GET", "", None),
                ("PUT", "", {"action": "hangup"}),
                ("PUT", "", {"action": "nonsense"}),
                ("PUT", "/talk", {"text": "x"}),
                ("DELETE", "/talk", None),
                ("PUT", "/stream", {"stream_url": ["https://x.example/a.wav"]}),
                ("DELETE", "/stream", None),
                ("PUT", "/dtmf", {"digits": "1"}),
            ):
                status, answer = await scene.ask(method, f"/calls/{call_uuid(call_id)}{path}", json=body)
                assert status == 404
                assert answer | NOBODY == answer
        status, _ = await scene.ask("GET", "/calls/no-uuid")
        assert status == 404
        _, listed = await scene.ask("GET", "/calls")
        assert (listed["count"], listed["_embedded"]["calls"]) == (0, [])
        assert not scene.live.done
        bank = bearer(token_of(BANK, BANK_ID))
        assert (await scene.ask("GET", f"/calls/{call_uuid(ID)}", headers=bank))[0] == 200
        assert (await scene.ask("GET", f"/calls/{call_uuid(OTHER)}", headers=bank))[0] == 200
        assert (await scene.ask("GET", "/calls", headers=bank))[1]["count"] == 1


async def test_a_call_out_that_an_ncco_made_is_its_application_s(ledger: Ledger, at: Callable[..., Any]) -> None:
    await record(ledger, ID)
    await record(ledger, OTHER, app="connect", parent_id=ID)
    async with scene_of(ledger, at()) as scene:
        _, body = await scene.ask("GET", f"/calls/{call_uuid(OTHER)}")
        assert body["conversation_uuid"] == conversation_uuid(ID)
        assert (await scene.ask("GET", "/calls"))[1]["count"] == 2
        bank = bearer(token_of(BANK, BANK_ID))
        assert (await scene.ask("GET", f"/calls/{call_uuid(OTHER)}", headers=bank))[0] == 404
        assert (await scene.ask("GET", "/calls", headers=bank))[1]["count"] == 0


async def test_a_call_that_was_handed_on_is_told_of_to_who_has_it(ledger: Ledger, at: Callable[..., Any]) -> None:
    await record(ledger, ID, app=BANK, ended=False)
    async with scene_of(ledger, at()) as scene:
        scene.up(ID, caller="+15551234567")
        assert (await scene.ask("GET", f"/calls/{call_uuid(ID)}"))[1]["from"]["number"] == "15551234567"
        bank = bearer(token_of(BANK, BANK_ID))
        assert (await scene.ask("GET", f"/calls/{call_uuid(ID)}", headers=bank))[0] == 404
        (told,) = (await scene.ask("GET", "/calls", headers=bank))[1]["_embedded"]["calls"]
        assert (told["status"], told["from"]["number"]) == ("completed", OWN)


async def test_a_list_page_by_page(ledger: Ledger, at: Callable[..., Any]) -> None:
    ids = [f"{number:032x}" for number in range(1, 6)]
    for call_id in ids:
        await record(ledger, call_id)
    async with scene_of(ledger, at()) as scene:
        seen: list[str] = []
        path = "/calls?page_size=2&status=completed"
        while path:
            status, body = await scene.ask("GET", path)
            assert status == 200
            told = CallList(**body)
            assert (told.count, told.page_size) == (5, 2)
            assert told.record_index == len(seen)
            seen += [call.uuid for call in told.embedded.calls]
            path = told.links.next.href.removeprefix("/v1") if told.links.next else ""
        assert seen == [call_uuid(call_id) for call_id in ids]
        _, body = await scene.ask("GET", "/calls?order=desc&record_index=4")
        assert [call["uuid"] for call in body["_embedded"]["calls"]] == [call_uuid(ids[0])]
        assert body["_links"]["prev"]
        assert "next" not in body["_links"]
        _, body = await scene.ask("GET", "/calls?record_index=99")
        assert (body["count"], body["_embedded"]["calls"]) == (5, [])


async def test_lists_of_times_and_of_conversations(ledger: Ledger, at: Callable[..., Any]) -> None:
    await record(ledger, ID)
    await record(ledger, OTHER, parent_id=ID)
    await record(ledger, THIRD)
    async with scene_of(ledger, at()) as scene:

        async def listed(query: str) -> list[str]:
            status, body = await scene.ask("GET", f"/calls?{query}")
            assert status == 200
            return [call["uuid"] for call in body["_embedded"]["calls"]]

        ago = (datetime.now(UTC) - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        assert len(await listed(f"date_start={ago}")) == 3
        assert await listed(f"date_end={ago}") == []
        assert await listed("date_start=2999-01-01%2000:00:00") == []
        assert await listed(f"conversation_uuid={conversation_uuid(ID)}") == [call_uuid(ID), call_uuid(OTHER)]
        assert await listed("conversation_uuid=CON-1") == []
        assert await listed("status=machine") == []
        assert await listed("status=answered") == []
        room = named_conversation("x", "desk")
        scene.up(THIRD)
        leg = scene.legs.find(THIRD)
        assert leg is not None
        leg.conversation_uuid = room
        assert await listed(f"conversation_uuid={room}") == [call_uuid(THIRD)]


async def test_a_list_of_calls_that_are_up(ledger: Ledger, at: Callable[..., Any]) -> None:
    await record(ledger, ID, ended=False)
    await record(ledger, OTHER, ended=False)
    async with scene_of(ledger, at()) as scene:
        scene.up(ID, direction="out")
        scene.up(OTHER, state=CallState.RINGING, direction="out")
        for status, call_id in (("answered", ID), ("ringing", OTHER)):
            _, body = await scene.ask("GET", f"/calls?status={status}")
            (told,) = body["_embedded"]["calls"]
            assert (told["uuid"], told["status"]) == (call_uuid(call_id), status)


async def test_queries_that_are_no_good(ledger: Ledger, at: Callable[..., Any]) -> None:
    queries = [
        *("status=dancing", "order=up", "page_size=0", "page_size=101", "record_index=-1", "record_index=x"),
        *("date_start=yesterday", "date_end=0001-01-01", "status=%ff", "&".join(f"a{n}=1" for n in range(60))),
    ]
    async with scene_of(ledger, at()) as scene:
        for query in queries:
            status, body = await scene.ask("GET", f"/calls?{query}")
            assert (status, body["type"]) == (400, "BAD_REQUEST")
