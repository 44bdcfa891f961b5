"""Many callers in one process: ``python -m engine.softphone.load --target sip:pay@127.0.0.1:5060 --calls 50``.

Each call waits until it hears a prompt begin, lets it speak for a moment, keys the next line of the keys file into it
(barge-in), and so on; then it waits for the other end's BYE. The keys come by standard input or a file and are never
printed. Runs on our own stack; both the number of calls and the time are bounded.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from engine.errors import MediaError, SoftphoneError
from engine.media import MediaEvent
from engine.softphone.hearing import SoundDetector
from engine.softphone.native import EVENT_CODES, info_body, parse_uri
from engine.softphone.protocol import CallState, KeyMode, Keys, SoundState
from engine.softphone.stack import CODECS, NativeCall, NativeStack
from sip.crypto_attribute import SrtpPolicy
from sip.events import RegistrationChanged
from sip.payload_types import CODECS as KNOWN_CODECS
from sip.uri import Uri

__all__ = ("LoadResult", "main", "run_load")

MAX_CALLS = 2000
MAX_TIMEOUT_S = 3600.0
MAX_STEPS = 50
TICK_S = 0.02
BARGE_IN_S = 0.5
RATE_PER_S = 50.0
MAX_OUTPUT_BYTES = 4_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadResult:
    """How one call went."""

    call: int
    connected: bool
    ended_by_peer: bool
    steps_keyed: int
    duration_s: float
    "From the 200 to the end; 0 when it was never connected."
    status: int
    "SIP status that ended it, 0 when it was still there at the end of the run."
    reason: str
    packets_in: int
    packets_lost: int


@dataclass(slots=True)
class _Caller:
    """One call's place in the script."""

    call: NativeCall
    step: int = 0
    ear: SoundDetector | None = None
    key_at: float | None = None
    free_at: float = 0.0
    connected_at: float | None = None
    info: list[tuple[float, str]] | None = None


