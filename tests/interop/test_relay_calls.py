"""Calls led by the vendor's own RELAY client, against a whole engine over TLS, with real telephones at the far ends."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from signalwire.relay import RelayClient, RelayError
from signalwire.relay.call import Call

from engine.api.certificates import make_certificate
from engine.softphone.client import Softphone
from engine.softphone.protocol import CallState, SoundState
from tests.interop.sipp_peer import caller_scenario
from tests.support.engine import RunningEngine, free_udp_port, running_engine
from tests.support.process import Program, needs

pytestmark = [pytest.mark.interop, pytest.mark.asyncio, pytest.mark.timeout(180)]

PROJECT = "a1b2c3d4-0000-4000-8000-00000000000f"
TOKEN = "PT-token-of-the-tests"
WAIT_S = 40.0
MANY = 200
OnCall = Callable[[Call], Awaitable[None]]


def tts(text: str) -> dict[str, Any]:
    """Return a medium that says a text."""
    return {"type": "tts", "params": {"text": text}}


class Desk:
    """An engine, and the vendor's client that leads its calls."""

    def __init__(self, engine: RunningEngine, client: RelayClient) -> None:
        self.engine = engine
        self.client = client
        self.told: list[tuple[str, dict[str, Any]]] = []
        self._finished: asyncio.Queue[BaseException | None] = asyncio.Queue()
        handle = client._handle_event

        async def noted(payload: dict[str, Any]) -> None:
            self.told.append((payload["event_type"], payload["params"]))
            await handle(payload)

        client._handle_event = noted  # type: ignore[method-assign]

    def on_call(self, handler: OnCall) -> None:
        """Lead each call by ``handler``."""

        async def led(call: Call) -> None:
            try:
                await handler(call)
            except BaseException as error:
                self._finished.put_nowait(error)
                raise
            self._finished.put_nowait(None)

        self.client.on_call(led)

    async def led(self) -> None:
        """Wait until a handler is through; raise what it raised."""
        async with asyncio.timeout(WAIT_S):
            error = await self._finished.get()
        if error is not None:
            raise error

    def of(self, event_type: str) -> list[dict[str, Any]]:
        """Return the params of all events of a type."""
        return [params for told, params in self.told if told == event_type]

    def states(self, event_type: str, key: str = "state") -> list[str]:
        """Return the states that were told by events of a type."""
        return [params[key] for params in self.of(event_type)]


@pytest_asyncio.fixture
async def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    files = make_certificate(tmp_path / "tls")
    port = free_udp_port()
    toml = f"""
[api]
tls_listen = "127.0.0.1:{port}"
[api.tls]
certificate = "{files.certificate}"
key = "{files.key}"
[recording]
directory = "recordings"
[signalwire]
project = "{PROJECT}"
token_env = "TEST_RELAY_TOKEN"
[app.desk]
dialect = "relay"
context = "default"
[app.hello]
dialect = "swml"
document = '{{"version": "1.0.0", "sections": {{"main": [{{"play": {{"url": "silence:0.1"}}}}, {{"hangup": {{}}}}]}}}}'
[connector.sandbox]
type = "sandbox"
database = "sandbox.sqlite3"
[[route]]
to = "desk"
app = "desk"
[media]
timeout_s = 60
"""
    monkeypatch.setenv("SIGNALWIRE_RELAY_CA_FILE", str(tmp_path / "tls" / "ca.pem"))
    async with running_engine(toml, directory=tmp_path / "engine", environment={"TEST_RELAY_TOKEN": TOKEN}) as engine:
        client = RelayClient(project=PROJECT, token=TOKEN, host=f"localhost:{port}", contexts=["default"])
        desk = Desk(engine, client)
        running = asyncio.ensure_future(client._run_forever())
        try:
            async with asyncio.timeout(20):
                while not client.relay_protocol:
                    await asyncio.sleep(0.02)
            yield desk
        finally:
            await client.disconnect()
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
    assert TOKEN not in engine.log
    assert "Traceback" not in engine.log
    assert "broke down" not in engine.log


