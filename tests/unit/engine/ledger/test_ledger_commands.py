"""``paytone payments``, ``calls`` and ``erase`` as an operator uses them."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import tracemalloc
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from engine.cli import app
from engine.cli.listing import age, moment, safe_cell
from engine.ledger import Ledger
from engine.pay.submission import ConnectorAnswer, Outcome
from tests.support.ledger_backend import Backend, SqliteBackend
from tests.support.payments import VISA, SlidingClock, submission_of

NUMBER = "+15550100777"


class Operator:
    """Runs commands with a configuration that names the backend."""

    def __init__(self, backend: Backend, directory: Path) -> None:
        self.backend = backend
        self._config = directory / "paytone.toml"
        self._config.write_text(f'[ledger]\nurl = "{backend.url}"\n')

    def add(self, toml: str) -> None:
        """Add to the configuration."""
        self._config.write_text(self._config.read_text() + toml)

    def run(self, command: str, *arguments: str, status: int = 0) -> Result:
        """Run a command that ends with this status."""
        result = CliRunner().invoke(app, [command, "--config", str(self._config), *arguments])
        assert result.exit_code == status, result.output
        return result


@pytest.fixture
def operator(backend: Backend, tmp_path: Path) -> Operator:
    return Operator(backend, tmp_path)


@pytest.fixture
def filled(backend: Backend, operator: Operator) -> Operator:
    run(fill(backend.url))
    return operator


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


async def fill(url: str) -> None:
    """Write a charged payment, a declined one a day later, and one of which nobody knows on the third day."""
    clock = SlidingClock()
    ledger = await Ledger.open(url, clock=clock)
    for name, outcome in (("a", Outcome.SUCCEEDED), ("b", Outcome.DECLINED), ("c", Outcome.UNKNOWN)):
        await ledger.record_call_start(f"call-{name}", sip_call_id="x", caller=NUMBER, dialled="pay", form="gift")
        await ledger.start_payment(
            f"pay-{name}", call_id=f"call-{name}", form="gift", operation="charge", amount="10.55", currency="usd"
        )
        await ledger.journal_attempt(f"pay-{name}", submission_of(transaction_id=f"t-{name}"), "gw")
        answer = ConnectorAnswer(outcome=outcome, charge_id="ch_1" if outcome is Outcome.SUCCEEDED else "")
        await ledger.record_outcome(f"t-{name}", answer)
        await ledger.finish_payment(
            f"pay-{name}",
            result="success" if outcome is Outcome.SUCCEEDED else "payment-connector-error",
            card_number="************4242",
            card_type="visa",
            charge_id=answer.charge_id,
            error_message='=HYPERLINK("http://evil.example")' if name == "b" else "",
        )
        await ledger.record_call_end(f"call-{name}", cause="bye")
        clock.now += timedelta(days=1)
    await ledger.close()


# The queries themselves are tested on both.
@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
class TestPayments:
    def test_table_is_for_people(self, filled: Operator) -> None:
        lines = filled.run("payments").stdout.splitlines()
        assert lines[0].split("  ")[0] == "STARTED (UTC)"
        assert [line.split()[-1] for line in lines[1:]] == ["pay-c", "pay-b", "pay-a"]
        assert "2030-01-02 03:04:05  success" in lines[3]
        for word in ("succeeded", "10.55 usd", "visa 4242", "gw", "ch_1"):
            assert word in lines[3]
        assert lines[1].index("unknown") == lines[3].index("succeeded") == lines[0].index("OUTCOME")

    def test_json_has_every_field_and_utc_times(self, filled: Operator) -> None:
        rows = [json.loads(line) for line in filled.run("payments", "--json").stdout.splitlines()]
        assert [row["payment_id"] for row in rows] == ["pay-c", "pay-b", "pay-a"]
        assert rows[2]["started_at"] == "2030-01-02T03:04:05Z"
        assert (rows[2]["connector"], rows[2]["attempts"], rows[2]["outcome"]) == ("gw", 1, "succeeded")
        assert (rows[2]["card_number"], rows[2]["direction"]) == ("************4242", "in")

    def test_csv_is_rfc_4180_and_safe_in_a_spreadsheet(self, filled: Operator) -> None:
        text = filled.run("payments", "--csv").stdout_bytes.decode()
        assert text.count("\r\n") == 4
        assert text.replace("\r\n", "").count("\n") == 0
        rows = list(csv.DictReader(io.StringIO(text, newline="")))
        assert rows[1]["error_message"] == '\'=HYPERLINK("http://evil.example")'
        assert rows[2]["charge_id"] == "ch_1"

    @pytest.mark.parametrize(
        ("arguments", "found"),
        [
            (["--since", "2030-01-03"], ["pay-c", "pay-b"]),
            (["--until", "2030-01-03T04:00"], ["pay-b", "pay-a"]),
            (["--since", "2030-01-03T03:04:05Z", "--until", "2030-01-04T03:04:05+00:00"], ["pay-b"]),
            (["--result", "success"], ["pay-a"]),
            (["--call", "call-b"], ["pay-b"]),
            (["--limit", "1"], ["pay-c"]),
            (["--limit", "0"], ["pay-c", "pay-b", "pay-a"]),
            (["--result", "nonsense"], []),
        ],
    )
    def test_filters(self, filled: Operator, arguments: list[str], found: list[str]) -> None:
        output = filled.run("payments", "--json", *arguments).stdout
        assert [json.loads(line)["payment_id"] for line in output.splitlines()] == found

    def test_export_writes_a_whole_file_for_its_owner_and_replaces_none(self, filled: Operator, tmp_path: Path) -> None:
        target = tmp_path / "payments.csv"
        assert "3 row(s)" in filled.run("payments", "--csv", "--output", str(target)).stderr
        assert target.stat().st_mode & 0o777 == 0o600
        assert len(target.read_bytes().split(b"\r\n")) == 5
        assert "exists" in filled.run("payments", "--csv", "--output", str(target), status=1).stderr
        assert "cannot be written" in filled.run("payments", "--output", "/nonexistent/x", status=1).stderr
        assert sorted(path.name for path in tmp_path.iterdir() if "payments" in path.name) == ["payments.csv"]

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--since", "yesterday"], "no time"),
            (["--json", "--csv"], "exclude each other"),
            (["--settle", "t-c"], "needs --as charged"),
            (["--settle", "t-c", "--as", "charged"], "--note"),
            (["--settle", "t-c", "--as", "charged", "--note", "  "], "--note"),
        ],
    )
    def test_what_is_asked_for_wrongly_ends_with_status_2(
        self, filled: Operator, arguments: list[str], message: str
    ) -> None:
        assert message in filled.run("payments", *arguments, status=2).stderr

    def test_words_of_a_stranger_give_the_terminal_no_orders(self, backend: Backend, operator: Operator) -> None:
        async def write() -> None:
            ledger = await Ledger.open(backend.url)
            await ledger.record_call_start("c", sip_call_id="x", caller="\x1b[2J\nevil", dialled="p", form="f")
            await ledger.close()

        run(write())
        output = operator.run("calls").stdout
        assert "\x1b" not in output
        assert len(output.splitlines()) == 2

    def test_no_number_that_must_be_masked_is_ever_listed(self, filled: Operator) -> None:
        for command in (["payments"], ["payments", "--unknown"], ["calls"]):
            for layout in ([], ["--json"], ["--csv"]):
                assert VISA not in filled.run(*command, *layout).output


def test_a_ledger_that_is_not_there_is_named_and_not_made(tmp_path: Path) -> None:
    operator = Operator(SqliteBackend(tmp_path / "none.sqlite3"), tmp_path)
    assert "does not exist" in operator.run("payments", status=1).stderr
    assert not (tmp_path / "none.sqlite3").exists()


class TestUnknown:
    def test_list_says_what_to_look_for_and_what_to_do(self, filled: Operator) -> None:
        result = filled.run("payments", "--unknown")
        heading, line = result.stdout.splitlines()
        assert heading.startswith("TRANSACTION")
        for word in ("t-c", "gw", "10.55 usd", "unknown", "visa 4242", "call-c", "--settle"):
            assert word in line
        assert "paytone payments --settle TRANSACTION" in result.stderr

    def test_settling_is_written_with_who_when_and_why(self, filled: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SUDO_USER", "ann")
        settled = ["--settle", "t-c", "--as", "charged", "--note", "statement of May", "--charge", "ch_7"]
        assert "t-c: succeeded, settled by ann" in filled.run("payments", *settled).stdout
        assert filled.run("payments", "--unknown").stdout == ""
        row = json.loads(filled.run("payments", "--json", "--call", "call-c").stdout)
        assert (row["outcome"], row["result"]) == ("succeeded", "payment-connector-error")
        assert (row["settled_by"], row["settle_note"]) == ("ann", "statement of May")
        assert datetime.fromisoformat(row["settled_at"]) <= datetime.now(UTC)
        assert "is known: succeeded" in filled.run("payments", *settled, status=1).stderr

    def test_what_is_known_cannot_be_settled(self, filled: Operator) -> None:
        arguments = ["--as", "failed", "--note", "x"]
        assert "is known: succeeded" in filled.run("payments", "--settle", "t-a", *arguments, status=1).stderr
        assert "there is no attempt" in filled.run("payments", "--settle", "t-x", *arguments, status=1).stderr


class TestCallsAndErasure:
    def test_calls_are_listed(self, filled: Operator) -> None:
        lines = filled.run("calls").stdout.splitlines()
        assert [line.split()[-1] for line in lines] == ["CALL", "call-c", "call-b", "call-a"]
        assert NUMBER in lines[1]
        assert filled.run("calls", "--caller", "nobody").stdout == ""
        assert len(filled.run("calls", "--csv", "--caller", NUMBER).stdout.splitlines()) == 4

    def test_a_caller_is_erased_on_request(self, filled: Operator) -> None:
        assert "erased: 3 call(s), 3 payment(s)" in filled.run("erase", "--caller", NUMBER).stdout
        for command in ("calls", "payments"):
            output = filled.run(command, "--json").stdout
            assert NUMBER not in output
            assert "4242" not in output
        assert "erased" in filled.run("payments").stdout
        assert "10.55 usd" in filled.run("payments").stdout

    def test_one_call_is_erased(self, filled: Operator) -> None:
        assert "erased: 1 call(s), 1 payment(s)" in filled.run("erase", "--call", "call-a").stdout
        assert filled.run("calls", "--json").stdout.count(NUMBER) == 2

    def test_a_callers_recordings_go_with_their_data(self, backend: Backend, filled: Operator, tmp_path: Path) -> None:
        directory = tmp_path / "recordings"
        directory.mkdir()
        ids = {call: call * 32 for call in "abc"}

        async def write() -> None:
            ledger = await Ledger.open(backend.url)
            for call, recording in ids.items():
                (directory / f"RE{recording}.wav").write_bytes(b"audio")
                await ledger.recordings.begin(
                    recording, call_id=f"call-{call}", source="x", channels=1, file=f"RE{recording}.wav"
                )
                await ledger.recordings.finish(recording, status="completed")
            await ledger.close()

        run(write())
        assert "[recording] directory" in filled.run("erase", "--call", "call-a", status=2).stderr
        assert filled.run("calls", "--json").stdout.count(NUMBER) == 3, "nothing was erased"
        filled.add(f'[recording]\ndirectory = "{directory}"\n')
        assert "1 recording(s)" in filled.run("erase", "--call", "call-a").stdout
        assert {path.name for path in directory.iterdir()} == {f"RE{ids[call]}.wav" for call in "bc"}
        assert "2 recording(s)" in filled.run("erase", "--caller", NUMBER).stdout
        assert list(directory.iterdir()) == []

        async def read() -> None:
            ledger = await Ledger.open(backend.url)
            assert await ledger.recordings.page() == []
            await ledger.close()

        run(read())

    @pytest.mark.parametrize("arguments", [[], ["--caller", "x", "--call", "y"]])
    def test_one_of_both_is_wanted(self, filled: Operator, arguments: list[str]) -> None:
        assert "either --caller or --call" in filled.run("erase", *arguments, status=2).stderr

    def test_a_call_that_is_not_over_is_named(self, backend: Backend, operator: Operator) -> None:
        async def write() -> None:
            ledger = await Ledger.open(backend.url)
            await ledger.record_call_start("c-1", sip_call_id="x", caller=NUMBER, dialled="p", form="f")
            await ledger.close()

        run(write())
        assert "not over, left alone: c-1" in operator.run("erase", "--caller", NUMBER, status=1).stderr


class TestCells:
    @pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\tx", "\rx"])
    def test_what_a_spreadsheet_would_calculate_is_quoted(self, text: str) -> None:
        assert safe_cell(text) == f"'{text}"

    @pytest.mark.parametrize(("value", "cell"), [(None, ""), (True, "true"), (7, "7"), ("a=b", "a=b"), ("", "")])
    def test_everything_else_stays(self, value: object, cell: str) -> None:
        assert safe_cell(value) == cell

    def test_times_are_utc(self) -> None:
        assert safe_cell(moment("2026-11-21T18:30+05:30")) == "2026-11-21T13:00:00Z"
        assert moment("2026-11-21") == datetime(2026, 11, 21, tzinfo=UTC)

    @pytest.mark.parametrize(
        ("seconds", "text"), [(-5, "0s"), (45, "45s"), (720, "12m"), (12_000, "3h20m"), (367_200, "4d06h")]
    )
    def test_ages(self, seconds: int, text: str) -> None:
        now = datetime(2026, 11, 21, tzinfo=UTC)
        assert age(now, now - timedelta(seconds=seconds)) == text


def test_memory_of_an_export_does_not_grow_with_its_rows(tmp_path: Path) -> None:
    peaks = []
    for count in (2_000, 12_000):
        backend = SqliteBackend(tmp_path / f"{count}.sqlite3")

        async def create(url: str = backend.url) -> None:
            await (await Ledger.open(url)).close()

        run(create())
        backend.execute(
            f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})"
            " INSERT INTO calls (call_id, sip_call_id, caller, dialled, form, node, started_at)"
            " SELECT printf('c%06d', i), 'x', '+15550100777', 'pay', 'f', '', '2026-11-21 12:00:00.000000' FROM n;"
        )
        target = tmp_path / f"{count}.csv"
        tracemalloc.start()
        try:
            Operator(backend, tmp_path).run("calls", "--csv", "--output", str(target))
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
        with target.open("rb") as file:
            assert sum(1 for _ in file) == count + 1
    # Ten thousand rows of twenty columns would be some 15 MB more.
    assert peaks[1] - peaks[0] < 1_000_000, peaks
