"""One stream of keys out of three sources (architecture, section 4). Pure: time comes with the events.

The laws, as ``VERDICTS`` has them:

- Once a telephone-event was heard, tones in the audio are what leaked beside the events: dropped.
- A key that another source reported already is the same press: absorbed. It is the same when the code is, and when the
  two stretches of time are no further apart than ``WINDOW_S`` (``INFO_WINDOW_S`` where one of them is SIP INFO, which
  travels on another road and is retransmitted after T1 = 500 ms).
- One source never repeats itself: two presses from one source are two presses, however close.
- So a press absorbs at most one report of each other source. That lets the windows be wide without eating the second
  of two quick equal keys.

What is remembered of a key is forgotten ``INFO_WINDOW_S`` after its end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from engine.media.events import DigitEnded, DigitReceived, DigitSource

__all__ = ("INFO_WINDOW_S", "VERDICTS", "WINDOW_S", "DigitMerger", "Verdict")

WINDOW_S = 0.3
"""Between telephone-event and tone: jitter buffer (200 ms at most), detector (45 ms) and the dating of both."""
INFO_WINDOW_S = 1.0
"""Around SIP INFO: one retransmission (500 ms), and the way through two proxies."""
LONGEST_PRESS_S = 30.0
"""A press whose end never came is over then."""


class Verdict(StrEnum):
    """What becomes of a report."""

    REPORT = "report"
    ABSORB = "absorb"
    DROP = "drop"


_EVENT, _TONE, _INFO = DigitSource.TELEPHONE_EVENT, DigitSource.IN_BAND, DigitSource.INFO

VERDICTS: Mapping[tuple[DigitSource, bool, bool], Verdict] = MappingProxyType(
    {
        # (source, a telephone-event was heard before, another source has this press): verdict
        (_EVENT, False, False): Verdict.REPORT,
        (_EVENT, False, True): Verdict.ABSORB,
        (_EVENT, True, False): Verdict.REPORT,
        (_EVENT, True, True): Verdict.ABSORB,
        (_TONE, False, False): Verdict.REPORT,
        (_TONE, False, True): Verdict.ABSORB,
        (_TONE, True, False): Verdict.DROP,
        (_TONE, True, True): Verdict.DROP,
        (_INFO, False, False): Verdict.REPORT,
        (_INFO, False, True): Verdict.ABSORB,
        (_INFO, True, False): Verdict.REPORT,
        (_INFO, True, True): Verdict.ABSORB,
    }
)


@dataclass(slots=True, kw_only=True)
class _Press:
    code: int = field(repr=False)
    began: float
    ended: float | None = None
    sources: set[DigitSource]
    end_reported: bool = False

    def until(self) -> float:
        return self.ended if self.ended is not None else self.began + LONGEST_PRESS_S

    def is_near(self, source: DigitSource, at: float) -> bool:
        window = INFO_WINDOW_S if _INFO in (source, *self.sources) else WINDOW_S
        return self.began - window <= at <= self.until() + window


class DigitMerger:
    """Merges the digit events of one leg, and of its SIP INFO requests."""

    def __init__(self) -> None:
        self._presses: list[_Press] = []
        self._event_heard = False

    def receive(self, event: DigitReceived) -> DigitReceived | None:
        """Take a report; return it when it is a press of its own, else None.

        For SIP INFO pass an event with `DigitSource.INFO` and the monotonic time of the request as `at`.
        """
        self._forget(event.at)
        same = next(
            (
                press
                for press in self._presses
                if press.code == event.code
                and event.source not in press.sources
                and press.is_near(event.source, event.at)
            ),
            None,
        )
        verdict = VERDICTS[event.source, self._event_heard, same is not None]
        self._event_heard = self._event_heard or event.source is _EVENT
        if verdict is Verdict.ABSORB and same is not None:
            same.sources.add(event.source)
            same.began = min(same.began, event.at)
            return None
        if verdict is Verdict.DROP:
            return None
        # An INFO is one message: no end follows it.
        ended = event.at if event.source is _INFO else None
        self._presses.append(_Press(code=event.code, began=event.at, ended=ended, sources={event.source}))
        return event

    def end(self, event: DigitEnded, now: float) -> DigitEnded | None:
        """Take the end of a press at monotonic `now`; return the first one of each press, else None."""
        for press in self._presses:
            if press.code == event.code and event.source in press.sources and not press.end_reported:
                press.ended = max(press.began, now)
                press.end_reported = True
                return event
        return None

    def events_withdrawn(self) -> None:
        """Note that the far end changed or no longer has telephone-events: its tones are digits again."""
        self._event_heard = False

    def _forget(self, now: float) -> None:
        self._presses = [press for press in self._presses if press.until() + INFO_WINDOW_S >= now]
