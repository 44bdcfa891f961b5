"""The RELAY clients of an engine: who gets a call, who is let in, whose session waits, and what ends one."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
from collections.abc import Mapping
from typing import Any

import pytest

from engine.config import SignalWireConfig
from engine.dialects.relay import session as session_module
from engine.dialects.relay.frames import request_text, result_text
from engine.programs.relay import hub as module
from engine.programs.relay.hub import ClientSession, ConnectionState, RelayConnection, RelayHub
from engine.programs.relay.link import CommandHandler, RelaySession, Sessions
from tests.support.stepped_loop import on_stepped_loop, passes, settled

TOKEN = "PT-secret-of-the-project"
PROJECT = "project-1"


class Socket:
    """A client's socket, and what came out of it."""

    def __init__(self, hub: RelayHub, **connect: Any) -> None:
        self.frames: list[dict[str, Any]] = []
        self.closed: tuple[int, str] | None = None
        self.connection: RelayConnection = hub.open(self, "192.0.2.7")
        if connect.pop("at_once", True):
            self.connect(**connect)

    def send(self, text: str) -> None:
        assert self.closed is None
        self.frames.append(json.loads(text))

    def close(self, code: int, reason: str) -> None:
        self.closed = self.closed or (code, reason)

    def connect(self, *, token: str = TOKEN, **params: Any) -> None:
        """Send what the vendor's client sends first."""
        authentication = {"project": PROJECT, "token": token}
        version = {"major": 2, "minor": 0, "revision": 0}
        params = {"version": version, "event_acks": True, "authentication": authentication, **params}
        self.connection.received(request_text("c", "signalwire.connect", params))

    @property
    def session(self) -> ClientSession:
        """What the hub made of it."""
        assert self.connection.session is not None
        return self.connection.session

    @property
    def protocol(self) -> str:
        """Name of the session, as the client learnt it."""
        return str(self.frames[0]["result"]["protocol"])

    def told(self) -> list[int]:
        """Return the numbers of the events that came."""
        events = [frame["params"] for frame in self.frames if frame.get("method") == "signalwire.event"]
        return [event["params"]["number"] for event in events if event["event_type"] == "told"]


