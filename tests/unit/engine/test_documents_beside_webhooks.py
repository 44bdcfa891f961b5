"""Requests for documents and webhooks do not wait for each other, whatever an application does with its answers."""

from __future__ import annotations

import asyncio
from pathlib import Path

import h11
import pytest

from engine.config import parse
from engine.net.http_pool import MAX_PER_HOST
from engine.net.web_client import WebRequest
from engine.payments import Payments
from tests.support.http_double import HttpDouble, Received

pytestmark = pytest.mark.asyncio

CALLS = 2 * MAX_PER_HOST


class SlowApplication(HttpDouble):
    """Answers to /fast at once, and to nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.came: list[str] = []
        self.changed = asyncio.Condition()

    async def _serve(
        self, http: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, received: Received
    ) -> None:
        async with self.changed:
            self.came.append(received.target)
            self.changed.notify_all()
        if received.target != "/fast":
            await asyncio.Event().wait()
        response = h11.Response(status_code=200, headers=[("Content-Length", "0"), ("Connection", "close")])
        writer.write((http.send(response) or b"") + (http.send(h11.EndOfMessage()) or b""))
        await writer.drain()

    async def wait_for(self, target: str, count: int) -> None:
        async with asyncio.timeout(20), self.changed:
            await self.changed.wait_for(lambda: self.came.count(target) >= count)


async def test_documents_that_hang_hold_their_own_calls_only(tmp_path: Path) -> None:
    config = parse(
        f'[ledger]\nurl = "sqlite+aiosqlite:///{tmp_path}/ledger.sqlite3"\n[webhooks]\nallow = ["127.0.0.1"]\n'
    )
    async with SlowApplication() as application:
        payments = await Payments.open(config)
        try:

            async def ask(path: str) -> int:
                request = WebRequest(url=application.origin + path, allow_insecure=True)
                return (await payments.web.fetch(request, timeout_s=30)).response.status

            hanging = [asyncio.ensure_future(ask("/slow")) for _ in range(CALLS)]
            await application.wait_for("/slow", CALLS)
            assert await ask("/fast") == 200
            await payments.outbox.enqueue("a-call", application.origin + "/fast", b"{}", allow_insecure=True)
            await application.wait_for("/fast", 2)
            for task in hanging:
                task.cancel()
            await asyncio.gather(*hanging, return_exceptions=True)
        finally:
            await payments.close()
