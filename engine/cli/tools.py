"""Commands beside the engine: doctor, detect, bench."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from dsp.dtmf import PROFILES
from engine.cli.app import ConfigOption, app, bench, fail, load_config
from engine.detect import AudioFileError, detect_file
from engine.doctor import examine
from engine.errors import ConfigError
from engine.log import set_up

__all__ = ("bench_dtmf", "detect", "doctor")


@app.command()
def doctor(config: ConfigOption = None) -> None:
    """Check ports, audio, speech, database and permissions, and say the remedy of what is wrong."""
    settings = load_config(config)
    set_up("error", "text")
    findings = asyncio.run(examine(settings))
    for finding in findings:
        typer.echo(f"{finding.verdict:<5} {finding.subject}: {finding.detail}")
        if finding.remedy:
            typer.echo(f"      remedy: {finding.remedy}")
    raise typer.Exit(1 if any(finding.verdict == "bad" for finding in findings) else 0)


@app.command()
def detect(
    files: Annotated[list[Path], typer.Argument(help="Audio files: whatever soundfile reads, any rate.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    profile: Annotated[str, typer.Option(help="What counts as a key: " + ", ".join(PROFILES) + ".")] = ("itu_q24"),
    channel: Annotated[
        int | None, typer.Option(min=1, help="Only this channel; without it all are mixed.", show_default=False)
    ] = None,
) -> None:
    """Print the DTMF digits in audio files, one a line: seconds of its start, digit."""
    if profile not in PROFILES:
        fail(ConfigError(f"no profile {profile!r}", remedy="one of " + ", ".join(PROFILES)))
    status = 0
    for path in files:
        try:
            for found in detect_file(path, profile=PROFILES[profile], channel=channel):
                if as_json:
                    typer.echo(json.dumps({"file": str(path)} | asdict(found)))
                else:
                    typer.echo(f"{found.start_s:.3f} {found.digit}")
        except AudioFileError as error:
            typer.echo(f"paytone: {error}", err=True)
            status = 2
    raise typer.Exit(status)


@bench.command(
    name="dtmf", context_settings={"allow_extra_args": True, "ignore_unknown_options": True}, add_help_option=False
)
def bench_dtmf(context: typer.Context) -> None:
    """Measure the DTMF detector beside others; its own --help tells the options."""
    # Loaded here only: no other command needs it.
    from benchmarks.dtmf.cli import main as run

    raise typer.Exit(run(context.args, prog="paytone bench dtmf"))
