"""Lists page by page, as the vendor prints them.

A page names the next one and the one before by URIs that keep the filters. ``PageToken`` says between which two
records a page begins, so that what is added meanwhile shifts nothing; ``Page`` only counts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from aiohttp import web

from engine.api.twilio.answers import Form, wrong_value

__all__ = ("MAX_PAGE_SIZE", "Paging", "Token", "list_body", "time_range")

PAGE_SIZE = 50
MAX_PAGE_SIZE = 1000
MAX_PAGE = 1_000_000
_TOKEN = re.compile(r"P(?P<way>[AB])(?P<at>[0-9a-f]{1,15})-(?P<id>[0-9a-f]{1,64})")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_PAGING = ("PageSize", "Page", "PageToken")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True, slots=True)
class Token:
    """Where a page begins: behind a record (``after``), or ends right before it."""

    after: bool
    at: datetime
    identity: str

    def __str__(self) -> str:
        return f"P{'A' if self.after else 'B'}{(self.at - _EPOCH) // _MICROSECOND:x}-{self.identity}"

    @classmethod
    def parse(cls, text: str) -> Token:
        """Return what a token says; raise ``ApiError`` for one that is none of ours."""
        match = _TOKEN.fullmatch(text)
        try:
            if match is None:
                raise ValueError
            at = _EPOCH + int(match["at"], 16) * _MICROSECOND
        except (ValueError, OverflowError):
            raise wrong_value("PageToken", "take it from next_page_uri") from None
        return cls(match["way"] == "A", at, match["id"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Paging:
    """Which page of a list is wanted."""

    size: int
    number: int
    token: Token | None

    @classmethod
    def of(cls, form: Form) -> Paging:
        """Return what a query says; raise ``ApiError``. A size beyond ``MAX_PAGE_SIZE`` is taken as that."""
        size = min(_number(form, "PageSize", PAGE_SIZE, 1_000_000), MAX_PAGE_SIZE)
        token = form.one("PageToken")
        return cls(
            size=max(1, size),
            number=_number(form, "Page", 0, MAX_PAGE),
            token=Token.parse(token) if token else None,
        )

    @property
    def offset(self) -> int:
        """Records to skip: of a page that is asked for by its number alone."""
        return 0 if self.token is not None else self.number * self.size


def list_body(
    request: web.Request,
    form: Form,
    paging: Paging,
    key: str,
    records: Sequence[object],
    *,
    previous: Token | None = None,
    following: Token | None = None,
) -> dict[str, object]:
    """Return the body of one page; ``previous`` and ``following`` are the tokens of its neighbours, if any."""
    filters = [(name, value) for name, value in form.pairs if name not in _PAGING]

    def uri(number: int, token: Token | None = None) -> str:
        pairs = [*filters, ("PageSize", str(paging.size)), ("Page", str(number))]
        pairs += [("PageToken", str(token))] if token is not None else []
        return f"{request.path}?{urlencode(pairs)}"

    first = paging.number * paging.size
    return {
        key: list(records),
        "end": first + max(0, len(records) - 1),
        "first_page_uri": uri(0),
        "next_page_uri": uri(paging.number + 1, following) if following is not None else None,
        "page": paging.number,
        "page_size": paging.size,
        "previous_page_uri": uri(paging.number - 1, previous) if previous is not None and paging.number else None,
        "start": first,
        "uri": f"{request.path}?{request.rel_url.raw_query_string}".rstrip("?"),
    }


def time_range(form: Form, name: str) -> tuple[datetime | None, datetime | None]:
    """Return from when on and before when ``NAME``, ``NAME<`` and ``NAME>`` want a time; raise ``ApiError``.

    Values are days or times in ISO 8601; ``NAME`` alone means that whole day, or second; both bounds are included, a
    day as an upper bound with the midnight that it begins at.
    """
    since: datetime | None = None
    until: datetime | None = None
    if text := form.one(name):
        since = _time(name, text)
        until = since + (timedelta(days=1) if _DAY.fullmatch(text) else timedelta(seconds=1))
    if text := form.one(name + ">"):
        bound = _time(name + ">", text)
        since = bound if since is None else max(since, bound)
    if text := form.one(name + "<"):
        bound = _time(name + "<", text) + (_MICROSECOND if _DAY.fullmatch(text) else timedelta(seconds=1))
        until = bound if until is None else min(until, bound)
    return since, until


def _time(name: str, text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
        time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
        if not 1971 <= time.year <= 9000:
            raise ValueError
    except (ValueError, OverflowError):
        raise wrong_value(name, "a day (2026-01-31) or a time (2026-01-31T12:00:00Z) is wanted") from None
    return time


def _number(form: Form, name: str, default: int, most: int) -> int:
    text = form.one(name)
    if not text:
        return default
    if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) > most:
        raise wrong_value(name, "a whole number is wanted")
    return int(text)
