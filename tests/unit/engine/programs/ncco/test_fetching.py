"""How applications are asked: what a request says, how often it is made, and what becomes of each failure."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

import pytest
from vonage_jwt import verify_signature  # type: ignore[import-untyped,unused-ignore]

from engine.dialects.ncco.actions import EventTarget
from engine.dialects.ncco.commands import Asking, FetchNcco
from engine.errors import ProgramError
from engine.events import CallOutcome
from engine.net.egress import EgressRefused
from engine.net.http import BadAnswer, HttpResponse, NotSent, Unanswered
from engine.net.web_client import WebClient
from engine.program import CallFacts
from engine.programs.ncco.fetching import PAUSE_S, Answer, ask
from tests.support.ncco_legs import CALL, EVENTS, KEY_ENV, LegScene, facts_of, ncco_config
from tests.support.programs import FakePrompts, FakeWeb, context_of
from tests.support.stepped_loop import on_stepped_loop, passes

HOST = "https://app.example"
ANSWER = EventTarget(url=f"{HOST}/answer", method="GET")
FALLBACK = EventTarget(url="https://spare.example/answer", method="GET")
SECRET = "a-signature-secret-of-32-letters"
KEYS = "8642"
UUID = "63f61863-4a51-4f0c-8b21-00a1b2c3d4e5"
NCCO = HttpResponse(status=200, headers=((b"content-type", b"application/json"),), body=b"[]")
HEADERS = {"X-Order": "7", "X-Nexmo-Id": "no"}


class Scene(LegScene):
    """An application's pages, and a call."""

    def __init__(self, *, more: str = "", headers: Mapping[str, str] | None = None, **config: str) -> None:
        config.setdefault("vonage", f'signature_secret_env = "{KEY_ENV}"\napi_key = "a1b2"')
        super().__init__(ncco_config(more, **config))
        self.web = FakeWeb()
        facts = facts_of()
        if headers:
            facts = CallFacts(call_id=CALL, direction="in", caller=facts.caller, dialled=facts.dialled, headers=headers)
        self.leg = self.legs.watch(facts, app="shop")
        self.context = replace(
            context_of(self.web, FakePrompts(), config=self.config),
            web=WebClient(self.web, clock=lambda: self.now, key_for={KEY_ENV: SECRET}.__getitem__),
            clock=lambda: self.now,
            ncco=self.legs,
        )

    async def asks(
        self,
        asking: Asking = "answer",
        target: EventTarget | None = ANSWER,
        members: Mapping[str, Any] | None = None,
        *,
        base_url: str = "",
        fallback: EventTarget | None = None,
    ) -> Answer:
        command = FetchNcco(
            token=1, asking=asking, target=target, members=members or {}, base_url=base_url, fallback=fallback
        )
        return await ask(command, self.leg, self.context)

    async def fails(self, **more: Any) -> str:
        """Ask, in vain; return the text of the error."""
        asked = asyncio.ensure_future(self.asks(**more))
        await passes(120.0)
        error = asked.exception()
        assert isinstance(error, ProgramError)
        return str(error)

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.web.sent[-1].url).query, keep_blank_values=True)

    @property
    def body(self) -> Any:
        return json.loads(self.web.sent[-1].body)


# -- what is asked -------------------------------------------------------------------------------------------------


@on_stepped_loop
async def test_the_ncco_of_a_call_is_asked_for_by_a_query_that_tells_the_call() -> None:
    scene = Scene(headers=HEADERS, more='[api]\npublic_url = "https://engine.example"')
    scene.web.pages[ANSWER.url] = NCCO
    answer = await scene.asks()
    assert answer == Answer(body=b"[]", url=ANSWER.url)
    assert scene.web.sent[0].method == "GET"
    assert scene.query == {
        "from": ["15551234567"],
        "to": ["15557654321"],
        "uuid": [UUID],
        "conversation_uuid": [f"CON-{UUID}"],
        "endpoint_type": ["phone"],
        "region_url": ["https://engine.example"],
        "SipHeader_X-Order": ["7"],
    }


