"""Stripe, over its REST API: the card becomes a PaymentMethod, is wiped, and only then is anything charged.

Laws:

1. The digits are needed for the first request alone. When it is over, however it ended, they are wiped, here.
2. The first request cannot charge, so nothing that befalls it leaves a doubt: what did not succeed has ``FAILED``.
   Neither can the check of a card that is kept (SetupIntent).
3. The charge is one request with one key, the transaction id. A repeat is the same bytes with the same key: Stripe
   answers it with what it answered first. A new key is never tried.
4. Once a try may have charged, only Stripe's word on this payment settles it.

What an answer to the charge means; "asked again" is at most ``repeats`` times:

==========================================  ===========  ====================================================
answer                                      asked again  outcome in the end
==========================================  ===========  ====================================================
200, ``succeeded``                          no           ``SUCCEEDED``
200, ``requires_action``                    no           ``DECLINED``, card-declined: no payer to authenticate
200, ``requires_payment_method`` with an    no           by ``table.classify``: ``DECLINED`` or ``FAILED``
error; 402
200, ``requires_payment_method`` without,   no           ``FAILED``
``requires_confirmation``, ``canceled``
200, ``processing``, ``requires_capture``,  no           ``UNKNOWN``: the key would bring the same words again
any other status; no intent at all
200 that is no JSON object                  yes          ``UNKNOWN``
402 with an intent that did charge          no           ``UNKNOWN``: one of both is wrong
400, 404 ... with a code of the table       no           by ``table.classify``; ``UNKNOWN`` after a doubt
400 ... otherwise; 401, 403: our key        no           ``FAILED``; ``UNKNOWN`` after a doubt
400, ``idempotency_error``                  no           ``UNKNOWN``: the key was used for something else
429                                         yes          ``FAILED``; ``UNKNOWN`` after a doubt
409 (the key is in use), 408, 425, 5xx      yes          ``UNKNOWN``
3xx, other 2xx                              no           ``UNKNOWN``
no answer in time, connection lost, no      yes          ``UNKNOWN``
HTTP
no connection                               yes          ``FAILED``; ``UNKNOWN`` after a doubt
==========================================  ===========  ====================================================

A 5xx may be kept under the key like any other answer. ``Stripe-Should-Retry: false`` says so and ends the repeats; the
outcome stays unknown until it is looked up. For the first request, which may be repeated at will, each 5xx is followed
by a key of its own.

Looking up: Stripe's search lags behind, under a minute as a rule and up to an hour when things are bad. An intent that
is found is read itself, because the index may be old. That none is found means something after ``SEARCHABLE_S`` only;
so does an intent that has not begun. A connector knows how old a transaction is at least: since it was sent, or else
since the connector was made.

Bank debits are not offered: an ACH debit is ``processing`` for days, and the account wants verifying by its holder.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from ssl import SSLContext

from engine.connectors.body import wipe_body
from engine.connectors.protocol import Capabilities
from engine.connectors.stripe_answers import found_ids, intent_answer, members_of, read_answer, read_card
from engine.connectors.stripe_money import stripe_amount
from engine.connectors.stripe_requests import TRANSACTION, card_body, charge_body, search_path, setup_body
from engine.connectors.tries import Verdict, answer_of, send_repeatedly
from engine.errors import ConnectorError
from engine.log import fields
from engine.net.http import HttpError, HttpResponse, request, split_url
from engine.net.tls import TlsFiles, client_context, context_of
from engine.pay.errors import OrderError
from engine.pay.submission import ConnectorAnswer, Operation, Outcome, PaymentMethod, Submission, TokenType

__all__ = ("SEARCHABLE_S", "URL", "Stripe")

log = logging.getLogger("engine.connectors.stripe")

URL = "https://api.stripe.com"
SEARCHABLE_S = 2 * 3600.0
"Age in seconds from which a transaction that the search does not find was never received: twice Stripe's worst lag."
_TOKEN = re.compile(r"[A-Za-z0-9_.-]+")
_UNDECIDED_WHEN_YOUNG = frozenset({"requires_confirmation", "requires_payment_method"})


class Stripe:
    """Charges and keeps cards through one Stripe account.

    ``key`` is the account's secret or restricted key. ``moto`` marks what is charged as mail order, telephone order.
    ``customer`` (``cus_...``) gets the cards that are kept for reuse. ``timeout_s`` bounds each try, ``repeats`` the
    tries beyond the first of each request. ``clock`` is a monotonic one in seconds. Raise ``ConnectorError``, which
    never holds the key, for a URL or a key that can't be used.
    """

    def __init__(
        self,
        name: str,
        *,
        url: str = URL,
        key: str,
        moto: bool = True,
        customer: str = "",
        api_version: str = "",
        timeout_s: float = 10.0,
        repeats: int = 5,
        allow_insecure: bool = False,
        tls: SSLContext | TlsFiles | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        send: Callable[..., Awaitable[HttpResponse]] = request,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        try:
            target = split_url(url, allow_insecure=allow_insecure)
        except ValueError as error:
            raise ConnectorError(f"connector {name}: {error}") from None
        if target.basic_auth is not None or "?" in url:
            raise ConnectorError(f"connector {name}: the URL must name the host alone, without a password or a query")
        for what, text in (("key", key), ("api_version", api_version or "-")):
            if _TOKEN.fullmatch(text) is None:
                raise ConnectorError(
                    f"connector {name}: the {what} is empty or holds characters that Stripe never uses"
                )
        if key.startswith("pk_"):
            raise ConnectorError(f"connector {name}: the key is a publishable one; Stripe charges with a secret one")
        self._name = name
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {key}", "Accept": "application/json"}
        if api_version:
            self._headers["Stripe-Version"] = api_version
        self._moto = moto
        self._customer = customer
        self._timeout_s = timeout_s
        self._repeats = repeats
        self._allow_insecure = allow_insecure
        self._tls = (tls or client_context()) if target.is_https else None
        self._sleep = sleep
        self._send = send
        self._clock = clock
        self._made_at = clock()
        self._sent_at: dict[str, float] = {}
        "When the last try of a transaction ended; those older than SEARCHABLE_S are let go."

    @property
    def name(self) -> str:
        """The connector's name in the configuration."""
        return self._name

    @property
    def capabilities(self) -> Capabilities:
        """Cards, charged or kept, as any kind of token."""
        return Capabilities(
            token_types=frozenset(TokenType),
            amount_of=stripe_amount,
            looks_up=True,
            absence_final_after_s=SEARCHABLE_S,
        )

    async def submit(self, submission: Submission) -> ConnectorAnswer:
        """Charge or keep a card and return what became of it; card number and security code are wiped on the way."""
        charges = submission.operation is Operation.CHARGE
        try:
            if submission.method is not PaymentMethod.CREDIT_CARD or submission.card_number is None:
                return answer_of(Outcome.FAILED, "unsupported_method", "this connector takes cards only")
            try:
                amount = stripe_amount(submission.amount, submission.currency) if charges else 0
            except OrderError as error:
                return answer_of(Outcome.FAILED, f"invalid_{error.field}", str(error))
            verdict = await self._make_payment_method(submission)
        finally:
            _wipe(submission)  # law 1
        card = verdict.payment_method
        if not card:
            return verdict.answer
        self._note(submission.transaction_id)
        try:
            if charges:
                return await self._charge(submission, card, amount)
            return await self._keep(submission, card)
        finally:
            self._note(submission.transaction_id)

    async def look_up(self, transaction_id: str) -> ConnectorAnswer | None:
        """Return what became of an earlier charge; None while that is not certain, see the module."""
        is_old = self._age_s(transaction_id) >= SEARCHABLE_S
        found = await self._get(search_path(transaction_id))
        ids = found_ids(found, TRANSACTION, transaction_id) if found is not None else None
        if ids is None:
            return None
        if not ids:
            message = "Stripe has no payment of this transaction"
            return answer_of(Outcome.FAILED, "not_found", message) if is_old else None
        answers = []
        for intent_id in ids:
            response = await self._get(f"/v1/payment_intents/{intent_id}")
            intent = members_of(response) if response is not None and response.status == 200 else None
            answer = intent_answer(intent) if intent is not None and intent.get("id") == intent_id else None
            if answer is not None and answer.outcome is Outcome.SUCCEEDED:
                return answer
            answers.append(answer)
        for answer in answers:
            if answer is None or answer.outcome is Outcome.UNKNOWN:
                return None
            if answer.error_code in _UNDECIDED_WHEN_YOUNG and not is_old:
                return None  # Stripe may be in the middle of it
        return answers[0]

    async def close(self) -> None:
        """Do nothing: no connection outlives its request."""

    async def _make_payment_method(self, submission: Submission) -> Verdict:
        body = card_body(submission)
        secrets = (submission.card_number, submission.security_code)
        n_failures = 0

        def key() -> str:
            # A 5xx is kept under its key. Nothing is lost by another key here, and an answer may be won.
            return f"{submission.transaction_id}-card" + (f"-{n_failures}" if n_failures else "")

        def read(response: HttpResponse) -> Verdict:
            nonlocal n_failures
            verdict = read_card(response, secrets)
            if response.status < 500:
                return verdict
            n_failures += 1
            return replace(verdict, repeat=True)

        try:
            verdict, _ = await self._post("/v1/payment_methods", submission, body, key, read)
        finally:
            wipe_body(body)
        return verdict.harmless()

    async def _charge(self, submission: Submission, card: str, amount: int) -> ConnectorAnswer:
        body = charge_body(submission, card, amount, moto=self._moto)
        verdict, doubt = await self._post(
            "/v1/payment_intents",
            submission,
            body,
            lambda: submission.transaction_id,
            lambda response: read_answer(response, "payment_intent"),
        )
        return verdict.settled(after_doubt=doubt)

    async def _keep(self, submission: Submission, card: str) -> ConnectorAnswer:
        if submission.token_type is not TokenType.REUSABLE:
            # A PaymentMethod that belongs to no customer can be charged once.
            return ConnectorAnswer(outcome=Outcome.SUCCEEDED, token_id=card)
        body = setup_body(submission, card, moto=self._moto, customer=self._customer)
        verdict, _ = await self._post(
            "/v1/setup_intents",
            submission,
            body,
            lambda: f"{submission.transaction_id}-setup",
            lambda response: read_answer(response, "setup_intent"),
        )
        answer = verdict.harmless().answer
        # The customer is whom the token belongs to (D-48).
        return replace(answer, profile_id=self._customer) if answer.outcome is Outcome.SUCCEEDED else answer

    async def _post(
        self,
        path: str,
        submission: Submission,
        body: bytearray,
        key: Callable[[], str],
        read: Callable[[HttpResponse], Verdict],
    ) -> tuple[Verdict, bool]:
        """Send ``body`` while that is of use; return the last verdict, and whether an earlier try left a doubt."""
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return await send_repeatedly(
            lambda: self._request("POST", path, headers | {"Idempotency-Key": key()}, body),
            read,
            repeats=self._repeats,
            sleep=self._sleep,
            connector=self._name,
            transaction=submission.transaction_id,
            request=path,
        )

    async def _get(self, path: str) -> HttpResponse | None:
        try:
            return await self._request("GET", path, {}, bytearray())
        except HttpError as error:
            log.warning("Stripe could not be asked", extra=fields(connector=self._name, reason=str(error)))
            return None

    async def _request(self, method: str, path: str, headers: dict[str, str], body: bytearray) -> HttpResponse:
        return await self._send(
            method,
            self._url + path,
            headers=self._headers | headers,
            body=body,
            timeout_s=self._timeout_s,
            tls=context_of(self._tls),
            allow_insecure=self._allow_insecure,
        )

    def _note(self, transaction_id: str) -> None:
        now = self._clock()
        self._sent_at.pop(transaction_id, None)  # the newest stands last
        self._sent_at[transaction_id] = now
        while now - self._sent_at[oldest := next(iter(self._sent_at))] >= SEARCHABLE_S:
            del self._sent_at[oldest]

    def _age_s(self, transaction_id: str) -> float:
        """Return how old a transaction is at least, in seconds."""
        return self._clock() - self._sent_at.get(transaction_id, self._made_at)


def _wipe(submission: Submission) -> None:
    for secret in (submission.card_number, submission.security_code, submission.account_number):
        if secret is not None:
            secret.wipe()
