"""The Payments resource with an agent on the line: real SIP clients, and the vendor's own library.

What the agent hears is recorded and searched with the most sensitive receivers there are (``benchmarks.residue``): ours
with every limit at its loosest, libspandsp and multimon-ng where they are installed.
"""

from __future__ import annotations

import asyncio
import wave
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from numpy.typing import NDArray
from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client
from twilio.twiml.voice_response import VoiceResponse

from benchmarks.residue import Receivers
from dsp import g711
from engine.softphone.client import Softphone
from engine.softphone.protocol import CallState, KeyMode
from prompts.assets import shipped_directory
from tests.support.caller import VISA, expiry
from tests.support.engine import RunningEngine, free_udp_port, running_engine
from tests.support.hearing import Match, find, read_recording, share_heard
from tests.support.twiml_app import ACCOUNT, TOKEN, TOKEN_ENV, TwimlApp, running_app, twilio_toml

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300), pytest.mark.asyncio]

RATE_HZ = 8000
WAIT_S = 40.0
"For a softphone and an engine that start beside others."
SENTENCE = "sentence.wav"
SPEECH_SHARE = 0.5
"Of the half seconds of a sentence, each of which must correlate: a telephone's clock may stretch one."
KEYS = {"payment-card-number": VISA, "expiration-date": expiry(), "security-code": "123"}


@dataclass(slots=True)
class Desk:
    """A caller and an agent who hear each other, and the application's client."""

    app: TwimlApp
    engine: RunningEngine
    caller: Softphone
    agent: Softphone
    client: Client
    call_sid: str
    directory: Path
    callbacks: int = 0

    @property
    def heard_by_agent(self) -> Path:
        return self.directory / "agent.wav"

    @property
    def heard_by_caller(self) -> Path:
        return self.directory / "caller.wav"

    async def ask(self, what: Callable[[Client], Any]) -> Any:
        """Ask the API, in a thread: the vendor's client blocks."""
        return await asyncio.to_thread(what, self.client)

    async def open(self, **order: Any) -> str:
        """Open a payment; return its SID."""
        values = {"charge_amount": 25.0, "postal_code": False, **order}
        payment = await self.ask(
            lambda client: client.calls(self.call_sid).payments.create(
                idempotency_key=uuid4().hex, status_callback=f"{self.app.url}/progress", **values
            )
        )
        assert payment.sid.startswith("PK")
        assert payment.call_sid == self.call_sid
        return str(payment.sid)

    async def update(self, payment_sid: str, **change: str) -> Any:
        """Change a payment."""
        return await self.ask(
            lambda client: (
                client.calls(self.call_sid)
                .payments(payment_sid)
                .update(idempotency_key=uuid4().hex, status_callback=f"{self.app.url}/progress", **change)
            )
        )

    async def told(self, wanted: Callable[[dict[str, str]], bool], *, timeout_s: float = 20.0) -> dict[str, str]:
        """Return the next callback that fits, passing over those before it."""
        async with asyncio.timeout(timeout_s):
            while True:
                self.callbacks += 1
                callback = await self.app.wait_for("/progress", count=self.callbacks)
                if wanted(callback):
                    return callback

    async def uncovered(self) -> None:
        """Wait until the mask is off: as long as it is on, and packets are lost, it takes speech for keys."""
        covered = sum("keys are covered" in line for line in self.engine.lines)
        await self.engine.wait_for("keys pass again", count=covered)

    async def say(self, phone: Softphone) -> None:
        """Let somebody say the sentence three times: a machine that stands still for a moment may spoil one."""
        for _ in range(3):
            await phone.play(str(self.directory.parent / SENTENCE))

    async def capture(
        self, payment_sid: str, step: str, keys: str, *, mode: KeyMode = KeyMode.IN_BAND, on_ms: int = 80
    ) -> dict[str, str]:
        """Capture a field; return the callback that says it is complete, or what was wrong with it."""
        await self.update(payment_sid, capture=step)
        await self.caller.keys(keys, mode=mode, on_ms=on_ms, off_ms=on_ms)
        return await self.told(lambda callback: callback.get("Capture") == step and _is_complete(callback))


