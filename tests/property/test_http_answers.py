"""Whatever a server sends back, a request ends as an answer or as one of our errors, and its connection is closed."""

from __future__ import annotations

import asyncio

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from engine.net.egress import Egress
from engine.net.http import HttpError, HttpResponse
from engine.net.http_pool import HttpPool

LINES = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: /x\r\n",
        b"HTTP/1.0 204 \r\n",
        b"Content-Length: 3\r\n",
        b"Content-Length: 99999999999999999999\r\n",
        b"Content-Length: -1\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Connection: keep-alive, close\r\n",
        b"Retry-After: \xff\r\n",
        b"\r\n",
        b"3\r\nabc\r\n",
        b"0\r\n\r\n",
        b"ffffffffffffffff\r\n",
        b"abc",
    ]
)
ANSWERS = st.one_of(st.binary(max_size=400), st.lists(LINES | st.binary(max_size=8), max_size=12).map(b"".join))


async def _ask(answer: bytes) -> HttpResponse | HttpError:
    over = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n{}")
            writer.write(answer)
            writer.write_eof()
            await reader.read()
        except OSError:
            pass  # reset: the client has seen enough
        finally:
            writer.transport.abort()
            over.set()

    pool = HttpPool(Egress(["127.0.0.1"]))
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        try:
            return await pool.request("POST", url, headers={}, body=b"{}", timeout_s=5.0, allow_insecure=True)
        except HttpError as error:
            return error
        finally:
            await pool.close()
            assert pool.idle == 0
            await over.wait()
            await asyncio.sleep(0)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ANSWERS)
@example(b"")
@example(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 200 OK\r\n\r\n")
@example(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd")
@example(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
def test_any_bytes_are_an_answer_or_an_error_of_ours(answer: bytes) -> None:
    result = asyncio.run(_ask(answer))
    if isinstance(result, HttpResponse):
        assert answer.lstrip(b"\r\n").startswith(b"HTTP/1.")
        assert not 300 <= result.status < 400
    else:
        assert str(result)
