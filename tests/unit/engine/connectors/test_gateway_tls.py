"""TLS to gateways: 1.2 at least, always verified, with a certificate of ours where a gateway wants one (PCI DSS 4.2.1).

A gateway that is not let in, or does not let us in, has charged nothing: the outcome is FAILED, and sure.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trustme
import uvloop

from engine.config import SignalWireConnector, TwilioConnector, parse
from engine.connectors import open_connector
from engine.errors import ConfigError
from engine.pay.submission import Outcome
from tests.support.gateway import FakeGateway
from tests.support.payments import SlidingClock, submission_of


class Authority:
    """An authority, and files of what it issued."""

    def __init__(self, directory: Path, name: str) -> None:
        self.ca = trustme.CA()
        self.directory = directory / name
        self.directory.mkdir()
        self.file = str(self.directory / "ca.pem")
        self.ca.cert_pem.write_to_path(self.file)

    def server(self, *names: str, expired: bool = False) -> ssl.SSLContext:
        not_after = datetime(2020, 1, 1, tzinfo=UTC) if expired else None
        issued = self.ca.issue_cert(
            *(names or ("127.0.0.1",)), not_before=datetime(2019, 1, 1, tzinfo=UTC), not_after=not_after
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        issued.configure_cert(context)
        return context

    def client(self, name: str = "engine") -> dict[str, str]:
        issued = self.ca.issue_cert(f"{name}.example", common_name=name)
        certificate, key = self.directory / f"{name}.pem", self.directory / f"{name}.key"
        certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(str(key))
        return {"certificate": str(certificate), "key": str(key)}


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "ours")


@pytest.fixture
def stranger(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "strange")


async def outcome_of(server: ssl.SSLContext, **tls: str) -> tuple[Outcome, int]:
    """Return how a payment ended, and how many the gateway received."""
    async with FakeGateway(tls=server) as gateway:
        settings = SignalWireConnector.model_validate(
            {"type": "signalwire", "url": gateway.url, "repeats": 1, "timeout_s": 30.0, "tls": tls}
        )
        connector = await open_connector("shop", settings, sleep=SlidingClock().sleep)
        answer = await connector.submit(submission_of())
    return answer.outcome, len(gateway.requests)


REFUSED = (Outcome.FAILED, 0)
PAID = (Outcome.SUCCEEDED, 1)


@pytest.mark.asyncio
class TestServer:
    async def test_certificate_of_a_trusted_authority_is_taken(self, authority: Authority) -> None:
        assert await outcome_of(authority.server(), ca=authority.file) == PAID

    async def test_expired_certificate_is_refused(self, authority: Authority) -> None:
        assert await outcome_of(authority.server(expired=True), ca=authority.file) == REFUSED

    async def test_unknown_authority_is_refused(self, authority: Authority, stranger: Authority) -> None:
        assert await outcome_of(stranger.server(), ca=authority.file) == REFUSED

    async def test_without_ca_only_the_systems_authorities_are_trusted(self, authority: Authority) -> None:
        assert await outcome_of(authority.server()) == REFUSED

    @pytest.mark.parametrize("name", ["gateway.example", "127.0.0.2", "*.0.0.1"])
    async def test_certificate_of_another_host_is_refused(self, authority: Authority, name: str) -> None:
        assert await outcome_of(authority.server(name), ca=authority.file) == REFUSED

    async def test_tls_1_1_is_refused(self, authority: Authority) -> None:
        server = authority.server()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            server.minimum_version = ssl.TLSVersion.TLSv1
            server.maximum_version = ssl.TLSVersion.TLSv1_1
        server.set_ciphers("ALL:@SECLEVEL=0")
        assert await outcome_of(server, ca=authority.file) == REFUSED

    async def test_tls_1_2_is_taken(self, authority: Authority) -> None:
        server = authority.server()
        server.maximum_version = ssl.TLSVersion.TLSv1_2
        assert await outcome_of(server, ca=authority.file) == PAID


class PlainServer:
    """A gateway on OpenSSL's own sockets: asyncio's server drops the alert that tells the client why."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)
        self.received: list[bytes] = []

    def __enter__(self) -> PlainServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self._socket.getsockname()[1]}/pay"

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        with self._context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False) as tls:
            try:
                tls.do_handshake()
            except ssl.SSLError:
                raw = tls.detach()
                with socket.socket(fileno=raw) as plain:
                    plain.shutdown(socket.SHUT_WR)
                    while plain.recv(65536):  # unread octets would make a reset, which overtakes the alert
                        pass
                return
            data = b""
            while b"}" not in data:
                data += tls.recv(65536)
            self.received.append(data)
            body = b'{"charge_id":"ch_1","error_code":null}'
            tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
