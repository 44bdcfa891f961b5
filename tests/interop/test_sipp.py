"""SIPp pays: RFC 4733 trains from a capture, SIPp's own faulty generator, and RTP/SAVP in its SDP (RFC 4568).

SIPp 3.6.1 as Debian builds it has no SRTP: its part there is the signalling, and the packets are sent from beside it.
"""

from __future__ import annotations

import asyncio
import base64
import os
import secrets
import socket
from pathlib import Path

import pytest

from engine.rtp.srtp import SUITES, SrtpKeysPair
from tests.interop.sipp_peer import (
    EVENT_PT,
    OWN_EVENT_PT,
    CryptoOffer,
    answered,
    caller_scenario,
    play_capture,
    play_dtmf,
    run_caller,
)
from tests.interop.srtp_stream import exchange
from tests.interop.steps import TOML, assert_paid, entries, with_srtp
from tests.support.engine import running_engine
from tests.support.pcap import KeyedStream, write_pcap
from tests.support.process import needs

pytestmark = [
    pytest.mark.interop,
    pytest.mark.asyncio,
    needs("sipp"),
]

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="SIPp plays media through a raw socket: root only")

PROMPT_MS = 1500
"""How long the caller listens before keying: every prompt is longer, so each field is barged in on."""


def paying_stream() -> KeyedStream:
    """Return a telephone's stream that keys every field."""
    stream = KeyedStream(event_pt=EVENT_PT)
    stream.silence(PROMPT_MS)
    for keys in entries().values():
        stream.keys(keys)
        stream.silence(PROMPT_MS)
    return stream


@needs_root
async def test_a_caller_whose_events_follow_rfc_4733_pays(tmp_path: Path) -> None:
    stream = paying_stream()
    write_pcap(tmp_path / "keys.pcap", stream.packets)
    caller_scenario(tmp_path / "caller.xml", play_capture("keys.pcap", stream.at_ms))
    async with running_engine(TOML, directory=tmp_path / "engine") as engine:
        status, told = await run_caller(tmp_path, "caller.xml", engine.sip_address)
        assert status == 0, f"{told}\n{engine.log}"
        assert_paid(engine, told)


@needs_root
async def test_a_caller_whose_timestamps_count_milliseconds_pays(tmp_path: Path) -> None:
    steps = [f'  <pause milliseconds="{PROMPT_MS}"/>']
    for keys in entries().values():
        steps += play_dtmf(keys, len(keys) * 450 + PROMPT_MS)
    caller_scenario(tmp_path / "caller.xml", steps, event_pt=OWN_EVENT_PT)
    async with running_engine(TOML, directory=tmp_path / "engine") as engine:
        status, told = await run_caller(tmp_path, "caller.xml", engine.sip_address)
        assert status == 0, f"{told}\n{engine.log}"
        assert_paid(engine, told)


@pytest.mark.parametrize("suite", ["AES_CM_128_HMAC_SHA1_80", "AEAD_AES_256_GCM"])
async def test_a_caller_who_offers_savp_pays(tmp_path: Path, suite: str) -> None:
    stream = paying_stream()
    key = secrets.token_bytes(SUITES[suite].master_octets)
    other = base64.b64encode(secrets.token_bytes(30)).decode()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as media:
        media.bind(("127.0.0.1", 0))
        offer = CryptoOffer(
            port=media.getsockname()[1],
            # A suite that we lack, then an MKI, which we do not speak: both are passed over (RFC 4568 §5.1.2).
            attributes=(
                f"1 F8_128_HMAC_SHA1_80 inline:{other}",
                f"2 AES_CM_128_HMAC_SHA1_80 inline:{other}|2^20|1:4",
                f"7 {suite} inline:{base64.b64encode(key).decode()}|2^31",
            ),
            taken_tag=7,
            suite=suite,
        )
        caller_scenario(tmp_path / "caller.xml", [], crypto=offer)
        async with (
            running_engine(with_srtp("required"), directory=tmp_path / "engine") as engine,
            asyncio.TaskGroup() as group,
        ):
            calling = group.create_task(run_caller(tmp_path, "caller.xml", engine.sip_address))
            port, engines_key = await answered(tmp_path)
            pair = SrtpKeysPair(suite, key, engines_key)
            heard = await exchange(stream.packets, pair, media, ("127.0.0.1", port))
            status, told = await calling
            assert status == 0, f"{told}\n{engine.log}"
            assert_paid(engine, told)
    assert heard.genuine > 200, "the prompts, under the engine's key"
    assert heard.refused == 0