async def test_a_call_is_answered_asked_recorded_and_hung_up(desk: Desk) -> None:
    results: dict[str, Any] = {}

    async def handler(call: Call) -> None:
        await call.answer()
        recording = await call.record(audio={"direction": "both", "end_silence_timeout": 0, "initial_timeout": 0})
        greeting = await call.play([tts("Welcome.")])
        await greeting.wait(WAIT_S)
        asked = await call.play_and_collect(
            [tts("Please key four digits.")],
            {"digits": {"max": 4, "terminators": "#"}, "initial_timeout": 20.0},
        )
        results["entry"] = (await asked.wait(WAIT_S)).params["result"]
        alone = await call.collect(digits={"max": 9, "terminators": "#"}, initial_timeout=20.0, partial_results=False)
        results["alone"] = (await alone.wait(WAIT_S)).params["result"]
        silent = await call.collect(digits={"max": 1}, initial_timeout=0.3)
        results["silent"] = (await silent.wait(WAIT_S)).params["result"]
        await recording.stop()
        results["recording"] = (await recording.wait(WAIT_S)).params
        await call.hangup()
        results["end"] = (await call.wait_for_ended(WAIT_S)).params

    desk.on_call(handler)
    async with Softphone() as phone:
        await phone.call(desk.engine.uri("desk"))
        await phone.wait_state(CallState.CONFIRMED)
        await phone.wait_sound(SoundState.BEGAN)
        async with asyncio.timeout(WAIT_S):
            while desk.states("calling.call.play") != ["playing", "finished", "playing"]:
                await asyncio.sleep(0.05)
        await phone.keys("3141")
        while "entry" not in results:
            await asyncio.sleep(0.05)
        await phone.keys("271#")
        await phone.wait_state(CallState.DISCONNECTED, timeout_s=WAIT_S)
    await desk.led()
    assert results["entry"] == {"type": "digit", "params": {"digits": "3141", "terminator": ""}}
    assert results["alone"] == {"type": "digit", "params": {"digits": "271", "terminator": "#"}}
    assert results["silent"] == {"type": "no_input"}
    assert results["recording"]["state"] == "finished"
    assert results["recording"]["size"] > 44
    assert results["end"]["end_reason"] == "hangup"
    assert desk.states("calling.call.state", "call_state") == ["answered", "ending", "ended"]
    assert "3141" not in desk.engine.log
    assert "271" not in [word for line in desk.engine.lines for word in line.split()]


async def test_a_hang_up_of_the_caller_completes_what_runs(desk: Desk) -> None:
    actions: list[Any] = []

    async def handler(call: Call) -> None:
        await call.answer()
        actions.append(await call.play([tts("La la la.")], loop=0))
        actions.append(await call.collect(digits={"max": 4}, initial_timeout=60.0))
        await call.wait_for_ended(WAIT_S)
        with pytest.raises(RelayError) as gone:
            await desk.client.execute("calling.play", {"call_id": call.call_id, "control_id": "a", "play": [tts("x")]})
        assert gone.value.code == 404
        assert (await (await call.play([tts("Nobody hears that.")])).wait(WAIT_S)).params == {}

    desk.on_call(handler)
    async with Softphone() as phone:
        await phone.call(desk.engine.uri("desk"))
        await phone.wait_state(CallState.CONFIRMED)
        await phone.wait_sound(SoundState.BEGAN)
        while len(actions) < 2:
            await asyncio.sleep(0.05)
        await phone.hang_up()
    await desk.led()
    assert [action.is_done for action in actions] == [True, True]
    order = [event_type for event_type, _ in desk.told]
    assert order.index("calling.call.collect") < len(order) - 2
    assert order[-2:] == ["calling.call.state", "calling.call.state"]


async def test_a_call_that_is_refused_is_busy(desk: Desk) -> None:
    async def handler(call: Call) -> None:
        await call.hangup("busy")

    desk.on_call(handler)
    async with Softphone() as phone:
        await phone.call(desk.engine.uri("desk"))
        state = await phone.wait_state(CallState.DISCONNECTED)
        assert state.status == 486
    await desk.led()


async def test_a_client_dials_keys_and_is_told_what_is_keyed(desk: Desk) -> None:
    async with Softphone() as phone:
        device = {"type": "sip", "params": {"to": phone.uri, "from": "till", "timeout": 20}}
        dialling = asyncio.ensure_future(desk.client.dial([[device]], tag="t-1", max_duration=5))
        incoming = await phone.wait_incoming()
        await phone.answer(call=incoming.call)
        async with asyncio.timeout(WAIT_S):
            call = await dialling
        assert (call.tag, call.direction) == ("t-1", "outbound")
        detection = await call.detect_digit(digits="5", timeout=30)
        await call.send_digits("1w2")
        collection = await call.collect(digits={"max": 2}, initial_timeout=20)
        await phone.keys("15", call=incoming.call)
        entry = await collection.wait(WAIT_S)
        assert entry.params["result"]["params"]["digits"] == "15"
        assert (await detection.wait(WAIT_S)).params["detect"]["params"]["event"] == "5"
        await phone.hang_up(call=incoming.call)
        await call.wait_for_ended(WAIT_S)
    assert desk.states("calling.call.send_digits") == ["finished"]
    states = desk.states("calling.call.state", "call_state")
    assert states[0] == "created"
    assert [state for state in states if state != "ringing"] == ["created", "answered", "ending", "ended"]