def _is_complete(callback: dict[str, str]) -> bool:
    return callback.get("PartialResult") == "false" and bool(
        callback.get("ErrorType") or not callback["Required"].startswith(callback["Capture"])
    )


@asynccontextmanager
async def desk(directory: Path, *, attributes: dict[str, Any] | None = None) -> AsyncIterator[Desk]:
    """Connect a caller with an agent."""
    api_port = free_udp_port()
    async with running_app() as app, Softphone() as agent, Softphone() as caller:
        document = VoiceResponse()
        document.dial(action="/over", **(attributes or {})).sip(agent.uri)
        app.answers = {"/voice": str(document), "/over": "<Response/>", "/progress": ""}
        toml = twilio_toml(f"{app.url}/voice", api=f"127.0.0.1:{api_port}")
        async with running_engine(toml, directory=directory, environment={TOKEN_ENV: TOKEN}) as engine:
            client = Client(ACCOUNT, TOKEN)
            client.api.base_url = f"http://127.0.0.1:{api_port}"
            await caller.record(str(directory / "caller.wav"))
            await agent.record(str(directory / "agent.wav"))
            await caller.call(engine.uri("shop"))
            await agent.wait_incoming(timeout_s=WAIT_S)
            await agent.answer()
            await caller.wait_state(CallState.CONFIRMED, timeout_s=WAIT_S)
            await agent.wait_state(CallState.CONFIRMED, timeout_s=WAIT_S)
            call_sid = (await app.wait_for("/voice"))["CallSid"]
            yield Desk(app, engine, caller, agent, client, call_sid, directory)
            assert not app.forged
            assert "Traceback" not in engine.log


async def over(found: Desk, *phones: Softphone) -> None:
    """End the call from the caller's side and wait until both recordings are complete."""
    await found.caller.hang_up()
    for phone in (found.caller, found.agent):
        await phone.wait_state(CallState.DISCONNECTED)


def speech(path: Path, key: str) -> NDArray[np.float64]:
    """Write a sentence as a WAV file, and return its samples."""
    samples = g711.ulaw_decode((shipped_directory("en-US") / f"{key}.ulaw").read_bytes())
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(samples.astype("<i2").tobytes())
    return samples.astype(np.float64)


