"""How an application is asked for an NCCO: for that of a call, or by an event whose answer may replace it (§6.3).

The request is signed, and says what is known of the call. A URL whose connection, time or status (429, 5xx) is to blame
is asked twice, `PAUSE_S` between; then, and at once after any other failure, the fallback in the same way. Each time
takes ``[vonage] document_timeout_s`` at most, redirects and all; http is taken. What a caller keyed stands in the
request by design: it goes to the application alone, and neither into a log nor into an error.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.dialects.ncco.actions import EventTarget
from engine.dialects.ncco.commands import FetchNcco
from engine.dialects.ncco.events import answer_members, body_of, input_event, query_of, state_event
from engine.dialects.ncco.identity import timestamp
from engine.dialects.urls import host_of, resolved
from engine.errors import ProgramError
from engine.log import fields
from engine.net.egress import EgressRefused
from engine.net.http import BadAnswer, HttpError
from engine.net.signatures import FORM
from engine.net.web_client import JSON, KeyMissing, WebRequest
from engine.programs.context import ProgramContext
from engine.programs.fetching import REDIRECTS, came_from_asked
from engine.programs.ncco.legs import Leg, signing

__all__ = ("PAUSE_S", "TRIES", "Answer", "ask")

log = logging.getLogger("engine.programs.ncco")

TRIES = 2
"Of each URL, where that may help."
PAUSE_S = 0.5
"Seconds between them."


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the application answered, with a status of 200 to 299."""

    body: bytes = field(repr=False)
    url: str = field(repr=False)
    "Where it came from in the end, without what was added to it: what relative URLs in it are resolved against."


class _Failed(Exception):  # noqa: N818
    """A URL gave no answer; the text repeats neither path nor query."""

    def __init__(self, reason: str, *, may_pass: bool) -> None:
        super().__init__(reason)
        self.may_pass = may_pass
        "Whether to ask once more."


async def ask(command: FetchNcco, leg: Leg, context: ProgramContext) -> Answer:
    """Send a request about a call and return its answer; raise ``ProgramError`` when nobody gives one.

    The text of the error names hosts and no more of a URL.
    """
    if (target := command.target or leg.event) is None:
        raise ProgramError("the application has no event URL")
    members = _members(command, leg, context)
    reasons: list[str] = []
    for where in (target, command.fallback):
        if where is None:
            continue
        url = resolved(command.base_url, where.url)
        if not url:
            reasons.append("the URL cannot be read")
            continue
        try:
            return await _asked(_request(url, where, members, leg, context), leg, context)
        except _Failed as error:
            reasons.append(f"{host_of(url)}: {error}")
    raise ProgramError("; then ".join(reasons))


def _members(command: FetchNcco, leg: Leg, context: ProgramContext) -> Mapping[str, Any]:
    if command.asking == "notify":
        return command.members
    if command.asking == "answer":
        return answer_members(leg.facts, leg.conversation_uuid, region_url=context.config.api.public_url)
    if command.asking == "input":
        told = input_event(leg.facts, leg.conversation_uuid, command.members)
    else:
        about = leg.called or leg  # whom the NCCO called, where that is known
        told = {**state_event(about.facts, about.conversation_uuid, ""), **command.members}
    return {**told, "timestamp": timestamp(context.clock())}


def _request(url: str, where: EventTarget, members: Mapping[str, Any], leg: Leg, context: ProgramContext) -> WebRequest:
    is_get = where.method == "GET"
    try:
        body = query_of(members) if is_get else body_of(members)
    except ValueError as error:
        raise ProgramError(f"the request cannot be written: {error}") from None
    return WebRequest(
        url=url,
        method=where.method,
        body=body,
        content_type=FORM if is_get else JSON,
        allow_insecure=True,
        **signing(context.config.vonage, leg.application_id),
    )


async def _asked(request: WebRequest, leg: Leg, context: ProgramContext) -> Answer:
    """Ask one URL, more than once where that may help; raise ``_Failed``."""
    left = TRIES
    while True:
        left -= 1
        try:
            return await _once(request, context)
        except _Failed as error:
            log.warning(
                "an application gave no answer: %s",
                error,
                extra=fields(call=leg.facts.call_id, host=host_of(request.url), tries_left=left * error.may_pass),
            )
            if not left or not error.may_pass:
                raise
        await asyncio.sleep(PAUSE_S)


async def _once(request: WebRequest, context: ProgramContext) -> Answer:
    settings = context.config.vonage
    try:
        async with asyncio.timeout(settings.document_timeout_s):
            answer = await context.web.fetch(
                request,
                timeout_s=settings.document_timeout_s,
                max_response=settings.max_document_kb * 1024,
                redirects=REDIRECTS,
                is_repeatable=True,  # it is asked twice anyway, and a connection that is kept saves the caller time
            )
    except TimeoutError:
        raise _Failed(f"no answer within {settings.document_timeout_s:g} s", may_pass=True) from None
    except (EgressRefused, KeyMissing, ValueError) as error:
        raise _Failed(str(error), may_pass=False) from None
    except BadAnswer as error:
        cut_off = error.status is None or error.status < 300  # or too long; the status of a redirect, else
        raise _Failed(str(error), may_pass=cut_off or _may_pass(error.status)) from None
    except HttpError as error:
        raise _Failed(str(error), may_pass=True) from None
    status = answer.response.status
    if not 200 <= status < 300:
        raise _Failed(f"it answers {status}", may_pass=_may_pass(status))
    url = came_from_asked(request.url, answer.url, method=request.method)
    return Answer(body=answer.response.body, url=url)


def _may_pass(status: int | None) -> bool:
    return status is not None and (status == 429 or status >= 500)
