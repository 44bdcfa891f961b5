"""Status posts of a SWML document's methods: events of the call, each to the ``status_url`` of its method.

Laws: they are put into the outbox in the order in which things happened (``engine.programs.posts``), behind each other
also when they go to different places, and delivered as a status is (D-27), signed (D-26); nobody waits for them but
`StatusPosts.done`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from engine.dialects.signalwire.identity import NODE_ID, envelope
from engine.ledger import WebhookPolicy
from engine.net.signatures import SignatureKind
from engine.programs.context import ProgramContext
from engine.programs.posts import Post, Posts

__all__ = ("StatusPosts",)

log = logging.getLogger("engine.programs.swml")

MAX_WAITING = {WebhookPolicy.STATUS: 1000}
"Posts of one call that are not in the outbox yet."


class StatusPosts:
    """The posts of one call."""

    def __init__(self, context: ProgramContext, *, call_id: str, channel: str, allow_insecure: bool) -> None:
        """``channel`` is the ``event_channel`` of all; ``allow_insecure`` admits http."""
        self._context = context
        self._call_id = call_id
        self._channel = channel
        self._allow_insecure = allow_insecure
        self._posts = Posts(context.outbox, what="a status post", log=log, max_waiting=MAX_WAITING)

    def tell(self, url: str, event_type: str, params: Mapping[str, Any]) -> None:
        """Tell an event of this call; without a ``url`` nobody wants to hear it."""
        if not url or not self._posts.has_room(WebhookPolicy.STATUS):
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
        self._posts.put(
            Post(
                session=f"swml-{self._call_id}",
                url=url,
                body=json.dumps(event).encode(),
                signature=SignatureKind.SIGNALWIRE if settings.signing_key_env else SignatureKind.NONE,
                key_env=settings.signing_key_env,
                allow_insecure=self._allow_insecure,
            )
        )

    async def done(self) -> None:
        """Wait until all that was told is in the outbox."""
        await self._posts.done()
