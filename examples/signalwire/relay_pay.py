"""A shop's line over RELAY, written with the vendor's own client: answer, play, take a payment, tell how it went.

Run the engine with ``examples/signalwire/paytone.toml``, ``connector.py`` beside it, and then::

    export SIGNALWIRE_PROJECT_ID=5b4d7a20-1111-4222-8333-944455556666
    export SIGNALWIRE_API_TOKEN=...                       # as the engine has it
    export SIGNALWIRE_SPACE=localhost:8443                # the engine, with its port
    export SIGNALWIRE_RELAY_CA_FILE=certificates/ca.pem   # who made its certificate
    python examples/signalwire/relay_pay.py

and call ``sip:shop@ENGINE``.
"""

from __future__ import annotations

import logging
import os
from typing import Any

from signalwire.relay import Call, RelayClient

CONNECTOR = os.environ.get("CONNECTOR_URL", "http://127.0.0.1:5002/charge")
log = logging.getLogger("shop")
client = RelayClient(contexts=["shop"])


async def say(call: Call, text: str) -> None:
    """Say something, to its end."""
    action = await call.play([{"type": "tts", "params": {"text": text, "language": "en-US"}}])
    await action.wait()


@client.on_call
async def on_call(call: Call) -> None:
    """Lead one call; others are led beside it."""
    await call.answer()
    await say(call, "Thank you for calling the shop. You owe twenty nine dollars and ninety nine cents.")
    payment = await call.pay(
        CONNECTOR,
        charge_amount="29.99",
        currency="usd",
        description="Order 1234",
        max_attempts="2",
        postal_code="false",
        parameters=[{"name": "order", "value": "1234"}],
        prompts=[
            {
                "for": "payment-card-number",
                "attempts": "2 3",
                "actions": [{"type": "Say", "phrase": "That was no card number. Once more, and then the pound key."}],
            }
        ],
    )
    outcome = (await payment.wait()).params
    report(outcome)
    if outcome.get("state") == "finished":
        await say(call, "Your payment was taken. Thank you, goodbye.")
    elif outcome.get("result") == "caller-interrupted-with-star":
        await say(call, "Nothing was charged. Goodbye.")
    else:
        await say(call, "We could not take your payment. Goodbye.")
    await call.hangup()


def report(outcome: dict[str, Any]) -> None:
    """Log how a payment went; card numbers in it are masked."""
    card = outcome.get("payment_card_number", "")
    code = outcome.get("payment_confirmation_code", "")
    log.info("result=%s card=%s confirmation=%s", outcome.get("result"), card, code)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    client.run()
