"""A payment connector: what stands at ``payment_connector_url`` and talks to your payment processor.

This one has no processor behind it. It says yes to every card but the published test card 4000 0000 0000 0002, and
keeps nothing of a card. Run it with::

    python examples/signalwire/connector.py

``/payments`` tells what it was asked for.
"""

from __future__ import annotations

import os
from typing import Any
from uuid import uuid4

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

DECLINED = "4000000000000002"
app = FastAPI()
answers: dict[str, JSONResponse] = {}
"By transaction: the engine asks again, with the same transaction_id, when it got no answer."
payments: list[dict[str, Any]] = []


@app.post("/charge")
async def charge(request: Request) -> JSONResponse:
    """Charge a card, or make a token of it when the amount is nought."""
    order = await request.json()
    transaction = order["transaction_id"]
    if transaction not in answers:
        answers[transaction] = take(order)
    return answers[transaction]


def take(order: dict[str, Any]) -> JSONResponse:
    """Answer an order that is new."""
    is_token = float(order["chargeAmount"]) == 0
    approved = order["cardnumber"] != DECLINED
    names = ("chargeAmount", "currency_code", "description", "method", "parameters", "token_type")
    payments.append({"approved": approved, **{name: order[name] for name in names if name in order}})
    if not approved:
        return JSONResponse(
            {"charge_id": None, "error_code": "card_declined", "error_message": "The card was declined."},
            status_code=402,
        )
    name = "token_id" if is_token else "charge_id"
    return JSONResponse({name: f"example-{uuid4().hex[:12]}", "error_code": None, "error_message": None})


@app.get("/payments")
def told() -> list[dict[str, Any]]:
    """Return what was asked for so far."""
    return payments


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ.get("PORT", "5002")), log_level="warning")
