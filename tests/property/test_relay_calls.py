"""Whatever a RELAY client commands and whatever happens on its call: each thing ends once, and all before the call."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.program import CallState
from tests.fuzz.fuzz_relay_requests import METHODS, SEEDS, one_input, one_request
from tests.support.exchange import later, run
from tests.support.programs import settle
from tests.support.relay import RelayScene, tts

# What a prompt of ``play_and_collect`` tells has the name of an entry, and is no end of it.
_PLAYS, _ENTRIES, _OTHERS = "ab", "cde", "fg"
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
_DIGITS: dict[str, Any] = {"max": 3, "terminators": "#"}


def _named(names: str, method: str, **params: Any) -> st.SearchStrategy[tuple[str, dict[str, Any]]]:
    return st.sampled_from(names).map(lambda name: (method, {"control_id": name, **params}))


_COMMANDS = st.one_of(
    _named(_PLAYS, "play", play=[tts("Hello.")]),
    _named(_PLAYS, "play", play=[tts("La.")], loop=0),
    _named(_ENTRIES, "play_and_collect", play=[tts("Key.")], collect={"digits": _DIGITS, "initial_timeout": 3}),
    _named(_ENTRIES, "collect", digits=_DIGITS, initial_timeout=3, partial_results=True, send_start_of_input=True),
    _named(_OTHERS, "detect", detect={"type": "digit"}, timeout=4),
    _named(_OTHERS, "send_digits", digits="1w2"),
    *(
        _named(_PLAYS + _ENTRIES + _OTHERS, method)
        for method in METHODS
        if method.endswith((".stop", ".pause", ".resume", "timers"))
    ),
    _named(_PLAYS + _ENTRIES, "play.volume", volume=3),
    st.sampled_from([("answer", {}), ("user_event", {"event": "x"}), ("disconnect", {})]),
)
_HAPPENINGS = st.one_of(
    _COMMANDS,
    st.text("0123456789*#", min_size=1, max_size=3),
    st.floats(0.1, 5.0),
    st.just("played"),
)


def _last(event_type: str, params: dict[str, Any]) -> bool:
    """Whether an event is the last one of its ``control_id``."""
    match event_type.rpartition(".")[2]:
        case "play" if params["control_id"] in _PLAYS:
            return params["state"] in ("finished", "error")
        case "send_digits":
            return True
        case "detect":
            return bool(params["detect"]["params"]["event"] == "finished")
        case "collect":
            return bool(params["state"] in ("finished", "error", "no_input"))
    return False


@settings(max_examples=25, deadline=None)
@given(st.lists(_HAPPENINGS, max_size=14), st.sampled_from(["hang-up", "end", "gone"]))
def test_each_thing_ends_once_and_before_the_call(happenings: list[Any], ending: str) -> None:
    async def scene() -> None:
        relay = RelayScene(app={"fallback_form": "till"})
        await relay.answered()
        begun: Counter[str] = Counter()
        for happening in happenings:
            if isinstance(happening, tuple):
                method, params = happening
                result = relay.ask(method, **params)
                json.dumps(result)
                if "." not in method and "control_id" in params and result["code"] == "200":
                    begun[params["control_id"]] += 1
            elif isinstance(happening, float):
                await later(happening)
            elif happening == "played":
                await relay.hear_out(at_most=1)
            else:
                relay.press(happening)
            await settle()
        if ending == "hang-up":
            relay.end("remote_bye")
        elif ending == "end":
            relay.ask("end")
        else:
            relay.calls.session_over(relay.session)
            await settle()
            assert relay.successors[0].heard == ["start"]
            relay.end("remote_bye")
        await relay.program.done()
        if ending != "gone":  # nobody is told anything who is gone
            assert relay.session.states[-2:] == ["state:ending", "state:ended"]
            assert relay.session.states.count("state:ended") == 1
            ends = Counter(params["control_id"] for told, params in relay.session.told if _last(told, params))
            assert ends == begun
        assert relay.session.n_calls == 0
        assert len(relay.program._running) == 0

    run(scene)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(METHODS), st.dictionaries(st.text(max_size=8), _JSON, max_size=4))
def test_whatever_is_commanded_is_answered(method: str, params: dict[str, Any]) -> None:
    async def scene() -> None:
        relay = RelayScene()
        await relay.answered()
        params.pop("call_id", None)
        result = relay.calls.command(relay.session, f"calling.{method}", {"call_id": relay.call_id, **params})
        assert result["code"] in ("200", "404", "409", "422", "500", "501")
        assert result["message"] != "internal error" or method in ("hold", "unhold")
        if relay.call.state is not CallState.ENDED:
            relay.end()
        await relay.program.done()

    run(scene)


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(METHODS), st.dictionaries(st.text(max_size=10), _JSON, max_size=5))
def test_any_parameters(method: str, params: dict[str, Any]) -> None:
    one_request(method, params)


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(SEEDS), st.data())
def test_commands_with_something_else_in_them(seed: bytes, data: st.DataObject) -> None:
    method, params = json.loads(seed)
    path = data.draw(st.lists(st.integers(0, 5), max_size=4))
    changed = _changed(params, path, data.draw(_JSON))
    if isinstance(changed, dict):
        one_request(method, changed)


def _changed(value: Any, path: list[int], new: Any) -> Any:
    """Return a value with something else at a place."""
    if not path or not value or not isinstance(value, dict | list):
        return new
    if isinstance(value, list):
        index = path[0] % len(value)
        return [_changed(one, path[1:], new) if at == index else one for at, one in enumerate(value)]
    key = list(value)[path[0] % len(value)]
    return {**value, key: _changed(value[key], path[1:], new)}


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=100))
def test_any_octets(octets: bytes) -> None:
    one_input(octets)


def test_seeds() -> None:
    for seed in SEEDS:
        one_input(seed)
