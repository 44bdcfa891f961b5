"""What the commands share: the Typer application, reading the configuration, and how a command fails."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from engine.config import Config, load
from engine.errors import CallError, ConfigError
from engine.harden import harden_process
from engine.log import set_up

__all__ = ("ConfigOption", "app", "bench", "fail", "line", "load_config", "main", "prepare")

app = typer.Typer(
    name="paytone",
    help="Take payments by phone: a self-hosted SIP and RTP engine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # tracebacks with local variables are no place for what callers key
)

bench = typer.Typer(help="Measure against the standards and against others.", no_args_is_help=True)
app.add_typer(bench, name="bench")

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", help="TOML file; without it the embedded defaults serve on loopback.", show_default=False
    ),
]


def fail(error: Exception) -> NoReturn:
    """End the command with the error and its remedy: status 2 for what was asked for wrongly, else 1."""
    typer.echo(f"paytone: {error}", err=True)
    remedy = getattr(error, "remedy", "")
    if remedy:
        typer.echo(f"remedy: {remedy}", err=True)
    raise typer.Exit(2 if isinstance(error, ConfigError | CallError) else 1)


def load_config(path: Path | None) -> Config:
    """Return the configuration; end the command when it cannot be used."""
    try:
        return load(path)
    except ConfigError as error:
        fail(error)


def prepare(config: Config) -> None:
    """Do what every command that runs an engine needs before it: logging, hardening, directories of its own files."""
    set_up(config.log.level, config.log.format)
    harden_process()
    for text in _own_files(config):
        Path(text).parent.mkdir(parents=True, exist_ok=True, mode=0o700)


def _own_files(config: Config) -> list[str]:
    files = [c.database for c in config.connectors.values() if c.type == "sandbox"]
    _, _, path = config.ledger.url.partition(":///")
    if config.ledger.url.startswith("sqlite") and path:
        files.append(path)
    return files


def line(row: dict[str, Any]) -> str:
    """Return a record in one line, without what is empty."""
    return "  ".join(f"{key}={value}" for key, value in row.items() if value not in (None, ""))


def main() -> None:
    """Entry point of the ``paytone`` command."""
    app()
