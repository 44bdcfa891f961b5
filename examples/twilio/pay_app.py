"""A donation line: a Flask application with ``<Pay>``, written with the vendor's own library and nothing of paytone's.

Run the engine with ``examples/twilio/paytone.toml`` and then::

    TWILIO_AUTH_TOKEN=... flask --app examples/twilio/pay_app run --port 5000

and call ``sip:donate@ENGINE``: keys 1 for a donation of 25 dollars, 2 to keep a card on file, 3 for a bank debit.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import Flask, Response, abort, request
from twilio.request_validator import RequestValidator
from twilio.twiml.voice_response import Gather, VoiceResponse

app = Flask(__name__)
outcomes: list[dict[str, str]] = []
"What the engine told of each payment, for whoever looks at ``/outcomes``."


def signed(view: Callable[..., Any]) -> Callable[..., Any]:
    """Let only requests through that are signed with our token."""

    @wraps(view)
    def checked(*args: Any, **options: Any) -> Any:
        validator = RequestValidator(os.environ["TWILIO_AUTH_TOKEN"])
        if not validator.validate(request.url, request.form, request.headers.get("X-Twilio-Signature", "")):
            abort(403)
        return view(*args, **options)

    return checked


def document(response: VoiceResponse) -> Response:
    """Return a TwiML document as an answer."""
    return Response(str(response), mimetype="text/xml")


@app.post("/voice")
@signed
def voice() -> Response:
    """Greet, and ask what it shall be."""
    response = VoiceResponse()
    gather = Gather(action="/choice", num_digits=1, timeout=5)
    gather.say(
        "Welcome. For a donation of twenty five dollars press 1. To save your card press 2. For a bank debit, 3."
    )
    response.append(gather)
    response.say("We did not hear a key. Goodbye.")
    return document(response)


@app.post("/choice")
@signed
def choice() -> Response:
    """Take the payment that was chosen."""
    response = VoiceResponse()
    common = {"action": "/paid", "status_callback": "/step", "timeout": 5, "max_attempts": 2}
    match request.form.get("Digits"):
        case "1":
            pay = response.pay(charge_amount="25.00", currency="usd", description="Donation", **common)
            again = pay.prompt(for_="payment-card-number", error_type="invalid-card-number timeout")
            again.say("That was not a card number. Please enter it once more, and then the pound key.")
            pay.parameter(name="campaign", value="winter")
        case "2":
            response.pay(token_type="reusable", postal_code=False, **common)
        case "3":
            pay = response.pay(payment_method="ach-debit", charge_amount="80.00", **common)
            pay.parameter(name="AVSName", value="Jane Roe")
            pay.prompt(for_="bank-account-number").say("Please enter your account number.")
            pay.prompt(for_="bank-account-number", require_matching_inputs=True).say("Once more, please.")
        case _:
            response.redirect("/voice")
    return document(response)


@app.post("/step")
@signed
def step() -> tuple[str, int]:
    """Hear of each step; what the caller keyed is masked."""
    app.logger.info("%s %s", request.form.get("For"), request.form.get("ErrorType", ""))
    return "", 204


@app.post("/paid")
@signed
def paid() -> Response:
    """Tell the caller how it went."""
    outcomes.append(dict(request.form))
    response = VoiceResponse()
    match request.form.get("Result"):
        case "success" if request.form.get("PaymentToken"):
            response.say("Your card is saved. Thank you.")
        case "success":
            response.say("Thank you for your donation.")
        case "caller-interrupted-with-star":
            response.say("Nothing was charged.")
        case _:
            response.say("We could not take the payment.")
    response.hangup()
    return document(response)


@app.get("/outcomes")
def told() -> list[dict[str, str]]:
    """Return what was told so far."""
    return outcomes