@on_stepped_loop
async def test_a_query_of_the_answer_url_stays_in_front() -> None:
    scene = Scene()
    scene.web.pages[ANSWER.url] = NCCO
    answer = await scene.asks(target=EventTarget(url=f"{ANSWER.url}?shop=5", method="GET"))
    assert scene.web.sent[0].url.startswith(f"{ANSWER.url}?shop=5&from=1555")
    assert answer.url == f"{ANSWER.url}?shop=5"


@on_stepped_loop
async def test_by_post_the_ncco_of_a_call_is_asked_for_in_json() -> None:
    scene = Scene()
    scene.web.pages[ANSWER.url] = NCCO
    await scene.asks(target=EventTarget(url=ANSWER.url))
    assert scene.body == {
        "from": "15551234567",
        "to": "15557654321",
        "uuid": UUID,
        "conversation_uuid": f"CON-{UUID}",
        "endpoint_type": "phone",
    }
    assert scene.web.sent[0].headers["Content-Type"] == "application/json"


@on_stepped_loop
async def test_an_input_tells_its_keys_its_call_and_its_time() -> None:
    scene = Scene()
    scene.web.pages[EVENTS] = NCCO
    dtmf = {"digits": KEYS, "timed_out": False}
    await scene.asks("input", None, {"dtmf": dtmf, "speech": {}})
    assert scene.web.sent[0].url == EVENTS
    assert scene.body == {
        "dtmf": dtmf,
        "speech": {},
        "from": "15551234567",
        "to": "15557654321",
        "uuid": UUID,
        "conversation_uuid": f"CON-{UUID}",
        "timestamp": "2021-06-23T12:00:00.000Z",
    }


@on_stepped_loop
async def test_by_get_the_keys_of_an_input_are_json_in_the_query_and_stay_out_of_the_answers_address() -> None:
    scene = Scene()
    scene.web.pages[EVENTS] = NCCO
    answer = await scene.asks("input", EventTarget(url=EVENTS, method="GET"), {"dtmf": {"digits": KEYS}})
    assert scene.query["dtmf"] == ['{"digits":"8642"}']
    assert answer.url == EVENTS


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_notify_sends_its_payload_and_nothing_else(method: Literal["GET", "POST"]) -> None:
    @on_stepped_loop
    async def run() -> None:
        scene = Scene()
        scene.web.pages[EVENTS] = NCCO
        await scene.asks("notify", EventTarget(url=EVENTS, method=method), {"a": {"b": 1}, "c": "d"})
        if method == "GET":
            assert scene.query == {"a": ['{"b":1}'], "c": ["d"]}
        else:
            assert scene.body == {"a": {"b": 1}, "c": "d"}

    run()


@on_stepped_loop
async def test_a_connect_that_nobody_answered_asks_about_whom_it_called() -> None:
    scene = Scene()
    scene.web.pages[EVENTS] = NCCO
    called = facts_of("c" * 32, direction="out", parent_id=CALL)
    scene.legs.watch(called, app="shop").is_asked = True
    scene.created(scene.leg.facts)
    scene.created(called)
    scene.failed(called, CallOutcome.BUSY)
    await scene.asks("connect", None, {"status": "busy"})
    assert (scene.body["status"], scene.body["direction"]) == ("busy", "outbound")
    assert scene.body["uuid"] == "cccccccc-cccc-cccc-cccc-cccccccccccc"
    assert scene.body["timestamp"] == "2021-06-23T12:00:00.000Z"


@on_stepped_loop
async def test_a_connect_that_came_to_no_call_asks_about_the_call_itself() -> None:
    scene = Scene()
    scene.web.pages[EVENTS] = NCCO
    await scene.asks("connect", None, {"status": "failed"})
    assert (scene.body["status"], scene.body["uuid"]) == ("failed", UUID)


@on_stepped_loop
async def test_requests_are_signed_and_the_vendors_own_check_takes_them() -> None:
    scene = Scene()
    scene.web.pages[EVENTS] = NCCO
    await scene.asks("input", None, {"dtmf": {}})
    kind, token = scene.web.sent[0].headers["Authorization"].split(" ")
    assert kind == "Bearer"
    assert verify_signature(token, SECRET)
    assert not verify_signature(token, SECRET + "x")


