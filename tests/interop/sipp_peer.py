"""SIPp as a caller: scenario files that call, key and wait for the engine's BYE."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.support.process import Program

__all__ = ("EVENT_PT", "OWN_EVENT_PT", "caller_scenario", "play_capture", "play_dtmf", "run_caller")

EVENT_PT = 101
OWN_EVENT_PT = 96
"Payload type of SIPp's `play_dtmf`, whatever the session says."
TIMEOUT_S = 60

# rrs="true": without it SIPp sends the ACK to the request URI instead of the remote target (RFC 3261 §13.2.2.4).
_SCENARIO = """<?xml version="1.0" encoding="ISO-8859-1" ?>
<!DOCTYPE scenario SYSTEM "sipp.dtd">
<scenario name="a caller pays">
  <send retrans="500" start_rtd="setup">
    <![CDATA[
INVITE sip:[service]@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch];rport
From: "SIPp" <sip:sipp@[local_ip]:[local_port]>;tag=[pid]SIPpTag00[call_number]
To: <sip:[service]@[remote_ip]:[remote_port]>
Call-ID: [call_id]
CSeq: 1 INVITE
Contact: <sip:sipp@[local_ip]:[local_port]>
Max-Forwards: 70
Content-Type: application/sdp
Content-Length: [len]

v=0
o=sipp 53655765 2353687637 IN IP[local_ip_type] [local_ip]
s=-
c=IN IP[media_ip_type] [media_ip]
t=0 0
m=audio [auto_media_port] RTP/AVP 0 {event_pt}
a=rtpmap:0 PCMU/8000
a=rtpmap:{event_pt} telephone-event/8000
a=fmtp:{event_pt} 0-15
a=ptime:20
a=sendrecv
    ]]>
  </send>
  <recv response="100" optional="true"/>
  <recv response="180" optional="true"/>
  <recv response="183" optional="true"/>
  <recv response="200" rtd="setup" rrs="true">
    <action>
      <ereg regexp="m=audio [1-9][0-9]* RTP/AVP 0 {event_pt}" search_in="body" check_it="true" assign_to="media"/>
    </action>
  </recv>
  <send>
    <![CDATA[
ACK [next_url] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch];rport
From: "SIPp" <sip:sipp@[local_ip]:[local_port]>;tag=[pid]SIPpTag00[call_number]
[last_To:]
Call-ID: [call_id]
CSeq: 1 ACK
[routes]
Max-Forwards: 70
Content-Length: 0

    ]]>
  </send>
{keying}
  <recv request="BYE" timeout="30000"/>
  <send>
    <![CDATA[
SIP/2.0 200 OK
[last_Via:]
[last_From:]
[last_To:]
[last_Call-ID:]
[last_CSeq:]
Content-Length: 0

    ]]>
  </send>
  <!-- Absorb what is sent again. -->
  <timewait milliseconds="500"/>
  <Reference variables="media"/>
</scenario>
"""


def caller_scenario(path: Path, keying: Sequence[str], *, event_pt: int = EVENT_PT) -> None:
    """Write a UAC scenario; ``keying`` are its steps between ACK and BYE."""
    path.write_text(_SCENARIO.format(event_pt=event_pt, keying="\n".join(keying)), encoding="ascii")


def play_capture(name: str, duration_ms: int) -> list[str]:
    """Return the steps that play a capture file; SIPp goes on at once, so it has to wait for the end."""
    return [
        f'  <nop><action><exec play_pcap_audio="{name}"/></action></nop>',
        f'  <pause milliseconds="{duration_ms}"/>',
    ]


def play_dtmf(keys: str, pause_ms: int) -> list[str]:
    """Return the steps that key with SIPp's own generator and wait.

    A peer to survive, seen on the wire: 200 ms each 400 ms, but the timestamp of the next key is only 400 units later
    (it counts milliseconds there), inside the 1600 units of the last one; the first packet has duration 0; no audio at
    all between the keys; payload type 96 whatever was negotiated.
    """
    return [
        f'  <nop><action><exec play_dtmf="{keys}"/></action></nop>',
        f'  <pause milliseconds="{pause_ms}"/>',
    ]


async def run_caller(directory: Path, scenario: str, address: tuple[str, int], *, user: str = "pay") -> tuple[int, str]:
    """Run one call; return SIPp's exit status (0: everything came as the scenario says) and its output."""
    host, port = address
    command = (
        *("sipp", f"{host}:{port}", "-sf", scenario, "-s", user, "-i", "127.0.0.1", "-mi", "127.0.0.1"),
        *("-m", "1", "-l", "1", "-nostdin", "-timeout", f"{TIMEOUT_S}s", "-timeout_error"),
        *("-trace_err", "-error_file", "errors.log"),
    )
    async with Program(*command, directory=directory, environment={"TERM": "dumb"}) as sipp:
        status = await sipp.wait_end(timeout_s=TIMEOUT_S + 10)
    errors = directory / "errors.log"
    told = errors.read_text(errors="replace") if errors.exists() else ""
    return status, f"{told}\n{sipp.output[-3000:]}"
