"""A strict payment gateway on loopback, for tests: speaks one of the JSON wires and misbehaves by script.

Strict: whatever is not byte for byte as `dialects.md` §7.1 (``wire="signalwire"``, ``"compatible"``) or §7.2
(``"twilio"``) has it is refused with status 400 and listed in ``violations``. Idempotent: a transaction id is booked
once, and a repeat gets the first answer. The script gives one step per request, in order; when it is used up every
request is answered properly. Steps:

* ``ok``, ``decline:CODE``: answered properly; ``no_id``: status 200 without an id
* ``status:N``, ``status:N:BODY``: this status, nothing booked
* ``http_500``, ``reset_before``, ``close``: nothing booked, and no proper answer
* ``http_500_after``, ``reset_after``, ``truncated``, ``oversized``, ``drip``: booked, and no proper answer
* ``silence``: booked, no answer until the client goes; ``hold``: booked, answered after ``release()``
* ``stolen_repeat``: refused as a duplicate
* ``head_flood``, ``informational_flood``: headers or 1xx answers without end
* ``raw:BYTES``: sent as they are (latin-1), then closed
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from base64 import b64encode
from collections import deque
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import h11

from tests.support.http_double import HttpDouble, Received, reset, send_forever

__all__ = ("BASIC_AUTH", "BODY_KEYS", "TLS_FILES", "FakeGateway", "Received", "server_tls")

TLS_FILES = Path(__file__).parents[1] / "vectors" / "tls"
BODY_KEYS = (
    "transaction_id",
    "method",
    "cardnumber",
    "cvv",
    "postal_code",
    "description",
    "chargeAmount",
    "token_type",
    "expiry_month",
    "expiry_year",
    "currency_code",
)
EXPIRY = ("expiry_month", "expiry_year")
TWILIO_CARD = ("cardnumber", "cvv", *EXPIRY, "postal_code")
TWILIO_BANK = ("bankaccountnumber", "routingnumber", "bankaccounttype")
TWILIO_CHARGE = ("amount", "currency_code")
BASIC_AUTH = ("shop", "pässword")
"What the Twilio wire's user and password are; sent without, or with others, a request gets status 401."
DECLINED_NUMBERS = {
    "4000000000000002": "generic_decline",
    "4000000000009995": "insufficient_funds",
    "4000000000000069": "expired_card",
    "4000000000000127": "incorrect_cvc",
    "4000000000000119": "processing_error",
}


def server_tls() -> ssl.SSLContext:
    """Return a server's context with the test certificate for localhost."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS_FILES / "localhost.pem", TLS_FILES / "localhost.key")
    return context