@on_stepped_loop
async def test_without_a_secret_nothing_is_signed() -> None:
    scene = Scene(vonage="")
    scene.web.pages[ANSWER.url] = NCCO
    await scene.asks()
    assert "Authorization" not in scene.web.sent[0].headers


@on_stepped_loop
async def test_a_relative_url_is_one_beside_the_ncco() -> None:
    scene = Scene()
    scene.web.pages[f"{HOST}/deep/keys"] = NCCO
    answer = await scene.asks("input", EventTarget(url="keys"), {"dtmf": {}}, base_url=f"{HOST}/deep/answer?x=1")
    assert answer.url == f"{HOST}/deep/keys"


@on_stepped_loop
async def test_http_is_taken() -> None:
    scene = Scene()
    scene.web.pages["http://127.0.0.1:5000/answer"] = NCCO
    await scene.asks(target=EventTarget(url="http://127.0.0.1:5000/answer", method="GET"))
    assert scene.web.sent[0].allow_insecure


@on_stepped_loop
async def test_redirects_are_followed_and_lead_to_where_the_ncco_came_from() -> None:
    scene = Scene()
    moved = HttpResponse(status=302, headers=((b"location", b"/new/answer"),), body=b"")
    scene.web.pages |= {ANSWER.url: moved, f"{HOST}/new/answer": NCCO}
    assert (await scene.asks()).url == f"{HOST}/new/answer"


@on_stepped_loop
async def test_an_answer_that_says_nothing_is_an_answer() -> None:
    scene = Scene()
    scene.web.pages[EVENTS] = HttpResponse(status=204, headers=(), body=b"")
    assert (await scene.asks("input", None, {"dtmf": {}})).body == b""


@on_stepped_loop
async def test_a_question_may_go_over_a_connection_that_is_kept() -> None:
    scene = Scene()
    asked: list[dict[str, Any]] = []

    async def send(method: str, url: str, **more: Any) -> HttpResponse:
        asked.append(more)
        return NCCO

    web = WebClient(send, clock=lambda: scene.now, key_for={KEY_ENV: SECRET}.__getitem__)
    scene.context = replace(scene.context, web=web)
    await scene.asks("input", None, {"dtmf": {}})
    assert asked[0]["is_repeatable"]
    assert asked[0]["max_response"] == scene.config.vonage.max_document_kb * 1024


# -- what becomes of failures --------------------------------------------------------------------------------------

PASSING = [429, 500, 503, NotSent("app.example refuses"), Unanswered("app.example hung up"), BadAnswer("no HTTP")]
LASTING = [400, 401, 404, 410, EgressRefused("inside"), BadAnswer("redirects", status=304)]


def case(failure: Any) -> Any:
    """Return what a page answers with once."""
    return HttpResponse(status=failure, headers=(), body=b"[]") if isinstance(failure, int) else failure


@pytest.mark.parametrize("failure", [*PASSING, BadAnswer("it was cut off", status=200)], ids=str)
def test_what_may_pass_is_asked_once_more_after_a_pause(failure: Any) -> None:
    @on_stepped_loop
    async def run() -> None:
        scene = Scene()
        scene.web.pages[ANSWER.url] = [case(failure), NCCO]
        asked = asyncio.ensure_future(scene.asks(fallback=FALLBACK))
        await passes(PAUSE_S * 0.9)
        assert (len(scene.web.sent), asked.done()) == (1, False)
        await passes(PAUSE_S * 0.2)
        assert asked.result().url == ANSWER.url
        assert len(scene.web.sent) == 2

    run()


@pytest.mark.parametrize("failure", PASSING, ids=str)
def test_after_two_failures_the_fallback_is_asked_twice_and_that_is_all(failure: Any) -> None:
    @on_stepped_loop
    async def run() -> None:
        scene = Scene()
        scene.web.pages |= {ANSWER.url: [case(failure)] * 9, FALLBACK.url: [case(failure)] * 9}
        reason = await scene.fails(fallback=FALLBACK)
        assert [urlsplit(url).hostname for url in scene.web.urls] == ["app.example"] * 2 + ["spare.example"] * 2
        assert "app.example" in reason
        assert "spare.example" in reason

    run()


