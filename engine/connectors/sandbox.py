"""The built-in test gateway: answers by published test numbers of cards and bank accounts, takes no money.

It behaves as a careful gateway does: a transaction id is carried out once and every repeat gets the first answer, what
it received is on the disk before it answers, and nothing but masked values is kept. Faults can be scripted, from the
configuration or by ``inject``:

====================  ===============================================  ======================  ===================
fault                 what happens                                     answer of ``submit``    kept by the gateway
====================  ===============================================  ======================  ===================
``none``              nothing special                                  by number               yes
``decline``           refused, whatever the number                     ``DECLINED``            yes
``decline:CODE``      refused with a code of ``table.ERROR_TYPES``     by code                 yes
``delay:SECONDS``     answers late                                     by number               yes
``unreachable``       no connection                                    ``FAILED``              no
``reset_before``      connection lost before the payment arrived       ``UNKNOWN``             no
``http_500``          server error, nothing done                       ``UNKNOWN``             no
``reset_after``       carried out, connection lost before the answer   ``UNKNOWN``             yes
``http_500_after``    carried out, then a server error                 ``UNKNOWN``             yes
``garbage``           carried out, answer cannot be read               ``UNKNOWN``             yes
``drip:SECONDS``      carried out, the answer comes drop by drop and   ``UNKNOWN``             yes
                      is given up after that time
====================  ===============================================  ======================  ===================

``delay:SECONDS+FAULT`` is the fault after a delay, such as ``delay:2+reset_after``.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import sqlite3
import tomllib
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from importlib import resources
from typing import Any

import aiosqlite

from engine.connectors.protocol import Capabilities
from engine.connectors.table import ERROR_TYPES, classify
from engine.errors import ConnectorError
from engine.pay.accounts import mask_account, routing_is_valid
from engine.pay.secret import Secret
from engine.pay.submission import ConnectorAnswer, Operation, Outcome, PaymentMethod, Submission, TokenType
from engine.redact import mask_card

__all__ = ("SandboxFault", "SandboxGateway", "TestCard", "load_test_accounts", "load_test_cards")

MAX_DELAY_S = 600.0
BUSY_TIMEOUT_S = 5.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS transactions (
    id INTEGER PRIMARY KEY,
    transaction_id TEXT NOT NULL UNIQUE,
    received_at TEXT NOT NULL,
    operation TEXT NOT NULL,
    method TEXT NOT NULL,
    card_number TEXT NOT NULL,
    card_type TEXT NOT NULL,
    amount TEXT NOT NULL,
    currency TEXT NOT NULL,
    outcome TEXT NOT NULL,
    charge_id TEXT NOT NULL,
    token_id TEXT NOT NULL,
    error_code TEXT NOT NULL,
    error_message TEXT NOT NULL,
    times_received INTEGER NOT NULL DEFAULT 1
)
"""
_LISTED = (
    "transaction_id, received_at, operation, method, card_number, card_type, amount, currency, outcome, charge_id, "
    "token_id, error_code, error_message, times_received"
)
_TOKEN_PREFIXES = {TokenType.REUSABLE: "tok", TokenType.ONE_TIME: "one", TokenType.PAYMENT_METHOD: "pm"}
_LETTERS = str.maketrans("0123456789", "ghijklmnop")


class _Kind(StrEnum):
    NONE = "none"
    DECLINE = "decline"
    DELAY = "delay"
    UNREACHABLE = "unreachable"
    RESET_BEFORE = "reset_before"
    RESET_AFTER = "reset_after"
    HTTP_500 = "http_500"
    HTTP_500_AFTER = "http_500_after"
    GARBAGE = "garbage"
    DRIP = "drip"


