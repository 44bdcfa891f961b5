"""The Calls resource (`dialects.md` §5.5): calls out, what becomes of calls, another document for a live one.

``start_time`` is when a call came in or was placed, ``duration`` counts whole seconds from its answer. A call that is
up is told of from what the engine sees of it (`LiveCalls`), one that is over from its record.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Protocol, runtime_checkable

from aiohttp import web

from engine.api.deps import ApiDeps
from engine.api.errors import ApiError, not_found
from engine.api.twilio.answers import ACCOUNT, Form, json_answer, no_content, path_id, query_form, request_form
from engine.api.twilio.call_orders import CallOrder, RecordOrder, call_change, call_order, shown
from engine.api.twilio.lists import Paging, Token, list_body, time_range
from engine.api.twilio.live import LiveCalls
from engine.dialects.twilio import API_VERSION, call_sid, final_status, id_of, rfc2822_date
from engine.dialects.twiml.commands import Source
from engine.errors import BusyError, CallError, ConfigError, ProgramError
from engine.events import CallOutcome
from engine.ledger import CallFilter, CallRecord, Mark
from engine.log import fields
from engine.net.dialling import OutboundCall
from engine.program import CallControl, CallState, Program
from engine.programs.twiml import TwimlProgram

__all__ = ("Calls", "MakeProgram", "RecordCall")

log = logging.getLogger("engine.api.calls")

MakeProgram = Callable[[CallControl, CallOrder, ApiDeps], Program]
RecordCall = Callable[[CallControl, RecordOrder], None]
"Begins the recording that was ordered with a call; what it cannot do it logs."

LIVE = ("queued", "ringing", "in-progress")
STATUSES = (*LIVE, "completed", "busy", "failed", "no-answer", "canceled")
_CAUSES = (*CallOutcome, "rejected")
"Causes in records of calls that nobody answered, besides those that mean ``canceled``."
_SUBRESOURCES = (
    ("notifications", "Notifications"),
    ("recordings", "Recordings"),
    ("payments", "Payments"),
    ("events", "Events"),
    ("siprec", "Siprec"),
    ("streams", "Streams"),
    ("transcriptions", "Transcriptions"),
    ("user_defined_messages", "UserDefinedMessages"),
    ("user_defined_message_subscriptions", "UserDefinedMessageSubscriptions"),
)


@runtime_checkable
class _Redirectable(Protocol):
    """A program that REST requests can change: ``TwimlProgram``."""

    def redirect(self, source: Source) -> None: ...

    def limit(self, seconds: float) -> None: ...


def _twiml_program(call: CallControl, order: CallOrder, deps: ApiDeps) -> Program:
    return TwimlProgram(
        call,
        order.source,
        deps.context,
        label=order.label,
        status=order.status,
        send_digits=order.send_digits,
        time_limit_s=order.time_limit_s,
    )


class Calls:
    """The resource. ``record`` is None where the engine records nothing."""

    def __init__(
        self, live: LiveCalls, *, make_program: MakeProgram = _twiml_program, record: RecordCall | None = None
    ) -> None:
        self._live = live
        self._make_program = make_program
        self._record = record

    def add_routes(self, app: web.Application, deps: ApiDeps) -> None:
        """Be an ``engine.api.deps.Resource``."""
        handlers = _Handlers(deps, self._live, self._make_program, self._record)
        calls, call = ACCOUNT + "/Calls.json", ACCOUNT + "/Calls/{call}.json"
        app.router.add_post(calls, handlers.create)
        app.router.add_get(calls, handlers.list)
        app.router.add_post(call, handlers.update)
        app.router.add_get(call, handlers.fetch)
        app.router.add_delete(call, handlers.delete)
        for key, name in (("events", "Events"), ("notifications", "Notifications")):
            app.router.add_get(f"{ACCOUNT}/Calls/{{call}}/{name}.json", handlers.empty_list(key))


class _Handlers:
    def __init__(self, deps: ApiDeps, live: LiveCalls, make_program: MakeProgram, record: RecordCall | None) -> None:
        self._deps = deps
        self._live = live
        self._make_program = make_program
        self._record = record

    # -- requests ------------------------------------------------------------------------------------------------

    async def create(self, request: web.Request) -> web.Response:
        """Place a call; 201 as soon as it is under way."""
        order = call_order(await request_form(request), self._deps.config)
        wanted = OutboundCall(to=order.to, caller=order.caller, ring_s=order.ring_s, headers=order.headers)
        try:
            call = self._deps.exchange.place(wanted, lambda call: self._make_program(call, order, self._deps))
        except BusyError as error:
            raise ApiError(503, 20503, str(error), headers={"Retry-After": "5"}) from None
        except CallError as error:
            raise ApiError(400, 21214, f"'To' cannot be called: {error}") from None
        except ConfigError as error:
            log.error("a call cannot be placed: %s", error, extra=fields(remedy=error.remedy))
            raise ApiError(
                500, 20500, "The engine is not configured for this call; its log says what is wrong"
            ) from None
        call_id = call.facts.call_id
        log.info("a call is placed by request", extra=fields(call=call_id, program=order.label))
        if order.not_done:
            log.warning("parameters of a call are passed over", extra=fields(call=call_id, names=order.not_done))
        if order.record is not None:
            self._record_when_answered(call_id, order.record)
        return json_answer(self._live_body(call), 201)

    async def fetch(self, request: web.Request) -> web.Response:
        """Tell of one call."""
        call_id = path_id(request, "call", "CA")
        if (call := self._deps.exchange.call(call_id)) is not None:
            return json_answer(self._live_body(call))
        return json_answer(self._record_body(await self._find(call_id, request)))

    async def list(self, request: web.Request) -> web.Response:
        """Tell of calls, the newest first."""
        form = query_form(request)
        paging = Paging.of(form)
        wanted = self._filter(form)
        if wanted is None:  # nothing can be meant
            return json_answer(list_body(request, form, paging, "calls", []))
        token = paging.token
        mark = None if token is None else Mark(token.at, token.identity)
        forward = token is None or token.after
        found = await self._deps.ledger.calls.page(
            wanted,
            paging.size + 1,
            behind=mark if forward else None,
            before=None if forward else mark,
            offset=paging.offset,
        )
        has_more = len(found) > paging.size
        page = (found[: paging.size] if forward else found[-paging.size :]) if has_more else found
        body = list_body(
            request,
            form,
            paging,
            "calls",
            [self._record_body(record) for record in page],
            previous=Token(False, page[0].started_at, page[0].call_id) if page else None,
            following=Token(True, page[-1].started_at, page[-1].call_id)
            if page and (has_more or not forward)
            else None,
        )
        return json_answer(body)

    async def update(self, request: web.Request) -> web.Response:
        """End a call, or give it another document."""
        call_id = path_id(request, "call", "CA")
        change = call_change(await request_form(request), self._deps.config)
        call = self._deps.exchange.call(call_id)
        if call is None:
            await self._find(call_id, request)
        if call is None or call.state is CallState.ENDED:
            raise _not_in_progress("it is over")
        is_up = call.state is CallState.ANSWERED
        if change.source is not None and not change.status and not is_up:
            raise _not_in_progress("it is not answered yet")
        program = call.program
        if change.plan is not None:
            self._deps.context.status.watch(call.facts, change.plan)
        if change.time_limit_s is not None and isinstance(program, _Redirectable):
            program.limit(change.time_limit_s)
        if change.status == "completed" or (change.status == "canceled" and not is_up):
            log.info("a call is ended by request", extra=fields(call=call_id))
            call.hang_up("ended by request")
        elif change.source is not None and not change.status:
            if not isinstance(program, _Redirectable):
                raise _not_in_progress("what runs on it takes no documents")
            try:
                program.redirect(change.source)
            except ProgramError as error:
                raise _not_in_progress(str(error)) from None
            log.info("a call is given another document by request", extra=fields(call=call_id))
        return json_answer(self._live_body(call))

    async def delete(self, request: web.Request) -> web.Response:
        """Delete the record of a call that is over."""
        call_id = path_id(request, "call", "CA")
        if self._deps.exchange.call(call_id) is not None:
            raise ApiError(409, 20009, "The call is not over: its record can be deleted when it is")
        record = await self._find(call_id, request)
        if record.ended_at is None and not record.is_ours:
            raise ApiError(409, 20009, "The call is not over: its record can be deleted when it is")
        if not await self._deps.ledger.calls.remove(call_id):
            raise not_found(request.path)
        log.info("a call's record is deleted by request", extra=fields(call=call_id))
        return no_content()

    def empty_list(self, key: str) -> Callable[[web.Request], Awaitable[web.Response]]:
        """Return the handler of a list of a call's that never has an entry here."""

        async def handler(request: web.Request) -> web.Response:
            call_id = path_id(request, "call", "CA")
            if self._deps.exchange.call(call_id) is None:
                await self._find(call_id, request)
            form = query_form(request)
            return json_answer(list_body(request, form, Paging.of(form), key, []))

        return handler

    # -- inside --------------------------------------------------------------------------------------------------

    async def _find(self, call_id: str, request: web.Request) -> CallRecord:
        record = await self._deps.ledger.calls.find(call_id)
        if record is None:
            raise not_found(request.path)
        return record

    def _record_when_answered(self, call_id: str, order: RecordOrder) -> None:
        record = self._record
        if record is None:
            log.warning(
                "a call is not recorded: set [recording] directory, or do not ask for it", extra=fields(call=call_id)
            )
            return

        def begin() -> None:
            if (call := self._deps.exchange.call(call_id)) is not None:
                record(call, order)

        self._live.when_answered(call_id, begin)

    def _filter(self, form: Form) -> CallFilter | None:
        """Return what a query wants listed; None when it can be none."""
        parent = form.one("ParentCallSid")
        parent_id = id_of(parent, "CA")
        status = form.one("Status")
        if (parent and not parent_id) or (status and status not in STATUSES):
            return None
        live: Mapping[str, object] = {}
        if status in LIVE:
            live = {
                "live_ids": self._live.ids(status),
                "open_elsewhere": {"in-progress": True, "ringing": False, "queued": None}[status],
            }
        elif status:
            live = _ended_as(status)
        return CallFilter(
            caller=shown(form.one("From")),
            dialled=shown(form.one("To")),
            parent_id=parent_id,
            started=time_range(form, "StartTime"),
            ended=time_range(form, "EndTime"),
            **live,  # type: ignore[arg-type]
        )

    def _live_body(self, call: CallControl) -> dict[str, object]:
        facts = call.facts
        known = self._live.get(facts.call_id)
        return _body(
            self._deps.account_sid,
            call_id=facts.call_id,
            caller=facts.caller,
            dialled=facts.dialled,
            direction=facts.direction,
            parent_id=facts.parent_id,
            status=self._live.status_of(call),
            started_at=None if known is None else known.started_at,
            answered_at=None if known is None else known.answered_at,
            caller_name=facts.caller_name,
            forwarded_from=facts.forwarded_from,
        )

    def _record_body(self, record: CallRecord) -> dict[str, object]:
        return _body(
            self._deps.account_sid,
            call_id=record.call_id,
            caller=record.caller,
            dialled=record.dialled,
            direction=record.direction,
            parent_id=record.parent_id,
            status=self._status(record),
            started_at=record.started_at,
            answered_at=record.answered_at,
            ended_at=record.ended_at,
        )

    def _status(self, record: CallRecord) -> str:
        answered = record.answered_at is not None
        if record.ended_at is not None:
            return final_status(record.cause, answered=answered)
        if status := self._live.status(record.call_id):
            return status
        if record.is_ours:  # its end was never written: a crash came between
            return "completed" if answered else "failed"
        return "in-progress" if answered else "ringing"


