"""A web server of a test's own on a free port of loopback: what applications and receivers of webhooks stand on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

__all__ = ("serving",)


@asynccontextmanager
async def serving(handle: Callable[[Any], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    """Have every request answered by ``handle``; the value is the server's URL, without a slash at its end."""
    runner = web.ServerRunner(web.Server(handle), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    try:
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()
