"""A trace shows what was said and none of the secrets in it, and never stands in the way of a call."""

from __future__ import annotations

import errno
import logging
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.config import TraceConfig, parse
from engine.errors import ConfigError
from engine.metrics import REGISTRY
from engine.trace import SipTrace
from engine.trace.ladder import IDLE_S, LINGER_S, MAX_CALLS, MAX_MESSAGES
from engine.trace.pcap import PcapWriter
from sip.address import Address, Listener, Transport
from sip.agent import Trace, TraceRecord
from tests.support.sip_pair import Solo
from tests.support.trace_reader import read_hep, read_pcap

WALL_S = 1_763_755_200.25
LISTENERS = (
    Listener(id=1, host="192.0.2.9", port=5060),
    Listener(id=2, transport=Transport.TLS, host="192.0.2.9", port=5061),
    Listener(id=3, host="2001:db8::9", port=5060),
)
PEER = Address("192.0.2.7", 5062, listener=1)


def message(start: str, *, cseq: str, call_id: str = "call-1", fields: str = "", body: str = "") -> bytes:
    return (
        f"{start}\r\nVia: SIP/2.0/UDP 192.0.2.7:5062;branch=z9hG4bK1\r\nFrom: <sip:a@192.0.2.7>;tag=1\r\n"
        f"To: <sip:pay@192.0.2.9>\r\nCall-ID: {call_id}\r\nCSeq: {cseq}\r\n{fields}"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


INVITE = message("INVITE sip:pay@192.0.2.9 SIP/2.0", cseq="1 INVITE")
INFO = message(
    "INFO sip:pay@192.0.2.9 SIP/2.0",
    cseq="2 INFO",
    fields="Content-Type: application/dtmf-relay\r\n",
    body="Signal=5\r\nDuration=160\r\n",
)


class Tracer:
    """A ``SipTrace`` with a clock of its own."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.attached: Trace | None = None
        self.later: list[tuple[float, Callable[[], None]]] = []
        self.trace = SipTrace(
            self._attach, LISTENERS, wall=lambda: WALL_S, now=lambda: self.now_s, call_later=self._call_later
        )

    def _attach(self, trace: Trace | None) -> None:
        self.attached = trace

    def _call_later(self, delay_s: float, call: Callable[[], None]) -> None:
        self.later.append((self.now_s + delay_s, call))

    def is_attached(self) -> bool:
        return self.attached is not None

    def pass_time(self, seconds: float) -> None:
        self.now_s += seconds
        for due in [entry for entry in self.later if entry[0] <= self.now_s]:
            self.later.remove(due)
            due[1]()

    def tell(self, data: bytes, *, sent: bool = False, peer: Address = PEER) -> None:
        if self.attached is not None:
            self.attached(TraceRecord(now=self.now_s, sent=sent, peer=peer, start_line="", size=len(data), data=data))

    def response(self, status: int, cseq: str, *, call_id: str = "call-1", sent: bool = True) -> None:
        self.tell(message(f"SIP/2.0 {status} Because", cseq=cseq, call_id=call_id), sent=sent)


@pytest.fixture
def tracer() -> Iterator[Tracer]:
    tracer = Tracer()
    yield tracer
    tracer.trace.stop()


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(5)
        yield sock


def port_of(sock: socket.socket) -> str:
    return f"127.0.0.1:{sock.getsockname()[1]}"


def ladders(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [entry.getMessage() for entry in caplog.records if "sip ladder" in entry.getMessage()]


# -- the whole ---------------------------------------------------------------------------------------------------------


def test_while_nothing_is_traced_the_endpoint_has_no_trace(tracer: Tracer) -> None:
    tracer.trace.start(TraceConfig())
    assert not tracer.is_attached()
    tracer.trace.start(TraceConfig(ladder=True))
    assert tracer.is_attached()
    assert tracer.trace.running == ("ladder",)
    tracer.trace.stop()
    assert not tracer.is_attached()
    tracer.trace.stop()


def test_a_trace_can_be_started_and_widened_while_it_runs(tracer: Tracer, tmp_path: Path) -> None:
    tracer.trace.start(TraceConfig(ladder=True))
    tracer.trace.start(TraceConfig(ladder=True, pcap=str(tmp_path / "sip.pcap")))
    assert tracer.trace.running == ("ladder", "pcap")


def test_an_endpoint_tells_its_trace_what_comes_and_goes(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "engine.trace")
    solo = Solo.at()
    tracer = Tracer()
    trace = SipTrace(
        solo.endpoint.set_trace,
        solo.endpoint._agent.config.listeners,
        wall=lambda: WALL_S,
        now=lambda: solo.now,
        call_later=lambda delay_s, call: tracer.later.append((delay_s, call)),
    )
    trace.start(TraceConfig(ladder=True))
    options = message("OPTIONS sip:pay@192.0.2.9 SIP/2.0", cseq="1 OPTIONS", fields="Max-Forwards: 70\r\n")
    solo.endpoint.receive_datagram(options, PEER, solo.now)
    solo.endpoint.datagrams_to_send(solo.now)
    trace.stop()
    solo.endpoint.receive_datagram(options, PEER, solo.now)
    (ladder,) = ladders(caplog)
    assert "← OPTIONS 1" in ladder
    assert "→ 200 OK (OPTIONS 1)" in ladder


def test_every_sink_sees_redacted_messages_only(
    tracer: Tracer, server: socket.socket, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "engine.trace")
    path = tmp_path / "sip.pcap"
    tracer.trace.start(TraceConfig(ladder=True, hep=port_of(server), pcap=str(path)))
    secret = message(
        "INVITE sip:bob:hunter2@192.0.2.9 SIP/2.0",
        cseq="1 INVITE",
        call_id="4111111111111111@x",
        fields='Authorization: Digest username="bob", response="5ec4e7"\r\nContent-Type: application/sdp\r\n',
        body="v=0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\r\n",
    )
    tracer.tell(secret)
    tracer.tell(INFO)
    seen = [server.recv(70_000), server.recv(70_000), path.read_bytes()]
    tracer.trace.stop()
    seen.append("\n".join(ladders(caplog)).encode())
    for octets in seen:
        for word in (b"hunter2", b"5ec4e7", b"WVNf", b"4111111", b"Signal", b"160"):
            assert word not in octets
    assert b'username="bob"' in seen[0]


def test_what_was_no_message_is_not_traced(tracer: Tracer, tmp_path: Path) -> None:
    path = tmp_path / "sip.pcap"
    tracer.trace.start(TraceConfig(pcap=str(path)))
    tracer.tell(b"")
    assert read_pcap(path) == []


# -- HEP ---------------------------------------------------------------------------------------------------------------


def test_a_homer_server_gets_each_message_with_its_addresses(
    tracer: Tracer, server: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEP_KEY", "myhep")
    tracer.trace.start(TraceConfig(hep=port_of(server), hep_id=77, hep_password_env="HEP_KEY"))
    tracer.tell(INVITE)
    values = read_hep(server.recv(70_000))
    assert values == {
        1: b"\x02",
        2: b"\x11",
        3: bytes((192, 0, 2, 7)),
        4: bytes((192, 0, 2, 9)),
        7: (5062).to_bytes(2, "big"),
        8: (5060).to_bytes(2, "big"),
        9: int(WALL_S).to_bytes(4, "big"),
        10: (250_000).to_bytes(4, "big"),
        11: b"\x01",
        12: (77).to_bytes(4, "big"),
        14: b"myhep",
        15: INVITE,
        17: b"call-1",
    }


def test_a_message_over_tls_and_ipv6_is_sent_with_the_protocol_and_family_it_had(
    tracer: Tracer, server: socket.socket
) -> None:
    tracer.trace.start(TraceConfig(hep=port_of(server)))
    tracer.tell(INVITE, sent=True, peer=Address("192.0.2.7", 40_000, Transport.TLS, listener=2, flow=5))
    values = read_hep(server.recv(70_000))
    assert (values[2], values[3], values[7]) == (b"\x06", bytes((192, 0, 2, 9)), (5061).to_bytes(2, "big"))
    tracer.tell(INVITE, peer=Address("2001:db8::7", 5060, listener=3))
    values = read_hep(server.recv(70_000))
    assert values[1] == b"\x0a"
    assert values[5] == socket.inet_pton(socket.AF_INET6, "2001:db8::7")
    assert values[6] == socket.inet_pton(socket.AF_INET6, "2001:db8::9")
    assert 3 not in values


def test_a_homer_server_that_is_away_costs_only_its_copies(tracer: Tracer, server: socket.socket) -> None:
    before = REGISTRY.get_sample_value("paytone_trace_dropped_total", {"sink": "hep"}) or 0.0
    tracer.trace.start(TraceConfig(hep=port_of(server)))
    server.close()
    for _ in range(5):
        tracer.tell(INVITE)
    assert tracer.trace.running == ("hep",)
    after = REGISTRY.get_sample_value("paytone_trace_dropped_total", {"sink": "hep"})
    assert after is not None
    assert after > before


def test_a_message_too_long_for_a_packet_is_dropped(tracer: Tracer, server: socket.socket) -> None:
    tracer.trace.start(TraceConfig(hep=port_of(server)))
    tracer.tell(message("MESSAGE sip:a@b SIP/2.0", cseq="1 MESSAGE", body="x" * 65_000))
    tracer.tell(INVITE)
    assert read_hep(server.recv(70_000))[15] == INVITE


# -- pcap --------------------------------------------------------------------------------------------------------------


def test_a_capture_holds_datagrams_as_they_went(tracer: Tracer, tmp_path: Path) -> None:
    path = tmp_path / "sip.pcap"
    tracer.trace.start(TraceConfig(pcap=str(path)))
    tracer.tell(INVITE)
    tracer.tell(INVITE, sent=True)
    tracer.tell(INVITE, peer=Address("2001:db8::7", 5060, listener=3))
    first, second, third = read_pcap(path)
    assert (first.protocol, first.source, first.destination) == ("UDP", ("192.0.2.7", 5062), ("192.0.2.9", 5060))
    assert (second.source, second.destination) == (first.destination, first.source)
    assert (third.version, third.source) == (6, ("2001:db8::7", 5060))
    assert {packet.payload for packet in (first, second, third)} == {INVITE}
    assert first.at_s == WALL_S
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_connection_s_messages_are_one_stream_in_a_capture(tracer: Tracer, tmp_path: Path) -> None:
    path = tmp_path / "sip.pcap"
    tracer.trace.start(TraceConfig(pcap=str(path)))
    peer = Address("192.0.2.7", 40_000, Transport.TLS, listener=2, flow=5)
    long = message("MESSAGE sip:a@b SIP/2.0", cseq="1 MESSAGE", body="x" * 64_000)
    for data in (INVITE, long, INVITE):
        tracer.tell(data, peer=peer)
    tracer.tell(INVITE, sent=True, peer=peer)
    *received, back = read_pcap(path)
    assert {packet.protocol for packet in received} == {"TCP"}
    sequence = received[0].sequence
    for packet in received:
        assert packet.sequence == sequence
        sequence += len(packet.payload)
    assert len(b"".join(packet.payload for packet in received)) == 2 * len(INVITE) + len(long)
    assert (back.source, back.sequence, back.payload) == (("192.0.2.9", 5061), 1, INVITE)


def test_a_capture_begins_anew_at_its_limit_and_keeps_one_file(tmp_path: Path) -> None:
    path = tmp_path / "sip.pcap"
    path.write_bytes(b"of an earlier run")
    tracer = Tracer()
    tracer.trace.start(TraceConfig(pcap=str(path), pcap_max_mb=1))
    assert (tmp_path / "sip.pcap.1").read_bytes() == b"of an earlier run"
    long = message("MESSAGE sip:a@b SIP/2.0", cseq="1 MESSAGE", body="x" * 60_000)
    for _ in range(40):
        tracer.tell(long)
    tracer.trace.stop()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["sip.pcap", "sip.pcap.1"]
    for entry in tmp_path.iterdir():
        assert entry.stat().st_size <= 1_000_000
        assert entry.stat().st_mode & 0o777 == 0o600
        assert read_pcap(entry)


def test_a_capture_is_not_written_through_a_link(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "sip.pcap").symlink_to(victim)
    writer = PcapWriter(tmp_path / "sip.pcap", max_octets=1_000_000)
    writer.close()
    assert victim.read_text() == "precious"
    assert not (tmp_path / "sip.pcap").is_symlink()


def test_a_full_disk_ends_the_capture_and_not_the_call(
    tracer: Tracer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tracer.trace.start(TraceConfig(ladder=True, pcap=str(tmp_path / "sip.pcap")))

    def full(_file: int, _octets: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("engine.trace.pcap.os.write", full)
    tracer.tell(INVITE)
    tracer.tell(INVITE)
    assert tracer.trace.running == ("ladder",)
    assert sum("a trace ends" in entry.getMessage() for entry in caplog.records) == 1


@pytest.mark.parametrize(
    ("config", "where"),
    [
        (TraceConfig(pcap="/nonexistent/sip.pcap"), "trace.pcap"),
        (TraceConfig(hep="192.0.2.1:9060", hep_password_env="PAYTONE_NOT_SET"), "trace.hep_password_env"),
    ],
)
def test_a_trace_that_cannot_be_opened_names_the_key(tracer: Tracer, config: TraceConfig, where: str) -> None:
    with pytest.raises(ConfigError, match=where):
        tracer.trace.start(config)


@pytest.mark.parametrize("text", ['hep = "homer"', 'hep = "192.0.2.1:0"', "pcap_max_mb = 0", "hep_id = -1"])
def test_a_wrong_key_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"trace\."):
        parse(f"[trace]\n{text}\n")


# -- ladders -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def told(tracer: Tracer, caplog: pytest.LogCaptureFixture) -> Tracer:
    caplog.set_level(logging.DEBUG, "engine.trace")
    tracer.trace.start(TraceConfig(ladder=True))
    return tracer


def test_a_call_is_one_block_when_it_is_over(told: Tracer, caplog: pytest.LogCaptureFixture) -> None:
    told.tell(INVITE)
    told.response(100, "1 INVITE")
    told.now_s += 0.25
    told.response(200, "1 INVITE")
    told.tell(message("ACK sip:pay@192.0.2.9 SIP/2.0", cseq="1 ACK"))
    told.tell(INFO)
    told.response(200, "2 INFO")
    told.pass_time(LINGER_S * 2)
    assert ladders(caplog) == []
    told.tell(message("BYE sip:a@192.0.2.7 SIP/2.0", cseq="9 BYE"), sent=True)
    told.response(200, "9 BYE", sent=False)
    assert ladders(caplog) == []
    told.pass_time(LINGER_S)
    (ladder,) = ladders(caplog)
    title, *lines = ladder.splitlines()
    assert title == "sip ladder call-1 with 192.0.2.7:5062 over UDP at 2025-11-21T20:00:00.250+00:00"
    assert [line.split("ms", 1)[1].strip() for line in lines] == [
        "← INVITE 1",
        "→ 100 Because (INVITE 1)",
        "→ 200 Because (INVITE 1)",
        "← ACK 1",
        "← INFO 2",  # an octet more or less would tell * and # from a digit
        "→ 200 Because (INFO 2)",
        "→ BYE 9",
        "← 200 Because (BYE 9)",
    ]
    assert lines[0].split() == ["0", "ms", "←", "INVITE", "1"]
    assert lines[2].split()[0] == "250"


def test_credentials_and_what_is_repeated_stand_in_the_block_of_their_call(
    told: Tracer, caplog: pytest.LogCaptureFixture
) -> None:
    told.tell(INVITE, sent=True)
    told.tell(INVITE, sent=True)
    told.response(407, "1 INVITE", sent=False)
    told.tell(message("ACK sip:a@b SIP/2.0", cseq="1 ACK"), sent=True)
    told.pass_time(LINGER_S / 2)
    told.tell(message("INVITE sip:a@b SIP/2.0", cseq="2 INVITE"), sent=True)
    told.pass_time(LINGER_S * 2)
    assert ladders(caplog) == []
    told.response(486, "2 INVITE", sent=False)
    told.pass_time(LINGER_S)
    (ladder,) = ladders(caplog)
    assert "→ INVITE 1 (again)" in ladder
    assert "← 486" in ladder


def test_only_calls_are_told_at_the_level_of_calls(told: Tracer, caplog: pytest.LogCaptureFixture) -> None:
    told.tell(message("OPTIONS sip:a@b SIP/2.0", cseq="1 OPTIONS"))
    told.response(200, "1 OPTIONS")
    told.tell(message("INVITE sip:a@b SIP/2.0", cseq="1 INVITE", call_id="call-2"))
    told.response(404, "1 INVITE", call_id="call-2")
    told.pass_time(LINGER_S)
    assert [entry.levelname for entry in caplog.records] == ["DEBUG", "INFO"]


def test_a_call_of_many_messages_tells_their_number(told: Tracer, caplog: pytest.LogCaptureFixture) -> None:
    told.tell(INVITE)
    for number in range(MAX_MESSAGES + 10):
        told.tell(message("INFO sip:a@b SIP/2.0", cseq=f"{number + 2} INFO"))
    told.trace.stop()
    (ladder,) = ladders(caplog)
    assert ladder.splitlines()[-2:] == ["11 more messages", "the trace ends"]
    assert len(ladder.splitlines()) == MAX_MESSAGES + 3


def test_many_calls_at_once_do_not_grow_without_bound(told: Tracer, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(MAX_CALLS + 5):
        told.tell(message("INVITE sip:a@b SIP/2.0", cseq="1 INVITE", call_id=f"call-{number}"))
    written = ladders(caplog)
    assert [ladder.split()[2] for ladder in written] == [f"call-{number}" for number in range(5)]
    assert written[0].endswith("cut short: too many calls at once")


def test_a_call_of_which_nothing_is_heard_for_an_hour_is_written(
    told: Tracer, caplog: pytest.LogCaptureFixture
) -> None:
    told.tell(INVITE)
    told.response(200, "1 INVITE")
    told.pass_time(IDLE_S)
    told.tell(message("OPTIONS sip:a@b SIP/2.0", cseq="1 OPTIONS", call_id="other"))
    (ladder,) = ladders(caplog)
    assert ladder.endswith("quiet for an hour")


def test_a_peer_cannot_write_lines_into_the_log(told: Tracer, caplog: pytest.LogCaptureFixture) -> None:
    told.tell(message("INVITE\x1b[31m sip:a@b SIP/2.0", cseq="1 INVITE", call_id="x\x1b[2J\x07y"))
    told.tell(message("SIP/2.0 200 O\x1bK\rforged", cseq="1 INVITE", call_id="x\x1b[2J\x07y"))
    told.trace.stop()
    (ladder,) = ladders(caplog)
    assert "x?[2J?y" in ladder
    assert not set(ladder) & {"\x1b", "\r", "\x07"}
