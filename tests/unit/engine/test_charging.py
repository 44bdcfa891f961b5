"""Charging: journal, send, wipe, outcome, in this order and whatever happens."""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio

from engine.charging import RECORD_RETRIES_S, Charging
from engine.connectors.signalwire import BodyForm
from engine.errors import ConnectorError
from engine.ledger import Ledger
from engine.net.egress import Egress
from engine.net.http import request
from engine.pay.submission import ConnectorAnswer, Outcome, Submission
from tests.support.connectors import CHARGED, ScriptedConnector
from tests.support.gateway import FakeGateway
from tests.support.payments import VISA, SlidingClock, secret_of, submission_of

pytestmark = pytest.mark.asyncio


@pytest.fixture
def clock() -> SlidingClock:
    return SlidingClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite3"


@pytest_asyncio.fixture
async def ledger(path: Path, clock: SlidingClock) -> AsyncIterator[Ledger]:
    ledger = await Ledger.open(f"sqlite+aiosqlite:///{path}", clock=clock, busy_timeout_s=0.05)
    await start(ledger)
    yield ledger
    await ledger.close()


async def start(ledger: Ledger) -> None:
    await ledger.start_payment("p1", call_id="c1", form="f", operation="charge", amount="10.55", currency="usd")


@pytest_asyncio.fixture
async def connector() -> ScriptedConnector:
    return ScriptedConnector()


@pytest.fixture
def charging(ledger: Ledger, connector: ScriptedConnector, clock: SlidingClock) -> Charging:
    return Charging(ledger, {"gw": connector}, sleep=clock.sleep)


def is_wiped(submission: Submission) -> bool:
    assert submission.card_number is not None
    assert submission.security_code is not None
    return submission.card_number.wiped and submission.security_code.wiped


class TestCharge:
    async def test_journal_comes_before_the_first_byte_and_outcome_after(
        self, charging: Charging, ledger: Ledger, connector: ScriptedConnector
    ) -> None:
        async def journalled(submission: Submission) -> None:
            (attempt,) = await ledger.open_attempts()
            assert attempt.transaction_id == submission.transaction_id

        connector.on_submit = journalled
        submission = submission_of(transaction_id="t1")
        assert await charging.charge("p1", submission, "gw") == CHARGED
        attempt = await ledger.attempt("t1")
        assert attempt is not None
        assert (attempt.outcome, attempt.charge_id) == (Outcome.SUCCEEDED, "ch_1")
        assert is_wiped(submission)

    @pytest.mark.parametrize("outcome", list(Outcome))
    async def test_every_outcome_is_recorded_and_wipes(
        self, charging: Charging, ledger: Ledger, connector: ScriptedConnector, outcome: Outcome
    ) -> None:
        connector.answer = ConnectorAnswer(outcome=outcome, error_code="x")
        submission = submission_of(transaction_id="t1")
        assert (await charging.charge("p1", submission, "gw")).outcome is outcome
        attempt = await ledger.attempt("t1")
        assert attempt is not None
        assert (attempt.outcome, is_wiped(submission)) == (outcome, True)

    async def test_account_number_of_a_bank_debit_is_wiped_too(self, charging: Charging) -> None:
        account = secret_of("12345678")
        await charging.charge("p1", submission_of(transaction_id="t1", account_number=account), "gw")
        assert account.wiped

    async def test_connector_that_breaks_down_leaves_the_outcome_unknown_and_its_text_unsaid(
        self, charging: Charging, ledger: Ledger, connector: ScriptedConnector, caplog: pytest.LogCaptureFixture
    ) -> None:
        connector.answer = RuntimeError(f"could not send {VISA}")
        submission = submission_of(transaction_id="t1")
        caplog.set_level(logging.DEBUG, "engine")
        answer = await charging.charge("p1", submission, "gw")
        assert (answer.outcome, answer.error_code) == (Outcome.UNKNOWN, "internal")
        assert [attempt.transaction_id for attempt in await ledger.unknown_attempts()] == ["t1"]
        assert is_wiped(submission)
        assert VISA not in caplog.text + str([record.__dict__ for record in caplog.records]) + repr(answer)

    async def test_nothing_is_sent_when_the_journal_cannot_be_written(
        self, charging: Charging, connector: ScriptedConnector, path: Path
    ) -> None:
        submission = submission_of(transaction_id="t1")
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            answer = await charging.charge("p1", submission, "gw")
        assert (answer.outcome, answer.error_code) == (Outcome.FAILED, "ledger")
        assert (connector.seen, is_wiped(submission)) == ([], True)

    async def test_id_that_was_journalled_before_is_not_sent_again(
        self, charging: Charging, connector: ScriptedConnector
    ) -> None:
        await charging.charge("p1", submission_of(transaction_id="t1"), "gw")
        second = submission_of(transaction_id="t1")
        answer = await charging.charge("p1", second, "gw")
        assert (answer.outcome, answer.error_code) == (Outcome.FAILED, "ledger")
        assert (connector.seen, is_wiped(second)) == (["t1"], True)

    async def test_same_transaction_asked_for_twice_at_once_is_sent_once_and_has_one_answer(
        self, charging: Charging, connector: ScriptedConnector
    ) -> None:
        submission = submission_of(transaction_id="t1")
        answers = await asyncio.gather(*(charging.charge("p1", submission, "gw") for _ in range(3)))
        assert answers == [CHARGED] * 3
        assert connector.seen == ["t1"]

    async def test_unknown_connector_fails_without_a_trace_of_the_card(self, charging: Charging) -> None:
        submission = submission_of()
        answer = await charging.charge("p1", submission, "nobody")
        assert (answer.outcome, answer.error_code, is_wiped(submission)) == (Outcome.FAILED, "connector", True)

    async def test_endpoint_that_an_application_names_is_journalled_by_its_host(self, ledger: Ledger) -> None:
        charging = Charging(ledger, {}, send=partial(request, addresses=Egress(["127.0.0.0/8"]).addresses))
        async with FakeGateway(['status:200:{"charge_id":"ch_9","error_code":null,"error_message":null}']) as gateway:
            connector = charging.connector_at(
                gateway.url, form=BodyForm.COMPATIBLE, signing_key="k", allow_insecure=True
            )
            answer = await charging.charge("p1", submission_of(transaction_id="t1"), connector)
        assert (answer.outcome, answer.charge_id) == (Outcome.SUCCEEDED, "ch_9")
        attempt = await ledger.attempt("t1")
        assert attempt is not None
        assert (attempt.connector, attempt.outcome) == ("url:" + gateway.url.split("/")[2], Outcome.SUCCEEDED)
        assert json.loads(gateway.requests[0].body)["chargeAmount"] == 10.55

    async def test_endpoint_inside_is_not_reached(self, ledger: Ledger) -> None:
        charging = Charging(ledger, {}, send=partial(request, addresses=Egress().addresses))
        async with FakeGateway(["status:200"]) as gateway:
            connector = charging.connector_at(
                gateway.url, form=BodyForm.COMPATIBLE, signing_key="", allow_insecure=True, repeats=0
            )
            submission = submission_of(transaction_id="t1")
            answer = await charging.charge("p1", submission, connector)
        assert (answer.outcome, answer.error_code, is_wiped(submission)) == (Outcome.FAILED, "unreachable", True)
        assert gateway.requests == []

    async def test_endpoint_without_tls_is_refused(self, charging: Charging) -> None:
        with pytest.raises(ConnectorError):
            charging.connector_at("http://gw.example/", form=BodyForm.COMPATIBLE, signing_key="")

    async def test_submission_without_a_security_code_is_taken(self, charging: Charging) -> None:
        submission = submission_of(transaction_id="t1", security_code="")
        assert (await charging.charge("p1", submission, "gw")).outcome is Outcome.SUCCEEDED


