"""The softphone's command: call."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

from engine.cli.app import app, fail
from engine.config import secret_from_environment
from engine.errors import ConfigError, Error
from engine.log import set_up
from engine.softphone.backend import BackendName
from engine.softphone.client import Softphone
from engine.softphone.protocol import CallState, KeyMode
from sip.crypto_attribute import SrtpPolicy
from sip.payload_types import CODECS

__all__ = ("call",)

RING_TIMEOUT_S = 60.0
LONGEST_CALL_S = 24 * 3600.0


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
        fail(ConfigError(f"no codec {codec!r}", remedy="one of " + ", ".join(CODECS)))
    phone = Softphone(backend=backend, audio=audio, srtp=srtp, codec=codec)
    try:
        asyncio.run(_call(phone, uri, mode, record, play, registrar, user, password_env))
    except Error as error:
        fail(error)


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
