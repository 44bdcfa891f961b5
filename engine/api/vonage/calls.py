"""The calls of an application (`dialects.md` §6.3): placed, told of, listed.

An application sees its own calls alone: those whose program was its, and the calls out that their NCCOs made; of any
other there is nothing (404). A call that is up is told of as ``NccoLegs`` has it, one that is over from its record.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from engine.api.deps import ApiDeps
from engine.api.realm import USER
from engine.api.vonage.answers import (
    CALL,
    CALLS,
    VoiceError,
    json_answer,
    query_of,
    request_object,
    wrong,
)
from engine.api.vonage.orders import CallOrder, call_order
from engine.config import NccoApp
from engine.dialects.ncco.events import unanswered_status
from engine.dialects.ncco.identity import call_id_of, call_uuid, conversation_uuid, number_of, timestamp
from engine.errors import BusyError, CallError, ConfigError
from engine.events import CallOutcome
from engine.ledger import CallFilter, CallRecord
from engine.log import fields
from engine.net.dialling import OutboundCall
from engine.program import CallControl, Program
from engine.programs.ncco.legs import Leg, NccoLegs
from engine.programs.ncco.program import NccoProgram

__all__ = ("Calls", "app_of", "legs_of", "no_such_call", "owner_of")

log = logging.getLogger("engine.api.vonage")

LIVE = ("started", "ringing", "answered")
ENDED = ("busy", "cancelled", "unanswered", "rejected", "failed", "timeout")
"Of calls out that nobody answered."
STATUSES = (*LIVE, "completed", "disconnected", "machine", "human", *ENDED)
PAGE_SIZE = MAX_PAGE_SIZE = 100
MAX_INDEX = 100_000
_CAUSES = tuple(str(outcome) for outcome in CallOutcome)
_QUERY = ("status", "date_start", "date_end", "page_size", "record_index", "order", "conversation_uuid")

MakeProgram = Callable[[CallControl, CallOrder, str, ApiDeps], Program]


def _ncco_program(call: CallControl, order: CallOrder, app: str, deps: ApiDeps) -> Program:
    return NccoProgram(
        call,
        order.source,
        deps.context,
        app=app,
        event=order.event,
        length_s=order.length_s,
        dtmf_answer=order.to.dtmf_answer,
    )


def legs_of(deps: ApiDeps) -> NccoLegs:
    """Return the calls that are up: there are such where an application has a key."""
    assert deps.context.ncco is not None
    return deps.context.ncco


def app_of(request: web.Request, deps: ApiDeps) -> tuple[str, NccoApp]:
    """Return which application asks."""
    name = request[USER]
    app = deps.config.apps[name]
    assert isinstance(app, NccoApp)
    return name, app


async def owner_of(record: CallRecord, deps: ApiDeps) -> str:
    """Return which application a call was of; a call out that an NCCO made is its maker's. Raise ``LedgerError``."""
    if isinstance(deps.config.apps.get(record.label), NccoApp) or not record.parent_id:
        return record.label
    parent = await deps.ledger.calls.find(record.parent_id)
    return record.label if parent is None else parent.label


def no_such_call() -> VoiceError:
    """Return the error for a call that there is not (any more), or that is another application's."""
    return VoiceError(404, "There is no such call, or it is over")


class Calls:
    """The resource. ``live_ids`` are the calls of the engine that are not over, whosever they are."""

    def __init__(self, live_ids: Callable[[], Iterable[str]], *, make_program: MakeProgram = _ncco_program) -> None:
        self._live_ids = live_ids
        self._make_program = make_program

    def add_routes(self, app: web.Application, deps: ApiDeps) -> None:
        """Be an ``engine.api.deps.Resource``."""
        handlers = _Handlers(deps, self._live_ids, self._make_program)
        app.router.add_post(CALLS, handlers.create)
        app.router.add_get(CALLS, handlers.list)
        app.router.add_get(CALL, handlers.fetch)


