"""Where a payment is sent."""

from engine.connectors.factory import open_connector, open_connectors
from engine.connectors.protocol import Capabilities, Connector, Refusal, check
from engine.connectors.sandbox import SandboxGateway
from engine.connectors.signalwire import SignalWire
from engine.connectors.stripe import Stripe
from engine.connectors.twilio import Twilio

__all__ = (
    "Capabilities",
    "Connector",
    "Refusal",
    "SandboxGateway",
    "SignalWire",
    "Stripe",
    "Twilio",
    "check",
    "open_connector",
    "open_connectors",
)
