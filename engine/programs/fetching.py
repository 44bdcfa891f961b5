"""How a document, or an answer to an action, is requested: signed, as a form, with the standard parameters.

Redirects are followed as the vendor does; the whole takes ``[twilio] document_timeout_s`` at most. No error repeats a
path, a query or a password. http is taken only where the caller of `request_document` says so.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from engine.dialects.twilio import form_body, standard_parameters
from engine.dialects.twiml.commands import Fetch
from engine.errors import ProgramError
from engine.net.http import HttpError
from engine.net.signatures import FORM, SignatureKind
from engine.net.web_client import WebRequest
from engine.program import CallFacts
from engine.programs.context import ProgramContext

__all__ = ("REDIRECTS", "Fetched", "came_from", "came_from_asked", "request_document")

REDIRECTS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """An answer, whatever its status."""

    status: int
    content_type: str
    body: bytes = field(repr=False)
    url: str = field(repr=False)
    """Where it came from in the end, without the parameters that were added, and with the user and password of the
    request as long as that is the same server."""

    @property
    def is_taken(self) -> bool:
        """Whether the application took what was sent."""
        return 200 <= self.status < 300


async def request_document(
    fetch: Fetch, *, context: ProgramContext, facts: CallFacts, status: str, allow_insecure: bool
) -> Fetched:
    """Send a request about a call and return its answer; raise ``ProgramError`` when there is none.

    ``status`` is what ``CallStatus`` says.
    """
    twilio = context.config.twilio
    parameters = (*standard_parameters(twilio.account_sid, facts, status), *fetch.parameters)
    request = WebRequest(
        url=fetch.url,
        method=fetch.method,
        body=form_body(parameters),
        content_type=FORM,
        signature=SignatureKind.TWILIO,
        key_env=twilio.auth_token_env,
        allow_insecure=allow_insecure,
    )
    try:
        async with asyncio.timeout(twilio.document_timeout_s):
            answer = await context.web.fetch(
                request,
                timeout_s=twilio.document_timeout_s,
                max_response=twilio.max_document_kb * 1024,
                redirects=REDIRECTS,
            )
    except TimeoutError:
        raise ProgramError(f"no answer within {twilio.document_timeout_s:g} s") from None
    except (HttpError, ValueError) as error:
        raise ProgramError(str(error)) from None
    return Fetched(
        status=answer.response.status,
        content_type=answer.response.header("content-type"),
        body=answer.response.body,
        url=came_from_asked(fetch.url, answer.url, method=fetch.method),
    )


def came_from(asked: str, answered: str) -> str:
    """Return where an answer came from, with the user and password of the request as long as it is the same server."""
    of_request, of_answer = urlsplit(asked), urlsplit(answered)
    userinfo, at, host = of_request.netloc.rpartition("@")
    if (of_answer.scheme, of_answer.netloc) != (of_request.scheme, host):
        return answered
    return of_answer._replace(netloc=f"{userinfo}{at}{host}").geturl()


def came_from_asked(asked: str, answered: str, *, method: str) -> str:
    """Return where an answer came from, as `Fetched.url` has it: of a GET without the parameters that were added."""
    of_request, came = urlsplit(asked), urlsplit(came_from(asked, answered))
    is_same = (came.scheme, came.netloc, came.path) == (of_request.scheme, of_request.netloc, of_request.path)
    if method == "GET" and is_same and came.query.startswith(of_request.query):
        came = came._replace(query=of_request.query)  # nobody redirected: what follows is what we added
    return came.geturl()
