"""Fuzz target: what a gateway answers, read by every connector.

Runs by ``tests/fuzz/drive.py`` or under atheris. The first octet chooses the status, the rest is the body. What must
hold for any of them: an outcome and no exception; no number that the caller keyed in it; success only for status 200
with an id; nothing called refused where an id stands; every text short.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":  # run as a file, the repository is not on the path
    sys.path.insert(0, str(Path(__file__).parents[2]))

from dataclasses import replace

from engine.connectors import stripe_answers
from engine.connectors.generic import MAX_ID, MAX_MESSAGE, MAX_PARAMETERS, read_answer
from engine.net.http import HttpResponse
from engine.pay.submission import Operation, Outcome
from tests.support.payments import ACCOUNT, VISA, bank_debit_of, submission_of

__all__ = ("SEEDS", "one_input")

STATUSES = (200, 201, 204, 400, 401, 402, 404, 408, 409, 422, 429, 500, 503)
SUBMISSIONS = (submission_of(), replace(submission_of(), operation=Operation.TOKENIZE, amount=""), bank_debit_of())
SEEDS = (
    b'\x00{"charge_id":"ch_1","error_code":null,"error_message":null}',
    b'\x00{"token_id":"tok_1","profile_id":"cus_1","parameters":{"a":"b","n":7,"deep":{"x":[1]}}}',
    b'\x03{"charge_id":null,"error_code":"insufficient_funds","error_message":"card 4242424242424242 refused"}',
    b'\x05{"charge_id":null,"error_code":51,"error_message":"cvv 123, account 123456789"}',
    b'\x00{"charge_id":4242424242424242,"parameters":{"4242424242424242":"4242 4242 4242 4242"}}',
    b'\x00{"charge_id":"ch_1","error_code":"card_declined"}',
    b'\x04{"error_code":"expired_card"}',
    b'\x00{"charge_id":NaN,"error_code":1e999,"x":"\\ud800"}',
    b'\x00{"object":"payment_intent","id":"pi_1","status":"succeeded","latest_charge":"ch_1"}',
    b'\x00{"object":"payment_intent","id":"pi_1","status":"requires_payment_method","last_payment_error":{"code":"x"}}',
    b'\x00{"object":"setup_intent","id":"seti_1","status":"succeeded","payment_method":"pm_1"}',
    b'\x00{"object":"payment_method","id":"pm_1"}',
    b'\x00{"object":"search_result","data":[{"id":"pi_1","metadata":{"transaction_id":"t"}}]}',
    b'\x05{"error":{"type":"card_error","code":"card_declined","decline_code":"lost_card","message":"4242424242424242"}}',
    b"\x00" + b"[" * 200,
    b"\x0a",
    b"\x0b<html>",
)


def one_input(data: bytes) -> None:
    """Read the answer for a charge, a token and a bank debit; raises whatever should not happen."""
    status = STATUSES[data[0] % len(STATUSES)] if data else 200
    response = HttpResponse(status=status, headers=(), body=data[1:])
    for submission in SUBMISSIONS:
        verdict = read_answer(response, submission)
        answer = verdict.answer
        number = ACCOUNT if submission.card_number is None else VISA
        assert number not in repr(answer)
        assert max(len(answer.charge_id), len(answer.token_id), len(answer.profile_id)) <= MAX_ID
        assert len(answer.error_code) <= MAX_MESSAGE
        assert len(answer.error_message) <= MAX_MESSAGE
        assert len(answer.parameters) <= MAX_PARAMETERS
        texts = (answer.charge_id, answer.token_id, answer.profile_id, answer.error_code, answer.error_message)
        for text in (*texts, *answer.parameters, *answer.parameters.values()):
            text.encode()  # no lone surrogate goes on to a database or a webhook
        if answer.outcome is Outcome.SUCCEEDED:
            assert status == 200
            assert not verdict.repeat
            assert answer.charge_id if submission.operation is Operation.CHARGE else answer.token_id
            assert not answer.error_code
        else:
            assert answer.charge_id == answer.token_id == ""
        assert verdict.may_have_charged == (answer.outcome is Outcome.UNKNOWN)
    _by_stripe(response)


def _by_stripe(response: HttpResponse) -> None:
    card = SUBMISSIONS[0].card_number
    made = stripe_answers.read_card(response, [card])
    assert made.answer.outcome is not Outcome.SUCCEEDED
    assert not made.payment_method or response.status == 200
    for kind in ("payment_intent", "setup_intent"):
        answer = stripe_answers.read_answer(response, kind).answer
        assert VISA not in repr(made) + repr(answer)
        if answer.outcome is Outcome.SUCCEEDED:
            assert response.status == 200
            assert answer.charge_id if kind == "payment_intent" else answer.token_id
    for identity in stripe_answers.found_ids(response, "transaction_id", "t") or ():
        assert identity


if __name__ == "__main__":
    import atheris  # type: ignore[import-untyped,unused-ignore]

    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
