"""Whatever octets an endpoint traces, every sink takes them, and what it writes can be read."""

from __future__ import annotations

import logging
import socket
import tempfile
from pathlib import Path
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.config import TraceConfig
from engine.redact import redact_sip
from engine.trace import SipTrace
from sip.address import Address, Listener, Transport
from sip.agent import Trace, TraceRecord
from tests.fuzz.drive import mutated
from tests.fuzz.fuzz_sip_redact import SEEDS
from tests.support.shared import VECTORS
from tests.support.trace_reader import read_hep, read_pcap

MESSAGES = (*SEEDS, *(path.read_bytes() for path in sorted((VECTORS / "sip").glob("rfc*/*.dat"))))
LISTENERS = (Listener(id=1, host="192.0.2.9", port=5060), Listener(id=2, host="2001:db8::9", port=5060))
peers = st.builds(
    Address,
    st.ip_addresses().map(str),
    st.integers(0, 65_535),
    st.sampled_from(Transport),
    st.integers(0, 3),
    st.integers(0, 2),
)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.lists(st.tuples(peers, st.booleans()), min_size=1, max_size=8))
def test_every_sink_takes_whatever_was_said(seed: int, said: list[tuple[Address, bool]]) -> None:
    random = Random(seed)
    logging.getLogger("engine.trace").setLevel(logging.DEBUG)
    attached: list[Trace | None] = []
    with tempfile.TemporaryDirectory() as directory, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(5)
        path = Path(directory) / "sip.pcap"
        trace = SipTrace(
            attached.append, LISTENERS, wall=lambda: 1.5, now=lambda: 1.0, call_later=lambda _delay_s, _call: None
        )
        trace.start(TraceConfig(ladder=True, hep=f"127.0.0.1:{server.getsockname()[1]}", pcap=str(path)))
        record = attached[0]
        assert record is not None
        expected = b""
        for number, (peer, sent) in enumerate(said):
            data = mutated(random, MESSAGES) or b"x"
            record(TraceRecord(now=float(number), sent=sent, peer=peer, start_line="", size=len(data), data=data))
            clean = redact_sip(data)
            assert read_hep(server.recv(70_000))[15] == clean
            expected += clean
        assert trace.running == ("ladder", "hep", "pcap")
        trace.stop()
        packets = read_pcap(path)
        assert b"".join(packet.payload for packet in packets) == expected
        for packet, (peer, sent) in zip(packets, said, strict=True):
            assert (packet.destination if sent else packet.source) == (peer.host, peer.port)
