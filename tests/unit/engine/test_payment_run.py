"""A payment on a call: prompts that are ready and prompts that are not, its course, one payment at a time."""

from __future__ import annotations

import logging
from typing import Any, cast

import pytest

from engine import payment_run
from engine.events import PaymentFinished, PromptFinished, PromptStarted
from engine.pay.fields import ErrorType, Step
from engine.pay.prompt_rules import DefaultPrompt
from engine.pay.results import PayResult, Result
from engine.pay.submission import Outcome
from engine.payment_run import PaymentGuard, PaymentRun, SessionInProgressError
from prompts.errors import PromptError, SynthesisError
from tests.support.payment_scene import CARD, CARD_KEYS, VISA, Scene, clip_of

pytestmark = pytest.mark.asyncio


class TestPrompts:
    async def confirming(self) -> Scene:
        scene = Scene(capture=True, confirm=True)
        scene.start()
        scene.capture_all()
        assert scene.complete() is None
        await scene.until(lambda: scene.clips.renderings)
        return scene

    async def end(self, scene: Scene) -> None:
        scene.run.hang_up(scene.now)
        await scene.run.done()

    async def test_a_prompt_that_is_ready_is_heard_at_once_and_told_of(self) -> None:
        scene = Scene()
        scene.start()
        assert scene.speaker.heard[0][0] == "payment-card-number"
        scene.prompt_ends()
        kinds = [type(event) for event in scene.events if isinstance(event, PromptStarted | PromptFinished)]
        assert kinds == [PromptStarted, PromptFinished]
        await self.end(scene)

    async def test_a_prompt_with_digits_is_heard_when_it_is_rendered(self) -> None:
        scene = await self.confirming()
        assert scene.speaker.heard == []
        assert scene.clips.asked == [DefaultPrompt("confirm-last-four", "1111")]
        scene.clips.renderings[0].set_result(clip_of("confirm-last-four"))
        await scene.until(lambda: scene.speaker.heard)
        assert scene.speaker.heard == [("confirm-last-four", "press-1-to-confirm")]
        assert scene.speaker.interruptible == [False]
        scene.keys("1")
        await scene.run.done()
        assert scene.result.result is Result.SUCCESS

    async def test_a_key_that_comes_before_the_clip_wins(self) -> None:
        scene = await self.confirming()
        scene.keys("1")
        scene.clips.renderings[0].cancel()
        await scene.until(lambda: scene.results)
        await scene.run.done()
        assert scene.speaker.heard == []
        assert scene.result.result is Result.SUCCESS

    async def test_a_newer_prompt_wins_over_one_that_is_still_rendered(self) -> None:
        scene = await self.confirming()
        assert scene.capture("expiration-date") is None
        scene.keys("1229")
        assert scene.complete() is None
        await scene.until(lambda: len(scene.clips.renderings) == 2)
        old, new = scene.clips.renderings
        assert old.cancelled()
        new.set_result(clip_of("new"))
        await scene.until(lambda: scene.speaker.heard)
        assert scene.speaker.heard == [("new", "press-1-to-confirm")]
        await self.end(scene)

    @pytest.mark.parametrize(
        "error", [SynthesisError("espeak-ng is not there"), PromptError("unknown"), RuntimeError("said 1111")]
    )
    async def test_a_prompt_that_cannot_be_said_counts_as_heard(
        self, error: Exception, caplog: pytest.LogCaptureFixture
    ) -> None:
        scene = await self.confirming()
        scene.clips.renderings[0].set_exception(error)
        await scene.until(lambda: scene.machine.state == "confirming")
        assert scene.speaker.heard == []  # not the half of it either
        assert "a prompt cannot be said" in caplog.text
        assert "1111" not in caplog.text
        await self.end(scene)
        assert scene.result.result is Result.CALLER_HUNG_UP

    async def test_a_synthesiser_that_hangs_is_given_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(payment_run, "RENDER_LIMIT_S", 0.0)
        scene = Scene(capture=True, confirm=True)
        scene.start()
        scene.capture_all()
        scene.complete()
        await scene.until(lambda: scene.machine.state == "confirming")
        await self.end(scene)

    async def test_a_call_that_cannot_play_what_was_rendered_does_not_hang_the_payment(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(*arguments: object, **options: object) -> None:
            raise RuntimeError("no leg")

        scene = await self.confirming()
        monkeypatch.setattr(scene.speaker, "play", fail)
        scene.clips.renderings[0].set_result(clip_of("confirm-last-four"))
        await scene.until(lambda: scene.machine.state == "confirming")
        assert "a prompt cannot be played" in caplog.text
        await self.end(scene)

    async def test_hanging_up_ends_a_rendering(self) -> None:
        scene = await self.confirming()
        await self.end(scene)
        await scene.until(lambda: scene.clips.renderings[0].cancelled())
        assert scene.speaker.heard == []

    async def test_the_end_of_a_prompt_of_an_earlier_payment_is_not_ours(self) -> None:
        first, second = Scene(), Scene()
        first.start()
        second.start()
        assert first.speaker.tokens[0] != second.speaker.tokens[0]
        second.run.play_finished(first.speaker.tokens[0], False, second.now)
        assert second.machine.state == "prompting"
        second.prompt_ends()
        assert second.machine.state == "waiting"
        await self.end(first)
        await self.end(second)


class TestCourse:
    async def test_one_payment_at_a_time_on_a_call(self) -> None:
        guard = PaymentGuard()
        first, second = Scene(guard=guard), Scene(guard=guard, capture=True)
        first.start()
        with pytest.raises(SessionInProgressError) as caught:
            second.start()
        assert caught.value.error_type is ErrorType.SESSION_IN_PROGRESS
        assert (second.results, second.written) == ([], [])
        first.run.stop(first.now)
        await first.run.done()
        second.start()
        second.run.stop(second.now)
        await second.run.done()
        assert second.result.result is Result.RELAY_PAY_STOP

    async def test_a_payment_that_leaves_late_does_not_open_the_door_to_a_third(self) -> None:
        guard, first, second = PaymentGuard(), object(), object()
        guard.enter(first)
        guard.leave(first)
        guard.enter(second)
        guard.leave(first)
        assert guard.busy

    async def test_keys_before_the_start_are_kept(self) -> None:
        scene = Scene()
        scene.keys(VISA + "#")
        assert scene.speaker.heard == []
        scene.start()
        assert scene.statuses[-1].step is Step.EXPIRATION_DATE
        scene.run.hang_up(scene.now)
        await scene.run.done()

    async def test_a_star_before_the_start_cancels_at_the_start(self) -> None:
        scene = Scene()
        scene.keys("*")
        assert scene.speaker.heard == []
        scene.start()
        scene.prompt_ends()
        await scene.run.done()
        assert scene.result.result is Result.CALLER_INTERRUPTED_WITH_STAR

    async def test_a_payment_that_was_never_started_is_done(self) -> None:
        scene = Scene()
        scene.run.hang_up(scene.now)
        await scene.run.done()
        assert scene.results == []

    @pytest.mark.parametrize("keys", ["", VISA, VISA + "#", VISA + "#1228", VISA + "#1228123"])
    async def test_it_can_be_stopped_at_any_moment(self, keys: str) -> None:
        scene = Scene()
        scene.start()
        scene.keys(keys)
        scene.run.stop(scene.now)
        await scene.run.done()
        assert scene.result.result is Result.RELAY_PAY_STOP

    async def test_stopped_at_the_connector_it_ends_by_the_answer(self) -> None:
        scene = Scene()
        scene.charging.gate.clear()
        scene.start()
        scene.keys(CARD_KEYS)
        await scene.until(lambda: scene.charging.submissions)
        scene.run.stop(scene.now)
        assert scene.results == []
        scene.charging.gate.set()
        await scene.run.done()
        assert (scene.result.result, scene.result.stopped) == (Result.SUCCESS, True)

    async def test_charging_that_breaks_down_leaves_the_outcome_unknown(self, caplog: pytest.LogCaptureFixture) -> None:
        scene = Scene()
        scene.charging.answer = RuntimeError("broken")
        result = await scene.pay()
        assert (result.result, result.outcome) == (Result.PAYMENT_CONNECTOR_ERROR, Outcome.UNKNOWN)
        assert "charging failed" in caplog.text

    async def test_who_listens_cannot_stop_the_payment(self, caplog: pytest.LogCaptureFixture) -> None:
        scene = Scene()

        def fail(run: PaymentRun, what: object) -> None:
            raise RuntimeError("listener")

        scene.run._on_status = fail
        scene.start()
        scene.run.then(cast("Any", lambda: fail(scene.run, None)))
        scene.keys(CARD_KEYS)
        scene.run.hang_up(scene.now)
        await scene.run.done()
        assert scene.result.result is Result.SUCCESS
        assert "a payment could not be told of" in caplog.text
        assert "a payment's work failed" in caplog.text

    async def test_silence_is_noticed_without_anybody_saying_so(self) -> None:
        scene = Scene(timeout_s=0.01, max_attempts=0)
        scene.start()
        scene.prompt_ends()
        await scene.until(lambda: scene.speaker.heard[-1][-1] == "payment-failed")
        scene.prompt_ends()
        await scene.run.done()
        assert scene.result.result is Result.TOO_MANY_FAILED_ATTEMPTS

    async def test_keys_are_counted_by_where_they_came_from(self) -> None:
        scene = Scene()
        scene.start()
        for source in ("telephone-event", "telephone-event", "info"):
            scene.run.count_digit(source)
        scene.run.stop(scene.now)
        await scene.run.done()
        (finished,) = [event for event in scene.events if isinstance(event, PaymentFinished)]
        assert dict(finished.digits_by_source) == {"telephone-event": 2, "info": 1}

    async def test_the_keys_of_a_capture_are_no_lines_of_the_log(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        scene = Scene(capture=True)
        scene.start()
        scene.capture_all()
        assert len(scene.statuses) > 20
        assert sum("payment step" in record.getMessage() for record in caplog.records) == len(CARD)
        scene.run.stop(scene.now)
        await scene.run.done()

    async def test_the_log_holds_nothing_that_was_keyed(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        scene = Scene()
        await scene.pay()
        assert VISA not in caplog.text
        assert "1228" not in caplog.text


async def test_a_result_is_written_even_if_nobody_can_say_what_is_owed(caplog: pytest.LogCaptureFixture) -> None:
    def fail(result: PayResult) -> None:
        raise RuntimeError("no words")

    scene = Scene()
    scene.run._still_owed = fail
    scene.start()
    scene.run.hang_up(scene.now)
    await scene.run.done()
    assert scene.ledger.payments[scene.run.payment_id]["result"] == Result.CALLER_HUNG_UP
    assert "what is owed of a payment could not be said" in caplog.text