class Handler:
    """Who carries out commands."""

    def __init__(self) -> None:
        self.commands: list[tuple[RelaySession, str, Mapping[str, Any]]] = []
        self.over: list[RelaySession] = []
        self.fails = False
        self.tells: list[int] = []

    def command(self, session: RelaySession, method: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
        self.commands.append((session, method, params))
        if self.fails:
            raise ZeroDivisionError("4242 is in here")
        for number in self.tells:
            session.tell("told", {"number": number})
        return {"code": "200", "message": "OK"}

    def session_over(self, session: RelaySession) -> None:
        self.over.append(session)
        if self.fails:
            raise ZeroDivisionError


def hub_of(**settings: Any) -> tuple[RelayHub, Handler]:
    """Return a hub on the running loop, and its handler."""
    loop = asyncio.get_running_loop()
    numbers = itertools.count(1)
    hub = RelayHub(
        SignalWireConfig(project=PROJECT, token_env="X", **settings),
        TOKEN,
        now=loop.time,
        wall=lambda: 1.5,
        call_later=loop.call_later,
        entropy=lambda n: next(numbers).to_bytes(n, "big"),
    )
    handler = Handler()
    hub.handler = handler
    return hub, handler


# -- who gets a call


@on_stepped_loop
async def test_the_hub_keeps_the_contract_of_sessions() -> None:
    hub, handler = hub_of()
    sessions: Sessions = hub
    carries_out: CommandHandler = handler
    client = Socket(hub, contexts=["a"])
    chosen = sessions.choose("a")
    assert chosen is client.session
    assert carries_out is hub.handler


@on_stepped_loop
async def test_calls_of_a_context_are_shared_by_its_clients_in_turn() -> None:
    hub, _ = hub_of()
    one, two, _other = Socket(hub, contexts=["a"]), Socket(hub, contexts=["a", "b"]), Socket(hub, contexts=["c"])
    chosen = []
    for _ in range(4):
        session = hub.choose("a")
        assert session is not None
        hub.count_calls(session, 1)
        chosen.append(session)
    assert chosen == [one.session, two.session] * 2
    hub.count_calls(two.session, -1)
    assert hub.choose("a") is two.session, "who has fewer is next"
    assert hub.choose("d") is None


@on_stepped_loop
async def test_a_client_gets_no_more_calls_than_it_may_have() -> None:
    hub, _ = hub_of(max_calls_per_client=2)
    client = Socket(hub, contexts=["a"])
    for _ in range(2):
        assert hub.choose("a") is client.session
        hub.count_calls(client.session, 1)
    assert hub.choose("a") is None
    hub.count_calls(client.session, -1)
    assert hub.choose("a") is client.session


@on_stepped_loop
async def test_who_passed_a_call_on_does_not_get_it_again() -> None:
    hub, _ = hub_of()
    one, two = Socket(hub, contexts=["a"]), Socket(hub, contexts=["a"])
    assert hub.choose("a", without=[one.session]) is two.session
    assert hub.choose("a", without=[one.session, two.session]) is None


@on_stepped_loop
async def test_a_client_that_is_gone_or_left_the_context_gets_none() -> None:
    hub, _ = hub_of()
    client = Socket(hub, contexts=["a"])
    client.connection.received(request_text(1, "signalwire.receive", {"contexts": ["b"]}))
    client.connection.received(request_text(2, "signalwire.unreceive", {"contexts": ["a"]}))
    assert hub.choose("a") is None
    assert hub.choose("b") is client.session
    client.connection.lost()
    assert hub.choose("b") is None


@on_stepped_loop
async def test_while_the_engine_drains_nobody_gets_a_call_and_commands_go_on() -> None:
    hub, handler = hub_of()
    client = Socket(hub, contexts=["a"])
    hub.drain()
    assert hub.choose("a") is None
    client.connection.received(request_text(1, "calling.end", {"call_id": "c"}))
    assert [method for _, method, _ in handler.commands] == ["calling.end"]


# -- who is let in


@on_stepped_loop
async def test_wrong_credentials_are_answered_and_the_socket_closed(caplog: pytest.LogCaptureFixture) -> None:
    hub, handler = hub_of()
    caplog.set_level(logging.DEBUG)
    client = Socket(hub, token="PT-guess")
    assert client.frames[0]["error"]["code"] == -32002
    assert client.closed is not None
    assert client.connection.state is ConnectionState.WRONG
    client.connection.received(request_text(1, "calling.end", {}))
    assert handler.commands == []
    assert hub.n_sessions == 0
    assert "guess" not in caplog.text
    assert TOKEN not in caplog.text


@on_stepped_loop
async def test_a_request_before_connect_closes_the_socket() -> None:
    hub, handler = hub_of()
    client = Socket(hub, at_once=False)
    client.connection.received(request_text(1, "calling.dial", {"tag": "t"}))
    assert client.closed is not None
    assert client.connection.state is ConnectionState.REFUSED
    client.connect()
    assert handler.commands == []
    assert hub.n_sessions == 0


@on_stepped_loop
async def test_so_many_clients_and_no_more() -> None:
    hub, _ = hub_of(max_clients=2)
    first, _second = Socket(hub), Socket(hub)
    third = Socket(hub)
    assert third.frames[0]["error"]["code"] == -32000
    assert third.closed is not None
    again = Socket(hub, protocol=first.protocol)
    assert again.closed is None, "who takes over its own session is no client more"
    again.connection.lost()
    assert Socket(hub).closed is None


@on_stepped_loop
async def test_names_of_sessions_are_drawn_and_different() -> None:
    hub, _ = hub_of()
    one, two = Socket(hub), Socket(hub)
    assert one.protocol != two.protocol
    assert len(one.protocol) > 2 * module.TOKEN_BYTES


# -- whose session waits


@on_stepped_loop
async def test_a_client_that_comes_back_has_its_session_and_its_events() -> None:
    hub, handler = hub_of(restore_s=60)
    before = Socket(hub, contexts=["a"])
    session = before.session
    session.tell("told", {"number": 1})
    before.connection.lost()
    assert not session.is_connected
    session.tell("told", {"number": 2})
    await passes(59)
    after = Socket(hub, protocol=before.protocol)
    assert after.session is session
    assert after.frames[0]["result"]["session_restored"] is True
    assert after.told() == [1, 2]
    assert hub.choose("a") is session
    await passes(10)
    assert handler.over == []


@on_stepped_loop
async def test_a_client_that_does_not_come_back_is_over_once() -> None:
    hub, handler = hub_of(restore_s=60)
    client = Socket(hub)
    session = client.session
    client.connection.lost()
    await passes(62)
    assert session.is_over
    assert handler.over == [session]
    assert hub.n_sessions == 0
    session.tell("told", {"number": 1})
    await passes(200)
    assert handler.over == [session]
    late = Socket(hub, protocol=client.protocol)
    assert late.frames[0]["result"]["session_restored"] is False
    assert late.protocol != client.protocol


@on_stepped_loop
async def test_a_second_connection_takes_the_session_over() -> None:
    hub, _ = hub_of()
    first = Socket(hub)
    session = first.session
    second = Socket(hub, protocol=first.protocol)
    assert first.closed is not None
    assert second.session is session
    first.connection.lost()
    assert session.is_connected, "the end of the old connection is none of the session"
    session.tell("told", {"number": 1})
    assert (first.told(), second.told()) == ([], [1])


@on_stepped_loop
async def test_a_session_is_given_to_nobody_with_a_wrong_state() -> None:
    hub, _ = hub_of()
    first = Socket(hub)
    thief = Socket(hub, protocol=first.protocol, authorization_state="guess")
    assert thief.session is not first.session
    assert first.closed is None


@on_stepped_loop
async def test_sessions_that_wait_are_bounded_and_those_with_calls_go_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_KEPT", 1)
    hub, handler = hub_of(max_clients=1)
    busy, idle = Socket(hub), None
    hub.count_calls(busy.session, 1)
    kept = busy.session
    busy.connection.lost()
    for _ in range(5):
        idle = Socket(hub)
        last = idle.session
        idle.connection.lost()
    assert hub.n_sessions == 2
    await settled()
    assert len(handler.over) == 4
    assert kept not in handler.over
    assert last not in handler.over


@on_stepped_loop
async def test_a_silent_client_is_dropped_and_may_come_back() -> None:
    hub, handler = hub_of()
    client = Socket(hub)
    await passes(50)
    assert [frame["method"] for frame in client.frames[2:]] == ["signalwire.ping"] * 2
    assert client.closed is not None
    assert hub.n_clients == 0
    assert Socket(hub, protocol=client.protocol).frames[0]["result"]["session_restored"] is True
    assert handler.over == []


@on_stepped_loop
async def test_a_client_that_answers_pings_stays() -> None:
    hub, _ = hub_of()
    client = Socket(hub)
    for _ in range(10):
        await passes(16)
        client.connection.received(result_text(client.frames[-1]["id"], {}))
    assert client.closed is None


@on_stepped_loop
async def test_events_beyond_the_bound_end_the_session_but_not_within_the_event(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(session_module, "MAX_EVENTS", 3)
    hub, handler = hub_of()
    client = Socket(hub)
    session = client.session
    for number in range(1, 5):
        session.tell("told", {"number": number})
    assert session.is_over
    assert client.closed is not None
    assert handler.over == []
    await settled()
    assert handler.over == [session]


# -- commands


@on_stepped_loop
async def test_a_result_comes_before_the_events_of_its_command() -> None:
    hub, handler = hub_of()
    one, two = Socket(hub), Socket(hub)
    handler.tells = [1, 2]
    one.connection.received(request_text("r", "calling.play", {"call_id": "c"}))
    assert [frame.get("id") for frame in one.frames[2:]] == ["r", "event-1", "event-2"]
    assert handler.commands == [(one.session, "calling.play", {"call_id": "c"})]
    assert two.told() == []


@on_stepped_loop
async def test_a_handler_that_fails_is_told_without_what_was_in_it(caplog: pytest.LogCaptureFixture) -> None:
    hub, handler = hub_of(restore_s=10)
    client = Socket(hub)
    handler.fails = True
    client.connection.received(request_text("r", "calling.play", {"digits": "4242"}))
    assert client.frames[-1]["result"]["code"] == "500"
    assert "4242" not in caplog.text
    client.connection.lost()
    await passes(20)
    assert len(handler.over) == 1


@on_stepped_loop
async def test_without_a_handler_commands_are_refused() -> None:
    hub, _ = hub_of()
    hub.handler = None
    client = Socket(hub)
    client.connection.received(request_text("r", "calling.play", {}))
    assert client.frames[-1]["result"]["code"] == "501"


@on_stepped_loop
async def test_an_event_that_cannot_be_written_disturbs_nothing() -> None:
    hub, _ = hub_of()
    client = Socket(hub)
    client.session.tell("told", {"number": object()})
    client.session.tell("told", {"number": float("nan")})
    client.session.tell("told", {"number": 3})
    assert client.told() == [3]


# -- the end


@on_stepped_loop
async def test_clients_are_told_to_begin_anew_before_they_are_closed() -> None:
    hub, _ = hub_of()
    one, two, gone = Socket(hub), Socket(hub), Socket(hub)
    gone.connection.lost()
    closing = asyncio.ensure_future(hub.close())
    await settled()
    for client in (one, two):
        assert client.frames[-1]["method"] == "signalwire.disconnect"
        assert client.frames[-1]["params"] == {"restart": True}
        assert client.closed is None
        client.connection.received(result_text(client.frames[-1]["id"], {}))
    await settled()
    assert closing.done()
    assert one.closed is not None
    assert two.closed is not None
    assert hub.n_sessions == 0
    assert Socket(hub).frames[0]["error"]["code"] == -32000


@on_stepped_loop
async def test_a_client_that_does_not_hear_is_not_waited_for_long() -> None:
    hub, _ = hub_of()
    deaf = Socket(hub)
    closing = asyncio.ensure_future(hub.close())
    await settled()
    assert not closing.done()
    await passes(module.LEAVE_S + 0.1)
    assert closing.done()
    assert deaf.closed is not None


@on_stepped_loop
async def test_a_client_that_goes_is_not_waited_for() -> None:
    hub, _ = hub_of()
    client = Socket(hub)
    closing = asyncio.ensure_future(hub.close())
    await settled()
    client.connection.lost()
    await settled()
    assert closing.done()
