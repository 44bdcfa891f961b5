"""The HTTP server: who may ask, how much, how fast, and what an error looks like."""

from __future__ import annotations

import asyncio
import logging
import ssl
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from engine.api import server
from engine.api.deps import ApiDeps
from engine.api.errors import ApiError
from engine.api.server import USER
from engine.api.twilio import answers
from engine.api.twilio.answers import ACCOUNT, json_answer, query_form, request_form
from engine.errors import ConfigError, LedgerError
from engine.ledger import Ledger
from tests.support.api import AUTH, KEY_AUTH, TOKEN, api_scene, authorization, config_of
from tests.support.certificates import make_certificates

pytestmark = pytest.mark.asyncio


def echo(app: web.Application, deps: ApiDeps) -> None:
    """A resource that tells what it got."""

    async def post(request: web.Request) -> web.Response:
        form = await request_form(request)
        return json_answer({"pairs": form.pairs, "user": request[USER]}, 201)

    async def get(request: web.Request) -> web.Response:
        return json_answer({"pairs": query_form(request).pairs, "user": request[USER]})

    async def fail(request: web.Request) -> web.Response:
        match request.match_info["how"]:
            case "api":
                raise ApiError(400, 64019, "something is missing")
            case "ledger":
                raise LedgerError("the disk is full")
            case "timeout":
                raise TimeoutError("somebody forgot to catch this")
        raise ZeroDivisionError("a secret sentence")

    app.router.add_post(ACCOUNT + "/Echo.json", post)
    app.router.add_get(ACCOUNT + "/Echo.json", get)
    app.router.add_get(ACCOUNT + "/Fail/{how}.json", fail)


async def test_account_and_api_key_open_the_interface(ledger: Ledger) -> None:
    async with api_scene(ledger, [echo]) as scene:
        assert await scene.ask("GET", "/Echo.json?A=1&StartTime%3C=2&A=%C3%A4+x", auth=AUTH) == (
            200,
            {"pairs": [["A", "1"], ["StartTime<", "2"], ["A", "ä x"]], "user": AUTH[0]},
        )
        assert (await scene.ask("GET", "/Echo.json", auth=KEY_AUTH))[1]["user"] == KEY_AUTH[0]


@pytest.mark.parametrize(
    "auth",
    [
        None,
        (AUTH[0], "wrong"),
        (AUTH[0], TOKEN + "x"),
        (AUTH[0], ""),
        ("AC" + "0" * 32, TOKEN),
        ("", ""),
    ],
)
async def test_whoever_is_not_known_gets_a_challenge_and_nothing_else(
    ledger: Ledger, auth: tuple[str, str] | None
) -> None:
    async with api_scene(ledger, [echo]) as scene:
        for path in ("/Echo.json", "/No/Such.json"):
            async with scene.session.get(scene.account + path, headers=authorization(auth)) as answer:
                assert answer.status == 401
                assert answer.headers["WWW-Authenticate"].startswith('Basic realm="')
                assert (await answer.json())["code"] == 20003


async def test_the_account_in_the_path_must_be_the_own_one(ledger: Ledger) -> None:
    async with api_scene(ledger, [echo]) as scene:
        other = f"{scene.url}/2010-04-01/Accounts/AC{'0' * 32}/Echo.json"
        async with scene.session.get(other, headers=authorization()) as answer:
            assert (answer.status, (await answer.json())["code"]) == (403, 20003)


