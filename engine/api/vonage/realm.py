"""The realm of applications of the Voice API: every path below ``/v1``."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from aiohttp import hdrs, web

from engine.api.auth import SourceFailures
from engine.api.errors import ApiError
from engine.api.realm import USER
from engine.api.vonage.answers import PREFIX, VoiceError, refusal
from engine.api.vonage.tokens import TokenError, Tokens, bearer_token

__all__ = ("VoiceRealm",)

_CHALLENGE = {"WWW-Authenticate": "Bearer"}


class VoiceRealm:
    """Lets applications in by their tokens (``engine.api.realm.Realm``).

    Tokens that nobody with the key made are counted by source, as wrong passwords are (``engine.api.auth``).
    """

    def __init__(self, tokens: Tokens, *, clock: Callable[[], datetime]) -> None:
        self._tokens = tokens
        self._clock = clock
        self._failures = SourceFailures()

    def has(self, path: str) -> bool:
        """Return whether a path is the Voice API's."""
        return path == PREFIX or path.startswith(f"{PREFIX}/")

    def admit(self, request: web.Request, route: str, now: float) -> None:
        """Let in who shows a good token."""
        source = request.remote or ""
        self._failures.check(source, now)
        token = bearer_token(request.headers.get(hdrs.AUTHORIZATION, ""))
        if not token:
            raise VoiceError(401, "A token of the application is wanted: Authorization: Bearer", headers=_CHALLENGE)
        try:
            name = self._tokens.check(token, request.path, request.method, self._clock().timestamp())
        except TokenError as error:
            if error.is_forged:
                self._failures.hold_against(source, now)
            raise VoiceError(401, str(error), headers=_CHALLENGE) from None
        self._failures.clear(source)
        request[USER] = name

    def refusal(self, error: ApiError) -> web.Response:
        """Return an error as ``vonage.answers`` makes it."""
        return refusal(error)
