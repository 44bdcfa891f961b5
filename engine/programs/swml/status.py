"""Status posts of a SWML document's methods: events of the call, each to the ``status_url`` of its method.

Laws: they are put into the outbox in the order in which things happened, behind each other also when they go to
different places, and delivered as a status is (D-27), signed (D-26); nobody waits for them but `StatusPosts.done`. One
that cannot be put in is logged and lost. The log repeats neither what they say nor where they go.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import Mapping
from typing import Any

from engine.dialects.signalwire.identity import NODE_ID, envelope
from engine.errors import LedgerError
from engine.ledger import WebhookPolicy
from engine.log import fields
from engine.net.signatures import SignatureKind
from engine.programs.context import ProgramContext

__all__ = ("StatusPosts",)

log = logging.getLogger("engine.programs.swml")

MAX_WAITING = 1000
"Posts of one call that are not in the outbox yet."


class StatusPosts:
    """The posts of one call."""

    def __init__(self, context: ProgramContext, *, call_id: str, channel: str, allow_insecure: bool) -> None:
        """``channel`` is the ``event_channel`` of all; ``allow_insecure`` admits http."""
        self._context = context
        self._call_id = call_id
        self._channel = channel
        self._allow_insecure = allow_insecure
        self._waiting: deque[tuple[str, bytes]] = deque()
        self._worker: asyncio.Task[None] | None = None
        self._lost = 0

    def tell(self, url: str, event_type: str, params: Mapping[str, Any]) -> None:
        """Tell an event of this call; without a ``url`` nobody wants to hear it."""
        if not url:
            return
        if len(self._waiting) >= MAX_WAITING:
            self._lost += 1
            return
        settings = self._context.config.signalwire
        event = envelope(
            event_type,
            {**params, "call_id": params.get("call_id", self._call_id), "node_id": NODE_ID},
            channel=self._channel,
            timestamp=self._context.clock().timestamp(),
            project=settings.project,
            space=settings.space,
        )
        self._waiting.append((url, json.dumps(event).encode()))
        if self._worker is None:
            self._worker = asyncio.get_running_loop().create_task(self._work())

    async def done(self) -> None:
        """Wait until all that was told is in the outbox."""
        while self._worker is not None:
            await asyncio.wait([self._worker])

    async def _work(self) -> None:
        try:
            while self._waiting:
                await self._put_in(*self._waiting.popleft())
            if self._lost:
                log.error("status posts are lost: too many", extra=fields(call=self._call_id, lost=self._lost))
                self._lost = 0
        finally:
            self._worker = None

    async def _put_in(self, url: str, body: bytes) -> None:
        settings = self._context.config.signalwire
        try:
            await self._context.outbox.enqueue(
                session=f"swml-{self._call_id}",
                url=url,
                body=body,
                signature=SignatureKind.SIGNALWIRE if settings.signing_key_env else SignatureKind.NONE,
                key_env=settings.signing_key_env,
                policy=WebhookPolicy.STATUS,
                allow_insecure=self._allow_insecure,
            )
        except LedgerError as error:
            log.error("a status post is lost: %s", error, extra=fields(call=self._call_id))
        except ValueError as error:
            log.warning("a status post cannot be sent: %s", error, extra=fields(call=self._call_id))
        except Exception as error:
            log.error("a status post is lost", extra=fields(call=self._call_id, error=type(error).__name__))
