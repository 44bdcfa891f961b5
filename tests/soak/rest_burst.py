"""REST requests at a rate on live calls: ``python -m tests.soak.rest_burst [--calls 100] [--rate 200] [--json]``.

An engine in a process of its own, an application with ``<Pay>``, callers who pay with tones
(``engine.softphone.load``), all on one machine; twice: without requests, then with so many a second for as long as the
calls are up: fetching a call, listing calls, opening a payment on a call that has one (64021), and a wrong password.
Told are, for both runs, how many payments succeeded, how often the engine's media threads were late, which packets came
too late for their playout, which were lost on the way to the callers, and how fast the requests were answered.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import aiohttp
from twilio.twiml.voice_response import VoiceResponse

from engine.softphone.load import LoadResult, run_load
from tests.support.caller import VISA, expiry
from tests.support.engine import RunningEngine, free_udp_port, running_engine
from tests.support.twiml_app import ACCOUNT, TOKEN, TOKEN_ENV, running_app, twilio_toml

__all__ = ("Outcome", "burst")

KEYS = {"card": f"{VISA}#", "expiry": expiry(), "code": "123", "postal code": "94105#"}
BEFORE_S = 6
"Of silence at the beginning of each call: all of them are up when the first key is pressed."
BASE = f"/2010-04-01/Accounts/{ACCOUNT}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one run came to."""

    calls: int
    succeeded: int
    steps_asked: int
    "Four for each payment when no digit was lost or doubled."
    packets: int
    packets_late: int
    "Of what the engine received: too late for its playout."
    packets_lost: int
    "Of what the callers were sent."
    late_ticks: int
    requests: int
    answers: dict[str, int]
    requests_per_s: float
    median_ms: float
    p99_ms: float


async def _requests(api: str, rate: float, until: asyncio.Event, sids: list[str]) -> tuple[Counter[str], list[float]]:
    """Ask ``rate`` times a second until told to stop; return the statuses and how long each took in ms."""
    statuses: Counter[str] = Counter()
    took: list[float] = []
    good, wrong = ({"Authorization": aiohttp.encode_basic_auth(ACCOUNT, token)} for token in (TOKEN, "wrong"))
    async with aiohttp.ClientSession(api, connector=aiohttp.TCPConnector(limit=64)) as session:

        async def ask(n: int) -> None:
            began = time.monotonic()
            sid = sids[n % len(sids)] if sids else ""
            if n % 20 == 19:
                request = session.get(f"{BASE}/Calls/{sid}.json", headers=wrong)
            elif n % 10 == 5:
                request = session.get(f"{BASE}/Calls.json?PageSize=20", headers=good)
            elif n % 4 == 3:
                data = {"IdempotencyKey": str(n), "StatusCallback": "http://127.0.0.1:9/none"}
                request = session.post(f"{BASE}/Calls/{sid}/Payments.json", data=data, headers=good)
            else:
                request = session.get(f"{BASE}/Calls/{sid}.json", headers=good)
            async with request as answer:
                await answer.read()
                statuses[str(answer.status)] += 1
            took.append((time.monotonic() - began) * 1000)

        began, n = time.monotonic(), 0
        async with asyncio.TaskGroup() as group:
            while not until.is_set():
                due = began + n / rate
                if (wait := due - time.monotonic()) > 0:
                    await asyncio.sleep(wait)
                group.create_task(ask(n))
                n += 1
    return statuses, took


async def burst(calls: int, rate: float, directory: Path) -> Outcome:
    """Run once, with ``rate`` requests a second (0: none)."""
    api_port, metrics_port = free_udp_port(), free_udp_port()
    document = VoiceResponse()
    document.pause(length=BEFORE_S)
    document.pay(action="/paid", charge_amount="25.00", postal_code=True)
    async with running_app({"/voice": str(document), "/paid": "<Response/>"}) as app:
        toml = twilio_toml(
            f"{app.url}/voice",
            api=f"127.0.0.1:{api_port}",
            more=f'[metrics]\nlisten = "127.0.0.1:{metrics_port}"\n',
        ).replace('level = "debug"', 'level = "warning"')
        async with running_engine(toml, directory=directory, environment={TOKEN_ENV: TOKEN}) as engine:
            over = asyncio.Event()
            sids: list[str] = []
            load = asyncio.create_task(run_load(engine.uri("shop"), calls=calls, mode="in-band", keys=KEYS))
            load.add_done_callback(lambda _: over.set())
            while len(app.of("/voice")) < calls and not over.is_set():
                await asyncio.sleep(0.05)
            sids += [call["CallSid"] for call in app.of("/voice")]
            statuses: Counter[str] = Counter()
            took: list[float] = []
            began = time.monotonic()
            if rate:
                statuses, took = await _requests(f"http://127.0.0.1:{api_port}", rate, over, sids)
            results = await load
            lasted_s = time.monotonic() - began
            return await _outcome(engine, results, metrics_port, statuses, took, lasted_s)


async def _outcome(
    engine: RunningEngine,
    results: Sequence[LoadResult],
    metrics_port: int,
    statuses: Counter[str],
    took: list[float],
    lasted_s: float,
) -> Outcome:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{metrics_port}/metrics") as answer,
    ):
        lines = (await answer.text()).splitlines()
    late = next(float(line.split()[1]) for line in lines if line.startswith("paytone_media_late_ticks "))
    for _ in range(200):  # records of the last calls are written behind their end
        rows = engine.ledger_rows("calls")
        if all(row["ended_at"] for row in rows):
            break
        await asyncio.sleep(0.05)
    ordered = sorted(took)
    return Outcome(
        calls=len(results),
        succeeded=sum(row["outcome"] == "succeeded" for row in engine.sandbox_transactions()),
        steps_asked=sum(result.steps_keyed for result in results),
        packets=sum(row["packets_in"] or 0 for row in rows),
        packets_late=sum(row["packets_late"] or 0 for row in rows),
        packets_lost=sum(result.packets_lost for result in results),
        late_ticks=int(late),
        requests=len(took),
        answers=dict(statuses),
        requests_per_s=round(len(took) / lasted_s, 1) if took else 0.0,
        median_ms=round(statistics.median(ordered), 1) if ordered else 0.0,
        p99_ms=round(ordered[int(len(ordered) * 0.99)], 1) if ordered else 0.0,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run both, and print them side by side."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.rest_burst", description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=100)
    parser.add_argument("--rate", type=float, default=200.0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    found: dict[str, Outcome] = {}
    with tempfile.TemporaryDirectory() as directory:
        for name, rate in (("without requests", 0.0), (f"{options.rate:g} requests/s", options.rate)):
            found[name] = asyncio.run(burst(options.calls, rate, Path(directory) / name.split()[0]))
    if options.json:
        sys.stdout.write(json.dumps({name: asdict(one) for name, one in found.items()}) + os.linesep)
    else:
        for name, one in found.items():
            sys.stdout.write(f"{name}: {json.dumps(asdict(one))}\n")
    return 0 if all(one.succeeded == one.calls == options.calls for one in found.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
