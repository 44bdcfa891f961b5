"""The command that shows webhooks, and has dead ones delivered again."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from engine.cli.app import ConfigOption, app, fail, line, load_config
from engine.errors import ConfigError, Error
from engine.ledger import Ledger
from engine.log import set_up

__all__ = ("webhooks",)

ALL = "all"


@app.command()
def webhooks(
    config: ConfigOption = None,
    dead: Annotated[bool, typer.Option("--dead", help="Those that were given up, the newest first.")] = False,
    retry: Annotated[
        str, typer.Option(help="Deliver a dead one again: its number, or 'all'. A running engine does it in 30 s.")
    ] = "",
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """List webhooks that wait, or with --dead those that were given up; without queries and passwords of their URLs."""
    settings = load_config(config)
    set_up("error", "text")
    if retry and not dead:
        fail(ConfigError("only dead webhooks can be delivered again", where="--retry", remedy="write --dead --retry"))
    if retry not in ("", ALL) and not (retry.isascii() and retry.isdigit() and len(retry) < 19):
        fail(ConfigError(f"{retry!r} is no number", where="--retry", remedy="write a number of --dead's list, or all"))

    async def work() -> tuple[int, list[dict[str, Any]]]:
        ledger = await Ledger.open(settings.ledger.url)
        try:
            if not retry:
                return 0, await ledger.webhooks.listed(limit, dead=dead)
            give_up_at = datetime.now(UTC) + timedelta(seconds=settings.webhooks.give_up_s)
            return await ledger.webhooks.retry(None if retry == ALL else [int(retry)], give_up_at=give_up_at), []
        finally:
            await ledger.close()

    try:
        count, rows = asyncio.run(work())
    except Error as error:
        fail(error)
    if retry:
        typer.echo(f"{count} to be delivered again")
        if not count and retry != ALL:
            raise typer.Exit(1)
    for row in rows:
        typer.echo(json.dumps(row, default=str) if as_json else line(row))
