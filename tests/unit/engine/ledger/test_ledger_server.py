"""The ledger on a PostgreSQL server: whose claim holds, what others' locks and lost connections do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from sqlalchemy import text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.errors import LedgerError
from engine.ledger import Ledger
from engine.ledger.database import SERVER_CONNECTIONS
from engine.ledger.schema import PAYMENTS
from engine.pay.submission import ConnectorAnswer, Outcome
from tests.support.ledger_backend import PostgresBackend
from tests.support.payments import SlidingClock, submission_of

pytestmark = pytest.mark.asyncio

HURRY_S = 1.0
HOLDS = (
    "SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database WHERE locktype = 'advisory' AND datname = "
)


@pytest_asyncio.fixture
async def ledger(postgres: PostgresBackend) -> AsyncIterator[Ledger]:
    ledger = await Ledger.open(postgres.url, clock=SlidingClock(), node="a")
    await start(ledger, "p1")
    yield ledger
    await ledger.close()


async def start(ledger: Ledger, payment_id: str) -> None:
    await ledger.start_payment(payment_id, call_id="c", form="f", operation="charge", amount="1.00", currency="usd")


async def journal(ledger: Ledger, transaction_id: str) -> None:
    await ledger.journal_attempt("p1", submission_of(transaction_id=transaction_id), "gw")


def cut_sessions(postgres: PostgresBackend, condition: str = "true") -> None:
    """End sessions as an administrator, or a crash of the server, would."""
    postgres.execute(
        f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{postgres.database}'"
        f" AND pid <> pg_backend_pid() AND {condition}"
    )


class TestClaim:
    async def test_two_engines_with_one_name_are_refused(self, ledger: Ledger, postgres: PostgresBackend) -> None:
        await ledger.claim()
        await ledger.claim()  # again is harmless
        second = await Ledger.open(postgres.url, node="a")
        with pytest.raises(LedgerError, match=r"another engine works .* node name 'a'; stop it or give ledger.node"):
            await second.claim()
        await ledger.close()
        await second.claim()
        await second.close()

    async def test_engines_with_names_of_their_own_work_side_by_side(
        self, ledger: Ledger, postgres: PostgresBackend
    ) -> None:
        await ledger.claim()
        second = await Ledger.open(postgres.url, node="b")
        await second.claim()
        assert postgres.server.sql(f"{HOLDS}'{postgres.database}'") == "2"
        await second.close()
        assert postgres.server.sql(f"{HOLDS}'{postgres.database}'") == "1"

    async def test_claim_that_was_lost_is_taken_anew_before_the_next_charge(
        self, ledger: Ledger, postgres: PostgresBackend, caplog: pytest.LogCaptureFixture
    ) -> None:
        await ledger.claim()
        cut_sessions(postgres)
        await journal(ledger, "t1")
        assert "the claim on the ledger was lost" in caplog.text
        assert postgres.server.sql(f"{HOLDS}'{postgres.database}'") == "1"

    async def test_no_charge_begins_while_somebody_else_has_the_claim(
        self, ledger: Ledger, postgres: PostgresBackend
    ) -> None:
        await ledger.claim()
        cut_sessions(postgres)
        usurper = await Ledger.open(postgres.url, node="a")
        await usurper.claim()
        for _ in range(2):
            with pytest.raises(LedgerError, match="another engine works"):
                await journal(ledger, "t1")
        assert await ledger.open_attempts() == []
        # What is under way is still written down.
        await journal(usurper, "t2")
        assert await ledger.record_outcome("t2", ConnectorAnswer(outcome=Outcome.SUCCEEDED))
        await usurper.close()
        await journal(ledger, "t1")

    async def test_charges_at_once_check_the_claim_one_after_the_other(
        self, ledger: Ledger, postgres: PostgresBackend
    ) -> None:
        await ledger.claim()
        cut_sessions(postgres)
        await asyncio.gather(*(journal(ledger, f"t{number}") for number in range(30)))
        assert len(await ledger.open_attempts()) == 30
        assert postgres.server.sql(f"{HOLDS}'{postgres.database}'") == "1"


class TestTransactions:
    async def test_connection_that_is_cut_in_the_middle_rolls_back_and_the_next_one_works(
        self, ledger: Ledger, postgres: PostgresBackend
    ) -> None:
        reached, go_on = asyncio.Event(), asyncio.Event()

        async def work(connection: AsyncConnection) -> None:
            await connection.execute(update(PAYMENTS).values(form="half"))
            reached.set()
            await go_on.wait()
            await connection.execute(update(PAYMENTS).values(form="whole"))

        task = asyncio.create_task(ledger._database.run(work))
        await reached.wait()
        cut_sessions(postgres, "state = 'idle in transaction'")
        go_on.set()
        with pytest.raises(LedgerError, match=r"connection was lost; check that the server runs|terminating"):
            await task
        assert [row["form"] for row in await ledger.recent_payments(5)] == ["f"]
        await start(ledger, "p2")

    async def test_idle_connections_that_were_cut_are_replaced_unnoticed(
        self, ledger: Ledger, postgres: PostgresBackend
    ) -> None:
        await asyncio.gather(*(ledger.recent_payments(1) for _ in range(5)))
        cut_sessions(postgres)
        await start(ledger, "p2")
        assert len(await ledger.recent_payments(5)) == 2

    async def test_lock_of_another_is_waited_for_no_longer_than_the_busy_timeout(
        self, postgres: PostgresBackend, ledger: Ledger
    ) -> None:
        hurried = await Ledger.open(postgres.url, busy_timeout_s=HURRY_S)

        async def hold(connection: AsyncConnection) -> None:
            await connection.execute(text("LOCK TABLE charge_attempts IN ACCESS EXCLUSIVE MODE"))
            with pytest.raises(LedgerError, match=r"a lock was not given in time; .*pg_locks"):
                await journal(hurried, "t1")

        await ledger._database.run(hold)
        await journal(hurried, "t1")
        await hurried.close()

    async def test_deadlock_is_resolved_by_doing_one_of_the_two_again(self, ledger: Ledger) -> None:
        await start(ledger, "p2")
        both = asyncio.Barrier(2)
        tries: list[str] = []

        async def swap(first: str, second: str) -> None:
            async def work(connection: AsyncConnection) -> None:
                tries.append(first)
                await connection.execute(text("SET LOCAL deadlock_timeout = '50ms'"))
                await connection.execute(update(PAYMENTS).where(PAYMENTS.c.payment_id == first).values(form=first))
                if len(tries) <= 2:
                    await both.wait()
                await connection.execute(update(PAYMENTS).where(PAYMENTS.c.payment_id == second).values(form=first))

            await ledger._database.run(work)

        await asyncio.gather(swap("p1", "p2"), swap("p2", "p1"))
        assert len(tries) == 3
        assert len({row["form"] for row in await ledger.recent_payments(5)}) == 1

    async def test_more_transactions_than_connections_wait_and_are_told_when_it_takes_too_long(
        self, postgres: PostgresBackend
    ) -> None:
        ledger = await Ledger.open(postgres.url, busy_timeout_s=HURRY_S)
        go_on = asyncio.Event()

        async def hold(connection: AsyncConnection) -> None:
            await connection.execute(text("SELECT 1"))
            await go_on.wait()

        holders = [asyncio.create_task(ledger._database.run(hold)) for _ in range(SERVER_CONNECTIONS)]
        with pytest.raises(LedgerError, match="slower than what is to be written"):
            await start(ledger, "late")
        go_on.set()
        await asyncio.gather(*holders)
        await start(ledger, "late")
        await ledger.close()

    async def test_more_transactions_than_connections_share_them(self, ledger: Ledger) -> None:
        found = await asyncio.gather(*(ledger.attempt("x") for _ in range(3 * SERVER_CONNECTIONS)))
        assert found == [None] * (3 * SERVER_CONNECTIONS)

    async def test_server_without_a_free_connection_says_so(self, postgres: PostgresBackend) -> None:
        postgres.execute("ALTER ROLE paytone CONNECTION LIMIT -1; CREATE ROLE few LOGIN CONNECTION LIMIT 0")
        try:
            with pytest.raises(LedgerError, match=r"connection"):
                await Ledger.open(postgres.url.replace("paytone@", "few@"))
        finally:
            postgres.execute("DROP ROLE few")

    async def test_database_and_user_that_do_not_exist_are_named(self, postgres: PostgresBackend) -> None:
        with pytest.raises(LedgerError, match="the database does not exist; create it"):
            await Ledger.open(postgres.url.replace(postgres.database, "nowhere"))
        with pytest.raises(LedgerError, match="refuses the user"):
            await Ledger.open(postgres.url.replace("paytone@", "nobody_known@"))

    async def test_user_without_rights_is_told_what_to_grant(self, postgres: PostgresBackend) -> None:
        postgres.execute("CREATE ROLE poor LOGIN")
        try:
            with pytest.raises(LedgerError, match=r"may not do that; grant it the schema"):
                await Ledger.open(postgres.url.replace("paytone@", "poor@"))
        finally:
            postgres.execute("DROP ROLE poor")

    async def test_server_that_is_not_there(self) -> None:
        with pytest.raises(LedgerError, match=r"cannot be reached: .*check ledger.url"):
            await Ledger.open("postgresql+asyncpg://paytone:hidden@/x?host=/nonexistent")
