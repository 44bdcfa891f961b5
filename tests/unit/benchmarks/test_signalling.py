"""The load for signalling: its messages are SIP, its calls are whole, and its figures are what they say."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from benchmarks import signalling
from benchmarks.load import signals
from benchmarks.load.flood import Flood, percentile
from benchmarks.load.memory import MemoryLoad
from sip.message import Request, Response
from sip.parser import parse_message
from sip.sdp import parse as parse_sdp

TEXT: dict[str, Any] = {"target": "sip:pay@192.0.2.2", "host": "192.0.2.1", "port": 5060}


def test_the_messages_of_a_call_belong_together() -> None:
    data = signals.invite(7, rtp_port=4000, **TEXT)
    invite = parse_message(data)
    answer = parse_message(signals.ok(data, "abc"))
    ack = parse_message(signals.ack(7, "abc", **TEXT))
    bye = parse_message(signals.bye(7, "abc", **TEXT))
    assert isinstance(invite, Request)
    assert isinstance(answer, Response)
    assert isinstance(ack, Request)
    assert isinstance(bye, Request)
    assert parse_sdp(invite.body).media[0].port == 4000
    assert {message.call_id for message in (invite, answer, ack, bye)} == {invite.call_id}
    assert {message.to.tag for message in (answer, ack, bye)} == {"abc"}
    assert len({message.via.branch for message in (invite, ack, bye)}) == 3
    assert (ack.cseq.number, bye.cseq.number) == (invite.cseq.number, invite.cseq.number + 1)
    assert signals.to_tag_of(answer.serialize()) == "abc"


def test_the_ack_of_a_refusal_has_the_branch_of_the_invite() -> None:
    invite = parse_message(signals.invite(7, rtp_port=4000, **TEXT))
    ack = parse_message(signals.ack_refusal(7, "abc", **TEXT))
    assert ack.via.branch == invite.via.branch


def test_calls_in_memory_are_whole_and_end() -> None:
    load = MemoryLoad(100.0)
    load.run(25)
    assert load.completed == 25
    held = load.open()
    assert (held.sessions, held.dialogs, held.transactions) == (0, 0, 50)
    load.let_time_pass(400.0)
    left = load.open()
    assert (left.transactions, left.has_timer) == (0, False)


def test_percentiles() -> None:
    values = [float(n) for n in range(100)]
    assert (percentile(values, 0.5), percentile(values, 0.99), percentile(values, 1.0)) == (50.0, 99.0, 99.0)


class _Answerer(threading.Thread):
    """Answers every other INVITE with 503, the rest with 200, and each BYE with 200."""

    def __init__(self, calls: int) -> None:
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(10.0)
        self.acks = 0
        self._left = calls

    def run(self) -> None:
        seen: list[str] = []
        while self._left:
            data, source = self.socket.recvfrom(65535)
            request = parse_message(data)
            assert isinstance(request, Request)
            if request.method == "ACK":
                self.acks += 1
                continue
            status = 200
            if request.method == "INVITE":
                if request.call_id not in seen:
                    seen.append(request.call_id)
                status = 503 if seen.index(request.call_id) % 2 else 200
            self._left -= request.method == "BYE" or status == 503
            self.socket.sendto(Response.to_request(request, status, to_tag="t").serialize(), source)


def test_the_generator_tells_completed_calls_from_refused_ones() -> None:
    answerer = _Answerer(10)
    answerer.start()
    flood = Flood(answerer.socket.getsockname(), user="pay", rate=200.0, calls=10, hold_s=0.01, prefix="t")
    try:
        figures = flood.run()
    finally:
        flood.close()
        answerer.join(10.0)
        answerer.socket.close()
    assert (figures["completed"], figures["refused"], figures["failed"]) == (5, {"503": 5}, 0)
    assert len(flood.latencies_s) == 5


def test_the_slope_is_that_of_the_second_half() -> None:
    flat = [signalling._Sample(calls=n * 100, rss_kib=1000 + min(n, 5), descriptors=6) for n in range(20)]
    growing = [signalling._Sample(calls=n * 100, rss_kib=1000 + n, descriptors=6) for n in range(20)]
    assert signalling._slope(flat) == 0.0
    assert signalling._slope(growing) == pytest.approx(10.24)


def test_results_of_several_parts_stand_in_one_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert signalling.main(["parse", "--repeats", "1", "--out", str(tmp_path)]) == 0
    assert signalling.main(["endpoint", "--calls", "10", "--runs", "1", "--out", str(tmp_path)]) == 0
    assert "INVITE" in capsys.readouterr().out
    known = json.loads((tmp_path / "signalling.json").read_text())
    assert [row["message"] for row in known["parse"]["rows"]] == ["INVITE", "200 to INVITE", "BYE"]
    text = (tmp_path / "signalling.md").read_text()
    assert "## parse" in text
    assert "## endpoint" in text
