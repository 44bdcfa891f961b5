"""Where the outcome of a verb is told (`dialects.md` §4.1, §4.3, §4.6)."""

from __future__ import annotations

from dataclasses import dataclass

from engine.dialects.twiml.commands import Warn
from engine.dialects.twiml.errors import ACTION_URL, HTTP_RETRIEVAL
from engine.dialects.twiml.verbs import Dial, Enqueue, Gather, Method, Pay, Record
from engine.dialects.urls import is_https, resolved

__all__ = ("Action", "action_of")


@dataclass(frozen=True, slots=True)
class Action:
    """Where an outcome is told, if anywhere."""

    url: str = ""
    method: Method = "POST"
    warning: Warn | None = None


def action_of(verb: Gather | Pay | Record | Dial | Enqueue, base: str, *, allow_insecure: bool) -> Action:
    """Return where a verb's outcome is told.

    Without an action that is the document's own URL, but for ``<Dial>`` and ``<Enqueue>``: behind them the next verb
    follows. A payment's is POST, and https unless ``allow_insecure`` (D-30).
    """
    if isinstance(verb, Pay):
        url = resolved(base, verb.attributes.get("action", ""))
        if url and (allow_insecure or is_https(url)):
            return Action(url)
        text = f"line {verb.line}: <Pay> has no action to be told its result; write an absolute https URL"
        return Action(warning=Warn(code=ACTION_URL, message=text))
    if isinstance(verb, Dial | Enqueue) and not verb.action:
        return Action()
    url = resolved(base, verb.action)
    if url:
        return Action(url, verb.method)
    text = f"the action of <{type(verb).__name__}> is no URL; write an absolute http(s) URL"
    return Action(warning=Warn(code=HTTP_RETRIEVAL, message=text))
