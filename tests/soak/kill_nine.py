"""kill -9 at every point of a payment's way, again and again, then a look at the books.

``python -m tests.soak.kill_nine [--kills 200] [--seed N] [--gateway stripe]`` starts ``tests.soak.payer`` over and over
on one ledger, kills it at one point after the other, and at last lets one run settle what is left. Then the gateway's
books, the ledger and what the application received have to agree:

* a transaction id was carried out at most once;
* what the gateway carried out is succeeded or unknown in the ledger, never failed, declined or missing;
* what the ledger calls succeeded was carried out;
* no attempt is left open and no payment without a result;
* every webhook that was queued has arrived, those of a session in their order, and every payment's last one says how
  it ended.

The gateway speaks SignalWire's wire, which has no question for an earlier transaction, or is a strict double of Stripe,
of which open attempts are looked up at the next start.

Prints a report and exits with status 1 when one of them does not hold.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h11

from tests.soak.payer import POINTS
from tests.support.fake_stripe import KEY, FakeStripe

__all__ = ("Report", "main", "rehearse")

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60.0
GATEWAY_POINTS = ("request begins", "request received", "booked", "answer half sent")
RECEIVER_POINTS = ("webhook received",)
RANDOM = "at random"
STRIPE_ONLY = ("charge connected", "charge written")
ALL_POINTS = (*(point for point in POINTS if point not in STRIPE_ONLY), *GATEWAY_POINTS, *RECEIVER_POINTS, RANDOM)
STRIPE_POINTS = (*POINTS, *RECEIVER_POINTS, RANDOM)

CONFIG = """
[ledger]
url = "sqlite+aiosqlite:///{directory}/ledger.sqlite3"
[connector.gw]
type = "{kind}"
{key}
url = "{gateway}"
allow_insecure = true
timeout_s = 5.0
repeats = 1
[webhooks]
allow = ["127.0.0.0/8"]
[form.pay]
amount = "10.55"
connector = "gw"
postal_code = false
status_url = "{receiver}"
allow_insecure = true
"""


class Victim:
    """The process that is to be killed at a point."""

    def __init__(self) -> None:
        self.process: asyncio.subprocess.Process | None = None
        self.point = ""

    def reached(self, point: str) -> bool:
        """Kill the process if this is the point; tell whether it was."""
        if point != self.point or self.process is None or self.process.returncode is not None:
            return False
        self.point = ""
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGKILL)
        return True


class HttpPeer:
    """A plain HTTP/1.1 server, one exchange a connection."""

    def __init__(self, victim: Victim) -> None:
        self.victim = victim
        self.url = ""
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen on a free port of loopback."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/"

    async def stop(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h11.Connection(h11.SERVER)
        try:
            with suppress(OSError, h11.RemoteProtocolError):
                while True:
                    body = bytearray()
                    headers: dict[str, str] = {}
                    while not isinstance(event := connection.next_event(), h11.EndOfMessage):
                        if event is h11.NEED_DATA:
                            connection.receive_data(await reader.read(65536))
                        elif isinstance(event, h11.Request):
                            headers = {name.decode(): value.decode() for name, value in event.headers}
                            self.began()
                        elif isinstance(event, h11.Data):
                            body += event.data
                        else:
                            return
                    answer = self.received(bytes(body), headers)
                    head = h11.Response(status_code=200, headers=[("Content-Length", str(len(answer)))])
                    half = len(answer) // 2
                    writer.write(connection.send(head) or b"")
                    writer.write(connection.send(h11.Data(data=answer[:half])) or b"")
                    await writer.drain()
                    self.answering()
                    writer.write(connection.send(h11.Data(data=answer[half:])) or b"")
                    writer.write(connection.send(h11.EndOfMessage()) or b"")
                    await writer.drain()
                    if connection.our_state is h11.MUST_CLOSE:
                        return
                    connection.start_next_cycle()
        finally:
            writer.close()

    def began(self) -> None:
        """A request's head is here."""

    def received(self, body: bytes, headers: dict[str, str]) -> bytes:
        """A request is here; return the answer."""
        raise NotImplementedError

    def answering(self) -> None:
        """Half of the answer is written."""


