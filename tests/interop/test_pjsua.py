"""PJSIP pays: each way of sending keys, barge-in and waiting, hold in the middle, and a hang-up."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from engine.softphone.backend import BackendName
from engine.softphone.client import Softphone
from engine.softphone.protocol import CallState, KeyMode, SoundState
from tests.interop.steps import TOML, assert_paid, entries, key_each_step
from tests.support.engine import running_engine
from tests.support.recording import decode_keys, level_dbm0, read_wav

pytestmark = [
    pytest.mark.interop,
    pytest.mark.asyncio,
    pytest.mark.skipif(
        importlib.util.find_spec("pjsua2") is None,
        reason="the pjsua2 wheel is not installed (CPython 3.11 and 3.12 on x86-64 only)",
    ),
]


@pytest.mark.parametrize("mode", list(KeyMode))
async def test_pjsip_pays_by_barging_in(tmp_path: Path, mode: KeyMode) -> None:
    heard = tmp_path / "heard.wav"
    async with (
        running_engine(TOML, directory=tmp_path / "engine") as engine,
        Softphone(backend=BackendName.PJSUA) as phone,
    ):
        await phone.record(str(heard))
        await phone.call(engine.uri())

        async def key(keys: str) -> None:
            await phone.keys(keys, mode=mode)

        await key_each_step(engine, key)
        await phone.wait_state(CallState.DISCONNECTED, timeout_s=30)
        assert_paid(engine)
    samples = read_wav(heard)
    assert max(level_dbm0(samples[start : start + 160]) for start in range(0, len(samples), 160)) > -30
    assert decode_keys(samples) == "", "the engine sends no key back"


@pytest.mark.parametrize(
    "mode",
    [
        KeyMode.IN_BAND,
        KeyMode.INFO,
    ],
)
async def test_pjsip_pays_by_ear_alone(tmp_path: Path, mode: KeyMode) -> None:
    async with (
        running_engine(TOML, directory=tmp_path / "engine") as engine,
        Softphone(backend=BackendName.PJSUA) as phone,
    ):
        await phone.call(engine.uri())
        for keys in entries().values():
            await phone.wait_for_prompt()
            await phone.keys(keys, mode=mode)
        await phone.wait_state(CallState.DISCONNECTED, timeout_s=60)
        assert_paid(engine)
        assert "error=timeout" not in engine.log, "every prompt was heard the first time"


async def test_pjsip_holds_in_the_middle_and_pays(tmp_path: Path) -> None:
    async with (
        running_engine(TOML, directory=tmp_path / "engine") as engine,
        Softphone(backend=BackendName.PJSUA) as phone,
    ):
        await phone.call(engine.uri())
        await phone.wait_state(CallState.CONFIRMED)
        await phone.wait_sound(SoundState.BEGAN)
        await phone.hold()
        await phone.unhold()

        async def key(keys: str) -> None:
            await phone.keys(keys)

        await key_each_step(engine, key)
        await phone.wait_state(CallState.DISCONNECTED, timeout_s=30)
        assert_paid(engine)


async def test_a_caller_who_hangs_up_in_the_middle_is_not_charged(tmp_path: Path) -> None:
    async with (
        running_engine(TOML, directory=tmp_path / "engine") as engine,
        Softphone(backend=BackendName.PJSUA) as phone,
    ):
        await phone.call(engine.uri())
        await phone.wait_state(CallState.CONFIRMED)
        await engine.wait_for("step=payment-card-number")
        await phone.keys(entries()["payment-card-number"])
        await engine.wait_for("step=expiration-date")
        await phone.hang_up()
        await engine.wait_for("call ended")
        assert engine.sandbox_transactions() == []


async def test_an_address_that_no_route_has_is_refused(tmp_path: Path) -> None:
    async with (
        running_engine(TOML, directory=tmp_path / "engine") as engine,
        Softphone(backend=BackendName.PJSUA) as phone,
    ):
        await phone.call(engine.uri("nobody"))
        assert (await phone.wait_state(CallState.DISCONNECTED)).status == 404
