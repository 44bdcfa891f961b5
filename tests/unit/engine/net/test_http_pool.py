"""engine.net.http_pool: connections that are kept, and that go only where they may."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
import uvloop

from engine.net.egress import Egress, EgressRefused
from engine.net.http import BadAnswer, HttpError, HttpResponse, NotSent, Unanswered
from engine.net.http_pool import HttpPool
from engine.net.tls import client_context
from tests.support.gateway import TLS_FILES, server_tls

LOOPBACK = Egress(["127.0.0.0/8"])
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Server:
    """Answers each request with the next text of the script, the last one for ever, and keeps the connection."""

    def __init__(self, *script: bytes, tls: ssl.SSLContext | None = None) -> None:
        self.script = [*script] or [OK]
        self.heads: list[bytes] = []
        self.connections = 0
        self.gone = 0
        self.hold = asyncio.Event()
        self.hold.set()
        self._tls = tls
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Server:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        return f"http{'s' if self._tls else ''}://127.0.0.1:{self.port}/hook"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                await reader.readexactly(length)
                self.heads.append(head)
                await self.hold.wait()
                answer = self.script.pop(0) if len(self.script) > 1 else self.script[0]
                writer.write(answer.removesuffix(b"CLOSE"))
                await writer.drain()
                if answer.endswith(b"CLOSE"):
                    return
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self.gone += 1
            self._tasks.discard(task)
            writer.transport.abort()


async def post(pool: HttpPool, url: str, **more: Any) -> HttpResponse:
    settings: dict[str, Any] = {"timeout_s": 5.0, "allow_insecure": True, "is_repeatable": True, "headers": {}}
    return await pool.request("POST", url, **(settings | {"body": b"{}"} | more))


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0)


@pytest.mark.asyncio
class TestKeeping:
    async def test_requests_one_after_the_other_share_a_connection(self) -> None:
        pool = HttpPool(LOOPBACK)
        async with Server() as server:
            for _ in range(5):
                assert (await post(pool, server.url)).body == b"ok"
            assert (server.connections, len(server.heads), pool.idle) == (1, 5, 1)
            assert b"connection:" not in server.heads[0].lower()
            await pool.close()
            await until(lambda: server.gone == 1)
        assert pool.idle == 0

    async def test_answers_at_once_take_a_connection_each_up_to_the_limit(self) -> None:
        pool = HttpPool(LOOPBACK, max_per_host=3)
        async with Server() as server:
            server.hold.clear()
            tasks = [asyncio.create_task(post(pool, server.url)) for _ in range(9)]
            await until(lambda: len(server.heads) == 3)
            server.hold.set()
            assert [answer.status for answer in await asyncio.gather(*tasks)] == [200] * 9
            assert server.connections == 3
            await pool.close()

    @pytest.mark.parametrize(
        "answer",
        [
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
            b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
            b"HTTP/1.1 200 OK\r\n\r\nokCLOSE",
            OK + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
            OK + b"x",
        ],
    )
    async def test_connection_that_may_not_go_on_is_closed(self, answer: bytes) -> None:
        pool = HttpPool(LOOPBACK)
        async with Server(answer) as server:
            for _ in range(2):
                assert (await post(pool, server.url)).body == b"ok"
            assert (server.connections, pool.idle) == (2, 0)
        await pool.close()

    async def test_idle_connection_is_closed_after_its_time(self) -> None:
        pool = HttpPool(LOOPBACK, idle_s=0.01)
        async with Server() as server:
            await post(pool, server.url)
            await until(lambda: server.gone == 1)
        assert (pool.idle, pool._hosts) == (0, {})
        await pool.close()

    async def test_old_connection_is_not_kept(self) -> None:
        pool = HttpPool(LOOPBACK, lifetime_s=0.0)
        async with Server() as server:
            await post(pool, server.url)
            assert pool.idle == 0
        await pool.close()

    async def test_idle_connections_are_limited_in_all(self) -> None:
        pool = HttpPool(LOOPBACK, max_idle=1)
        async with Server() as one, Server() as other:
            await post(pool, one.url)
            await post(pool, other.url)
            assert pool.idle == 1
            await pool.close()

    async def test_closed_pool_keeps_nothing(self) -> None:
        pool = HttpPool(LOOPBACK)
        await pool.close()
        async with Server() as server:
            assert (await post(pool, server.url)).status == 200
            assert pool.idle == 0

    async def test_nothing_is_left_of_a_host_that_was_once_asked(self) -> None:
        pool = HttpPool(LOOPBACK)
        async with Server(OK + b"x") as server:
            await post(pool, server.url)
        with pytest.raises(NotSent):
            await post(pool, server.url)
        assert pool._hosts == {}
        await pool.close()


@pytest.mark.asyncio
class TestStale:
    async def test_connection_that_the_server_closed_meanwhile_is_not_used(self) -> None:
        pool = HttpPool(LOOPBACK)
        async with Server(OK + b"CLOSE", OK) as server:
            await post(pool, server.url)
            await until(lambda: server.gone == 1)
            await asyncio.sleep(0)
            assert (await post(pool, server.url)).status == 200
            assert len(server.heads) == 2
        await pool.close()

    async def test_request_on_a_connection_that_is_closed_unanswered_is_repeated_once(self) -> None:
        pool = HttpPool(LOOPBACK)
        async with Server(OK, b"CLOSE", OK) as server:
            assert [(await post(pool, server.url)).status for _ in range(2)] == [200, 200]
            assert (len(server.heads), server.connections) == (3, 2)
        await pool.close()

    async def test_it_is_not_repeated_twice(self) -> None:
        pool = HttpPool(LOOPBACK)
        async with Server(OK, b"CLOSE") as server:
            await post(pool, server.url)
            with pytest.raises(Unanswered):
                await post(pool, server.url)
            assert len(server.heads) == 3
        await pool.close()

    async def test_it_is_not_repeated_when_something_of_an_answer_came(self) -> None:
        pool = HttpPool(LOOPBACK)
        async with Server(OK, b"HTTP/1.1 20CLOSE", OK) as server:
            await post(pool, server.url)
            with pytest.raises(BadAnswer):
                await post(pool, server.url)
            assert len(server.heads) == 2
        await pool.close()

    async def test_request_that_may_not_be_repeated_gets_a_new_connection(self) -> None:
        pool = HttpPool(LOOPBACK)
        async with Server() as server:
            for _ in range(2):
                await post(pool, server.url, is_repeatable=False)
            assert server.connections == 2
            await pool.request("GET", server.url, headers={}, timeout_s=5, allow_insecure=True)
            assert server.connections == 2
            await pool.close()

    async def test_silence_on_a_kept_connection_is_not_repeated(self) -> None:
        pool = HttpPool(LOOPBACK)
        async with Server() as server:
            await post(pool, server.url)
            server.hold.clear()
            with pytest.raises(Unanswered, match="within"):
                await post(pool, server.url, timeout_s=0.1)
            assert len(server.heads) == 2
            assert pool.idle == 0
        await pool.close()


@pytest.mark.asyncio
class TestWhere:
    async def test_connection_goes_to_the_address_that_was_judged_whatever_the_name_says_next(self) -> None:
        answers = iter([["127.0.0.1"], ["127.0.0.9"]])

        async def resolve(host: str, port: int) -> Sequence[str]:
            return next(answers)

        pool = HttpPool(Egress(["127.0.0.1/32"], resolve=resolve))
        async with Server() as server:
            url = server.url.replace("127.0.0.1", "rebinds.example")
            assert (await post(pool, url)).status == 200
            assert f"host: rebinds.example:{server.port}".encode() in server.heads[0].lower()
            await pool.close()
            with pytest.raises(EgressRefused):
                await post(pool, url)
        await pool.close()

    async def test_address_inside_is_refused_without_a_connection(self) -> None:
        pool = HttpPool(Egress())
        async with Server() as server:
            with pytest.raises(EgressRefused) as caught:
                await post(pool, server.url.replace("http://", "http://user:secret@") + "?token=secret")
            assert server.connections == 0
        assert "secret" not in str(caught.value)
        await pool.close()

    async def test_next_address_is_tried_when_the_first_refuses(self) -> None:
        async def resolve(host: str, port: int) -> Sequence[str]:
            return ["127.0.0.2", "127.0.0.1"]

        pool = HttpPool(Egress(["127.0.0.0/8"], resolve=resolve))
        async with Server() as server:
            assert (await post(pool, server.url.replace("127.0.0.1", "two.example"))).status == 200
        await pool.close()

    async def test_redirect_is_no_answer_unless_it_is_wanted(self) -> None:
        pool = HttpPool(LOOPBACK)
        async with Server(b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n") as server:
            with pytest.raises(BadAnswer, match="redirects"):
                await post(pool, server.url)
            response = await post(pool, server.url, redirects=True)
            assert (response.status, response.header("location")) == (302, "/x")
        await pool.close()

    async def test_certificate_is_that_of_the_name_not_of_the_address(self) -> None:
        async def resolve(host: str, port: int) -> Sequence[str]:
            return ["127.0.0.1"]

        tls = client_context(str(TLS_FILES / "ca.pem"))
        pool = HttpPool(Egress(["127.0.0.1"], resolve=resolve), tls=tls)
        async with Server(tls=server_tls()) as server:
            assert (await post(pool, server.url.replace("127.0.0.1", "localhost"))).status == 200
            with pytest.raises(NotSent):
                await post(pool, server.url.replace("127.0.0.1", "other.example"))
        await pool.close()


@pytest.mark.asyncio
class TestLimits:
    @pytest.mark.parametrize(
        "answer",
        [
            b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n" + b"x" * 70000,
            b"HTTP/1.1 200 OK\r\n" + b"X: " + b"x" * 20000,
            b"HTTP/1.1 102 Processing\r\n\r\n" * 99,
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nab",
        ],
    )
    async def test_unusable_answer_ends_its_connection(self, answer: bytes) -> None:
        pool = HttpPool(LOOPBACK)
        async with Server(answer, OK) as server:
            with pytest.raises(BadAnswer):
                await post(pool, server.url)
            assert pool.idle == 0
            assert (await post(pool, server.url)).status == 200
        await pool.close()

    async def test_time_counts_from_the_wait_for_a_connection_on(self) -> None:
        pool = HttpPool(LOOPBACK, max_per_host=1)
        async with Server() as server:
            server.hold.clear()
            first = asyncio.create_task(post(pool, server.url))
            await until(lambda: len(server.heads) == 1)
            with pytest.raises(NotSent, match="within"):
                await post(pool, server.url, timeout_s=0.05)
            server.hold.set()
            assert (await first).status == 200
        await pool.close()

    async def test_resolver_that_hangs_is_bounded(self) -> None:
        async def resolve(host: str, port: int) -> Sequence[str]:
            await asyncio.Event().wait()
            return []

        pool = HttpPool(Egress(resolve=resolve))
        with pytest.raises(NotSent, match="within"):
            await post(pool, "http://a.example/", timeout_s=0.05)
        assert pool._hosts == {}

    async def test_cancelled_request_leaves_no_connection(self) -> None:
        pool = HttpPool(LOOPBACK)
        async with Server() as server:
            server.hold.clear()
            task = asyncio.create_task(post(pool, server.url))
            await until(lambda: len(server.heads) == 1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            server.hold.set()
            await until(lambda: server.gone == 1)
        assert (pool.idle, pool._hosts) == (0, {})

    @pytest.mark.parametrize("headers", [{"X": "a\r\nY: b"}, {"bad name": "x"}])
    async def test_header_that_http_does_not_allow_is_refused_and_its_connection_closed(
        self, headers: dict[str, str]
    ) -> None:
        pool = HttpPool(LOOPBACK)
        async with Server() as server:
            with pytest.raises(ValueError, match="header"):
                await post(pool, server.url, headers=headers)
            assert (server.heads, pool.idle) == ([], 0)


async def _many() -> None:
    pool = HttpPool(LOOPBACK, tls=client_context(str(TLS_FILES / "ca.pem")))
    async with Server(OK, OK, b"CLOSE", OK, tls=server_tls()) as server:
        for _ in range(6):
            assert (await post(pool, server.url)).body == b"ok"
        assert server.connections == 2
        await pool.close()
        await until(lambda: server.gone == 2)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(HttpError):
        await post(pool, f"http://127.0.0.1:{silent.getsockname()[1]}/", timeout_s=0.05)


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_both_event_loops_behave_alike(loop_factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def run(scenario: Callable[[], Awaitable[None]] = _many) -> None:
        await scenario()

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(run())
