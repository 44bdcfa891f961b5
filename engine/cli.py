"""The ``paytone`` command."""

from __future__ import annotations

import asyncio
import gc
import json
import signal
import sys
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
import uvloop

from dsp.dtmf import PROFILES
from engine.config import Config, load, secret_from_environment
from engine.connectors import SandboxGateway
from engine.demo import Demo
from engine.detect import AudioFileError, detect_file
from engine.doctor import examine
from engine.errors import CallError, ConfigError, Error
from engine.events import (
    CallAnswered,
    CallEnded,
    CallFailed,
    CallOutcome,
    CallRinging,
    EngineEvent,
    PaymentFinished,
)
from engine.harden import harden_process
from engine.ledger import Ledger
from engine.log import set_up
from engine.net.dialling import OutboundCall
from engine.redact import redact_text
from engine.service import Engine
from engine.softphone.backend import BackendName
from engine.softphone.client import Softphone
from engine.softphone.protocol import CallState, KeyMode
from prompts.errors import PromptError
from sip.crypto_attribute import SrtpPolicy
from sip.payload_types import CODECS

__all__ = ("main",)

RING_TIMEOUT_S = 60.0
LONGEST_CALL_S = 24 * 3600.0
DIAL_STATUS = {
    CallOutcome.BUSY: 3,
    CallOutcome.NO_ANSWER: 4,
    CallOutcome.REFUSED: 5,
    CallOutcome.NOT_FOUND: 5,
    CallOutcome.NO_MEDIA: 5,
    CallOutcome.UNREACHABLE: 6,
    CallOutcome.CANCELLED: 7,
}
"Exit status of `paytone dial`."
COLLECT_AFTER = (10_000, 20, 50)
"""Objects made and not released before the youngest are looked at, and how many such passes before the older ones are.
A call in progress has some five hundred, so that the usual 700 would mean a pass or two for each."""

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


def _fail(error: Exception) -> NoReturn:
    typer.echo(f"paytone: {error}", err=True)
    remedy = getattr(error, "remedy", "")
    if remedy:
        typer.echo(f"remedy: {remedy}", err=True)
    raise typer.Exit(2 if isinstance(error, ConfigError | CallError) else 1)


def _load(path: Path | None) -> Config:
    try:
        return load(path)
    except ConfigError as error:
        _fail(error)


def _prepare(config: Config) -> None:
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


@app.command()
def serve(
    config: ConfigOption = None,
) -> None:
    """Answer calls and take payments until Ctrl-C, which drains: running calls end first."""
    settings = _load(config)
    _prepare(settings)
    try:
        uvloop.run(_serve(settings))
    except (Error, PromptError) as error:
        _fail(error)


async def _serve(config: Config) -> None:
    engine = Engine(config)
    await engine.start()
    _spare_collector()
    typer.echo(_how_to_dial(engine))
    await _until_stopped(engine)


