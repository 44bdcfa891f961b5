"""Commands that read what is written: payments, calls, erase, sandbox.

They work beside a running engine: lists neither migrate nor lock, settling and erasing are short transactions.
"""

from __future__ import annotations

import asyncio
import getpass
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from engine.cli.app import ConfigOption, app, fail, line, load_config
from engine.cli.listing import Layout, age, destination, moment, write_rows
from engine.connectors import SandboxGateway
from engine.errors import ConfigError, Error
from engine.ledger import Erased, Ledger
from engine.log import set_up
from engine.programs.recording_files import recording_path, unlink

__all__ = ("Settlement", "calls", "erase", "payments", "sandbox")

DEFAULT_LIMIT = 20
PAYMENT_COLUMNS = (
    *("payment_id", "call_id", "started_at", "finished_at", "direction", "form", "operation", "method", "amount"),
    *(
        "currency",
        "result",
        "outcome",
        "attempts",
        "connector",
        "transaction_id",
        "charge_id",
        "token_type",
        "token_id",
    ),
    *("profile_id", "card_type", "card_number", "account_type", "account_number", "error_code", "error_message"),
    *("reconciled", "settled_by", "settled_at", "settle_note", "node", "erased_at"),
)
CALL_COLUMNS = (
    *("call_id", "sip_call_id", "started_at", "ended_at", "direction", "caller", "dialled", "form", "cause", "codec"),
    *("srtp", "packets_in", "packets_lost", "packets_late", "packets_discarded", "jitter_ms", "round_trip_ms", "mos"),
    *("node", "erased_at"),
)
ATTEMPT_COLUMNS = (
    *("transaction_id", "payment_id", "call_id", "connector", "operation", "method", "amount", "currency", "card_type"),
    *("card_number", "created_at", "outcome", "outcome_at", "error_code", "error_message", "node"),
)

_T = TypeVar("_T")

SinceOption = Annotated[str, typer.Option(help="Begun then or later: 2026-11-21 or 2026-11-21T18:30+01:00; else UTC.")]
UntilOption = Annotated[str, typer.Option(help="Begun before then.")]
CallOption = Annotated[str, typer.Option("--call", help="Of this call.")]
LimitOption = Annotated[
    int | None,
    typer.Option(min=0, help="How many; 0: all. [default: 20, with --output all]", show_default=False),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]
CsvOption = Annotated[bool, typer.Option("--csv", help="CSV (RFC 4180), safe to open in a spreadsheet.")]
OutputOption = Annotated[Path | None, typer.Option(help="Write into this new file.", show_default=False)]


class Settlement(StrEnum):
    """What the gateway's books say."""

    CHARGED = "charged"
    FAILED = "failed"


