"""Trying: one request, sent again while that may do better, and what all its tries come to.

Whatever the wire, a try ends in a verdict: an answer, whether to ask again, whether money may have moved, and whether
the gateway spoke of this very transaction. Once a try may have charged, only such a word settles the payment.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from engine.log import fields
from engine.net.http import BadAnswer, HttpResponse, NotSent, Unanswered
from engine.pay.submission import ConnectorAnswer, Outcome

__all__ = ("BACKOFF_S", "Verdict", "answer_of", "in_doubt", "send_repeatedly")

log = logging.getLogger("engine.connectors")

BACKOFF_S = (0.5, 1.0, 2.0, 4.0, 4.0)
"Waits before the repeats; the last one serves for all further ones. The caller is listening meanwhile."


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What one answer, or its absence, comes to."""

    answer: ConnectorAnswer
    repeat: bool = False
    may_have_charged: bool = False
    is_final_word: bool = False
    "The gateway spoke about this very transaction."
    payment_method: str = ""
    "Stripe's PaymentMethod, when one was made."

    def settled(self, *, after_doubt: bool) -> ConnectorAnswer:
        """Return the answer to give when no more is asked; ``after_doubt``: an earlier try may have charged."""
        answer = self.answer
        if self.is_final_word or not after_doubt or answer.outcome is Outcome.UNKNOWN:
            return answer
        return replace(answer, outcome=Outcome.UNKNOWN, error_type="")

    def harmless(self) -> Verdict:
        """Return the verdict of a request that could not charge: what is unknown has failed, for certain."""
        outcome = Outcome.FAILED if self.answer.outcome is Outcome.UNKNOWN else self.answer.outcome
        return replace(self, answer=replace(self.answer, outcome=outcome), may_have_charged=False)


def answer_of(outcome: Outcome, code: str, message: str) -> ConnectorAnswer:
    """Return an answer without money."""
    return ConnectorAnswer(outcome=outcome, error_code=code, error_message=message)


def in_doubt(code: str, message: str, *, repeat: bool = True) -> Verdict:
    """Return the verdict on a request that may have been carried out."""
    return Verdict(answer=answer_of(Outcome.UNKNOWN, code, message), repeat=repeat, may_have_charged=True)


async def send_repeatedly(
    send: Callable[[], Awaitable[HttpResponse]],
    read: Callable[[HttpResponse], Verdict],
    *,
    repeats: int,
    sleep: Callable[[float], Awaitable[None]],
    **noted: str,
) -> tuple[Verdict, bool]:
    """Send a request while that is of use; return the last verdict, and whether an earlier try left a doubt.

    ``send`` sends the same each time and raises as ``engine.net.http.request`` does. ``noted`` goes into the log.
    """
    doubt = False
    for repeat in range(repeats + 1):
        if repeat:
            await sleep(BACKOFF_S[min(repeat, len(BACKOFF_S)) - 1])
        verdict = await _try(send, read)
        if not verdict.repeat:
            break
        doubt = doubt or verdict.may_have_charged
        error, reason = verdict.answer.error_code, verdict.answer.error_message
        log.warning(
            "the gateway did not answer properly", extra=fields(**noted, attempt=repeat + 1, error=error, reason=reason)
        )
    return verdict, doubt


async def _try(send: Callable[[], Awaitable[HttpResponse]], read: Callable[[HttpResponse], Verdict]) -> Verdict:
    try:
        response = await send()
    except NotSent as error:
        return Verdict(answer=answer_of(Outcome.FAILED, "unreachable", str(error)), repeat=True)
    except Unanswered as error:
        return in_doubt("no_answer", str(error))
    except BadAnswer as error:
        return in_doubt("bad_answer", str(error), repeat=error.status is None or not 300 <= error.status < 400)
    return read(response)
