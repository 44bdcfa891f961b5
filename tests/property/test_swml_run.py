"""Whatever a document wants and whatever happens on its call, a run ends once and leaves nothing open."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.config import parse
from engine.dialects.swml.commands import Source
from engine.dialects.swml.interpreter import Interpreter
from engine.dialects.swml.methods import Pay, RecordCall
from engine.program import CallState
from engine.programs.swml.run import SwmlRun
from tests.support.call_control import FakeCall
from tests.support.exchange import later, run
from tests.support.programs import FakePrompts, FakeWeb, context_of, settle

CONFIG = parse('[connector.sandbox]\ntype = "sandbox"\n[signalwire]\nproject = "P"\n')
PAY = {"pay": {"payment_connector_url": "https://gateway.example/"}}
STEPS: list[dict[str, Any]] = [
    {"answer": {"max_duration": 5}},
    {"play": {"url": "say:Hello."}},
    {"prompt": {"play": "say:Key.", "max_digits": 2}},
    PAY,
    {"record": {}},
    {"record_call": {"control_id": "a"}},
    {"record_call": {}},
    {"stop_record_call": {}},
    {"stop_record_call": {"control_id": "a"}},
    {"connect": {"to": "+15550100"}},
    {"send_digits": {"digits": "12"}},
    {"sleep": 1000},
    {"request": {"url": "https://api.example/", "method": "GET"}},
    {"execute": {"dest": "https://app.example/swml"}},
    {"transfer": {"dest": "https://app.example/swml"}},
    {"execute": {"dest": "other"}},
    {"user_event": {"event": {"a": 1}}},
    {"hangup": {"reason": "busy"}},
    {"goto": {"label": "again", "max": 2}},
]
EVENTS = st.sampled_from(["answer", "key", "end", "time", "settle", "play_finished", "hang_up", "stop", "fail"])


class Action:
    """An action that ends when the scene says so; it notes what it must not hear."""

    def __init__(self, work: Any, ended: Callable[..., None], *, beside: bool) -> None:
        self.work = work
        self.ended = ended
        self.beside = beside
        self.keys = 0
        self.ends = 0
        self.stopped = False
        self.over = asyncio.Event()

    @property
    def wants_digits(self) -> bool:
        return not self.over.is_set()

    def end(self) -> None:
        if not self.over.is_set():
            self.ends += 1
            self.over.set()
            self.ended() if self.beside else self.ended({"a": 1})

    def start(self, now: float) -> None:
        pass

    def digit(self, code: int, now: float) -> None:
        self.keys += 1

    def digit_ended(self, now: float) -> None:
        pass

    def count_digit(self, source: str) -> None:
        pass

    def play_finished(self, token: int, by_digit: bool, now: float) -> None:
        pass

    def stop(self, now: float) -> None:
        self.stopped = True
        self.end()

    def hang_up(self, now: float) -> None:
        self.stopped = True
        self.end()

    async def done(self) -> None:
        await self.over.wait()


class Shop:
    def __init__(self) -> None:
        self.made: list[Action] = []
        self.fails = False

    def _make(self, work: Any, ended: Callable[..., None], *, beside: bool = False) -> Action:
        if self.fails:
            self.fails = False
            raise RuntimeError("a fault")
        self.made.append(Action(work, ended, beside=beside))
        return self.made[-1]

    def begin(self, work: Any, base_url: str, ended: Callable[..., None]) -> Action:
        return self._make(work, ended)

    def key(self, digits: str, ended: Callable[..., None]) -> Action:
        return self._make(digits, ended)

    def record_call(self, command: RecordCall, tell: Any, ended: Callable[[], None]) -> Action:
        return self._make(command, ended, beside=True)

    def failed(self, work: Any, error: Exception) -> Mapping[str, Any]:
        return {"a": 0}


def keys_go_to_the_payment_alone(shop: Shop, press: Callable[[], None]) -> None:
    """Press a key and see who heard it."""
    live = [action for action in shop.made if action.wants_digits and not action.stopped]
    before = {id(action): action.keys for action in shop.made}
    paying = [action for action in live if isinstance(action.work, Pay)]
    press()
    heard = [action for action in shop.made if action.keys > before[id(action)]]
    if paying:
        assert heard == paying
    assert all(action in live for action in heard)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(STEPS), max_size=8),
    st.lists(st.sampled_from(STEPS), max_size=4),
    st.lists(EVENTS, max_size=25),
)
def test_a_run_ends_once_and_leaves_nothing_open(steps: Any, more: Any, events: list[str]) -> None:
    async def scene() -> None:
        text = json.dumps({"sections": {"main": [{"label": "again"}, *steps], "other": more}})
        shop, finished, web = Shop(), list[str](), FakeWeb()
        web.pages["https://app.example/swml"] = json.dumps({"sections": {"main": more}})
        call = FakeCall(state=CallState.RINGING)
        interpreter = Interpreter(Source(text=text), call={"call_state": "created"}, envs={}, max_document=10_000)
        swml = SwmlRun(
            interpreter,
            call,
            context_of(web, FakePrompts(), config=CONFIG),
            shop,
            finished.append,
            answer=lambda limit: None,
        )
        loop = asyncio.get_running_loop()
        given_up = False
        swml.begin(loop.time())
        for event in events:
            match event:
                case "answer":
                    swml.answered(loop.time())
                case "key":
                    keys_go_to_the_payment_alone(shop, lambda: swml.digit(1, loop.time()))
                case "end" if shop.made:
                    shop.made[-1].end()
                case "time":
                    await later(1.1)
                case "settle":
                    await settle()
                case "play_finished":
                    swml.play_finished(1, False, loop.time())
                case "hang_up":
                    swml.hang_up(loop.time())
                case "stop":
                    given_up = not finished
                    swml.stop(loop.time())
                case "fail":
                    shop.fails = True
        swml.hang_up(loop.time())
        await asyncio.wait_for(swml.done(), 10)
        assert len(finished) == (0 if given_up else 1)
        assert all(action.over.is_set() and action.ends == 1 for action in shop.made)
        assert len(asyncio.all_tasks()) == 1

    run(scene)
