"""The Payments resource over HTTP, as the vendor's own client uses it: answers, errors, routes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
from twilio.base.exceptions import TwilioRestException

from engine.api.twilio.payments import add_routes
from engine.ledger import Ledger
from engine.program import CallState
from tests.support.agent_desk import ACCOUNT_SID, CALL_ID, URL, AgentDesk
from tests.support.api import ApiScene, api_scene

pytestmark = pytest.mark.asyncio

CALL_SID = f"CA{CALL_ID}"
PAYMENTS = f"/Calls/{CALL_SID}/Payments.json"
FORM = {"IdempotencyKey": "k1", "StatusCallback": URL}


@asynccontextmanager
async def served(ledger: Ledger) -> AsyncIterator[tuple[ApiScene, AgentDesk]]:
    desk = AgentDesk()
    async with api_scene(ledger, [partial(add_routes, sessions=desk.sessions)]) as scene:
        yield scene, desk


class TestClient:
    async def test_create_capture_and_complete(self, ledger: Ledger) -> None:
        async with served(ledger) as (scene, desk):
            payments = scene.sdk().calls(CALL_SID).payments
            session = await scene.in_thread(
                payments.create,
                idempotency_key="k1",
                status_callback=URL,
                charge_amount=20.45,
                currency="eur",
                description="a donation",
                input="dtmf",
                min_postal_code_length=5,
                parameter={"order": 17},
                payment_method="credit-card",
                postal_code=False,
                security_code=True,
                timeout=10,
                token_type="reusable",
                valid_card_types="visa amex",
                confirmation="false",
            )
            assert session.sid.startswith("PK")
            assert (session.account_sid, session.call_sid) == (ACCOUNT_SID, CALL_SID)
            assert session.date_created == session.date_updated == desk.context.clock().replace(microsecond=0)
            assert session.uri == f"/2010-04-01/Accounts/{ACCOUNT_SID}/Calls/{CALL_SID}/Payments/{session.sid}.json"
            for name, keys in (
                ("payment-card-number", "4111111111111111#"),
                ("expiration-date", "1228"),
                ("security-code", "123"),
            ):
                again = await scene.in_thread(session.update, idempotency_key=name, status_callback=URL, capture=name)
                assert again.sid == session.sid
                desk.press(keys)
            answer = await scene.in_thread(
                payments(session.sid).update_with_http_info,
                idempotency_key="done",
                status_callback=URL,
                status="complete",
            )
            assert (answer.status_code, answer.data.sid) == (202, session.sid)
            await desk.done()
        assert (desk.result["Result"], desk.result["ChargeAmount"]) == ("success", "20.45")
        (submission,) = desk.charging.submissions
        assert (submission.currency, dict(submission.parameters)) == ("eur", {"order": "17"})

    @pytest.mark.parametrize(
        ("values", "code"),
        [
            ({"status_callback": "/relative"}, 64020),
            ({"charge_amount": 0.1 * 3}, 64003),
            ({"payment_connector": "nobody"}, 64004),
            ({"parameter": "{'single': 'quotes'}"}, 64020),
        ],
    )
    async def test_what_is_refused_is_an_exception_with_its_number(
        self, ledger: Ledger, values: dict[str, Any], code: int
    ) -> None:
        async with served(ledger) as (scene, _):
            create = scene.sdk().calls(CALL_SID).payments.create
            given = {"idempotency_key": "k1", "status_callback": URL, **values}
            with pytest.raises(TwilioRestException) as caught:
                await scene.in_thread(create, **given)
            assert (caught.value.status, caught.value.code) == (400, code)

    async def test_updates_that_are_refused(self, ledger: Ledger) -> None:
        async with served(ledger) as (scene, _):
            payments = scene.sdk().calls(CALL_SID).payments
            session = await scene.in_thread(payments.create, idempotency_key="k1", status_callback=URL)
            update = partial(session.update, idempotency_key="k2", status_callback=URL)
            for values, status, code in (
                ({}, 400, 64018),
                ({"status": "complete"}, 400, 64019),
                ({"capture": "bank-account-number"}, 400, 64020),
            ):
                with pytest.raises(TwilioRestException) as caught:
                    await scene.in_thread(update, **values)
                assert (caught.value.status, caught.value.code) == (status, code)
            await scene.in_thread(update, status="cancel")
            with pytest.raises(TwilioRestException) as caught:
                await scene.in_thread(update, capture="postal-code")
            assert (caught.value.status, caught.value.code) == (409, 64021)


class TestHttp:
    async def test_created_and_accepted(self, ledger: Ledger) -> None:
        async with served(ledger) as (scene, _):
            status, body = await scene.ask("POST", PAYMENTS, data=FORM)
            assert (status, list(body)) == (
                201,
                ["account_sid", "call_sid", "sid", "date_created", "date_updated", "uri"],
            )
            path = f"/Calls/{CALL_SID}/Payments/{body['sid']}.json"
            status, body = await scene.ask("POST", path, data={**FORM, "Capture": "expiration-date"})
            assert (status, len(body)) == (202, 6)

    async def test_an_error_has_the_vendors_shape(self, ledger: Ledger) -> None:
        async with served(ledger) as (scene, _):
            status, body = await scene.ask("POST", PAYMENTS, data={"IdempotencyKey": "k"})
            assert (status, body["code"], body["status"]) == (400, 64020, 400)
            assert body["more_info"].endswith("/64020")
            assert body["message"].startswith("StatusCallback")

    async def test_what_is_not_there(self, ledger: Ledger) -> None:
        async with served(ledger) as (scene, _):
            nobody = "CA" + "e" * 32
            scene.exchange.add(CALL_ID)
            for path in (
                f"/Calls/{nobody}/Payments.json",
                "/Calls/x/Payments.json",
                f"/Calls/{CALL_SID}/Payments/PK{'1' * 32}.json",
                f"/Calls/{CALL_SID}/Payments/PK1.json",
                f"/Calls/{nobody}/Payments/PK{'1' * 32}.json",
            ):
                status, body = await scene.ask("POST", path, data={**FORM, "Status": "cancel"})
                assert (path, status, body["code"]) == (path, 404, 20404)

    async def test_a_call_that_is_over(self, ledger: Ledger) -> None:
        async with served(ledger) as (scene, desk):
            desk.call.state = CallState.ENDED
            status, body = await scene.ask("POST", PAYMENTS, data=FORM)
            assert (status, body["code"]) == (400, 21220)
            await ledger.record_call_start(
                "f" * 32, sip_call_id="s", caller="1", dialled="2", form="app", direction="in"
            )
            status, body = await scene.ask("POST", f"/Calls/CA{'f' * 32}/Payments.json", data=FORM)
            assert (status, body["code"]) == (400, 21220)  # the engine has no such call any more, but its record

    async def test_who_is_not_known_gets_no_session(self, ledger: Ledger) -> None:
        async with served(ledger) as (scene, desk):
            for auth in (None, (ACCOUNT_SID, "wrong")):
                status, body = await scene.ask("POST", PAYMENTS, auth=auth, data=FORM)
                assert (status, body["code"]) == (401, 20003)
            assert desk.call.companions == []

    async def test_other_methods_and_bodies(self, ledger: Ledger) -> None:
        async with served(ledger) as (scene, _):
            assert (await scene.ask("GET", PAYMENTS))[0] == 405
            assert (await scene.ask("POST", PAYMENTS, json=FORM))[0] == 415
            assert (await scene.ask("POST", PAYMENTS, data=b"IdempotencyKey=%ff", headers=_FORM_TYPE))[0] == 400


_FORM_TYPE = {"Content-Type": "application/x-www-form-urlencoded"}
