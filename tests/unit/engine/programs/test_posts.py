"""Posts on their way into the outbox: in order by session, sessions side by side, and none disturbs the others."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, cast

import pytest

from engine.errors import LedgerError
from engine.ledger import WebhookPolicy
from engine.outbox import Outbox
from engine.programs.posts import AT_ONCE, Post, Posts

pytestmark = pytest.mark.asyncio

log = logging.getLogger("engine.programs.tests")


class SlowOutbox:
    """Takes a post when the test lets it, and counts how many wait for that at a time."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, bytes]] = []
        self.open = asyncio.Event()
        self.entered = 0
        self.most = 0
        self.refuses: dict[bytes, Exception] = {}

    async def enqueue(self, session: str, url: str, body: bytes, **more: Any) -> None:
        self.entered += 1
        self.most = max(self.most, self.entered)
        await self.open.wait()
        self.entered -= 1
        if body in self.refuses:
            raise self.refuses[body]
        self.taken.append((session, body))


def posts_to(outbox: SlowOutbox, **more: Any) -> Posts:
    return Posts(cast("Outbox", outbox), what="an event", log=log, **more)


def post(session: str, body: bytes, *, policy: WebhookPolicy = WebhookPolicy.STATUS) -> Post:
    return Post(session=session, url="https://app.example/told", body=body, policy=policy)


async def turns(count: int = 10) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_of_one_session_each_waits_for_the_one_before() -> None:
    outbox = SlowOutbox()
    posts = posts_to(outbox)
    for number in range(5):
        posts.put(post("a", b"%d" % number))
    await turns()
    assert outbox.most == 1
    outbox.open.set()
    await posts.done()
    assert outbox.taken == [("a", b"%d" % number) for number in range(5)]


async def test_sessions_are_put_in_side_by_side_so_many_at_a_time() -> None:
    outbox = SlowOutbox()
    posts = posts_to(outbox)
    for number in range(AT_ONCE + 10):
        posts.put(post(f"s{number}", b"told"))
    await turns()
    assert outbox.most == AT_ONCE
    outbox.open.set()
    await posts.done()
    assert len({session for session, _ in outbox.taken}) == AT_ONCE + 10


async def test_the_order_of_a_session_holds_across_what_is_put_in_together() -> None:
    outbox = SlowOutbox()
    posts = posts_to(outbox)
    for number in range(3 * AT_ONCE):
        posts.put(post("ab"[number % 2], b"%d" % number))
    outbox.open.set()
    await posts.done()
    for session in "ab":
        told = [int(body) for of, body in outbox.taken if of == session]
        assert told == sorted(told)
        assert len(told) == 3 * AT_ONCE // 2


async def test_with_too_many_waiting_results_are_taken_longer_than_statuses(caplog: pytest.LogCaptureFixture) -> None:
    outbox = SlowOutbox()
    posts = posts_to(outbox, max_waiting={WebhookPolicy.STATUS: 2, WebhookPolicy.RESULT: 3})
    for number in range(4):
        posts.put(post("a", b"%d" % number))
    posts.put(post("a", b"result", policy=WebhookPolicy.RESULT))
    posts.put(post("a", b"another", policy=WebhookPolicy.RESULT))
    outbox.open.set()
    await posts.done()
    assert [body for _, body in outbox.taken] == [b"0", b"1", b"result"]
    (record,) = [record for record in caplog.records if "too many" in record.getMessage()]
    assert getattr(record, "paytone_fields", {})["lost"] == 3


@pytest.mark.parametrize(
    "error", [LedgerError("the database is gone"), ValueError("no URL"), RuntimeError("737 was keyed")]
)
async def test_one_that_is_not_taken_is_logged_and_holds_up_none(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    outbox = SlowOutbox()
    outbox.refuses[b"1"] = error
    outbox.open.set()
    posts = posts_to(outbox)
    for number in range(3):
        posts.put(post("a", b"%d" % number))
    await posts.done()
    assert [body for _, body in outbox.taken] == [b"0", b"2"]
    assert "an event" in caplog.text
    assert "737" not in caplog.text


async def test_what_is_put_after_it_ran_empty_is_put_in_too() -> None:
    outbox = SlowOutbox()
    outbox.open.set()
    posts = posts_to(outbox)
    await posts.done()
    for body in (b"0", b"1"):
        posts.put(post("a", body))
        await posts.done()
    assert [body for _, body in outbox.taken] == [b"0", b"1"]
