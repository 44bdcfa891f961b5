"""Certificates for one test: an authority, and a server that shows 127.0.0.1 and localhost."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import trustme

__all__ = ("Certificates", "make_certificates")


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificates:
    """Files in PEM."""

    authorities: Path
    certificate: Path
    key: Path


def make_certificates(directory: Path, *names: str) -> Certificates:
    """Write an authority and one certificate of it for `names` (127.0.0.1 and localhost without any).

    RSA, which the OpenSSL 1.0.2 of the pjsua2 wheel knows too.
    """
    directory.mkdir(parents=True, exist_ok=True)
    authority = trustme.CA(key_type=trustme.KeyType.RSA)
    issued = authority.issue_cert(*(names or ("127.0.0.1", "localhost")), key_type=trustme.KeyType.RSA)
    files = Certificates(
        authorities=directory / "authorities.pem", certificate=directory / "certificate.pem", key=directory / "key.pem"
    )
    authority.cert_pem.write_to_path(str(files.authorities))
    files.certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(str(files.key))
    return files
