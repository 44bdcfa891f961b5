"""The Accounts resource, as far as clients look there: the one account, and that it works."""

from __future__ import annotations

from aiohttp import web

from engine.api.deps import ApiDeps
from engine.api.twilio.answers import ACCOUNT, json_answer, query_form
from engine.api.twilio.lists import Paging, list_body
from engine.dialects.twilio import API_VERSION, rfc2822_date

__all__ = ("add_routes",)

_SUBRESOURCES = (("calls", "Calls"), ("recordings", "Recordings"))


def add_routes(app: web.Application, deps: ApiDeps) -> None:
    """Be an ``engine.api.deps.Resource``."""
    created = rfc2822_date(deps.clock())
    uri = f"/{API_VERSION}/Accounts/{deps.account_sid}"
    account = {
        "sid": deps.account_sid,
        "owner_account_sid": deps.account_sid,
        "friendly_name": "paytone",
        "status": "active",
        "type": "Full",
        "auth_token": None,  # nobody needs to be told what they came in with
        "date_created": created,
        "date_updated": created,
        "uri": f"{uri}.json",
        "subresource_uris": {name: f"{uri}/{path}.json" for name, path in _SUBRESOURCES},
    }

    async def fetch(request: web.Request) -> web.Response:
        return json_answer(account)

    async def accounts(request: web.Request) -> web.Response:
        form = query_form(request)
        is_meant = form.one("FriendlyName", "paytone") == "paytone" and form.one("Status", "active") == "active"
        return json_answer(list_body(request, form, Paging.of(form), "accounts", [account] if is_meant else []))

    app.router.add_get(ACCOUNT + ".json", fetch)
    app.router.add_get(f"/{API_VERSION}/Accounts.json", accounts)
