"""The Recordings resource: lists, properties, audio, and the control of a recording on a live call.

Of an account (``/Recordings``) and of a call (``/Calls/{call}/Recordings``) it is the same resource. Audio is WAV, in
parts too (RFC 9110 §14). Names of files are made of identities alone (``Recordings.file_of``): no path leads out.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode, urlsplit

from aiohttp import web

from engine.api.deps import ApiDeps
from engine.api.errors import ApiError, not_found
from engine.api.twilio.answers import (
    ACCOUNT,
    Form,
    json_answer,
    no_content,
    path_id,
    query_form,
    request_form,
    wrong_value,
)
from engine.dialects.twilio import API_VERSION, call_sid, id_of, recording_sid, rfc2822_date
from engine.ledger import RecordingRecord
from engine.program import CallState
from engine.programs.call_recording import CallRecording, RecordingCallback, RecordingError, error_code
from engine.programs.recorded_audio import Finish
from engine.programs.recordings import Recordings, allows_insecure, recording_url, seconds

__all__ = ("AUDIO", "add_audio_routes", "add_routes", "recording_callback")

CURRENT = "Twilio.CURRENT"
"In place of a SID: the recording that runs on the call."
PAGE_SIZE, MAX_PAGE_SIZE = 50, 1000
MAX_PAGE = 1_000_000
NOT_ELIGIBLE = 21220
"Code for a call or a recording that is not in the state that a request wants."
EVENTS = ("in-progress", "completed", "absent")
TRACKS = {"both": None, "inbound": 0, "outbound": 1}
MIME = "audio/x-wav"
AUDIO = f"{ACCOUNT}/Recordings/{{recording}}.wav"
"Route of a recording's audio, which a project of ``[signalwire]`` may ask for as well as an account."


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """What an answer says of a recording, be it under way or in the ledger."""

    recording_id: str
    call_id: str
    source: str
    channels: int
    status: str
    started_at: datetime
    updated_at: datetime
    duration_ms: int | None
    error: str


def _of_record(record: RecordingRecord) -> _Shown:
    return _Shown(
        recording_id=record.recording_id,
        call_id=record.call_id,
        source=record.source,
        channels=record.channels,
        status=record.status,
        started_at=record.started_at,
        updated_at=record.finished_at or record.started_at,
        duration_ms=record.duration_ms,
        error=record.error,
    )


def _of_live(one: CallRecording) -> _Shown:
    return _Shown(
        recording_id=one.recording_id,
        call_id=one.call_id,
        source=one.source,
        channels=one.channels,
        status=one.status,
        started_at=one.started_at,
        updated_at=one.started_at,
        duration_ms=one.duration_ms,
        error=one.error,
    )


class _Resource:
    def __init__(self, deps: ApiDeps) -> None:
        self._deps = deps
        self._recordings: Recordings | None = deps.context.recordings

    # -- what there is

    async def list_all(self, request: web.Request) -> web.Response:
        return await self._list(request, "")

    async def list_of_call(self, request: web.Request) -> web.Response:
        return await self._list(request, path_id(request, "call", "CA"))

    async def _list(self, request: web.Request, call_id: str) -> web.Response:
        query = query_form(request)
        if (sid := query.one("CallSid")) and not call_id:
            call_id = id_of(sid, "CA") or "none"
        size = number_of(query, "PageSize", PAGE_SIZE, 1, MAX_PAGE_SIZE)
        page = number_of(query, "Page", 0, 0, MAX_PAGE)
        since, until = created_between(query)
        found = await self._deps.ledger.recordings.page(
            call_id=call_id, since=since, until=until, offset=page * size, limit=size + 1
        )
        shown = [self._now(record) for record in found[:size]]
        in_call = "call" in request.match_info
        kept = [pair for pair in query.pairs if pair[0] not in ("Page", "PageSize", "PageToken")]

        def uri(number: int) -> str:
            return f"{request.path}?{urlencode([*kept, ('PageSize', str(size)), ('Page', str(number))])}"

        return json_answer(
            {
                "end": page * size + max(0, len(shown) - 1),
                "first_page_uri": uri(0),
                "next_page_uri": uri(page + 1) if len(found) > size else None,
                "page": page,
                "page_size": size,
                "previous_page_uri": uri(page - 1) if page else None,
                "recordings": [self._body(one, in_call=in_call) for one in shown],
                "start": page * size,
                "uri": uri(page),
            }
        )

    def _now(self, record: RecordingRecord) -> _Shown:
        """Return what is known of a recording this instant: one under way knows more than its record."""
        one = self._recordings.live(record.recording_id) if self._recordings is not None else None
        return _of_record(record) if one is None else _of_live(one)

    async def _find(self, request: web.Request) -> _Shown:
        recording_id = path_id(request, "recording", "RE")
        one = self._recordings.live(recording_id) if self._recordings is not None else None
        if one is not None:
            shown = _of_live(one)
        else:
            record = await self._deps.ledger.recordings.get(recording_id)
            if record is None:
                raise not_found(request.path)
            shown = _of_record(record)
        if "call" in request.match_info and shown.call_id != path_id(request, "call", "CA"):
            raise not_found(request.path)
        return shown

    async def fetch(self, request: web.Request) -> web.Response:
        return json_answer(self._body(await self._find(request), in_call="call" in request.match_info))

    async def audio(self, request: web.Request) -> web.StreamResponse:
        recording_id = path_id(request, "recording", "RE")
        record = await self._deps.ledger.recordings.get(recording_id)
        if record is None or self._recordings is None or record.status not in ("completed", "failed"):
            raise not_found(request.path)
        path = await asyncio.to_thread(self._recordings.file_of, record)
        if path is None:
            raise not_found(request.path)
        return web.FileResponse(path, headers={"Content-Type": MIME, "Cache-Control": "private, no-store"})

    async def delete(self, request: web.Request) -> web.Response:
        shown = await self._find(request)
        if self._recordings is None:
            raise not_found(request.path)
        try:
            await self._recordings.delete(shown.recording_id)
        except RecordingError as error:
            raise ApiError(409, 20409, str(error)) from None
        return no_content()

    # -- a live call

    async def start(self, request: web.Request) -> web.Response:
        call_id = path_id(request, "call", "CA")
        form = await request_form(request)
        call = self._deps.exchange.call(call_id)
        if call is None and not [one async for one in self._deps.ledger.export.calls(call_id=call_id, limit=1)]:
            raise not_found(request.path)
        if call is None or call.state is not CallState.ANSWERED:
            raise ApiError(400, NOT_ELIGIBLE, "The call is not in progress: it cannot be recorded")
        if self._recordings is None:
            raise ApiError(400, NOT_ELIGIBLE, "Nothing is recorded here: [recording] names no directory")
        track = _choice(form, "RecordingTrack", "both", tuple(TRACKS))
        channels = _choice(form, "RecordingChannels", "mono", ("mono", "dual"))
        trim = _choice(form, "Trim", "do-not-trim", ("do-not-trim", "trim-silence")) == "trim-silence"
        callback = recording_callback(form, self._deps)
        channel = TRACKS[track]
        finish = Finish(trim=trim, channel=channel) if trim or channel is not None else None
        try:
            one = self._recordings.start(
                call,
                source="StartCallRecordingAPI",
                # One side of a mix cannot be had: both are recorded, and one is kept.
                channels="stereo" if channels == "dual" or channel is not None else "mono",
                callback=callback,
                finish=lambda: finish,
                channels_kept=None if channel is None else 1,
            )
        except RecordingError as error:
            raise ApiError(400, NOT_ELIGIBLE, str(error)) from None
        return json_answer(self._body(_of_live(one), in_call=True), 201)

    async def update(self, request: web.Request) -> web.Response:
        call_id = path_id(request, "call", "CA")
        form = await request_form(request)
        status = form.one("Status")
        if status not in ("paused", "in-progress", "stopped"):
            raise wrong_value("Status", "one of paused, in-progress, stopped")
        _choice(form, "PauseBehavior", "silence", ("silence", "skip"))
        one = await self._running(request, call_id)
        if status == "paused":
            one.pause()
        elif status == "in-progress":
            one.resume()
        else:
            one.stop()
        return json_answer(self._body(_of_live(one), in_call=True) | {"status": status})

    async def _running(self, request: web.Request, call_id: str) -> CallRecording:
        one: CallRecording | None = None
        if request.match_info["recording"] == CURRENT:
            one = self._recordings.of_call(call_id) if self._recordings is not None else None
            if one is None:
                raise not_found(request.path)
            return one
        shown = await self._find(request)
        if self._recordings is not None:
            one = self._recordings.live(shown.recording_id)
        if one is None or not one.is_running:
            raise ApiError(400, NOT_ELIGIBLE, "The recording is over")
        return one

    # -- what an answer looks like

    def _body(self, shown: _Shown, *, in_call: bool) -> dict[str, object]:
        sid, account = recording_sid(shown.recording_id), self._deps.account_sid
        base = f"/{API_VERSION}/Accounts/{account}"
        of_call = f"/Calls/{call_sid(shown.call_id)}" if in_call else ""
        body: dict[str, object] = {
            "account_sid": account,
            "api_version": API_VERSION,
            "call_sid": call_sid(shown.call_id),
            "conference_sid": None,
            "date_created": rfc2822_date(shown.started_at),
            "date_updated": rfc2822_date(shown.updated_at),
            "start_time": rfc2822_date(shown.started_at),
            "duration": None if shown.duration_ms is None else str(seconds(shown.duration_ms)),
            "sid": sid,
            "price": None,
            "price_unit": None,
            "status": shown.status,
            "channels": shown.channels,
            "source": shown.source,
            "error_code": error_code(shown.status, shown.error) or None,
            "uri": f"{base}{of_call}/Recordings/{sid}.json",
            "encryption_details": None,
        }
        if in_call:
            return body | {"track": "both"}
        return body | {
            "subresource_uris": {
                "add_on_results": f"{base}/Recordings/{sid}/AddOnResults.json",
                "transcriptions": f"{base}/Recordings/{sid}/Transcriptions.json",
            },
            "media_url": recording_url(self._deps.config, shown.recording_id),
        }


def recording_callback(form: Form, deps: ApiDeps) -> RecordingCallback | None:
    """Return where ``RecordingStatusCallback`` and its companions want a recording to be told; None: nowhere.

    Raise ``ApiError`` (400) for what cannot be meant.
    """
    url = form.one("RecordingStatusCallback")
    if not url:
        return None
    try:
        parts = urlsplit(url)
        is_url = parts.scheme in ("https", "http") and bool(parts.hostname)
    except ValueError:
        is_url = False
    if not is_url:
        raise wrong_value("RecordingStatusCallback", "an absolute URL with https", 21609)
    if parts.scheme == "http" and not allows_insecure(deps.config):
        raise wrong_value("RecordingStatusCallback", "https, unless [twilio] allow_insecure_callbacks is set", 21609)
    method = _choice(form, "RecordingStatusCallbackMethod", "POST", ("GET", "POST"))
    # Clients send the key repeatedly, documents one text with spaces.
    events = tuple(word for value in form.all("RecordingStatusCallbackEvent") for word in value.split())
    if any(event not in EVENTS for event in events):
        raise wrong_value("RecordingStatusCallbackEvent", f"some of {', '.join(EVENTS)}")
    return RecordingCallback(url=url, method=method, events=events or ("completed",))


def _choice(form: Form, name: str, default: str, values: tuple[str, ...]) -> str:
    value = form.one(name) or default
    if value not in values:
        raise wrong_value(name, f"one of {', '.join(values)}")
    return value


def number_of(query: Form, name: str, default: int, least: int, most: int) -> int:
    text = query.one(name)
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise wrong_value(name, f"a number of {least} to {most}")
    return min(max(int(text), least), most)


def created_between(query: Form) -> tuple[datetime | None, datetime | None]:
    """Return from when on, and before when, recordings of a list began (``DateCreated``, with ``<`` and ``>``)."""
    since = until = None
    if text := query.one("DateCreated"):
        since, length = _time(text, "DateCreated")
        until = since + length
    if text := query.one("DateCreated>"):
        since, _ = _time(text, "DateCreated>")
    if text := query.one("DateCreated<"):
        until, _ = _time(text, "DateCreated<")
    return since, until


def _time(text: str, name: str) -> tuple[datetime, timedelta]:
    """Read a day, or a second of one; return also how long it lasts."""
    try:
        time = datetime.fromisoformat(text)
        time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
        length = timedelta(days=1) if len(text) <= len("2024-01-31") else timedelta(seconds=1)
        time + length  # the last day there is has no next one
    except (ValueError, OverflowError):
        raise wrong_value(name, "a day such as 2024-01-31, or 2024-01-31T12:00:00Z") from None
    return time, length


def add_routes(app: web.Application, deps: ApiDeps) -> None:
    """Add the routes of the resource."""
    resource = _Resource(deps)
    all_, call = f"{ACCOUNT}/Recordings", f"{ACCOUNT}/Calls/{{call}}/Recordings"
    app.add_routes(
        [
            web.get(f"{all_}.json", resource.list_all),
            web.get(f"{call}.json", resource.list_of_call),
            web.post(f"{call}.json", resource.start),
            web.get(f"{all_}/{{recording}}.json", resource.fetch),
            web.delete(f"{all_}/{{recording}}.json", resource.delete),
            web.get(f"{call}/{{recording}}.json", resource.fetch),
            web.post(f"{call}/{{recording}}.json", resource.update),
            web.delete(f"{call}/{{recording}}.json", resource.delete),
            # Behind those with an ending of their own: a path variable takes any.
            web.get(AUDIO, resource.audio),
            web.get(f"{all_}/{{recording}}", resource.audio),
            web.delete(f"{all_}/{{recording}}", resource.delete),
        ]
    )


def add_audio_routes(app: web.Application, deps: ApiDeps) -> None:
    """Add the route of the audio alone: what SWML and RELAY tell of a recording is its URL."""
    app.add_routes([web.get(AUDIO, _Resource(deps).audio)])
