"""After a payment no digit is left anywhere: log, ledger, webhooks, files, what the caller heard, the engine's memory.

The whole path is real: a softphone keys, the engine sends the SignalWire wire to a gateway on loopback and
its statuses to a collector. The recording of what the caller heard must hold the prompts and not one decodable key.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from dsp.dtmf import DtmfDetector
from dsp.meter import active_level_dbov
from tests.support.caller import Script, expiry, pay
from tests.support.engine import running_engine
from tests.support.gateway import FakeGateway
from tests.support.memory_scan import scan
from tests.support.recording import decode_keys, read_wav

pytestmark = [pytest.mark.strict, pytest.mark.e2e, pytest.mark.timeout(180), pytest.mark.asyncio]

AMEX = "371449635398431"  # published test number, with a code of four digits that stands nowhere else
CODE = "8507"
OK = "raw:HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def _toml(gateway: FakeGateway, statuses: FakeGateway) -> str:
    return f"""
[log]
level = "debug"

[connector.shop]
type = "signalwire"
url = "{gateway.url}"
allow_insecure = true

[webhooks]
allow = ["127.0.0.0/8"]

[form.donation]
amount = "25.00"
connector = "shop"
status_url = "{statuses.url}"
allow_insecure = true

[[route]]
to = "pay"
form = "donation"
"""


async def test_no_digit_is_left_after_a_payment(tmp_path: Path) -> None:
    async with asyncio.TaskGroup() as group:
        for mode in ("in-band", "telephone-event", "info"):
            group.create_task(_pay_and_look(mode, tmp_path / mode))


async def _pay_and_look(mode: str, tmp_path: Path) -> None:
    tmp_path.mkdir()
    heard = tmp_path / "heard.wav"
    directory = tmp_path / "engine"
    async with FakeGateway() as gateway, FakeGateway([OK] * 40) as statuses:
        async with running_engine(_toml(gateway, statuses), directory=directory) as engine:
            call = await pay(engine, Script.good(mode=mode, card=AMEX, code=CODE), record=heard)
            assert call.result == "success", engine.log
            body = json.loads(gateway.requests[0].body)
            assert body["cardnumber"] == AMEX
            assert body["cvv"] == CODE
            try:
                hits = scan(engine.pid, [AMEX, f'"cvv":"{CODE}"', f"{AMEX[-6:]}{expiry()}{CODE}"])
            except PermissionError:
                pytest.skip("reading an undumpable process's memory needs root")
            assert not hits, [(hit.mapping, hit.encoding) for hit in hits]
        written = engine.log.encode() + b"".join(path.read_bytes() for path in engine.files())
        posted = b"".join(received.body for received in statuses.requests)
        assert call.call_id.encode() in posted
        assert b"payment-completed" in posted
        for place in (written, posted):
            assert AMEX.encode() not in place
            assert f'"{CODE}"'.encode() not in place
            assert AMEX[:-4].encode() not in place
    _check_recording(heard, {"payment-card-number", "payment-completed"} & set(call.steps))


def _check_recording(heard: Path, prompts: set[str]) -> None:
    """The caller heard prompts at their level, and no key."""
    assert prompts == {"payment-card-number", "payment-completed"}
    samples = read_wav(heard)
    assert len(samples) / 8000 > 4.0
    assert active_level_dbov((samples * 32767).astype("<i2"), 8000) == pytest.approx(-25.0, abs=2.0)
    assert decode_keys(samples) == ""
    detector = DtmfDetector()
    found = detector.process((samples * 32767).astype("<i2")) + detector.flush()
    assert not found
