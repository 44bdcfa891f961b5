"""How a request to the HTTP interface fails."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ("ApiError", "not_found")


class ApiError(Exception):
    """A request cannot be done; the server makes the answer of it, in the dialect's shape.

    ``code`` is the dialect's number (`dialects.md` §4.4), ``status`` that of HTTP. The message goes to the client: it
    says the remedy, and repeats no value of the request.
    """

    def __init__(self, status: int, code: int, message: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = dict(headers or {})


def not_found(path: str) -> ApiError:
    """Return the error for what is not there, or not this account's; ``path`` is the request's, without its query."""
    return ApiError(404, 20404, f"The requested resource {path} was not found")
