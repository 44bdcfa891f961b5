"""Fuzz target: any form as a request to the Payments resource (create and update), `dialects.md` §5.2 and §5.3.

Runs by ``tests/fuzz/drive.py`` or under atheris. What must hold for any form: a request in its bounds or a
`RequestRefused` with a number of the vendor's; no refusal that repeats what was sent, no repr that shows it; the same
form in another order is the same request.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qsl

if __name__ == "__main__":  # run as a file, the repository is not on the path
    sys.path.insert(0, str(Path(__file__).parents[2]))

from engine.dialects.payments import CAPTURES, RequestRefused, RequestSettings, read_create, read_update
from engine.dialects.payments.requests import CreateRequest
from engine.net.http import split_url

__all__ = ("SEEDS", "one_input")

ALWAYS = b"IdempotencyKey=k1&StatusCallback=https%3A%2F%2Fapp.example%2Fp&"
SEEDS = (
    ALWAYS + b"ChargeAmount=20.45&Currency=usd&PaymentConnector=Default&PostalCode=false&SecurityCode=true&Timeout=5",
    ALWAYS + b"Parameter=%7B%22AVSName%22%3A%20%22Joe%22%2C%20%22n%22%3A%201.50%7D&PaymentMethod=ach-debit",
    ALWAYS + b"ValidCardTypes=visa%20jcb&RequireMatchingInputs=payment-card-number,security-code&Confirmation=true",
    ALWAYS + b"TokenType=one-time&MinPostalCodeLength=5&Description=a&BankAccountType=consumer-savings&Input=dtmf",
    ALWAYS + b"Capture=payment-card-number-matcher",
    ALWAYS + b"Status=complete&Capture=",
    b"IdempotencyKey=%00&StatusCallback=http%3A%2F%2Fu%3Ap%40127.0.0.1%3A99999%2F%3Fa&ChargeAmount=1e-05&Status=cancel",
    b"Parameter=%5B%5B%5B&IdempotencyKey=%ED%A0%80&StatusCallback=%2Frelative&Timeout=1&Timeout=2",
)
CODES = frozenset({64003, 64006, 64011, 64013, 64017, 64018, 64020})
SETTINGS = (RequestSettings(), RequestSettings(allow_insecure=True, mask_style="dashed"))
PLANTED = "4242424242424242"


def one_input(data: bytes) -> None:
    """Read a form as both requests; raises whatever should not happen."""
    try:
        pairs = parse_qsl(data.decode("utf-8", "surrogateescape"), keep_blank_values=True, errors="surrogatepass")
    except ValueError:
        return
    settings = SETTINGS[len(data) % 2]
    for read in (read_create, read_update):
        try:
            request = read(pairs, settings)
        except RequestRefused as refused:
            _check_refusal(refused, pairs)
            continue
        given = {name: text for name, text in pairs if text.strip()}
        again = read([*given.items()][::-1], settings)
        assert again == request
        split_url(request.status_callback, allow_insecure=settings.allow_insecure)
        if isinstance(request, CreateRequest):
            _check_create(request, settings)
        else:
            assert (request.capture in CAPTURES) != (request.status in ("complete", "cancel"))
        planted = read([*pairs, ("IdempotencyKey", PLANTED), ("Description", PLANTED)], settings)
        assert PLANTED not in repr(planted)


def _check_create(request: CreateRequest, settings: RequestSettings) -> None:
    order = request.order
    assert order.first_digit_timeout_s == math.inf
    assert 1 <= order.timeout_s <= 600
    assert isinstance(order.postal_code, bool)
    assert (order.mask_char, order.mask_style, order.prompts) == ("x", settings.mask_style, ())
    assert order.tokenizes or float(order.charged_amount) > 0
    for name, text in order.parameters.items():
        assert name
        (name + text).encode()
    (order.description + request.connector).encode()


def _message_of(read: Callable[..., object], pairs: list[tuple[str, str]]) -> str:
    try:
        read(pairs, SETTINGS[0])
    except RequestRefused as refused:
        return refused.message
    return ""


def _check_refusal(refused: RequestRefused, pairs: list[tuple[str, str]]) -> None:
    assert refused.code in CODES
    assert refused.status == 400
    assert len(refused.message) < 400
    refused.message.encode()
    for name, text in pairs[:4]:
        # A number planted in a parameter: a message may name what would be right, and never what was sent.
        others = [pair for pair in pairs if pair[0] != name]
        for read in (read_create, read_update):
            assert PLANTED not in _message_of(read, [*others, (name, text + PLANTED)])


if __name__ == "__main__":
    import atheris  # type: ignore[import-untyped,unused-ignore]

    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