def _spare_collector() -> None:
    """Keep the garbage collector's pauses out of calls.

    A call leaves no cycles behind (``tests/unit/sip/test_garbage.py``), so that there is little to be found, and each
    full pass stops all signalling while it looks at every object. What was built at the start is not looked at again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)


async def _until_stopped(engine: Engine) -> None:
    """Wait for SIGINT or SIGTERM and drain; a second one ends at once the calls that have no payment under way."""
    stop = asyncio.Event()
    again = asyncio.Event()

    def asked() -> None:
        (again if stop.is_set() else stop).set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked)
    await stop.wait()
    if engine.active_calls:
        typer.echo(f"draining {engine.active_calls} call(s); Ctrl-C again hangs up", err=True)
    drain = asyncio.ensure_future(engine.stop())
    hurry = asyncio.ensure_future(again.wait())
    await asyncio.wait({drain, hurry}, return_when=asyncio.FIRST_COMPLETED)
    if not drain.done():
        engine.hang_up_all()
    hurry.cancel()
    await drain


def _how_to_dial(engine: Engine) -> str:
    """Return what a person needs to know to call this engine."""
    host, port = engine.sip_host, engine.sip_port
    shown = f"[{host}]" if ":" in host else host
    routes = [route.to for route in engine.config.routes]
    lines = [f"paytone listens on sip:{shown}:{port}."]
    lines += [f"  dial  sip:{user}@{shown}:{port}" for user in routes if user != "*"]
    if engine.config.accounts:
        lines += [f"  registered at {a.registrar} as {a.user}" for a in engine.config.accounts.values()]
    lines += [
        "From a softphone on this machine (Linphone, baresip): dial one of these addresses; no account is needed.",
        f"From a terminal:  paytone call sip:{routes[0] if routes else 'pay'}@{shown}:{port}",
        "On a PBX: add an extension, then in a file of your own",
        '  [account.pbx]  registrar = "sip:PBX-ADDRESS"  user = "EXTENSION"  password_env = "PBX_PASSWORD"',
        '  [sip]  listen = "THIS-MACHINE\'S-ADDRESS:5060"   and:  paytone serve --config paytone.toml',
        "Ctrl-C ends it.",
    ]
    return "\n".join(lines)


@app.command()
def demo(
    config: ConfigOption = None,
    once: Annotated[
        bool, typer.Option("--once", help="Exit after the two calls: status 0 only when both paid.")
    ] = False,
) -> None:
    """Start the engine, let the softphone call it and pay twice (in-band tones, RFC 4733), then keep serving."""
    settings = _load(config)
    settings = settings.model_copy(update={"log": settings.log.model_copy(update={"level": "warning"})})
    _prepare(settings)
    try:
        status = uvloop.run(_demo(settings, once=once))
    except (Error, PromptError) as error:
        _fail(error)
    raise typer.Exit(status)


async def _demo(config: Config, *, once: bool) -> int:
    engine = Engine(config)
    await engine.start()
    typer.echo(
        f"paytone {_version()} is up: SIP on udp:{engine.sip_host}:{engine.sip_port}, sandbox gateway, SQLite ledger.\n"
    )
    try:
        paid = await Demo(engine, typer.echo).run()
    except BaseException:
        await engine.stop(drain_s=0)
        raise
    if once:
        await engine.stop()
        return 0 if paid else 1
    typer.echo("\n" + _how_to_dial(engine))
    await _until_stopped(engine)
    return 0 if paid else 1


@app.command()
def call(
    uri: Annotated[str, typer.Argument(help="Whom to call, such as sip:pay@127.0.0.1:5060.")],
    mode: Annotated[KeyMode, typer.Option(help="How keys are sent.")] = KeyMode.TELEPHONE_EVENT,
    record: Annotated[Path | None, typer.Option(help="Record what is heard into this WAV file.")] = None,
    play: Annotated[Path | None, typer.Option(help="Speak this WAV file into the call.")] = None,
    audio: Annotated[bool, typer.Option(help="Use microphone and loudspeaker (PyAudio).")] = False,
    registrar: Annotated[str, typer.Option(help="Register here first, such as sip:pbx.example.com.")] = "",
    user: Annotated[str, typer.Option(help="User name at the registrar.")] = "",
    password_env: Annotated[str, typer.Option(help="Environment variable with the password.")] = "",
    backend: Annotated[BackendName, typer.Option(help="SIP stack of the softphone.")] = BackendName.AUTO,
    srtp: Annotated[SrtpPolicy, typer.Option(help="Encrypted media (SDES), on our own stack.")] = SrtpPolicy.OFF,
    codec: Annotated[str, typer.Option(help="Offer this codec only, on our own stack: " + ", ".join(CODECS))] = "",
) -> None:
    """Call with the built-in softphone: lines on standard input are keyed (digits * #), an empty line hangs up."""
    set_up("warning", "text")
    if codec not in ("", *CODECS):
        _fail(ConfigError(f"no codec {codec!r}", remedy="one of " + ", ".join(CODECS)))
    phone = Softphone(backend=backend, audio=audio, srtp=srtp, codec=codec)
    try:
        asyncio.run(_call(phone, uri, mode, record, play, registrar, user, password_env))
    except Error as error:
        _fail(error)


async def _call(
    softphone: Softphone,
    uri: str,
    mode: KeyMode,
    record: Path | None,
    play: Path | None,
    registrar: str,
    user: str,
    password_env: str,
) -> None:
    async with softphone as phone:
        if registrar:
            password = secret_from_environment(password_env, "--password-env") if password_env else ""
            await phone.register(registrar, user, password)
        if record:
            await phone.record(str(record))
        await phone.call(uri)
        await phone.wait_state(CallState.CONFIRMED, timeout_s=RING_TIMEOUT_S)
        typer.echo("connected; type keys and Enter, an empty line hangs up", err=True)
        over = asyncio.ensure_future(phone.wait_state(CallState.DISCONNECTED, timeout_s=LONGEST_CALL_S))
        if play:
            await phone.play(str(play))
        lines = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
        while not over.done():
            line = asyncio.ensure_future(lines.readline())
            await asyncio.wait({over, line}, return_when=asyncio.FIRST_COMPLETED)
            if not line.done():
                line.cancel()
                break
            keys = line.result().decode(errors="replace").strip()
            if not keys:
                if line.result():
                    await phone.hang_up()
                break
            await phone.keys(keys, mode=mode)
        await over
        typer.echo("the call is over", err=True)


@app.command()
def dial(
    uri: Annotated[str, typer.Argument(help="Whom to call: sip:USER@HOST, tel:+NUMBER or +NUMBER.")],
    form: Annotated[str, typer.Option(help="The form that takes the payment.")],
    config: ConfigOption = None,
    account: Annotated[str, typer.Option(help="Call under this [account.NAME].")] = "",
    caller: Annotated[str, typer.Option(help="Who calls: a number or a SIP URI.")] = "",
    ring_s: Annotated[float | None, typer.Option(help="Seconds to let it ring.", show_default=False)] = None,
) -> None:
    """Start an engine, call somebody and take a payment from them.

    Exit status: 0 paid, 1 answered and not paid, 2 cannot be called as written, 3 busy, 4 no answer, 5 refused or not
    found, 6 unreachable, 7 given up.
    """
    settings = _load(config)
    settings = settings.model_copy(update={"log": settings.log.model_copy(update={"level": "warning"})})
    _prepare(settings)
    wanted = OutboundCall(to=uri, form=form, account=account, caller=caller, ring_s=ring_s)
    try:
        status = uvloop.run(_dial(settings, wanted))
    except (Error, PromptError) as error:
        _fail(error)
    raise typer.Exit(status)


async def _dial(config: Config, wanted: OutboundCall) -> int:
    events: asyncio.Queue[EngineEvent] = asyncio.Queue()
    engine = Engine(config, observer=events.put_nowait)
    await engine.start()
    try:
        call_id = engine.place_call(wanted)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, engine.hang_up, call_id)
        status = 1
        while not isinstance(event := await events.get(), CallEnded):
            if line := _dial_line(event):
                typer.echo(line)
            if isinstance(event, CallFailed):
                status = DIAL_STATUS[event.outcome]
            elif isinstance(event, PaymentFinished):
                status = 0 if event.result == "success" else 1
        typer.echo(f"the call is over ({event.cause}) after {event.duration_s:.1f} s")
    finally:
        await engine.stop(drain_s=0)
    return status