class Gateway(HttpPeer):
    """A payment gateway that carries each transaction out once, and counts."""

    def __init__(self, victim: Victim) -> None:
        super().__init__(victim)
        self.requests: Counter[str] = Counter()
        self.carried_out: Counter[str] = Counter()
        self.charge_ids: dict[str, str] = {}

    def began(self) -> None:
        """Kill before the body is read; what lies in the socket's buffer still arrives."""
        self.victim.reached("request begins")

    def received(self, body: bytes, headers: dict[str, str]) -> bytes:
        """Carry a payment out, once for each transaction id."""
        transaction_id = json.loads(body)["transaction_id"]
        self.requests[transaction_id] += 1
        self.victim.reached("request received")
        if transaction_id not in self.charge_ids:
            self.carried_out[transaction_id] += 1
            self.charge_ids[transaction_id] = f"ch_{len(self.charge_ids):x}"
        self.victim.reached("booked")
        return json.dumps({"charge_id": self.charge_ids[transaction_id], "error_code": None}).encode()

    def answering(self) -> None:
        """Kill with half of the answer on its way."""
        self.victim.reached("answer half sent")


class Receiver(HttpPeer):
    """The application: keeps what it is told."""

    def __init__(self, victim: Victim) -> None:
        super().__init__(victim)
        self.arrivals: list[tuple[int, str, str]] = []
        "Delivery id, payment, step; in the order of arrival."

    def received(self, body: bytes, headers: dict[str, str]) -> bytes:
        """Keep a webhook, and let its sender be killed before it knows."""
        params = json.loads(body)["params"]
        self.arrivals.append((int(headers["x-paytone-delivery"]), params["control_id"], params["for"]))
        self.victim.reached("webhook received")
        return b"{}"


@dataclass(slots=True)
class Report:
    """What was done and what was found."""

    kills: Counter[str] = field(default_factory=Counter)
    survived: int = 0
    "Runs that ended otherwise than by the kill."
    facts: dict[str, Any] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"{count:5}  {point}" for point, count in self.kills.items()]
        lines += [f"{sum(self.kills.values()):5}  kills in all", ""]
        lines += [f"{value!s:>5}  {name}" for name, value in self.facts.items()]
        lines += ["", *(f"FAULT  {fault}" for fault in self.faults)]
        return "\n".join([*lines, "exactly once" if not self.faults else f"{len(self.faults)} faults"])


class StripeBooks(FakeStripe):
    """The double of Stripe, as the comparison wants it."""

    @property
    def carried_out(self) -> Counter[str]:
        """How often each transaction was charged."""
        return Counter(self.charges)

    async def start(self) -> None:
        """Listen on a free port of loopback."""
        await self.__aenter__()

    async def stop(self) -> None:
        """Listen no more."""
        await self.__aexit__()


async def rehearse(kills: int, *, seed: int, directory: Path, kind: str = "signalwire") -> Report:
    """Kill so often, settle, and compare the books; ``kind`` is the connector's type, signalwire or stripe."""
    random_source = random.Random(seed)
    report = Report()
    victim = Victim()
    is_stripe = kind == "stripe"
    gateway: Gateway | StripeBooks = StripeBooks() if is_stripe else Gateway(victim)
    receiver = Receiver(victim)
    points = STRIPE_POINTS if is_stripe else ALL_POINTS
    await gateway.start()
    await receiver.start()
    key = 'key_env = "PAYTONE_TEST_KEY"' if is_stripe else ""
    config = CONFIG.format(directory=directory, gateway=gateway.url, receiver=receiver.url, kind=kind, key=key)
    try:
        for number in range(kills):
            point = points[number % len(points)]
            if isinstance(gateway, StripeBooks):
                gateway.index()
            if await _run(victim, {"config": config, "point": point}, random_source.uniform(0.0, 0.3)):
                report.kills[point] += 1
            else:
                report.survived += 1
        victim.point = ""
        if isinstance(gateway, StripeBooks):
            gateway.index()
        await _run(victim, {"config": config}, 0.0)
        if victim.process is None or victim.process.returncode != 0:
            report.faults.append("the last run did not settle")
    finally:
        await gateway.stop()
        await receiver.stop()
    _compare(report, directory / "ledger.sqlite3", gateway, receiver)
    return report