async def test_errors_have_the_vendors_shape(ledger: Ledger, caplog: pytest.LogCaptureFixture) -> None:
    async with api_scene(ledger, [echo]) as scene:
        status, body = await scene.ask("GET", "/Fail/api.json")
        assert (status, body) == (
            400,
            {
                "code": 64019,
                "message": "something is missing",
                "more_info": "https://www.twilio.com/docs/errors/64019",
                "status": 400,
            },
        )
        for path, method, expected in (
            ("/Nothing.json", "GET", (404, 20404)),
            ("/Echo.json", "DELETE", (405, 20004)),
            ("/Fail/ledger.json", "GET", (503, 20503)),
            ("/Fail/timeout.json", "GET", (500, 20500)),
            ("/Fail/else.json", "GET", (500, 20500)),
        ):
            status, body = await scene.ask(method, path)
            assert (status, body["code"], body["status"]) == (*expected, expected[0])
            assert "secret sentence" not in str(body)
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [
        (b"A=1", "application/json", 415),
        (b"A=%ff", "application/x-www-form-urlencoded", 400),
        (b"A=\xff", "application/x-www-form-urlencoded", 400),
        (b"&".join([b"A=1"] * 501), "application/x-www-form-urlencoded", 400),
        (b"A=" + b"1" * 300_000, "application/x-www-form-urlencoded", 413),
        (b"A=1;B=2&&C&=3", "application/x-www-form-urlencoded; charset=utf-8", 201),
        ("A=ä".encode(), "application/x-www-form-urlencoded", 201),
        (b"", "application/octet-stream", 201),
    ],
)
async def test_a_body_is_a_form_of_bounded_size(ledger: Ledger, body: bytes, content_type: str, expected: int) -> None:
    async with api_scene(ledger, [echo]) as scene:
        status, answer = await scene.ask("POST", "/Echo.json", data=body, headers={"Content-Type": content_type})
        assert status == expected
        assert status == 201 or answer["status"] == expected


async def test_beyond_the_rate_requests_are_refused_with_the_time_to_wait(ledger: Ledger) -> None:
    config = config_of()
    api = config.api.model_copy(update={"requests_per_s": 0.001, "burst": 3})
    async with api_scene(ledger, [echo], config=config.model_copy(update={"api": api})) as scene:
        statuses = [(await scene.ask("GET", "/Echo.json"))[0] for _ in range(4)]
        assert statuses == [200, 200, 200, 429]
        async with scene.session.get(scene.account + "/Echo.json", headers=authorization()) as answer:
            assert (await answer.json())["code"] == 20429
            assert 0 < int(answer.headers["Retry-After"]) <= 1000


