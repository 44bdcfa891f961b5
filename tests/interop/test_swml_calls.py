"""Calls of a real softphone to SWML documents: served, signed and run as the vendor's reference has it."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from signalwire.core.function_result import FunctionResult

from engine.softphone.client import Softphone
from engine.softphone.protocol import CallState
from tests.support.caller import VISA, Script, pay
from tests.support.engine import RunningEngine, running_engine
from tests.support.process import free_port
from tests.support.swml import KEY, KEY_ENV, PROJECT, Answer, SwmlServer, running_server, swml_toml

pytestmark = [pytest.mark.interop, pytest.mark.timeout(240), pytest.mark.asyncio]

PAID = {"charge_id": "ch_1", "error_code": None, "error_message": None}
DECLINED = {"charge_id": None, "error_code": "declined", "error_message": "The card was declined."}
WAIT_S = 60.0


def main(*steps: Mapping[str, Any], **sections: Any) -> dict[str, Any]:
    """Return a document."""
    return {"version": "1.0.0", "sections": {"main": list(steps), **sections}}


def pay_step(app: SwmlServer, **properties: Any) -> dict[str, Any]:
    """Return a ``pay`` that charges."""
    given = {
        "payment_connector_url": f"{app.url}/gateway",
        "status_url": f"{app.url}/status",
        "charge_amount": "25.00",
        "timeout": 20,
        **properties,
    }
    return {"pay": {name: value for name, value in given.items() if value is not None}}


def tell(app: SwmlServer, **body: str) -> dict[str, Any]:
    """Return a ``request`` that tells variables."""
    return {"request": {"url": f"{app.url}/api/told", "method": "POST", "body": body}}


@asynccontextmanager
async def engine_of(
    app: SwmlServer, directory: Path, *, apps: Mapping[str, str] | None = None, settings: str = "", more: str = ""
) -> AsyncIterator[RunningEngine]:
    toml = swml_toml(apps or {"shop": f'url = "{app.url}/swml"'}, settings=settings, more=more)
    async with running_engine(toml, directory=directory, environment={KEY_ENV: KEY}) as engine:
        yield engine
    assert not app.forged
    assert VISA not in engine.log


async def call_over(engine: RunningEngine, user: str = "shop") -> int:
    """Call, wait until the engine ends it, and return the status of an answer that refused it."""
    async with Softphone() as phone:
        await phone.call(engine.uri(user))
        over = await phone.wait_state(CallState.DISCONNECTED, timeout_s=WAIT_S)
        return over.status


async def test_a_charge_is_taken_and_its_result_told_to_the_document(tmp_path: Path) -> None:
    async with running_server() as app:
        app.answers = {
            "/swml": main(
                {"answer": {}},
                {"play": {"url": "say: Welcome."}},
                pay_step(app),
                {
                    "cond": [
                        {"when": "pay_result == 'success'", "then": [tell(app, result="paid %{pay_result}")]},
                        {"else": [tell(app, result="failed")]},
                    ]
                },
                {"request": {"url": f"{app.url}/api/all", "method": "POST", "body": {"x": "${pay_payment_results}"}}},
                {"hangup": {}},
            ),
            "/gateway": PAID,
        }
        async with engine_of(app, tmp_path) as engine:
            call = await pay(engine, Script.good(), user="shop")
            assert call.result == "success"
            asked = app.of("/swml")[0]
            assert asked["call"]["call_id"] == call.call_id
            assert asked["call"]["project_id"] == PROJECT
            assert (asked["call"]["direction"], asked["call"]["call_state"], asked["call"]["to"]) == (
                "inbound",
                "created",
                "shop",
            )
            assert (asked["vars"], asked["params"], asked["envs"]) == ({}, {}, {})
            (told,) = app.of("/api/told")
            assert told == {"result": "paid success"}
            results = app.of("/api/all")[0]["x"]
            assert results["payment_confirmation_code"] == "ch_1"
            assert results["payment_card_number"].endswith(VISA[-4:])
            assert VISA not in json.dumps(results)
            (charged,) = app.of("/gateway")
            assert (charged["cardnumber"], charged["chargeAmount"]) == (VISA, "25.00")
            steps = [event["for"] for event in app.events("/status")]
            assert steps[0] == "payment-card-number"
            assert steps[-1] == "payment-completed"


def menu(app: SwmlServer) -> dict[str, Any]:
    """Return a document with a menu before it charges, a recording beside it, and posts of all that happens."""
    status = f"{app.url}/events"
    return main(
        {"answer": {"max_duration": 600}},
        {"set": {"shop": "Corner"}},
        {"prompt": {"play": "say: Press 1 to pay.", "max_digits": 1, "status_url": status}},
        {"play": {"urls": ["silence:0.2", "say:Welcome to ${shop}."], "status_url": status}},
        {
            "switch": {
                "variable": "prompt_value",
                "case": {"2": [{"execute": {"dest": "never"}}], "1": [{"execute": {"dest": "charge"}}]},
                "default": [tell(app, result="no menu")],
            }
        },
        tell(app, result="%{return_value}", digits="${prompt_value}", card="${pay_payment_results.payment_card_type}"),
        {"hangup": {}},
        charge=[pay_step(app, status_url=status), {"return": "${pay_result.toUpperCase()}"}],
        never=[{"return": "never"}],
    )


async def test_json_and_yaml_forms_of_a_document_give_the_same_events(tmp_path: Path) -> None:
    async with running_server() as app:
        document = menu(app)
        app.answers = {"/json": document, "/yaml": yaml.safe_dump(document, sort_keys=False), "/gateway": PAID}
        apps = {"json": f'url = "{app.url}/json"', "yaml": f'url = "{app.url}/yaml"'}
        streams = []
        async with engine_of(app, tmp_path, apps=apps) as engine:
            for user in apps:
                first = len(app.received)
                call = await pay(engine, Script.good(), user=user, first_keys="1")
                assert call.result == "success"
                # Where each post goes is one queue; a payment's is another one: they are put in order by their kind.
                await app.wait_until(partial(all_posted, app, first))
                streams.append(sorted(posts(app, first), key=lambda event: event["event_type"]))
        assert streams[0] == streams[1]
        kinds = [(event["event_type"], event.get("state") or event.get("for")) for event in streams[0]]
        assert kinds[:3] == [
            ("calling.call.collect", "finished"),
            ("calling.call.pay", "payment-card-number"),
            ("calling.call.pay", "expiration-date"),
        ]
        assert kinds[-2:] == [("calling.call.play", "playing"), ("calling.call.play", "finished")]
        assert streams[0][0]["result"] == {"type": "digit", "params": {"digits": "1", "terminator": ""}}
        assert app.of("/api/told") == [{"result": "SUCCESS", "digits": "1", "card": "visa"}] * 2


def all_posted(app: SwmlServer, first: int) -> bool:
    """Return whether every post of a call is there."""
    return len(posts(app, first)) >= 9


def posts(app: SwmlServer, first: int) -> list[dict[str, Any]]:
    """Return what was posted to ``/events`` from the request number ``first`` on, without what is each call's own."""
    return [
        {"event_type": request.body["event_type"]}
        | {name: value for name, value in request.body["params"].items() if name not in ("call_id", "control_id")}
        for request in app.received[first:]
        if request.path == "/events"
    ]


