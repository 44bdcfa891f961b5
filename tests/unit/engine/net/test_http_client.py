"""engine.net.http: what left, what came back, and what the caller may wipe."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvloop

from engine.errors import ConfigError
from engine.net.egress import Egress
from engine.net.http import BadAnswer, HttpError, HttpResponse, NotSent, Unanswered, request, split_url
from engine.net.tls import client_context
from tests.support.gateway import TLS_FILES, FakeGateway, server_tls

JSON = {"Content-Type": "application/json"}


async def post(url: str, *, body: bytes | bytearray = b"{}", timeout_s: float = 5.0, **more: Any) -> HttpResponse:
    return await request("POST", url, headers=JSON, body=body, timeout_s=timeout_s, allow_insecure=True, **more)


async def answer_of(step: str, **more: Any) -> HttpResponse:
    async with FakeGateway([step]) as gateway:
        return await post(gateway.url, **more)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class TestRequest:
    @pytest.mark.asyncio
    async def test_request_line_headers_and_body_are_what_rfc_9112_wants(self) -> None:
        async with FakeGateway(["status:200:hello"]) as gateway:
            response = await post(f"{gateway.url}?a=1", body=bytearray(b'{"x":1}'))
        received = gateway.requests[0]
        assert (received.method, received.target, received.body) == ("POST", "/pay?a=1", b'{"x":1}')
        assert received.headers["host"] == gateway.url.split("/")[2]
        assert received.headers["content-length"] == "7"
        assert received.headers["connection"] == "close"
        assert received.headers["accept-encoding"] == "identity"
        assert "authorization" not in received.headers
        assert (response.status, response.body) == (200, b"hello")
        assert (b"content-type", b"application/json") in response.headers

    @pytest.mark.asyncio
    async def test_goes_to_the_first_address_that_takes_it(self) -> None:
        asked: list[tuple[str, int]] = []

        async def addresses(host: str, port: int) -> list[str]:
            asked.append((host, port))
            return ["127.0.0.2", "127.0.0.1"]  # nobody listens at the first one

        async with FakeGateway(["status:200"]) as gateway:
            url = gateway.url.replace("127.0.0.1", "gw.invalid")
            assert (await post(url, addresses=addresses)).status == 200
        assert gateway.requests[0].headers["host"] == url.split("/")[2]
        assert asked == [("gw.invalid", int(url.split(":")[2].split("/")[0]))]

    @pytest.mark.asyncio
    async def test_goes_nowhere_when_the_rules_admit_no_address(self) -> None:
        async with FakeGateway(["status:200"]) as gateway:
            with pytest.raises(NotSent, match=r"webhooks\.allow"):
                await post(gateway.url, addresses=Egress().addresses)
        assert gateway.requests == []

    @pytest.mark.asyncio
    async def test_user_and_password_of_the_url_become_basic_credentials(self) -> None:
        async with FakeGateway(["status:200"]) as gateway:
            await post(gateway.url.replace("http://", "http://us%40er:p%C3%A4ss@"))
        # RFC 7617 §2.1 in UTF-8: "us@er:päss"
        assert gateway.requests[0].headers["authorization"] == "Basic dXNAZXI6cMOkc3M="
        assert "@" not in gateway.requests[0].headers["host"]

    @pytest.mark.asyncio
    async def test_given_credentials_replace_those_of_the_url(self) -> None:
        async with FakeGateway(["status:200"]) as gateway:
            await post(gateway.url.replace("http://", "http://a:b@"), basic_auth=("c", "d"))
        assert gateway.requests[0].headers["authorization"] == "Basic Yzpk"

    @pytest.mark.asyncio
    async def test_request_without_a_body_says_length_0(self) -> None:
        async with FakeGateway(["status:204"]) as gateway:
            response = await request("GET", gateway.url, headers={}, timeout_s=5, allow_insecure=True)
        assert response.status == 204
        assert gateway.requests[0].headers["content-length"] == "0"

    @pytest.mark.asyncio
    async def test_large_body_arrives_whole(self) -> None:
        body = bytearray(b"x" * 3_000_000)
        async with FakeGateway(["status:200"]) as gateway:
            await post(gateway.url, body=body)
        assert gateway.requests[0].body == body

    @pytest.mark.asyncio
    @pytest.mark.parametrize("headers", [{"X": "a\r\nY: b"}, {"bad name": "x"}, {"X": "€"}])
    async def test_header_that_http_does_not_allow_is_refused_before_connecting(self, headers: dict[str, str]) -> None:
        with pytest.raises(ValueError, match="header"):
            await request("POST", "https://127.0.0.1:1/", headers=headers, timeout_s=5)


class TestUrls:
    @pytest.mark.parametrize(
        ("url", "host", "port", "path", "authority"),
        [
            ("https://a.example", "a.example", 443, "/", "a.example"),
            ("https://a.example:443/x", "a.example", 443, "/x", "a.example"),
            ("https://A.example:8443/x?y=z#f", "a.example", 8443, "/x?y=z", "a.example:8443"),
            ("https://[::1]:8443/", "::1", 8443, "/", "[::1]:8443"),
            ("https://u:p@a.example/", "a.example", 443, "/", "a.example"),
        ],
    )
    def test_url_is_taken_apart(self, url: str, host: str, port: int, path: str, authority: str) -> None:
        target = split_url(url)
        assert (target.host, target.port, target.path, target.authority) == (host, port, path, authority)

    def test_bare_url_keeps_all_but_credentials_and_fragment(self) -> None:
        assert split_url("https://u:p@a.example:1/x?y#z").bare_url == "https://a.example:1/x?y"

    def test_representation_shows_neither_password_nor_query(self) -> None:
        assert repr(split_url("https://u:secret@a.example/x?token=secret")) == "Target(a.example)"

    @pytest.mark.parametrize(
        "url",
        ["", "ftp://a/", "https://", "//a/", "https://a:99999/", "https://a/ b", "https://ä.example/", "https://[::1/"],
    )
    def test_anything_else_is_refused_without_repeating_it(self, url: str) -> None:
        with pytest.raises(ValueError, match="the URL") as caught:
            split_url(url, allow_insecure=True)
        assert len(url) < len("https:// ") or url not in str(caught.value)

    def test_http_needs_leave(self) -> None:
        with pytest.raises(ValueError, match="https"):
            split_url("http://a.example/")
        assert not split_url("http://a.example/", allow_insecure=True).is_https


class TestNotSent:
    @pytest.mark.asyncio
    async def test_refused_connection(self) -> None:
        with pytest.raises(NotSent):
            await post(f"http://127.0.0.1:{free_port()}/")

    @pytest.mark.asyncio
    @pytest.mark.parametrize("host", ["no-such-host.invalid", "x" * 70 + ".invalid"])
    async def test_name_that_does_not_resolve(self, host: str) -> None:
        with pytest.raises(NotSent):
            await post(f"http://{host}/")

    @pytest.mark.asyncio
    async def test_certificate_of_an_unknown_authority(self) -> None:
        async with FakeGateway(tls=server_tls()) as gateway:
            with pytest.raises(NotSent, match="cannot be reached"):
                await post(gateway.url)
        assert gateway.requests == []

    @pytest.mark.asyncio
    async def test_certificate_of_another_host(self) -> None:
        async with FakeGateway(tls=server_tls()) as gateway:
            with pytest.raises(NotSent):
                await post(gateway.url.replace("127.0.0.1", "127.0.0.2"), tls=client_context(str(TLS_FILES / "ca.pem")))

    @pytest.mark.asyncio
    async def test_server_that_speaks_tls_1_1_at_most(self) -> None:
        old = server_tls()
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            old.maximum_version = ssl.TLSVersion.TLSv1_1
        async with FakeGateway(tls=old) as gateway:
            with pytest.raises(NotSent):
                await post(gateway.url, tls=client_context(str(TLS_FILES / "ca.pem")))

    @pytest.mark.asyncio
    async def test_time_ran_out_in_the_handshake(self) -> None:
        # A listening socket that nobody accepts from: TCP connects, TLS never does.
        with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(NotSent, match="within"):
            await post(f"https://127.0.0.1:{server.getsockname()[1]}/", timeout_s=0.05)


class TestUnanswered:
    @pytest.mark.asyncio
    @pytest.mark.parametrize("step", ["close", "reset_before", "silence"])
    async def test_request_left_and_nothing_came(self, step: str) -> None:
        with pytest.raises(Unanswered):
            await answer_of(step, timeout_s=0.2 if step == "silence" else 5.0)

    @pytest.mark.asyncio
    async def test_slow_drip_does_not_stretch_the_time_limit(self) -> None:
        with pytest.raises(Unanswered, match=r"within 0\.1 s"):
            await answer_of("drip", timeout_s=0.1)

    @pytest.mark.asyncio
    async def test_peer_that_reads_nothing_is_given_up(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(Unanswered):
            await post(f"http://127.0.0.1:{server.getsockname()[1]}/", body=bytearray(20_000_000), timeout_s=0.1)


class TestBadAnswer:
    @pytest.mark.asyncio
    @pytest.mark.parametrize(
        ("step", "status"),
        [
            ("raw:SSH-2.0-OpenSSH_9.2\r\n\r\n", None),
            ("raw:\x00\x01\x02\r\n\r\n", None),
            ("raw:HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", None),
            ("raw:HTTP/1.1 200 OK\r\nContent-Le", None),
            ("raw:HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 200),
            ("raw:HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nab", 200),
            ("raw:HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", None),
            ("head_flood", None),
            ("informational_flood", None),
            ("oversized", 200),
            ("truncated", 200),
            ("status:302", 302),
            ("status:307", 307),
        ],
    )
    async def test_unusable_answer_is_told_apart_from_none(self, step: str, status: int | None) -> None:
        with pytest.raises(BadAnswer) as caught:
            await answer_of(step)
        assert caught.value.status == status

    @pytest.mark.asyncio
    async def test_answer_of_exactly_the_limit_is_taken(self) -> None:
        assert len((await answer_of("status:200:" + "x" * 100, max_response=100)).body) == 100
        with pytest.raises(BadAnswer, match="more than 99"):
            await answer_of("status:200:" + "x" * 100, max_response=99)

    @pytest.mark.asyncio
    async def test_some_informational_answers_are_passed_over(self) -> None:
        step = "raw:" + "HTTP/1.1 103 Early Hints\r\n\r\n" * 8 + "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"
        assert (await answer_of(step)).body == b"x"

    @pytest.mark.asyncio
    async def test_answer_to_the_end_of_the_connection_is_taken(self) -> None:
        assert (await answer_of("raw:HTTP/1.0 200 OK\r\n\r\nall of it")).body == b"all of it"

    @pytest.mark.asyncio
    @pytest.mark.parametrize("status", [200, 400, 404, 503])
    async def test_every_other_status_is_an_answer(self, status: int) -> None:
        assert (await answer_of(f"status:{status}:x")).status == status


class TestWiping:
    """A buffer that someone still refers to cannot be resized: that is how Python tells."""

    @pytest.mark.asyncio
    @pytest.mark.parametrize("step", ["status:200:x", "close", "reset_before", "silence", "oversized", "status:302"])
    async def test_nothing_refers_to_the_body_afterwards(self, step: str) -> None:
        body = bytearray(b"x" * 1_000_000)
        try:
            await answer_of(step, body=body, timeout_s=0.5)
        except HttpError:
            pass
        body.append(0)

    @pytest.mark.asyncio
    async def test_cancelled_request_leaves_no_reference_and_no_connection(self) -> None:
        body = bytearray(b"x" * 1000)
        async with FakeGateway(["silence"]) as gateway:
            task = asyncio.create_task(post(gateway.url, body=body))
            await gateway.received.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        body.append(0)
        assert gateway.requests[0].body == b"x" * 1000

    @pytest.mark.asyncio
    async def test_cancelled_while_the_peer_reads_nothing(self) -> None:
        body = bytearray(20_000_000)
        with socket.create_server(("127.0.0.1", 0)) as server:
            task = asyncio.create_task(post(f"http://127.0.0.1:{server.getsockname()[1]}/", body=body))
            peer, _ = await asyncio.get_running_loop().run_in_executor(None, server.accept)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            peer.close()
        body.append(0)


async def _over_tls() -> None:
    async with FakeGateway(["status:200:hello", "close", "silence"], tls=server_tls()) as gateway:
        tls = client_context(str(TLS_FILES / "ca.pem"))
        body = bytearray(b"y" * 100_000)
        assert (await post(gateway.url, body=body, tls=tls)).body == b"hello"
        with pytest.raises(Unanswered):
            await post(gateway.url, body=body, tls=tls)
        with pytest.raises(Unanswered):
            await post(gateway.url, body=body, tls=tls, timeout_s=0.2)
        body.append(0)
        assert [received.body for received in gateway.requests] == [b"y" * 100_000] * 3


async def _errors() -> None:
    for step, kind in {"close": Unanswered, "reset_before": Unanswered, "oversized": BadAnswer}.items():
        with pytest.raises(kind):
            await answer_of(step, body=bytearray(b"x" * 500_000))
    with pytest.raises(NotSent):
        await post(f"http://127.0.0.1:{free_port()}/")


@pytest.mark.parametrize("scenario", [_over_tls, _errors])
@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_both_event_loops_behave_alike(
    scenario: Callable[[], Awaitable[None]], loop_factory: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    async def run() -> None:
        await scenario()

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(run())


class TestTlsContext:
    def test_verifies_certificate_and_name_and_wants_tls_1_2(self) -> None:
        context = client_context()
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2

    def test_never_logs_session_keys(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
        monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
        assert client_context().keylog_filename is None

    @pytest.mark.parametrize("content", [None, "no certificate"])
    def test_unusable_authorities_are_reported_with_the_file(self, content: str | None, tmp_path: Any) -> None:
        path = tmp_path / "ca.pem"
        if content is not None:
            path.write_text(content)
        with pytest.raises(ConfigError, match=r"ca\.pem"):
            client_context(str(path))