async def _run(victim: Victim, settings: dict[str, Any], random_s: float) -> bool:
    """Run the payer to its end; return whether it was killed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.soak.payer", json.dumps(settings), cwd=ROOT,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE, env={**os.environ, "PAYTONE_TEST_KEY": KEY},
    )  # fmt: skip
    victim.process, victim.point = process, settings.get("point", "")
    if victim.point == RANDOM:
        asyncio.get_running_loop().call_later(1.0 + random_s, victim.reached, RANDOM)
    try:
        async with asyncio.timeout(PATIENCE_S):
            _, errors = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return False
    if process.returncode not in (0, -signal.SIGKILL):
        sys.stderr.write(errors.decode(errors="replace"))
    return process.returncode == -signal.SIGKILL


def _compare(report: Report, ledger: Path, gateway: Gateway | StripeBooks, receiver: Receiver) -> None:
    with closing(sqlite3.connect(ledger)) as connection:
        attempts = dict(connection.execute("SELECT transaction_id, outcome FROM charge_attempts").fetchall())
        (looked_up,) = connection.execute(
            "SELECT count(*) FROM charge_attempts WHERE reconciled AND outcome = 'succeeded'"
        ).fetchone()
        payments = dict(connection.execute("SELECT payment_id, result FROM payments").fetchall())
        outbox = connection.execute("SELECT id, session, delivered_at IS NOT NULL FROM outbox ORDER BY id").fetchall()
    carried_out = set(gateway.carried_out)
    outcomes = Counter(str(outcome) for outcome in attempts.values())
    report.facts |= {
        "payments begun": len(payments),
        "attempts journalled": len(attempts),
        "charges at the gateway": len(carried_out),
        "of them succeeded in the ledger": sum(attempts.get(one) == "succeeded" for one in carried_out),
        "of those found out by look-up": looked_up,
        "of them unknown in the ledger": sum(attempts.get(one) == "unknown" for one in carried_out),
        "unknown and not charged": outcomes["unknown"] - sum(attempts.get(one) == "unknown" for one in carried_out),
        "charged twice": sum(count > 1 for count in gateway.carried_out.values()),
        "webhooks queued": len(outbox),
        "webhooks received": len({delivery for delivery, _, _ in receiver.arrivals}),
        "webhooks received more than once": sum(
            count > 1 for count in Counter(delivery for delivery, _, _ in receiver.arrivals).values()
        ),
        "runs that were not killed": report.survived,
    }
    fault = report.faults.append
    for one, count in gateway.carried_out.items():
        if count > 1:
            fault(f"transaction {one} was carried out {count} times")
        if attempts.get(one) not in ("succeeded", "unknown"):
            fault(f"transaction {one} was charged, and the ledger says {attempts.get(one, 'nothing')}")
    for one, outcome in attempts.items():
        if outcome == "succeeded" and one not in carried_out:
            fault(f"transaction {one} succeeded in the ledger, and was never charged")
        if outcome is None:
            fault(f"transaction {one} is still open")
    for payment, result in payments.items():
        if result is None:
            fault(f"payment {payment} has no result")
    arrived = {delivery for delivery, _, _ in receiver.arrivals}
    for webhook, session, delivered in outbox:
        if webhook not in arrived or not delivered:
            fault(f"webhook {webhook} of {session} was lost")
    first: dict[str, list[int]] = {}
    for delivery, payment, _ in receiver.arrivals:
        if delivery not in first.setdefault(payment, []):
            first[payment].append(delivery)
    for payment, deliveries in first.items():
        if deliveries != sorted(deliveries):
            fault(f"webhooks of {payment} came out of order")
    last = {payment: step for _, payment, step in sorted(receiver.arrivals)}
    for payment in payments:
        if last.get(payment) not in ("payment-completed", "payment-failed", "payment-canceled"):
            fault(f"the application was not told how {payment} ended, but only {last.get(payment, 'nothing')}")


def main(argv: list[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.kill_nine", description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--gateway", choices=("signalwire", "stripe"), default="signalwire")
    arguments = parser.parse_args(argv)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="paytone-kill-") as directory:
        report = asyncio.run(
            rehearse(arguments.kills, seed=arguments.seed, directory=Path(directory), kind=arguments.gateway)
        )
    sys.stdout.write(f"{report}\n{time.monotonic() - began:.0f} s\n")
    return 1 if report.faults else 0


if __name__ == "__main__":
    sys.exit(main())
