"""baresip 1.0 over SRTP (RFC 3711, keys by RFC 4568) and G.722: it calls the engine, and our own softphone calls it."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.softphone.backend import BackendName
from engine.softphone.client import Softphone
from engine.softphone.protocol import CallState, KeyMode, Media
from sip.crypto_attribute import SrtpPolicy
from tests.interop.baresip_peer import running_baresip
from tests.interop.steps import assert_heard_prompts, assert_paid, entries, key_each_step, with_srtp
from tests.support.engine import running_engine
from tests.support.process import needs
from tests.support.recording import decode_keys, read_wav

pytestmark = [pytest.mark.interop, pytest.mark.asyncio, needs("baresip")]

ITS_SUITE = "AES_CM_128_HMAC_SHA1_80"
OUR_SUITE = "AEAD_AES_256_GCM"


@pytest.mark.parametrize(
    ("codec", "encryption", "policy", "mode"),
    [
        ("G722", "srtp-mand", "required", KeyMode.TELEPHONE_EVENT),
        ("G722", "srtp-mand", "preferred", KeyMode.IN_BAND),
        ("PCMA", "srtp", "preferred", KeyMode.IN_BAND),
        ("PCMU", "srtp", "required", KeyMode.TELEPHONE_EVENT),
        ("G722", "", "off", KeyMode.IN_BAND),
    ],
)
async def test_baresip_pays(tmp_path: Path, codec: str, encryption: str, policy: str, mode: KeyMode) -> None:
    suite = ITS_SUITE if encryption else "off"
    async with (
        running_engine(with_srtp(policy), directory=tmp_path / "engine") as engine,
        running_baresip(tmp_path / "baresip", codec=codec, media_encryption=encryption) as baresip,
    ):
        await baresip.command("dial", engine.uri())
        await baresip.wait_event("CALL_ESTABLISHED")
        await engine.wait_for(rf"call answered .*codec={codec} srtp={suite}\b")

        async def key(keys: str) -> None:
            await baresip.command("sndcode", keys)

        await key_each_step(engine, baresip.play_keys if mode is KeyMode.IN_BAND else key)
        await baresip.wait_event("CALL_CLOSED", timeout_s=30)
        assert_paid(engine, baresip.program.output)
        assert_heard_prompts(baresip.heard())


async def test_keys_are_heard_after_a_hold_in_an_srtp_call(tmp_path: Path) -> None:
    async with (
        running_engine(with_srtp("required"), directory=tmp_path / "engine") as engine,
        running_baresip(tmp_path / "baresip", media_encryption="srtp-mand") as baresip,
    ):
        await baresip.command("dial", engine.uri())
        await baresip.wait_event("CALL_ESTABLISHED")
        count = 1
        for step in ("payment-card-number", "expiration-date"):
            await engine.wait_for(rf"prompt call=\w+ step={step}\b")
            for command in ("hold", "resume"):
                count += 1
                await baresip.command(command)
                await baresip.wait_event("CALL_REMOTE_SDP", count=count)
            await baresip.play_keys(entries()[step])
        await engine.wait_for(r"prompt call=\w+ step=security-code\b")


async def test_a_plain_caller_is_refused_where_srtp_is_required(tmp_path: Path) -> None:
    async with (
        running_engine(with_srtp("required"), directory=tmp_path / "engine") as engine,
        running_baresip(tmp_path / "baresip") as baresip,
    ):
        await baresip.command("dial", engine.uri())
        closed = await baresip.wait_event("CALL_CLOSED")
        assert "488" in closed["param"]


@pytest.mark.parametrize(
    ("codec", "encryption", "srtp", "suite", "rtcp_mux"),
    [
        ("G722", "srtp-mand", SrtpPolicy.REQUIRED, OUR_SUITE, True),
        ("PCMA", "srtp", SrtpPolicy.PREFERRED, OUR_SUITE, False),
        ("G722", "", SrtpPolicy.PREFERRED, "", True),
    ],
)
async def test_our_softphone_calls_baresip_and_both_hear_each_other(
    tmp_path: Path, codec: str, encryption: str, srtp: SrtpPolicy, suite: str, rtcp_mux: bool
) -> None:
    async with (
        running_baresip(
            tmp_path / "baresip", codec=codec, media_encryption=encryption, rtcp_mux=rtcp_mux, answering=True
        ) as baresip,
        Softphone(backend=BackendName.NATIVE, srtp=srtp, codec=codec) as ours,
    ):
        await ours.record(str(tmp_path / "ours.wav"))
        await ours.call(baresip.uri)
        await ours.wait_state(CallState.CONFIRMED)
        await baresip.wait_event("CALL_ESTABLISHED")
        agreed = [event for event in ours.events if isinstance(event, Media)][-1]
        assert (agreed.codec, agreed.srtp, agreed.active) == (codec, suite, True)
        await ours.keys("3571", mode=KeyMode.IN_BAND)
        await baresip.play_keys("2580")
        await ours.wait_for_prompt()
        await ours.keys("1590*#AD", mode=KeyMode.TELEPHONE_EVENT)
        await baresip.program.wait_line(r"received event: 'D' \(end=1\)", timeout_s=5)
        await ours.hang_up()
        await baresip.wait_event("CALL_CLOSED")
        assert baresip.digits() == "1590*#AD"
        assert decode_keys(baresip.heard()) == "3571"
    assert decode_keys(read_wav(tmp_path / "ours.wav")) == "2580"
