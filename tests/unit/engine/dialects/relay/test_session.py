"""A RELAY session: who is let in, what is answered, and that no event is lost, doubled or out of order."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engine.dialects.relay import session as module
from engine.dialects.relay.frames import INVALID_PARAMS, error_text, request_text, result_text
from engine.dialects.relay.session import (
    AUTHENTICATION_FAILED,
    MAX_CONTEXTS,
    PING_S,
    Ask,
    Close,
    ConnectRequest,
    Credentials,
    Refusal,
    Send,
    SessionMachine,
    read_connect,
)

CREDENTIALS = Credentials("project", "secret")
RESTORE_S = 120.0
BURST, MAX_REFUSED = 200, 100
"Of tests that go to the limits of the rate."


def connect_text(authentication: Any = None, *, major: int = 2, **params: Any) -> str:
    """The first frame of a client, as the vendor's sends it."""
    return request_text(
        "1",
        "signalwire.connect",
        {
            "version": {"major": major, "minor": 0, "revision": 0},
            "agent": "signalwire-agents-python/1.0",
            "event_acks": True,
            "authentication": authentication or {"project": "project", "token": "secret"},
            **params,
        },
    )


class Client:
    """A session, and what its client gets."""

    def __init__(self, *contexts: str, acks: bool = True) -> None:
        self.machine = SessionMachine(
            protocol="p-of-it", authorization_state="s-of-it", project="project", space="space", restore_s=RESTORE_S
        )
        self.now = 0.0
        self.acks = acks
        self.answer = self.connect(*contexts)[0]["result"]

    def connect(self, *contexts: str) -> list[dict[str, Any]]:
        """Connect, the first time or again, and return the frames that come of it."""
        self.machine.connect(ConnectRequest(id="c", contexts=contexts, event_acks=self.acks), self.now, 5.5)
        return self.frames()

    def frames(self) -> list[dict[str, Any]]:
        """Return what was sent since the last time."""
        return [json.loads(output.text) for output in self.machine.outputs() if isinstance(output, Send)]

    def does(self, method: str, **params: Any) -> list[dict[str, Any]]:
        """Let the client ask something."""
        return self.gets(request_text("r", method, params))

    def gets(self, text: str) -> list[dict[str, Any]]:
        """Let a text of the client come."""
        self.machine.receive(text, self.now, 5.5)
        return self.frames()

    def told(self, *numbers: int) -> list[int]:
        """Tell events and return those that were sent."""
        for number in numbers:
            self.machine.tell("calling.call.state", {"number": number}, 5.5)
        return numbers_of(self.frames())

    def acknowledges(self, frame_id: str) -> None:
        """Let the client acknowledge an event."""
        assert self.gets(result_text(frame_id, {})) == []


def numbers_of(frames: list[dict[str, Any]]) -> list[int]:
    """Return the numbers of the events among frames."""
    events = [frame["params"] for frame in frames if frame.get("method") == "signalwire.event"]
    return [event["params"]["number"] for event in events if event["event_type"] == "calling.call.state"]


# -- who is let in


def test_a_client_with_the_right_credentials_is_let_in() -> None:
    wanted = read_connect(connect_text(contexts=["a", "b", "a"], protocol="p", authorization_state="s"), CREDENTIALS)
    assert isinstance(wanted, ConnectRequest)
    assert (wanted.contexts, wanted.event_acks, wanted.protocol) == (("a", "b"), True, "p")
    assert "secret" not in repr(wanted)


