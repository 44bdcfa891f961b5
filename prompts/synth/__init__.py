"""Synthesisers, and the worker process that does everything slow or fragile for them."""

__all__ = ()
