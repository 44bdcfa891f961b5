"""SIPp, baresip and PJSIP give their password to the access rules: MD5 or SHA-256, whichever they can."""

from __future__ import annotations

import asyncio
import importlib.util
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, cast

import pytest

from engine.access import Access
from engine.config import SipConfig
from engine.errors import SoftphoneError
from engine.softphone.backend import BackendName
from engine.softphone.client import Softphone
from engine.softphone.protocol import CallState
from sip.address import Address, Listener
from sip.endpoint import Endpoint, EndpointConfig
from sip.events import InviteReceived
from tests.interop.baresip_peer import running_baresip
from tests.interop.sipp_peer import run_caller
from tests.support.process import needs
from tests.support.sip_pair import answer_of

pytestmark = [pytest.mark.interop, pytest.mark.asyncio]

PASSWORD = "correct-horse-battery"
TIMEOUT_S = 15.0
MD5, BOTH = ("MD5",), ("SHA-256", "MD5")
MD5_FIRST = ("MD5", "SHA-256")
SHA_256 = ("SHA-256",)
_UAC = """<?xml version="1.0" encoding="ISO-8859-1" ?>
<!DOCTYPE scenario SYSTEM "sipp.dtd">
<scenario name="a caller with a password">
  <send retrans="500"><![CDATA[{first}]]></send>
  <recv response="401" auth="true"/>
  <send><![CDATA[{ack}]]></send>
  <send retrans="500"><![CDATA[{second}]]></send>
  <recv response="100" optional="true"/>
  <recv response="{expected}"/>
  <send><![CDATA[{last}]]></send>
</scenario>
"""
_MESSAGE = """
{method} sip:[service]@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch];rport
From: "SIPp" <sip:frontdesk@[local_ip]:[local_port]>;tag=[pid]SIPpTag00[call_number]
To: <sip:[service]@[remote_ip]:[remote_port]>{to_tag}
Call-ID: [call_id]
CSeq: {number} {method}
Contact: <sip:frontdesk@[local_ip]:[local_port]>
Max-Forwards: 70
{extra}Content-Length: [len]

{body}"""
_OFFER = """v=0
o=sipp 1 1 IN IP4 [local_ip]
s=-
c=IN IP4 [media_ip]
t=0 0
m=audio [media_port] RTP/AVP 0
a=rtpmap:0 PCMU/8000
"""


def config_of(algorithms: tuple[str, ...]) -> SipConfig:
    rule = {"name": "phones", "require": "digest", "algorithms": algorithms}
    return SipConfig.model_validate({"access": [rule], "user": {"frontdesk": {"password_env": "UNUSED"}}})


class GuardedEndpoint(asyncio.DatagramProtocol):
    """An endpoint behind access rules on a socket of loopback; it answers every call that the rules let in."""

    def __init__(self, config: SipConfig) -> None:
        self.access = Access(config, listeners={}, passwords={"frontdesk": PASSWORD}, entropy=os.urandom)
        self.admitted: list[str] = []
        self._changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)
        self.host, self.port = transport.get_extra_info("sockname")[:2]
        self.endpoint = Endpoint(
            EndpointConfig(listeners=(Listener(id=1, host=self.host, port=self.port),)),
            entropy=os.urandom,
            gate=self.access,
        )

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        now = self._loop.time()
        source = Address(addr[0], addr[1], listener=1)
        if not self.access.admit_source(source, now):
            return
        self.endpoint.receive_datagram(data, source, now)
        while (event := self.endpoint.next_event()) is not None:
            if isinstance(event, InviteReceived):
                if event.offer is not None:
                    self.endpoint.answer(event.session, answer_of(Address(self.host, 0), event.offer), now)
                self.admitted.append(event.admitted_by)
                self._changed.set()
        for message, destination in self.endpoint.datagrams_to_send(now):
            self.transport.sendto(message, (destination.host, destination.port))

    async def wait_admitted(self) -> str:
        async with asyncio.timeout(TIMEOUT_S):
            await self._changed.wait()
        return self.admitted[0]

    @property
    def uri(self) -> str:
        return f"sip:pay@{self.host}:{self.port}"


@asynccontextmanager
async def guarded(algorithms: tuple[str, ...]) -> AsyncIterator[GuardedEndpoint]:
    config = config_of(algorithms)
    transport, endpoint = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: GuardedEndpoint(config), local_addr=("127.0.0.1", 0)
    )
    try:
        yield endpoint
    finally:
        transport.close()


def write_scenario(path: Path, *, password: str, expected: int) -> None:
    invite = {"method": "INVITE", "to_tag": "", "body": _OFFER}
    ack = {"method": "ACK", "to_tag": "[peer_tag_param]", "extra": "", "body": ""}
    sdp = "Content-Type: application/sdp\n"
    answer = f"[authentication username=frontdesk password={password}]\n"
    path.write_text(
        _UAC.format(
            first=_MESSAGE.format(number=1, extra=sdp, **invite),
            ack=_MESSAGE.format(number=1, **ack),
            second=_MESSAGE.format(number=2, extra=answer + sdp, **invite),
            expected=expected,
            last=_MESSAGE.format(number=2, **ack),
        ),
        encoding="ascii",
    )


@needs("sipp")
@pytest.mark.parametrize("algorithms", [MD5, MD5_FIRST], ids=",".join)
@pytest.mark.parametrize(("password", "expected"), [(PASSWORD, 200), ("wrong", 401)])
async def test_sipp_gives_its_password(
    tmp_path: Path, password: str, expected: int, algorithms: tuple[str, ...]
) -> None:
    write_scenario(tmp_path / "uac.xml", password=password, expected=expected)
    async with guarded(algorithms) as endpoint:
        status, output = await run_caller(tmp_path, "uac.xml", (endpoint.host, endpoint.port))
        assert status == 0, output
        assert endpoint.admitted == (["phones:frontdesk"] if password == PASSWORD else [])


@needs("baresip")
async def test_baresip_gives_its_password(tmp_path: Path) -> None:
    async with guarded(MD5) as endpoint, running_baresip(tmp_path / "baresip") as baresip:
        account = f"<sip:frontdesk@127.0.0.1>;regint=0;auth_user=frontdesk;auth_pass={PASSWORD}"
        await baresip.command("uanew", account)
        await baresip.command("uafind", "sip:frontdesk@127.0.0.1")
        await baresip.command("dial", endpoint.uri)
        assert await endpoint.wait_admitted() == "phones:frontdesk"
        await baresip.wait_event("CALL_ESTABLISHED")


@pytest.mark.skipif(importlib.util.find_spec("pjsua2") is None, reason="the pjsua2 wheel is not installed")
@pytest.mark.parametrize("algorithms", [MD5, BOTH, MD5_FIRST, SHA_256], ids=",".join)
async def test_pjsip_gives_its_password(algorithms: tuple[str, ...]) -> None:
    async with guarded(algorithms) as endpoint, Softphone(backend=BackendName.PJSUA) as phone:
        with suppress(SoftphoneError):  # nobody registers here: 405; the account and its password stay
            await phone.register(f"sip:{endpoint.host}:{endpoint.port}", "frontdesk", PASSWORD)
        await phone.call(endpoint.uri)
        assert await endpoint.wait_admitted() == "phones:frontdesk"
        await phone.wait_state(CallState.CONFIRMED)
        await phone.hang_up()
