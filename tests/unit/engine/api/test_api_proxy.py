"""The proxy that leads vendors' SDKs here, and the certificate that makes them believe it."""

from __future__ import annotations

import asyncio
import ssl
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtensionOID
from typer.testing import CliRunner

from engine.api.certificates import make_certificate
from engine.api.proxy import ConnectProxy, is_vendor, tunnel_target
from engine.api.twilio import accounts
from engine.cli import app
from engine.errors import ConfigError
from engine.ledger import Ledger
from tests.support.api import ACCOUNT_SID, TOKEN, api_scene, config_of

CLIENT = """
import os
from twilio.rest import Client
client = Client(os.environ["SID"], os.environ["TOKEN"])
print(client.api.accounts(os.environ["SID"]).fetch().friendly_name)
"""


@asynccontextmanager
async def proxied(ledger: Ledger, directory: Path) -> AsyncIterator[ConnectProxy]:
    files = make_certificate(directory)
    config = config_of(f'[api.tls]\ncertificate = "{files.certificate}"\nkey = "{files.key}"\n')
    api = config.api.model_copy(update={"tls_listen": "127.0.0.1:0"})
    async with api_scene(ledger, [accounts.add_routes], config=config.model_copy(update={"api": api})) as scene:
        assert scene.server.https_address is not None
        proxy = await ConnectProxy.start("127.0.0.1:0", scene.server.https_address)
        try:
            yield proxy
        finally:
            await proxy.stop()


async def ask(proxy: ConnectProxy, head: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(*proxy.address)
    writer.write(head)
    try:
        return await asyncio.wait_for(reader.read(), 10)
    finally:
        writer.close()


@pytest.mark.asyncio
async def test_the_vendors_client_is_led_here_without_a_change_of_code(ledger: Ledger, tmp_path: Path) -> None:
    async with proxied(ledger, tmp_path) as proxy:
        host, port = proxy.address
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            CLIENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={
                "HTTPS_PROXY": f"http://{host}:{port}",
                "REQUESTS_CA_BUNDLE": str(tmp_path / "ca.pem"),
                "SID": ACCOUNT_SID,
                "TOKEN": TOKEN,
            },
        )
        output, errors = await asyncio.wait_for(process.communicate(), 30)
        assert output.decode().strip() == "paytone", errors.decode()[-2000:]


