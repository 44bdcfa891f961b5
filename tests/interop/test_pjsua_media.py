"""PJSIP over SRTP (RFC 3711, keys by RFC 4568) and G.722: it calls the engine, and our own softphone calls it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from dsp.dtmf import DtmfDetector
from engine.softphone.backend import BackendName
from engine.softphone.client import Softphone
from engine.softphone.protocol import CallState, KeyMode, Media, SoundState
from sip.crypto_attribute import SrtpPolicy
from tests.interop.pjsua_peer import PjsuaPeer
from tests.interop.steps import TOML, assert_heard_prompts, assert_paid, entries, key_each_step, with_srtp
from tests.support.engine import running_engine
from tests.support.recording import decode_keys, read_wav

pytestmark = [
    pytest.mark.interop,
    pytest.mark.asyncio,
    pytest.mark.skipif(
        importlib.util.find_spec("pjsua2") is None,
        reason="the pjsua2 wheel is not installed (CPython 3.11 and 3.12 on x86-64 only)",
    ),
]

AES_128 = "AES_CM_128_HMAC_SHA1_80"
AES_128_SHORT_TAG = "AES_CM_128_HMAC_SHA1_32"
AES_256 = "AES_256_CM_HMAC_SHA1_80"


@pytest.mark.parametrize(
    ("suite", "codec", "mode"),
    [
        (AES_128, "PCMU", KeyMode.IN_BAND),
        (AES_128, "PCMA", KeyMode.TELEPHONE_EVENT),
        (AES_256, "G722", KeyMode.IN_BAND),
        (AES_128_SHORT_TAG, "G722", KeyMode.TELEPHONE_EVENT),
    ],
)
async def test_pjsip_pays_over_srtp(tmp_path: Path, suite: str, codec: str, mode: KeyMode) -> None:
    heard = tmp_path / "heard.wav"
    async with (
        running_engine(with_srtp("required"), directory=tmp_path / "engine") as engine,
        PjsuaPeer(srtp=SrtpPolicy.REQUIRED, suite=suite, codec=codec) as phone,
    ):
        await phone.record(str(heard))
        await phone.call(engine.uri())
        await engine.wait_for(rf"call answered .*codec={codec} srtp={suite}\b")

        async def key(keys: str) -> None:
            await phone.keys(keys, mode=mode)

        await key_each_step(engine, key)
        await phone.wait_state(CallState.DISCONNECTED, timeout_s=30)
        assert_paid(engine)
    assert_heard_prompts(read_wav(heard))


async def test_pjsip_pays_with_tones_over_plain_g722(tmp_path: Path) -> None:
    async with (
        running_engine(TOML, directory=tmp_path / "engine") as engine,
        PjsuaPeer(codec="G722") as phone,
    ):
        await phone.call(engine.uri())
        await engine.wait_for(r"call answered .*codec=G722 srtp=off\b")

        async def key(keys: str) -> None:
            await phone.keys(keys, mode=KeyMode.IN_BAND)

        await key_each_step(engine, key)
        await phone.wait_state(CallState.DISCONNECTED, timeout_s=30)
        assert_paid(engine)


async def test_an_optional_key_beside_rtp_avp_is_taken(tmp_path: Path) -> None:
    async with (
        running_engine(with_srtp("preferred"), directory=tmp_path / "engine") as engine,
        PjsuaPeer(srtp=SrtpPolicy.PREFERRED) as phone,
    ):
        await phone.call(engine.uri())
        await engine.wait_for(rf"call answered .*srtp={AES_256}\b")
        await engine.wait_for("step=payment-card-number")
        await phone.keys(entries()["payment-card-number"], mode=KeyMode.IN_BAND)
        await engine.wait_for("step=expiration-date")


@pytest.mark.parametrize(("ours", "theirs"), [("required", SrtpPolicy.OFF), ("off", SrtpPolicy.REQUIRED)])
async def test_a_caller_whose_protection_is_not_ours_is_refused(tmp_path: Path, ours: str, theirs: SrtpPolicy) -> None:
    async with (
        running_engine(with_srtp(ours), directory=tmp_path / "engine") as engine,
        PjsuaPeer(srtp=theirs) as phone,
    ):
        await phone.call(engine.uri())
        assert (await phone.wait_state(CallState.DISCONNECTED)).status == 488


async def test_keys_are_heard_after_a_hold_in_an_srtp_call(tmp_path: Path) -> None:
    async with (
        running_engine(with_srtp("required"), directory=tmp_path / "engine") as engine,
        PjsuaPeer(srtp=SrtpPolicy.REQUIRED) as phone,
    ):
        await phone.call(engine.uri())
        await phone.wait_state(CallState.CONFIRMED)
        await phone.wait_sound(SoundState.BEGAN)
        await phone.hold()
        await phone.unhold()
        # By tones throughout: once a call had events, its tones are taken for their echo.
        await engine.wait_for(r"prompt call=\w+ step=payment-card-number\b")
        await phone.keys(entries()["payment-card-number"], mode=KeyMode.IN_BAND)
        await engine.wait_for(r"prompt call=\w+ step=expiration-date\b")
        await phone.hold()
        await phone.unhold()
        await phone.keys(entries()["expiration-date"], mode=KeyMode.IN_BAND)
        await engine.wait_for(r"prompt call=\w+ step=security-code\b")


@pytest.mark.parametrize(
    ("srtp", "peer", "codec", "suite"),
    [
        (SrtpPolicy.REQUIRED, SrtpPolicy.REQUIRED, "G722", AES_256),
        (SrtpPolicy.REQUIRED, SrtpPolicy.PREFERRED, "PCMA", AES_256),
        (SrtpPolicy.PREFERRED, SrtpPolicy.PREFERRED, "PCMU", AES_256),
        (SrtpPolicy.PREFERRED, SrtpPolicy.OFF, "G722", ""),
    ],
)
async def test_our_softphone_calls_pjsip_and_both_hear_each_other(
    tmp_path: Path, srtp: SrtpPolicy, peer: SrtpPolicy, codec: str, suite: str
) -> None:
    digits = tmp_path / "digits"
    async with (
        PjsuaPeer(srtp=peer, codec=codec, digits=digits) as pjsip,
        Softphone(backend=BackendName.NATIVE, srtp=srtp, codec=codec) as ours,
    ):
        await ours.record(str(tmp_path / "ours.wav"))
        await pjsip.record(str(tmp_path / "pjsip.wav"))
        await ours.call(pjsip.uri)
        await pjsip.wait_incoming()
        await pjsip.answer()
        await ours.wait_state(CallState.CONFIRMED)
        await pjsip.wait_state(CallState.CONFIRMED)
        agreed = [event for event in ours.events if isinstance(event, Media)][-1]
        assert (agreed.codec, agreed.srtp, agreed.active) == (codec, suite, True)
        # The tones first: PJSIP's jitter buffer repeats some of the audio that follows a train of events.
        await ours.keys("3571", mode=KeyMode.IN_BAND)
        await pjsip.keys("2580", mode=KeyMode.IN_BAND)
        await ours.wait_for_prompt()
        await ours.keys("1590*#AD", mode=KeyMode.TELEPHONE_EVENT)
        await ours.hang_up()
        await pjsip.wait_state(CallState.DISCONNECTED)
    assert digits.read_text(encoding="ascii") == "1590*#AD"
    assert decode_keys(read_wav(tmp_path / "pjsip.wav")) == "3571"
    assert decode_keys(read_wav(tmp_path / "ours.wav")) == "2580"


def heard_keys(path: Path) -> str:
    """Return the keys that a call's detector would hear in a recording."""
    detector = DtmfDetector()
    samples = (read_wav(path) * 32768).astype(np.int16)
    return "".join(found.digit for found in detector.process(samples) + detector.flush() if found.end is None)


@pytest.mark.parametrize("calling", [False, True], ids=["pjsip-offers", "we-offer-comfort-noise"])
async def test_pjsips_voice_activity_detector_clips_no_key(tmp_path: Path, calling: bool) -> None:
    async with (
        PjsuaPeer(vad=True) as pjsip,
        Softphone(backend=BackendName.NATIVE, codec="PCMU") as ours,
    ):
        await ours.record(str(tmp_path / "ours.wav"))
        caller, callee = (ours, pjsip) if calling else (pjsip, ours)
        await caller.call(callee.uri)
        await callee.wait_incoming()
        await callee.answer()
        await pjsip.wait_state(CallState.CONFIRMED)
        await ours.wait_state(CallState.CONFIRMED)
        for _ in range(10):
            # Ten keys, then a pause in which the detector finds silence and sending stops.
            await pjsip.keys("123456789", mode=KeyMode.IN_BAND, on_ms=60, off_ms=60)
            await pjsip.keys("0", mode=KeyMode.IN_BAND, on_ms=60, off_ms=800)
        await pjsip.hang_up()
        await ours.wait_state(CallState.DISCONNECTED)
    assert heard_keys(tmp_path / "ours.wav") == "1234567890" * 10
