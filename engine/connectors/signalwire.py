"""A gateway that speaks SignalWire's ``payment_connector_url`` wire (`dialects.md` §7.1).

What an answer means, D-20 made exact; "asked again" is the same request with the same transaction id, at most
``repeats`` times:

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
status other than 200
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
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from ssl import SSLContext
from typing import Any, Protocol

from engine.connectors.body import json_body, scrub, wipe_body
from engine.connectors.signatures import signature_headers
from engine.connectors.table import AMBIGUOUS_AFTER_SILENCE, ERROR_TYPES, classify
from engine.errors import ConnectorError
from engine.log import fields
from engine.net.http import BadAnswer, HttpResponse, NotSent, Unanswered, request, split_url
from engine.net.tls import client_context
from engine.pay.secret import Secret
from engine.pay.submission import ConnectorAnswer, Operation, Outcome, PaymentMethod, Submission
from engine.redact import redact_text

__all__ = ("BACKOFF_S", "RequestFunction", "SignalWire", "payment_body")

log = logging.getLogger("engine.connectors.signalwire")

BACKOFF_S = (0.5, 1.0, 2.0, 4.0, 4.0)
"Waits before the repeats; the last one serves for all further ones. The caller is listening meanwhile."
MAX_MESSAGE = 500
REFUSED_UNSEEN = frozenset({429})
NOT_LET_IN = frozenset({401, 403, 404, 405, 407})
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
        allow_insecure: bool,
    ) -> Awaitable[HttpResponse]:
        """Send one request; raise as ``engine.net.http.request`` does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Verdict:
    """What one try came to."""

    answer: ConnectorAnswer
    repeat: bool = False
    may_have_charged: bool = False
    is_final_word: bool = False
    "The gateway spoke about this very transaction."


def payment_body(submission: Submission) -> bytearray:
    """Return the JSON body of a card payment, byte for byte as §7.1 shows it; the caller wipes it.

    Digits are real (D-44). ``chargeAmount`` is ``"0"`` when tokenizing (D-45); ``parameters`` is left out when empty.
    """
    charges = submission.operation is Operation.CHARGE
    members: dict[str, Any] = {
        "transaction_id": submission.transaction_id,
        "method": submission.method.value,
        "cardnumber": submission.card_number,
        "cvv": submission.security_code,
        "postal_code": submission.postal_code,
        "description": submission.description,
        "chargeAmount": submission.amount if charges else "0",
        "token_type": submission.token_type.value,
        "expiry_month": submission.expiry_month,
        "expiry_year": submission.expiry_year,
        "currency_code": submission.currency,
    }
    if submission.parameters:
        members["parameters"] = submission.parameters
    return json_body(members)


class SignalWire:
    """Posts payments to one URL and reads the answers.

    ``url`` may hold a user and a password (HTTP Basic). ``signing_key`` switches the signature headers on (D-26).
    ``timeout_s`` bounds each try. Raise ``ConnectorError`` for a URL that can't be used.
    """

    def __init__(
        self,
        name: str,
        *,
        url: str,
        signing_key: str = "",
        timeout_s: float = 10.0,
        repeats: int = 5,
        allow_insecure: bool = False,
        tls: SSLContext | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        send: RequestFunction = request,
    ) -> None:
        try:
            target = split_url(url, allow_insecure=allow_insecure)
        except ValueError as error:
            raise ConnectorError(f"connector {name}: {error}") from None
        self._name = name
        self._url = url
        self._signed_url = target.bare_url
        self._signing_key = signing_key
        self._timeout_s = timeout_s
        self._repeats = repeats
        self._allow_insecure = allow_insecure
        # Made once: loading the authorities takes longer than a request to a gateway nearby.
        self._tls = (tls or client_context()) if target.is_https else None
        self._sleep = sleep
        self._send = send

    @property
    def name(self) -> str:
        """The connector's name in the configuration."""
        return self._name

    async def submit(self, submission: Submission) -> ConnectorAnswer:
        """Send one payment, repeat it while that is of use, and return what became of it."""
        if submission.method is not PaymentMethod.CREDIT_CARD or submission.card_number is None:
            # §7.1 defines no fields for bank accounts.
            return _answer(Outcome.FAILED, "unsupported_method", "this connector takes cards only")
        body = payment_body(submission)
        try:
            return await self._submit(submission, body)
        finally:
            wipe_body(body)

    async def look_up(self, transaction_id: str) -> ConnectorAnswer | None:
        """Return None: the wire has no question for an earlier transaction."""
        return None

    async def close(self) -> None:
        """Do nothing: no connection outlives its request."""

    async def _submit(self, submission: Submission, body: bytearray) -> ConnectorAnswer:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self._signing_key:
            headers |= signature_headers(self._signing_key, self._signed_url, body)
        may_have_charged = False
        for repeat in range(self._repeats + 1):
            if repeat:
                await self._sleep(BACKOFF_S[min(repeat, len(BACKOFF_S)) - 1])
            verdict = await self._try(submission, body, headers)
            if not verdict.repeat:
                break
            may_have_charged = may_have_charged or verdict.may_have_charged
            log.warning(
                "the gateway did not answer properly",
                extra=fields(
                    connector=self._name,
                    transaction=submission.transaction_id,
                    attempt=repeat + 1,
                    error=verdict.answer.error_code,
                    reason=verdict.answer.error_message,
                ),
            )
        return _settled(verdict, may_have_charged)

    async def _try(self, submission: Submission, body: bytearray, headers: dict[str, str]) -> _Verdict:
        try:
            response = await self._send(
                "POST",
                self._url,
                headers=headers,
                body=body,
                timeout_s=self._timeout_s,
                tls=self._tls,
                allow_insecure=self._allow_insecure,
            )
        except NotSent as error:
            return _Verdict(answer=_answer(Outcome.FAILED, "unreachable", str(error)), repeat=True)
        except Unanswered as error:
            return _in_doubt("no_answer", str(error))
        except BadAnswer as error:
            return _in_doubt("bad_answer", str(error), repeat=error.status is None or not 300 <= error.status < 400)
        return _read(response, submission)


