"""A softphone in a process of its own: the far end of demonstrations, load runs and end-to-end tests."""

from __future__ import annotations

from engine.softphone.client import Softphone

__all__ = ("Softphone",)
