"""A strict Stripe on loopback, for tests: the part of its API that the engine uses, and misbehaviour by script.

Strict: an unknown or missing parameter, a wrong type, a wrong key, a body that is not what the documentation shows is
refused as Stripe refuses it, and listed in ``violations``. Idempotent as Stripe v1 is: the first status and body of a
key are kept, errors and 500 included, and given again to the same request; another request with the key is an
``idempotency_error``, one that comes while the first is carried out a 409; what fails validation is not kept. Cards
decide as the published test numbers do (`SPECIAL`). The script gives one step per request, in order; when it is used up
every request is answered properly. Steps:

* ``ok``: answered properly
* ``status:N``, ``status:N:BODY``, ``rate_limited``, ``in_use``, ``http_500``, ``reset_before``, ``close``: nothing is
  carried out, nothing kept
* ``kept_500``: nothing is carried out, and the 500 is kept under the key, with ``Stripe-Should-Retry: false``
* ``kept_500_after``: carried out, and the 500 is kept
* ``http_500_after``, ``reset_after``, ``garbage``, ``truncated``, ``oversized``, ``drip``, ``silence``, ``moved``:
  carried out and kept, but the answer does not get through
* ``hold``: carried out after ``release()``, whether or not the client is still there
* ``head_flood``, ``informational_flood``: carried out; headers or 1xx answers without end
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import h11
import trustme

from tests.support.http_double import HttpDouble, Received, reset, send_forever

__all__ = ("CUSTOMER", "KEY", "SPECIAL", "Asked", "FakeStripe", "served")

KEY = "sk_test_paytone"
CUSTOMER = "cus_paytone"
SPECIAL: dict[str, tuple[str, str]] = {
    "4000000000000002": ("card_declined", "generic_decline"),
    "4000000000009995": ("card_declined", "insufficient_funds"),
    "4000000000009987": ("card_declined", "lost_card"),
    "4000000000009979": ("card_declined", "stolen_card"),
    "4000000000000069": ("expired_card", "expired_card"),
    "4000000000000127": ("incorrect_cvc", "incorrect_cvc"),
    "4000000000000119": ("processing_error", "processing_error"),
    "4000000000000341": ("card_declined", "generic_decline"),
}
"Published numbers whose charge is declined, with code and decline code."
DECLINED_WHEN_CHARGED_ONLY = frozenset({"4000000000000341"})
WANTS_PAYER = "4000002500003155"
YEAR = 2026
_STEP_OF = {"isk": 100, "ugx": 100} | dict.fromkeys(("bhd", "jod", "kwd", "omr", "tnd"), 10)

_CARD = {
    "type": r"card",
    "card[number]": r"[0-9]+",
    "card[exp_month]": r"0[1-9]|1[0-2]",
    "card[exp_year]": r"20[0-9]{2}",
    "card[cvc]": r"[0-9]{3,4}",
    "billing_details[address][postal_code]": r".+",
}
_COMMON = {
    "payment_method": r"pm_[0-9]+",
    "payment_method_types[0]": r"card",
    "confirm": r"true",
    "payment_method_options[card][moto]": r"true",
    "description": r"(?s).{1,1000}",
    r"metadata": r"(?s).{1,500}",
}
_CHARGE = _COMMON | {"amount": r"[1-9][0-9]{0,11}", "currency": r"[a-z]{3}", "error_on_requires_action": r"true"}
_SETUP = _COMMON | {"usage": r"off_session", "customer": r"cus_[a-z]+"}
_OPTIONAL = frozenset(
    {"card[cvc]", "billing_details[address][postal_code]", "payment_method_options[card][moto]", "description"}
    | {"metadata", "error_on_requires_action", "customer"}
)
_PARAMETERS = {"/v1/payment_methods": _CARD, "/v1/payment_intents": _CHARGE, "/v1/setup_intents": _SETUP}
_SEARCH = re.compile(r"metadata\['transaction_id'\]:'((?:[^'\\]|\\.)*)'")


def served(authority: trustme.CA, *names: str, **changes: Any) -> ssl.SSLContext:
    """Return a server's context with a certificate of ``authority`` for ``names`` (localhost without any)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*(names or ("localhost",)), **changes).configure_cert(context)
    return context


class Asked(Received):
    """One request as it came."""

    __slots__ = ()

    @property
    def path(self) -> str:
        """The target without its query."""
        return urlsplit(self.target).path

    @property
    def query(self) -> str:
        """What stands behind the question mark."""
        return urlsplit(self.target).query

    @property
    def key(self) -> str:
        """The idempotency key."""
        return self.headers.get("idempotency-key", "")

    @property
    def form(self) -> dict[str, str]:
        """The parameters."""
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))