def _read(response: HttpResponse, submission: Submission) -> _Verdict:
    """Return what an answer means; the table in the module's head, row by row."""
    status, answer = response.status, _members(response.body)
    code = _code(answer, submission)
    message = _text(answer, "error_message", submission)
    if status >= 500 or status in IN_THE_MIDDLE:
        return _in_doubt(code or f"http_{status}", message or f"the gateway answered with status {status}")
    if answer is not None and _has_id(answer) and (code or status != 200):
        return _in_doubt("contradiction", f"the gateway gave an id with status {status}, code {code!r}", repeat=False)
    if status in REFUSED_UNSEEN:
        refused = _answer(Outcome.FAILED, code or f"http_{status}", message or "the gateway is overloaded")
        return _Verdict(answer=refused, repeat=True)
    if code and (status not in NOT_LET_IN or code.lower() in ERROR_TYPES):
        return _refused(code, message)
    if status < 300:
        if answer is None:
            return _in_doubt("bad_answer", "the gateway's answer is not a JSON object")
        return _approved(answer, message, submission)
    if status == 402:
        return _refused("http_402", message or "the payment was declined")
    failed = _answer(Outcome.FAILED, code or f"http_{status}", message or f"the gateway answered with status {status}")
    return _Verdict(answer=failed)


def _has_id(answer: dict[str, Any]) -> bool:
    return any(_scalar(answer.get(name)) for name in ("charge_id", "token_id"))


def _code(answer: dict[str, Any] | None, submission: Submission) -> str:
    """Return the error code as text, empty when there is none: null, or what some gateways write for it."""
    value = (answer or {}).get("error_code")
    if value is None or value is False or value == "":
        return ""
    # A code may be digits to some gateways: only the card number is taken out of it, never 3 digits that are a cvv's.
    return scrub(_scalar(value), [submission.card_number])[:MAX_MESSAGE] or "unspecified"


def _approved(answer: dict[str, Any], message: str, submission: Submission) -> _Verdict:
    # An id is digits to some gateways: only the card number is taken out of it, never the 3 digits of a code.
    charge_id = scrub(_scalar(answer.get("charge_id")), [submission.card_number])
    token_id = scrub(_scalar(answer.get("token_id")), [submission.card_number])
    if not (charge_id if submission.operation is Operation.CHARGE else token_id):
        return _in_doubt("no_id", message or "the gateway answered without an id", repeat=False)
    raw = answer.get("parameters")
    parameters = {
        str(name)[:MAX_MESSAGE]: _text(raw, name, submission) for name in (raw if isinstance(raw, dict) else ())
    }
    return _Verdict(
        answer=ConnectorAnswer(
            outcome=Outcome.SUCCEEDED, charge_id=charge_id, token_id=token_id, parameters=parameters
        ),
        is_final_word=True,
    )


def _refused(code: str, message: str) -> _Verdict:
    outcome, error_type = classify(code)
    return _Verdict(
        answer=ConnectorAnswer(outcome=outcome, error_code=code, error_message=message, error_type=error_type),
        is_final_word=code.lower() not in AMBIGUOUS_AFTER_SILENCE,
    )


def _in_doubt(code: str, message: str, *, repeat: bool = True) -> _Verdict:
    return _Verdict(answer=_answer(Outcome.UNKNOWN, code, message), repeat=repeat, may_have_charged=True)


def _settled(verdict: _Verdict, may_have_charged: bool) -> ConnectorAnswer:
    answer = verdict.answer
    if answer.outcome is Outcome.UNKNOWN or verdict.is_final_word or not may_have_charged:
        return answer
    return _answer(Outcome.UNKNOWN, answer.error_code, answer.error_message)


def _answer(outcome: Outcome, code: str, message: str) -> ConnectorAnswer:
    return ConnectorAnswer(outcome=outcome, error_code=code, error_message=message)


def _members(body: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _text(members: Any, name: str, submission: Submission) -> str:
    """Return a member as text without anything that the caller keyed."""
    if not isinstance(members, dict):
        return ""
    secrets: list[Secret | None] = [submission.card_number, submission.security_code]
    return redact_text(scrub(_scalar(members.get(name))[:MAX_MESSAGE], secrets))


def _scalar(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return str(value)