def spoken(recording: NDArray[np.float64], sentence: NDArray[np.float64]) -> bool:
    """Tell whether a sentence is heard, half second by half second (`share_heard`)."""
    shares = []
    for at in range(0, len(sentence) - RATE_HZ // 2, RATE_HZ // 2):  # by whichever half second of it is heard
        piece = find(recording, sentence[at : at + RATE_HZ // 2])
        begin_s = piece.begin_s - at / RATE_HZ
        shares.append(share_heard(recording, sentence, Match(piece.score, begin_s, begin_s)))
    return max(shares) >= SPEECH_SHARE


def no_key_and_both_sentences(file: Path, sentence: NDArray[np.float64]) -> None:
    """Require that nobody finds a key in all of a recording, and that it begins and ends with the sentence."""
    recording = read_recording(file)
    half = len(recording) // 2
    assert spoken(recording[:half], sentence)
    assert spoken(recording[half:], sentence)
    heard = digits_in(recording)
    assert heard == dict.fromkeys(heard, 0)


def digits_in(samples: NDArray[np.float64]) -> dict[str, int]:
    """Return how many keys each receiver finds."""
    return {name: len(found) for name, found in Receivers().hear(samples.astype(np.int16))}


async def test_an_agent_takes_a_payment_and_hears_no_key(tmp_path: Path) -> None:
    sentence = speech(tmp_path / SENTENCE, "payment-completed")
    (tmp_path / "desk").mkdir()
    async with desk(tmp_path / "desk") as found:
        await found.say(found.caller)
        await found.say(found.agent)
        payment = await found.open()
        opened = await found.told(lambda callback: "Capture" not in callback)
        assert (opened["Sid"], opened["PaymentMethod"], opened["ChargeAmount"]) == (payment, "credit-card", "25.0")
        shown = {}
        for step, keys in KEYS.items():
            shown = await found.capture(payment, step, f"{keys}#" if step == "payment-card-number" else keys)
            assert not shown["ErrorType"]
        assert shown["Required"] == ""
        assert (shown["PaymentCardNumber"], shown["SecurityCode"], shown["ExpirationDate"]) == (
            "xxxxxxxxxxxx4242",
            "xxx",
            expiry(),
        )
        await found.update(payment, status="complete")
        result = await found.told(lambda callback: "Result" in callback)
        assert (result["Result"], bool(result["PaymentConfirmationCode"])) == ("success", True)
        await found.uncovered()
        await found.say(found.caller)
        await over(found)
        (booked,) = found.engine.sandbox_transactions()
        assert (booked["outcome"], booked["amount"]) == ("succeeded", "25.0")
    no_key_and_both_sentences(found.heard_by_agent, sentence)
    assert spoken(read_recording(found.heard_by_caller), sentence)


async def test_a_payment_can_be_given_up_and_the_call_goes_on(tmp_path: Path) -> None:
    async with desk(tmp_path) as found:
        payment = await found.open()
        await found.capture(payment, "expiration-date", expiry())
        await found.update(payment, capture="payment-card-number")
        await found.caller.keys("4242", mode=KeyMode.IN_BAND)
        await found.update(payment, status="cancel")
        result = await found.told(lambda callback: "Result" in callback)
        assert result["Result"] == "canceled"
        assert found.engine.sandbox_transactions() == []
        second = await found.open()
        assert second != payment
        await over(found)
        result = await found.told(lambda callback: callback["Sid"] == second and "Result" in callback)
        assert result["Result"] == "caller-hung-up"


async def test_the_wrong_order_is_refused_with_the_vendors_numbers(tmp_path: Path) -> None:
    async with desk(tmp_path) as found:
        payment = await found.open()
        await found.update(payment, capture="security-code")
        early = await found.told(lambda callback: bool(callback.get("ErrorType")))
        assert early["ErrorType"] == "invalid-card-number-security-code-capture-sequence"
        with pytest.raises(TwilioRestException) as missing:
            await found.update(payment, status="complete")
        assert (missing.value.status, missing.value.code) == (400, 64019)
        with pytest.raises(TwilioRestException) as both:
            await found.update(payment, status="complete", capture="security-code")
        assert (both.value.status, both.value.code) == (400, 64018)
        with pytest.raises(TwilioRestException) as busy:
            await found.open()
        assert busy.value.code == 64021
        await over(found)


async def test_who_hangs_up_in_a_capture_ends_what_is_theirs(tmp_path: Path) -> None:
    async with desk(tmp_path) as found:
        payment = await found.open()
        await found.update(payment, capture="payment-card-number")
        await found.caller.keys("4242", mode=KeyMode.IN_BAND)
        await found.caller.hang_up()
        result = await found.told(lambda callback: "Result" in callback)
        assert (result["Sid"], result["Result"]) == (payment, "caller-hung-up")
        await found.agent.wait_state(CallState.DISCONNECTED)
        told = await found.app.wait_for("/over")
        assert told["DialCallStatus"] == "completed"
        with pytest.raises(TwilioRestException) as gone:
            await found.update(payment, status="complete")
        assert gone.value.status in (400, 404, 409)


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("mode", [KeyMode.IN_BAND, KeyMode.TELEPHONE_EVENT])
async def test_two_hundred_captures_leave_no_key_with_the_agent(mode: KeyMode, tmp_path: Path) -> None:
    sentence = speech(tmp_path / SENTENCE, "payment-completed")

    async def one(directory: Path, rounds: Sequence[int]) -> None:
        directory.mkdir()
        async with desk(directory) as found:
            await found.say(found.caller)
            payment = await found.open()
            for turn in rounds:
                # Of every length that a human makes, and short ones.
                on_ms = (45, 70, 120, 200)[turn % 4]
                for step, keys in KEYS.items():
                    keyed = f"{keys}#" if step == "payment-card-number" else keys
                    shown = await found.capture(payment, step, keyed, mode=mode, on_ms=on_ms)
                    assert not shown["ErrorType"], (shown, found.engine.log[-3000:])
            await found.uncovered()
            await found.say(found.caller)
            await over(found)
        no_key_and_both_sentences(found.heard_by_agent, sentence)

    async with asyncio.TaskGroup() as group:
        for n in range(2):
            group.create_task(one(tmp_path / str(n), range(17)))  # 3 fields each: 102 captures a call
