"""The Payments resource over HTTP: ``POST .../Calls/{call}/Payments.json`` and ``.../Payments/{payment}.json``.

What it does is `engine.programs.capture`'s; here are its routes, and the errors as `ApiError`. ``add_routes`` wants the
sessions bound: ``partial(add_routes, sessions=CaptureSessions(context, connectors))``.
"""

from __future__ import annotations

from aiohttp import web

from engine.api.deps import ApiDeps
from engine.api.errors import ApiError
from engine.api.twilio.answers import ACCOUNT, json_answer, path_id, request_form
from engine.dialects.payments import RequestRefused, call_is_over
from engine.programs.capture import CaptureSessions

__all__ = ("add_routes",)

CALL = f"{ACCOUNT}/Calls/{{call}}"
CREATED, ACCEPTED, NOT_FOUND = 201, 202, 404


def add_routes(app: web.Application, deps: ApiDeps, *, sessions: CaptureSessions) -> None:
    """Add the routes of the Payments resource."""
    payments = _Payments(deps, sessions)
    app.router.add_post(f"{CALL}/Payments.json", payments.create)
    app.router.add_post(f"{CALL}/Payments/{{payment}}.json", payments.update)


class _Payments:
    def __init__(self, deps: ApiDeps, sessions: CaptureSessions) -> None:
        self._deps = deps
        self._sessions = sessions

    async def create(self, request: web.Request) -> web.Response:
        """Open a session on a live call: 201."""
        call_id = path_id(request, "call", "CA")
        form = await request_form(request)
        try:
            return json_answer(self._sessions.create(call_id, form.pairs), CREATED)
        except RequestRefused as refused:
            raise await self._error(refused, call_id) from None

    async def update(self, request: web.Request) -> web.Response:
        """Have a field captured, or the session completed or canceled: 202."""
        call_id, payment_id = path_id(request, "call", "CA"), path_id(request, "payment", "PK")
        form = await request_form(request)
        try:
            return json_answer(self._sessions.update(call_id, payment_id, form.pairs), ACCEPTED)
        except RequestRefused as refused:
            raise await self._error(refused, call_id) from None

    async def _error(self, refused: RequestRefused, call_id: str) -> ApiError:
        is_gone = refused.status == NOT_FOUND and self._deps.exchange.call(call_id) is None
        # The engine forgets a call that is over; its record tells that there was one.
        if is_gone and await self._deps.ledger.calls.find(call_id) is not None:
            refused = call_is_over()
        return ApiError(refused.status, refused.code, refused.message)
