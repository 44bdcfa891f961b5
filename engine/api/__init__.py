"""The engine's HTTP interface."""

from engine.api.certificates import CertificateFiles, make_certificate
from engine.api.deps import ApiDeps, Resource
from engine.api.open import Api, open_api
from engine.api.server import ApiServer

__all__ = ("Api", "ApiDeps", "ApiServer", "CertificateFiles", "Resource", "make_certificate", "open_api")
