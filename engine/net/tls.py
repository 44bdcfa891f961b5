"""TLS for connections that the engine opens."""

from __future__ import annotations

import ssl

from engine.errors import ConfigError

__all__ = ("client_context",)


def client_context(ca_file: str = "") -> ssl.SSLContext:
    """Return a context that verifies certificate and host name, TLS 1.2 at least (PCI DSS 4.2.1).

    ``ca_file`` replaces the system's certificate authorities; raise ``ConfigError`` when it can't be read.
    """
    # Not ssl.create_default_context: that one writes session keys to the file SSLKEYLOGFILE names.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not ca_file:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        return context
    try:
        context.load_verify_locations(cafile=ca_file)
    except OSError as error:  # ssl.SSLError is one
        reason = error.strerror or "it holds no certificate"
        raise ConfigError(f"cannot use {ca_file}: {reason}", remedy="name a PEM file of authorities") from None
    return context
