"""Commands that run an engine: serve, demo, dial."""

from __future__ import annotations

import asyncio
import gc
import signal
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

import typer
import uvloop

from engine.cli.app import ConfigOption, app, fail, load_config, prepare
from engine.config import Config
from engine.demo import Demo
from engine.errors import Error
from engine.events import CallAnswered, CallEnded, CallFailed, CallOutcome, CallRinging, EngineEvent, PaymentFinished
from engine.net.dialling import OutboundCall
from engine.redact import redact_text
from engine.service import Engine
from prompts.errors import PromptError

__all__ = ("COLLECT_AFTER", "demo", "dial", "serve", "show_version")

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


@app.command()
def serve(
    config: ConfigOption = None,
) -> None:
    """Answer calls and take payments until Ctrl-C, which drains: running calls end first."""
    settings = load_config(config)
    prepare(settings)
    try:
        uvloop.run(_serve(settings))
    except (Error, PromptError) as error:
        fail(error)


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
    settings = load_config(config)
    settings = settings.model_copy(update={"log": settings.log.model_copy(update={"level": "warning"})})
    prepare(settings)
    try:
        status = uvloop.run(_demo(settings, once=once))
    except (Error, PromptError) as error:
        fail(error)
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
    settings = load_config(config)
    settings = settings.model_copy(update={"log": settings.log.model_copy(update={"level": "warning"})})
    prepare(settings)
    wanted = OutboundCall(to=uri, form=form, account=account, caller=caller, ring_s=ring_s)
    try:
        status = uvloop.run(_dial(settings, wanted))
    except (Error, PromptError) as error:
        fail(error)
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


def _version() -> str:
    try:
        return version("paytone")
    except PackageNotFoundError:
        return "(not installed)"


@app.command(name="version")
def show_version() -> None:
    """Print the version."""
    typer.echo(f"paytone {_version()}")
