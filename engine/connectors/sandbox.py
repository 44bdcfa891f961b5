"""The built-in test gateway: answers by published test-card numbers, takes no money.

It behaves as a careful gateway does: a transaction id is carried out once and every repeat gets the first answer, what
it received is on the disk before it answers, and nothing but masked values is kept. Faults can be scripted, from the
configuration or by ``inject``:

=================  ==============================================  ======================  ===================
fault              what happens                                    answer of ``submit``    kept by the gateway
=================  ==============================================  ======================  ===================
``none``           nothing special                                 by card                 yes
``decline``        refused, whatever the card                      ``DECLINED``            yes
``delay:SECONDS``  answers late                                    by card                 yes
``unreachable``    no connection                                   ``FAILED``              no
``reset_before``   connection lost before the payment arrived      ``UNKNOWN``             no
``http_500``       server error, nothing done                      ``UNKNOWN``             no
``reset_after``    carried out, connection lost before the answer  ``UNKNOWN``             yes
``garbage``        carried out, answer cannot be read              ``UNKNOWN``             yes
=================  ==============================================  ======================  ===================
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
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from importlib import resources
from typing import Any

import aiosqlite

from engine.connectors.table import classify
from engine.errors import ConnectorError
from engine.pay.submission import ConnectorAnswer, Operation, Outcome, PaymentMethod, Submission
from engine.redact import mask_card

__all__ = ("SandboxFault", "SandboxGateway", "TestCard", "load_test_cards")

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
_LETTERS = str.maketrans("0123456789", "ghijklmnop")


class _Kind(StrEnum):
    NONE = "none"
    DECLINE = "decline"
    DELAY = "delay"
    UNREACHABLE = "unreachable"
    RESET_BEFORE = "reset_before"
    RESET_AFTER = "reset_after"
    HTTP_500 = "http_500"
    GARBAGE = "garbage"


# What the sender sees of a payment that never reached the books, and of one that did while its answer got lost.
_LOST: Mapping[_Kind, tuple[Outcome, str, str]] = {
    _Kind.UNREACHABLE: (Outcome.FAILED, "unreachable", "the gateway cannot be reached"),
    _Kind.RESET_BEFORE: (Outcome.UNKNOWN, "no_answer", "the connection was lost before an answer came"),
    _Kind.HTTP_500: (Outcome.UNKNOWN, "http_500", "the gateway reported an internal error"),
}
_UNHEARD: Mapping[_Kind, tuple[Outcome, str, str]] = {
    _Kind.RESET_AFTER: (Outcome.UNKNOWN, "no_answer", "the connection was lost before an answer came"),
    _Kind.GARBAGE: (Outcome.UNKNOWN, "bad_answer", "the gateway's answer cannot be read"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxFault:
    """One scripted fault."""

    kind: str
    delay_s: float = 0.0

    @classmethod
    def parse(cls, text: str) -> SandboxFault:
        """Return the fault that ``text`` names, such as ``delay:2``; raise ``ConnectorError`` for any other text."""
        name, colon, argument = text.strip().partition(":")
        try:
            kind = _Kind(name)
            delay_s = float(argument) if kind is _Kind.DELAY else 0.0
        except ValueError:
            known = ", ".join("delay:SECONDS" if kind is _Kind.DELAY else kind for kind in _Kind)
            raise ConnectorError(f"{text!r} is no fault of the sandbox; known are {known}") from None
        if colon and kind is not _Kind.DELAY:
            raise ConnectorError(f"the sandbox's fault {name!r} takes no argument")
        if not 0.0 <= delay_s <= MAX_DELAY_S:
            raise ConnectorError(f"the sandbox delays by 0 to {MAX_DELAY_S:g} seconds, not {argument}")
        return cls(kind=kind, delay_s=delay_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class TestCard:
    """How the sandbox answers to one published test number."""

    __test__ = False  # the name is no invitation to pytest

    last_four: str
    brand: str
    error_code: str
    "Empty: accepted."


def load_test_cards() -> Mapping[str, TestCard]:
    """Return the shipped table, by the SHA-256 (hex) of the number's ASCII digits."""
    text = resources.files("engine.connectors").joinpath("sandbox_cards.toml").read_text(encoding="utf-8")
    return {
        row["sha256"]: TestCard(last_four=row["last_four"], brand=row["brand"], error_code=row.get("error_code", ""))
        for row in tomllib.loads(text)["card"]
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
        self._cards = load_test_cards()
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
            answer = await self._book(submission, self._decide(submission, kind))
        except sqlite3.Error as error:
            # The row may or may not be there: what a gateway with a broken disk would leave us with.
            return _refusal(Outcome.UNKNOWN, "sandbox_database", f"the sandbox's database failed: {error}")
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

    def _decide(self, submission: Submission, kind: _Kind) -> ConnectorAnswer:
        number = submission.card_number
        if submission.method is not PaymentMethod.CREDIT_CARD or number is None:
            return _refusal(Outcome.FAILED, "unsupported_method", "the sandbox takes cards only")
        if kind is _Kind.DECLINE:
            return _declined("card_declined")
        with number.view() as digits:
            # Looked up by hash: the number is neither copied nor compared in clear.
            card = self._cards.get(hashlib.sha256(digits).hexdigest())
        if card is None:
            return _declined("test_cards_only")
        if card.error_code:
            return _declined(card.error_code)
        identity = hashlib.sha256(submission.transaction_id.encode()).hexdigest()[:24].translate(_LETTERS)
        # Letters only: a run of digits could be taken for a card number by whoever masks logs.
        if submission.operation is Operation.CHARGE:
            return ConnectorAnswer(outcome=Outcome.SUCCEEDED, charge_id=f"ch_{identity}")
        return ConnectorAnswer(outcome=Outcome.SUCCEEDED, token_id=f"tok_{identity}")

    async def _book(self, submission: Submission, answer: ConnectorAnswer) -> ConnectorAnswer:
        """Store ``answer`` unless the transaction has one already; return the one that holds."""
        number = submission.card_number
        masked = "" if number is None else mask_card(number.last_four(), len(number))
        row = (
            submission.transaction_id,
            self._clock().isoformat(timespec="milliseconds"),
            submission.operation.value,
            submission.method.value,
            masked,
            submission.card_type,
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
            error_code=row[3],
            error_message=row[4],
            error_type=error_type,
        )


_MESSAGES = {
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
