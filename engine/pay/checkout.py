"""The money part of a payment: what was collected, the attempt at the connector, its answer, and the result.

Both machines, the one that asks by itself and the one that an agent drives, hold one of these. It knows no states.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from types import MappingProxyType
from typing import Any

from engine.pay.collected import Collected
from engine.pay.fields import ErrorType
from engine.pay.order import PayOrder
from engine.pay.results import ConnectorFault, MaskedFields, PayResult, Result
from engine.pay.submission import ConnectorAnswer, Outcome, PaymentMethod, Submission, TokenType

__all__ = ("FIXABLE", "Checkout")

FIXABLE = frozenset(
    {
        ErrorType.CARD_DECLINED,
        ErrorType.CARD_NUMBER,
        ErrorType.CARD_TYPE,
        ErrorType.DATE,
        ErrorType.SECURITY_CODE,
        ErrorType.POSTAL_CODE,
        ErrorType.ROUTING_NUMBER,
        ErrorType.ACCOUNT_NUMBER,
    }
)
"What the caller can put right by keying again (`cards.json`): these are declines, whatever the connector calls them."


class Checkout:
    """One payment's fields and attempts. ``transaction_id`` gives a fresh identity for each submission."""

    def __init__(self, order: PayOrder, *, transaction_id: Callable[[], str]) -> None:
        self._order = order
        self._new_transaction_id = transaction_id
        self._transaction_id = ""
        self._outstanding = False
        self._n_submissions = 0
        self._answer: ConnectorAnswer | None = None
        self._error = ""
        self.collected = self._nothing_collected()

    def begin(self) -> None:
        """Forget what was collected, masks included."""
        self.collected.wipe()
        self.collected = self._nothing_collected()

    def submit(self) -> Submission:
        """Return what goes to the connector, under a fresh identity; from now on an answer is outstanding."""
        self._transaction_id = self._new_transaction_id()
        self._outstanding = True
        self._n_submissions += 1
        order, collected = self._order, self.collected
        return Submission(
            transaction_id=self._transaction_id,
            operation=order.operation,
            method=PaymentMethod(order.method),
            card_number=collected.card_number,
            security_code=collected.security_code,
            card_type=collected.masked.card_type,
            expiry_month=collected.expiry_month,
            expiry_year=collected.expiry_year,
            postal_code=collected.postal_code,
            routing_number=collected.routing_number,
            account_number=collected.account_number,
            account_type=order.bank_account_type if order.method == PaymentMethod.ACH_DEBIT else "",
            amount=order.charged_amount,
            currency=order.currency,
            token_type=TokenType(order.token_type),
            description=order.description,
            parameters=order.parameters,
        )

    def take_answer(self, answer: ConnectorAnswer, transaction_id: str | None) -> bool:
        """Take the connector's last word and wipe the secrets; return whether it was one.

        It is none when nothing is outstanding, or ``transaction_id`` is given and is not the outstanding one.
        """
        if not self._outstanding or transaction_id not in (None, self._transaction_id):
            return False
        self._outstanding = False
        self._answer = self._without_echo(answer)
        self.collected.wipe()
        self._error = self._error_of(answer)
        return True

    @property
    def is_paid(self) -> bool:
        """Whether the last attempt succeeded."""
        return self._answer is not None and self._answer.outcome is Outcome.SUCCEEDED

    @property
    def error(self) -> str:
        """What the caller can put right after the last answer; empty when paid, and where asking again would not do."""
        return self._error

    @property
    def masked(self) -> dict[str, Any]:
        """What was collected, as far as it may be shown, by the names of `MaskedFields`."""
        return {field.name: getattr(self.collected.masked, field.name) for field in fields(MaskedFields)}

    def wipe(self) -> None:
        """Wipe the secrets; the masks stay."""
        self.collected.wipe()

    def result(self, result: Result, *, error: str, hung_up: bool, stopped: bool) -> PayResult:
        """Return the payment's end; ``error`` is the last error of an entry or an answer."""
        answer, paid = self._answer, result is Result.SUCCESS
        refused = answer is not None and not paid
        message = answer.error_message if answer is not None and refused else ""
        code = answer.error_code if answer is not None and refused else ""
        exhausted = result is Result.TOO_MANY_FAILED_ATTEMPTS
        return PayResult(
            result=result,
            operation=self._order.operation,
            payment_method=PaymentMethod(self._order.method),
            transaction_id=self._transaction_id,
            outcome=answer.outcome if answer is not None else None,
            charge_id=answer.charge_id if answer is not None and paid else "",
            token_id=answer.token_id if answer is not None and paid else "",
            profile_id=answer.profile_id if answer is not None and paid else "",
            payment_error=error if exhausted else message or (error if refused else ""),
            payment_error_code=code,
            connector_error=ConnectorFault(code=code, message=message) if code or message else None,
            parameters=answer.parameters if answer is not None else MappingProxyType({}),
            attempts=self._n_submissions,
            hung_up=hung_up,
            stopped=stopped,
            **self.masked,
        )

    def _error_of(self, answer: ConnectorAnswer) -> str:
        if answer.outcome in (Outcome.SUCCEEDED, Outcome.UNKNOWN):
            return ""  # unknown: money may have moved, never ask again
        if answer.error_type in FIXABLE:
            return answer.error_type
        return ErrorType.CARD_DECLINED if answer.outcome is Outcome.DECLINED and not answer.error_type else ""

    def _without_echo(self, answer: ConnectorAnswer) -> ConnectorAnswer:
        clean = self.collected.without_echo
        parameters = {clean(name): clean(value) for name, value in answer.parameters.items()}
        return replace(
            answer,
            charge_id=clean(answer.charge_id),
            token_id=clean(answer.token_id),
            profile_id=clean(answer.profile_id),
            error_code=clean(answer.error_code),
            error_message=clean(answer.error_message, free_text=True),
            parameters=MappingProxyType(parameters),
        )

    def _nothing_collected(self) -> Collected:
        order, known = self._order, self._order.postal_code
        return Collected(
            mask_char=order.mask_char,
            mask_style=order.mask_style,
            postal_code=known if isinstance(known, str) else "",
        )
