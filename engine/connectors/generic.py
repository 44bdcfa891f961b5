"""What the wires have in common that send a payment as one JSON body and get an id or an error code back.

SignalWire's and Twilio's (`dialects.md` §7.1, §7.2) differ in what they send. What an answer means is the same, D-20
made exact; "asked again" is the same request with the same transaction id, at most ``repeats`` times (D-46):

=========================================  ===========  =====================================================
answer                                     asked again  outcome in the end
=========================================  ===========  =====================================================
200, ``error_code`` null, the right id     no           ``SUCCEEDED``
200 or 4xx with an ``error_code``          no           by ``table.classify``: ``DECLINED`` or ``FAILED``
401, 403, 404, 405, 407, unless the code   no           ``FAILED``: our URL or password is wrong, not the card
is one of the table
2xx without error and without the id       no           ``UNKNOWN``: it may have been carried out
402 without a body that can be read        no           ``DECLINED``
an id beside an ``error_code``, or with a  no           ``UNKNOWN``: one of both is wrong
status other than 200, or an endless one
429                                        yes          ``FAILED``: refused before it was looked at
408, 409, 425, 5xx                         yes          ``UNKNOWN``: the gateway may have been in the middle
other status without a readable body       no           ``FAILED``
3xx                                        no           ``UNKNOWN``, never followed
2xx with what is no JSON object; no HTTP   yes          ``UNKNOWN``
no answer in time, connection lost         yes          ``UNKNOWN``
no connection                              yes          ``FAILED``; ``UNKNOWN`` when an earlier try did get out
=========================================  ===========  =====================================================

Once a try may have been carried out, only the gateway's word on this transaction settles it: a refusal that merely says
"I know this transaction already", or one that did not look at it, leaves it ``UNKNOWN``.
"""

from __future__ import annotations

import asyncio
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from functools import lru_cache
from ssl import SSLContext
from typing import Any, NoReturn, Protocol, TypedDict

from engine.connectors.body import scrub, wipe_body
from engine.connectors.protocol import Capabilities
from engine.connectors.table import AMBIGUOUS_AFTER_SILENCE, ERROR_TYPES, classify
from engine.connectors.tries import Verdict, answer_of, in_doubt, send_repeatedly
from engine.errors import ConnectorError
from engine.net.http import HttpResponse, request, split_url
from engine.net.tls import TlsFiles, client_context, context_of
from engine.pay.secret import Secret
from engine.pay.submission import ConnectorAnswer, Operation, Outcome, PaymentMethod, Submission
from engine.redact import redact_text

__all__ = ("GatewayOptions", "JsonConnector", "RequestFunction", "read_answer")

MAX_MESSAGE = 500
MAX_ID = 255
"Characters of an id; a longer one is no id, and half of one would find nothing in the gateway's books."
MAX_PARAMETERS = 100
"Members of an answer's ``parameters`` that are passed on; each becomes a field of a webhook."
LONG_ACCOUNT = 8
"Digits from which an account number is taken out of ids too: a shorter one stands in many an id by chance."
REFUSED_UNSEEN = frozenset({429})
NOT_LET_IN = frozenset({401, 403, 404, 405, 407})
OUR_CREDENTIALS = frozenset({401, 403, 407})
IN_THE_MIDDLE = frozenset({408, 409, 425})


class RequestFunction(Protocol):
    """What sends a request: ``engine.net.http.request``, or a double of it."""

    def __call__(
        self,
        method: str,
        url: str,
        *,
        headers: dict[str, str],
        body: bytearray,
        timeout_s: float,
        tls: SSLContext | None,
        basic_auth: tuple[str, str] | None,
        allow_insecure: bool,
    ) -> Awaitable[HttpResponse]:
        """Send one request; raise as ``engine.net.http.request`` does."""


