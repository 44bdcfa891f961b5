"""``call.pay`` by the vendor's own RELAY client, on real calls: every end, in every phase, and none is lost.

A softphone (PJSIP) keys tones; the payment connector is strict about `dialects.md` §7.1; every status post is validated
with the vendor's own ``validate_webhook_signature``. The client comes by a TCP relay of the test, which can drop it.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from signalwire.core.security.webhook_validator import (
    validate_webhook_signature,
    validate_webhook_signature_sha256,
)
from signalwire.relay import RelayClient, RelayError
from signalwire.relay.call import Call as RelayCall
from signalwire.relay.call import PayAction

from engine.api.certificates import make_certificate
from engine.softphone.client import Softphone
from engine.softphone.protocol import CallState, KeyMode
from tests.support.caller import PROMPT, VISA, Call, Script, expiry, pay
from tests.support.engine import RunningEngine, free_udp_port, running_engine
from tests.support.gateway import FakeGateway
from tests.support.web_server import serving

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300), pytest.mark.asyncio]

PROJECT = "a1b2c3d4-0000-4000-8000-00000000000f"
TOKEN = "a-token-of-the-tests"
KEY = "a-signing-key-of-the-tests"
DECLINED = "4000000000000002"
STEPS = ("payment-card-number", "expiration-date", "security-code", "postal-code", "payment-processing")
CARD = {
    "payment_card_number": "************4242",
    "payment_card_type": "visa",
    "security_code": "***",
    "payment_card_postal_code": "94105",
}


class Wire:
    """A TCP relay before the engine's API, which a test can cut."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.n_accepted = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> int:
        self._server = await asyncio.start_server(self._join, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.n_accepted += 1
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            task = asyncio.ensure_future(_copy(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def cut(self) -> None:
        """Drop every connection there is."""
        for task in self._tasks:
            task.cancel()

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    try:
        with suppress(OSError):
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()
    finally:
        sink.transport.abort()


@dataclass
class Statuses:
    """The application's status URL."""

    url: str = ""
    posts: list[dict[str, Any]] = field(default_factory=list)
    forged: int = 0

    async def handle(self, request: web.Request) -> web.Response:
        body, url = (await request.read()).decode(), str(request.url)
        signature = request.headers.get("X-Signalwire-Signature", "")
        strong = request.headers.get("X-Signalwire-SHA256-Signature", "")
        if validate_webhook_signature(KEY, signature, url, body) and validate_webhook_signature_sha256(
            KEY, strong, url, body
        ):
            self.posts.append(json.loads(body))
        else:
            self.forged += 1
        return web.Response()

    @property
    def steps(self) -> list[str]:
        return [post["params"]["for"] for post in self.posts]

    async def last(self) -> dict[str, Any]:
        """Wait for the post that tells the result, and return its parameters."""
        async with asyncio.timeout(30):
            while not (self.posts and "result" in self.posts[-1]["params"]):
                await asyncio.sleep(0.02)
        params = self.posts[-1]["params"]
        assert isinstance(params, dict)
        return params


Handler = Callable[[RelayCall], Awaitable[None]]


@dataclass
class Desk:
    """An engine, its gateway, and a client of the vendor's that takes its calls."""

    engine: RunningEngine
    gateway: FakeGateway
    statuses: Statuses
    client: RelayClient
    wire: Wire
    events: list[dict[str, Any]] = field(default_factory=list)
    "Parameters of each ``calling.call.pay``."
    order: list[str] = field(default_factory=list)
    "States of payments and calls, as they came."

    async def begin(self, call: RelayCall, **properties: Any) -> PayAction:
        """Answer and begin to take a payment."""
        call.on("calling.call.pay", self._paying)
        call.on("calling.call.state", lambda event: self.order.append(event.params["call_state"]))
        await call.answer()
        wanted = {"charge_amount": "25.00", "status_url": self.statuses.url, **properties}
        return await call.pay(self.gateway.url, **wanted)

    def _paying(self, event: Any) -> None:
        self.events.append(event.params)
        self.order.append(event.params["state"])

    async def run(self, script: Script, handler: Handler) -> Call:
        """Have a caller follow the script, and the client the handler, to the end of both."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def guarded(call: RelayCall) -> None:
            try:
                await handler(call)
            except Exception as error:
                done.set_exception(error)
            else:
                done.set_result(None)
            with suppress(RelayError):
                await call.hangup()

        self.client.on_call(guarded)
        call = await pay(self.engine, script, user="desk")
        async with asyncio.timeout(30):
            await done
        return call

    async def prompted(self, step: str) -> None:
        """Wait until the engine asks a step."""
        await self.engine.wait_for(rf"engine\.payment_run: prompt call=\w+ step={step}")

    async def submitted(self) -> None:
        """Wait until the gateway was asked."""
        async with asyncio.timeout(60):
            while not self.gateway.requests:
                await asyncio.sleep(0.02)


@asynccontextmanager
async def _status_url() -> AsyncIterator[Statuses]:
    statuses = Statuses()
    async with serving(statuses.handle) as url:
        statuses.url = f"{url}/status?shop=7"
        yield statuses


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
[signalwire]
project = "{PROJECT}"
token_env = "TEST_RELAY_TOKEN"
signing_key_env = "TEST_SIGNING_KEY"
allow_insecure_callbacks = true
[webhooks]
allow = ["127.0.0.0/8"]
[app.desk]
dialect = "relay"
context = "default"
[[route]]
to = "desk"
app = "desk"
[log]
level = "debug"
"""
    environment = {"TEST_RELAY_TOKEN": TOKEN, "TEST_SIGNING_KEY": KEY}
    monkeypatch.setenv("SIGNALWIRE_RELAY_CA_FILE", str(tmp_path / "tls" / "ca.pem"))
    async with (
        FakeGateway() as gateway,
        _status_url() as statuses,
        running_engine(toml, directory=tmp_path / "engine", environment=environment) as engine,
    ):
        wire = Wire(port)
        client = RelayClient(project=PROJECT, token=TOKEN, host=f"localhost:{await wire.start()}", contexts=["default"])
        running = asyncio.ensure_future(client._run_forever())
        desk = Desk(engine, gateway, statuses, client, wire)
        async with asyncio.timeout(20):
            while not client.relay_protocol:
                await asyncio.sleep(0.02)
        try:
            yield desk
        finally:
            await client.disconnect()
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await wire.close()
    assert gateway.violations == []
    assert statuses.forged == 0
    assert "Traceback" not in engine.log
    told = json.dumps([desk.events, statuses.posts]) + engine.log
    assert not [number for number in (VISA, DECLINED) if number in told]
    assert not [file.name for file in engine.files() if VISA.encode() in file.read_bytes()]


def _good(**changes: Any) -> Script:
    return Script.good(mode="in-band", **changes)


async def test_a_payment_from_its_first_question_to_the_farewell(desk: Desk) -> None:
    ended: list[dict[str, Any]] = []

    async def take(call: RelayCall) -> None:
        action = await desk.begin(
            call,
            currency="USD",
            description="Dues",
            parameters=[{"name": "shop", "value": "7"}],
            valid_card_types="visa,mastercard",
            security_code="true",
        )
        with pytest.raises(asyncio.TimeoutError):
            await action.wait(0.2)
        ended.append((await action.wait(60)).params)
        farewell = await call.play([{"type": "tts", "text": "Thank you."}])
        await farewell.wait(30)

    call = await desk.run(_good(), take)
    assert call.result == "success"
    (told,) = ended
    assert told.items() >= {"state": "finished", "result": "success", **CARD, "expiration_date": expiry()}.items()
    assert told["payment_confirmation_code"] == call.payment["charge_id"] != ""
    assert [event["for"] for event in desk.events] == [*STEPS, "payment-completed", "payment-completed"]
    assert {event["state"] for event in desk.events[:-1]} == {"collecting"}
    (request,) = desk.gateway.requests
    body = json.loads(request.body)
    assert (body["chargeAmount"], body["currency_code"], body["method"]) == ("25.00", "USD", "credit-card")
    assert (body["description"], body["parameters"], body["token_type"]) == ("Dues", {"shop": "7"}, "reusable")
    assert (body["cardnumber"], body["cvv"], body["postal_code"]) == (VISA, "123", "94105")
    headers = {name.lower(): value for name, value in request.headers.items()}
    signature = headers["x-signalwire-signature"]
    assert validate_webhook_signature(KEY, signature, desk.gateway.url, request.body.decode())
    last = await desk.statuses.last()
    assert desk.statuses.steps == [*STEPS, "payment-completed"]
    assert last["payment_confirmation_code"] == told["payment_confirmation_code"]
    assert last["control_id"] == told["control_id"]


async def test_a_card_that_is_declined(desk: Desk) -> None:
    ended: list[dict[str, Any]] = []

    async def take(call: RelayCall) -> None:
        action = await desk.begin(call, max_attempts="0")
        ended.append((await action.wait(60)).params)

    call = await desk.run(_good(card=DECLINED), take)
    assert call.result == "payment-connector-error"
    (told,) = ended
    assert (told["state"], told["result"]) == ("error", "payment-connector-error")
    assert told["connector_error"]["code"] == told["payment_error_code"] == "generic_decline"
    assert (await desk.statuses.last())["connector_error"] == told["connector_error"]


async def test_a_star_cancels(desk: Desk) -> None:
    ended: list[dict[str, Any]] = []

    async def take(call: RelayCall) -> None:
        ended.append((await (await desk.begin(call)).wait(60)).params)

    await desk.run(_good(security_code=["1*"]), take)
    assert (ended[0]["state"], ended[0]["result"]) == ("error", "caller-interrupted-with-star")
    assert desk.gateway.requests == []
    assert (await desk.statuses.last())["for"] == "payment-canceled"


async def _stop_at(desk: Desk, moment: str) -> tuple[Call, dict[str, Any]]:
    ended: list[dict[str, Any]] = []
    if moment == "connector":
        desk.gateway.add("hold")

    async def take(call: RelayCall) -> None:
        action = await desk.begin(call)
        if moment == "connector":
            await desk.submitted()
        else:
            await desk.prompted(moment)
        assert (await action.stop())["code"] == "200"
        if moment == "connector":
            with pytest.raises(asyncio.TimeoutError):
                await action.wait(0.5)
            desk.gateway.release()
        ended.append((await action.wait(60)).params)
        assert (await action.stop()).get("code", "404") in ("200", "404")

    call = await desk.run(_good(), take)
    return call, ended[0]


@pytest.mark.parametrize("moment", ["payment-card-number", "security-code"])
async def test_a_stop_before_the_connector_is_asked_cancels(desk: Desk, moment: str) -> None:
    call, told = await _stop_at(desk, moment)
    assert call.result == "relay-pay-stop"
    assert (told["state"], told["result"]) == ("error", "relay-pay-stop")
    assert desk.gateway.requests == []
    assert (await desk.statuses.last())["result"] == "relay-pay-stop"


async def test_a_stop_while_the_connector_works_tells_what_it_did(desk: Desk) -> None:
    call, told = await _stop_at(desk, "connector")
    assert call.result == "success"
    assert (told["state"], told["result"]) == ("finished", "success")
    assert list(desk.gateway.times_booked.values()) == [1]
    assert (await desk.statuses.last())["result"] == "success"


async def _hang_up_at(desk: Desk, moment: str) -> dict[str, Any]:
    ended: list[dict[str, Any]] = []
    over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def take(call: RelayCall) -> None:
        try:
            ended.append((await (await desk.begin(call)).wait(60)).params)
            async with asyncio.timeout(30):
                while "ended" not in desk.order:
                    await asyncio.sleep(0.02)
        except Exception as error:
            over.set_exception(error)
        else:
            over.set_result(None)

    desk.client.on_call(take)
    script = _good()
    async with Softphone() as phone:
        await phone.call(desk.engine.uri("desk"))
        await phone.wait_state(CallState.CONFIRMED)
        if moment == "connector":
            for step in STEPS[:4]:
                await desk.prompted(step)
                await phone.keys(script.entries[step][0], mode=KeyMode.IN_BAND)
            await desk.submitted()
        else:
            await desk.prompted(moment)
        await phone.hang_up()  # returns when the engine has answered the BYE
        desk.gateway.release()
        async with asyncio.timeout(60):
            await over
    return ended[0]


async def test_a_hang_up_before_the_connector_is_asked(desk: Desk) -> None:
    told = await _hang_up_at(desk, "payment-card-number")
    assert (told["state"], told["result"]) == ("error", "caller-hung-up")
    assert desk.order.index("error") < desk.order.index("ended"), "a client would wait for ever"
    assert (await desk.statuses.last())["result"] == "caller-hung-up"


async def test_a_hang_up_while_the_connector_works_tells_what_it_did(desk: Desk) -> None:
    desk.gateway.add("hold")
    told = await _hang_up_at(desk, "connector")
    assert (told["state"], told["result"]) == ("finished", "success")
    assert desk.order.index("finished") < desk.order.index("ended")
    assert list(desk.gateway.times_booked.values()) == [1]


async def test_what_cannot_be_done_is_an_error_at_once(desk: Desk) -> None:
    refused: list[RelayError] = []

    async def take(call: RelayCall) -> None:
        await call.answer()
        for wrong in (
            {"charge_amount": "free"},
            {"input_method": "speech"},
            {"timeout": "0"},
            {"status_url": "nowhere"},
            {"prompts": [{"for": "shoe-size", "actions": []}]},
        ):
            with pytest.raises(RelayError) as caught:
                await call.pay(desk.gateway.url, **wrong)
            refused.append(caught.value)
        first = await desk.begin(call)
        with pytest.raises(RelayError) as caught:
            await call.pay(desk.gateway.url)
        refused.append(caught.value)
        await first.stop()
        await first.wait(30)

    await desk.run(Script(entries={}, mode="in-band"), take)
    assert [str(error.code) for error in refused] == ["422"] * 5 + ["409"]
    for error, word in zip(
        refused, ("charge_amount", "input", "timeout", "status_url", "prompts", "session-in-progress"), strict=True
    ):
        assert re.search(word, str(error)), word


@pytest.mark.parametrize("moment", ["security-code", "connector"])
async def test_a_client_that_is_cut_off_in_the_middle_still_gets_the_result(desk: Desk, moment: str) -> None:
    ended: list[dict[str, Any]] = []
    if moment == "connector":
        desk.gateway.add("hold")

    async def take(call: RelayCall) -> None:
        action = await desk.begin(call)
        if moment == "connector":
            await desk.submitted()
        else:
            await desk.prompted(moment)
        connections = desk.wire.n_accepted
        desk.wire.cut()
        desk.gateway.release()
        ended.append((await action.wait(60)).params)
        assert desk.wire.n_accepted == connections + 1

    call = await desk.run(_good(), take)
    assert call.result == "success"
    assert (ended[0]["state"], ended[0]["payment_confirmation_code"]) == ("finished", call.payment["charge_id"])
    assert [event["state"] for event in desk.events].count("finished") == 1
    assert desk.statuses.steps == [*STEPS, "payment-completed"]


async def test_what_a_crash_left_untold_is_told_at_the_next_start_once(desk: Desk, tmp_path: Path) -> None:
    desk.gateway.add("hold")
    begun = asyncio.Event()

    async def take(call: RelayCall) -> None:
        await desk.begin(call)
        begun.set()

    desk.client.on_call(take)
    async with Softphone() as phone:
        await phone.call(desk.engine.uri("desk"))
        await begun.wait()
        for step in STEPS[:4]:
            await desk.prompted(step)
            await phone.keys(_good().entries[step][0], mode=KeyMode.IN_BAND)
        await desk.submitted()
        desk.engine.process.kill()
        await desk.engine.process.wait()
    toml, environment = (
        (tmp_path / "engine" / "paytone.toml").read_text(),
        {
            "TEST_RELAY_TOKEN": TOKEN,
            "TEST_SIGNING_KEY": KEY,
        },
    )
    async with running_engine(toml, directory=tmp_path / "engine", environment=environment):
        last = await desk.statuses.last()
    async with running_engine(toml, directory=tmp_path / "engine", environment=environment) as restarted:
        (row,) = restarted.ledger_rows("payments")
    assert (last["result"], last["for"], last["payment_error"]) == ("internal-error", "payment-failed", "unknown")
    assert (row["result"], row["reply_to"]) == ("internal-error", None)
    assert sum("result" in post["params"] for post in desk.statuses.posts) == 1
    assert len(desk.gateway.requests) == 1, "nobody is charged twice"


async def test_the_keys_of_a_payment_are_asked_for_by_prompts_of_the_application(desk: Desk) -> None:
    say = {"type": "Say", "phrase": "Numer karty, prosze."}

    async def take(call: RelayCall) -> None:
        action = await desk.begin(
            call,
            language="pl-PL",
            currency="pln",
            security_code="false",
            postal_code="00-950",
            prompts=[{"for": "payment-card-number", "actions": [say], "attempts": "1"}],
        )
        await action.wait(60)

    call = await desk.run(_good(), take)
    assert call.result == "success"
    assert [step for step in call.steps if step in STEPS] == ["payment-card-number", "expiration-date", STEPS[4]]
    body = json.loads(desk.gateway.requests[0].body)
    assert (body["postal_code"], body["cvv"], body["currency_code"]) == ("00-950", "", "pln")
    assert PROMPT.search(desk.engine.log)
