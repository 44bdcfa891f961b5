"""RELAY clients as an engine's calls see them: sessions that write down what they are told, and who gets a call."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Container, Mapping
from dataclasses import replace
from typing import Any

from engine.config import Config, RelayApp
from engine.program import CallState, Program
from engine.programs.context import ProgramContext
from engine.programs.relay.calls import RelayCalls
from engine.programs.relay.link import RelaySession
from engine.programs.relay.program import RelayProgram
from tests.support.call_control import FakeCall
from tests.support.exchange import FakeExchange
from tests.support.programs import FakeOutbox, FakePrompts, FakeWeb, config_of, context_of, settle

__all__ = ("PROJECT", "FakeSession", "FakeSessions", "RelayScene", "Successor", "tts")

PROJECT = "6f1c9a50-4c3a-4a8e-9d0b-2f7f5d7f3b11"
_CONFIG = config_of(f"""
[signalwire]
project = "{PROJECT}"
token_env = "RELAY_TOKEN"
""")


def tts(text: str) -> dict[str, Any]:
    """Return a medium that says a text."""
    return {"type": "tts", "params": {"text": text}}


class FakeSession:
    """One client."""

    def __init__(self, protocol: str = "client-1") -> None:
        self.protocol = protocol
        self.is_connected = True
        self.is_over = False
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.n_calls = 0

    def tell(self, event_type: str, params: Mapping[str, Any]) -> None:
        json.dumps(params)  # whatever is told can be written
        self.told.append((event_type, dict(params)))

    def of(self, event_type: str) -> list[dict[str, Any]]:
        """Return the params of all events of a type."""
        return [params for told, params in self.told if told == event_type]

    @property
    def states(self) -> list[str]:
        """What was told, shortly: ``state:answered``, ``play:finished`` ..."""
        return [_short(event_type, params) for event_type, params in self.told]


def _short(event_type: str, params: Mapping[str, Any]) -> str:
    name = event_type.rpartition(".")[2]
    if name == "collect":
        return f"collect:{params['result']['type']}"
    if name == "detect":
        return f"detect:{params['detect']['params']['event']}"
    for key in ("call_state", "dial_state", "connect_state", "state"):
        if key in params:
            return f"{name}:{params[key]}"
    return name


class FakeSessions:
    """``engine.programs.relay.link.Sessions``: who has the fewest calls, in the order in which they came."""

    def __init__(self, *sessions: FakeSession) -> None:
        self.sessions = list(sessions)
        self.asked: list[str] = []

    def choose(self, context: str, *, without: Container[RelaySession] = ()) -> RelaySession | None:
        self.asked.append(context)
        able = [one for one in self.sessions if one.is_connected and one not in without]
        return min(able, key=lambda one: one.n_calls, default=None)

    def count_calls(self, session: RelaySession, change: int) -> None:
        assert isinstance(session, FakeSession)
        session.n_calls += change
        assert session.n_calls >= 0, "more calls left than led"


class Successor:
    """A program that a call is handed on to; writes down what it hears."""

    label = "successor"

    def __init__(self, app: str, form: str) -> None:
        self.asked_for = (app, form)
        self.heard: list[Any] = []

    def offered(self, now: float) -> None:
        self.heard.append("offered")

    def start(self, now: float) -> None:
        self.heard.append("start")

    def digit(self, code: int, now: float) -> None:
        self.heard.append(("digit", code))

    def digit_ended(self, now: float) -> None:
        self.heard.append("digit_ended")

    def count_digit(self, source: str) -> None:
        self.heard.append(("count", source))

    def play_finished(self, token: int, interrupted_by_digit: bool, now: float) -> None:
        self.heard.append("play_finished")

    def hang_up(self, now: float) -> None:
        self.heard.append("hang_up")

    async def done(self) -> None:
        self.heard.append("done")


class RelayScene:
    """A call in that rings for an application of RELAY clients; a test plays the far end, the clients and time."""

    def __init__(
        self, *sessions: FakeSession, app: Mapping[str, Any] | None = None, config: Config | None = None
    ) -> None:
        self.session = sessions[0] if sessions else FakeSession()
        self.sessions = FakeSessions(*(sessions or (self.session,)))
        self.prompts = FakePrompts()
        self.outbox = FakeOutbox()
        self.exchange = FakeExchange()
        self.successors: list[Successor] = []
        shared = context_of(FakeWeb(), self.prompts, self.outbox, config=config or _CONFIG, exchange=self.exchange)
        self.context: ProgramContext = replace(shared, program_named=self._named)
        self.calls = RelayCalls(self.context, self.sessions)
        self.app = RelayApp(**{"dialect": "relay", "context": "shop", **(app or {})})
        self.call = FakeCall()
        self.call.on_hang_up = self.end
        self.program: RelayProgram = self.calls.program_of("shop", self.app, self.call)
        self.call.program = self.program

    def _named(self, app: str, form: str, call: Any) -> Program:
        self.successors.append(Successor(app, form))
        return self.successors[-1]

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    @property
    def call_id(self) -> str:
        return self.call.facts.call_id

    def offer(self) -> None:
        self.program.offered(self.now)

    def up(self) -> None:
        """The far end has acknowledged the answer."""
        self.call.state = CallState.ANSWERED
        self.program.start(self.now)

    def end(self, cause: str = "") -> None:
        """The call is over."""
        self.call.state = CallState.ENDED
        self.call.cause = cause or self.call.cause
        self.program.hang_up(self.now)

    async def answered(self) -> None:
        """A call that a client has, and that is up."""
        self.offer()
        self.ask("answer")
        self.up()
        await settle()
        self.session.told.clear()

    def ask(self, method: str, *, session: FakeSession | None = None, **params: Any) -> dict[str, Any]:
        """Send a command about the call, and return its result."""
        whole = {"node_id": "paytone", "call_id": self.call_id, **params}
        return dict(self.calls.command(session or self.session, f"calling.{method}", whole))

    def code(self, method: str, **params: Any) -> str:
        """Return the code of a command's result."""
        return str(self.ask(method, **params)["code"])

    def press(self, keys: str) -> None:
        """Keys of the caller."""
        for key in keys:
            code = "0123456789*#ABCD".index(key)
            self.program.count_digit("rfc4733")
            self.program.digit(code, self.now)
            self.program.digit_ended(self.now)

    async def hear_out(self, *, at_most: int = 20) -> None:
        """Let what plays come to its end, and what follows it."""
        for _ in range(at_most):
            before = len(self.call.tokens)
            if self.call.tokens:
                self.program.play_finished(self.call.tokens[-1], False, self.now)
            await settle()
            if len(self.call.tokens) == before:
                return
