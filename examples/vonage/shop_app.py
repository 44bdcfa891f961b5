"""A shop's line: a Flask application whose NCCO takes a payment, with prompts of its own, and tells the caller of it.

``pay`` goes on with the next action whatever came of the payment, so this one waits; when the payment's event comes the
call is transferred to what is to be said. Every webhook is verified with the vendor's own helper. Run the engine with
``examples/vonage/paytone.toml`` and then::

    export VONAGE_APPLICATION_ID=78d335fa-323d-0114-9c3d-d6f0d48968cf
    export VONAGE_PRIVATE_KEY=private.key            # the engine has public.pem
    export VONAGE_SIGNATURE_SECRET=...               # as the engine has it
    export PAYTONE_API=localhost:8443                # the engine, with its port
    export REQUESTS_CA_BUNDLE=certificates/ca.pem    # who made its certificate
    flask --app examples/vonage/shop_app run --port 5000

and call ``sip:shop@ENGINE``.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from typing import Any

import jwt
from flask import Flask, abort, request
from vonage import Auth, HttpClientOptions, Vonage
from vonage_jwt import VonageVerifyJwtError, verify_signature
from vonage_voice.models import Talk

SECRET = os.environ["VONAGE_SIGNATURE_SECRET"]
client = Vonage(
    Auth(application_id=os.environ["VONAGE_APPLICATION_ID"], private_key=os.environ["VONAGE_PRIVATE_KEY"]),
    HttpClientOptions(api_host=os.environ.get("PAYTONE_API", "localhost:8443")),
)
app = Flask(__name__)
outcomes: list[dict[str, Any]] = []
"What the engine told of each payment, for whoever looks at ``/outcomes``."


@app.before_request
def verify() -> None:
    """Let only requests through that are signed with our secret, and whose body is the one that was signed."""
    if request.path == "/outcomes":
        return
    token = request.headers.get("Authorization", "").removeprefix("Bearer ")
    try:
        if not verify_signature(token, SECRET):
            abort(403)
    except VonageVerifyJwtError:
        abort(403)
    # The helper looks at the signature only. What it signs is this hash.
    claims = jwt.decode(token, SECRET, algorithms=["HS256"])
    if not hmac.compare_digest(claims.get("payload_hash", ""), hashlib.sha256(request.get_data()).hexdigest()):
        abort(403)


def pay(amount: float) -> dict[str, Any]:
    """Return the action; in 3.18 it is ``Ncco.Pay(amount=..., prompts=[...])``."""
    return {
        "action": "pay",
        "amount": amount,
        "currency": "usd",
        "prompts": [
            {
                "type": "CardNumber",
                "text": "Please key your card number, and then the hash key.",
                "errors": {
                    "InvalidCardType": {"text": "We take Visa and Mastercard. Please key one of them."},
                    "InvalidCardNumber": {"text": "That was no card number. Please key it once more."},
                    "Timeout": {"text": "We heard no keys. Please key your card number."},
                },
            },
            {
                "type": "SecurityCode",
                "text": "Please key the three digits on its back.",
                "errors": {"InvalidSecurityCode": {"text": "That code is not complete. Please key all three digits."}},
            },
        ],
    }


@app.get("/answer")
def answer() -> list[dict[str, Any]]:
    """Return the NCCO of a call that came in."""
    return [
        {"action": "talk", "text": "Thank you for calling the shop. You owe twenty nine dollars."},
        pay(29.0),
        {"action": "wait", "timeout": 10},
    ]


@app.get("/invoice")
def invoice() -> list[dict[str, Any]]:
    """Return the NCCO of a call that ``call_out.py`` placed."""
    return [
        {"action": "talk", "text": "This is the shop. You asked to pay your invoice of twelve dollars fifty."},
        pay(12.5),
        {"action": "wait", "timeout": 10},
    ]


@app.post("/event")
def event() -> tuple[str, int]:
    """Hear how calls go, and tell the caller what became of a payment."""
    told = request.get_json()
    if "reason" in told:
        app.logger.error("%s", told["reason"])
    if told.get("type") == "payment":
        outcomes.append(told)
        paid = told["status"] == "success"
        text = "Thank you, it is paid." if paid else "We could not take the payment. Nothing was charged."
        client.voice.transfer_call_ncco(told["uuid"], [Talk(text=text)])
    return "", 204


@app.get("/outcomes")
def told_so_far() -> list[dict[str, Any]]:
    """Return what was told so far."""
    return outcomes
