"""The search of an engine's memory after a payment: every connector, every way in which a payment can end.

``examine`` starts ``tests.support.payer`` in a process of its own, keys a published test number into it, lets its
gateway behave as the case says, and when all is over searches the process's memory, its output and its files.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trustme

from tests.support.fake_stripe import FakeStripe
from tests.support.gateway import TLS_FILES, FakeGateway, server_tls
from tests.support.memory_scan import Scan, search

__all__ = ("CONNECTORS", "ENDS", "Case", "Finding", "cases", "examine")

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60.0
REPEATS = 2
TRIES = REPEATS + 1
CARD, CODE = "5105105105105100", "904"
ROUTING, ACCOUNT = "121181976", "123120006"  # a published test account whose digits stand in no table of a library
CONNECTORS = ("sandbox", "sandbox-ach", "signalwire", "compatible", "twilio", "twilio-ach", "stripe")


@dataclass(frozen=True, slots=True, kw_only=True)
class _End:
    """One way in which a payment ends."""

    outcome: str
    "What the connector's answer has to be; empty: it gives none."
    wire: tuple[str, ...] = ()
    "Script of a JSON gateway."
    stripe: tuple[str, ...] = ()
    fault: str = "none"
    "Of the sandbox."
    end: str = "answer"
    "Of ``tests.support.payer``."


ENDS: Mapping[str, _End] = {
    "succeeded": _End(outcome="succeeded"),
    "declined": _End(
        outcome="declined",
        wire=("decline:insufficient_funds",),
        # By script, not by number: those that Stripe declines are zeros for the most part, which stand in any memory.
        stripe=("ok", 'status:402:{"error":{"type":"card_error","code":"card_declined"}}'),
        fault="decline:insufficient_funds",
    ),
    "failed": _End(outcome="failed", wire=("status:404:<html>",), stripe=("status:404:<html>",), fault="unreachable"),
    "unknown": _End(
        outcome="unknown", wire=("http_500",) * TRIES, stripe=("ok", *("http_500",) * TRIES), fault="http_500"
    ),
    "timeout": _End(outcome="unknown", wire=("silence",) * TRIES, stripe=("ok", *("silence",) * TRIES), fault="drip:1"),
    "garbage": _End(
        outcome="unknown",
        wire=("raw:\x00\x01 what\r\n\r\n",) * TRIES,
        stripe=("ok", *("garbage",) * TRIES),
        fault="garbage",
    ),
    "flood": _End(outcome="unknown", wire=("oversized",) * TRIES, stripe=("ok", *("oversized",) * TRIES)),
    "lost once": _End(outcome="succeeded", wire=("reset_after",), stripe=("reset_before", "ok", "reset_after")),
    "untrusted": _End(outcome="failed"),
    "raises": _End(outcome="unknown", end="raise"),
    "hung up": _End(outcome="succeeded", wire=("hold",), stripe=("hold",), fault="delay:1", end="hang up"),
    "left": _End(outcome="", wire=("hold",), stripe=("hold",), fault="delay:1", end="leave"),
    "cancelled": _End(outcome="", wire=("hold",), stripe=("hold",), fault="delay:1", end="cancel"),
    "shut down": _End(outcome="succeeded", wire=("hold",), stripe=("hold",), fault="delay:1", end="shut down"),
}
ON_BOTH_LOOPS = frozenset({"signalwire", "twilio-ach", "stripe"})
WITHOUT_NETWORK = frozenset({"flood", "lost once", "untrusted"})
"Ends that the sandbox cannot have."


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One payment whose traces are searched."""

    connector: str
    end: str
    uvloop: bool = False
    leak: bool = False
    "Whether the process keeps a copy on purpose: the control, which has to be found."

    def __str__(self) -> str:
        control = ", leaking on purpose" if self.leak else ""
        return f"{self.connector}, {self.end}, {'uvloop' if self.uvloop else 'asyncio'}{control}"

    @property
    def is_bank_debit(self) -> bool:
        """Whether an account is keyed instead of a card."""
        return self.connector.endswith("-ach")

    @property
    def outcome(self) -> str:
        """What the connector has to answer; empty: nothing that anybody waits for."""
        outcome = ENDS[self.end].outcome
        # The sandbox takes only accounts whose digits stand in any memory.
        return "declined" if self.connector == "sandbox-ach" and outcome == "succeeded" else outcome

    @property
    def number(self) -> str:
        """What is keyed: the card's or the account's number."""
        return ACCOUNT if self.is_bank_debit else CARD

    @property
    def keys(self) -> str:
        """The caller's keys."""
        return f"{ROUTING}{ACCOUNT}#" if self.is_bank_debit else f"{self.number}#1230{CODE}94105#"

    @property
    def patterns(self) -> tuple[str, ...]:
        """What must not be found: the number, what is left of one that was half overwritten, the code in its place."""
        number = self.number
        if self.is_bank_debit:
            return number, number[:8], number[1:]
        return number, number[:12], number[4:], f'"cvv":"{CODE}', f"card[cvc]={CODE}", f"card%5Bcvc%5D={CODE}"


