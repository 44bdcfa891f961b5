"""``pay`` as the vendor's library of the third generation builds it, on real calls: every end, and what is heard.

NCCOs are made with ``Ncco.Pay`` of 3.18, a softphone (PJSIP) keys tones, the gateway is strict about `dialects.md`
§7.2, and every webhook is verified with the vendor's own helper (``tests.support.vonage``).
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio

from prompts.store import PromptStore
from tests.support.caller import VISA, Call, Script, expiry, pay
from tests.support.hearing import Match, decoded, find, read_recording, share_heard
from tests.support.speech import needs_espeak
from tests.support.vonage import Scene, running_scene
from tests.support.vonage_3 import DIRECTORY, OldSdk

pytestmark = [
    pytest.mark.interop,
    pytest.mark.timeout(240),
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(not DIRECTORY.is_dir(), reason=f"vonage 3.18 is not in {DIRECTORY}: make interop puts it there"),
]

MASTERCARD = "5555555555554444"
AMEX = "378282246310005"
DECLINED = "4000000000000002"
WRONG = "4242424242424241"
TOLD = {"from", "to", "type", "uuid", "conversation_uuid", "status", "timestamp"}
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
UP = ["started", "ringing", "answered"]
RATE_HZ = 8000
HEARD_SHARE, PIECE_S = 0.4, 0.1
"""Of a text's pieces: a softphone stretches what comes late, and what is behind a stall is no longer at its place. Of
texts that are not heard none is found; that prompts are heard whole is shown elsewhere."""
PROMPTS: list[dict[str, Any]] = [
    {
        "type": "CardNumber",
        "text": "Kindly key the long number from the front of your card.",
        "errors": {
            "InvalidCardType": {"text": "Only Visa and Mastercard are welcome at this shop."},
            "InvalidCardNumber": {"text": "Those digits make up no card number at all."},
            "Timeout": {"text": "Nothing arrived here. Your card number, if you would."},
        },
    },
    {
        "type": "ExpirationDate",
        "text": "Now the month and the year in which it runs out.",
        "errors": {
            "InvalidExpirationDate": {"text": "That day has gone by, or never was."},
            "Timeout": {"text": "Still waiting for month and year over here."},
        },
    },
    {
        "type": "SecurityCode",
        "text": "Finally the small digits next to the signature.",
        "errors": {
            "InvalidSecurityCode": {"text": "Three small digits are wanted, no fewer."},
            "Timeout": {"text": "The small digits did not reach us."},
        },
    },
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    async with running_scene(tmp_path_factory.mktemp("vonage")) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def old_sdk() -> AsyncIterator[OldSdk]:
    async with OldSdk() as sdk:
        yield sdk


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """What a caller does at a ``pay``, and what comes of it."""

    script: Script
    status: str
    result: str
    "As the ledger has it."
    pay: Mapping[str, Any] = field(default_factory=dict)
    steps: tuple[str, ...] | None = None
    sent: Mapping[str, str] = field(default_factory=dict)
    "What the gateway gets, besides what it always does; empty: it is not asked."


def _good(**changes: Any) -> Script:
    return Script.good(mode="in-band", **changes)


CARD, DATE, CODE = "payment-card-number", "expiration-date", "security-code"
SENT = {"method": "charge", "amount": "25.00", "currency_code": "usd", "cardnumber": VISA, "cvv": "123"}
SCENARIOS = {
    "success": Scenario(script=_good(), status="success", result="success", sent=SENT),
    "success with another card and currency": Scenario(
        pay={"amount": 9.5, "currency": "GBP", "voice": {"language": "en-GB"}},
        script=_good(card=MASTERCARD),
        status="success",
        result="success",
        sent={**SENT, "amount": "9.50", "currency_code": "gbp", "cardnumber": MASTERCARD},
    ),
    "decline": Scenario(
        script=_good(card=DECLINED),
        status="failure",
        result="payment-connector-error",
        sent={**SENT, "cardnumber": DECLINED},
    ),
    "two silences": Scenario(
        script=Script(entries={}), status="failure", result="too-many-failed-attempts", steps=(CARD, CARD)
    ),
    "wrong data, twice": Scenario(
        script=_good(payment_card_number=[f"{WRONG}#", f"{WRONG}#"]),
        status="failure",
        result="too-many-failed-attempts",
        steps=(CARD, CARD),
    ),
    "a card that is not taken": Scenario(
        script=_good(payment_card_number=[f"{AMEX}", f"{AMEX}"]),
        status="failure",
        result="too-many-failed-attempts",
        steps=(CARD, CARD),
    ),
    "star": Scenario(
        script=_good(security_code=["1*"]),
        status="failure",
        result="caller-interrupted-with-star",
        steps=(CARD, DATE, CODE),
    ),
    "hang-up": Scenario(
        script=replace(_good(), hang_up_at=CODE),
        status="failure",
        result="caller-hung-up",
        steps=(CARD, DATE, CODE),
    ),
}


def uuid_of(call: Call) -> str:
    """Return the ``uuid`` of a call."""
    return str(uuid.UUID(call.call_id))


async def ncco_of(scene: Scene, old_sdk: OldSdk, **arguments: Any) -> list[dict[str, Any]]:
    """Return an NCCO that takes a payment, and tells that it goes on behind it."""
    return await old_sdk.build(
        ("Pay", {"amount": 25, **arguments}),
        ("Notify", {"payload": {"after": "pay"}, "eventUrl": f"{scene.app.url}/after"}),
    )


@pytest.mark.parametrize("name", SCENARIOS)
async def test_an_application_is_told_what_became_of_its_payment(scene: Scene, old_sdk: OldSdk, name: str) -> None:
    scenario = SCENARIOS[name]
    scene.app.received.clear()
    scene.gateway.requests.clear()
    scene.app.answers["/answer"] = await ncco_of(scene, old_sdk, eventUrl=f"{scene.app.url}/paid", **scenario.pay)
    call = await pay(scene.engine, scenario.script, user="shop")

    told = await scene.app.wait_for("/paid")
    assert set(told) == TOLD
    assert (told["type"], told["status"]) == ("payment", scenario.status)
    assert (told["to"], told["uuid"]) == ("shop", uuid_of(call))
    assert TIMESTAMP.fullmatch(told["timestamp"])
    assert call.result == scenario.result
    if scenario.steps is not None:
        assert tuple(call.steps) == scenario.steps
    ended = await scene.app.event("completed", uuid_of(call))
    assert ended["conversation_uuid"] == told["conversation_uuid"]
    assert scene.app.states(uuid_of(call)) == [*UP, "completed"]
    assert len(scene.app.of("/paid")) == 1
    assert len(scene.app.of("/after")) == (0 if name == "hang-up" else 1)

    asked = [json.loads(request.body) for request in scene.gateway.requests]
    assert len(asked) == (1 if scenario.sent else 0)
    if scenario.sent:
        assert asked[0].items() >= {**scenario.sent, "postal_code": ""}.items()
        assert asked[0]["expiry_month"] + asked[0]["expiry_year"] == expiry()
    _nothing_leaked(scene)


def _nothing_leaked(scene: Scene) -> None:
    said = [str(request.members) for request in scene.app.received] + scene.engine.lines
    for number in (VISA, MASTERCARD, DECLINED, WRONG, AMEX):
        assert not [text for text in said if number in text]
        assert not [file.name for file in scene.engine.files() if number.encode() in file.read_bytes()]


async def test_a_payment_that_names_no_event_url_is_told_to_the_applications(scene: Scene, old_sdk: OldSdk) -> None:
    scene.app.answers["/answer"] = await old_sdk.build(
        ("Talk", {"text": "Welcome."}), ("Pay", {"amount": 25}), ("Talk", {"text": "Goodbye."})
    )
    call = await pay(scene.engine, _good(), user="shop")
    await scene.app.event("completed", uuid_of(call))
    assert scene.app.states(uuid_of(call)) == [*UP, "payment", "completed"]


@dataclass(frozen=True, kw_only=True)
class Hearing:
    """What a caller does who hears each prompt to its end, and which texts that were."""

    script: Script
    texts: tuple[str, ...]
    result: str = "success"
    as_object: bool = False
    "Whether the builder is given one prompt and no list of them (D-41)."


def _text(type_: str, error: str = "") -> str:
    prompt: dict[str, Any] = next(prompt for prompt in PROMPTS if prompt["type"] == type_)
    text: str = prompt["errors"][error]["text"] if error else prompt["text"]
    return text


HEARINGS = {
    "nothing, a wrong date, a short code": Hearing(
        script=_good(
            payment_card_number=["", f"{VISA}#"], expiration_date=["1320", expiry()], security_code=["12#", "123"]
        ),
        texts=(
            _text("CardNumber"),
            _text("CardNumber", "Timeout"),
            _text("ExpirationDate"),
            _text("ExpirationDate", "InvalidExpirationDate"),
            _text("SecurityCode"),
            _text("SecurityCode", "InvalidSecurityCode"),
        ),
    ),
    "a wrong number, no date, no code": Hearing(
        script=_good(
            payment_card_number=[f"{WRONG}#", f"{VISA}#"], expiration_date=["", expiry()], security_code=["", "123"]
        ),
        texts=(
            _text("CardNumber"),
            _text("CardNumber", "InvalidCardNumber"),
            _text("ExpirationDate"),
            _text("ExpirationDate", "Timeout"),
            _text("SecurityCode"),
            _text("SecurityCode", "Timeout"),
        ),
    ),
    "a card that is not taken": Hearing(
        script=_good(payment_card_number=[AMEX, "*"]),
        texts=(_text("CardNumber"), _text("CardNumber", "InvalidCardType")),
        result="caller-interrupted-with-star",
        as_object=True,
    ),
}


@needs_espeak
@pytest.mark.parametrize("name", HEARINGS)
async def test_prompts_of_its_own_are_heard_by_step_and_error(
    scene: Scene, old_sdk: OldSdk, name: str, tmp_path: Path
) -> None:
    hearing = HEARINGS[name]
    prompts = PROMPTS[0] if hearing.as_object else PROMPTS
    scene.app.answers["/answer"] = await ncco_of(scene, old_sdk, prompts=prompts)
    recording = tmp_path / "heard.wav"
    call = await pay(scene.engine, replace(hearing.script, listens=True), user="shop", record=recording)
    assert call.result == hearing.result, call.steps
    heard = read_recording(recording)
    # What the telephone did not take any more before the call ended is silence.
    heard = np.concatenate((heard, np.zeros(RATE_HZ)))
    store = PromptStore.open(scene.engine.directory / "prompt-cache")
    texts = [text for prompt in PROMPTS for text in (prompt["text"], *_errors(prompt))]
    found = {text: _where(heard, decoded(await store.speech(text, locale="en-US"), "PCMU")) for text in texts}
    await store.close()
    order = sorted((at_s, text) for text, at_s in found.items() if at_s is not None)
    assert tuple(text for _, text in order) == hearing.texts


def _errors(prompt: Mapping[str, Any]) -> list[str]:
    return [error["text"] for error in prompt["errors"].values()]


def _where(recording: Any, sound: Any) -> float | None:
    """Return when a text is heard, by whichever half second of it fits best; None when it is not."""
    anchors: list[tuple[float, float]] = []
    for at in range(0, len(sound) - RATE_HZ // 2, RATE_HZ // 2):
        piece = find(recording, sound[at : at + RATE_HZ // 2])
        anchors.append((piece.score, piece.begin_s - at / RATE_HZ))
    score, begin_s = max(anchors)
    match = Match(score, begin_s, begin_s)
    return begin_s if share_heard(recording, sound, match, piece_s=PIECE_S) >= HEARD_SHARE else None
