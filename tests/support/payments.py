"""Payments for tests: published test numbers only."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from engine.pay.secret import Secret
from engine.pay.submission import Operation, PaymentMethod, Submission

__all__ = ("ACCOUNT", "VISA", "SlidingClock", "bank_debit_of", "secret_of", "submission_of")

VISA = "4242424242424242"
ACCOUNT = "123456789"


def secret_of(digits: str) -> Secret:
    """Return a secret with these digits."""
    secret = Secret(max(len(digits), 1))
    for digit in digits:
        secret.append(int(digit))
    return secret


def submission_of(number: str = VISA, *, security_code: str = "123", **changes: Any) -> Submission:
    """Return a card payment of 10.55 with every field filled in."""
    submission = Submission(
        transaction_id="7f4c9d0a-2d8e-4a55-9a0e-5f1c6b7d8e90",
        operation=Operation.CHARGE,
        card_number=secret_of(number),
        security_code=secret_of(security_code),
        card_type="visa",
        expiry_month="12",
        expiry_year="30",
        postal_code="94105",
        amount="10.55",
        currency="usd",
        description="Donation",
    )
    return replace(submission, **changes)


def bank_debit_of(account: str = ACCOUNT, **changes: Any) -> Submission:
    """Return a bank debit of 10.55 with every field filled in."""
    submission = Submission(
        transaction_id="7f4c9d0a-2d8e-4a55-9a0e-5f1c6b7d8e90",
        operation=Operation.CHARGE,
        method=PaymentMethod.ACH_DEBIT,
        routing_number="121181976",
        account_number=secret_of(account),
        account_type="consumer-checking",
        amount="10.55",
        currency="usd",
        description="Donation",
    )
    return replace(submission, **changes)


class SlidingClock:
    """Wall time that only moves when someone sleeps on it."""

    def __init__(self) -> None:
        self.now = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
        self.slept: list[float] = []

    def __call__(self) -> datetime:
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Let ``seconds`` pass at once."""
        self.slept.append(seconds)
        self.now += timedelta(seconds=seconds)
        await asyncio.sleep(0)