@app.command()
def sandbox(
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what the built-in test gateway received, masked."""
    for name, settings in load_config(config).connectors.items():
        if settings.type != "sandbox":
            continue
        if not Path(settings.database).exists():
            typer.echo(f"{name}: nothing yet ({settings.database} does not exist)", err=True)
            continue
        for row in SandboxGateway.read(settings.database):
            typer.echo(json.dumps(row) if as_json else line(row))


@app.command()
def payments(
    config: ConfigOption = None,
    since: SinceOption = "",
    until: UntilOption = "",
    result: Annotated[str, typer.Option(help="With this result, such as success or payment-connector-error.")] = "",
    call_id: CallOption = "",
    unknown: Annotated[
        bool, typer.Option("--unknown", help="Attempts of which nobody knows whether they charged, and what to do.")
    ] = False,
    limit: LimitOption = None,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
    output: OutputOption = None,
    settle: Annotated[str, typer.Option(help="Settle this unknown transaction; needs --as and --note.")] = "",
    settle_as: Annotated[
        Settlement | None, typer.Option("--as", help="What the gateway's books say.", show_default=False)
    ] = None,
    note: Annotated[str, typer.Option(help="Where it was found, for those who ask later.")] = "",
    charge: Annotated[str, typer.Option(help="The gateway's identity of the charge, when it was charged.")] = "",
) -> None:
    """List the ledger's payments, masked, the newest first; or settle one whose outcome nobody knows."""
    if settle:
        if settle_as is None or not note.strip():
            fail(ConfigError("--settle needs --as charged or --as failed, and --note with where that was found"))
        _settle(config, settle, settle_as, note, charge)
        return
    layout = _layout(as_json, as_csv)
    span = _span(since, until)
    count = _limit(limit, output)

    def rows(ledger: Ledger) -> AsyncIterator[dict[str, Any]]:
        if unknown:
            return ledger.export.unknown(**span, call_id=call_id, limit=count)
        return ledger.export.payments(**span, result=result, call_id=call_id, limit=count)

    columns, table = (ATTEMPT_COLUMNS, _attempt_table()) if unknown else (PAYMENT_COLUMNS, _PAYMENT_TABLE)
    found = _list(config, rows, output, layout, columns, table)
    if unknown and found and layout is Layout.TABLE:
        typer.echo(
            "An unknown one may have charged: look for its transaction in the books of the gateway, then\n"
            "  paytone payments --settle TRANSACTION --as charged|failed --note 'where it was found'\n"
            "An open one waits for its answer; when its engine is gone, that engine's next start finds out.",
            err=True,
        )


@app.command()
def calls(
    config: ConfigOption = None,
    since: SinceOption = "",
    until: UntilOption = "",
    call_id: CallOption = "",
    caller: Annotated[str, typer.Option(help="From this caller.")] = "",
    limit: LimitOption = None,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
    output: OutputOption = None,
) -> None:
    """List the ledger's calls, the newest first."""
    layout = _layout(as_json, as_csv)
    span = _span(since, until)
    count = _limit(limit, output)

    def rows(ledger: Ledger) -> AsyncIterator[dict[str, Any]]:
        return ledger.export.calls(**span, call_id=call_id, caller=caller, limit=count)

    _list(config, rows, output, layout, CALL_COLUMNS, _CALL_TABLE)


@app.command()
def erase(
    config: ConfigOption = None,
    caller: Annotated[str, typer.Option(help="Everything of this number, with or without its plus sign.")] = "",
    call_id: CallOption = "",
) -> None:
    """Replace what says who a caller is; the facts of money stay for accounting (docs/ledger.md)."""
    if bool(caller) == bool(call_id):
        fail(ConfigError("erase needs either --caller or --call"))

    directory = load_config(config).recording.directory

    async def work(ledger: Ledger) -> tuple[int, Erased]:
        # Their voice first: were it left when this is cut short, nobody would find it by the number again.
        recordings = await ledger.removal.recordings(call_id=call_id, caller=caller)
        await _delete_recordings(ledger, directory, recordings)
        erased = await (ledger.removal.erase_caller(caller) if caller else ledger.removal.erase_call(call_id))
        return len(recordings), erased

    recordings, erased = _with_ledger(config, work)
    typer.echo(f"erased: {erased.calls} call(s), {erased.payments} payment(s), {recordings} recording(s)")
    if erased.running:
        typer.echo(f"not over, left alone: {', '.join(erased.running)}; repeat it when they are", err=True)
        raise typer.Exit(1)


async def _delete_recordings(ledger: Ledger, directory: str, recordings: Sequence[str]) -> None:
    if recordings and not directory:
        raise ConfigError(
            "there are recordings to delete, and no directory that they are in",
            where="[recording] directory",
            remedy="name the directory that they were written to; nothing was erased",
        )
    for recording in recordings:
        try:
            unlink(recording_path(Path(directory).expanduser().absolute(), recording))
        except OSError as error:
            raise ConfigError(
                f"a recording cannot be deleted: {error.strerror}",
                where="[recording] directory",
                remedy="run this as the engine's user; nothing else was erased",
            ) from None
        await ledger.recordings.remove(recording)


def _settle(config: Path | None, transaction: str, settle_as: Settlement, note: str, charge: str) -> None:
    by = _operator()

    async def work(ledger: Ledger) -> Any:
        charged = settle_as is Settlement.CHARGED
        return await ledger.settle(transaction, charged=charged, by=by, note=note, charge_id=charge)

    attempt = _with_ledger(config, work)
    typer.echo(f"{attempt.transaction_id}: {attempt.outcome}, settled by {by}")


def _operator() -> str:
    """Return who gives this order."""
    try:
        return os.environ.get("SUDO_USER", "") or getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return f"uid {os.getuid()}"


def _with_ledger(config: Path | None, work: Callable[[Ledger], Awaitable[_T]], *, read_only: bool = False) -> _T:
    """Do something with the ledger as it is; end the command when that cannot be done."""
    settings = load_config(config)
    set_up("error", "text")

    async def run() -> _T:
        ledger = await Ledger.open(settings.ledger.url, migrate=False, read_only=read_only)
        try:
            return await work(ledger)
        finally:
            await ledger.close()

    try:
        return asyncio.run(run())
    except Error as error:
        fail(error)


def _list(
    config: Path | None,
    rows: Callable[[Ledger], AsyncIterator[dict[str, Any]]],
    output: Path | None,
    layout: Layout,
    columns: tuple[str, ...],
    table: Mapping[str, Callable[[Mapping[str, Any]], str]],
) -> int:
    async def work(ledger: Ledger) -> int:
        with destination(output) as file:
            return await write_rows(rows(ledger), file, layout, columns=columns, table=table)

    count = _with_ledger(config, work, read_only=True)
    if output is not None:
        typer.echo(f"{count} row(s) in {output}", err=True)
    return count


def _layout(as_json: bool, as_csv: bool) -> Layout:
    if as_json and as_csv:
        fail(ConfigError("--json and --csv exclude each other"))
    return Layout.JSON if as_json else Layout.CSV if as_csv else Layout.TABLE


def _span(since: str, until: str) -> dict[str, Any]:
    try:
        return {name: moment(text) for name, text in (("since", since), ("until", until)) if text}
    except ValueError as error:
        fail(ConfigError(str(error)))


def _limit(limit: int | None, output: Path | None) -> int | None:
    if limit is None:
        return None if output is not None else DEFAULT_LIMIT
    return limit or None


def _time(value: Any) -> str:
    return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}" if value is not None else ""