class FakeGateway(HttpDouble):
    """The gateway; use as ``async with FakeGateway() as gateway``."""

    def __init__(
        self,
        script: Iterable[str] = (),
        *,
        tls: ssl.SSLContext | None = None,
        port: int = 0,
        wire: str = "signalwire",
    ) -> None:
        super().__init__(tls=tls, port=port)
        self.requests: list[Received] = []
        self.violations: list[str] = []
        self.booked: dict[str, dict[str, Any]] = {}
        "Transaction id to the answer that it got."
        self.times_booked: dict[str, int] = {}
        "How often a charge was really carried out: 1 for each id, or money was taken twice."
        self._script = deque(script)
        self._violation = {"signalwire": _signalwire, "compatible": _compatible, "twilio": _twilio}[wire]
        self._release = asyncio.Event()
        self._answered: dict[str, tuple[int, dict[str, Any]]] = {}

    @property
    def url(self) -> str:
        """Where payments go."""
        return f"{self.origin}/pay"

    def release(self) -> None:
        """Answer the requests that are held."""
        self._release.set()

    def add(self, *steps: str) -> None:
        """Add steps to the script."""
        self._script.extend(steps)

    async def _serve(
        self, http: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, received: Received
    ) -> None:
        self.requests.append(received)
        step, _, argument = (self._script.popleft() if self._script else "ok").partition(":")
        await getattr(self, f"_do_{step}")(http, reader, writer, received, argument)

    # -- steps ---------------------------------------------------------------------------------------------------

    async def _do_ok(
        self, http: h11.Connection, _: object, writer: asyncio.StreamWriter, received: Received, code: str
    ) -> None:
        status, answer = self._book(received, code)
        await self._answer(http, writer, status, json.dumps(answer).encode())

    _do_decline = _do_ok

    async def _do_status(
        self, http: h11.Connection, _: object, writer: asyncio.StreamWriter, received: Received, argument: str
    ) -> None:
        status, _, body = argument.partition(":")
        await self._answer(http, writer, int(status), body.encode())

    async def _do_no_id(
        self, http: h11.Connection, _: object, writer: asyncio.StreamWriter, received: Received, argument: str
    ) -> None:
        await self._answer(http, writer, 200, b'{"charge_id":null,"error_code":null,"error_message":null}')

    async def _do_http_500(
        self, http: h11.Connection, _: object, writer: asyncio.StreamWriter, received: Received, argument: str
    ) -> None:
        await self._answer(http, writer, 500, b"oops")

    async def _do_http_500_after(
        self, http: h11.Connection, _: object, writer: asyncio.StreamWriter, received: Received, argument: str
    ) -> None:
        self._book(received, "")
        await self._answer(http, writer, 500, b"oops")

    async def _do_stolen_repeat(
        self, http: h11.Connection, _: object, writer: asyncio.StreamWriter, received: Received, argument: str
    ) -> None:
        answer = {"charge_id": None, "error_code": "duplicate_transaction", "error_message": "seen before"}
        await self._answer(http, writer, 400, json.dumps(answer).encode())

    async def _do_reset_before(
        self, http: object, _: object, writer: asyncio.StreamWriter, received: Received, argument: str
    ) -> None:
        reset(writer)

    async def _do_reset_after(
        self, http: object, _: object, writer: asyncio.StreamWriter, received: Received, argument: str
    ) -> None:
        self._book(received, "")
        reset(writer)

    async def _do_close(self, *_: object) -> None:
        return

    async def _do_silence(
        self, http: object, reader: asyncio.StreamReader, _: object, received: Received, argument: str
    ) -> None:
        self._book(received, "")
        await reader.read()

    async def _do_hold(
        self, http: h11.Connection, _: object, writer: asyncio.StreamWriter, received: Received, argument: str
    ) -> None:
        status, answer = self._book(received, "")
        await self._release.wait()
        await self._answer(http, writer, status, json.dumps(answer).encode())

    async def _do_raw(
        self, http: object, _: object, writer: asyncio.StreamWriter, received: Received, argument: str
    ) -> None:
        writer.write(argument.encode("latin-1"))
        await writer.drain()
        writer.write_eof() if writer.can_write_eof() else writer.close()
        await asyncio.sleep(0)

    async def _do_head_flood(
        self, http: object, _: object, writer: asyncio.StreamWriter, received: Received, argument: str
    ) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        await send_forever(writer, b"X-Filler: " + b"x" * 1000 + b"\r\n")

    async def _do_informational_flood(
        self, http: object, _: object, writer: asyncio.StreamWriter, received: Received, argument: str
    ) -> None:
        await send_forever(writer, b"HTTP/1.1 102 Processing\r\n\r\n")

    async def _do_drip(
        self,
        http: object,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        received: Received,
        argument: str,
    ) -> None:
        self._book(received, "")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.005)  # what is tested is that the client's limit counts in all

    async def _do_oversized(
        self, http: object, _: object, writer: asyncio.StreamWriter, received: Received, argument: str
    ) -> None:
        self._book(received, "")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        await send_forever(writer, b"1000\r\n" + b" " * 0x1000 + b"\r\n")

    async def _do_truncated(
        self, http: object, _: object, writer: asyncio.StreamWriter, received: Received, argument: str
    ) -> None:
        self._book(received, "")
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"charge_id":')
        await writer.drain()
        writer.write_eof()
        await asyncio.sleep(0)

    # -- books ---------------------------------------------------------------------------------------------------

    def _book(self, received: Received, code: str) -> tuple[int, dict[str, Any]]:
        problem, members = _read_members(received)
        problem = problem or self._violation(received, members)
        if problem:
            self.violations.append(problem)
            status = 401 if problem == "credentials" else 400
            return status, {"charge_id": None, "error_code": "bad_request", "error_message": problem}
        transaction_id = members["transaction_id"]
        if known := self._answered.get(transaction_id):
            return known
        code = code or DECLINED_NUMBERS.get(members.get("cardnumber", ""), "")
        tokenizes = members.get("method") == "tokenize" or "0" in (
            members.get("chargeAmount"),
            str(members.get("amount")),
        )
        answer: dict[str, Any] = {"token_id" if tokenizes else "charge_id": None}
        if code:
            answer |= {"error_code": code, "error_message": "declined"}
        else:
            self.times_booked[transaction_id] = self.times_booked.get(transaction_id, 0) + 1
            identity = f"{'tok' if tokenizes else 'ch'}_{len(self.booked) + 1}"
            answer = {next(iter(answer)): identity, "error_code": None, "error_message": None}
        self.booked[transaction_id] = answer
        self._answered[transaction_id] = (402 if code else 200, answer)
        return self._answered[transaction_id]

    async def _answer(self, http: h11.Connection, writer: asyncio.StreamWriter, status: int, body: bytes) -> None:
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body))), ("Connection", "close")]
        if 300 <= status < 400:
            headers.append(("Location", "/elsewhere"))
        for event in (
            h11.Response(status_code=status, headers=headers),
            h11.Data(data=body),
            h11.EndOfMessage(),
        ):
            writer.write(http.send(event) or b"")
        await writer.drain()