def _dial_line(event: EngineEvent) -> str:
    """Return what a person who placed a call is told of an event; empty for what they need not know."""
    match event:
        case CallRinging():
            return f"ringing ({event.status}{', early media' if event.early_media else ''})"
        case CallAnswered():
            return f"answered ({event.codec})"
        case CallFailed():
            shown = " ".join(str(part) for part in (event.status, event.reason) if part)
            return f"not answered: {event.outcome}" + (f" ({redact_text(shown)})" if shown else "")
        case PaymentFinished():
            return f"payment: {event.result} {event.amount} {event.currency.upper()}".rstrip()
    return ""


@app.command()
def doctor(config: ConfigOption = None) -> None:
    """Check ports, audio, speech, database and permissions, and say the remedy of what is wrong."""
    settings = _load(config)
    set_up("error", "text")
    findings = asyncio.run(examine(settings))
    for finding in findings:
        typer.echo(f"{finding.verdict:<5} {finding.subject}: {finding.detail}")
        if finding.remedy:
            typer.echo(f"      remedy: {finding.remedy}")
    raise typer.Exit(1 if any(finding.verdict == "bad" for finding in findings) else 0)


@app.command()
def sandbox(
    config: ConfigOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """List what the built-in test gateway received, masked."""
    for name, settings in _load(config).connectors.items():
        if settings.type != "sandbox":
            continue
        if not Path(settings.database).exists():
            typer.echo(f"{name}: nothing yet ({settings.database} does not exist)", err=True)
            continue
        for row in SandboxGateway.read(settings.database):
            typer.echo(json.dumps(row) if as_json else _line(row))


@app.command()
def payments(
    config: ConfigOption = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many, the newest first.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """List the ledger's payments, masked, the newest first."""
    settings = _load(config)
    set_up("error", "text")

    async def read() -> list[dict[str, Any]]:
        ledger = await Ledger.open(settings.ledger.url)
        try:
            return [dict(row) for row in await ledger.recent_payments(limit)]
        finally:
            await ledger.close()

    try:
        rows = asyncio.run(read())
    except Error as error:
        _fail(error)
    for row in rows:
        typer.echo(json.dumps(row, default=str) if as_json else _line(row))


def _line(row: dict[str, Any]) -> str:
    return "  ".join(f"{key}={value}" for key, value in row.items() if value not in (None, ""))


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
        _fail(ConfigError(f"no profile {profile!r}", remedy="one of " + ", ".join(PROFILES)))
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


def _version() -> str:
    try:
        return version("paytone")
    except PackageNotFoundError:
        return "(not installed)"


@app.command(name="version")
def show_version() -> None:
    """Print the version."""
    typer.echo(f"paytone {_version()}")


def main() -> None:
    """Entry point of the ``paytone`` command."""
    app()
