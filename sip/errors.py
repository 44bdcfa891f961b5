"""The errors of the SIP package.

::

    SipError
    ├── ParseError (ValueError)   bytes from a peer that are not what the grammar says
    ├── LocalProtocolError        our own caller asked for what the protocol forbids
    └── RemoteProtocolError       the peer broke a rule; carries the status to answer with
        └── NoCommonMedia         no audio stream that both sides can take (488)

No message holds a value that the peer sent: it names the header or the line, and the clause. What a peer sends can
be a telephone number, a password's digest or a keyed digit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sip.message import Request

__all__ = ("LocalProtocolError", "NoCommonMedia", "ParseError", "RemoteProtocolError", "SipError")


class SipError(Exception):
    """Root of the errors of ``sip``."""


class ParseError(SipError, ValueError):
    """Bytes or text from a peer that cannot be parsed.

    ``where`` names the header, field or line; ``section`` the clause that was broken (``RFC 3261 §8.1.1.5``);
    ``status_hint`` the status a UAS answers with. ``partial`` is the request as far as it was understood, when that
    is enough to answer it without state (its top Via is usable), and None for responses and for anything worse.
    """

    def __init__(
        self,
        message: str,
        *,
        where: str = "",
        section: str = "",
        status_hint: int = 400,
        partial: Request | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.section = section
        self.status_hint = status_hint
        self.partial = partial

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if self.where else self.message
        return f"{text} ({self.section})" if self.section else text


class LocalProtocolError(SipError):
    """What was asked for would break the protocol; nothing was sent and no state has changed."""


class RemoteProtocolError(SipError):
    """The peer broke a rule beyond the grammar. ``status_hint`` is the status to answer a request with."""

    def __init__(self, message: str, *, status_hint: int = 400) -> None:
        super().__init__(message)
        self.status_hint = status_hint


class NoCommonMedia(RemoteProtocolError):  # noqa: N818  (named as the situation, RFC 3261 §21.4.26)
    """The description has no audio stream that both sides can take: 488 Not Acceptable Here."""

    def __init__(self, message: str, *, status_hint: int = 488) -> None:
        super().__init__(message, status_hint=status_hint)