def _ended_as(status: str) -> dict[str, object]:
    """Return the fields of a `CallFilter` for calls that ended so."""
    if status == "completed":
        return {"answered": True}
    if status == "canceled":
        return {
            "answered": False,
            "other_causes": [str(cause) for cause in _CAUSES if final_status(cause, answered=False) != status],
        }
    return {
        "answered": False,
        "causes": [str(cause) for cause in _CAUSES if final_status(cause, answered=False) == status],
    }


def _not_in_progress(why: str) -> ApiError:
    return ApiError(400, 21220, f"Call is not in-progress. Cannot redirect: {why}")


def _body(
    account_sid: str,
    *,
    call_id: str,
    caller: str,
    dialled: str,
    direction: str,
    parent_id: str,
    status: str,
    started_at: datetime | None,
    answered_at: datetime | None,
    ended_at: datetime | None = None,
    caller_name: str = "",
    forwarded_from: str = "",
) -> dict[str, object]:
    sid = call_sid(call_id)
    uri = f"/{API_VERSION}/Accounts/{account_sid}/Calls/{sid}"
    duration = None
    if ended_at is not None and answered_at is not None:
        duration = str(max(0, int((ended_at - answered_at).total_seconds())))
    return {
        "sid": sid,
        "account_sid": account_sid,
        "parent_call_sid": call_sid(parent_id) or None,
        "to": dialled,
        "to_formatted": dialled,
        "from": caller,
        "from_formatted": caller,
        "phone_number_sid": None,
        "status": status,
        "start_time": rfc2822_date(None if status == "queued" else started_at),
        "end_time": rfc2822_date(ended_at),
        "duration": duration,
        "price": None,
        "price_unit": "USD",
        "direction": "inbound" if direction == "in" else "outbound-dial" if parent_id else "outbound-api",
        "answered_by": None,
        "api_version": API_VERSION,
        "forwarded_from": forwarded_from or None,
        "group_sid": None,
        "caller_name": caller_name or None,
        "queue_time": "0",
        "trunk_sid": None,
        "date_created": rfc2822_date(started_at),
        "date_updated": rfc2822_date(ended_at or answered_at or started_at),
        "uri": f"{uri}.json",
        "subresource_uris": {name: f"{uri}/{path}.json" for name, path in _SUBRESOURCES},
    }
