"""The calls: media, payment, connectors, ledger, service and the command line."""

__all__ = ()
