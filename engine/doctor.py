"""``paytone doctor``: is everything there that a running engine needs, and if not, what to do."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import resource
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from engine.config import Config
from engine.errors import ConfigError, Error
from engine.ledger import Ledger
from engine.net.listen import bind_listeners
from engine.net.tls import TlsFiles
from engine.net.udp import bind_udp
from engine.pay.secret import Secret
from prompts.errors import PromptError
from prompts.store import PromptStore

__all__ = ("Finding", "examine")

DESCRIPTORS_PER_CALL = 4
"RTP and RTCP sockets, and room for a webhook and the connector."
SAMPLE_TEXT = "This is a test of speech."


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One check: ``ok``, ``warn`` (it works, but) or ``bad`` (calls will fail), with the remedy when there is one."""

    subject: str
    verdict: Literal["ok", "warn", "bad"]
    detail: str
    remedy: str = ""


async def examine(config: Config) -> list[Finding]:
    """Run every check and return what they found, in a fixed order; never raises for what it finds."""
    checks: list[Callable[[Config], Awaitable[Finding]]] = [
        _sip_port,
        _rtp_ports,
        _secrets_memory,
        _descriptors,
        _ledger,
        _cache,
        _speech,
        _softphone,
        _audio,
        _environment,
    ]
    return [await check(config) for check in checks]


async def _sip_port(config: Config) -> Finding:
    wanted = config.sip.listeners
    try:
        TlsFiles(**config.sip.tls.model_dump())
    except ConfigError as error:
        return Finding(subject="SIP port", verdict="bad", detail=str(error), remedy=error.remedy)
    try:
        bound = bind_listeners(wanted, next_free=config.sip.next_free_port)
    except Error as error:
        return Finding(
            subject="SIP port", verdict="bad", detail=str(error), remedy="stop the other program or change sip.listen"
        )
    for listener in bound:
        listener.close()
    for listener, address in zip(bound, wanted, strict=True):
        if listener.port != address.port:
            detail = f"{address.port} is taken, {listener.port} would be used"
            return Finding(subject="SIP port", verdict="warn", detail=detail, remedy="ss -tulpn")
    free = ", ".join(f"{one.transport.lower()}:{one.host}:{one.port}" for one in bound)
    return Finding(subject="SIP port", verdict="ok", detail=f"free: {free}")


async def _rtp_ports(config: Config) -> Finding:
    low, high = config.media.ports
    host = config.media.host or config.sip.address[0]
    pairs = (high - low + 1) // 2
    try:
        bind_udp(host, low + low % 2, next_free=True).close()
    except Error as error:
        return Finding(subject="RTP ports", verdict="bad", detail=str(error), remedy="change media.ports or media.host")
    if pairs < config.sip.max_calls:
        return Finding(
            subject="RTP ports",
            verdict="warn",
            detail=f"{pairs} pairs of ports for up to {config.sip.max_calls} calls",
            remedy="widen media.ports or lower sip.max_calls",
        )
    return Finding(subject="RTP ports", verdict="ok", detail=f"{pairs} pairs from {low} to {high} on {host}")


async def _secrets_memory(config: Config) -> Finding:
    with Secret() as secret:
        locked = secret.locked
    if locked:
        return Finding(subject="secrets", verdict="ok", detail="memory for card digits is locked and kept out of dumps")
    return Finding(
        subject="secrets",
        verdict="warn",
        detail="memory for card digits could not be locked: it may be swapped to disk",
        remedy="raise the memlock limit (ulimit -l, LimitMEMLOCK= in the unit) or switch swap off",
    )


async def _descriptors(config: Config) -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = config.sip.max_calls * DESCRIPTORS_PER_CALL + config.sip.connections.max + 64
    if soft < wanted:
        return Finding(
            subject="open files",
            verdict="warn",
            detail=f"limit {soft}, {wanted} wanted for {config.sip.max_calls} calls",
            remedy=f"ulimit -n {wanted} (hard limit {hard}) or LimitNOFILE= in the unit",
        )
    return Finding(subject="open files", verdict="ok", detail=f"limit {soft}")


