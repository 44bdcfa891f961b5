"""The outbox's table: webhooks wait here, in order within a session, until they are settled.

Laws:

- ``next_at`` stands in a session's oldest open webhook and in no other: what is due is found by one index, however
  much waits behind it. When a webhook is settled, the same transaction makes the session's next one due.
- All that writes goes through one writer, whose transactions are gathered as those of ``engine.ledger.group``: a
  webhook that is put in while its session's last one is settled cannot be forgotten between the two.
- Each node delivers its own; of one session all are of one node.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import Row, and_, bindparam, case, delete, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.errors import LedgerError
from engine.ledger.database import Database
from engine.ledger.group import GroupWriter
from engine.ledger.records import WebhookPolicy, WebhookRecord
from engine.ledger.schema import OUTBOX, UtcDateTime
from engine.net.http import shown_url
from engine.net.signatures import SignatureKind
from engine.net.web_client import WebRequest
from engine.redact import redact_text

__all__ = ("GATHER_S", "MAX_BODY", "MAX_GROUP", "WebhookQueue", "receiver_of")

GATHER_S = 0.02
"How long writes are gathered after a commit."
MAX_GROUP = 100
"Webhooks in one transaction: a few milliseconds, for which payments and the loop wait."
MAX_BODY = 256 * 1024
LIMITS = {"session": 64, "receiver": 255, "content_type": 128, "key_env": 128, "method": 8}
"Characters, as the table has them: servers refuse what is longer, and with it all that is written together."

_OPEN = and_(OUTBOX.c.delivered_at.is_(None), OUTBOX.c.dead_at.is_(None))
_INSERT = insert(OUTBOX).returning(OUTBOX.c.id, sort_by_parameter_order=True)
_DELIVERED = (
    update(OUTBOX)
    .where(OUTBOX.c.id == bindparam("of"))
    .values(
        delivered_at=bindparam("now", type_=UtcDateTime),
        attempts=OUTBOX.c.attempts + 1,
        next_at=None,
        last_error=None,
    )
)
_GIVEN_UP = (
    update(OUTBOX)
    .where(OUTBOX.c.id == bindparam("of"))
    .values(
        dead_at=bindparam("now", type_=UtcDateTime),
        attempts=OUTBOX.c.attempts + 1,
        next_at=None,
        last_error=bindparam("reason"),
    )
)
_PUT_OFF = (
    update(OUTBOX)
    .where(OUTBOX.c.id == bindparam("of"))
    .values(
        # It is no longer the session's oldest where an operator had an older one delivered again meanwhile.
        next_at=case((OUTBOX.c.next_at.is_(None), None), else_=bindparam("retry_at", type_=UtcDateTime)),
        attempts=OUTBOX.c.attempts + 1,
        last_error=bindparam("reason"),
    )
)
_OTHER = OUTBOX.alias()
_SESSION = select(_OTHER.c.session).where(_OTHER.c.id == bindparam("of")).scalar_subquery()
_THIRD = OUTBOX.alias()
_OLDEST = (
    select(func.min(_THIRD.c.id))
    .where(_THIRD.c.session == _SESSION, _THIRD.c.delivered_at.is_(None), _THIRD.c.dead_at.is_(None))
    .scalar_subquery()
)
_PROMOTE = (
    update(OUTBOX)
    .where(OUTBOX.c.id == _OLDEST, OUTBOX.c.next_at.is_(None))
    .values(next_at=bindparam("now", type_=UtcDateTime))
)
_DEMOTE = update(OUTBOX).where(OUTBOX.c.session == _SESSION, _OPEN).values(next_at=None)
_REVIVE = (
    update(OUTBOX)
    .where(OUTBOX.c.id == bindparam("of"), OUTBOX.c.dead_at.is_not(None))
    .values(dead_at=None, attempts=0, give_up_at=bindparam("give_up_at", type_=UtcDateTime))
)


class _Kind(Enum):
    NEW = auto()
    DELIVERED = auto()
    PUT_OFF = auto()
    GIVEN_UP = auto()


@dataclass(frozen=True, slots=True)
class _Write:
    kind: _Kind
    values: Mapping[str, Any]


class WebhookQueue:
    """Webhooks of a ledger; every method raises ``LedgerError`` when the database does not let it."""

    def __init__(self, database: Database, *, clock: Callable[[], datetime], node: str = "") -> None:
        self._database = database
        self._clock = clock
        self._node = node
        self._writer = GroupWriter(database, self._execute, gather_s=GATHER_S, max_group=MAX_GROUP)

    # -- writing ---------------------------------------------------------------------------------------------------

    async def enqueue(
        self,
        session: str,
        url: str,
        body: bytes,
        *,
        content_type: str = "application/json",
        key_env: str = "",
        allow_insecure: bool = False,
        method: str = "POST",
        headers: Mapping[str, str] | None = None,
        signature: SignatureKind = SignatureKind.NONE,
        claims: Mapping[str, str] | None = None,
        policy: WebhookPolicy = WebhookPolicy.STATUS,
        give_up_at: datetime | None = None,
    ) -> int:
        """Put a webhook at the end of its session's queue; return its id when it is on the disk."""
        now = self._clock()
        values = {
            "session": session,
            "url": url,
            "body": body,
            "content_type": content_type,
            "key_env": key_env,
            "allow_insecure": allow_insecure,
            "attempts": 0,
            "created_at": now,
            "node": self._node,
            "receiver": receiver_of(url),
            "method": method,
            "headers": json.dumps(dict(headers)) if headers else "",
            "signature": signature.value,
            "claims": json.dumps(dict(claims)) if claims else "",
            "policy": policy.value,
            "give_up_at": give_up_at,
        }
        for name, limit in LIMITS.items():
            if len(values[name]) > limit:  # type: ignore[arg-type]
                raise LedgerError(f"a webhook's {name} has more than {limit} characters")
        if len(body) > MAX_BODY:
            raise LedgerError(f"a webhook's body has more than {MAX_BODY} bytes")
        if any(isinstance(value, str) and "\x00" in value for value in values.values()):
            raise LedgerError("a webhook holds a NUL character, which no database takes")
        return await self._write(_Kind.NEW, values)

    async def delivered(self, webhook_id: int) -> None:
        """Settle a webhook that was taken."""
        await self._write(_Kind.DELIVERED, {"of": webhook_id, "now": self._clock()})

    async def failed(self, webhook_id: int, reason: str, *, retry_at: datetime | None) -> None:
        """Put a webhook off to ``retry_at``; None gives it up, and the session's next one becomes due."""
        values = {"of": webhook_id, "reason": redact_text(reason).replace("\x00", "?")[:255]}
        if retry_at is None:
            await self._write(_Kind.GIVEN_UP, values | {"now": self._clock()})
        else:
            await self._write(_Kind.PUT_OFF, values | {"retry_at": retry_at})

    async def retry(self, ids: Collection[int] | None, *, give_up_at: datetime) -> int:
        """Have dead webhooks delivered again, until ``give_up_at``; None: all. Return how many there were.

        They go before what still waits in their sessions; what was delivered meanwhile has overtaken them.
        """
        now = self._clock()

        async def work(connection: AsyncConnection) -> int:
            dead = select(OUTBOX.c.id).where(OUTBOX.c.dead_at.is_not(None)).order_by(OUTBOX.c.id)
            found = [row for row in (await connection.execute(dead)).scalars() if ids is None or row in ids]
            if found:
                await connection.execute(_REVIVE, [{"of": one, "give_up_at": give_up_at} for one in found])
                await connection.execute(_DEMOTE, [{"of": one} for one in found])
                await connection.execute(_PROMOTE, [{"of": one, "now": now} for one in found])
            return len(found)

        return await self._database.run(work)

    async def repair(self) -> int:
        """Make each session's oldest open webhook due where none is; return how many had been forgotten.

        Only at start: another process may have written (``retry``) while the last engine did.
        """
        oldest = select(func.min(_THIRD.c.id)).where(_THIRD.c.delivered_at.is_(None), _THIRD.c.dead_at.is_(None))
        return await self._database.execute(
            update(OUTBOX)
            .where(OUTBOX.c.next_at.is_(None), _OPEN, OUTBOX.c.id.in_(oldest.group_by(_THIRD.c.session)))
            .values(next_at=self._clock())
        )

    async def purge(self, before: datetime) -> int:
        """Delete webhooks settled before the given time; return how many."""
        settled = or_(OUTBOX.c.delivered_at < before, OUTBOX.c.dead_at < before)
        return await self._database.execute(delete(OUTBOX).where(settled))

    async def close(self) -> None:
        """Commit what waits; nothing is taken afterwards."""
        await self._writer.close()

    # -- reading ---------------------------------------------------------------------------------------------------

    async def due(
        self, now: datetime, limit: int, *, except_ids: Collection[int] = (), except_receivers: Collection[str] = ()
    ) -> list[WebhookRecord]:
        """Return what is to be delivered now, the longest due first, at most one per session: its oldest."""
        statement = (
            select(OUTBOX.c.id)
            .where(OUTBOX.c.node == self._node, OUTBOX.c.next_at <= now)
            .order_by(OUTBOX.c.next_at, OUTBOX.c.id)
            .limit(limit + len(except_ids))
        )
        if except_receivers:
            statement = statement.where(OUTBOX.c.receiver.not_in(sorted(except_receivers)))

        async def work(connection: AsyncConnection) -> Sequence[Row[Any]]:
            found = [one for one in (await connection.execute(statement)).scalars() if one not in except_ids]
            if not found:
                return []
            wanted = select(OUTBOX).where(OUTBOX.c.id.in_(found[:limit])).order_by(OUTBOX.c.next_at, OUTBOX.c.id)
            return (await connection.execute(wanted)).all()

        return [_record(row) for row in await self._database.run(work, read_only=True)]

    async def next_at(self, now: datetime) -> datetime | None:
        """Return when the next delivery after ``now`` is due; None when nothing waits for a time to come."""
        rows = await self._database.rows(
            select(OUTBOX.c.next_at)
            .where(OUTBOX.c.node == self._node, OUTBOX.c.next_at > now)
            .order_by(OUTBOX.c.next_at)
            .limit(1)
        )
        return rows[0].next_at if rows else None

    async def listed(self, limit: int, *, dead: bool) -> list[dict[str, Any]]:
        """Return dead webhooks, the newest first, or open ones, the oldest first; URLs without query and password."""
        statement = select(OUTBOX).limit(limit)
        if dead:
            statement = statement.where(OUTBOX.c.dead_at.is_not(None))
            statement = statement.order_by(OUTBOX.c.dead_at.desc(), OUTBOX.c.id.desc())
        else:
            statement = statement.where(_OPEN).order_by(OUTBOX.c.id)
        return [
            {
                "id": row.id,
                "session": row.session,
                "method": row.method,
                "url": redact_text(shown_url(row.url)),
                "policy": row.policy,
                "attempts": row.attempts,
                "created_at": row.created_at,
                "next_at": row.next_at,
                "dead_at": row.dead_at,
                "last_error": row.last_error,
            }
            for row in await self._database.rows(statement)
        ]

    # -- the writer ------------------------------------------------------------------------------------------------

    async def _write(self, kind: _Kind, values: Mapping[str, Any]) -> int:
        return await self._writer.write(_Write(kind, values))

    async def _execute(self, connection: AsyncConnection, group: Sequence[_Write]) -> Sequence[int]:
        return await _execute(connection, group, self._clock())