class _Handlers:
    def __init__(self, deps: ApiDeps, live_ids: Callable[[], Iterable[str]], make_program: MakeProgram) -> None:
        self._deps = deps
        self._legs = legs_of(deps)
        self._live_ids = live_ids
        self._make_program = make_program

    async def create(self, request: web.Request) -> web.Response:
        """Place a call; 201 as soon as it is under way."""
        name, app = app_of(request, self._deps)
        order = call_order(await request_object(request), app, self._deps.config)
        wanted = OutboundCall(to=order.to.to, caller=order.caller, ring_s=order.ring_s, headers=order.headers)
        try:
            call = self._deps.exchange.place(wanted, lambda call: self._make_program(call, order, name, self._deps))
        except BusyError as error:
            raise VoiceError(503, str(error), headers={"Retry-After": "5"}) from None
        except CallError as error:
            raise wrong("to", f"Cannot be called: {error}") from None
        except ConfigError as error:
            log.error("a call cannot be placed: %s", error, extra=fields(remedy=error.remedy))
            raise VoiceError(500, "The engine is not configured for this call; its log says what is wrong") from None
        call_id = call.facts.call_id
        log.info("a call is placed by request", extra=fields(call=call_id, program=name))
        leg = self._legs.find(call_id)
        body = {
            "uuid": call_uuid(call_id),
            "status": "started",
            "direction": "outbound",
            "conversation_uuid": conversation_uuid(call_id) if leg is None else leg.conversation_uuid,
        }
        return json_answer(body, 201)

    async def fetch(self, request: web.Request) -> web.Response:
        """Tell of one call."""
        name, _ = app_of(request, self._deps)
        call_id = call_id_of(request.match_info["uuid"])
        leg = self._legs.find(call_id) if call_id else None
        if leg is not None and leg.app == name:
            return json_answer(_of_leg(leg))
        record = await self._deps.ledger.calls.find(call_id) if call_id and leg is None else None
        if record is None or await owner_of(record, self._deps) != name:
            raise VoiceError(404, "There is no such call")
        return json_answer(self._of_record(record, name))

    async def list(self, request: web.Request) -> web.Response:
        """Tell of calls, the oldest first unless ``order`` says otherwise."""
        name, _ = app_of(request, self._deps)
        query = query_of(request)
        size = _number(query, "page_size", PAGE_SIZE, 1, MAX_PAGE_SIZE)
        index = _number(query, "record_index", 0, 0, MAX_INDEX)
        order = query.get("order") or "asc"
        if order not in ("asc", "desc"):
            raise wrong("order", "Must be asc or desc.")
        wanted = self._filter(query, name)
        calls = self._deps.ledger.calls
        if wanted is None:
            n, found = 0, []
        else:
            n = await calls.count(wanted)
            found = await calls.page(wanted, size, offset=index, newest_first=order == "desc") if index < n else []
        kept = [(key, query[key]) for key in _QUERY if query.get(key) and key not in ("page_size", "record_index")]

        def link(at: int) -> dict[str, str]:
            return {"href": f"{CALLS}?{urlencode([*kept, ('page_size', str(size)), ('record_index', str(at))])}"}

        links = {"self": link(index), "first": link(0), "last": link(max(0, (n - 1) // size * size))}
        if index > 0:
            links["prev"] = link(max(0, index - size))
        if index + size < n:
            links["next"] = link(index + size)
        return json_answer(
            {
                "count": n,
                "page_size": size,
                "record_index": index,
                "_embedded": {"calls": [self._of_record(record, name) for record in found]},
                "_links": links,
            }
        )

    # -- inside ----------------------------------------------------------------------------------------------------

    def _filter(self, query: dict[str, str], name: str) -> CallFilter | None:
        """Return which calls are wanted; None when it can be none."""
        status = query.get("status", "")
        if status and status not in STATUSES:
            raise wrong("status", f"Must be one of {', '.join(STATUSES)}.")
        conversation = query.get("conversation_uuid", "")
        conversation_ids: tuple[str, ...] | None = None
        parent_ids: tuple[str, ...] = ()
        if conversation:
            root = call_id_of(conversation[4:]) if conversation[:4].upper() == "CON-" else ""
            parent_ids = (root,) if root else ()
            # Who met under a name is known while they are up; a call's own conversation is known for ever.
            conversation_ids = tuple(
                leg.facts.call_id for leg in self._own(name) if leg.conversation_uuid == conversation
            )
        more: dict[str, Any] = {}
        if status in LIVE:
            more = {
                "live_ids": [leg.facts.call_id for leg in self._own(name) if leg.status == status],
                "open_elsewhere": {"answered": True, "ringing": False}.get(status),
            }
        elif status:
            more = _ended_as(status)
            if not more:
                return None
        return CallFilter(
            label=name,
            started=(_time(query, "date_start"), _time(query, "date_end")),
            together=None if conversation_ids is None else (*conversation_ids, *parent_ids),
            **more,
        )

    def _own(self, name: str) -> Iterable[Leg]:
        for call_id in self._live_ids():
            leg = self._legs.find(call_id)
            if leg is not None and leg.app == name:
                yield leg

    def _of_record(self, record: CallRecord, name: str) -> dict[str, object]:
        leg = self._legs.find(record.call_id) if record.ended_at is None else None
        if leg is not None and leg.app == name:  # not handed on to another one's
            return _of_leg(leg)
        return _body(
            record.call_id,
            caller=record.caller,
            dialled=record.dialled,
            is_in=record.direction == "in",
            conversation=conversation_uuid(record.parent_id or record.call_id),
            status=_status(record),
            answered_at=record.answered_at,
            ended_at=record.ended_at,
        )


def _status(record: CallRecord) -> str:
    answered = record.answered_at is not None
    if record.ended_at is None and not record.is_ours:
        return "answered" if answered else "ringing"
    if answered or record.direction == "in":
        return "completed"
    if record.ended_at is None:  # its end was never written: a crash came between
        return "failed"
    return _unanswered(record.cause)


def _unanswered(cause: str) -> str:
    """Return how a call out ended that nobody answered, from the cause in its record."""
    try:
        return unanswered_status(CallOutcome(cause))
    except ValueError:
        return "failed"


def _ended_as(status: str) -> dict[str, Any]:
    """Return the fields of a `CallFilter` for calls that ended so; nothing where none does."""
    if status == "completed":
        return {"completed": True}
    causes = [cause for cause in _CAUSES if _unanswered(cause) == status]
    if status == "failed":
        return {"completed": False, "other_causes": [cause for cause in _CAUSES if cause not in causes]}
    return {"completed": False, "causes": causes} if causes else {}


def _of_leg(leg: Leg) -> dict[str, object]:
    facts = leg.facts
    return _body(
        facts.call_id,
        caller=facts.caller,
        dialled=facts.dialled,
        is_in=facts.direction == "in",
        conversation=leg.conversation_uuid,
        status=leg.status,
        answered_at=leg.answered_at,
        ended_at=leg.ended_at,
    )


def _body(
    call_id: str,
    *,
    caller: str,
    dialled: str,
    is_in: bool,
    conversation: str,
    status: str,
    answered_at: datetime | None,
    ended_at: datetime | None,
) -> dict[str, object]:
    uuid = call_uuid(call_id)
    body: dict[str, object] = {
        "uuid": uuid,
        "conversation_uuid": conversation,
        "status": status,
        "direction": "inbound" if is_in else "outbound",
        "to": {"type": "phone", "number": number_of(dialled)},
        "from": {"type": "phone", "number": number_of(caller)},
        "start_time": None if answered_at is None else timestamp(answered_at),
        "network": "",
        "_links": {"self": {"href": f"{CALLS}/{uuid}"}},
    }
    if status == "completed":
        lasted_s = 0.0 if answered_at is None or ended_at is None else (ended_at - answered_at).total_seconds()
        body["end_time"] = None if ended_at is None else timestamp(ended_at)
        body["duration"] = str(round(max(0.0, lasted_s)))
        body["rate"] = body["price"] = "0.00"
    return body


def _number(query: dict[str, str], name: str, default: int, low: int, high: int) -> int:
    text = query.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 9) or not low <= int(text) <= high:
        raise wrong(name, f"Must be a whole number of {low} to {high}.")
    return int(text)


def _time(query: dict[str, str], name: str) -> datetime | None:
    text = query.get(name, "")
    if not text:
        return None
    try:
        # A "+" that was not escaped has become a blank; a blank between day and time is none that is missing.
        time = datetime.fromisoformat(text if " " not in text[19:] else text[:19] + text[19:].replace(" ", "+"))
        time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
        if not 1971 <= time.year <= 9000:
            raise ValueError
    except (ValueError, OverflowError):
        raise wrong(name, "Must be a time such as 2026-01-31T12:00:00Z.") from None
    return time