@pytest.mark.asyncio
async def test_it_leads_nowhere_else(ledger: Ledger, tmp_path: Path) -> None:
    async with proxied(ledger, tmp_path) as proxy:
        for target in (
            b"example.com:443",
            b"api.twilio.com:80",
            b"api.twilio.com.evil.example:443",
            b"eviltwilio.com:443",
            b"api.nexmo.com:8443",
            b"vonage.com.evil.example:443",
            b"127.0.0.1:443",
            b"[::1]:443",
        ):
            answer = await ask(proxy, b"CONNECT " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 403 "), target
        for head, status in (
            (b"GET http://api.twilio.com/ HTTP/1.1\r\n\r\n", b"405"),
            (b"CONNECT api.twilio.com HTTP/1.1\r\n\r\n", b"405"),
            (b"CONNECT api.twilio.com:443\r\n\r\n", b"405"),
            (b"CONNECT a:443 HTTP/1.1\r\n" + b"X: y\r\n" * 4000, b"431"),
        ):
            assert (await ask(proxy, head)).split(b" ")[1] == status
        while proxy.n_tunnels:
            await asyncio.sleep(0)


@pytest.mark.asyncio
async def test_a_tunnel_ends_with_either_side(ledger: Ledger, tmp_path: Path) -> None:
    async with proxied(ledger, tmp_path) as proxy:
        reader, writer = await asyncio.open_connection(*proxy.address)
        writer.write(b"CONNECT api.twilio.com:443 HTTP/1.1\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        writer.write(b"this is no TLS\r\n")
        assert await asyncio.wait_for(reader.read(), 10) is not None
        writer.close()
        while proxy.n_tunnels:
            await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("host", "is_known"),
    [
        ("api.twilio.com", True),
        ("API.Twilio.COM", True),
        ("api.dublin.ie1.twilio.com", True),
        ("twilio.com", True),
        ("relay.signalwire.com", True),
        ("myspace.signalwire.com", True),
        ("api.nexmo.com", True),
        ("api-us.nexmo.com", True),
        ("rest.nexmo.com", True),
        ("api-eu-3.vonage.com", True),
        ("video.api.vonage.com", True),
        ("xsignalwire.com", False),
        ("evilnexmo.com", False),
        ("evil-vonage.com", False),
        ("nexmo.com.evil.example", False),
        ("nexmo.comx", False),
        ("a.b.c.d.e.twilio.com", False),
        ("twilio.com.", False),
        ("xtwilio.com", False),
        ("api.twilio.com\n", False),
        ("", False),
    ],
)
def test_hosts_of_vendors(host: str, is_known: bool) -> None:
    assert is_vendor(host) is is_known


def test_a_tunnels_target_is_host_and_port() -> None:
    assert tunnel_target(b"CONNECT a.example:443 HTTP/1.0\r\n") == ("a.example", 443)
    for wrong in (b"", b"CONNECT a HTTP/1.1\r\n", b"connect a:1 HTTP/1.1\r\n", b"CONNECT a:1b HTTP/1.1\r\n"):
        with pytest.raises(ValueError, match="no "):
            tunnel_target(wrong)


# -- the certificate


def test_the_certificate_holds_before_a_strict_client(tmp_path: Path) -> None:
    files = make_certificate(tmp_path / "tls", ["pay.example.com", "192.0.2.7", "*.pbx.example.com"])
    leaf, authority = x509.load_pem_x509_certificates(files.certificate.read_bytes())
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [
        "api.twilio.com",
        "relay.signalwire.com",
        "api.nexmo.com",
        "localhost",
        "pay.example.com",
        "*.pbx.example.com",
    ]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1", "192.0.2.7"]
    assert leaf.issuer == authority.subject
    assert files.authority.read_bytes() in files.certificate.read_bytes()
    for oid in (ExtensionOID.KEY_USAGE, ExtensionOID.AUTHORITY_KEY_IDENTIFIER, ExtensionOID.SUBJECT_KEY_IDENTIFIER):
        assert leaf.extensions.get_extension_for_oid(oid) is not None
    assert stat.S_IMODE(files.key.stat().st_mode) == 0o600
    assert sorted(path.name for path in files.key.parent.iterdir()) == ["ca.pem", "certificate.pem", "key.pem"]

    strict = ssl.create_default_context(cafile=str(files.authority))
    strict.verify_flags |= ssl.VERIFY_X509_STRICT
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(files.certificate, files.key)
    for host in ("api.twilio.com", "api.nexmo.com", "127.0.0.1", "192.0.2.7", "a.pbx.example.com"):
        shake_hands(strict, server, host)
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(strict, server, "example.com")


def shake_hands(client: ssl.SSLContext, server: ssl.SSLContext, host: str) -> None:
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = server.wrap_bio(to_server, to_client, server_side=True)
    theirs = client.wrap_bio(to_client, to_server, server_hostname=host)
    done: set[ssl.SSLObject] = set()
    while len(done) < 2:
        for side in (theirs, ours):
            try:
                side.do_handshake()
                done.add(side)
            except ssl.SSLWantReadError:
                pass


def test_files_that_are_there_are_not_replaced_unasked(tmp_path: Path) -> None:
    first = make_certificate(tmp_path).certificate.read_bytes()
    with pytest.raises(ConfigError, match="there already"):
        make_certificate(tmp_path)
    assert (tmp_path / "certificate.pem").read_bytes() == first
    assert make_certificate(tmp_path, force=True).certificate.read_bytes() != first


@pytest.mark.parametrize("host", ["", "a b", "-a.example", "ä.example", "a..b", "x" * 64, "https://a.example"])
def test_a_name_that_is_none_is_refused(tmp_path: Path, host: str) -> None:
    with pytest.raises(ConfigError, match="no host name"):
        make_certificate(tmp_path, [host])
    assert not list(tmp_path.iterdir())


def test_the_command_tells_what_to_write_and_whom_to_trust(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["cert", str(tmp_path / "tls"), "--host", "pay.example.com"])
    assert result.exit_code == 0
    assert "[api.tls]" in result.output
    assert (tmp_path / "tls" / "key.pem").exists()
    again = CliRunner().invoke(app, ["cert", str(tmp_path / "tls")])
    assert again.exit_code == 2


def test_the_command_lists_applications_with_their_sids(tmp_path: Path) -> None:
    config = tmp_path / "paytone.toml"
    config.write_text(
        f"""
[twilio]
account_sid = "{ACCOUNT_SID}"
auth_token_env = "TEST_TWILIO_TOKEN"
[connector.sandbox]
type = "sandbox"
[app.shop]
dialect = "twiml"
url = "https://shop.example.com/twiml"
[[route]]
to = "4711"
app = "shop"
"""
    )
    result = CliRunner().invoke(app, ["apps", "--config", str(config)])
    assert result.exit_code == 0, result.output
    sid, *rest = result.output.split()
    assert sid.startswith("AP")
    assert rest == ["shop", "twiml", "4711", "https://shop.example.com/twiml"]
