"""What is wrong with a TwiML document, by the vendor's codes (`dialects.md` §4.4)."""

from __future__ import annotations

from engine.errors import Error

__all__ = (
    "ACTION_URL",
    "CONTENT_TYPE",
    "DOCUMENT_PARSE",
    "HTTP_RETRIEVAL",
    "SCHEMA_WARNING",
    "TwimlError",
)

HTTP_RETRIEVAL = 11200
"The application gave no document."
DOCUMENT_PARSE = 12100
SCHEMA_WARNING = 12200
"Something of a document is passed over."
CONTENT_TYPE = 12300
ACTION_URL = 64016
"Of a payment."


class TwimlError(Error):
    """A document cannot be run.

    ``code`` is the vendor's; the message names the line and the remedy, and repeats nothing of the document.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
