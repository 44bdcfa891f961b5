"""A donation line: a SWML document made with the vendor's own ``SWMLService``, which says what comes of the payment.

Run the engine with ``examples/signalwire/paytone.toml``, ``connector.py`` beside it, and then::

    export SWML_BASIC_AUTH_USER=shop SWML_BASIC_AUTH_PASSWORD=a-password SIGNALWIRE_SIGNING_KEY=...
    python examples/signalwire/swml_service.py

and call ``sip:donate@ENGINE``. ``/steps`` tells what the engine posted of each payment.
"""

from __future__ import annotations

import os
from typing import Any

import uvicorn
from fastapi import FastAPI, HTTPException, Request
from signalwire import SWMLService
from signalwire.core.security.webhook_validator import validate_webhook_signature_sha256

PORT = int(os.environ.get("PORT", "5000"))
BASE_URL = os.environ.get("BASE_URL", f"http://127.0.0.1:{PORT}")
CONNECTOR = os.environ.get("CONNECTOR_URL", "http://127.0.0.1:5002/charge")


def says(text: str) -> dict[str, Any]:
    """Return a step that says a text."""
    return {"play": {"url": f"say: {text}"}}


class Donations(SWMLService):
    """One document for every call."""

    def __init__(self) -> None:
        super().__init__("donations", route="/donate")
        self.add_verb("answer", {})
        self.add_verb("set", {"donation": {"amount": 25, "campaign": "winter"}})
        self.add_verb("play", {"url": "say: Thank you for giving ${donation.amount} dollars."})
        self.add_verb(
            "pay",
            {
                "payment_connector_url": CONNECTOR,
                "charge_amount": "${donation.amount.toFixed(2)}",
                "currency": "usd",
                "description": "Donation",
                "max_attempts": 2,
                "postal_code": False,
                "status_url": f"{BASE_URL}/status",
                "parameters": [{"name": "campaign", "value": "${donation.campaign}"}],
                "prompts": [
                    {
                        "for": "payment-card-number",
                        "error_type": "invalid-card-number timeout",
                        "actions": [{"type": "Say", "phrase": "That was no card number. Please key it once more."}],
                    }
                ],
            },
        )
        # The builder takes objects only, and cond is a list.
        self.get_document()["sections"]["main"].append(
            {
                "cond": [
                    {
                        "when": "pay_result == 'success'",
                        "then": [
                            {"set": {"code": "${pay_payment_results.payment_confirmation_code}"}},
                            says("Your confirmation ends in ${code.slice(-4).split('').join(' ')}. Thank you."),
                        ],
                    },
                    {
                        "when": "pay_result == 'caller-interrupted-with-star'",
                        "then": [says("Nothing was charged.")],
                    },
                    {"else": [says("We could not take your donation.")]},
                ]
            }
        )
        self.add_verb("hangup", {})


app = FastAPI()
app.include_router(Donations().as_router(), prefix="/donate")
steps: list[str] = []


@app.post("/status")
async def status(request: Request) -> dict[str, str]:
    """Hear of each step; what the caller keyed is masked."""
    body = (await request.body()).decode()
    signature = request.headers.get("X-Signalwire-SHA256-Signature", "")
    if not validate_webhook_signature_sha256(
        os.environ["SIGNALWIRE_SIGNING_KEY"], signature, f"{BASE_URL}/status", body
    ):
        raise HTTPException(status_code=403)
    steps.append((await request.json())["params"]["for"])
    return {}


@app.get("/steps")
def told() -> list[str]:
    """Return what was posted so far."""
    return steps


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=PORT, log_level="warning")
