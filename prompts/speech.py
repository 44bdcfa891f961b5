"""Digits as words.

Synthesisers read ``4242`` as one number and ignore SSML's ``say-as`` for digits (espeak-ng, flite and RHVoice do), so
digits are written out, with a comma between them for the pause.
"""

from __future__ import annotations

from collections.abc import Sequence

from prompts.errors import PromptError

__all__ = ("spell_digits",)

_SEPARATOR = ", "


def spell_digits(digits: str, words: Sequence[str]) -> str:
    """Return ``digits`` (ASCII 0 to 9 only) as the ten ``words`` of a locale, ``words[0]`` being zero.

    >>> spell_digits("42", "zero one two three four five six seven eight nine".split())
    'four, two'

    Raises PromptError for anything else than digits, without repeating what was given.
    """
    if len(words) != 10:
        raise PromptError(f"{len(words)} digit words were given, not 10")
    # str.isdigit alone takes digits of other scripts, and superscripts, which int() refuses.
    if not (digits.isascii() and digits.isdigit()):
        raise PromptError("only the digits 0 to 9 can be spelled")
    return _SEPARATOR.join(words[int(digit)] for digit in digits)