async def test_tokens_retries_parameters_and_prompts_of_the_documents_own(tmp_path: Path) -> None:
    async with running_server() as app:
        say = [{"type": "Say", "phrase": "Prosze podac numer karty."}]
        app.answers = {
            "/swml": main(
                {"answer": {}},
                pay_step(
                    app,
                    charge_amount=None,
                    token_type="one-time",
                    max_attempts="2",
                    security_code="false",
                    postal_code="00950",
                    currency="PLN",
                    language="pl-PL",
                    description="Koszyk 7",
                    parameters=[{"name": "order", "value": "${call.to}-7"}],
                    prompts=[{"for": "payment-card-number", "actions": say}],
                ),
                {"request": {"url": f"{app.url}/api/told", "method": "POST", "body": "${pay_payment_results}"}},
            ),
            "/gateway": {"token_id": "tok_9", "error_code": None, "error_message": None},
        }
        async with engine_of(app, tmp_path) as engine:
            script = Script.good(payment_card_number=["4242424242424241#", f"{VISA}#"])
            call = await pay(engine, script, user="shop")
            assert call.result == "success"
            assert call.steps[:3] == ["payment-card-number", "payment-card-number", "expiration-date"]
            assert not {"security-code", "postal-code"} & set(call.steps)
            (asked,) = app.of("/gateway")
            assert asked["parameters"] == {"order": "shop-7"}
            assert (asked["chargeAmount"], asked["token_type"], asked["currency_code"]) == ("0", "one-time", "PLN")
            assert (asked["postal_code"], asked["cvv"], asked["description"]) == ("00950", "", "Koszyk 7")
            (told,) = app.of("/api/told")
            assert (told["payment_token"], told["payment_card_postal_code"]) == ("tok_9", "00950")
            errors = [event["error_type"] for event in app.events("/status")]
            assert "invalid-card-number" in errors