@pytest.mark.parametrize(
    "octets",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello TLS\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization Basic c2VjcmV0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 20_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 100 + b"\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"nonsense\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_refused_and_repeated_nowhere(
    ledger: Ledger, caplog: pytest.LogCaptureFixture, octets: bytes
) -> None:
    caplog.set_level(logging.DEBUG)
    async with api_scene(ledger, [echo]) as scene:
        assert scene.server.http_address is not None
        reader, writer = await asyncio.open_connection(*scene.server.http_address)
        writer.write(octets)
        answer = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.0 400"))
        assert b'"code": 20001' in answer
        assert (await scene.ask("GET", "/Echo.json"))[0] == 200
    assert "c2VjcmV0" not in caplog.text + answer.decode("latin-1")


async def test_nothing_of_query_body_or_credentials_is_logged(ledger: Ledger, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with api_scene(ledger, [echo]) as scene:
        await scene.ask("POST", "/Echo.json?Query=sesame", data={"Field": "abracadabra"})
    told = "".join(str(vars(record)) for record in caplog.records if record.name.startswith(("engine", "aiohttp")))
    assert "Echo.json" in told
    for secret in ("sesame", "abracadabra", TOKEN, "Authorization"):
        assert secret not in told


async def test_connections_beyond_the_bound_wait_for_a_place(ledger: Ledger) -> None:
    config = config_of()
    config = config.model_copy(update={"api": config.api.model_copy(update={"max_connections": 1})})
    async with api_scene(ledger, [echo], config=config) as scene:
        assert scene.server.http_address is not None
        idle = await asyncio.open_connection(*scene.server.http_address)
        waiting = asyncio.ensure_future(scene.ask("GET", "/Echo.json"))
        await asyncio.sleep(0)
        assert not waiting.done()
        idle[1].close()
        assert (await asyncio.wait_for(waiting, 10))[0] == 200


async def can_connect(address: tuple[str, int]) -> bool:
    try:
        _, writer = await asyncio.open_connection(*address)
    except OSError:
        return False
    writer.close()
    return True


async def test_a_stopping_server_answers_what_is_under_way(ledger: Ledger) -> None:
    begun, release = asyncio.Event(), asyncio.Event()

    def slow(app: web.Application, deps: ApiDeps) -> None:
        async def get(request: web.Request) -> web.Response:
            begun.set()
            await release.wait()
            return json_answer({"done": True})

        app.router.add_get(ACCOUNT + "/Slow.json", get)

    async with api_scene(ledger, [slow]) as scene:
        under_way = asyncio.ensure_future(scene.ask("GET", "/Slow.json"))
        await begun.wait()
        address = scene.server.http_address
        stopping = asyncio.ensure_future(scene.server.stop())
        assert address is not None
        while await can_connect(address):
            pass
        release.set()
        assert await under_way == (200, {"done": True})
        await stopping


async def test_https_shows_the_certificate_that_is_on_the_disk_now(ledger: Ledger, tmp_path: Path) -> None:
    first, second = make_certificates(tmp_path / "1"), make_certificates(tmp_path / "2")
    shown = tmp_path / "shown"
    shown.mkdir()
    certificate, key = shown / "certificate.pem", shown / "key.pem"

    def show(files: Any) -> None:
        certificate.write_bytes(files.certificate.read_bytes())
        key.write_bytes(files.key.read_bytes())

    async def ask(port: int, authorities: Path) -> int:
        context = ssl.create_default_context(cafile=str(authorities))
        async with (
            aiohttp.ClientSession() as session,
            session.get(
                f"https://127.0.0.1:{port}/2010-04-01/Accounts.json", headers=authorization(), ssl=context
            ) as answer,
        ):
            return answer.status

    show(first)
    config = config_of(f"""
[api.tls]
certificate = "{certificate}"
key = "{key}"
""")
    api = config.api.model_copy(update={"tls_listen": "127.0.0.1:0"})
    async with api_scene(ledger, [echo], config=config.model_copy(update={"api": api})) as scene:
        assert scene.server.https_address is not None
        port = scene.server.https_address[1]
        assert await ask(port, first.authorities) == 404
        show(second)
        assert await ask(port, second.authorities) == 404
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await ask(port, first.authorities)
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.load_verify_locations(second.authorities)
        with pytest.warns(DeprecationWarning, match="TLS"):
            old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", port, ssl=old)


async def test_a_port_that_is_taken_is_a_clear_error(ledger: Ledger) -> None:
    async with api_scene(ledger, [echo]) as scene:
        assert scene.server.http_address is not None
        config = scene.deps.config
        taken = config.api.model_copy(update={"listen": f"127.0.0.1:{scene.server.http_address[1]}"})
        with pytest.raises(ConfigError, match=r"api\.listen: cannot listen") as caught:
            async with api_scene(ledger, [echo], config=config.model_copy(update={"api": taken})):
                pass
        assert caught.value.remedy


async def test_a_secret_that_is_not_set_is_a_clear_error(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEST_TWILIO_KEY")
    with pytest.raises(ConfigError, match=r"twilio\.api_key\[0\]\.secret_env"):
        async with api_scene(ledger, [echo]):
            pass


async def test_a_header_and_a_body_that_do_not_come_are_not_waited_for(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "KEEPALIVE_S", 0.05)
    monkeypatch.setattr(server, "LINGER_S", 0.05)
    monkeypatch.setattr(answers, "BODY_S", 0.05)
    async with api_scene(ledger, [echo]) as scene:
        assert scene.server.http_address is not None
        for begun in (b"", b"GET /2010", b"GET / HTTP/1.1\r\nHost: a\r\n"):
            reader, writer = await asyncio.open_connection(*scene.server.http_address)
            writer.write(begun)
            assert await asyncio.wait_for(reader.read(), 10) == b""
            writer.close()
        reader, writer = await asyncio.open_connection(*scene.server.http_address)
        path = scene.account.removeprefix(scene.url) + "/Echo.json"
        head = {"Host": "a", "Content-Length": "9", "Content-Type": "application/x-www-form-urlencoded"}
        lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in (head | authorization()).items())]
        writer.write("\r\n".join([*lines, "", "A=1"]).encode())
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        assert answer.startswith(b"HTTP/1.1 408 ")
        writer.close()
