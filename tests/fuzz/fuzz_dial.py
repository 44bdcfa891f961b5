"""Fuzz a Dial: answers, ends, hang-ups, transfers, redirections and time in any order.

Laws: the outcome is told once at most, and never after the document went on elsewhere; at most one of those called is
connected with the caller, behind mask lines on both sides; in the end nobody whom the Dial called is still up, but who
was led away by REST; a transfer hears its last word once.
"""

from __future__ import annotations

import sys

from dsp.mask import MaskFill
from engine.dialects.twiml.commands import DialOut, Parameters, Source
from engine.dialects.twiml.verbs import Dial, Number, Sip
from engine.errors import CallError, ProgramError
from engine.program import CallState, Transfer
from engine.programs.dial import make_dial
from engine.programs.leg_program import LegProgram
from tests.support.call_control import FakeCall
from tests.support.exchange import FakeExchange, later, run
from tests.support.programs import FakePrompts, FakeWeb, config_of, context_of, settle

__all__ = ("SEEDS", "one_input")

SEEDS = [bytes([0, 0x10, 0x20]), bytes([7, 0x11, 0x41, 0x12, 0x22, 0x80]), bytes([3, 0x10, 0x50, 0x70, 0x60])]
CAUSES = ("busy", "no-answer", "refused", "remote_bye", "timeout")
STATUSES = frozenset({"completed", "busy", "no-answer", "failed", "canceled"})
NOUNS = (
    Sip(uri="sip:a@example.com"),
    Number(number="+15550100", send_digits="w12"),
    Sip(uri="sip:b@example.com", url="/whisper"),
)


class Case:
    """One Dial and all that happens to it."""

    def __init__(self, kind: int) -> None:
        state = CallState.RINGING if kind & 8 else CallState.ANSWERED
        self.call = FakeCall(state=state, call_id="f" * 32)
        self.exchange, web = FakeExchange(), FakeWeb()
        web.pages["https://app.example.com/whisper"] = "<Response><Say>Hello</Say></Response>"
        self.context = context_of(web, FakePrompts(), config=config_of(), exchange=self.exchange)
        dial = Dial(nouns=NOUNS[: 1 + kind % 3], hangup_on_star=True, time_limit_s=60, answer_on_bridge=bool(kind & 8))
        base = "https://app.example.com/voice"
        self.outcomes: list[Parameters] = []
        self.verb = make_dial(DialOut(token=1, dial=dial, base_url=base), self.call, self.context, base, self._ended)
        self.stopped = self.hung_up = False
        self.led_away: set[int] = set()
        self.reports: list[list[int]] = []
        self.verb.start(self.context.now())

    def _ended(self, parameters: Parameters) -> None:
        assert not self.stopped
        self.outcomes.append(parameters)

    async def happen(self, what: int) -> None:
        """Let one thing happen."""
        kind, index = what >> 4, what & 3
        calls = self.exchange.calls
        leg = calls[index] if index < len(calls) else None
        up = leg is not None and leg.state is not CallState.ENDED
        if kind == 1 and up and leg is not None and leg.state is not CallState.ANSWERED:
            self.exchange.answer(index)
        elif kind == 2 and up:
            self.exchange.end(index, CAUSES[what % len(CAUSES)])
        elif kind == 3 and not self.hung_up:
            self.verb.digit(10 if what & 1 else 5, self.context.now())
        elif kind == 4 and leg is not None:
            self._transfer(leg)
        elif kind == 5 and leg is not None and isinstance(leg.program, LegProgram):
            try:
                leg.program.redirect(Source(text="<Response><Pause length='3600'/></Response>"))
            except ProgramError:
                assert not up
            else:
                self.led_away.add(index)
        elif kind == 6:
            await later(float(1 << (what & 7)))
        elif kind == 7 and leg is not None and leg.tokens and up:
            leg.program.play_finished(leg.tokens.pop(), False, self.context.now())
        elif kind == 8 and not self.hung_up:
            self.hung_up = True
            self.call.state = CallState.ENDED
            self.verb.hang_up(self.context.now())
        elif kind == 9 and not self.outcomes and not self.hung_up:
            self.stopped = True
            self.verb.stop(self.context.now())
        await settle()
        self.check()

    def _transfer(self, leg: FakeCall) -> None:
        assert isinstance(leg.program, LegProgram)
        told: list[int] = []
        try:
            wanted = Transfer(to="sip:c@example.com", report=lambda status, reason: told.append(status))
            if len(self.exchange.calls) < 8 and leg.program.transfer(wanted):
                self.reports.append(told)
        except CallError:
            pass

    def check(self) -> None:
        """Hold the laws at any time."""
        assert len(self.outcomes) <= 1
        assert all(sum(status >= 200 for status in told) <= 1 for told in self.reports)
        other = self.call.bridged_with
        if other is not None and not self.hung_up:
            asked = [what for what, _ in self.call.asked]
            assert asked.index("mask_line") < asked.index("bridge")
            found = next(one for one in self.exchange.calls if one.facts == other.facts)
            assert ("mask_line", MaskFill.TONE) in found.asked
        if self.outcomes or self.stopped:
            assert self.call.bridged_with is None
            self._nobody_is_up()

    def _nobody_is_up(self) -> None:
        for index, leg in enumerate(self.exchange.calls):
            assert index in self.led_away or leg.state is CallState.ENDED or leg.times_hung_up or self._leaves(leg)

    def _leaves(self, leg: FakeCall) -> bool:
        """Whether it may be one who handed the caller over, and has some seconds to hang up."""
        return leg.state is CallState.ANSWERED and any(200 in told for told in self.reports)

    async def end(self) -> None:
        """The caller hangs up: it must be over then."""
        await self.happen(0x80)
        await later(10.0)
        if not self.stopped:
            ((name, status), *_) = self.outcomes[0]
            assert (name, status in STATUSES) == ("DialCallStatus", True)
        for index, leg in enumerate(self.exchange.calls):
            assert index in self.led_away or leg.state is CallState.ENDED
        assert all(sum(status >= 200 for status in told) == 1 for told in self.reports)
        for index, leg in enumerate(self.exchange.calls):
            if leg.state is not CallState.ENDED:
                self.exchange.end(index, "remote_bye")
            await leg.program.done()


def one_input(data: bytes) -> None:
    """Run one case; raises whatever should not happen."""

    async def play() -> None:
        case = Case(data[0] if data else 0)
        for what in data[1:60]:
            await case.happen(what)
        await case.end()

    run(play)


if __name__ == "__main__":
    import atheris  # type: ignore[import-untyped,unused-ignore]

    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
