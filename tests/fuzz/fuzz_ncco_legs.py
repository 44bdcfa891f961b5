"""Fuzz what NCCO applications are told of their calls: engine events of some calls, in any order and any combination.

Each octet is one happening: its lower three bits choose the call, the others what happens. What must hold: nothing is
raised; of each call's states none is told twice or out of order, and none after the last one; what is told of a call
tells its name and goes into its session; a call that has ended is not known; and no task is left.

Runs by ``tests/fuzz/drive.py`` or under atheris.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

if __name__ == "__main__":  # run as a file, the repository is not on the path
    sys.path.insert(0, str(Path(__file__).parents[2]))

from engine.dialects.ncco.identity import call_uuid
from engine.events import CallOutcome
from engine.ledger import WebhookPolicy
from engine.program import CallFacts
from tests.support.ncco_legs import LegScene, facts_of, ncco_config

__all__ = ("SEEDS", "Case", "one_input")

logging.getLogger("engine").addHandler(logging.NullHandler())

CONFIGS = (
    ncco_config(),
    ncco_config(app='event_url = "http://app.example/e"\nevent_method = "GET"'),
    ncco_config(vonage='signature_secret_env = "S"\napi_key = "k"'),
)
OUTCOMES = tuple(CallOutcome)
LAST = {"completed", "busy", "cancelled", "unanswered", "rejected", "failed", "timeout"}
ORDER = {"started": 0, "ringing": 1, "answered": 2, **dict.fromkeys(LAST, 3)}


def _facts(number: int) -> CallFacts:
    """Return one of eight calls: four in, four out, two of which are for one of those in."""
    if number < 4:
        return facts_of(f"{number:032x}")
    return facts_of(f"{number:032x}", direction="out", parent_id=f"{number - 6:032x}" if number >= 6 else "")


class Case:
    """Eight calls, and what happens to them."""

    def __init__(self, config: int) -> None:
        self.scene = LegScene(CONFIGS[config % len(CONFIGS)])
        self.calls = [_facts(number) for number in range(8)]
        self.happenings: tuple[Callable[[CallFacts], None], ...] = (
            lambda facts: self.watch(facts),
            self.scene.created,
            self.scene.rings,
            self.scene.answered,
            self.scene.ended,
            lambda facts: self.scene.failed(facts, OUTCOMES[self.steps % len(OUTCOMES)]),
            lambda facts: self.scene.legs.hung_up(facts.call_id),
            self.moves,
            self.errs,
            self.asked,
            lambda facts: self.scene.passes(0.4 + self.steps),
        )
        self.steps = 0
        self.checked: Counter[str] = Counter()
        "How much of what was told of a call belongs to lives that are over."

    def watch(self, facts: CallFacts) -> None:
        leg = self.scene.legs.watch(facts, app="shop")
        assert self.scene.legs.find(facts.call_id) is leg

    def moves(self, facts: CallFacts) -> None:
        if (leg := self.scene.legs.find(facts.call_id)) is not None:
            self.scene.legs.moved(leg, f"CON-{self.steps % 3}")

    def errs(self, facts: CallFacts) -> None:
        if (leg := self.scene.legs.find(facts.call_id)) is not None:
            self.scene.legs.tell_error(leg, "what is wrong")

    def asked(self, facts: CallFacts) -> None:
        if (leg := self.scene.legs.find(facts.call_id)) is not None:
            leg.is_asked = True

    async def happen(self, what: int) -> None:
        self.steps += 1
        facts = self.calls[what & 7]
        is_new = self.scene.legs.find(facts.call_id) is None
        self.happenings[(what >> 3) % len(self.happenings)](facts)
        is_gone = self.scene.legs.find(facts.call_id) is None
        if is_gone != is_new:
            await self.check_life(facts)
        elif what >= 0xF0:
            await self.scene.legs.close()

    async def check_life(self, facts: CallFacts) -> None:
        """Hold the order of the states that were told between a call's beginning and its end."""
        await self.scene.legs.close()
        session = f"ncco-{facts.call_id}"
        told = [item["told"] for item in self.scene.box.items if item["session"] == session]
        order = [ORDER[one["status"]] for one in told[self.checked[session] :] if "status" in one]
        assert order == sorted(set(order)), told
        self.checked[session] = len(told)

    async def end(self) -> None:
        """End all calls: none may be known then, and what was told must hold the laws."""
        for facts in self.calls:
            self.scene.ended(facts)
            await self.check_life(facts)
            assert self.scene.legs.find(facts.call_id) is None
        assert len(self.scene.legs) == 0
        await self.scene.legs.close()
        assert len(asyncio.all_tasks()) == 1
        names = {call_uuid(facts.call_id) for facts in self.calls}
        for item in self.scene.box.items:
            told = item["told"]
            assert told["timestamp"].endswith("Z")
            if "uuid" in told:
                assert item["session"] == f"ncco-{told['uuid'].replace('-', '')}"
            if "status" in told:
                assert told["uuid"] in names
                assert (item["policy"] is WebhookPolicy.RESULT) == (told["status"] in LAST)
                assert told["status"] != "completed" or int(told["duration"]) >= 0


def one_input(data: bytes) -> None:
    """Run one case; raises whatever should not happen."""

    async def play() -> None:
        case = Case(data[0] if data else 0)
        for what in data[1:200]:
            await case.happen(what)
        await case.end()

    asyncio.run(play())


def _steps(*happenings: tuple[int, int]) -> bytes:
    """Return what happens as octets: ``(what, call)``."""
    return bytes(what << 3 | call for what, call in happenings)


SEEDS = (
    b"\0" + _steps((0, 0), (1, 0), (3, 0), (10, 0), (6, 0), (10, 0), (4, 0)),
    b"\1" + _steps((0, 4), (1, 4), (2, 4), (2, 4), (3, 4), (7, 4), (4, 4)),
    b"\2" + _steps((0, 5), (1, 5), (2, 5), (5, 5), (3, 5)),
    b"\0" + _steps((0, 0), (1, 0), (3, 0), (0, 6), (9, 6), (1, 6), (5, 6), (4, 0)),
    b"\0" + _steps((1, 1), (3, 1), (0, 1), (8, 1), (4, 1)),
    b"\0" + _steps((0, 1), (2, 1), (1, 1), (3, 1), (8, 1), (4, 1)),
    b"\1" + _steps((0, 2), (0, 2), (4, 2), (1, 2), (4, 2)),
)


if __name__ == "__main__":
    import atheris  # type: ignore[import-untyped,unused-ignore]

    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
