"""How a SWML document is requested: by a signed POST that says what is known of the call (`dialects.md` §3.1).

Redirects are followed as the vendor does; the whole takes ``[signalwire] document_timeout_s`` at most. No error repeats
a path, a query or a password. http is taken only where the caller of `fetch_document` says so.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.config import SignalWireConfig, SwmlApp
from engine.dialects.signalwire.identity import NODE_ID, call_state, direction_of
from engine.dialects.swml.commands import FetchDocument, Source
from engine.errors import ProgramError
from engine.log import fields
from engine.net.http import HttpError
from engine.net.signatures import SignatureKind
from engine.net.web_client import WebRequest
from engine.program import CallFacts, CallState
from engine.programs.context import ProgramContext
from engine.programs.fetching import REDIRECTS, Fetched, came_from

__all__ = ("call_object", "fetch_document", "source_of")

log = logging.getLogger("engine.programs.swml")

_TYPES = ("json", "yaml", "text/")
"What the type of a document holds; one that says nothing is taken too."


def call_object(facts: CallFacts, state: CallState, settings: SignalWireConfig) -> dict[str, Any]:
    """Return the scope ``call`` of a document, which requests for documents tell as well."""
    return {
        "call_id": facts.call_id,
        "node_id": NODE_ID,
        "segment_id": facts.call_id,
        "call_state": call_state(facts, state),
        "direction": direction_of(facts),
        "type": "phone",
        "from": facts.caller,
        "to": facts.dialled,
        "headers": [{"name": name, "value": value} for name, value in facts.headers.items()],
        "project_id": settings.project,
        "space_id": settings.space,
    }


def source_of(app: SwmlApp, *, max_document: int) -> Source:
    """Return where an application's documents come from; a file is read now, ``max_document`` octets of it at most.

    A file that cannot be read is an empty document, which the interpreter refuses; the log says which one it was.
    """
    text = app.document
    if app.file:
        try:
            with Path(app.file).open("rb") as file:
                text = file.read(max_document + 1).decode()  # one more than is taken, for the reader to see
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8"
            log.error("a document cannot be read: %s", reason, extra=fields(file=app.file))
            text = ""
    return Source(url=app.url, text=text, fallback_url=app.fallback_url)


async def fetch_document(
    command: FetchDocument, *, call: Mapping[str, Any], context: ProgramContext, allow_insecure: bool
) -> Fetched:
    """Request a document and return the answer, whatever its status; raise ``ProgramError`` when there is none.

    ``call`` is what `call_object` says.
    """
    settings = context.config.signalwire
    members: dict[str, Any] = {"call": call, "vars": command.vars, "params": command.params, "envs": {}}
    if command.meta:
        members["meta"] = command.meta
    try:
        request = WebRequest(
            url=command.url,
            body=json.dumps(members, allow_nan=False).encode(),
            signature=SignatureKind.SIGNALWIRE if settings.signing_key_env else SignatureKind.NONE,
            key_env=settings.signing_key_env,
            allow_insecure=allow_insecure,
        )
        async with asyncio.timeout(settings.document_timeout_s):
            answer = await context.web.fetch(
                request,
                timeout_s=settings.document_timeout_s,
                max_response=settings.max_document_kb * 1024,
                redirects=REDIRECTS,
            )
    except TimeoutError:
        raise ProgramError(f"no answer within {settings.document_timeout_s:g} s") from None
    except (HttpError, ValueError) as error:
        raise ProgramError(str(error)) from None
    response = answer.response
    content_type = response.header("content-type")
    if 200 <= response.status < 300 and not _is_taken(content_type):
        raise ProgramError("the answer is of a type that no document has")
    return Fetched(
        status=response.status,
        content_type=content_type,
        body=response.body,
        url=came_from(command.url, answer.url),
    )


def _is_taken(content_type: str) -> bool:
    kind = content_type.partition(";")[0].strip().lower()
    return not kind or any(part in kind for part in _TYPES)
