"""What a paying caller keys at each step, and when: as soon as the engine asks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tests.support.caller import VISA, expiry
from tests.support.engine import DEFAULT_TOML, RunningEngine

__all__ = ("TOML", "assert_paid", "entries", "key_each_step")

TOML = DEFAULT_TOML + '\n[log]\nlevel = "debug"\n'
STEP_TIMEOUT_S = 30.0


def entries() -> dict[str, str]:
    """Return the keys of each step of the donation form, in the order they are asked."""
    return {
        "payment-card-number": f"{VISA}#",
        "expiration-date": expiry(),
        "security-code": "123",
        "postal-code": "94105#",
    }


async def key_each_step(engine: RunningEngine, key: Callable[[str], Awaitable[object]]) -> None:
    """Key every field as soon as its prompt has begun."""
    for step, keys in entries().items():
        await engine.wait_for(rf"prompt call=\w+ step={step}\b", timeout_s=STEP_TIMEOUT_S)
        await key(keys)


def assert_paid(engine: RunningEngine, told: str = "") -> None:
    """Check that the gateway booked the payment, once."""
    booked = engine.sandbox_transactions()
    assert len(booked) == 1, f"{told}\n{engine.log}"
    assert booked[0]["outcome"] == "succeeded"
    assert booked[0]["amount"] == "25.00"
    assert booked[0]["card_number"].endswith(VISA[-4:])
    assert booked[0]["times_received"] == 1
