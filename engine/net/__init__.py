"""What waits on the network: SIP over UDP, and HTTP to connectors and webhooks."""

__all__ = ()
