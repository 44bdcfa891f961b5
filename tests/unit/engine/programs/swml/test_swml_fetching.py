"""How SWML documents are requested, and how a document's own requests are sent."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from engine.config import Config, SwmlApp, parse
from engine.dialects.swml.commands import FetchDocument
from engine.dialects.swml.methods import Request
from engine.errors import ProgramError
from engine.net.http import BadAnswer, HttpResponse, Unanswered
from engine.net.web_client import WebClient
from engine.program import CallState
from engine.programs.context import ProgramContext
from engine.programs.fetching import Fetched
from engine.programs.swml.fetching import call_object, fetch_document, source_of
from engine.programs.swml.requests import RequestAction, send_request
from tests.support.call_control import FACTS
from tests.support.programs import FakePrompts, FakeWeb, context_of, settle

PROJECT = "5d1b4e9a-0000-4000-8000-000000000001"
KEY = "a-signing-key"
URL = "https://user:secret@app.example/swml?t=1"
YAML = (b"content-type", b"application/yaml")


def config_of(more: str = 'signing_key_env = "SIGNING_KEY"') -> Config:
    return parse(f'[connector.sandbox]\ntype = "sandbox"\n[signalwire]\nproject = "{PROJECT}"\nspace = "s"\n{more}\n')


def scene(web: FakeWeb, config: Config | None = None) -> ProgramContext:
    context = context_of(web, FakePrompts(), config=config or config_of())
    client = WebClient(web, clock=lambda: datetime(2026, 11, 22, tzinfo=UTC), key_for={"SIGNING_KEY": KEY}.__getitem__)
    return replace(context, web=client)


def fetched(web: FakeWeb, *, config: Config | None = None, url: str = URL, **more: Any) -> Fetched:
    async def run() -> Fetched:
        context = scene(web, config)
        call = call_object(FACTS, CallState.RINGING, context.config.signalwire)
        command = FetchDocument(token=1, url=url, **more)
        return await fetch_document(command, call=call, context=context, allow_insecure=False)

    return asyncio.run(run())


def answer(status: int = 200, body: bytes = b"sections: {main: []}", *headers: tuple[bytes, bytes]) -> HttpResponse:
    return HttpResponse(status=status, headers=headers or (YAML,), body=body)


def test_a_document_is_asked_for_with_what_is_known_of_the_call_and_signed() -> None:
    pytest.importorskip("signalwire")
    from signalwire.core.security.webhook_validator import (
        validate_webhook_signature,
        validate_webhook_signature_sha256,
    )

    web = FakeWeb()
    web.pages["https://user:secret@app.example/swml"] = answer()
    found = fetched(web, vars={"a": 1}, params={"p": "q"})
    assert (found.status, found.content_type, found.url) == (200, "application/yaml", URL)
    (sent,) = web.sent
    assert (sent.method, sent.headers["Content-Type"]) == ("POST", "application/json")
    body = json.loads(sent.body)
    assert body == {
        "call": {
            "call_id": FACTS.call_id,
            "node_id": "paytone",
            "segment_id": FACTS.call_id,
            "call_state": "created",
            "direction": "inbound",
            "type": "phone",
            "from": FACTS.caller,
            "to": FACTS.dialled,
            "headers": [],
            "project_id": PROJECT,
            "space_id": "s",
        },
        "vars": {"a": 1},
        "params": {"p": "q"},
        "envs": {},
    }
    signed = "https://app.example/swml?t=1"
    text = sent.body.decode()
    assert validate_webhook_signature(KEY, sent.headers["X-Signalwire-Signature"], signed, text)
    assert validate_webhook_signature_sha256(KEY, sent.headers["X-Signalwire-SHA256-Signature"], signed, text)


def test_without_a_key_a_request_is_not_signed_and_metadata_goes_with_it() -> None:
    web = FakeWeb()
    web.pages["https://app.example/swml"] = answer()
    fetched(web, config=config_of(""), url="https://app.example/swml", meta={"m": 1})
    assert not any(name.lower().startswith("x-signalwire") for name in web.sent[0].headers)
    assert json.loads(web.sent[0].body)["meta"] == {"m": 1}


def test_a_redirect_to_another_server_takes_no_password_along() -> None:
    web = FakeWeb()
    web.pages["https://user:secret@app.example/swml"] = answer(307, b"", (b"location", b"https://other.example/doc"))
    web.pages["https://other.example/doc"] = answer()
    assert fetched(web).url == "https://other.example/doc"
    web.pages["https://user:secret@app.example/swml"] = answer(307, b"", (b"location", b"/doc"))
    web.pages["https://user:secret@app.example/doc"] = answer()
    assert fetched(web).url == "https://user:secret@app.example/doc"


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        (answer(200, b"x", (b"content-type", b"image/png")), "type"),
        (Unanswered("app.example did not answer"), "did not answer"),
        (TimeoutError(), "no answer within 15 s"),
    ],
)
def test_what_gives_no_document_says_why_and_repeats_no_secret(page: Any, reason: str) -> None:
    web = FakeWeb()
    web.pages["https://user:secret@app.example/swml"] = page
    with pytest.raises(ProgramError, match=reason) as caught:
        fetched(web)
    assert "secret" not in str(caught.value)
    assert "t=1" not in str(caught.value)


def test_http_is_asked_only_where_it_is_allowed_and_values_that_json_has_not_are_refused() -> None:
    web = FakeWeb()
    with pytest.raises(ProgramError, match="https"):
        fetched(web, url="http://app.example/swml")
    with pytest.raises(ProgramError):
        fetched(web, vars={"a": float("nan")})
    assert web.sent == []


@pytest.mark.parametrize("kind", [b"application/json; charset=utf-8", b"text/x-yaml", b"text/plain", b""])
def test_types_of_documents_are_taken(kind: bytes) -> None:
    web = FakeWeb()
    web.pages["https://user:secret@app.example/swml"] = answer(200, b"{}", (b"content-type", kind))
    assert fetched(web).status == 200


def test_a_file_is_read_anew_for_each_call_and_no_more_of_it_than_is_taken(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    app = SwmlApp(dialect="swml", file=str(file))
    assert source_of(app, max_document=10).text == ""
    file.write_text("sections: 1")
    assert source_of(app, max_document=100).text == "sections: 1"
    file.write_bytes(b"\xff")
    assert source_of(app, max_document=100).text == ""
    file.write_text("x" * 1000)
    assert len(source_of(app, max_document=100).text) == 101  # too long, as the reader finds
    inline = source_of(SwmlApp(dialect="swml", document="{}"), max_document=10)
    assert (inline.text, inline.url) == ("{}", "")


# -- request


def sent(web: FakeWeb, *, allow_insecure: bool = False, **more: Any) -> dict[str, Any]:
    async def run() -> dict[str, Any]:
        given: dict[str, Any] = {"url": "https://api.example/v1", "method": "POST", **more}
        return await send_request(Request(**given), context=scene(web), allow_insecure=allow_insecure, call_id="1")

    return asyncio.run(run())


def test_an_answer_sets_the_variables_and_the_request_is_not_signed() -> None:
    web = FakeWeb()
    url = "https://me:secret@api.example/v1"
    web.pages[url] = answer(201, b'{"a": {"b": 1}}', (b"content-type", b"application/json"), (b"x-request-id", b"7"))
    found = sent(web, url=url, body={"x": "y"}, save_variables=True)
    assert found == {
        "request_url": "https://api.example/v1",
        "request_result": "success",
        "return_value": "success",
        "request_response_code": 201,
        "request_response_body": '{"a": {"b": 1}}',
        "request_response_headers": {"content-type": "application/json", "x-request-id": "7"},
        "request_response": {"a": {"b": 1}},
    }
    assert json.loads(web.sent[0].body) == {"x": "y"}
    assert web.sent[0].headers == {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ('{"a": 1}', "application/json"),
        ("<a/>", "text/xml"),
        ("a=1&b=2", "application/x-www-form-urlencoded"),
        ("Hello", "text/plain; charset=utf-8"),
    ],
)
def test_a_text_is_sent_as_what_it_looks_like(body: str, kind: str) -> None:
    web = FakeWeb()
    sent(web, body=body)
    assert (web.sent[0].headers["Content-Type"], web.sent[0].body.decode()) == (kind, body)


def test_headers_that_say_how_a_request_is_sent_are_not_the_documents_to_set() -> None:
    web = FakeWeb()
    headers = (
        ("HOST", "inside.example"),
        ("Content-Length", "0"),
        ("Transfer-Encoding", "chunked"),
        ("Proxy-Authorization", "x"),
        ("Authorization", "Bearer t"),
        ("content-type", "application/vnd.x+json"),
    )
    sent(web, headers=headers, body="{}")
    assert web.sent[0].headers == {"Authorization": "Bearer t", "Content-Type": "application/vnd.x+json"}


def test_a_header_of_the_document_goes_to_no_other_server() -> None:
    web = FakeWeb()
    web.pages["https://api.example/v1"] = answer(302, b"", (b"location", b"https://other.example/"))
    sent(web, headers=(("Authorization", "Bearer t"),), method="GET")
    assert web.urls == ["https://api.example/v1"]


@pytest.mark.parametrize(
    "page", [404, Unanswered("no"), TimeoutError(), BadAnswer("too long", status=200), answer(500, b"[]")]
)
def test_a_failed_request_leaves_nothing_of_an_earlier_one(page: Any) -> None:
    web = FakeWeb()
    web.pages["https://api.example/v1"] = page
    found = sent(web, save_variables=page == 404)
    assert (found["request_result"], found["return_value"]) == ("failed", "failed")
    names = {"request_url", "request_response_code", "request_response_body", "request_response_headers"}
    assert set(found) == names | {"request_result", "return_value", "request_response"}
    assert found["request_response"] == {}


@pytest.mark.parametrize("url", ["http://api.example/v1", "ftp://x", "api", "https://", "https://a b/"])
def test_what_cannot_be_requested_is_a_failed_request(url: str) -> None:
    web = FakeWeb()
    assert sent(web, url=url)["request_result"] == "failed"
    assert web.sent == []


def test_http_is_requested_where_documents_may_come_by_it() -> None:
    web = FakeWeb()
    web.pages["http://api.example/v1"] = answer()
    assert sent(web, url="http://api.example/v1", allow_insecure=True)["request_result"] == "success"


@pytest.mark.parametrize("text", [b"[" * 30_000, b'{"a": NaN}', b"\xff", b""])
def test_what_is_no_json_is_text_and_saves_nothing(text: bytes) -> None:
    web = FakeWeb()
    web.pages["https://api.example/v1"] = answer(200, text)
    found = sent(web, save_variables=True)
    assert found["request_result"] == "success"
    assert found["request_response"] == {}
    assert found["request_response_body"] == text.decode(errors="replace")


def test_a_request_is_given_up_with_its_call() -> None:
    async def run() -> list[Any]:
        web = FakeWeb()
        page: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        web.pages["https://api.example/v1"] = page
        told: list[Any] = []
        request = Request(url="https://api.example/v1", method="GET")
        action = RequestAction(request, scene(web), call_id="1", allow_insecure=False, ended=told.append)
        action.start(0.0)
        await settle()
        assert web.urls
        action.hang_up(1.0)
        await action.done()
        page.cancel()
        return told

    assert asyncio.run(run()) == []
