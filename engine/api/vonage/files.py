"""What calls of an application recorded: the audio below ``/v1/files``, as the event of a ``record`` names it."""

from __future__ import annotations

import asyncio

from aiohttp import web

from engine.api.deps import ApiDeps
from engine.api.vonage.answers import PREFIX, VoiceError
from engine.api.vonage.calls import app_of, legs_of, owner_of
from engine.dialects.ncco.identity import call_id_of

__all__ = ("FILE", "add_routes")

FILE = f"{PREFIX}/files/{{uuid}}"
MIME = "audio/x-wav"


class _Files:
    def __init__(self, deps: ApiDeps) -> None:
        self._deps = deps
        self._legs = legs_of(deps)

    async def audio(self, request: web.Request) -> web.StreamResponse:
        """Return a recording's audio, in parts too (RFC 9110 §14)."""
        name, _ = app_of(request, self._deps)
        recordings, ledger = self._deps.context.recordings, self._deps.ledger
        recording_id = call_id_of(request.match_info["uuid"])
        record = await ledger.recordings.get(recording_id) if recording_id and recordings is not None else None
        if record is None or recordings is None or record.status not in ("completed", "failed"):
            raise _no_such_file()
        leg = self._legs.find(record.call_id)
        if leg is None:
            call = await ledger.calls.find(record.call_id)
            owner = "" if call is None else await owner_of(call, self._deps)
        else:
            owner = leg.app
        path = await asyncio.to_thread(recordings.file_of, record) if owner == name else None
        if path is None:
            raise _no_such_file()
        return web.FileResponse(path, headers={"Content-Type": MIME, "Cache-Control": "private, no-store"})


def _no_such_file() -> VoiceError:
    return VoiceError(404, "There is no such file (any more)")


def add_routes(app: web.Application, deps: ApiDeps) -> None:
    """Add the route of the resource."""
    app.router.add_get(FILE, _Files(deps).audio)
