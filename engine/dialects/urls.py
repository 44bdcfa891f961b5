"""URLs of a document: absolute ones of relative ones, by RFC 3986 §5, against where the document came from."""

from __future__ import annotations

from urllib.parse import quote, urldefrag, urljoin, urlsplit, urlunsplit

__all__ = ("MAX_URL_CHARS", "host_of", "is_https", "resolved", "without_credentials")

MAX_URL_CHARS = 4096
_AS_WRITTEN = "%/:=&?~#+!$,;'@()*[]"
"Beside letters, figures and -._ these stay; the rest, such as a blank or an umlaut, is percent-encoded."


def resolved(base: str, url: str) -> str:
    """Return ``url`` made absolute by ``base`` (empty: there is none) without its fragment; empty: it cannot be."""
    url = url.strip()
    try:
        # With a scheme it is no relative one; urljoin takes "https://" for one, as RFC 3986 §5.2.2 would allow.
        joined = url if urlsplit(url).scheme else urljoin(base, url)
        whole = quote(urldefrag(joined).url, safe=_AS_WRITTEN)
        parts = urlsplit(whole)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and "%" not in parts.hostname
    except ValueError:  # a port or an IPv6 address that is none
        return ""
    return whole if usable and len(whole) <= MAX_URL_CHARS else ""


def is_https(url: str) -> bool:
    """Return whether a URL made by `resolved` is fetched over TLS."""
    return url.startswith("https:")


def host_of(url: str) -> str:
    """Return what of a URL may stand in a log: an application may have put into the rest what a caller keyed."""
    return urlsplit(url).hostname or ""


def without_credentials(url: str) -> str:
    """Return the URL without ``user:password@``."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