@pytest.mark.parametrize("failure", LASTING, ids=str)
def test_any_other_failure_leads_to_the_fallback_at_once(failure: Any) -> None:
    @on_stepped_loop
    async def run() -> None:
        scene = Scene()
        scene.web.pages |= {ANSWER.url: [case(failure)], FALLBACK.url: NCCO}
        answer = await scene.asks(fallback=FALLBACK)
        assert answer.url == FALLBACK.url
        assert len(scene.web.sent) == 2

    run()


@on_stepped_loop
async def test_the_fallback_is_told_the_same_in_its_own_way() -> None:
    scene = Scene()
    scene.web.pages[FALLBACK.url] = NCCO
    await scene.asks("input", None, {"dtmf": {"digits": KEYS}}, fallback=FALLBACK)
    assert scene.web.sent[-1].method == "GET"
    assert scene.query["dtmf"] == ['{"digits":"8642"}']


@on_stepped_loop
async def test_an_application_that_takes_too_long_is_asked_again_and_given_up() -> None:
    scene = Scene(vonage="document_timeout_s = 3")
    scene.web.pages[ANSWER.url] = asyncio.get_running_loop().create_future()
    asked = asyncio.ensure_future(scene.asks())
    await passes(3.4)
    assert len(scene.web.sent) == 1
    scene.web.pages[ANSWER.url] = asyncio.get_running_loop().create_future()
    await passes(3.0)
    assert not asked.done()
    await passes(0.2)
    assert "no answer within 3 s" in str(asked.exception())
    assert len(scene.web.sent) == 2


@on_stepped_loop
async def test_one_that_is_given_up_asks_no_more() -> None:
    scene = Scene()
    scene.web.pages[ANSWER.url] = [case(500), NCCO]
    asked = asyncio.ensure_future(scene.asks())
    await passes(PAUSE_S / 2)
    asked.cancel()
    await passes(60.0)
    assert asked.cancelled()
    assert len(scene.web.sent) == 1


@on_stepped_loop
async def test_without_an_event_url_there_is_nobody_to_ask() -> None:
    scene = Scene(app="")
    assert "no event URL" in await scene.fails(asking="input", target=None, fallback=FALLBACK)
    assert not scene.web.sent


@on_stepped_loop
async def test_a_url_that_cannot_be_read_leads_to_the_fallback() -> None:
    scene = Scene()
    scene.web.pages[FALLBACK.url] = NCCO
    answer = await scene.asks("input", EventTarget(url="https://[broken/8642"), {"dtmf": {}}, fallback=FALLBACK)
    assert answer.url == FALLBACK.url
    reason = await scene.fails(asking="input", target=EventTarget(url="https://[broken/8642"))
    assert reason == "the URL cannot be read"


@on_stepped_loop
async def test_a_payload_that_json_cannot_say_is_no_crash() -> None:
    scene = Scene()
    assert "cannot be written" in await scene.fails(
        asking="notify", target=EventTarget(url=EVENTS), members={"a": float("inf")}
    )


@pytest.mark.parametrize("failure", [404, 500, Unanswered("app.example hung up")], ids=str)
def test_neither_errors_nor_logs_repeat_keys_paths_queries_or_passwords(
    failure: Any, caplog: pytest.LogCaptureFixture
) -> None:
    @on_stepped_loop
    async def run() -> None:
        scene = Scene()
        scene.web.pages[f"{HOST}/private"] = [case(failure)] * 2
        url = "https://user:passw0rd@app.example/private?token=t0ken"
        scene.web.pages["https://user:passw0rd@app.example/private"] = [case(failure)] * 2
        target = EventTarget(url=url, method="GET")
        reason = await scene.fails(asking="input", target=target, members={"dtmf": {"digits": KEYS}})
        for text in (reason, caplog.text, repr(target)):
            assert not any(secret in text for secret in (KEYS, "private", "t0ken", "passw0rd", "user"))
        assert "app.example" in reason
        assert "no answer" in caplog.text

    caplog.set_level("DEBUG")
    run()