async def test_of_several_who_are_dialled_one_is_it_and_nobody_is_an_error(desk: Desk) -> None:
    async with Softphone() as first, Softphone() as second:
        devices = [[{"type": "sip", "params": {"to": one.uri, "timeout": 20}} for one in (first, second)]]
        dialling = asyncio.ensure_future(desk.client.dial(devices))
        await first.wait_incoming()
        incoming = await second.wait_incoming()
        await second.answer(call=incoming.call)
        async with asyncio.timeout(WAIT_S):
            call = await dialling
        await first.wait_state(CallState.DISCONNECTED)
        await call.hangup()
        await second.wait_state(CallState.DISCONNECTED)
    async with Softphone() as third:
        refused = asyncio.ensure_future(desk.client.dial([[{"type": "sip", "params": {"to": third.uri}}]]))
        incoming = await third.wait_incoming()
        await third.answer(call=incoming.call, status=486)
        with pytest.raises(RelayError, match="Dial failed"):
            await asyncio.wait_for(refused, WAIT_S)
    with pytest.raises(RelayError) as wrong:
        await desk.client.dial([[{"type": "phone", "params": {}}]])
    assert wrong.value.code == 422


async def test_a_call_is_connected_parted_and_handed_on(desk: Desk) -> None:
    async with Softphone() as phone, Softphone() as agent:

        async def handler(call: Call) -> None:
            await call.answer()
            connected = asyncio.ensure_future(
                call.wait_for("calling.call.connect", lambda event: event.params["connect_state"] == "connected")
            )
            parted = asyncio.ensure_future(
                call.wait_for("calling.call.connect", lambda event: event.params["connect_state"] == "disconnected")
            )
            await call.connect([[{"type": "sip", "params": {"to": agent.uri, "timeout": 20}}]])
            await asyncio.wait_for(connected, WAIT_S)
            with pytest.raises(RelayError) as busy:
                await call.connect([[{"type": "sip", "params": {"to": agent.uri}}]])
            assert busy.value.code == 409
            await call.disconnect()
            await asyncio.wait_for(parted, WAIT_S)
            await (await call.play([tts("Goodbye.")])).wait(WAIT_S)
            with pytest.raises(RelayError) as nobody:
                await call.transfer("nobody")
            assert nobody.value.code == 422
            await call.transfer("hello")
            await call.wait_for_ended(WAIT_S)

        desk.on_call(handler)
        await phone.call(desk.engine.uri("desk"))
        await phone.wait_state(CallState.CONFIRMED)
        incoming = await agent.wait_incoming()
        await agent.answer(call=incoming.call)
        await agent.wait_state(CallState.DISCONNECTED, timeout_s=WAIT_S, call=incoming.call)
        await phone.wait_state(CallState.DISCONNECTED, timeout_s=WAIT_S)
        await desk.led()
    assert desk.states("calling.call.connect", "connect_state") == ["connecting", "connected", "disconnected"]


async def test_what_is_not_carried_out_is_an_error_with_a_number(desk: Desk) -> None:
    async def handler(call: Call) -> None:
        await call.answer()
        for attempt, code in (
            (call.echo, 501),
            (call.denoise, 501),
            (lambda: call.play([{"type": "tts", "params": {}}]), 422),
            (lambda: call.play([tts("x")], direction="speak"), 422),
            (lambda: call.detect({"type": "machine"}), 501),
        ):
            with pytest.raises(RelayError) as refused:
                await attempt()
            assert refused.value.code == code
        await call.hangup()

    desk.on_call(handler)
    async with Softphone() as phone:
        await phone.call(desk.engine.uri("desk"))
        await phone.wait_state(CallState.DISCONNECTED, timeout_s=WAIT_S)
    await desk.led()


@needs("sipp")
async def test_two_hundred_calls_at_a_time_over_one_socket(desk: Desk, tmp_path: Path) -> None:
    up: set[str] = set()
    all_up = asyncio.Event()

    async def handler(call: Call) -> None:
        await call.answer()
        await call.wait_for_answered(WAIT_S)
        up.add(call.call_id)
        if len(up) == MANY:
            all_up.set()
        await asyncio.wait_for(all_up.wait(), 90)
        said = await call.play([{"type": "silence", "params": {"duration": 0.2}}])
        assert (await said.wait(WAIT_S)).params["state"] == "finished"
        await call.hangup()
        await call.wait_for_ended(WAIT_S)

    desk.on_call(handler)
    host, port = desk.engine.sip_address
    scenario = tmp_path / "caller.xml"
    caller_scenario(scenario, [])
    sipp = Program(
        "sipp",
        f"{host}:{port}",
        *("-sf", str(scenario), "-s", "desk", "-i", "127.0.0.1", "-m", str(MANY), "-l", str(MANY), "-r", "40"),
        *("-nostdin", "-timeout", "120s"),
    )
    async with sipp:
        for _ in range(MANY):
            await desk.led()
    counts = Counter(desk.states("calling.call.state", "call_state"))
    assert counts == {"answered": MANY, "ending": MANY, "ended": MANY}
    assert len(desk.of("calling.call.receive")) == MANY
    assert not desk.client._calls
