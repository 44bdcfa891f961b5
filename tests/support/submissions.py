"""What tests do with submissions and their answers."""

from __future__ import annotations

from dataclasses import replace

from engine.pay.secret import Secret
from engine.pay.submission import ConnectorAnswer, Submission

__all__ = ("echoing", "secrets_of")


def secrets_of(submission: Submission) -> list[Secret]:
    """Return the secrets that a submission holds."""
    return [
        secret
        for secret in (submission.card_number, submission.security_code, submission.account_number)
        if secret is not None
    ]


def echoing(answer: ConnectorAnswer, submission: Submission) -> ConnectorAnswer:
    """Return an answer as of a connector that sends back what it was sent, where ``{number}`` and ``{code}`` stand."""
    number = submission.card_number or submission.account_number
    assert number is not None
    code = submission.security_code
    values = {
        "number": bytes(number.view()).decode(),
        "code": "" if code is None else bytes(code.view()).decode(),
    }
    return replace(
        answer,
        charge_id=answer.charge_id.format(**values),
        token_id=answer.token_id.format(**values),
        error_code=answer.error_code.format(**values),
        error_message=answer.error_message.format(**values),
        parameters={name.format(**values): value.format(**values) for name, value in answer.parameters.items()},
    )
