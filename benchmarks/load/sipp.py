"""Calls placed by SIPp, another's generator, at a whole server: the engine, or Asterisk for comparison.

Each call is answered, sends a 20 ms PCMU stream of speech as long as it stands, and hangs up by itself.
"""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load.audio import background
from benchmarks.load.proc import cpu_time
from benchmarks.load.worker import raise_file_limit

__all__ = ("SippError", "SippRun", "hold_calls", "unavailable")

LOOPBACK = "127.0.0.1"
CALLS_PER_S = 50
SETTLE_S = 3.0
STREAMS_PER_THREAD = 50
STREAM_S = 40.0
END_S = 30.0
"""How long SIPp may take beyond its calls."""

SCENARIO = """<?xml version="1.0" encoding="ISO-8859-1" ?>
<!DOCTYPE scenario SYSTEM "sipp.dtd">
<scenario name="a caller who speaks">
  <send retrans="500">
    <![CDATA[
INVITE sip:[service]@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch];rport
From: "load" <sip:load@[local_ip]:[local_port]>;tag=[pid]load[call_number]
To: <sip:[service]@[remote_ip]:[remote_port]>
Call-ID: [call_id]
CSeq: 1 INVITE
Contact: <sip:load@[local_ip]:[local_port]>
Max-Forwards: 70
Content-Type: application/sdp
Content-Length: [len]

v=0
o=load 1 1 IN IP[local_ip_type] [local_ip]
s=-
c=IN IP[media_ip_type] [media_ip]
t=0 0
m=audio [rtpstream_audio_port] RTP/AVP 0
a=rtpmap:0 PCMU/8000
a=ptime:20
a=sendrecv
    ]]>
  </send>
  <recv response="100" optional="true"/>
  <recv response="180" optional="true"/>
  <recv response="183" optional="true"/>
  <recv response="200" rrs="true"/>
  <send>
    <![CDATA[
ACK [next_url] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch];rport
From: "load" <sip:load@[local_ip]:[local_port]>;tag=[pid]load[call_number]
[last_To:]
Call-ID: [call_id]
CSeq: 1 ACK
[routes]
Max-Forwards: 70
Content-Length: 0

    ]]>
  </send>
  <nop><action><exec rtp_stream="speech.ul,-1,0,PCMU/8000"/></action></nop>
  <pause milliseconds="{hold_ms}"/>
  <send retrans="500">
    <![CDATA[
BYE [next_url] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch];rport
From: "load" <sip:load@[local_ip]:[local_port]>;tag=[pid]load[call_number]
[last_To:]
Call-ID: [call_id]
CSeq: 2 BYE
[routes]
Max-Forwards: 70
Content-Length: 0

    ]]>
  </send>
  <recv response="200"/>
</scenario>
"""


class SippError(RuntimeError):
    """SIPp did not place the calls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SippRun:
    """What the server needed while all calls stood."""

    server: str
    calls: int
    completed: int
    "Calls that were answered, stood to their end and were ended in order."
    seconds: float
    us_per_call_second: float


def unavailable() -> str | None:
    """Return why SIPp cannot be used, None when it can."""
    return None if shutil.which("sipp") else "sipp is not installed: apt-get install sip-tester"


def hold_calls(
    server: str, pid: int, address: tuple[str, int], *, user: str, calls: int, seconds: float, directory: Path
) -> SippRun:
    """Place calls, let all stand for `seconds`, and take the CPU time of the process `pid` meanwhile.

    Raises SippError when SIPp does not run to its end.
    """
    raise_file_limit()
    up_s = calls / CALLS_PER_S + SETTLE_S
    hold_s = up_s + seconds + SETTLE_S
    (directory / "caller.xml").write_text(SCENARIO.format(hold_ms=round(hold_s * 1000)), encoding="ascii")
    (directory / "speech.ul").write_bytes(background(1, seconds=STREAM_S))
    host, port = address
    command = (
        *("sipp", f"{host}:{port}", "-sf", "caller.xml", "-s", user, "-i", LOOPBACK, "-mi", LOOPBACK),
        *("-m", str(calls), "-l", str(calls), "-r", str(CALLS_PER_S), "-nostdin"),
        *("-rtp_threadtasks", str(STREAMS_PER_THREAD), "-trace_stat", "-stf", "statistics.csv", "-fd", "1"),
        *("-timeout", f"{round(up_s + hold_s + END_S)}s", "-trace_err", "-error_file", "errors.log"),
    )
    with subprocess.Popen(
        command,
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TERM": "dumb"},
    ) as sipp:
        try:
            time.sleep(up_s)
            before_s, started = cpu_time(pid).total_s, time.monotonic()
            time.sleep(seconds)
            cpu_s, elapsed_s = cpu_time(pid).total_s - before_s, time.monotonic() - started
            sipp.wait(hold_s + END_S)
        except subprocess.TimeoutExpired as error:
            raise SippError("SIPp did not end") from error
        finally:
            if sipp.poll() is None:
                sipp.kill()
    return SippRun(
        server=server,
        calls=calls,
        completed=_completed(directory / "statistics.csv"),
        seconds=elapsed_s,
        us_per_call_second=cpu_s / (calls * elapsed_s) * 1e6,
    )


def _completed(path: Path) -> int:
    try:
        rows = list(csv.DictReader(path.read_text().splitlines(), delimiter=";"))
        return int(rows[-1]["SuccessfulCall(C)"])
    except (OSError, LookupError, ValueError) as error:
        raise SippError("SIPp left no figures: it did not place a call") from error
