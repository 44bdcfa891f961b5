"""A caller for the end-to-end tests: a softphone that keys what each step asks for, guided by the engine's log."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from engine.errors import SoftphoneError
from engine.softphone.client import Softphone
from engine.softphone.protocol import CallState, KeyMode
from tests.support.engine import RunningEngine

__all__ = ("VISA", "Call", "Script", "expiry", "follow", "pay")

VISA = "4242424242424242"
PROMPT = re.compile(r"engine\.payment_run: prompt call=(\w+) step=([\w-]+)")
CALL_TIMEOUT_S = 90.0


def expiry() -> str:
    """Return a valid expiry, MMYY, two years from now."""
    return f"12{(datetime.now(UTC).year + 2) % 100:02d}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """What is keyed at the first, second, ... prompt of each step; a step that runs out of entries gets no key."""

    entries: Mapping[str, Sequence[str]]
    mode: str = "telephone-event"
    hang_up_at: str = ""
    "Hang up when this step is asked."
    listens: bool = False
    "Hear each prompt to its end before the first key."

    @classmethod
    def good(
        cls, *, mode: str = "telephone-event", card: str = VISA, code: str = "123", **changes: Sequence[str]
    ) -> Script:
        """Return a script that pays, with other entries for the steps named in ``changes`` (``_`` for ``-``)."""
        entries: dict[str, Sequence[str]] = {
            "payment-card-number": [f"{card}#"],
            "expiration-date": [expiry()],
            "security-code": [code],
            "postal-code": ["94105#"],
        }
        entries.update({step.replace("_", "-"): keys for step, keys in changes.items()})
        return cls(entries=entries, mode=mode)


@dataclass(slots=True, kw_only=True)
class Call:
    """How a call went."""

    call_id: str = ""
    result: str = ""
    steps: list[str] = field(default_factory=list)
    payment: dict[str, Any] = field(default_factory=dict)


async def pay(
    engine: RunningEngine, script: Script, *, user: str = "pay", record: Path | None = None, first_keys: str = ""
) -> Call:
    """Call ``engine``, key what ``script`` says at each prompt, and return how it went when the call is over.

    ``first_keys`` are keyed once the call is up: for a menu that comes before the payment.
    """
    async with asyncio.timeout(CALL_TIMEOUT_S), Softphone() as phone:
        first = len(engine.lines)
        if record is not None:
            await phone.record(str(record))
        await phone.call(engine.uri(user))
        if first_keys:
            await phone.wait_state(CallState.CONFIRMED)
            await phone.keys(first_keys, mode=KeyMode(script.mode))
        return await follow(engine, phone, script, first=first)


async def follow(engine: RunningEngine, phone: Softphone, script: Script, *, first: int) -> Call:
    """Key what ``script`` says at each prompt of the phone's call; return how it went when the call is over.

    The call is the first that is asked for something behind ``first`` lines of the engine's log.
    """
    asked: dict[str, int] = {}
    call = Call()
    over = asyncio.ensure_future(_over(phone, engine, first))
    position = first
    # One caller per engine at a time: the first prompt after the INVITE is this call's. What was logged before
    # the call was over is read to its end: a call may be over before its first prompt was seen here.
    while (line := await _line(engine, position, over)) is not None:
        position += 1
        match = PROMPT.search(line)
        if match is None or (call.call_id and match[1] != call.call_id):
            continue
        call.call_id = match[1]
        step = match[2]
        call.steps.append(step)
        if over.done():
            continue
        if script.hang_up_at == step:
            await phone.hang_up()
            continue
        entries = script.entries.get(step, ())
        turn = asked.get(step, 0)
        asked[step] = turn + 1
        with suppress(SoftphoneError):  # the call may end before or by a key: how it went is seen in the end
            if script.listens and entries:
                await phone.wait_for_prompt()
            if turn < len(entries) and entries[turn]:
                await phone.keys(entries[turn], mode=KeyMode(script.mode))
    await over
    await engine.wait_for(rf"call ended call={call.call_id}")
    rows = [row for row in engine.ledger_rows("payments") if row["call_id"] == call.call_id]
    if rows:
        call.payment = rows[0]
        call.result = rows[0]["result"]
    return call


async def _over(phone: Softphone, engine: RunningEngine, first: int) -> None:
    """Return when the phone's call is over, and the engine has logged all of it behind its ``first`` lines."""
    await phone.wait_state(CallState.DISCONNECTED, timeout_s=CALL_TIMEOUT_S)
    while not any("call ended call=" in line for line in engine.lines[first:]):
        await asyncio.sleep(0.02)


async def _line(engine: RunningEngine, position: int, over: asyncio.Future[Any]) -> str | None:
    """Return the log's line at ``position``, or None when the call is over and there is none."""
    while len(engine.lines) <= position:
        if over.done():
            return None
        await asyncio.sleep(0.02)
    return engine.lines[position]
