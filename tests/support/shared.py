"""Where reference material lies that is not part of this repository.

Tests that need it skip, with the reason, when it is not there.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ("SHARED", "VECTORS")

SHARED = Path(__file__).parents[2].parent / "shared"
"Beside the repository; may be missing."

VECTORS = Path(__file__).parents[1] / "vectors"
"In the repository; always there."
