"""Where a payment is sent."""

from engine.connectors.factory import open_connector, open_connectors
from engine.connectors.protocol import Connector
from engine.connectors.sandbox import SandboxGateway
from engine.connectors.signalwire import SignalWire

__all__ = ("Connector", "SandboxGateway", "SignalWire", "open_connector", "open_connectors")
