"""Certificates: which are refused at the start, which are read again, and that no key is ever logged."""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

from engine.errors import ConfigError
from engine.net.tls import MAX_WAITING, TlsFiles, TlsLayer
from sip.address import Transport
from tests.support.sip_sockets import LOOPS, Certificates, Stream, listening, run


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


def common_name(stream: Stream) -> str:
    subject = stream.writer.get_extra_info("peercert")["subject"]
    return next(str(value) for part in subject for kind, value in part if kind == "commonName")


def install(files: tuple[str, str], over: tuple[str, str]) -> None:
    """Replace files as renewal programs do: under another name, then moved."""
    for new, old in zip(files, over, strict=True):
        shutil.copy(new, f"{old}.new")
        Path(f"{old}.new").replace(old)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_renewed_certificate_is_shown_to_the_next_connection_and_the_open_one_goes_on(
    loop: str, certificates: Certificates
) -> None:
    async def test() -> None:
        live = certificates.issue("live", "localhost", common_name="first")
        files = TlsFiles(certificate=live[0], key=live[1])
        async with listening("tls:127.0.0.1:0", tls=files) as sockets:
            port, context = sockets.port(Transport.TLS), certificates.client()
            before = await Stream.to(port, tls=context)
            assert common_name(before) == "first"
            install(certificates.issue("renewed", "localhost", common_name="second"), live)
            after = await Stream.to(port, tls=context)
            assert common_name(after) == "second"
            assert (await before.ask()).status == 200

    run(loop, test)


def test_files_that_do_not_fit_together_leave_the_last_good_ones_in_place(
    certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    live = certificates.issue("live", "localhost")
    files = TlsFiles(certificate=live[0], key=live[1])
    good = files.server
    renewed = certificates.issue("renewed", "localhost")
    shutil.copy(renewed[0], live[0])  # the key has not come yet
    assert files.server is good
    assert files.server is good
    assert caplog.text.count("cannot be used") == 1
    shutil.copy(renewed[1], live[1])
    assert files.server is not good
    Path(live[0]).unlink()
    assert files.server is not None


def test_files_are_not_read_again_when_they_did_not_change(certificates: Certificates) -> None:
    live = certificates.issue("live", "localhost")
    files = TlsFiles(certificate=live[0], key=live[1], authorities=certificates.authorities)
    assert files.server is files.server
    assert files.client is files.client


@pytest.mark.parametrize("fault", ["missing", "no certificate", "another's key", "password", "authorities"])
def test_a_file_that_cannot_be_used_is_named_at_the_start(fault: str, certificates: Certificates) -> None:
    certificate, key = certificates.issue("live", "localhost")
    authorities = certificates.authorities
    match fault:
        case "missing":
            Path(key).unlink()
        case "no certificate":
            Path(certificate).write_text("nothing")
        case "another's key":
            key = certificates.issue("other", "localhost")[1]
        case "password":
            subprocess.run(
                ["openssl", "pkey", "-in", key, "-aes256", "-passout", "pass:x", "-out", f"{key}.locked"], check=True
            )
            key += ".locked"
        case "authorities":
            authorities = key
    with pytest.raises(ConfigError) as raised:
        TlsFiles(certificate=certificate, key=key, authorities=authorities)
    assert str(certificates.directory) in str(raised.value)
    assert raised.value.remedy
    assert "PRIVATE" not in str(raised.value)


def test_a_key_may_stand_in_the_file_of_its_certificate(certificates: Certificates) -> None:
    certificate, key = certificates.issue("live", "localhost")
    Path(certificate).write_text(Path(key).read_text() + Path(certificate).read_text())
    assert TlsFiles(certificate=certificate).server is not None


def test_without_a_certificate_there_is_no_server() -> None:
    assert TlsFiles().server is None


def joined(server: TlsLayer, client: TlsLayer) -> tuple[bytes, bytes]:
    """Carry octets until neither has more to say; return what each application got."""
    got_by_server, got_by_client = b"", b""
    while True:
        to_server, to_client = client.data_to_send(), server.data_to_send()
        if not to_server and not to_client:
            return got_by_server, got_by_client
        if to_server:
            got_by_server += server.receive(to_server)
        if to_client:
            got_by_client += client.receive(to_client)


def layers(certificates: Certificates) -> tuple[TlsLayer, TlsLayer]:
    certificate, key = certificates.issue("live", "localhost")
    files = TlsFiles(certificate=certificate, key=key, authorities=certificates.authorities)
    assert files.server is not None
    return TlsLayer(files.server, server_side=True), TlsLayer(files.client, server_side=False, host="localhost")


def test_what_is_sent_before_the_handshake_is_over_arrives_behind_it(certificates: Certificates) -> None:
    server, client = layers(certificates)
    client.send(b"first ")
    client.send(b"second")
    assert joined(server, client) == (b"first second", b"")
    server.send(b"x" * 100_000)
    assert joined(server, client) == (b"", b"x" * 100_000)


def test_not_everything_waits_for_a_handshake(certificates: Certificates) -> None:
    _, client = layers(certificates)
    with pytest.raises(ssl.SSLError):
        client.send(bytes(MAX_WAITING + 1))


def test_the_end_of_a_side_is_known(certificates: Certificates) -> None:
    server, client = layers(certificates)
    joined(server, client)
    client.close()
    joined(server, client)
    assert server.is_over


def test_session_keys_are_never_written_to_a_file(certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> None:
    log = certificates.directory / "keys"
    monkeypatch.setitem(os.environ, "SSLKEYLOGFILE", str(log))
    joined(*layers(certificates))
    assert not log.exists()