async def test_a_decline_is_the_documents_to_answer(tmp_path: Path) -> None:
    async with running_server() as app:
        app.answers = {
            "/swml": main(
                pay_step(app, max_attempts=0, charge_amount=10.5),
                {
                    "cond": [
                        {"when": "pay_result === 'success'", "then": [tell(app, result="paid")]},
                        {
                            "when": "${pay_result} == 'payment-connector-error' && pay_payment_results.connector_error",
                            "then": [
                                tell(
                                    app,
                                    result="${pay_payment_results.connector_error.code}",
                                    message="${pay_payment_results.payment_error}",
                                ),
                                {"play": {"url": "say:Sorry."}},
                            ],
                        },
                        {"else": [tell(app, result="other %{pay_result}")]},
                    ]
                },
            ),
            "/gateway": lambda body: web.json_response(DECLINED, status=402),
        }
        async with engine_of(app, tmp_path) as engine:
            await pay(engine, Script.good(), user="shop")
            assert app.of("/gateway")[0]["chargeAmount"] == "10.5"
            assert app.of("/api/told") == [{"result": "declined", "message": "The card was declined."}]
            assert app.events("/status")[-1]["for"] == "payment-failed"


REFUSED: dict[str, tuple[Answer, str]] = {
    "no document": ("Hello", "relay_script_"),
    "broken JSON": ('{"version": "1.0.0", "sections": {', "relay_script_parse_error"),
    "another version": ({"version": "2.0.0", "sections": {"main": []}}, "relay_script_version_invalid"),
    "no sections": ({"version": "1.0.0"}, "relay_script_sections_missing"),
    "no main": ({"sections": {"other": []}}, "relay_script_main_section_missing"),
    "no method": (main({"sing": {}}), "relay_script_method_undefined"),
    "no parameter": (main({"play": {"uri": "say:Hello"}}), "relay_script_method_parameter_"),
    "anchors": ("a: &a [x, x]\nb: &b [*a, *a]\nsections: {main: [*b]}", "relay_script_"),
    "deep": ("[" * 50_000, "relay_script_"),
    "10 MB": ("#" * 10_000_000, "relay_script_"),
    "server error": (lambda _: web.Response(status=500), "HTTP 500"),
    "wrong type": (lambda _: web.Response(body=b"\x00", content_type="image/png"), "type"),
    "redirects for ever": (lambda _: web.Response(status=307, headers={"Location": "/swml"}), "relay_script_"),
    "round in circles": (main({"label": "a"}, {"transfer": {"dest": "main"}}), "relay_script_too_many_transfers"),
}


async def test_documents_that_cannot_be_run_end_their_call_and_say_why(tmp_path: Path) -> None:
    async with running_server() as app, engine_of(app, tmp_path) as engine:
        for name, (answer, code) in REFUSED.items():
            app.answers = {"/swml": answer}
            first = len(engine.lines)
            status = await call_over(engine)
            await engine.wait_for("call ended", count=1 + list(REFUSED).index(name))
            said = "\n".join(engine.lines[first:])
            assert code in said, (name, said)
            assert status == 500, (name, said)
            assert "Traceback" not in said
            assert len(said) < 60_000, name
        # And the engine is as it was.
        app.answers = {"/swml": main(pay_step(app)), "/gateway": PAID}
        assert (await pay(engine, Script.good(), user="shop")).result == "success"


async def test_a_call_is_refused_as_the_document_says_and_a_fallback_takes_one_that_cannot_be_run(
    tmp_path: Path,
) -> None:
    async with running_server() as app:
        file = tmp_path / "menu.yaml"
        file.write_text("sections: {main: [{hangup: {reason: busy}}]}")
        inline = json.dumps(main({"hangup": {"reason": "decline"}}))
        apps = {
            "busy": f'file = "{file}"',
            "decline": f"document = '''{inline}'''",
            "fallback": f'url = "{app.url}/broken"\nfallback_url = "{app.url}/fallback"',
        }
        app.answers = {"/broken": "sections: [", "/fallback": main({"hangup": {"reason": "busy"}})}
        async with engine_of(app, tmp_path, apps=apps) as engine:
            assert await call_over(engine, "busy") == 486
            assert await call_over(engine, "decline") == 603
            assert await call_over(engine, "fallback") == 486
            file.write_text("sections: {main: [{hangup: {reason: decline}}]}")
            assert await call_over(engine, "busy") == 603
            file.write_text("sections: [")
            assert await call_over(engine, "busy") == 500
            assert "relay_script_parse_error" in engine.log