class TestClientCertificate:
    def outcome(
        self, server: ssl.SSLContext, loop_factory: Callable[[], asyncio.AbstractEventLoop], **tls: str
    ) -> tuple[Outcome, int]:
        with PlainServer(server) as gateway, asyncio.Runner(loop_factory=loop_factory) as runner:

            async def pay() -> Outcome:
                settings = {"type": "signalwire", "url": gateway.url, "repeats": 1, "tls": tls}
                connector = await open_connector(
                    "shop", SignalWireConnector.model_validate(settings), sleep=SlidingClock().sleep
                )
                return (await connector.submit(submission_of())).outcome

            return runner.run(pay()), len(gateway.received)

    def server(self, authority: Authority, version: ssl.TLSVersion, *, required: bool = True) -> ssl.SSLContext:
        context = authority.server()
        context.maximum_version = version
        if required:
            context.verify_mode = ssl.CERT_REQUIRED
            authority.ca.configure_trust(context)
        return context

    def test_ours_is_shown_where_it_is_required(
        self, authority: Authority, version: ssl.TLSVersion, loop_factory: Any
    ) -> None:
        server = self.server(authority, version)
        assert self.outcome(server, loop_factory, ca=authority.file, **authority.client()) == PAID

    def test_ours_does_no_harm_where_none_is_asked_for(
        self, authority: Authority, version: ssl.TLSVersion, loop_factory: Any
    ) -> None:
        server = self.server(authority, version, required=False)
        assert self.outcome(server, loop_factory, ca=authority.file, **authority.client()) == PAID

    def test_without_one_we_are_not_let_in_and_nothing_was_charged(
        self, authority: Authority, version: ssl.TLSVersion, loop_factory: Any
    ) -> None:
        assert self.outcome(self.server(authority, version), loop_factory, ca=authority.file) == REFUSED

    def test_with_one_of_a_stranger_we_are_not_let_in_and_nothing_was_charged(
        self, authority: Authority, stranger: Authority, version: ssl.TLSVersion, loop_factory: Any
    ) -> None:
        server = self.server(authority, version)
        assert self.outcome(server, loop_factory, ca=authority.file, **stranger.client()) == REFUSED


@pytest.mark.asyncio
class TestFiles:
    @pytest.mark.parametrize("fault", ["missing", "no certificate", "a folder"])
    async def test_unusable_authorities_are_named_with_key_and_remedy(self, fault: str, tmp_path: Path) -> None:
        file = tmp_path / "ca.pem"
        if fault == "no certificate":
            file.write_text("hello")
        elif fault == "a folder":
            file.mkdir()
        settings = TwilioConnector.model_validate(
            {"type": "twilio", "url": "https://a.example", "tls": {"ca": str(file)}}
        )
        with pytest.raises(ConfigError, match=r"connector\.bank\.tls\] ca: cannot use .*ca\.pem") as caught:
            await open_connector("bank", settings)
        assert caught.value.remedy

    @pytest.mark.parametrize("fault", ["missing key", "key of another", "no PEM"])
    async def test_unusable_certificate_is_named_with_key_and_remedy(self, fault: str, authority: Authority) -> None:
        tls = authority.client()
        if fault == "missing key":
            Path(tls["key"]).unlink()
        elif fault == "key of another":
            tls["key"] = authority.client("other")["key"]
        else:
            Path(tls["certificate"]).write_text("hello")
        settings = SignalWireConnector.model_validate({"type": "signalwire", "url": "https://a.example", "tls": tls})
        with pytest.raises(ConfigError, match=r"connector\.shop\.tls\] certificate, key: cannot use") as caught:
            await open_connector("shop", settings)
        assert caught.value.remedy

    async def test_certificate_without_key_is_a_mistake_of_the_file(self) -> None:
        text = '[connector.a]\ntype = "twilio"\nurl = "https://a.example"\n[connector.a.tls]\ncertificate = "x.pem"\n'
        with pytest.raises(ConfigError, match=r"connector\.a\.tls: certificate and key belong together"):
            parse(text)

    async def test_renewed_certificate_is_shown_at_the_next_payment(
        self, authority: Authority, stranger: Authority
    ) -> None:
        tls = stranger.client()
        server = authority.server()
        server.verify_mode = ssl.CERT_REQUIRED
        authority.ca.configure_trust(server)
        async with FakeGateway(tls=server) as gateway:
            settings = SignalWireConnector.model_validate(
                {"type": "signalwire", "url": gateway.url, "repeats": 0, "tls": {"ca": authority.file, **tls}}
            )
            connector = await open_connector("shop", settings)
            assert (await connector.submit(submission_of())).outcome is not Outcome.SUCCEEDED
            renewed = authority.client()
            for name in ("certificate", "key"):
                Path(tls[name]).write_bytes(Path(renewed[name]).read_bytes() + b"\n")
            assert (await connector.submit(submission_of())).outcome is Outcome.SUCCEEDED
