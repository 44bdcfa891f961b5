"""An agent's desk: the caller is connected with an agent, who takes the payment without hearing a key.

A Flask application with the vendor's own library: ``<Dial>`` brings both together, the Payments resource captures the
fields, the page at ``/`` shows what is masked and has a button for each step. Run the engine with
``examples/twilio/paytone.toml`` and then::

    TWILIO_ACCOUNT_SID=... TWILIO_AUTH_TOKEN=... AGENT_SIP=sip:agent@PBX PAYTONE_API=http://127.0.0.1:8080 \\
        flask --app examples/twilio/agent_desk run --port 5001

and call ``sip:desk@ENGINE``.
"""

from __future__ import annotations

import os
from typing import Any
from uuid import uuid4

from flask import Flask, Response, abort, render_template, request
from twilio.base.exceptions import TwilioRestException
from twilio.request_validator import RequestValidator
from twilio.rest import Client
from twilio.twiml.voice_response import VoiceResponse

app = Flask(__name__)
calls: dict[str, dict[str, str]] = {}
"Calls that are up: what the engine said of them."
payments: dict[str, dict[str, str]] = {}
"The last callback of each payment, by the call that it belongs to."


def client() -> Client:
    """Return a client that talks to the engine: one line more than usual."""
    rest = Client(os.environ["TWILIO_ACCOUNT_SID"], os.environ["TWILIO_AUTH_TOKEN"])
    rest.api.base_url = os.environ["PAYTONE_API"]
    return rest


def check_signature() -> None:
    """Refuse what the engine did not sign."""
    validator = RequestValidator(os.environ["TWILIO_AUTH_TOKEN"])
    if not validator.validate(request.url, request.form, request.headers.get("X-Twilio-Signature", "")):
        abort(403)


@app.post("/voice")
def voice() -> Response:
    """Connect the caller with the agent."""
    check_signature()
    calls[request.form["CallSid"]] = dict(request.form)
    response = VoiceResponse()
    response.dial(action="/over", timeout=30).sip(os.environ["AGENT_SIP"])
    return Response(str(response), mimetype="text/xml")


@app.post("/over")
def over() -> Response:
    """Say goodbye when the agent has hung up."""
    check_signature()
    calls.pop(request.form["CallSid"], None)
    response = VoiceResponse()
    response.say("Thank you for your call.")
    return Response(str(response), mimetype="text/xml")


@app.post("/progress")
def progress() -> tuple[str, int]:
    """Keep what the engine tells of a payment: masked values, what is still missing, the result."""
    check_signature()
    payments[request.form["CallSid"]] = dict(request.form)
    return "", 204


@app.get("/")
def desk() -> str:
    """Show the desk."""
    return render_template("desk.html")


@app.get("/state")
def state() -> dict[str, Any]:
    """Return calls and payments, for the page."""
    return {"calls": calls, "payments": payments}


@app.post("/calls/<call_sid>/payments")
def begin(call_sid: str) -> Any:
    """Open a payment on a call."""
    return _asked(
        lambda: (
            client()
            .calls(call_sid)
            .payments.create(
                idempotency_key=uuid4().hex,
                status_callback=f"{request.host_url}progress",
                charge_amount=float(request.form.get("amount", "25.00")),
                security_code=True,
                postal_code=False,
            )
        )
    )


@app.post("/calls/<call_sid>/payments/<payment_sid>")
def change(call_sid: str, payment_sid: str) -> Any:
    """Let the caller key a field (``capture``), or complete or cancel the payment (``status``)."""
    wanted = {name: request.form[name] for name in ("capture", "status") if name in request.form}
    return _asked(
        lambda: (
            client()
            .calls(call_sid)
            .payments(payment_sid)
            .update(idempotency_key=uuid4().hex, status_callback=f"{request.host_url}progress", **wanted)
        )
    )


def _asked(ask: Any) -> Any:
    try:
        return {"sid": ask().sid}
    except TwilioRestException as error:
        return {"code": error.code, "message": error.msg}, error.status
