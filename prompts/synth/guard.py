"""What stands in front of every synthesiser: SSML is taken apart, no long run of digits passes, nothing hangs.

Digits that a caller keyed are kept from texts by their type (they live in a ``Secret``, which cannot be formatted) and
by the catalogue, which says four at most. This is the second line: it counts, in the text itself, digits in a row —
figures of any script and digit words, whatever stands between them — and refuses the text that has too many.

A synthesiser on this machine gets up to 11 in a row (a telephone number; the shortest card number has 12). One that is
asked over the network gets 4, the most that may be said of a card (PCI DSS 3.4.1 allows more to be shown; nothing here
needs more).
"""

from __future__ import annotations

import asyncio
import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import replace

from prompts.catalog import Catalog
from prompts.clip import Clip
from prompts.errors import PromptError, SynthesisError
from prompts.pieces import Piece, Span, Speech, as_speech
from prompts.ssml import looks_like_ssml, parse
from prompts.synth.protocol import MAX_TEXT_CHARS, Synthesizer
from prompts.words import load

__all__ = ("LOCAL_DIGITS", "REMOTE_DIGITS", "TIMEOUT_S", "GuardedSynthesizer", "longest_run")

LOCAL_DIGITS = 11
REMOTE_DIGITS = 4
TIMEOUT_S = 10.0
SSML_VERSION = 1
"Part of the cache key: raise it when the same document becomes other pieces."
_MAX_WARNED = 256
_QUICK_CHARS = 512
_TOKEN = re.compile(r"\d|[^\W\d_]+")


class GuardedSynthesizer:
    """A synthesiser that is never given too many digits, and whose faults are all SynthesisError."""

    def __init__(
        self,
        inner: Synthesizer,
        *,
        catalog: Catalog,
        timeout_s: float = TIMEOUT_S,
        warn: Callable[[str], None] = lambda warning: None,
    ) -> None:
        """Guard ``inner``; ``timeout_s`` bounds one text for a synthesiser in the network (a pool has its own).

        ``warn`` hears what of an SSML document is not spoken as it was written; each kind once.
        """
        self._inner = inner
        self._words = frozenset(word for name in catalog.locales for word in catalog.resolve(name).texts.digits)
        self._locales = catalog.locales
        remote = inner.capabilities.remote
        self._digits = REMOTE_DIGITS if remote else LOCAL_DIGITS
        self._timeout_s = timeout_s if remote else None
        self._warn = warn
        self._warned: set[str] = set()
        self.capabilities = inner.capabilities

    @property
    def identity(self) -> str:
        """That of what is guarded, and the version of what SSML becomes."""
        return f"{self._inner.identity}, ssml {SSML_VERSION}"

    async def start(self) -> None:
        """Start what is guarded, and read the tables that SSML needs meanwhile; raise SynthesisError."""
        try:
            await asyncio.gather(self._inner.start(), asyncio.to_thread(load, self._locales))
        except PromptError:
            raise
        except Exception as error:
            raise SynthesisError(f"the synthesiser could not start ({type(error).__name__})") from None

    async def synthesize(self, text: str | Speech, *, locale: str, voice: str) -> Clip:
        """Speak, if there are not too many digits in it; raise SynthesisError.

        A text that begins with ``<speak`` is SSML (`prompts.ssml`), and MarkupError if it is broken; any other is
        spoken as it stands.
        """
        if isinstance(text, str) and looks_like_ssml(text):
            text = await self._parsed(text, locale)
        if isinstance(text, Speech):
            text = self._within_capabilities(text)
        said = as_speech(text).text
        if len(said) > MAX_TEXT_CHARS:
            raise SynthesisError(
                f"a text of {len(said)} characters is too long", remedy=f"{MAX_TEXT_CHARS} are the most; split it"
            )
        if longest_run(said, self._words) > self._digits:
            raise SynthesisError(
                f"a text with more than {self._digits} digits in a row is not spoken",
                remedy="it may be a card number; play a recording, or put a word between the groups",
            )
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._inner.synthesize(text, locale=locale, voice=voice)
        except PromptError:
            raise
        except TimeoutError:
            within = f" within {self._timeout_s:g} s" if self._timeout_s else " in time"
            raise SynthesisError(f"the synthesiser did not answer{within}") from None
        except Exception as error:
            # Its message may quote the text.
            raise SynthesisError(f"the synthesiser failed ({type(error).__name__})") from None

    async def close(self) -> None:
        """Close what is guarded."""
        await self._inner.close()

    async def _parsed(self, markup: str, locale: str) -> Speech:
        if len(markup) > _QUICK_CHARS:
            # The longest takes some 15 ms, which the calls need not wait for.
            parsed = await asyncio.to_thread(parse, markup, locale=locale)
        else:
            parsed = parse(markup, locale=locale)
        for warning in parsed.warnings:
            self._tell(warning)
        return parsed.speech

    def _within_capabilities(self, speech: Speech) -> Speech:
        pieces: list[Piece] = []
        for piece in speech.pieces:
            if isinstance(piece, Span) and piece.rate != 1.0 and not self.capabilities.rate:
                piece = replace(piece, rate=1.0)
                self._tell("the synthesiser has one rate: that of <prosody> is left out")
            if isinstance(piece, Span) and piece.emphasis and not self.capabilities.emphasis:
                piece = replace(piece, emphasis=None)
                self._tell("the synthesiser does not stress: <emphasis> is left out")
            pieces.append(piece)
        return Speech(tuple(pieces))

    def _tell(self, warning: str) -> None:
        if warning not in self._warned and len(self._warned) < _MAX_WARNED:
            self._warned.add(warning)
            self._warn(f"SSML: {warning}")


def longest_run(text: str, words: Iterable[str]) -> int:
    """Return how many digits follow each other in ``text`` at most, as figures or as one of ``words``.

    Spaces, punctuation and signs between them do not part them; any other word does.

    >>> longest_run("4242 4242, or four-two", ["four", "two"])
    8
    """
    known = frozenset(word.casefold() for word in words)
    longest = run = 0
    # Compatibility forms (circled, superscript) are figures too, and a letter with its accent apart is one letter.
    for token in _TOKEN.finditer(unicodedata.normalize("NFKC", text)):
        found = token[0]
        run = run + 1 if found.isdecimal() or found.casefold() in known else 0
        longest = max(longest, run)
    return longest