class GatewayOptions(TypedDict, total=False):
    """How a gateway is reached: what every connector to one takes beside what is its own."""

    timeout_s: float
    "Bounds each try, in seconds; 10 when not given."
    repeats: int
    "Of a request that may do better the next time; 5 when not given."
    allow_insecure: bool
    "Admit http: URLs (development only)."
    tls: SSLContext | TlsFiles | None
    "Whom to trust and what to show; None: the system's authorities, no certificate of ours."
    sleep: Callable[[float], Awaitable[None]]
    send: RequestFunction


@lru_cache(maxsize=1)
def _system_context() -> SSLContext:
    """Return one context for all that trust the system's authorities: loading those takes longer than a request."""
    return client_context()


class JsonConnector(ABC):
    """Posts payments to one URL and reads the answers; a wire says what it sends.

    ``url`` may hold a user and a password (HTTP Basic), which ``basic_auth`` replaces. Raise ``ConnectorError`` for a
    URL that can't be used; it does not repeat the URL.
    """

    def __init__(
        self,
        name: str,
        *,
        url: str,
        basic_auth: tuple[str, str] | None = None,
        timeout_s: float = 10.0,
        repeats: int = 5,
        allow_insecure: bool = False,
        tls: SSLContext | TlsFiles | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        send: RequestFunction = request,
    ) -> None:
        try:
            target = split_url(url, allow_insecure=allow_insecure)
        except ValueError as error:
            raise ConnectorError(f"connector {name}: {error}") from None
        self._name = name
        self._url = url
        self._bare_url = target.bare_url
        self._basic_auth = basic_auth
        self._timeout_s = timeout_s
        self._repeats = repeats
        self._allow_insecure = allow_insecure
        self._tls = (tls or _system_context()) if target.is_https else None
        self._sleep = sleep
        self._send = send

    @property
    def name(self) -> str:
        """The connector's name in the configuration."""
        return self._name

    @property
    @abstractmethod
    def capabilities(self) -> Capabilities:
        """What it can be asked for."""

    @abstractmethod
    def body_of(self, submission: Submission) -> bytearray:
        """Return the wire's body of a payment that the capabilities allow; it is wiped afterwards."""

    def headers_of(self, body: bytearray) -> dict[str, str]:
        """Return headers of the wire's own, such as a signature; the body is not copied."""
        return {}

    async def submit(self, submission: Submission) -> ConnectorAnswer:
        """Send one payment, repeat it while that is of use, and return what became of it."""
        if submission.method not in self.capabilities.methods or _source(submission) is None:
            return answer_of(Outcome.FAILED, "unsupported_method", f"this connector takes no {submission.method}")
        body = self.body_of(submission)
        try:
            return await self._submit(submission, body)
        finally:
            wipe_body(body)

    async def look_up(self, transaction_id: str) -> ConnectorAnswer | None:
        """Return None: these wires have no question for an earlier transaction."""
        return None

    async def close(self) -> None:  # noqa: B027  # nothing is held: no connection outlives its request
        """Do nothing."""

    async def _submit(self, submission: Submission, body: bytearray) -> ConnectorAnswer:
        headers = {"Content-Type": "application/json", "Accept": "application/json", **self.headers_of(body)}

        def send() -> Awaitable[HttpResponse]:
            return self._send(
                "POST",
                self._url,
                headers=headers,
                body=body,
                timeout_s=self._timeout_s,
                tls=context_of(self._tls),
                basic_auth=self._basic_auth,
                allow_insecure=self._allow_insecure,
            )

        verdict, doubt = await send_repeatedly(
            send,
            lambda response: read_answer(response, submission),
            repeats=self._repeats,
            sleep=self._sleep,
            connector=self._name,
            transaction=submission.transaction_id,
        )
        return verdict.settled(after_doubt=doubt)


def _source(submission: Submission) -> Secret | None:
    """Return the number that is charged: the card's or the account's."""
    return submission.card_number if submission.method is PaymentMethod.CREDIT_CARD else submission.account_number