# What the sender sees of a payment that never reached the books, and of one that did while its answer got lost.
_LOST: Mapping[_Kind, tuple[Outcome, str, str]] = {
    _Kind.UNREACHABLE: (Outcome.FAILED, "unreachable", "the gateway cannot be reached"),
    _Kind.RESET_BEFORE: (Outcome.UNKNOWN, "no_answer", "the connection was lost before an answer came"),
    _Kind.HTTP_500: (Outcome.UNKNOWN, "http_500", "the gateway reported an internal error"),
}
_UNHEARD: Mapping[_Kind, tuple[Outcome, str, str]] = {
    _Kind.RESET_AFTER: (Outcome.UNKNOWN, "no_answer", "the connection was lost before an answer came"),
    _Kind.HTTP_500_AFTER: (Outcome.UNKNOWN, "http_500", "the gateway reported an internal error"),
    _Kind.GARBAGE: (Outcome.UNKNOWN, "bad_answer", "the gateway's answer cannot be read"),
    _Kind.DRIP: (Outcome.UNKNOWN, "no_answer", "the gateway did not finish its answer in time"),
}
_ARGUMENTS = {_Kind.DELAY: ":SECONDS", _Kind.DRIP: ":SECONDS", _Kind.DECLINE: "[:CODE]"}


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxFault:
    """One scripted fault."""

    kind: str
    delay_s: float = 0.0
    "Before the payment arrives."
    drip_s: float = 0.0
    "From the payment to the moment at which its answer is given up."
    code: str = ""
    "With which it is refused."

    @classmethod
    def parse(cls, text: str) -> SandboxFault:
        """Return the fault that ``text`` names, such as ``delay:2``; raise ``ConnectorError`` for any other text."""
        first, plus, second = text.strip().partition("+")
        fault = cls._parse_one(first)
        if not plus:
            return fault
        other = cls._parse_one(second)
        if fault.kind != _Kind.DELAY or other.kind == _Kind.DELAY:
            raise ConnectorError(f"{text!r}: only a delay goes before another fault, such as delay:2+reset_after")
        return replace(other, delay_s=fault.delay_s)

    @classmethod
    def _parse_one(cls, text: str) -> SandboxFault:
        name, colon, argument = text.partition(":")
        if name not in tuple(_Kind):
            known = ", ".join(f"{kind}{_ARGUMENTS.get(kind, '')}" for kind in _Kind)
            raise ConnectorError(f"{text!r} is no fault of the sandbox; known are {known}")
        kind = _Kind(name)
        if kind is _Kind.DECLINE:
            if colon and argument not in ERROR_TYPES:
                raise ConnectorError(f"{argument!r} is no code that the sandbox declines with")
            return cls(kind=kind, code=argument or "card_declined")
        if kind in (_Kind.DELAY, _Kind.DRIP):
            try:
                seconds = float(argument)
            except ValueError:
                seconds = -1.0
            if not 0.0 <= seconds <= MAX_DELAY_S:
                raise ConnectorError(f"the sandbox's {name} takes 0 to {MAX_DELAY_S:g} seconds, not {argument!r}")
            return cls(kind=kind, delay_s=seconds) if kind is _Kind.DELAY else cls(kind=kind, drip_s=seconds)
        if colon:
            raise ConnectorError(f"the sandbox's fault {name!r} takes no argument")
        return cls(kind=kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class TestCard:
    """How the sandbox answers to one published test number, a card's or an account's."""

    __test__ = False  # the name is no invitation to pytest

    last_four: str
    brand: str
    "Empty for an account."
    error_code: str
    "Empty: accepted."
    tokenizes: bool = False
    "Whether it is refused for charges only."


def load_test_accounts() -> Mapping[str, TestCard]:
    """Return the shipped table of bank accounts, by the SHA-256 (hex) of the account number's ASCII digits."""
    return _load("account")


def load_test_cards() -> Mapping[str, TestCard]:
    """Return the shipped table of cards, by the SHA-256 (hex) of the number's ASCII digits."""
    return _load("card")


def _load(kind: str) -> Mapping[str, TestCard]:
    text = resources.files("engine.connectors").joinpath("sandbox_cards.toml").read_text(encoding="utf-8")
    return {
        row["sha256"]: TestCard(
            last_four=row["last_four"],
            brand=row.get("brand", ""),
            error_code=row.get("error_code", ""),
            tokenizes=row.get("tokenizes", False),
        )
        for row in tomllib.loads(text)[kind]
    }


def _utc_now() -> datetime:
    return datetime.now(UTC)


class SandboxGateway:
    """The gateway, and the connector to it. Made by ``await SandboxGateway.open(...)``."""

    def __init__(
        self,
        name: str,
        database: aiosqlite.Connection,
        *,
        faults: Iterable[str],
        sleep: Callable[[float], Awaitable[None]],
        clock: Callable[[], datetime],
    ) -> None:
        self._name = name
        self._database = database
        self._sleep = sleep
        self._clock = clock
        self._numbers = {
            PaymentMethod.CREDIT_CARD: load_test_cards(),
            PaymentMethod.ACH_DEBIT: load_test_accounts(),
        }
        self._faults = deque(SandboxFault.parse(text) for text in faults)
        self._faults_by_transaction: dict[str, SandboxFault] = {}
        self._books = asyncio.Lock()

    @classmethod
    async def open(
        cls,
        name: str,
        *,
        database: str,
        faults: Iterable[str] = (),
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], datetime] = _utc_now,
    ) -> SandboxGateway:
        """Open the gateway with its books in the SQLite file ``database``; raise ``ConnectorError`` when it can't be.

        ``faults`` befall the next payments, one each, in order.
        """
        faults = [*faults]
        for text in faults:
            SandboxFault.parse(text)
        try:
            os.close(os.open(database, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            connection = await aiosqlite.connect(database, timeout=BUSY_TIMEOUT_S, isolation_level=None)
        except (OSError, sqlite3.Error) as error:
            raise ConnectorError(f"the sandbox cannot open {database}: {error}; check that its folder exists") from None
        try:
            for statement in ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL", _SCHEMA):
                await (await connection.execute(statement)).close()
        except sqlite3.Error as error:
            await connection.close()
            raise ConnectorError(f"the sandbox cannot use {database}: {error}") from None
        return cls(name, connection, faults=faults, sleep=sleep, clock=clock)

    @staticmethod
    def read(database: str) -> list[dict[str, Any]]:
        """Return what the books in ``database`` hold, masked, the oldest first; works beside a running engine."""
        with closing(sqlite3.connect(database, timeout=BUSY_TIMEOUT_S)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(f"SELECT {_LISTED} FROM transactions ORDER BY id")]

    @property
    def name(self) -> str:
        """The connector's name in the configuration."""
        return self._name

    @property
    def capabilities(self) -> Capabilities:
        """Cards and bank accounts, in tokens of every type. It lives in the engine: without it nothing is under way."""
        return Capabilities(
            methods=frozenset(PaymentMethod),
            token_types=frozenset(TokenType),
            looks_up=True,
            absence_final_after_s=0.0,
        )

    def inject(self, *faults: str) -> None:
        """Let ``faults`` befall the next payments, one each, behind those that already wait."""
        self._faults.extend([SandboxFault.parse(text) for text in faults])

    def inject_for(self, transaction_id: str, fault: str) -> None:
        """Let ``fault`` befall one transaction, once."""
        self._faults_by_transaction[transaction_id] = SandboxFault.parse(fault)

    async def submit(self, submission: Submission) -> ConnectorAnswer:
        """Carry one payment out, once per transaction id; see the module for faults."""
        fault = self._faults_by_transaction.pop(submission.transaction_id, None)
        if fault is None:
            fault = self._faults.popleft() if self._faults else SandboxFault(kind=_Kind.NONE)
        kind = _Kind(fault.kind)
        if fault.delay_s:
            await self._sleep(fault.delay_s)
        if lost := _LOST.get(kind):
            return _refusal(*lost)
        try:
            answer = await self._book(submission, self._decide(submission, fault.code))
        except sqlite3.Error as error:
            # The row may or may not be there: what a gateway with a broken disk would leave us with.
            return _refusal(Outcome.UNKNOWN, "sandbox_database", f"the sandbox's database failed: {error}")
        if fault.drip_s:
            await self._sleep(fault.drip_s)
        if unheard := _UNHEARD.get(kind):
            return _refusal(*unheard)
        return answer

    async def look_up(self, transaction_id: str) -> ConnectorAnswer | None:
        """Return the answer in the books, ``FAILED`` with ``not_found`` when there is none."""
        try:
            answer = await self._stored(transaction_id)
        except sqlite3.Error:
            return None
        return answer or _refusal(Outcome.FAILED, "not_found", "the gateway never received it")

    async def transactions(self) -> list[dict[str, Any]]:
        """Return everything that was received, masked, the oldest first."""
        async with self._database.execute(f"SELECT {_LISTED} FROM transactions ORDER BY id") as cursor:
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in await cursor.fetchall()]

    async def close(self) -> None:
        """Close the books."""
        await self._database.close()

    def _decide(self, submission: Submission, code: str) -> ConnectorAnswer:
        number = _number_of(submission)
        if number is None:
            return _refusal(Outcome.FAILED, "incomplete", "the payment has no number to charge")
        if code:
            return _declined(code)
        if submission.method is PaymentMethod.ACH_DEBIT and not routing_is_valid(submission.routing_number.encode()):
            return _declined("routing_number_invalid")
        with number.view() as digits:
            # Looked up by hash: the number is neither copied nor compared in clear.
            row = self._numbers[submission.method].get(hashlib.sha256(digits).hexdigest())
        if row is None:
            is_card = submission.method is PaymentMethod.CREDIT_CARD
            return _declined("test_cards_only" if is_card else "test_accounts_only")
        if row.error_code and not (row.tokenizes and submission.operation is Operation.TOKENIZE):
            return _declined(row.error_code)
        identity = hashlib.sha256(submission.transaction_id.encode()).hexdigest()[:24].translate(_LETTERS)
        # Letters only: a run of digits could be taken for a card number by whoever masks logs.
        if submission.operation is Operation.CHARGE:
            return ConnectorAnswer(outcome=Outcome.SUCCEEDED, charge_id=f"ch_{identity}")
        token_id = f"{_TOKEN_PREFIXES[submission.token_type]}_{identity}"
        return ConnectorAnswer(outcome=Outcome.SUCCEEDED, token_id=token_id, profile_id=_profile_of(token_id))

    async def _book(self, submission: Submission, answer: ConnectorAnswer) -> ConnectorAnswer:
        """Store ``answer`` unless the transaction has one already; return the one that holds."""
        row = (
            submission.transaction_id,
            self._clock().isoformat(timespec="milliseconds"),
            submission.operation.value,
            submission.method.value,
            _masked(submission),
            submission.card_type or submission.account_type,
            submission.amount,
            submission.currency,
            answer.outcome.value,
            answer.charge_id,
            answer.token_id,
            answer.error_code,
            answer.error_message,
            1,
        )
        insert = (
            f"INSERT INTO transactions ({_LISTED}) VALUES ({', '.join('?' * len(row))}) "
            "ON CONFLICT (transaction_id) DO UPDATE SET times_received = times_received + 1"
        )
        async with self._books:
            await (await self._database.execute(insert, row)).close()
        return await self._stored(submission.transaction_id) or answer

    async def _stored(self, transaction_id: str) -> ConnectorAnswer | None:
        query = (
            "SELECT outcome, charge_id, token_id, error_code, error_message FROM transactions WHERE transaction_id = ?"
        )
        async with self._database.execute(query, (transaction_id,)) as cursor:
            row = await cursor.fetchone()
        if row is None:
            return None
        outcome, error_type = Outcome(row[0]), ""
        if outcome is Outcome.DECLINED:
            error_type = classify(row[3])[1]
        return ConnectorAnswer(
            outcome=outcome,
            charge_id=row[1],
            token_id=row[2],
            profile_id=_profile_of(row[2]),
            error_code=row[3],
            error_message=row[4],
            error_type=error_type,
        )


def _number_of(submission: Submission) -> Secret | None:
    is_card = submission.method is PaymentMethod.CREDIT_CARD
    return submission.card_number if is_card else submission.account_number


def _masked(submission: Submission) -> str:
    number = _number_of(submission)
    if number is None:
        return ""
    if submission.method is PaymentMethod.CREDIT_CARD:
        return mask_card(number.last_four(), len(number))
    with number.view() as digits:
        return mask_account(digits)


def _profile_of(token_id: str) -> str:
    """Return the payer's profile that goes with a reusable token, as gateways keep one; empty for any other."""
    prefix, _, identity = token_id.partition("_")
    return f"cus_{identity}" if prefix == _TOKEN_PREFIXES[TokenType.REUSABLE] else ""


_MESSAGES = {
    "test_accounts_only": "the sandbox takes published test accounts only",
    "routing_number_invalid": "there is no bank with this routing number",
    "test_cards_only": "the sandbox takes published test cards only",
    "expired_card": "the card has expired",
    "incorrect_cvc": "the security code is wrong",
    "processing_error": "the processor failed",
}


def _declined(code: str) -> ConnectorAnswer:
    outcome, error_type = classify(code)
    message = _MESSAGES.get(code, "the card was declined")
    return ConnectorAnswer(outcome=outcome, error_code=code, error_message=message, error_type=error_type)


def _refusal(outcome: Outcome, code: str, message: str) -> ConnectorAnswer:
    return ConnectorAnswer(outcome=outcome, error_code=code, error_message=message)
