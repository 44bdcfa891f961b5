"""A certificate for tests and for the proxy's host names: an authority of its own and one certificate of it.

The authority's key is used once and not kept: nobody can make another certificate with it, which matters because
clients are told to trust it. It is also constrained to the names of this certificate (RFC 5280 §4.2.1.10).
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from engine.errors import ConfigError

__all__ = ("NAMES", "CertificateFiles", "make_certificate")

NAMES = ("api.twilio.com", "relay.signalwire.com", "api.nexmo.com", "localhost", "127.0.0.1", "::1")
"What every certificate names."
VALID_DAYS = 820
"Clients refuse what is valid for longer than 825 days."
EARLIER = timedelta(minutes=5)
"Clocks of clients may be behind."
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateFiles:
    """Files in PEM."""

    authority: Path
    "What clients are to trust."
    certificate: Path
    "``[api.tls] certificate``: the certificate, and its authority behind it."
    key: Path


def make_certificate(directory: Path, hosts: Sequence[str] = (), *, force: bool = False) -> CertificateFiles:
    """Write ``ca.pem``, ``certificate.pem`` and ``key.pem`` for `NAMES` and ``hosts``, names or IP addresses.

    Raise ``ConfigError``, with the remedy, for a name that is none, for files that are there (without ``force``) and
    for a directory that cannot be written. The key can be read by its owner only.
    """
    names = [_general_name(name) for name in dict.fromkeys((*NAMES, *hosts))]
    files = CertificateFiles(
        authority=directory / "ca.pem", certificate=directory / "certificate.pem", key=directory / "key.pem"
    )
    if not force:
        for path in (files.authority, files.certificate, files.key):
            if path.exists():
                raise ConfigError(
                    f"{path} is there already",
                    remedy="give --force to replace all three (clients must trust the new ca.pem then)",
                )
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = _authority(ca_key, names)
    leaf = _leaf(key.public_key(), names, ca_key, authority)
    authority_pem = authority.public_bytes(serialization.Encoding.PEM)
    key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        _write(files.key, key_pem, 0o600)
        _write(files.certificate, leaf.public_bytes(serialization.Encoding.PEM) + authority_pem, 0o644)
        _write(files.authority, authority_pem, 0o644)
    except OSError as error:
        raise ConfigError(
            f"cannot write into {directory}: {error.strerror}", remedy="name a directory that this user can write"
        ) from None
    return files


def _general_name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        pass
    labels = text.removeprefix("*.").split(".")
    if not text.isascii() or not all(
        0 < len(label) <= 63 and label.replace("-", "a").isalnum() and label.strip("-") == label for label in labels
    ):
        raise ConfigError(f"{text!r} is no host name and no IP address", remedy="write --host pay.example.com")
    return x509.DNSName(text.lower())


def _builder(subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    begins = datetime.now(UTC).replace(microsecond=0) - EARLIER
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + timedelta(days=VALID_DAYS))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _authority(key: ec.EllipticCurvePrivateKey, names: Sequence[x509.GeneralName]) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "paytone authority of one certificate")])
    return (
        _builder(name, name, key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(authority=True), critical=True)
        .add_extension(
            x509.NameConstraints(permitted_subtrees=[_subtree(one) for one in names], excluded_subtrees=None),
            critical=True,
        )
        .sign(key, hashes.SHA256())
    )


def _subtree(name: x509.GeneralName) -> x509.GeneralName:
    if isinstance(name, x509.IPAddress):
        return x509.IPAddress(ipaddress.ip_network(str(name.value)))
    return x509.DNSName(str(name.value).removeprefix("*."))


def _leaf(
    public: ec.EllipticCurvePublicKey,
    names: Sequence[x509.GeneralName],
    ca_key: ec.EllipticCurvePrivateKey,
    authority: x509.Certificate,
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "paytone")])
    return (
        _builder(subject, authority.subject, public)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )


def _write(path: Path, data: bytes, mode: int) -> None:
    """Write a file whole or not at all, with its mode from the beginning."""
    partial = path.with_name(f".{path.name}.new")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        os.write(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    partial.replace(path)