Reply = tuple[int, dict[str, Any]]


class FakeStripe(HttpDouble):
    """The account; use as ``async with FakeStripe() as stripe``."""

    def __init__(
        self,
        script: Iterable[str] = (),
        *,
        tls: ssl.SSLContext | None = None,
        moto: bool = True,
        host: str = "127.0.0.1",
    ) -> None:
        super().__init__(tls=tls, host=host)
        self.asked: list[Asked] = []
        self.violations: list[str] = []
        self.charges: dict[str, int] = {}
        "How often money was taken, by transaction: 1 for each, or it was taken twice."
        self.intents: dict[str, dict[str, Any]] = {}
        self.customers: dict[str, list[str]] = {CUSTOMER: []}
        "PaymentMethods by customer."
        self._moto = moto
        self._script = deque(script)
        self._release = asyncio.Event()
        self._carrying_out: set[str] = set()
        self._kept: dict[str, tuple[str, bytes, Reply]] = {}
        self._numbers: dict[str, str] = {}
        "Card by PaymentMethod."
        self._used: set[str] = set()
        self._indexed: set[str] = set()

    @property
    def url(self) -> str:
        """Where the API is."""
        return self.origin

    def release(self) -> None:
        """Carry out the requests that are held."""
        self._release.set()

    def index(self) -> None:
        """Let the search find what there is by now."""
        self._indexed |= self.intents.keys()

    # -- carrying out --------------------------------------------------------------------------------------------------

    def answer(self, asked: Asked, *, kept: Reply | None = None) -> tuple[Reply, bool]:
        """Carry a request out, once per key; return the reply, and whether it is one that was kept.

        ``kept`` is what is kept instead of the true reply.
        """
        if refusal := self._unlawful(asked):
            return refusal, False
        if asked.method == "GET":
            return self._read(asked), False
        if known := self._kept.get(asked.key):
            if known[:2] != (asked.path, asked.body):
                return self._refuse("another request has this key", 400, type_="idempotency_error"), False
            return known[2], True
        if refusal := self._invalid(asked):
            return refusal, False
        act: dict[str, Callable[[dict[str, str]], Reply]] = {
            "/v1/payment_methods": self._make_payment_method,
            "/v1/payment_intents": self._charge,
            "/v1/setup_intents": self._set_up,
        }
        reply = act[asked.path](asked.form)
        self._kept[asked.key] = (asked.path, asked.body, kept or reply)
        return kept or reply, False

    def keep(self, asked: Asked, reply: Reply) -> Reply:
        """Keep a reply for a request that is not carried out; an earlier one stays."""
        return self._kept.setdefault(asked.key, (asked.path, asked.body, reply))[2]

    def _unlawful(self, asked: Asked) -> Reply | None:
        if asked.headers.get("authorization") != f"Bearer {KEY}":
            return self._refuse("Invalid API Key provided", 401)
        if "transfer-encoding" in asked.headers or asked.headers.get("connection") != "close":
            return self._refuse("framing", 400)
        if not re.fullmatch(
            r"[0-9]{4}-[0-9]{2}-[0-9]{2}(\.[a-z]+)?", asked.headers.get("stripe-version", "2024-06-20")
        ):
            return self._refuse("Invalid Stripe API version", 400)
        if asked.method == "POST":
            if asked.path not in _PARAMETERS:
                return self._refuse("Unrecognized request URL", 404)
            if asked.headers.get("content-type") != "application/x-www-form-urlencoded":
                return self._refuse("content type", 400)
            if not 1 <= len(asked.key) <= 255:
                return self._refuse("no key", 400)
        elif asked.method != "GET" or asked.body or asked.key:
            return self._refuse("method, or a body or a key where none belongs", 400)
        return None

    def _invalid(self, asked: Asked) -> Reply | None:
        """Return the refusal of parameters that fail validation: nothing has begun, nothing is kept."""
        try:
            pairs = parse_qsl(asked.body.decode("ascii"), keep_blank_values=True, strict_parsing=True)
        except ValueError:
            return self._refuse("the body is no form", 400)
        if len(dict(pairs)) != len(pairs):
            return self._refuse("a parameter is given twice", 400)
        known = _PARAMETERS[asked.path]
        names = set()
        for name, value in pairs:
            general = "metadata" if re.fullmatch(r"metadata\[[^\[\]]{1,40}\]", name) else name
            names.add(general)
            if general not in known:
                return self._refuse(f"Received unknown parameter: {name}", 400, code="parameter_unknown")
            if not re.fullmatch(known[general], value):
                return self._refuse(f"Invalid {name}", 400, code="parameter_invalid")
        if missing := known.keys() - names - _OPTIONAL:
            return self._refuse(f"Missing required param: {sorted(missing)}", 400, code="parameter_missing")
        if sum(name.startswith("metadata[") for name, _ in pairs) > 50:
            return self._refuse("more than 50 pairs of metadata", 400)
        form = dict(pairs)
        if "payment_method_options[card][moto]" in form and not self._moto:
            return self._refuse("this account may not use moto", 400, code="parameter_unknown")
        if "payment_method" in form and form["payment_method"] not in self._numbers:
            return self._refuse("No such PaymentMethod", 400, code="resource_missing")
        if form.get("customer", CUSTOMER) not in self.customers:
            return self._refuse("No such customer", 400, code="resource_missing")
        if int(form.get("amount", 0)) % _STEP_OF.get(form.get("currency", ""), 1):
            return self._refuse("Invalid amount: not divisible", 400)
        return None

    def _refuse(self, message: str, status: int, *, code: str = "", type_: str = "invalid_request_error") -> Reply:
        if status != 401:
            self.violations.append(message)
        return status, {"error": {"type": type_, "message": message} | ({"code": code} if code else {})}

    def _make_payment_method(self, form: dict[str, str]) -> Reply:
        number = form["card[number]"]
        for code, is_wrong in (
            ("incorrect_number", not _luhn(number) or not 12 <= len(number) <= 19),
            ("invalid_expiry_year", int(form["card[exp_year]"]) < YEAR),
        ):
            if is_wrong:
                return 402, {"error": {"type": "card_error", "code": code, "message": f"Your card's {code} is wrong."}}
        identity = f"pm_{len(self._numbers) + 1}"
        self._numbers[identity] = number
        return 200, {"id": identity, "object": "payment_method", "type": "card", "card": {"last4": number[-4:]}}

    def _charge(self, form: dict[str, str]) -> Reply:
        card = form["payment_method"]
        if card in self._used:
            return self._refuse("The PaymentMethod was used before without a customer", 400)
        intent = self._intent("payment_intent", "pi", form)
        intent |= {"amount": int(form["amount"]), "currency": form["currency"], "latest_charge": None}
        self.intents[intent["id"]] = intent
        reply = self._decide(intent, form, self._numbers[card], charges=True)
        if intent["status"] == "succeeded":
            self._used.add(card)
            intent["latest_charge"] = intent["id"].replace("pi_", "ch_")
            transaction = intent["metadata"]["transaction_id"]
            self.charges[transaction] = self.charges.get(transaction, 0) + 1
        return reply

    def _set_up(self, form: dict[str, str]) -> Reply:
        intent = self._intent("setup_intent", "seti", form)
        reply = self._decide(intent, form, self._numbers[form["payment_method"]], charges=False)
        if intent["status"] == "succeeded" and "customer" in form:
            self.customers[form["customer"]].append(form["payment_method"])
        return reply

    def _intent(self, kind: str, prefix: str, form: dict[str, str]) -> dict[str, Any]:
        metadata = {name[9:-1]: value for name, value in form.items() if name.startswith("metadata[")}
        identity = f"{prefix}_{len(self._kept) + 1}"
        return {"id": identity, "object": kind, "payment_method": form["payment_method"], "metadata": metadata}

    def _decide(self, intent: dict[str, Any], form: dict[str, str], number: str, *, charges: bool) -> Reply:
        code, reason = SPECIAL.get(number, ("", ""))
        if number in DECLINED_WHEN_CHARGED_ONLY and not charges:
            code = ""
        if number == WANTS_PAYER and "payment_method_options[card][moto]" not in form:
            if "error_on_requires_action" not in form:
                intent["status"] = "requires_action"
                return 200, dict(intent)
            code, reason = "authentication_required", "authentication_required"
        if not code:
            intent["status"] = "succeeded"
            return 200, intent
        error = {"type": "card_error", "code": code, "decline_code": reason, "message": "Your card was declined."}
        intent["status"] = "requires_payment_method"
        intent["last_payment_error" if charges else "last_setup_error"] = dict(error)
        return 402, {"error": error | {intent["object"]: dict(intent)}}

    def _read(self, asked: Asked) -> Reply:
        if asked.path == "/v1/payment_intents/search":
            query = parse_qs(asked.query, strict_parsing=True)
            match = _SEARCH.fullmatch(query["query"][0])
            if match is None or query.keys() != {"query", "limit"}:
                return self._refuse("this search is not understood", 400)
            wanted = re.sub(r"\\(.)", r"\1", match[1]).lower()
            found = [i for n, i in self.intents.items() if n in self._indexed and _transaction(i).lower() == wanted]
            return 200, {"object": "search_result", "data": found[: int(query["limit"][0])], "has_more": False}
        intent = self.intents.get(asked.path.removeprefix("/v1/payment_intents/"))
        return (200, intent) if intent else self._refuse("No such payment_intent", 404, code="resource_missing")

    # -- the wire ------------------------------------------------------------------------------------------------------

    async def _serve(
        self, http: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, received: Received
    ) -> None:
        asked = Asked(method=received.method, target=received.target, headers=received.headers, body=received.body)
        self.asked.append(asked)
        step, _, argument = (self._script.popleft() if self._script else "ok").partition(":")
        error = {"error": {"type": "api_error", "message": "oops"}}
        if asked.key in self._carrying_out or step == "in_use":
            in_use = {"type": "idempotency_error", "code": "idempotency_key_in_use", "message": "in use"}
            return await _send(http, writer, 409, {"error": in_use})
        match step:
            case "ok":
                (status, body), kept = self.answer(asked)
                return await _send(http, writer, status, body, {"Idempotent-Replayed": "true"} if kept else {})
            case "status":
                status_text, _, body_text = argument.partition(":")
                return await _send(http, writer, int(status_text), body_text)
            case "rate_limited":
                return await _send(
                    http, writer, 429, {"error": {"type": "invalid_request_error", "code": "rate_limit"}}
                )
            case "http_500":
                return await _send(http, writer, 500, error)
            case "kept_500":
                status, body = self.keep(asked, (500, error))
                return await _send(http, writer, status, body, {"Stripe-Should-Retry": "false"})
            case "kept_500_after":
                (status, body), _ = self.answer(asked, kept=(500, error))
                return await _send(http, writer, status, body, {"Stripe-Should-Retry": "false"})
            case "close" | "reset_before":
                return reset(writer) if step == "reset_before" else None
            case "hold":
                self._carrying_out.add(asked.key)
                await self._release.wait()
                self._carrying_out.discard(asked.key)
                (status, body), _ = self.answer(asked)
                return await _send(http, writer, status, body)
        self.answer(asked)
        match step:
            case "http_500_after":
                await _send(http, writer, 500, error)
            case "moved":
                await _send(http, writer, 307, "", {"Location": "/elsewhere"})
            case "garbage":
                await _send(http, writer, 200, "\x00<html>")
            case "reset_after":
                reset(writer)
            case "silence":
                await reader.read()
            case "truncated":
                await _raw(writer, b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"id":"pi_')
            case "oversized":
                await _raw(writer, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                await send_forever(writer, b"1000\r\n" + b" " * 0x1000 + b"\r\n")
            case "drip":
                await _raw(writer, b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n")
                await send_forever(
                    writer, b" ", pause_s=0.005
                )  # what is tested is that the client's limit counts in all
            case "head_flood":
                await _raw(writer, b"HTTP/1.1 200 OK\r\n")
                await send_forever(writer, b"X-Filler: " + b"x" * 1000 + b"\r\n")
            case "informational_flood":
                await send_forever(writer, b"HTTP/1.1 102 Processing\r\n\r\n")
            case _:
                raise AssertionError(f"no such step: {step}")


def _transaction(intent: dict[str, Any]) -> str:
    return str(intent["metadata"].get("transaction_id", ""))


def _luhn(number: str) -> bool:
    doubled = [int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(number))]
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0


async def _send(
    http: h11.Connection,
    writer: asyncio.StreamWriter,
    status: int,
    body: dict[str, Any] | str,
    extra: dict[str, str] | None = None,
) -> None:
    data = (body if isinstance(body, str) else json.dumps(body)).encode("latin-1")
    headers = {"Content-Type": "application/json", "Content-Length": str(len(data)), "Connection": "close"}
    head = h11.Response(status_code=status, headers=list((headers | (extra or {})).items()))
    for event in (head, h11.Data(data=data), h11.EndOfMessage()):
        writer.write(http.send(event) or b"")
    await writer.drain()


async def _raw(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()
