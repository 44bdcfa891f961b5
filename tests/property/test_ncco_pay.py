"""Whatever happens on a call that pays by an NCCO: one webhook, one end, and nothing told or played holds a secret."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.pay.submission import ConnectorAnswer, Outcome
from tests.fuzz import fuzz_ncco_pay
from tests.support.ncco_pay import NccoPayScene as Scene
from tests.support.ncco_pay import config_of
from tests.support.stepped_loop import on_stepped_loop, passes, settled

CARD, AMEX, CODE = "4000000000000000006", "378282246310005", "739"
PAYS = [f"{CARD}#", "1228", CODE]
LONG = re.compile("[0-9]{12}")
STEPS = st.lists(
    st.one_of(
        st.sampled_from((f"{CARD}#", AMEX, "4111#", "1228", "1399", f"{CODE}#", "#", "*")),
        st.sampled_from(("prompt ends", "answers", "stop", "hang up")),
        st.sampled_from((0.5, 6.0, 11.0)),
    ),
    max_size=14,
)


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)


async def does(scene: Scene, step: str | float) -> None:
    match step:
        case float():
            await passes(step)
        case "prompt ends":
            if scene.call.tokens:
                scene.prompt_ends()
        case "answers":
            scene.charging.gate.set()
        case "stop":
            scene.action.stop(scene.now)
        case "hang up":
            scene.hang_up()
        case _:
            scene.keys(step)
    await settled()


@given(STEPS, st.sampled_from(Outcome), st.booleans())
@example([*PAYS, "answers"], Outcome.SUCCEEDED, True)
@example([*PAYS, "hang up"], Outcome.SUCCEEDED, False)
@example([*PAYS, "stop", "hang up"], Outcome.DECLINED, True)
@settings(max_examples=40, deadline=None)
def test_a_payment_is_told_once_and_holds_no_secret(
    directory: Path, steps: list[str | float], outcome: Outcome, details: bool
) -> None:
    @on_stepped_loop
    async def run() -> None:
        scene = Scene(directory, config=config_of("tell_payment_details = true" if details else ""))
        scene.charging.answer = ConnectorAnswer(
            outcome=outcome,
            charge_id="ch_1" if outcome is Outcome.SUCCEEDED else "",
            error_code=CARD,
            error_message=f"no to {CARD}",
        )
        scene.charging.gate.clear()
        scene.start()
        for step in steps:
            await does(scene, step)
        scene.hang_up()
        scene.charging.gate.set()
        webhook = await scene.ended()
        assert webhook is not None
        paid = bool(scene.charging.submissions) and outcome is Outcome.SUCCEEDED
        assert webhook["status"] == ("success" if paid else "failure")
        assert len(scene.charging.submissions) <= 1
        assert (scene.legs.told, scene.legs.errors, scene.n_over) == ([], [], 1)
        assert scene.call.guard.busy is False
        more = {"reason", "confirmation_code", "card"} & webhook.keys()
        assert details or not more
        for kept in (
            *(json.dumps({**post, "uuid": "", "conversation_uuid": ""}) for post in scene.posts),
            scene.call.heard,
        ):
            assert CARD not in str(kept)
            assert CODE not in str(kept)
        assert LONG.search(webhook.get("card", "")) is None

    run()


def test_the_seeds_of_the_fuzz_target_hold() -> None:
    for seed in fuzz_ncco_pay.SEEDS:
        fuzz_ncco_pay.one_input(seed)
