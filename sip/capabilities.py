"""What an answer to OPTIONS says that we can do (RFC 3261 §11.2)."""

from __future__ import annotations

from sip.agent import SUPPORTED
from sip.bodies import ACCEPTED_TYPES
from sip.info import supported_content_types
from sip.refer import ALLOW_EVENTS

__all__ = ("capabilities",)


def capabilities(allow: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Return the header fields, with these methods under Allow."""
    return (
        ("Allow", ", ".join(allow)),
        ("Accept", ", ".join((*ACCEPTED_TYPES, *supported_content_types))),
        ("Accept-Encoding", "identity"),
        ("Accept-Language", "en"),
        ("Supported", ", ".join(SUPPORTED)),
        *ALLOW_EVENTS,
    )
