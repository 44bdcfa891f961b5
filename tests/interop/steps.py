"""What a paying caller keys at each step, and when: as soon as the engine asks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tests.support.caller import VISA, expiry
from tests.support.engine import DEFAULT_TOML, RunningEngine
from tests.support.recording import Samples, decode_keys, level_dbm0

__all__ = ("TOML", "assert_heard_prompts", "assert_paid", "entries", "key_each_step", "with_srtp")

TOML = DEFAULT_TOML + '\n[log]\nlevel = "debug"\n'
STEP_TIMEOUT_S = 30.0
SPEECH_DBM0 = -35.0


def with_srtp(policy: str) -> str:
    """Return the configuration with that `media.srtp`."""
    return TOML + f'\n[media]\nsrtp = "{policy}"\n'


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


def assert_heard_prompts(heard: Samples) -> None:
    """Check that a caller heard more than a second of speech, and no key."""
    levels = [level_dbm0(heard[start : start + 160]) for start in range(0, len(heard), 160)]
    assert sum(level > SPEECH_DBM0 for level in levels) > 50
    assert decode_keys(heard) == "", "the engine sends no key back"
