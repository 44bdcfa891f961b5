"""The realm of an account, and of a project that may fetch what its calls recorded."""

from __future__ import annotations

from aiohttp import hdrs, web

from engine.api.auth import Authenticator, secrets_of
from engine.api.deps import ApiDeps
from engine.api.errors import ApiError, not_found
from engine.api.realm import USER
from engine.api.twilio.answers import error_answer
from engine.api.twilio.recordings import AUDIO

__all__ = ("AccountRealm",)

FOR_PROJECTS = frozenset({AUDIO})
"Routes that are served to a project of ``[signalwire]``; all else is an account's."


class AccountRealm:
    """Every path that is no other dialect's (``engine.api.realm.Realm``)."""

    def __init__(self, deps: ApiDeps) -> None:
        """Raise ``ConfigError`` when the environment does not hold a secret that the configuration names."""
        signalwire = deps.config.signalwire
        self._account = deps.account_sid
        self._project = signalwire.project if signalwire.token_env else ""
        self._authenticator = Authenticator(secrets_of(deps.config.twilio, signalwire))

    def has(self, path: str) -> bool:
        """Return true: what belongs to nobody else is refused here."""
        return True

    def admit(self, request: web.Request, route: str, now: float) -> None:
        """Let in who has the account's or a key's credentials, and a project for its recordings."""
        if not (self._account or self._project):
            raise not_found(request.path)
        header = request.headers.get(hdrs.AUTHORIZATION, "")
        user = request[USER] = self._authenticator.authenticate(header, request.remote or "", now)
        account = self._project if user == self._project else self._account
        if request.match_info.get("account", account) != account:
            raise ApiError(403, 20003, "The account in the path is not the one of the credentials")
        if user == self._project and route not in FOR_PROJECTS:
            raise not_found(request.path)

    def refusal(self, error: ApiError) -> web.Response:
        """Return an error as ``twilio.answers`` makes it."""
        return error_answer(error)
