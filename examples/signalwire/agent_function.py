"""A payment as functions of AI agents ask for it: a ``FunctionResult`` whose SWML the engine runs.

The hosted service runs the SWML of such a result when the agent has called the function. Here there is no agent: the
function is called for each call, and its document is what the call runs. Run the engine with
``examples/signalwire/paytone.toml``, ``connector.py`` beside it, and then::

    export SIGNALWIRE_SIGNING_KEY=...
    python examples/signalwire/agent_function.py

and call ``sip:agent@ENGINE``.
"""

from __future__ import annotations

import os
from typing import Any

import uvicorn
from fastapi import FastAPI, HTTPException, Request
from signalwire import SWMLService
from signalwire.core.function_result import FunctionResult
from signalwire.core.security.webhook_validator import validate_webhook_signature_sha256

PORT = int(os.environ.get("PORT", "5001"))
BASE_URL = os.environ.get("BASE_URL", f"http://127.0.0.1:{PORT}")
CONNECTOR = os.environ.get("CONNECTOR_URL", "http://127.0.0.1:5002/charge")


def take_payment(args: dict[str, Any], raw_data: dict[str, Any] | None = None) -> FunctionResult:
    """Take a payment of ``args["amount"]`` dollars."""
    result = FunctionResult("I will take your card details now.")
    return result.pay(
        CONNECTOR,
        charge_amount=args["amount"],
        currency="usd",
        description="Invoice",
        max_attempts=2,
        postal_code=False,
        token_type="one-time",
        prompts=[
            FunctionResult.create_payment_prompt(
                "payment-card-number",
                [FunctionResult.create_payment_action("Say", "Please key your card number, and then the pound key.")],
            )
        ],
    )


agent = SWMLService("invoices", route="/invoices")
agent.define_tool(
    name="take_payment",
    description="Take a card payment on this call",
    parameters={"amount": {"type": "string", "description": "Dollars, such as 12.50"}},
    handler=take_payment,
)
app = FastAPI()


@app.post("/call")
async def call(request: Request) -> dict[str, Any]:
    """Return the document of a call: greeted, paid, told."""
    body = (await request.body()).decode()
    signature = request.headers.get("X-Signalwire-SHA256-Signature", "")
    if not validate_webhook_signature_sha256(os.environ["SIGNALWIRE_SIGNING_KEY"], signature, f"{BASE_URL}/call", body):
        raise HTTPException(status_code=403)
    called: Any = agent.on_function_call("take_payment", {"amount": "12.50"}, await request.json())
    result = called if isinstance(called, dict) else called.to_dict()
    (document,) = [action["SWML"] for action in result["action"] if "SWML" in action]
    main = document["sections"]["main"]
    main.insert(0, {"play": {"url": f"say: {result['response']}"}})
    main.append({"play": {"url": "say: The payment status is ${pay_result.split('-').join(' ')}. Goodbye."}})
    return dict(document)


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=PORT, log_level="warning")
