"""SIPp pays: RFC 4733 trains from a capture, and SIPp's own faulty generator."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.interop.sipp_peer import EVENT_PT, OWN_EVENT_PT, caller_scenario, play_capture, play_dtmf, run_caller
from tests.interop.steps import TOML, assert_paid, entries
from tests.support.engine import running_engine
from tests.support.pcap import KeyedStream, write_pcap
from tests.support.process import needs

pytestmark = [
    pytest.mark.interop,
    pytest.mark.asyncio,
    needs("sipp"),
    pytest.mark.skipif(os.geteuid() != 0, reason="SIPp plays media through a raw socket: root only"),
]

PROMPT_MS = 1500
"""How long the caller listens before keying: every prompt is longer, so each field is barged in on."""


async def test_a_caller_whose_events_follow_rfc_4733_pays(tmp_path: Path) -> None:
    stream = KeyedStream(event_pt=EVENT_PT)
    stream.silence(PROMPT_MS)
    for keys in entries().values():
        stream.keys(keys)
        stream.silence(PROMPT_MS)
    write_pcap(tmp_path / "keys.pcap", stream.packets)
    caller_scenario(tmp_path / "caller.xml", play_capture("keys.pcap", stream.at_ms))
    async with running_engine(TOML, directory=tmp_path / "engine") as engine:
        status, told = await run_caller(tmp_path, "caller.xml", engine.sip_address)
        assert status == 0, f"{told}\n{engine.log}"
        assert_paid(engine, told)


async def test_a_caller_whose_timestamps_count_milliseconds_pays(tmp_path: Path) -> None:
    steps = [f'  <pause milliseconds="{PROMPT_MS}"/>']
    for keys in entries().values():
        steps += play_dtmf(keys, len(keys) * 450 + PROMPT_MS)
    caller_scenario(tmp_path / "caller.xml", steps, event_pt=OWN_EVENT_PT)
    async with running_engine(TOML, directory=tmp_path / "engine") as engine:
        status, told = await run_caller(tmp_path, "caller.xml", engine.sip_address)
        assert status == 0, f"{told}\n{engine.log}"
        assert_paid(engine, told)
