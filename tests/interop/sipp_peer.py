"""SIPp as a caller: scenario files that call, key and wait for the engine's BYE."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.process import Program

__all__ = (
    "EVENT_PT",
    "OWN_EVENT_PT",
    "CryptoOffer",
    "answered",
    "caller_scenario",
    "play_capture",
    "play_dtmf",
    "run_caller",
)

EVENT_PT = 101
OWN_EVENT_PT = 96
"Payload type of SIPp's `play_dtmf`, whatever the session says."
TIMEOUT_S = 60
ANSWER_TIMEOUT_S = 10.0
LOG = "answers.log"

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
m=audio {port} {protocol} 0 {event_pt}
a=rtpmap:0 PCMU/8000
a=rtpmap:{event_pt} telephone-event/8000
a=fmtp:{event_pt} 0-15
a=ptime:20
a=sendrecv{attributes}
    ]]>
  </send>
  <recv response="100" optional="true"/>
  <recv response="180" optional="true"/>
  <recv response="183" optional="true"/>
  <recv response="200" rtd="setup" rrs="true">
    <action>
      <ereg regexp="m=audio ([1-9][0-9]*) {protocol} 0 {event_pt}" search_in="body" check_it="true"
            assign_to="media,port"/>{answer_actions}
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
  <Reference variables="media,port"/>
</scenario>
"""


# The answer holds the tag that was taken, and the engine's own key (RFC 4568 §5.1.2).
_TAKE_KEY = """
      <ereg regexp="a=crypto:{tag} {suite} inline:([A-Za-z0-9+/=]+)" search_in="body" check_it="true"
            assign_to="crypto,key"/>
      <assignstr assign_to="crypto" value=""/>
      <log message="answered port=[$port] key=[$key] end"/>"""


@dataclass(frozen=True, slots=True, kw_only=True)
class CryptoOffer:
    """An offer of SRTP whose media somebody else sends and receives: Debian's SIPp is built without it."""

    port: int
    "Where the media is sent from."
    attributes: Sequence[str]
    "Values of `a=crypto`, in their order."
    taken_tag: int
    "Tag that has to be in the answer."
    suite: str


def caller_scenario(
    path: Path, keying: Sequence[str], *, event_pt: int = EVENT_PT, crypto: CryptoOffer | None = None
) -> None:
    """Write a UAC scenario; ``keying`` are its steps between ACK and BYE."""
    text = _SCENARIO.format(
        event_pt=event_pt,
        keying="\n".join(keying),
        port="[auto_media_port]" if crypto is None else crypto.port,
        protocol="RTP/AVP" if crypto is None else "RTP/SAVP",
        attributes="" if crypto is None else "".join(f"\na=crypto:{value}" for value in crypto.attributes),
        answer_actions="" if crypto is None else _TAKE_KEY.format(tag=crypto.taken_tag, suite=crypto.suite),
    )
    path.write_text(text, encoding="ascii")


async def answered(directory: Path) -> tuple[int, bytes]:
    """Wait until the call that offered SRTP is answered; return the engine's RTP port, and its master key and salt."""
    async with asyncio.timeout(ANSWER_TIMEOUT_S):
        while True:
            text = (directory / LOG).read_text(errors="replace") if (directory / LOG).exists() else ""
            if found := re.search(r"answered port=(\d+) key=(\S+) end", text):
                return int(found[1]), base64.b64decode(found[2])
            await asyncio.sleep(0.02)


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
        *("-trace_err", "-error_file", "errors.log", "-trace_logs", "-log_file", LOG),
    )
    async with Program(*command, directory=directory, environment={"TERM": "dumb"}) as sipp:
        status = await sipp.wait_end(timeout_s=TIMEOUT_S + 10)
    errors = directory / "errors.log"
    told = errors.read_text(errors="replace") if errors.exists() else ""
    return status, f"{told}\n{sipp.output[-3000:]}"