@pytest.mark.parametrize(
    "authentication",
    [
        {"project": "project", "token": "wrong"},
        {"project": "other", "token": "secret"},
        {"project": "project"},
        {"project": None, "token": None},
        {"project": "project", "token": 5},
        {"jwt_token": "eyJhbGciOiJub25lIn0.e30."},
        {"token": "sécret"},
        "secret",
        ["project", "secret"],
    ],
)
def test_a_client_with_wrong_credentials_is_refused_with_the_vendors_code(authentication: Any) -> None:
    wanted = read_connect(connect_text(authentication), CREDENTIALS)
    assert isinstance(wanted, Refusal)
    assert wanted.is_authentication
    answer = json.loads(wanted.text)
    assert answer["id"] == "1"
    assert answer["error"]["code"] == AUTHENTICATION_FAILED
    assert answer["error"]["message"].startswith("Authentication failed")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (connect_text(major=3), INVALID_PARAMS),
        (connect_text(contexts="default"), INVALID_PARAMS),
        (connect_text(contexts=[""]), INVALID_PARAMS),
        (connect_text(contexts=["a" * 257]), INVALID_PARAMS),
        (connect_text(contexts=[str(n) for n in range(MAX_CONTEXTS + 1)]), INVALID_PARAMS),
        (request_text(1, "signalwire.ping", {}), AUTHENTICATION_FAILED),
        (request_text(1, "calling.dial", {"tag": "t"}), AUTHENTICATION_FAILED),
        (result_text("event-1", {}), AUTHENTICATION_FAILED),
        ("no JSON", -32700),
        (connect_text(agent="a" * 70_000), -32600),
    ],
)
def test_another_first_frame_is_refused_and_held_against_nobody(text: str, code: int) -> None:
    wanted = read_connect(text, CREDENTIALS)
    assert isinstance(wanted, Refusal)
    assert json.loads(wanted.text)["error"]["code"] == code
    assert not wanted.is_authentication


def test_the_answer_names_the_session_and_then_its_state_is_told() -> None:
    client = Client("default")
    assert client.answer["protocol"] == "p-of-it"
    assert client.answer["session_restored"] is False
    assert {"identity", "sessionid", "nodeid", "authorization", "protocols"} <= client.answer.keys()
    _, state = client.connect()
    assert state["method"] == "signalwire.event"
    assert state["params"]["event_type"] == "signalwire.authorization.state"
    assert state["params"]["params"] == {"authorization_state": "s-of-it"}


def test_a_session_is_restored_by_its_name_and_by_no_wrong_state() -> None:
    machine = Client().machine
    assert machine.may_be_restored(ConnectRequest(id=1, protocol="p-of-it"))
    assert machine.may_be_restored(ConnectRequest(id=1, protocol="p-of-it", authorization_state="s-of-it"))
    assert not machine.may_be_restored(ConnectRequest(id=1, protocol="p-of-it", authorization_state="another"))


# -- requests


def test_contexts_are_joined_and_left() -> None:
    client = Client("default")
    assert client.does("signalwire.receive", contexts=["x", "y"])[0]["result"]["code"] == "200"
    assert client.does("signalwire.unreceive", contexts=["default", "never"])[0]["result"]["code"] == "200"
    assert list(client.machine.contexts) == ["x", "y"]
    for wrong in ([], "x", [5], None, ["a" * 257]):
        assert client.does("signalwire.receive", contexts=wrong)[0]["result"]["code"] == "422"


def test_contexts_are_bounded() -> None:
    client = Client("default")
    answers = client.does("signalwire.receive", contexts=[f"c{n}" for n in range(MAX_CONTEXTS)])
    assert answers[0]["result"]["code"] == "422"
    assert list(client.machine.contexts) == ["default"]
    client.machine.lost(0)
    client.connect(*(f"d{n}" for n in range(MAX_CONTEXTS)))
    assert len(client.machine.contexts) == MAX_CONTEXTS


def test_pings_are_answered() -> None:
    assert Client().does("signalwire.ping") == [{"jsonrpc": "2.0", "id": "r", "result": {}}]


def test_what_is_not_known_is_said_to_be_so() -> None:
    client = Client()
    assert client.does("signalwire.connect")[0]["error"]["code"] == -32600
    assert client.does("signalwire.subscription")[0]["error"]["code"] == -32601
    assert client.does("messaging.send")[0]["result"]["code"] == "501"
    assert client.gets("{")[0]["error"]["code"] == -32700
    assert client.gets('{"jsonrpc":"2.0","method":"signalwire.ping"}') == []


