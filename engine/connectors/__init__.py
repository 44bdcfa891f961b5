"""Where a payment is sent."""

from engine.connectors.protocol import Connector
from engine.connectors.sandbox import SandboxGateway

__all__ = ("Connector", "SandboxGateway")
