"""RFC 3261 §26.3.1 and RFC 5922 (TLS, mutual TLS, the name of the server), on sockets of loopback."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from engine.net.tls import TlsFiles
from sip.address import Transport
from sip.events import SessionEnded
from tests.support.sip_sockets import LOOPS, Certificates, Server, Sockets, Stream, listening, options, run

both_loops = pytest.mark.parametrize("loop", LOOPS)


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


def server_context(files: tuple[str, str]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)
    return context


@asynccontextmanager
async def tls_listening(certificates: Certificates, **options: str) -> AsyncIterator[Sockets]:
    certificate, key = certificates.issue("server", "localhost", "127.0.0.1")
    files = TlsFiles(certificate=certificate, key=key, authorities=certificates.authorities, **options)  # type: ignore[arg-type]
    async with listening("tls:127.0.0.1:0", tls=files) as sockets:
        yield sockets


@both_loops
def test_tls_is_taken_and_answered(loop: str, certificates: Certificates) -> None:
    async def test() -> None:
        async with tls_listening(certificates) as sockets:
            stream = await Stream.to(sockets.port(Transport.TLS), tls=certificates.client())
            assert (await stream.ask(options(via="TLS 127.0.0.1:5061"))).status == 200
            assert stream.writer.get_extra_info("ssl_object").version() in ("TLSv1.2", "TLSv1.3")
            await stream.close()

    run(loop, test)


@both_loops
def test_tls_below_1_2_is_refused(loop: str, certificates: Certificates) -> None:
    async def test() -> None:
        async with tls_listening(certificates) as sockets:
            old = certificates.client()
            old.set_ciphers("DEFAULT:@SECLEVEL=0")
            with pytest.warns(DeprecationWarning, match="TLSv1_1"):
                old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await Stream.to(sockets.port(Transport.TLS), tls=old)

    run(loop, test)


@both_loops
def test_who_speaks_no_tls_on_its_port_is_closed(loop: str, certificates: Certificates) -> None:
    async def test() -> None:
        async with tls_listening(certificates) as sockets:
            stream = await Stream.to(sockets.port(Transport.TLS))
            stream.writer.write(options())
            assert b"SIP/2.0" not in await stream.end()
            assert sockets.endpoint.statistics.datagrams_in == 0
            await stream.close()

    run(loop, test)


@both_loops
def test_a_client_with_a_certificate_is_known_by_its_names(loop: str, certificates: Certificates) -> None:
    async def test() -> None:
        async with tls_listening(certificates, client_certificates="required") as sockets:
            own = certificates.issue("phone", "pbx.example.com", "192.0.2.7", common_name="The PBX")
            stream = await Stream.to(sockets.port(Transport.TLS), tls=certificates.client(own))
            assert (await stream.ask(options(via="TLS 127.0.0.1:5061"))).status == 200
            (flow,) = sockets.transports._flows
            assert sockets.transports.peer_names(flow) == ("pbx.example.com", "192.0.2.7", "The PBX")
            assert sockets.transports.peer_names(flow + 1) == ()
            await stream.close()

    run(loop, test)


@both_loops
@pytest.mark.parametrize("who", ["nobody", "a stranger"])
def test_a_client_that_no_authority_vouches_for_is_refused(
    loop: str, who: str, certificates: Certificates, tmp_path: Path
) -> None:
    async def test() -> None:
        (tmp_path / "other").mkdir()
        own = Certificates(tmp_path / "other").issue("stranger", "pbx.example.com") if who == "a stranger" else None
        async with tls_listening(certificates, client_certificates="required") as sockets:
            try:
                stream = await Stream.to(sockets.port(Transport.TLS), tls=certificates.client(own))
            except (ssl.SSLError, ConnectionError):
                return
            # TLS 1.3: the client learns of it with its first read.
            stream.writer.write(options())
            assert await stream.end() == b""
            assert sockets.endpoint.statistics.datagrams_in == 0
            await stream.close()

    run(loop, test)


@both_loops
def test_a_client_without_a_certificate_is_taken_where_it_is_optional_and_has_no_names(
    loop: str, certificates: Certificates
) -> None:
    async def test() -> None:
        async with tls_listening(certificates, client_certificates="optional") as sockets:
            stream = await Stream.to(sockets.port(Transport.TLS), tls=certificates.client())
            assert (await stream.ask()).status == 200
            (flow,) = sockets.transports._flows
            assert sockets.transports.peer_names(flow) == ()
            await stream.close()

    run(loop, test)


@both_loops
@pytest.mark.parametrize("name", ["", "localhost"])
def test_a_server_is_called_by_tls_when_its_certificate_shows_the_name(
    loop: str, name: str, certificates: Certificates
) -> None:
    async def test() -> None:
        theirs = server_context(certificates.issue("theirs", "localhost", "127.0.0.1"))
        seen: list[object] = []
        theirs.sni_callback = lambda _, shown, __: seen.append(shown)
        async with (
            listening(tls=TlsFiles(authorities=certificates.authorities)) as sockets,
            Server.open(theirs) as server,
        ):
            sockets.call(server.address(Transport.TLS, name))
            request = await (await server.taken.get()).request()
            assert (request.method, request.via.transport) == ("INVITE", "TLS")
            assert seen == [name or None]  # RFC 6066 §3: no IP address in SNI

    run(loop, test)


@both_loops
@pytest.mark.parametrize(("identity", "name"), [("pbx.example.com", "localhost"), ("localhost", "")])
def test_a_server_whose_certificate_shows_another_name_gets_nothing(
    loop: str, identity: str, name: str, certificates: Certificates
) -> None:
    async def test() -> None:
        theirs = server_context(certificates.issue("theirs", identity))
        async with (
            listening(tls=TlsFiles(authorities=certificates.authorities)) as sockets,
            Server.open(theirs) as server,
        ):
            sockets.call(server.address(Transport.TLS, name))
            await sockets.event(SessionEnded)
            assert sockets.transports.connections == 0
            assert server.taken.empty() or await (await server.taken.get()).end() == b""

    run(loop, test)


def test_a_server_that_no_authority_vouches_for_gets_nothing(certificates: Certificates, tmp_path: Path) -> None:
    async def test() -> None:
        (tmp_path / "other").mkdir()
        theirs = server_context(Certificates(tmp_path / "other").issue("theirs", "localhost"))
        async with (
            listening(tls=TlsFiles(authorities=certificates.authorities)) as sockets,
            Server.open(theirs) as server,
        ):
            sockets.call(server.address(Transport.TLS, "localhost"))
            await sockets.event(SessionEnded)

    run("asyncio", test)


@both_loops
def test_two_names_at_one_address_get_a_connection_each(loop: str, certificates: Certificates) -> None:
    async def test() -> None:
        theirs = server_context(certificates.issue("theirs", "one.example.com", "two.example.com"))
        async with (
            listening(tls=TlsFiles(authorities=certificates.authorities)) as sockets,
            Server.open(theirs) as server,
        ):
            for name in ("one.example.com", "two.example.com", "one.example.com"):
                sockets.call(server.address(Transport.TLS, name))
            streams = [await server.taken.get() for _ in range(2)]
            got = [await stream.request() for stream in streams]
            assert {request.method for request in got} == {"INVITE"}
            assert sockets.transports.connections == 2

    run(loop, test)
