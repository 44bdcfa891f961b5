"""The ledger takes any text of a stranger; a payment's outcome is its last attempt's, whatever comes in what order."""

from __future__ import annotations

import asyncio
import csv
import io

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.cli.listing import safe_cell
from engine.errors import LedgerError
from engine.ledger import Ledger
from engine.ledger.columns import storable
from engine.pay.submission import ConnectorAnswer, Outcome
from tests.support.payments import SlidingClock, submission_of

MEMORY = "sqlite+aiosqlite:///:memory:"
ANY_TEXT = st.text(st.characters(), max_size=300)
"With NUL, surrogates and all the rest."
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["journal", "answer", "reconcile", "settle"]),
        st.integers(0, 3),
        st.sampled_from(list(Outcome)),
    ),
    max_size=20,
)


@given(ANY_TEXT, ANY_TEXT, ANY_TEXT)
@settings(max_examples=30, deadline=None)
def test_any_text_of_a_peer_is_kept_as_far_as_it_can_be(caller: str, sip_call_id: str, cause: str) -> None:
    async def scenario() -> None:
        ledger = await Ledger.open(MEMORY, clock=SlidingClock())
        try:
            await ledger.record_call_start("c", sip_call_id=sip_call_id, caller=caller, dialled="p", form="f")
            await ledger.record_call_end("c", cause=cause)
            (row,) = [row async for row in ledger.export.calls()]
            assert row["caller"] == storable(caller)[:128]
            assert row["sip_call_id"] == storable(sip_call_id)[:255]
            assert row["cause"] == storable(cause)[:64]
        finally:
            await ledger.close()

    asyncio.run(scenario())


@given(ANY_TEXT)
@settings(deadline=None)
def test_what_is_storable_is_utf_8_without_nul_and_stays(text: str) -> None:
    kept = storable(text)
    assert b"\x00" not in kept.encode("utf-8")
    assert len(kept) == len(text)
    assert storable(kept) == kept


@given(STEPS)
@settings(max_examples=40, deadline=None)
def test_outcome_of_a_payment_is_that_of_its_last_attempt(steps: list[tuple[str, int, Outcome]]) -> None:
    """An answer of our own counts over everything; what was found out or settled only fills in what is not known."""

    async def scenario() -> None:
        ledger = await Ledger.open(MEMORY, clock=SlidingClock())
        expected: dict[str, Outcome | None] = {}
        try:
            await ledger.start_payment("p", call_id="c", form="f", operation="charge", amount="1", currency="usd")
            for step, number, outcome in steps:
                name = f"t{number}"
                known = expected.get(name)
                try:
                    if step == "journal":
                        await ledger.journal_attempt("p", submission_of(transaction_id=name), "gw")
                        expected[name] = None
                    elif step == "answer":
                        await ledger.record_outcome(name, ConnectorAnswer(outcome=outcome))
                        expected[name] = outcome
                    elif step == "reconcile":
                        wrote = await ledger.record_outcome(name, ConnectorAnswer(outcome=outcome), reconciled=True)
                        assert wrote == (name in expected and known in (None, Outcome.UNKNOWN))
                        if wrote:
                            expected[name] = outcome
                    else:
                        await ledger.settle(name, charged=outcome is Outcome.SUCCEEDED, by="ann", note="")
                        assert known is Outcome.UNKNOWN
                        expected[name] = Outcome.SUCCEEDED if outcome is Outcome.SUCCEEDED else Outcome.FAILED
                except LedgerError:
                    assert {
                        "journal": name in expected,
                        "answer": name not in expected,
                        "reconcile": False,
                        "settle": known is not Outcome.UNKNOWN,
                    }[step]
            (row,) = await ledger.recent_payments(5)
            last = list(expected)[-1] if expected else None
            assert row["attempts"] == len(expected)
            assert row["transaction_id"] == last
            assert row["outcome"] == (expected[last] if last else None)
            undecided = {name for name, outcome in expected.items() if outcome in (None, Outcome.UNKNOWN)}
            assert {found["transaction_id"] async for found in ledger.export.unknown()} == undecided
        finally:
            await ledger.close()

    asyncio.run(scenario())


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=20), min_size=1, max_size=5))
@settings(deadline=None)
def test_csv_comes_back_as_it_was_and_no_cell_is_a_formula(texts: list[str]) -> None:
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator="\r\n").writerow([safe_cell(text) for text in texts])
    (cells,) = list(csv.reader(io.StringIO(file.getvalue(), newline="")))
    assert [cell if cell == text else cell.removeprefix("'") for cell, text in zip(cells, texts, strict=True)] == texts
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in cells)