def _money(row: Mapping[str, Any]) -> str:
    return f"{row['amount']} {row['currency']}".strip()


def _payer(row: Mapping[str, Any]) -> str:
    """Return brand and last digits, without the mask's stars."""
    if row["erased_at"] is not None:
        return "erased"
    number = row["card_number"] or row["account_number"] or ""
    kind = row["card_type"] or row["account_type"] or ""
    return f"{kind} {number.lstrip('*')}".strip()


def _outcome(row: Mapping[str, Any]) -> str:
    if row["outcome"] is None:
        return "open" if row["attempts"] else "-"
    return f"{row['outcome']} (settled)" if row["settled_by"] else str(row["outcome"])


_PAYMENT_TABLE: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "STARTED (UTC)": lambda row: _time(row["started_at"]),
    "RESULT": lambda row: row["result"] or "under way",
    "OUTCOME": _outcome,
    "AMOUNT": _money,
    "PAID WITH": _payer,
    "CONNECTOR": lambda row: row["connector"] or "",
    "CHARGE OR TOKEN": lambda row: row["charge_id"] or row["token_id"] or "",
    "ERROR": lambda row: row["error_code"] or "",
    "CALL": lambda row: row["call_id"],
    "PAYMENT": lambda row: row["payment_id"],
}
_CALL_TABLE: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "STARTED (UTC)": lambda row: _time(row["started_at"]),
    "LASTED": lambda row: age(row["ended_at"], row["started_at"]) if row["ended_at"] else "under way",
    "WAY": lambda row: row["direction"] or "in",
    "CALLER": lambda row: row["caller"],
    "DIALLED": lambda row: row["dialled"],
    "FORM": lambda row: row["form"],
    "CAUSE": lambda row: row["cause"] or "",
    "CODEC": lambda row: row["codec"] or "",
    "MOS": lambda row: "" if row["mos"] is None else f"{row['mos']:.1f}",
    "CALL": lambda row: row["call_id"],
}


def _attempt_table() -> dict[str, Callable[[Mapping[str, Any]], str]]:
    now = datetime.now(UTC)
    return {
        "TRANSACTION": lambda row: row["transaction_id"],
        "CONNECTOR": lambda row: row["connector"],
        "AMOUNT": _money,
        "AGE": lambda row: age(now, row["created_at"]),
        "STATE": lambda row: row["outcome"] or "open",
        "CARD": lambda row: f"{row['card_type']} {row['card_number'].lstrip('*')}".strip(),
        "NODE": lambda row: row["node"],
        "CALL": lambda row: row["call_id"],
        "WHAT TO DO": lambda row: (
            "look into the gateway's books, then --settle" if row["outcome"] else "wait, or start its engine"
        ),
    }