def receiver_of(url: str) -> str:
    """Return scheme, host and port of a URL; empty when it has none that can be read."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2].lower()}" if parts.netloc else ""


async def _execute(connection: AsyncConnection, group: Sequence[_Write], now: datetime) -> list[int]:
    """Write a group in one transaction; return the id of each new webhook, 0 for all else."""

    async def each(statement: Any, kind: _Kind) -> None:
        if rows := [write.values for write in group if write.kind is kind]:
            await connection.execute(statement, rows)

    await each(_DELIVERED, _Kind.DELIVERED)
    await each(_GIVEN_UP, _Kind.GIVEN_UP)
    await each(_PUT_OFF, _Kind.PUT_OFF)
    new = [dict(write.values) for write in group if write.kind is _Kind.NEW]
    fresh: Sequence[int] = (await connection.execute(_INSERT, new)).scalars().all() if new else ()
    numbers = iter(fresh)
    ids = [next(numbers) if write.kind is _Kind.NEW else 0 for write in group]
    moved = [
        {"of": one or write.values["of"], "now": now}
        for write, one in zip(group, ids, strict=True)
        if write.kind is not _Kind.PUT_OFF
    ]
    if moved:
        await connection.execute(_PROMOTE, moved)
    return ids


def _record(row: Row[Any]) -> WebhookRecord:
    return WebhookRecord(
        id=row.id,
        session=row.session,
        receiver=row.receiver,
        request=WebRequest(
            url=row.url,
            method=row.method,
            body=row.body,
            content_type=row.content_type,
            headers=_members(row.headers),
            signature=SignatureKind(row.signature),
            key_env=row.key_env,
            claims=_members(row.claims),
            allow_insecure=row.allow_insecure,
        ),
        policy=WebhookPolicy(row.policy),
        attempts=row.attempts,
        created_at=row.created_at,
        give_up_at=row.give_up_at,
    )


def _members(text: str) -> dict[str, str]:
    return json.loads(text) if text else {}