class TestWhoeverWaitsMayGo:
    async def test_cancelled_caller_loses_neither_result_nor_outcome(
        self, charging: Charging, ledger: Ledger, connector: ScriptedConnector
    ) -> None:
        connector.gate.clear()
        submission = submission_of(transaction_id="t1")
        waiting = asyncio.create_task(charging.charge("p1", submission, "gw"))
        await connector.entered.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert not is_wiped(submission)  # in use: the connector may have to repeat
        connector.gate.set()
        await charging.drain()
        attempt = await ledger.attempt("t1")
        assert attempt is not None
        assert (attempt.outcome, is_wiped(submission)) == (Outcome.SUCCEEDED, True)

    async def test_work_that_is_torn_down_is_wiped_and_stays_open_for_the_next_start(
        self, charging: Charging, ledger: Ledger, connector: ScriptedConnector
    ) -> None:
        connector.gate.clear()
        submission = submission_of(transaction_id="t1")
        waiting = asyncio.create_task(charging.charge("p1", submission, "gw"))
        await connector.entered.wait()
        for task in charging._running.values():  # as the end of asyncio.run does
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert is_wiped(submission)
        assert [attempt.transaction_id for attempt in await ledger.open_attempts()] == ["t1"]

    async def test_drain_with_nothing_to_do_returns(self, charging: Charging) -> None:
        await charging.drain()


class TestLockedAfterSending:
    async def test_answer_is_given_at_once_and_written_when_the_lock_is_gone(
        self, charging: Charging, ledger: Ledger, connector: ScriptedConnector, path: Path
    ) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            connector.on_submit = lambda _: other.execute("BEGIN EXCLUSIVE")
            assert await charging.charge("p1", submission_of(transaction_id="t1"), "gw") == CHARGED
        await charging.drain()
        attempt = await ledger.attempt("t1")
        assert attempt is not None
        assert attempt.charge_id == "ch_1"

    async def test_lock_that_stays_leaves_the_attempt_open_and_says_so(
        self,
        charging: Charging,
        ledger: Ledger,
        connector: ScriptedConnector,
        path: Path,
        clock: SlidingClock,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            connector.on_submit = lambda _: other.execute("BEGIN EXCLUSIVE")
            await charging.charge("p1", submission_of(transaction_id="t1"), "gw")
            await charging.drain()
        assert clock.slept == list(RECORD_RETRIES_S)
        assert "stays open until the next start" in caplog.text
        assert len(await ledger.open_attempts()) == 1