def test_a_command_is_answered_before_the_events_that_came_of_it() -> None:
    client = Client()
    assert client.told(1) == [1]
    client.machine.receive(request_text("r", "calling.play", {"call_id": "c"}), 0, 0)
    (ask,) = client.machine.outputs()
    assert isinstance(ask, Ask)
    assert (ask.id, ask.method, ask.params) == ("r", "calling.play", {"call_id": "c"})
    assert client.told(2, 3) == []
    client.machine.answer({"code": "200", "message": "OK"})
    frames = client.frames()
    assert frames[0] == {"jsonrpc": "2.0", "id": "r", "result": {"code": "200", "message": "OK"}}
    assert numbers_of(frames[1:]) == [2, 3]


def test_an_answer_to_a_connection_that_is_gone_goes_to_nobody_and_its_events_wait() -> None:
    client = Client()
    client.machine.receive(request_text("r", "calling.play", {}), 0, 0)
    client.machine.outputs()
    client.told(1)
    client.machine.lost(0)
    client.machine.answer({"code": "200"})
    assert client.frames() == []
    assert numbers_of(client.connect()) == [1]


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the rate be small, so that a test reaches it."""
    monkeypatch.setattr(module, "BURST", BURST)
    monkeypatch.setattr(module, "MAX_REFUSED", MAX_REFUSED)


@pytest.mark.usefixtures("slow")
def test_a_client_that_asks_too_fast_is_told_and_then_dropped() -> None:
    client = Client()
    answers = [client.does("signalwire.ping")[0]["result"] for _ in range(BURST + 5)]
    assert answers[:3] == [{}] * 3
    assert [answer["code"] for answer in answers[-3:]] == ["429"] * 3
    client.now += 1.0
    assert client.does("signalwire.ping")[0]["result"] == {}, "what was used up comes back"
    for _ in range(BURST + MAX_REFUSED):
        client.machine.receive(request_text("r", "signalwire.ping", {}), client.now, 0)
    assert isinstance(client.machine.outputs()[-1], Close)


@pytest.mark.usefixtures("slow")
def test_a_large_request_counts_for_several() -> None:
    client = Client()
    large = request_text("r", "signalwire.ping", {"a": "a" * 50_000})
    n = 0
    while client.gets(large)[0]["result"] == {}:
        n += 1
        assert n < BURST
    assert n == BURST // 13


@pytest.mark.usefixtures("slow")
def test_acknowledgements_cost_nothing_and_what_is_none_does() -> None:
    client = Client()
    for n in range(1, BURST * 2):
        client.told(n)
        client.acknowledges(f"event-{n}")
    assert client.machine.n_events == 0
    for _ in range(BURST + MAX_REFUSED + 2):
        client.machine.receive(result_text("event-1", {}), client.now, 0)
    assert isinstance(client.machine.outputs()[-1], Close)


# -- events


def test_an_event_looks_as_the_vendors_client_reads_it() -> None:
    client = Client()
    client.machine.tell("calling.call.play", {"call_id": "c", "state": "playing"}, 1700000000.25)
    (frame,) = client.frames()
    assert frame["params"] == {
        "event_type": "calling.call.play",
        "event_channel": "p-of-it",
        "timestamp": 1700000000.25,
        "project_id": "project",
        "space_id": "space",
        "params": {"call_id": "c", "state": "playing"},
    }


def test_what_was_told_is_what_it_was_then() -> None:
    client = Client()
    client.machine.lost(0)
    params = {"number": 1}
    client.machine.tell("calling.call.state", params, 0)
    params["number"] = 2
    assert numbers_of(client.connect()) == [1]


def test_events_without_acknowledgement_come_again_in_order() -> None:
    client = Client()
    assert client.told(1, 2, 3) == [1, 2, 3]
    client.acknowledges("event-2")
    client.machine.lost(client.now)
    assert client.told(4) == []
    frames = client.connect()
    assert frames[0]["result"]["session_restored"] is True
    assert numbers_of(frames) == [1, 3, 4]
    for n in (1, 3, 4):
        client.acknowledges(f"event-{n}")
    client.machine.lost(client.now)
    assert numbers_of(client.connect()) == []


def test_an_event_refused_by_an_error_counts_as_acknowledged() -> None:
    client = Client()
    client.told(1)
    client.gets(error_text("event-1", -1, "no"))
    assert client.machine.n_events == 0


def test_a_client_without_acknowledgements_gets_each_event_once() -> None:
    client = Client(acks=False)
    assert client.told(1, 2) == [1, 2]
    client.machine.lost(0)
    client.told(3)
    assert numbers_of(client.connect()) == [3]
    assert client.machine.n_events == 0


@pytest.mark.parametrize("frame_id", ["event-2", "event-0", "event-٣", "event-1.0", "event-" + "9" * 50, "x", 1, -1.5])
def test_an_acknowledgement_of_nothing_is_passed_over(frame_id: str | float) -> None:
    client = Client()
    client.told(1)
    assert client.gets(result_text(frame_id, {})) == []
    assert client.machine.n_events == 1


def test_too_many_events_end_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_EVENTS", 3)
    client = Client()
    assert client.told(1, 2, 3) == [1, 2, 3]
    client.machine.tell("calling.call.state", {"number": 4}, 0)
    assert isinstance(client.machine.outputs()[-1], Close)
    assert client.machine.is_over
    assert client.machine.has_overflowed
    assert client.told(5) == []
    assert client.machine.n_events == 0


def test_too_long_events_end_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_EVENT_BYTES", 1000)
    client = Client()
    client.machine.lost(0)
    over = []
    for length in (300, 500):
        client.machine.tell("x", {"text": "a" * length}, 0)
        over.append(client.machine.is_over)
    assert over == [False, True]


# -- time


def test_a_client_is_pinged_and_dropped_when_it_does_not_answer() -> None:
    client = Client()
    sent = []
    for _ in range(3):
        assert client.machine.next_timer == client.now + PING_S
        client.machine.handle_timer(client.now + PING_S - 0.1, 0)
        assert client.machine.outputs() == []
        client.now += PING_S
        client.machine.handle_timer(client.now, 9.5)
        sent += client.machine.outputs()
        if len(sent) == 3:
            break
    assert [type(output) for output in sent] == [Send, Send, Close]
    assert isinstance(sent[0], Send)
    ping = json.loads(sent[0].text)
    assert ping["method"] == "signalwire.ping"
    assert ping["params"]["timestamp"] == 9.5


def test_whatever_a_client_says_shows_that_it_is_there() -> None:
    client = Client()
    for _ in range(10):
        client.now += PING_S
        client.machine.handle_timer(client.now, 0)
        (ping,) = client.frames()
        client.gets(result_text(ping["id"], {}))
    assert client.machine.is_connected


def test_a_session_waits_for_its_client_and_then_is_over() -> None:
    client = Client()
    client.now = 50.0
    client.machine.lost(50.0)
    due = [client.machine.next_timer]
    over = []
    for now in (50.0 + RESTORE_S - 0.1, 50.0 + RESTORE_S):
        client.machine.handle_timer(now, 0)
        over.append(client.machine.is_over)
    assert over == [False, True]
    assert [*due, client.machine.next_timer] == [50.0 + RESTORE_S, None]
    with pytest.raises(ValueError, match="over"):
        client.machine.connect(ConnectRequest(id=1), 0, 0)


def test_a_client_that_is_to_leave_is_told_so_and_says_that_it_heard() -> None:
    client = Client()
    client.machine.leave(restart=True)
    (frame,) = client.frames()
    assert (frame["method"], frame["params"]) == ("signalwire.disconnect", {"restart": True})
    client.gets(result_text(frame["id"], {}))
    assert client.machine.has_left
