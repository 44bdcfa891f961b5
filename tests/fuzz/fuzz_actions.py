"""Fuzz the actions of SWML and RELAY, and holding, by bytes: the laws of ``tests/property/test_actions.py``."""

from __future__ import annotations

import sys
from collections.abc import Callable

from tests.property import test_actions as laws

__all__ = ("SEEDS", "one_input")

SEEDS = [bytes([number, *range(0, 200, 3)]) for number in range(6)]
_TARGETS: tuple[Callable[[bytes], object], ...] = tuple(
    test.hypothesis.fuzz_one_input  # type: ignore[attr-defined]
    for test in (
        laws.test_playing,
        laws.test_collecting,
        laws.test_keying,
        laws.test_connecting,
        laws.test_referring,
        laws.test_holding,
    )
)


def one_input(data: bytes) -> None:
    """Run one input: the first byte says which law, the rest what happens."""
    if data:
        _TARGETS[data[0] % len(_TARGETS)](data[1:])


if __name__ == "__main__":
    import atheris  # type: ignore[import-untyped,unused-ignore]

    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