def read_answer(response: HttpResponse, submission: Submission) -> Verdict:
    """Return what an answer means; the table in the module's head, row by row. Takes any body."""
    status, answer = response.status, _members(response.body)
    code = _code(answer, submission)
    message = _text(answer, "error_message", submission)
    if status >= 500 or status in IN_THE_MIDDLE:
        return in_doubt(code or f"http_{status}", message or f"the gateway answered with status {status}")
    if answer is not None and _has_id(answer) and (code or status != 200):
        return in_doubt("contradiction", f"the gateway gave an id with status {status}, code {code!r}", repeat=False)
    if status in REFUSED_UNSEEN:
        refused = answer_of(Outcome.FAILED, code or f"http_{status}", message or "the gateway is overloaded")
        return Verdict(answer=refused, repeat=True)
    if code and (status not in NOT_LET_IN or code.lower() in ERROR_TYPES):
        return _refused(code, message)
    if status < 300:
        if answer is None:
            return in_doubt("bad_answer", "the gateway's answer is not a JSON object")
        return _approved(answer, message, submission)
    if status == 402:
        return _refused("http_402", message or "the payment was declined")
    message = message or f"the gateway answered with status {status}"
    if status in OUR_CREDENTIALS:
        message = f"the gateway does not let us in (status {status})"  # its own words may quote our password
    return Verdict(answer=answer_of(Outcome.FAILED, code or f"http_{status}", message))


def _has_id(answer: dict[str, Any]) -> bool:
    return any(_scalar(answer.get(name)) for name in ("charge_id", "token_id"))


def _code(answer: dict[str, Any] | None, submission: Submission) -> str:
    """Return the error code as text, empty when there is none: null, or what some gateways write for it."""
    value = (answer or {}).get("error_code")
    if value is None or value is False or value == "":
        return ""
    return _identifier(_scalar(value)[:MAX_MESSAGE], submission) or "unspecified"


def _identifier(text: str, submission: Submission) -> str:
    """Return an id or a code, which may be digits to some gateways, without the number that was charged.

    The three digits of a security code are left: they stand in many an id by chance.
    """
    account = submission.account_number
    return scrub(text, [submission.card_number, account if account and len(account) >= LONG_ACCOUNT else None])


def _approved(answer: dict[str, Any], message: str, submission: Submission) -> Verdict:
    names = ("charge_id", "token_id", "profile_id")
    charge_id, token_id, profile_id = (_scalar(answer.get(name)) for name in names)
    if max(len(charge_id), len(token_id)) > MAX_ID:
        return in_doubt("bad_answer", "the gateway's id is too long for one", repeat=False)
    if not (charge_id if submission.operation is Operation.CHARGE else token_id):
        return in_doubt("no_id", message or "the gateway answered without an id", repeat=False)
    return Verdict(
        answer=ConnectorAnswer(
            outcome=Outcome.SUCCEEDED,
            charge_id=_identifier(charge_id, submission),
            token_id=_identifier(token_id, submission),
            profile_id=_identifier(profile_id[:MAX_ID], submission),
            parameters=_parameters(answer, submission),
        ),
        is_final_word=True,
    )


def _parameters(answer: dict[str, Any], submission: Submission) -> dict[str, str]:
    raw = answer.get("parameters")
    names = [*(raw if isinstance(raw, dict) else ())][:MAX_PARAMETERS]
    return {_clean(name, submission): _text(raw, name, submission) for name in names}


def _refused(code: str, message: str) -> Verdict:
    outcome, error_type = classify(code)
    return Verdict(
        answer=ConnectorAnswer(outcome=outcome, error_code=code, error_message=message, error_type=error_type),
        is_final_word=code.lower() not in AMBIGUOUS_AFTER_SILENCE,
    )


def _members(body: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(body, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of RFC 8259")


def _text(members: Any, name: str, submission: Submission) -> str:
    """Return a member as text without anything that the caller keyed."""
    return _clean(_scalar(members.get(name)), submission) if isinstance(members, dict) else ""


def _clean(text: str, submission: Submission) -> str:
    secrets = [submission.card_number, submission.account_number, submission.security_code]
    return redact_text(scrub(text[:MAX_MESSAGE], secrets))


def _scalar(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return "" if isinstance(value, float) and not math.isfinite(value) else str(value)