async def _ledger(config: Config) -> Finding:
    _, _, path = config.ledger.url.partition(":///")
    if config.ledger.url.startswith("sqlite") and path and not Path(path).exists():
        return _directory("database", Path(path).parent)
    try:
        ledger = await Ledger.open(config.ledger.url)
    except Error as error:
        return Finding(
            subject="database",
            verdict="bad",
            detail=str(error),
            remedy="check ledger.url, the file's owner and that no one locks it",
        )
    unknown = await ledger.unknown_attempts()
    await ledger.close()
    if unknown:
        return Finding(
            subject="database",
            verdict="warn",
            detail=f"{len(unknown)} attempt(s) with an unknown outcome",
            remedy="compare them with the gateway: paytone payments",
        )
    return Finding(subject="database", verdict="ok", detail="opens, schema is current, no attempt is open")


def _directory(subject: str, directory: Path) -> Finding:
    existing = directory
    while not existing.exists():
        existing = existing.parent
    if os.access(existing, os.W_OK | os.X_OK):
        return Finding(subject=subject, verdict="ok", detail=f"{directory} can be written")
    return Finding(
        subject=subject,
        verdict="bad",
        detail=f"{existing} cannot be written by this user",
        remedy=f"chown it to the user that runs paytone, or name another place in the configuration ({subject})",
    )


async def _cache(config: Config) -> Finding:
    return _directory("prompt cache", Path(config.prompts.cache))


async def _speech(config: Config) -> Finding:
    if shutil.which("espeak-ng") is None:
        return Finding(
            subject="speech",
            verdict="warn",
            detail="espeak-ng is missing: the shipped prompts play, other texts cannot be spoken",
            remedy="apt-get install espeak-ng",
        )
    with tempfile.TemporaryDirectory() as directory:
        store = PromptStore.open(directory)
        try:
            clip = await store.speech(SAMPLE_TEXT, locale=config.prompts.locale)
        except PromptError as error:
            return Finding(
                subject="speech",
                verdict="bad",
                detail=str(error),
                remedy="run espeak-ng by hand: espeak-ng hello -w x.wav",
            )
        finally:
            await store.close()
    return Finding(subject="speech", verdict="ok", detail=f"espeak-ng speaks ({clip.duration_ms} ms for a sentence)")


async def _softphone(config: Config) -> Finding:
    if importlib.util.find_spec("pjsua2") is not None:
        return Finding(subject="softphone", verdict="ok", detail="pjsua2 is installed")
    return Finding(
        subject="softphone",
        verdict="warn",
        detail="pjsua2 is not installed: the softphone runs on paytone's own stack",
        remedy="pip install 'paytone[softphone]' on CPython 3.11 or 3.12, x86-64",
    )


async def _audio(config: Config) -> Finding:
    if importlib.util.find_spec("pyaudio") is None:
        return Finding(
            subject="audio",
            verdict="warn",
            detail="PyAudio is not installed: the softphone has neither microphone nor loudspeaker",
            remedy="apt-get install portaudio19-dev, then pip install 'paytone[audio]'",
        )
    count = await asyncio.to_thread(_audio_devices)
    if count == 0:
        return Finding(
            subject="audio", verdict="warn", detail="no audio device", remedy="needed for paytone call --audio only"
        )
    return Finding(subject="audio", verdict="ok", detail=f"{count} audio device(s)")


def _audio_devices() -> int:
    import pyaudio

    audio = pyaudio.PyAudio()
    try:
        return int(audio.get_device_count())
    finally:
        audio.terminate()


async def _environment(config: Config) -> Finding:
    named: list[str] = []
    for account in config.accounts.values():
        named.append(account.password_env)
    for connector in config.connectors.values():
        if connector.type == "signalwire":
            named += [connector.url_env, connector.signing_key_env]
    named += [form.status_key_env for form in config.forms.values()]
    missing = sorted({name for name in named if name and not os.environ.get(name)})
    if missing:
        return Finding(
            subject="environment",
            verdict="bad",
            detail=f"not set: {', '.join(missing)}",
            remedy="export them before starting",
        )
    return Finding(subject="environment", verdict="ok", detail="every variable that is named is set")