async def test_what_the_document_asks_for_in_passing_is_done(tmp_path: Path) -> None:
    async with running_server() as app:
        nobody = free_port(socket.SOCK_DGRAM)
        app.answers = {
            "/swml": main(
                {"record_call": {"control_id": "whole", "stereo": True, "status_url": f"{app.url}/events"}},
                {"send_digits": {"digits": "12w3"}},
                {"user_event": {"event": {"secret": "of the shop"}}},
                {"connect": {"to": f"sip:nobody@127.0.0.1:{nobody}", "timeout": 2, "call_state_url": f"{app.url}/leg"}},
                {"set": {"connected": "${connect_result}"}},
                {"stop_record_call": {"control_id": "whole"}},
                {"sleep": 500},
                tell(app, connected="${connected}", digits="${send_digits_result}", record="${record_control_id}"),
                {
                    "execute": {
                        "dest": f"{app.url}/more",
                        "params": {"x": [1]},
                        "on_return": [tell(app, r="${return_value}")],
                    }
                },
                {"transfer": {"dest": "/last"}},
            ),
            "/more": main({"return": "${params.x[0]}"}),
            "/last": main({"play": {"url": "say:Bye."}}, {"hangup": {}}),
        }
        directory = tmp_path / "recordings"
        async with engine_of(app, tmp_path, more=f'[recording]\ndirectory = "{directory}"\n') as engine:
            await call_over(engine)
            first, second = app.of("/api/told")
            assert first == {"connected": "failed", "digits": "success", "record": "whole"}
            assert second == {"r": 1}  # a whole placeholder keeps its type
            assert app.of("/more")[0]["params"] == {"x": [1]}
            assert app.of("/last")[0]["vars"]["connected"] == "failed"
            await app.wait_until(lambda: [event["state"] for event in app.events("/events")][-1:] == ["finished"])
            assert [event["state"] for event in app.events("/events")] == ["recording", "finished"]
            assert app.events("/leg")[-1]["connect_state"] == "failed"
            assert "of the shop" not in engine.log


SERVICE = """
import sys
from signalwire.core.swml_service import SWMLService

service = SWMLService("shop", route="/shop", host="127.0.0.1", port=int(sys.argv[1]), basic_auth=("paytone", "s3cret"))
service.add_verb("answer", {})
service.add_verb("play", {"url": "say:Welcome."})
service.add_verb("pay", {
    "payment_connector_url": sys.argv[2] + "/gateway", "charge_amount": "12.00", "max_attempts": 2, "timeout": 20,
    "security_code": True, "postal_code": "10115", "status_url": sys.argv[2] + "/status",
})
service.add_verb("request", {
    "url": sys.argv[2] + "/api/told", "method": "POST", "body": {"result": "${pay_result}"},
})
service.add_verb("hangup", {})
service.serve()
"""


@asynccontextmanager
async def sdk_service(app: SwmlServer) -> AsyncIterator[str]:
    """Serve a document with the vendor's own server; yield its URL, with the password in it."""
    port = free_port(socket.SOCK_STREAM)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SERVICE, str(port), app.url), env={**os.environ, "PYTHONWARNINGS": "ignore"}
    )
    try:
        async with asyncio.timeout(60):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    assert process.returncode is None
                    await asyncio.sleep(0.1)
                else:
                    writer.close()
                    break
        yield f"http://paytone:s3cret@127.0.0.1:{port}/shop"
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def test_the_vendors_own_service_and_function_result_are_run(tmp_path: Path) -> None:
    async with running_server() as app, sdk_service(app) as url:
        result = FunctionResult("Paying.").pay(
            payment_connector_url=f"{app.url}/gateway", charge_amount="7.00", postal_code=False, timeout=20
        )
        app.answers = {"/gateway": PAID, "/swml": result.to_dict()["action"][0]["SWML"]}
        apps = {"service": f'url = "{url}"', "function": f'url = "{app.url}/swml"'}
        async with engine_of(app, tmp_path, apps=apps) as engine:
            service = await pay(engine, Script.good(), user="service")
            function = await pay(engine, Script.good(), user="function")
            assert (service.result, function.result) == ("success", "success")
            assert [body["chargeAmount"] for body in app.of("/gateway")] == ["12.00", "7.00"]
            assert [body["postal_code"] for body in app.of("/gateway")] == ["10115", ""]
            assert app.of("/api/told") == [{"result": "success"}]
            assert "s3cret" not in engine.log


async def test_a_hang_up_in_the_middle_of_a_payment_is_told(tmp_path: Path) -> None:
    async with running_server() as app:
        app.answers = {"/swml": main(pay_step(app), tell(app, result="never"))}
        async with engine_of(app, tmp_path) as engine:
            script = Script(entries=Script.good().entries, hang_up_at="security-code")
            call = await pay(engine, script, user="shop")
            assert call.result == "caller-hung-up"
            await app.wait_until(lambda: "result" in (app.events("/status") or [{}])[-1])
            assert app.events("/status")[-1]["result"] == "caller-hung-up"
            assert app.of("/api/told") == app.of("/gateway") == []
