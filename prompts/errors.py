"""The errors of ``prompts``.

::

    PromptError
    ├── CatalogError      a catalogue of texts cannot be used; names the file and the key
    ├── MarkupError       SSML cannot be read; names line and column
    ├── SynthesisError    a text could not be spoken
    └── AudioFileError    an audio file could not be read; names the file

No message ever holds the text that was to be spoken: it may contain what a caller keyed.
"""

from __future__ import annotations

__all__ = ("AudioFileError", "CatalogError", "MarkupError", "PromptError", "SynthesisError")


class PromptError(Exception):
    """Root of the errors of ``prompts``; ``remedy`` says what to do about it, empty when there is nothing to say."""

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(f"{message}: {remedy}" if remedy else message)
        self.message = message
        self.remedy = remedy


class CatalogError(PromptError):
    """A catalogue of texts cannot be used."""


class MarkupError(PromptError):
    """SSML cannot be read."""


class SynthesisError(PromptError):
    """A text could not be spoken."""


class AudioFileError(PromptError):
    """An audio file could not be read."""