class LoadGenerator:
    """The callers, their script and their results."""

    def __init__(
        self,
        target: Uri,
        steps: Sequence[str],
        *,
        calls: int,
        mode: KeyMode,
        rate_per_s: float = RATE_PER_S,
        barge_in_s: float = BARGE_IN_S,
        host: str = "127.0.0.1",
        srtp: SrtpPolicy = SrtpPolicy.OFF,
        codecs: tuple[str, ...] = CODECS,
    ) -> None:
        if not 1 <= calls <= MAX_CALLS:
            raise SoftphoneError(f"calls must be 1 to {MAX_CALLS}")
        if len(steps) > MAX_STEPS:
            raise SoftphoneError(f"the script has at most {MAX_STEPS} steps")
        # The same limits as for a softphone's keys; the message does not repeat them.
        self._steps = [Keys(keys=keys, mode=mode) for keys in steps]
        self._target = target
        self._left = calls
        self._rate_per_s = rate_per_s
        self._barge_in_s = barge_in_s
        self._callers: dict[int, _Caller] = {}
        self._results: list[LoadResult] = []
        self._stack = NativeStack(self, host=host, max_calls=calls + 1, user="load", srtp=srtp, codecs=codecs)

    def run(self, timeout_s: float) -> list[LoadResult]:
        """Place the calls, key the script, return when all are over or the time is."""
        self._stack.start()
        try:
            started = time.monotonic()
            placed = 0
            while self._left or self._callers:
                elapsed_s = time.monotonic() - started
                if elapsed_s >= timeout_s:
                    break
                while self._left and placed <= elapsed_s * self._rate_per_s:
                    placed += 1
                    self._left -= 1
                    call = self._stack.place(self._target)
                    self._callers[call.number] = _Caller(call)
                self._stack.poll(TICK_S)
                for caller in list(self._callers.values()):
                    self._advance(caller)
        finally:
            self._stack.close()
        for caller in list(self._callers.values()):
            self._finish(caller, 0, "still there at the end of the run")
        return sorted(self._results, key=lambda result: result.call)

    # -- the script ----------------------------------------------------------------------------------------------

    def _advance(self, caller: _Caller) -> None:
        now = time.monotonic()
        self._send_due_info(caller, now)
        if caller.key_at is not None and now >= caller.key_at:
            caller.key_at = None
            self._key(caller, now)
        elif caller.ear is None and caller.connected_at is not None and now >= caller.free_at:
            caller.ear = SoundDetector()  # listens afresh: what was heard while keying does not count

    def _key(self, caller: _Caller, now: float) -> None:
        keys = self._steps[caller.step]
        caller.step += 1
        if keys.mode is KeyMode.INFO:
            gap_s = (keys.on_ms + keys.off_ms) / 1000
            caller.info = [(now + index * gap_s, key) for index, key in enumerate(keys.keys)]
        else:
            try:
                caller.call.leg.send_digits(
                    [EVENT_CODES[key] for key in keys.keys],
                    mode="in-band" if keys.mode is KeyMode.IN_BAND else "telephone-event",
                    on_ms=keys.on_ms,
                    off_ms=keys.off_ms,
                )
            except MediaError:
                self._stack.hang_up(caller.call)  # the peer takes no such keys; its result tells how far it came
        caller.free_at = now + len(keys.keys) * (keys.on_ms + keys.off_ms) / 1000
        caller.ear = None

    def _send_due_info(self, caller: _Caller, now: float) -> None:
        while caller.info and caller.info[0][0] <= now:
            _, key = caller.info.pop(0)
            self._stack.send_info(caller.call, "application/dtmf-relay", info_body(key, 80))

    def _finish(self, caller: _Caller, status: int, reason: str) -> None:
        statistics = caller.call.leg.statistics()
        connected = caller.connected_at is not None
        duration_s = time.monotonic() - caller.connected_at if caller.connected_at is not None else 0.0
        self._results.append(
            LoadResult(
                call=caller.call.number,
                connected=connected,
                ended_by_peer=connected and caller.call.ended_by_peer,
                steps_keyed=caller.step,
                duration_s=round(duration_s, 3),
                status=status,
                reason=reason,
                packets_in=statistics.packets_in,
                packets_lost=statistics.lost,
            )
        )
        self._callers.pop(caller.call.number, None)

    # -- from the stack ------------------------------------------------------------------------------------------

    def call_came_in(self, call: NativeCall, from_uri: str) -> None:
        """Refuse: callers are not called."""
        self._stack.answer(call, 486)

    def call_changed(self, call: NativeCall, status: int, reason: str) -> None:
        """Note when a call is connected and when it is over."""
        caller = self._callers.get(call.number)
        if caller is None:
            return
        if call.state is CallState.CONFIRMED:
            caller.connected_at = time.monotonic()
        elif call.state is CallState.DISCONNECTED:
            self._finish(caller, status, reason)

    def media_changed(self, call: NativeCall) -> None:
        """Nothing to do: the stack has configured the leg."""

    def heard(self, call: NativeCall, active: bool, now: float) -> None:
        """Feed the ear of the step; a prompt that began is let speak for a moment."""
        caller = self._callers.get(call.number)
        if caller is None or caller.ear is None or caller.key_at is not None or caller.step >= len(self._steps):
            return
        if caller.ear.feed(active, now) is SoundState.BEGAN:
            caller.key_at = now + self._barge_in_s

    def media_event(self, event: MediaEvent) -> None:
        """Nothing to do: a caller plays nothing and hears no keys."""

    def registration_changed(self, event: RegistrationChanged) -> None:
        """Nothing to do: the callers do not register."""


