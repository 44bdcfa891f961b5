"""Fuzz requests to the Calls resource: any octets are a path, a query, a body and a header; none is a fault of ours.

Runs by ``tests/fuzz/drive.py`` or under atheris; ``one_input(data)`` is one case, and the property tests call it too.
What must hold: whatever cannot be meant is an ``ApiError`` of 4xx whose text repeats nothing of the request; a call
that is ordered can be dialled, without a line break or a header of others' making; tokens of pages come back as
they went.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import cast
from urllib.parse import urlencode

if __name__ == "__main__":  # run as a file, the repository is not on the path
    sys.path.insert(0, str(Path(__file__).parents[2]))

from aiohttp import web

from engine.api.auth import Authenticator, basic_credentials
from engine.api.errors import ApiError
from engine.api.proxy import is_vendor, tunnel_target
from engine.api.twilio.answers import Form, read_form
from engine.api.twilio.call_orders import call_change, call_order, shown
from engine.api.twilio.lists import MAX_PAGE_SIZE, Paging, Token, list_body, time_range
from engine.config import Config, parse
from engine.errors import CallError
from engine.net.dialling import OutboundCall, plan_call

__all__ = ("SEEDS", "one_input")

ACCOUNT = "AC" + "a" * 32
CONFIG: Config = parse(f"""
[twilio]
account_sid = "{ACCOUNT}"
auth_token_env = "TOKEN"
client_uri = "sip:{{name}}@clients.example.com"
[connector.sandbox]
type = "sandbox"
[outbound]
gateway = "sip:gw.example.com"
""")
GOOD = {"To": "+15550100777", "From": "+15550100001", "Url": "https://app.example.com/voice"}
SEEDS = (
    urlencode(GOOD).encode(),
    urlencode(GOOD | {"To": "sip:a@b:5070;transport=tcp?X-A=1&X-B=%32", "Timeout": "20"}).encode(),
    urlencode({"To": "client:ann", "CallerId": "sip:x@y", "Twiml": "<Response/>", "SendDigits": "12w#"}).encode(),
    urlencode(GOOD | {"StatusCallback": "https://a/b", "StatusCallbackEvent": "ringing,completed"}).encode(),
    urlencode(GOOD | {"Record": "true", "RecordingChannels": "dual", "TimeLimit": "60"}).encode(),
    urlencode({"Status": "completed", "Url": "https://a/b", "Method": "GET"}).encode(),
    b"PageSize=20&Page=3&PageToken=PA5f5e1005f5e100-" + b"0" * 32 + b"&StartTime%3E=2026-01-31&StartTime=2026-02-01",
    b"EndTime%3C=2026-01-31T12%3A00%3A00Z&To=sip%3Aann%40b&Status=busy",
    b"CONNECT api.twilio.com:443 HTTP/1.1\r\nHost: api.twilio.com:443\r\n\r\n",
    b"Basic QUM6dG9rZW4=",
)


def one_input(data: bytes) -> None:
    """Try one input in every place where a stranger can put it."""
    try:
        form = read_form(data)
    except ApiError as error:
        _check(error, data)
    else:
        _order(form)
        _list(form)
    text = data.decode("latin-1")
    basic_credentials(text)
    _check(_refusal(text))
    try:
        host, port = tunnel_target(data)
    except ValueError:
        return
    assert 0 <= port <= 99999
    assert not is_vendor(host) or host.lower().endswith("twilio.com")


def _refusal(header: str) -> ApiError:
    try:
        Authenticator({"a": "b" * 40}).authenticate(header, header, 0.0)
    except ApiError as error:
        return error
    raise AssertionError("let in")


def _order(form: Form) -> None:
    try:
        change = call_change(form, CONFIG)
        assert change.status in ("", "canceled", "completed")
    except ApiError as error:
        _check(error)
    try:
        order = call_order(form, CONFIG)
    except ApiError as error:
        _check(error)
        return
    assert 1.0 <= order.ring_s <= 280.0
    assert bool(order.source.url) != bool(order.source.text)
    wanted = OutboundCall(to=order.to, caller=order.caller, ring_s=order.ring_s, headers=order.headers)
    try:
        plan = plan_call(wanted, CONFIG, own_host="127.0.0.1", own_port=5060)
    except CallError:
        return
    said = f"{plan.target}{plan.from_}{plan.headers(plan.target)!s}"
    assert said.isprintable(), "a line break would be a header"
    assert all(name.lower().startswith("x-") for name, _ in plan.headers(plan.target))


def _list(form: Form) -> None:
    shown(form.one("To"))
    try:
        for name in ("StartTime", "EndTime"):
            since, until = time_range(form, name)
            assert all(bound is None or bound.tzinfo is not None for bound in (since, until))
        paging = Paging.of(form)
    except ApiError as error:
        _check(error)
        return
    assert 1 <= paging.size <= MAX_PAGE_SIZE
    if paging.token is not None:
        assert Token.parse(str(paging.token)) == paging.token
    path = f"/2010-04-01/Accounts/{ACCOUNT}/Calls.json"
    asked = SimpleNamespace(path=path, rel_url=SimpleNamespace(raw_query_string=urlencode(form.pairs)))
    body = list_body(cast(web.Request, asked), form, paging, "calls", [], following=paging.token)
    assert str(body["first_page_uri"]).startswith("/2010-04-01/")


def _check(error: ApiError, data: bytes = b"") -> None:
    assert 400 <= error.status < 500
    assert len(error.message) < 300
    assert len(data) < 12 or data.decode("latin-1") not in error.message


if __name__ == "__main__":
    import atheris  # type: ignore[import-untyped,unused-ignore]

    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