def _read_members(received: Received) -> tuple[str, dict[str, Any]]:
    """Return what is wrong with a request whatever its wire (empty: nothing), and its members."""
    if received.method != "POST":
        return "not a POST", {}
    if received.headers.get("content-type") != "application/json":
        return "content type", {}
    if "transfer-encoding" in received.headers or received.headers.get("connection") != "close":
        return "framing", {}
    try:
        members = json.loads(received.body, parse_float=Decimal)
    except ValueError:
        return "not JSON", {}
    if not isinstance(members, dict):
        return "no object", {}
    # Fractions are compared as they were written: a float of them would be written anew.
    again = json.dumps(json.loads(received.body, parse_float="<number>{}".format), separators=(",", ":"))
    if re.sub('"<number>([0-9.]+)"', r"\1", again).encode() != received.body:
        return "not compact ASCII JSON", {}
    return "", members


def _signalwire(received: Received, members: dict[str, Any]) -> str:
    keys = tuple(members)
    if keys not in (BODY_KEYS, (*BODY_KEYS, "parameters")):
        return "members or their order"
    if members["method"] != "credit-card" or not all(isinstance(members[key], str) for key in BODY_KEYS):
        return "types of members"
    return _parameters(members, may_be_empty=False) or _card(members)


def _compatible(received: Received, members: dict[str, Any]) -> str:
    tokenizing = tuple("amount" if key == "chargeAmount" else key for key in BODY_KEYS if key != "method")
    keys = tuple(key for key in members if key != "parameters")
    if keys not in (BODY_KEYS, tokenizing):
        return "members or their order"
    amount = members["chargeAmount"] if "chargeAmount" in members else members["amount"]
    if isinstance(amount, str) or (keys == tokenizing) != (amount == 0):
        return "amount"
    texts = [members[key] for key in keys if key not in ("chargeAmount", "amount")]
    if not all(isinstance(text, str) for text in texts):
        return "types of members"
    return _parameters(members, may_be_empty=False) or _card(members)


def _twilio(received: Received, members: dict[str, Any]) -> str:
    expected = b64encode(":".join(BASIC_AUTH).encode()).decode()
    if received.headers.get("authorization") != f"Basic {expected}":
        return "credentials"
    method = members.get("method")
    if method not in ("charge", "tokenize"):
        return "method"
    source = TWILIO_CARD if "cardnumber" in members else TWILIO_BANK
    keys = ("method", "transaction_id", *source, *(TWILIO_CHARGE if method == "charge" else ()), "description")
    if tuple(members) != (*keys, "parameters"):
        return "members or their order"
    if not all(isinstance(members[key], str) for key in keys):
        return "types of members"
    return _parameters(members, may_be_empty=True) or (_card if source is TWILIO_CARD else _account)(members)


def _parameters(members: dict[str, Any], *, may_be_empty: bool) -> str:
    parameters = members.get("parameters", {"": ""})
    if not isinstance(parameters, dict) or not (parameters or may_be_empty):
        return "parameters"
    return "" if all(isinstance(value, str) for value in parameters.values()) else "types of parameters"


def _card(members: dict[str, Any]) -> str:
    if not (members["cardnumber"].isdigit() and 12 <= len(members["cardnumber"]) <= 19):
        return "card number"
    return "" if all(len(members[key]) == 2 and members[key].isdigit() for key in EXPIRY) else "expiry"


def _account(members: dict[str, Any]) -> str:
    number, routing = members["bankaccountnumber"], members["routingnumber"]
    return "" if number.isdigit() and 4 <= len(number) <= 17 and routing.isdigit() and len(routing) == 9 else "account"