def cases() -> Iterable[Case]:
    """Return the whole matrix, on both event loops for the wires that differ in how they send."""
    for connector in CONNECTORS:
        for end in ENDS:
            if connector.startswith("sandbox"):
                if end not in WITHOUT_NETWORK:
                    yield Case(connector=connector, end=end)
            else:
                yield Case(connector=connector, end=end)
                if connector in ON_BOTH_LOOPS:
                    yield Case(connector=connector, end=end, uvloop=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What was found after one payment."""

    case: Case
    outcome: str
    scan: Scan
    spilled: tuple[str, ...]
    "Files, or streams of the process, that hold the number."
    wiped: bool
    "Whether each secret of the submission says that it is wiped."
    before: Scan | None
    "For a control: the same search before the first key. What it finds stands there by chance."

    @property
    def is_right(self) -> bool:
        """Whether the payment ended as it should and left nothing; of a control: whether the search found it out."""
        if self.before is not None:
            return bool(self.scan.hits) and not self.before.hits
        as_told = not self.case.outcome or self.outcome == self.case.outcome
        return as_told and self.wiped and not (self.scan.hits or self.spilled)


async def examine(case: Case, folder: Path) -> Finding:
    """Take the payment of ``case`` with its files in ``folder`` (empty), and search what is left of it."""
    async with AsyncExitStack() as stack:
        gateway, settings = await _gateway(case, folder, stack)
        settings |= {
            "ledger": f"sqlite+aiosqlite:///{folder / 'ledger.sqlite3'}",
            "method": "ach-debit" if case.is_bank_debit else "credit-card",
            "end": ENDS[case.end].end,
            "uvloop": case.uvloop,
            "leak": case.leak,
        }
        process = await _Process.start(settings)
        stack.push_async_callback(process.end)
        await process.until("ready")
        before = await asyncio.to_thread(search, process.pid, case.patterns) if case.leak else None
        process.key(case.keys)
        if settings["end"] not in ("answer", "raise"):
            if gateway is None:
                await process.until("at work")
            else:
                await asyncio.wait_for(gateway.received.wait(), PATIENCE_S)
            process.key("!")
            await process.until("told")
            if gateway is not None:
                gateway.release()
        answered = await process.until("answered")
        idle = await process.until("idle")
        scan = await asyncio.to_thread(search, process.pid, case.patterns)
        await process.end()
    if gateway is not None and gateway.violations:
        raise AssertionError(f"{case}: the gateway refused: {gateway.violations}")
    spilled = [file.name for file in folder.iterdir() if case.number.encode() in file.read_bytes()]
    if case.number.encode() in process.output:
        spilled.append("output")
    return Finding(
        case=case,
        outcome=answered["outcome"],
        scan=scan,
        spilled=tuple(spilled),
        wiped=idle["wiped"],
        before=before,
    )


async def _gateway(
    case: Case, folder: Path, stack: AsyncExitStack
) -> tuple[FakeGateway | FakeStripe | None, dict[str, Any]]:
    """Return the gateway of a case, running, and the settings that lead to it."""
    end, kind = ENDS[case.end], case.connector.removesuffix("-ach")
    if kind == "sandbox":
        return None, {"connector": kind, "database": str(folder / "sandbox.sqlite3"), "faults": [end.fault]}
    gateway: FakeGateway | FakeStripe
    if kind == "stripe":
        gateway = FakeStripe(end.stripe, tls=server_tls())
    else:
        gateway = FakeGateway(end.wire, tls=server_tls(), wire=kind)
    await stack.enter_async_context(gateway)
    authority = TLS_FILES / "ca.pem"
    if case.end == "untrusted":
        authority = folder / "stranger.pem"
        trustme.CA().cert_pem.write_to_path(str(authority))
    timeout_s = 0.5 if case.end == "timeout" else PATIENCE_S / 2
    return gateway, {
        "connector": kind,
        "url": gateway.url,
        "ca": str(authority),
        "timeout_s": timeout_s,
        "repeats": REPEATS,
    }


class _Process:
    """A running ``tests.support.payer``."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.pid = process.pid
        self.output = b""
        assert process.stderr is not None
        self._log = asyncio.ensure_future(process.stderr.read())

    @classmethod
    async def start(cls, settings: dict[str, Any]) -> _Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.support.payer",
            json.dumps(settings),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        )
        return cls(process)

    def key(self, text: str) -> None:
        """Press keys."""
        assert self._process.stdin is not None
        self._process.stdin.write(text.encode())

    async def until(self, state: str) -> dict[str, Any]:
        """Wait until it says that it is in ``state``."""
        assert self._process.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            while line := await self._process.stdout.readline():
                self.output += line
                said: dict[str, Any] = json.loads(line)
                if said["state"] == state:
                    return said
            self.output += await self._log
        raise AssertionError(f"the payer ended before it said {state!r}: {self.output.decode(errors='replace')}")

    async def end(self) -> None:
        """Let it end by itself, or kill it; harmless when it has."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), PATIENCE_S)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        self.output += await self._log