async def run_load(
    target: str,
    *,
    calls: int,
    mode: str,
    keys: Mapping[str, str],
    rate_per_s: float = RATE_PER_S,
    timeout_s: float = 120.0,
    srtp: SrtpPolicy = SrtpPolicy.OFF,
    codec: str = "",
) -> list[LoadResult]:
    """Run the load generator in a process of its own; ``keys`` are the entries, in the order of the prompts.

    Raises `SoftphoneError` with what the process said when it could not run.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "engine.softphone.load", "--target", target, "--calls", str(calls)),
        *("--mode", mode, "--rate", str(rate_per_s), "--timeout", str(timeout_s), "--keys-file", "-", "--json"),
        *("--srtp", srtp, *(("--codec", codec) if codec else ())),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=MAX_OUTPUT_BYTES,
    )
    try:
        async with asyncio.timeout(timeout_s + 30):
            output, errors = await process.communicate("\n".join(keys.values()).encode())
    except BaseException:
        if process.returncode is None:
            process.kill()
            await process.wait()
        raise
    if process.returncode not in (0, 1) or not output:
        told = errors.decode(errors="replace").strip().rpartition("\n")[2]
        raise SoftphoneError(f"the load generator did not run: {told or f'exit status {process.returncode}'}")
    return [LoadResult(**row) for row in json.loads(output)["calls"]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the load; return 0 when every call was connected and ended by the other end, 1 when not, 2 for misuse."""
    parser = argparse.ArgumentParser(prog="python -m engine.softphone.load", description="Many callers that pay.")
    parser.add_argument("--target", required=True, help="SIP URI to call")
    parser.add_argument("--calls", type=int, default=10, help=f"calls, at most {MAX_CALLS} (default %(default)s)")
    parser.add_argument("--mode", choices=tuple(KeyMode), default=KeyMode.TELEPHONE_EVENT, help="how keys are sent")
    parser.add_argument("--keys-file", default="-", help="one line of keys a prompt; - is standard input")
    parser.add_argument("--rate", type=float, default=RATE_PER_S, help="new calls a second (default %(default)s)")
    parser.add_argument("--barge-in", type=float, default=BARGE_IN_S, help="seconds of each prompt heard first")
    parser.add_argument("--timeout", type=float, default=120.0, help="seconds for the whole run (default %(default)s)")
    parser.add_argument("--host", default="127.0.0.1", help="local address")
    parser.add_argument("--srtp", choices=tuple(SrtpPolicy), default=SrtpPolicy.OFF, help="encrypted media (SDES)")
    parser.add_argument("--codec", choices=KNOWN_CODECS, default="", help="offer this codec only")
    parser.add_argument("--json", action="store_true", help="print a JSON object with a row for each call")
    options = parser.parse_args(arguments)
    # Two sockets a call: the usual soft limit of 1024 descriptors would end at 500.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    try:
        text = sys.stdin.read() if options.keys_file == "-" else Path(options.keys_file).read_text(encoding="ascii")
        generator = LoadGenerator(
            parse_uri(options.target),
            text.split(),
            calls=options.calls,
            mode=KeyMode(options.mode),
            rate_per_s=max(options.rate, 0.1),
            barge_in_s=max(options.barge_in, 0.0),
            host=options.host,
            srtp=SrtpPolicy(options.srtp),
            codecs=(options.codec,) if options.codec else CODECS,
        )
        results = generator.run(min(options.timeout, MAX_TIMEOUT_S))
    except (OSError, UnicodeDecodeError):
        sys.stderr.write("the keys file cannot be read\n")
        return 2
    except SoftphoneError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    good = sum(result.connected and result.ended_by_peer for result in results)
    if options.json:
        sys.stdout.write(json.dumps({"calls": [asdict(result) for result in results], "good": good}) + os.linesep)
    else:
        connected = sum(result.connected for result in results)
        sys.stdout.write(f"{len(results)} calls: {connected} connected, {good} of them ended by the other end\n")
    return 0 if good == len(results) == options.calls else 1


if __name__ == "__main__":
    sys.exit(main())
