"""Which prompt is played: the choice among an application's own prompts, and what is said by default.

No vendor states how one of several fitting prompts is chosen; the rule here is D-15 of `dialects.md` §1.6.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from engine.pay.cards import ALIASES
from engine.pay.errors import OrderError
from engine.pay.fields import ErrorType, Step, field_of
from engine.pay.results import MaskedFields
from prompts.keys import PromptKey, error_key, step_key

__all__ = (
    "CONFIRMATION",
    "Action",
    "DefaultPrompt",
    "PlayFile",
    "PromptRule",
    "Say",
    "Silence",
    "choose",
    "confirm_actions",
    "default_actions",
    "matching_steps",
    "tokens",
)

CONFIRMATION = "confirmation"
"What `Play.step` says while the last four are read back; no dialect has a step for it, so no status tells of it."

_TOKEN = re.compile(r"[a-z0-9-]+")
_OTHER_STEP_NAMES = {"payment-cancelled": Step.CANCELED}  # D-1: the SDK's schema has it with two l
_OTHER_ERROR_NAMES = {"input-timeout": ErrorType.TIMEOUT}
_TOKENIZE_STEPS = {Step.COMPLETED: "tokenize-completed", Step.FAILED: "tokenize-failed"}


@dataclass(frozen=True, slots=True)
class Say:
    """Speak a text."""

    text: str
    language: str = ""
    "Empty: the payment's."
    voice: str = ""
    "Empty: the payment's."


@dataclass(frozen=True, slots=True)
class PlayFile:
    """Play an audio file or URL."""

    url: str


@dataclass(frozen=True, slots=True)
class Silence:
    """Say nothing for a while."""

    ms: int


@dataclass(frozen=True, slots=True)
class DefaultPrompt:
    """Play a prompt of the engine's own catalogue, by the key of ``prompts.keys``."""

    key: str
    digits: str = ""
    "What fills ``{digits}``, four at most: spoken at once and kept nowhere."


Action = Say | PlayFile | Silence | DefaultPrompt


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptRule:
    """A prompt of the application's own: for a step and, where given, for attempts, brands and error types.

    Other spellings of a step, a brand or an error are taken for the one they mean. Raise `OrderError` for a step that
    does not exist, an attempt below 1 or a prompt without actions.
    """

    step: str
    actions: tuple[Action, ...]
    attempts: tuple[int, ...] = ()
    card_types: tuple[str, ...] = ()
    error_types: tuple[str, ...] = ()
    matching: bool = False
    "Whether it asks for the second of two entries that have to match."

    def __post_init__(self) -> None:
        step = _OTHER_STEP_NAMES.get(self.step, self.step)
        if step not in tuple(Step):
            raise OrderError("prompts", f"no such step: {step[:40]!r}")
        if not self.actions:
            raise OrderError("prompts", f"the prompt for {step} has no actions")
        if any(attempt < 1 for attempt in self.attempts):
            raise OrderError("prompts", f"the prompt for {step} names an attempt below 1")
        object.__setattr__(self, "step", str(step))
        object.__setattr__(self, "card_types", tuple(str(ALIASES.get(name, name)) for name in self.card_types))
        object.__setattr__(
            self, "error_types", tuple(str(_OTHER_ERROR_NAMES.get(name, name)) for name in self.error_types)
        )

    def applies(self, *, step: str, attempt: int, card_type: str, error_type: str, matching: bool) -> bool:
        """Tell whether nothing that is given speaks against it (D-15, 1 and 2)."""
        return (
            self.step == step
            and self.matching == matching
            and (not self.error_types or error_type in self.error_types)
            and (not self.attempts or attempt in self.attempts)
            and (not self.card_types or card_type in self.card_types)
        )

    @property
    def specificity(self) -> tuple[bool, bool, bool]:
        """How narrow it is: error types weigh more than attempts, attempts more than brands (D-15, 3)."""
        return bool(self.error_types), bool(self.attempts), bool(self.card_types)


def tokens(text: str) -> tuple[str, ...]:
    """Return the names in a list attribute, however it is written.

    Spaces, commas (D-11), and the text of a Python list, which one vendor's library writes (D-16).

    >>> tokens("visa, mastercard")
    ('visa', 'mastercard')
    >>> tokens("['timeout', 'invalid-date']")
    ('timeout', 'invalid-date')
    """
    return tuple(_TOKEN.findall(text.lower()))


def choose(
    rules: Iterable[PromptRule],
    *,
    step: str,
    attempt: int,
    card_type: str = "",
    error_type: str = "",
    matching: bool = False,
) -> tuple[Action, ...] | None:
    """Return the actions of the most specific rule that applies, the first of equals; None when none does.

    ``card_type`` and ``error_type`` are empty while unknown and while nothing is wrong.
    """
    fitting = [
        rule
        for rule in rules
        if rule.applies(step=step, attempt=attempt, card_type=card_type, error_type=error_type, matching=matching)
    ]
    # max() keeps the first of equals: the order of the document decides.
    return max(fitting, key=lambda rule: rule.specificity).actions if fitting else None


def matching_steps(rules: Iterable[PromptRule]) -> frozenset[Step]:
    """Return the steps that are keyed twice because a prompt asks for the second entry (TwiML, `dialects.md` §4.1)."""
    return frozenset(Step(rule.step) for rule in rules if rule.matching)


def default_actions(
    step: Step,
    *,
    card_type: str = "",
    error_type: str = "",
    tokenize: bool = False,
    matching: bool = False,
    bank: bool = False,
) -> tuple[DefaultPrompt, ...]:
    """Return what is said without a prompt of the application's own.

    The error, when there is a text; then the step (``matching``: to key it once more); then, after an error only, how
    to end an entry that does not end by its length. Whoever gets it right needs no ``#`` and is not held up by it.
    Of a ``bank`` debit that was refused only the step is said: it is no declined card.
    """
    if bank and error_type == ErrorType.CARD_DECLINED:
        error_type = ""
    named = _TOKENIZE_STEPS.get(step, step) if tokenize else step
    asks = PromptKey.REENTER_TO_MATCH if matching else step_key(named, card_type)
    ending = PromptKey.FINISH_KEY if error_type and _is_open_ended(step) else None
    keys = (error_key(error_type), asks, ending)
    return tuple(DefaultPrompt(str(key)) for key in keys if key is not None)


def confirm_actions(masked: MaskedFields) -> tuple[DefaultPrompt, ...]:
    """Return what reads the payment back: the last four of the card or the last two of the account, then the keys.

    Only digits that the masks show anyway are handed on.
    """
    shown = masked.last_four or "".join(char for char in masked.account_number if char.isdigit())
    return (
        DefaultPrompt(str(PromptKey.CONFIRM_LAST_FOUR), digits=shown),
        DefaultPrompt(str(PromptKey.PRESS_1_TO_CONFIRM)),
    )


def _is_open_ended(step: Step) -> bool:
    try:
        return field_of(step).open_ended
    except KeyError:
        return False  # it is announced, not asked
