"""``paytone doctor``: is everything there that a running engine needs, and if not, what to do."""

from __future__ import annotations

import asyncio
import importlib.util
import ipaddress
import os
import resource
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from cryptography import x509

from engine.api.server import listen_on
from engine.api.vonage.tokens import Tokens
from engine.config import Config, NccoApp, split_address
from engine.errors import ConfigError, Error
from engine.ledger import Ledger
from engine.net.listen import bind_listeners
from engine.net.tls import TlsFiles
from engine.net.udp import bind_udp
from engine.pay.secret import Secret
from engine.programs.ncco.program import check_nccos
from engine.programs.swml.program import check_documents
from engine.prompt_files import open_prompts
from prompts.errors import PromptError
from prompts.render import NOT_RENDERED, check_store

__all__ = ("Finding", "examine")

DESCRIPTORS_PER_CALL = 4
"RTP and RTCP sockets, and room for a webhook and the connector."
CERTIFICATE_DAYS = 21
"A certificate that ends sooner is told."
SIGNATURE_SECRET_BYTES = 32
"A shorter one signs webhooks with less than their hash is worth (RFC 7518 §3.2)."
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
        _prompts,
        _softphone,
        _audio,
        _api,
        _voice_api,
        _documents,
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
        ledger = await Ledger.open(config.ledger.url, read_only=True)  # beside an engine that runs
    except Error as error:
        return Finding(
            subject="database",
            verdict="bad",
            detail=str(error),
            remedy="check ledger.url, the file's owner and that no one locks it",
        )
    try:
        n_unknown = len([attempt async for attempt in ledger.export.unknown()])
    except Error as error:
        return Finding(subject="database", verdict="bad", detail=str(error), remedy="see docs/ledger.md")
    finally:
        await ledger.close()
    if n_unknown:
        return Finding(
            subject="database",
            verdict="warn",
            detail=f"{n_unknown} attempt(s) with an unknown outcome",
            remedy="compare them with the gateway: paytone payments --unknown",
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
        try:
            store = open_prompts(config, cache=Path(directory))
        except PromptError as error:
            return Finding(subject="speech", verdict="bad", detail=error.message, remedy=error.remedy)
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
    return Finding(
        subject="speech",
        verdict="ok",
        detail=f"{config.prompts.synthesizer} speaks ({clip.duration_ms} ms for a sentence)",
    )


async def _prompts(config: Config) -> Finding:
    """Look at what the forms' callers will hear: there, whole, at its level."""
    try:
        store = open_prompts(config)
    except PromptError as error:
        return Finding(subject="prompts", verdict="bad", detail=error.message, remedy=error.remedy)
    wanted = sorted({form.language or config.prompts.locale for form in config.forms.values()})
    missing: list[str] = []
    faults: list[str] = []
    try:
        for locale in wanted:
            warning = store.catalog.resolve(locale).warning
            faults += [warning] if warning else []
            found = await check_store(store, locale)
            absent = [fault for fault in found if fault.endswith(NOT_RENDERED)]
            missing += [f"{len(absent)} of {locale}"] if absent else []
            faults += [f"{locale} {fault}" for fault in found if fault not in absent]
    finally:
        await store.close()
    if faults:
        return Finding(
            subject="prompts", verdict="warn", detail=faults[0], remedy="paytone prompts check lists them all"
        )
    if missing:
        return Finding(
            subject="prompts",
            verdict="warn",
            detail=f"not rendered yet: {', '.join(missing)}; the engine does it before it takes calls",
            remedy="paytone prompts render",
        )
    return Finding(subject="prompts", verdict="ok", detail=f"rendered: {', '.join(wanted) or 'no form'}")


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


async def _api(config: Config) -> Finding:
    """Look at the listeners of the HTTP interface and at its certificate."""
    api, subject = config.api, "HTTP interface"
    if not api.is_on:
        return Finding(subject=subject, verdict="ok", detail="off: [api] listens nowhere")
    addresses = {"listen": api.listen, "tls_listen": api.tls_listen, "proxy_listen": api.proxy_listen}
    try:
        for name, address in addresses.items():
            if address:
                listen_on(address, f"api.{name}").close()
        if api.tls_listen:
            TlsFiles(**api.tls.model_dump(), table="api.tls")
    except ConfigError as error:
        return Finding(subject=subject, verdict="bad", detail=str(error), remedy=error.remedy)
    if api.tls_listen:
        ends = x509.load_pem_x509_certificate(Path(api.tls.certificate).read_bytes()).not_valid_after_utc
        days = (ends - datetime.now(UTC)).days
        if days < CERTIFICATE_DAYS:
            return Finding(
                subject=subject,
                verdict="bad" if days < 0 else "warn",
                detail=f"the certificate ends {ends:%Y-%m-%d}",
                remedy="renew it; the engine reads the files again by itself",
            )
    host = split_address(api.listen)[0] if api.listen else "127.0.0.1"
    if not ipaddress.ip_address(host).is_loopback:
        return Finding(
            subject=subject,
            verdict="warn",
            detail=f"credentials come to {api.listen} in clear",
            remedy="listen on loopback behind a proxy that speaks TLS, or use tls_listen",
        )
    return Finding(
        subject=subject, verdict="ok", detail="free: " + ", ".join(address for address in addresses.values() if address)
    )


async def _voice_api(config: Config) -> Finding:
    """Look at the keys by which NCCO applications ask for calls, and at the secret that signs what they are told."""
    subject = "Voice API"
    applications = [app for app in config.apps.values() if isinstance(app, NccoApp)]
    if not applications:
        return Finding(subject=subject, verdict="ok", detail="off: no application speaks NCCO")
    try:
        asks = bool(Tokens(config))
    except ConfigError as error:
        return Finding(subject=subject, verdict="bad", detail=f"{error.where}: {error}", remedy=error.remedy)
    if asks and not config.api.is_on:
        return Finding(
            subject=subject,
            verdict="warn",
            detail="an application has a public_key, but [api] listens nowhere: it cannot ask for calls",
            remedy="set api.listen or api.tls_listen, or remove public_key",
        )
    variable = config.vonage.signature_secret_env
    if variable and 0 < len(os.environ.get(variable, "").encode()) < SIGNATURE_SECRET_BYTES:
        return Finding(
            subject=subject,
            verdict="warn",
            detail=f"the secret in {variable} is short: whoever has a webhook can try to guess it",
            remedy=f"take one of {SIGNATURE_SECRET_BYTES} characters at least: openssl rand -hex 32",
        )
    signed = "signed" if variable else "not signed"
    return Finding(
        subject=subject,
        verdict="ok",
        detail=f"{len(applications)} application(s), {'with' if asks else 'without'} REST, webhooks {signed}",
    )


async def _documents(config: Config) -> Finding:
    """Read the SWML documents and NCCOs that the configuration has, or names as files."""
    try:
        check_documents(config)
        check_nccos(config)
    except ConfigError as error:
        return Finding(
            subject="documents", verdict="bad", detail=f"{error.where}: {error}", remedy=error.remedy or "correct it"
        )
    return Finding(
        subject="documents", verdict="ok", detail="every SWML document and NCCO of the configuration can be run"
    )


async def _environment(config: Config) -> Finding:
    named: list[str] = []
    for account in config.accounts.values():
        named.append(account.password_env)
    for connector in config.connectors.values():
        named += [value for key, value in connector if key.endswith("_env")]
    named += [form.status_key_env for form in config.forms.values()]
    named += [config.twilio.auth_token_env, *(key.secret_env for key in config.twilio.api_keys)]
    named += [config.signalwire.token_env, config.signalwire.signing_key_env, config.vonage.signature_secret_env]
    missing = sorted({name for name in named if name and not os.environ.get(name)})
    if missing:
        return Finding(
            subject="environment",
            verdict="bad",
            detail=f"not set: {', '.join(missing)}",
            remedy="export them before starting",
        )
    return Finding(subject="environment", verdict="ok", detail="every variable that is named is set")
