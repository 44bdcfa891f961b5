"""Posts on their way into the outbox: what tells them does not wait, and the ledger may be slow.

Laws: what is told in one session is put in in the order in which it was told; sessions side by side, so that the ledger
writes many of them in one transaction. One that the ledger does not take, that cannot be sent, or that comes while too
many wait already, is logged and lost, and disturbs no call. No log repeats what is told, or where.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.errors import LedgerError
from engine.ledger import WebhookPolicy
from engine.log import fields, place_of
from engine.net.signatures import SignatureKind
from engine.net.web_client import JSON
from engine.outbox import Outbox

__all__ = ("MAX_WAITING", "Post", "Posts")

MAX_WAITING: Mapping[WebhookPolicy, int] = {WebhookPolicy.STATUS: 4096, WebhookPolicy.RESULT: 16_384}
"Posts that are not in the outbox yet: with more, one of this kind is lost."
AT_ONCE = 64
"Posts that are put in together."


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """A webhook; the members are those of ``Outbox.enqueue``."""

    session: str
    url: str = field(repr=False)
    "Absolute; http is taken: whoever makes a post has decided on it."
    body: bytes = field(repr=False)
    method: str = "POST"
    content_type: str = JSON
    signature: SignatureKind = SignatureKind.NONE
    key_env: str = ""
    claims: Mapping[str, str] = field(default_factory=dict)
    policy: WebhookPolicy = WebhookPolicy.STATUS
    allow_insecure: bool = False


class Posts:
    """A queue of posts that empties itself into the outbox."""

    def __init__(
        self,
        outbox: Outbox,
        *,
        what: str,
        log: logging.Logger,
        max_waiting: Mapping[WebhookPolicy, int] = MAX_WAITING,
    ) -> None:
        """``what`` is what the log calls one of them, as in "an event"."""
        self._outbox = outbox
        self._what = what
        self._log = log
        self._max_waiting = max_waiting
        self._waiting: deque[Post] = deque()
        self._lost = 0
        self._worker: asyncio.Task[None] | None = None

    def has_room(self, policy: WebhookPolicy) -> bool:
        """Return whether a post of this kind would be taken; one that is not is counted as lost."""
        if len(self._waiting) < self._max_waiting[policy]:
            return True
        self._lost += 1
        return False

    def put(self, post: Post) -> None:
        """Have a post put in behind those of its session."""
        if not self.has_room(post.policy):
            return
        self._waiting.append(post)
        if self._worker is None:
            self._worker = asyncio.get_running_loop().create_task(self._work())

    async def done(self) -> None:
        """Wait until all that was put is in the outbox."""
        while self._worker is not None:
            await asyncio.wait([self._worker])

    async def _work(self) -> None:
        try:
            while self._waiting:
                by_session: dict[str, list[Post]] = {}
                for _ in range(min(AT_ONCE, len(self._waiting))):
                    post = self._waiting.popleft()
                    by_session.setdefault(post.session, []).append(post)
                await asyncio.gather(*(self._put_in_order(posts) for posts in by_session.values()))
            if self._lost:
                self._log.error("%s is lost: too many wait", self._what, extra=fields(lost=self._lost))
                self._lost = 0
        finally:
            self._worker = None

    async def _put_in_order(self, posts: list[Post]) -> None:
        for post in posts:
            await self._put_in(post)

    async def _put_in(self, post: Post) -> None:
        try:
            await self._outbox.enqueue(
                session=post.session,
                url=post.url,
                body=post.body,
                method=post.method,
                content_type=post.content_type,
                signature=post.signature,
                key_env=post.key_env,
                claims=post.claims,
                policy=post.policy,
                allow_insecure=post.allow_insecure,
            )
        except LedgerError as error:
            text = "%s is lost: the ledger could not be written: %s"
            self._log.error(text, self._what, error, extra=fields(session=post.session))
        except ValueError as error:
            self._log.error("%s cannot be sent: %s", self._what, error, extra=fields(session=post.session))
        except Exception as error:
            told = fields(session=post.session, error=type(error).__name__, at=place_of(error))
            self._log.error("%s is lost", self._what, extra=told)
