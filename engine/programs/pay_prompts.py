"""The prompts of a payment: the application's own, rendered while the caller answers, and the engine's."""

from __future__ import annotations

import asyncio
import logging
import re
from contextlib import suppress
from dataclasses import replace

from engine.log import fields
from engine.pay.errors import OrderError
from engine.pay.fields import Step
from engine.pay.order import PayOrder
from engine.pay.prompt_rules import Action, DefaultPrompt, PlayFile, Say, Silence, default_actions
from prompts.clip import Clip
from prompts.errors import PromptError, SynthesisError
from prompts.mastering import silence
from prompts.store import PromptStore

__all__ = ("PayClips",)

log = logging.getLogger("engine.pay")

_UNHEARD_CODE = 13520
"The vendor's number for a text or a file that cannot be heard."
_STAND_IN_MS = 20
_GOOD_END = (Step.PROCESSING, Step.COMPLETED)
_PRIVATE = re.compile(r"\d(?:[^\w]*\d){3}")
"Four digits on end, whatever parts them."


class PayClips:
    """``payment_run.Clips`` of one payment of a dialect, which reads no digits back.

    What the application wants said or played is rendered in its order, one after the other, from `render_ahead` on: a
    long document must not keep the synthesiser from other callers. What is asked for before its turn is rendered at
    once. In place of what cannot be had the caller hears the engine's own prompt of the step: a silence would be taken
    for a question that he has missed.
    """

    def __init__(self, store: PromptStore, order: PayOrder, *, call_id: str, voice: str = "") -> None:
        """``voice`` says the engine's own prompts; empty: as they are recorded."""
        self._store = store
        self._voice = voice
        self._order = order
        self._call_id = call_id
        self._ready: dict[Action, Clip] = {}
        self._steps: dict[Action, tuple[Step, bool]] = {}
        "For which step an action was first meant, and whether it is the first of its prompt."
        for rule in order.prompts:
            for index, action in enumerate(rule.actions):
                self._steps.setdefault(action, (Step(rule.step), index == 0))
        self._ahead: asyncio.Task[None] | None = None
        self._noted = fields(call=call_id, code=_UNHEARD_CODE)

    def render_ahead(self) -> None:
        """Begin to render what will be heard."""
        self._ahead = asyncio.get_running_loop().create_task(self._render_all())

    def close(self) -> None:
        """Render no more of it."""
        if self._ahead is not None:
            self._ahead.cancel()
            self._ahead = None

    def ready(self, action: Action) -> Clip | None:
        """Return the clip of an action that can be played at once; None when it has to be rendered."""
        if isinstance(action, Silence):
            return _pause(action.ms)
        if isinstance(action, DefaultPrompt) and not self._voice:
            with suppress(PromptError):
                return self._store.default(action.key, self._order.language)
            return None
        return self._ready.get(action)

    async def render(self, action: Action) -> Clip:
        """Return the clip of an action; raise ``PromptError`` for one of the engine's own."""
        if isinstance(action, Silence):
            return _pause(action.ms)
        if isinstance(action, DefaultPrompt) and not self._voice:
            return await self._store.prompt(action.key, self._order.language)
        if (clip := self._ready.get(action)) is not None:
            return clip
        if isinstance(action, DefaultPrompt):
            clip = self._ready[action] = await self._in_voice(action)
            return clip
        try:
            clip = await self._custom(action)
        except PromptError as error:
            log.warning(
                "a prompt of a payment cannot be heard: %s",
                error,
                extra=self._noted,
            )
            clip = await self._stand_in(action)
        self._ready[action] = clip
        return clip

    async def _in_voice(self, action: DefaultPrompt) -> Clip:
        try:
            return await self._store.prompt(action.key, self._order.language, voice=self._voice)
        except PromptError as error:
            log.warning("a prompt of a payment is said in the default voice: %s", error, extra=self._noted)
            return await self._store.prompt(action.key, self._order.language)

    async def _custom(self, action: Say | PlayFile) -> Clip:
        if isinstance(action, PlayFile):
            return await self._store.file(action.url)
        locale, voice = action.language or self._order.language, action.voice
        try:
            return await self._spoken(action.text, locale, voice)
        except SynthesisError as error:
            if (locale, voice) == (self._order.language, ""):
                raise
            # Who calls had better hear it in another voice than not at all.
            log.warning("a prompt of a payment is said in the default voice: %s", error, extra=self._noted)
            return await self._spoken(action.text, self._order.language, "")

    async def _spoken(self, text: str, locale: str, voice: str) -> Clip:
        if _PRIVATE.search(text) is None:
            return await self._store.speech(text, locale=locale, voice=voice)
        # It may repeat what somebody keyed: nothing of it stays in memory or on disk, nor in an event.
        clip = await self._store.synthesizer.synthesize(text, locale=locale, voice=voice)
        return replace(clip, name="say")

    async def _stand_in(self, action: Action) -> Clip:
        step, is_first = self._steps[action]
        if is_first:
            with suppress(PromptError, OrderError):
                return await self.render(default_actions(step, tokenize=self._order.tokenizes)[-1])
        return _pause(_STAND_IN_MS)

    async def _render_all(self) -> None:
        for action in (*self._steps, *self._own()):
            try:
                await self.render(action)
            except Exception as error:
                # It is tried again when it is wanted. No text of the exception: it may hold what was to be said.
                log.error(
                    "a prompt cannot be rendered ahead",
                    extra=fields(call=self._call_id, error=type(error).__name__),
                )
        if self._order.speaks_by_itself:
            with suppress(PromptError):  # each is tried again when it is wanted
                await self._store.prepare(self._order.language)

    def _own(self) -> tuple[Action, ...]:
        """Return what of the engine's own the caller will hear if nothing goes wrong, where no recording serves."""
        if not self._voice:
            return ()
        always = {rule.step for rule in self._order.prompts if not any(rule.specificity)}
        steps = [*self._order.steps, *(step for step in _GOOD_END if step in self._order.announced)]
        tokenize = self._order.tokenizes
        return tuple(
            action for step in steps if step not in always for action in default_actions(step, tokenize=tokenize)
        )


def _pause(ms: int) -> Clip:
    pcmu, pcma = silence(ms)
    return Clip(name="pause", pcmu=pcmu, pcma=pcma)
