"""TLS: contexts for connections that the engine opens and takes, and TLS as a layer between octets and octets.

TLS 1.2 at least, on both sides (PCI DSS 4.2.1, RFC 9325 §3.1.1). No context comes from ``ssl.create_default_context``:
that one writes session keys to the file that SSLKEYLOGFILE names.
"""

from __future__ import annotations

import logging
import ssl
from pathlib import Path
from typing import Any, Literal

from engine.errors import ConfigError
from engine.log import fields

__all__ = ("TlsFiles", "TlsLayer", "client_context", "context_of")

log = logging.getLogger("engine.net.tls")

READ_SIZE = 65536
MAX_WAITING = 1 << 18
"Octets that may wait for the end of a handshake."
_VERIFY = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}


def client_context(ca_file: str = "", *, where: str = "") -> ssl.SSLContext:
    """Return a context that verifies certificate and host name, TLS 1.2 at least (PCI DSS 4.2.1).

    ``ca_file`` replaces the system's certificate authorities; raise ``ConfigError``, with the key ``where``, when it
    can't be read.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not ca_file:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        return context
    try:
        context.load_verify_locations(cafile=ca_file)
    except OSError as error:  # ssl.SSLError is one
        reason = error.strerror or "it holds no certificate"
        raise ConfigError(
            f"cannot use {ca_file}: {reason}", where=where, remedy="name a PEM file of authorities"
        ) from None
    return context


class TlsFiles:
    """Our certificate, its key and the authorities, read again when the files change.

    The files are looked at (not read) for each new connection: one that begins after a certificate was renewed has the
    new one, those that are open go on with theirs. Files that cannot be used at that moment are reported once, and the
    last good ones stay. ``authorities`` verifies servers that we call and, as ``client_certificates`` asks, clients
    that call us; empty: the system's authorities, for servers only. Raise ``ConfigError`` when a file is no good at
    the start; ``table`` is where the configuration names the files, and ``authorities_key`` the one for authorities.
    """

    def __init__(
        self,
        *,
        certificate: str = "",
        key: str = "",
        authorities: str = "",
        client_certificates: Literal["none", "optional", "required"] = "none",
        table: str = "sip.tls",
        authorities_key: str = "authorities",
    ) -> None:
        self._where = f"[{table}] certificate, key"
        self._where_authorities = f"[{table}] {authorities_key}"
        self._certificate = certificate
        self._key = key or certificate
        self._authorities = authorities
        self._verify = _VERIFY[client_certificates]
        self._seen = self._state_of_files()
        self._client, self._server = self._load()

    @property
    def server(self) -> ssl.SSLContext | None:
        """The context for connections that are taken; None without a certificate."""
        self._refresh()
        return self._server

    @property
    def client(self) -> ssl.SSLContext:
        """The context for connections that are opened: certificate and host name of the server are verified."""
        self._refresh()
        return self._client

    def _refresh(self) -> None:
        state = self._state_of_files()
        if state == self._seen:
            return
        self._seen = state
        try:
            self._client, self._server = self._load()
        except ConfigError as error:
            # Renewal writes one file after the other: the second makes another state, and they are read again.
            log.error("changed certificate files cannot be used; the last good ones stay", extra=fields(error=error))
        else:
            log.info("certificate files were read again", extra=fields(certificate=self._certificate))

    def _state_of_files(self) -> tuple[object, ...]:
        state: list[object] = []
        for name in (self._certificate, self._key, self._authorities):
            try:
                found = Path(name).stat() if name else None
            except OSError:
                found = None
            state.append(found and (found.st_mtime_ns, found.st_size, found.st_ino))
        return tuple(state)

    def _load(self) -> tuple[ssl.SSLContext, ssl.SSLContext | None]:
        client = client_context(self._authorities, where=self._where_authorities)
        if not self._certificate:
            return client, None
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.minimum_version = ssl.TLSVersion.TLSv1_2
        server.options |= ssl.OP_NO_RENEGOTIATION
        server.verify_mode = self._verify
        if self._authorities and self._verify != ssl.CERT_NONE:
            server.load_verify_locations(cafile=self._authorities)  # client_context has read it already
        for context in (server, client):
            try:
                # Without a password: the question for one would stop the engine at a terminal that nobody watches.
                context.load_cert_chain(self._certificate, self._key, password=_no_password)
            except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
                reason = getattr(error, "strerror", "") or str(error) or type(error).__name__
                raise ConfigError(
                    f"cannot use {self._certificate} with {self._key}: {reason}",
                    where=self._where,
                    remedy="name PEM files that this user can read: a certificate with its chain, and its key without a"
                    " password",
                ) from None
        return client, server


def context_of(tls: ssl.SSLContext | TlsFiles | None) -> ssl.SSLContext | None:
    """Return the context for the next connection that is opened: that of the files as they are now."""
    return tls.client if isinstance(tls, TlsFiles) else tls


def _no_password() -> str:
    raise ValueError("the key has a password")


class TlsLayer:
    """One side of a TLS connection, without a socket: what came goes in, what is to be sent comes out.

    ``receive`` and ``send`` raise ``ssl.SSLError`` (a failed verification is one); ``data_to_send`` may then hold the
    alert that tells the peer.
    """

    def __init__(self, context: ssl.SSLContext, *, server_side: bool, host: str = "") -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._waiting = bytearray()
        self._object = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_side, server_hostname=host or None
        )
        self.is_established = False
        self.is_over = False
        "Whether the peer said that it sends no more."
        self._handshake()

    def receive(self, data: bytes) -> bytes:
        """Take octets of the network; return those of the application, empty while the handshake lasts."""
        self._incoming.write(data)
        if not self.is_established and not self._handshake():
            return b""
        plain = bytearray()
        try:
            while piece := self._object.read(READ_SIZE):
                plain += piece
            self.is_over = True
        except ssl.SSLWantReadError:
            pass
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            self.is_over = True
        return bytes(plain)

    def send(self, data: bytes) -> None:
        """Encrypt octets of the application; before the end of the handshake they wait."""
        if self.is_established:
            self._object.write(data)
        elif len(self._waiting) + len(data) > MAX_WAITING:
            raise ssl.SSLError("too much waits for the handshake")
        else:
            self._waiting += data

    def data_to_send(self) -> bytes:
        """Return what has to go to the network now."""
        return self._outgoing.read()

    def close(self) -> None:
        """Say that nothing more is sent (close_notify); the peer's answer is not waited for."""
        try:
            self._object.unwrap()
        except (ssl.SSLError, ValueError):
            pass

    @property
    def peer_names(self) -> tuple[str, ...]:
        """Names in the peer's verified certificate: dNSName, URI and IP of subjectAltName, then the common names."""
        certificate: dict[str, Any] | None = self._object.getpeercert() if self.is_established else None
        if not certificate:
            return ()
        alternatives = certificate.get("subjectAltName", ())
        names = [str(value) for kind, value in alternatives if kind in ("DNS", "URI", "IP Address")]
        for part in certificate.get("subject", ()):
            names += [str(value) for kind, value in part if kind == "commonName"]
        return tuple(dict.fromkeys(names))

    def _handshake(self) -> bool:
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return False
        self.is_established = True
        if self._waiting:
            waiting, self._waiting = bytes(self._waiting), bytearray()
            self._object.write(waiting)
        return True
