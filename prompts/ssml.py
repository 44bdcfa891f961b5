"""SSML, the part of it that callers can hear: from markup to pieces (W3C Speech Synthesis Markup Language 1.1).

Elements: ``speak``, ``p``, ``s``, ``break`` (time, strength), ``say-as`` (interpret-as), ``prosody`` (rate),
``emphasis``, ``sub``. What is written in ``say-as`` becomes words here, since synthesisers do not agree on it. The text
of any other element is spoken, and a warning names the element; so does an attribute that is left out.

The parser takes no document type, hence no entities but the five of XML and no files; text and depth have bounds.
Messages name line and column, never the text.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from xml.parsers import expat

from prompts.errors import MarkupError, PromptError
from prompts.pieces import MAX_PAUSE_MS, MAX_RATE, MIN_RATE, Emphasis, Pause, Piece, Span, Speech
from prompts.words import (
    has_words,
    home_currency,
    spoken_amount,
    spoken_date,
    spoken_expiry,
    spoken_number,
    spoken_ordinal,
)

__all__ = ("MAX_DEPTH", "MAX_MARKUP_CHARS", "Parsed", "looks_like_ssml", "parse")

MAX_MARKUP_CHARS = 8192
"Of a document, tags included: twice what is spoken at most."
MAX_SPELLED = 64
"Characters that ``say-as`` says one by one."
MAX_DEPTH = 16
MAX_PAUSES_MS = 60_000
"Of all breaks of a document: a caller who hears nothing for a minute has hung up."
MAX_WARNINGS = 16
_NAME_CHARS = 40

_STRENGTH_MS = {"none": 0, "x-weak": 100, "weak": 200, "medium": 400, "strong": 600, "x-strong": 1000}
_PARAGRAPH_MS = 600
_SENTENCE_MS = 350
_RATES = {"x-slow": 0.5, "slow": 0.75, "medium": 1.0, "default": 1.0, "fast": 1.25, "x-fast": 1.6}
_TIME = re.compile(r"\+?([0-9]{1,6}(?:\.[0-9]{0,6})?|\.[0-9]{1,6})(ms|s)", re.ASCII)
_PERCENT = re.compile(r"([+-]?)([0-9]{1,4}(?:\.[0-9]{1,4})?)%", re.ASCII)
_START = re.compile(r"\s*(?:<\?xml\s|<!DOCTYPE\s|<speak[\s>/])")
_WHITE = re.compile(r"\s+")
_MONEY = re.compile(r"([A-Za-z]{3}|[$€£¥₹])?\s*(-?[0-9][0-9,]*(?:\.[0-9]+)?)\s*([A-Za-z]{3}|[€£¥₹])?", re.ASCII)
_SYMBOLS = {"€": "EUR", "£": "GBP", "¥": "JPY", "₹": "INR"}
_DOLLARS = frozenset({"USD", "CAD", "AUD", "NZD", "SGD", "HKD", "MXN"})
_DATE_PARTS = re.compile(r"[0-9]+", re.ASCII)
_KNOWN = frozenset({"speak", "p", "s", "break", "say-as", "prosody", "emphasis", "sub"})
_ATTRIBUTES: Mapping[str, frozenset[str]] = {
    "break": frozenset({"time", "strength"}),
    "say-as": frozenset({"interpret-as", "format"}),
    "prosody": frozenset({"rate"}),
    "emphasis": frozenset({"level"}),
    "sub": frozenset({"alias"}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """What a document says."""

    speech: Speech
    warnings: tuple[str, ...] = ()
    "What was left out, each once; names elements and attributes, never the text."


def looks_like_ssml(text: str) -> bool:
    """Return whether a text is a document and no fragment: whether it begins with ``<speak`` or as XML does."""
    return _START.match(text) is not None


def parse(markup: str, *, locale: str) -> Parsed:
    """Return the pieces of an SSML document, or of a fragment without ``<speak>`` around it.

    Raises MarkupError, with line and column, for what is no well-formed XML, has a document type, is longer than
    `MAX_MARKUP_CHARS` or nested deeper than `MAX_DEPTH`.
    """
    if len(markup) > MAX_MARKUP_CHARS:
        raise MarkupError(
            f"{len(markup)} characters of SSML are too many", remedy=f"{MAX_MARKUP_CHARS} are the most; split it"
        )
    whole = looks_like_ssml(markup)
    document = markup.lstrip() if whole else f"<speak>{markup}</speak>"
    builder = _Builder(locale, added_columns=0 if whole else len("<speak>"))
    builder.read(document)
    return Parsed(speech=Speech(_joined(builder.pieces)), warnings=tuple(builder.warnings))


@dataclass(slots=True)
class _Element:
    name: str
    rate: float
    emphasis: Emphasis | None
    attributes: dict[str, str]
    captured: list[str] | None = None
    "Text of say-as and sub, which is not spoken as it stands."


@dataclass(slots=True)
class _Structural:
    """The pause of a paragraph or sentence: no longer than a pause that is there anyway."""

    ms: int


@dataclass(slots=True)
class _Builder:
    """Collects pieces from the parser's events."""

    locale: str
    added_columns: int
    paused_ms: int = 0
    pieces: list[Piece | _Structural] = field(default_factory=list)
    warnings: dict[str, None] = field(default_factory=dict)
    _open: list[_Element] = field(default_factory=list)

    def read(self, document: str) -> None:
        parser = expat.ParserCreate("utf-8")
        parser.buffer_text = True
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text

        def refuse(*_: object) -> None:
            raise self._error(parser, "a document type is not taken", "leave <!DOCTYPE out")

        def too_deep(name: str, attributes: dict[str, str]) -> None:
            if len(self._open) >= MAX_DEPTH:
                raise self._error(parser, "nested too deep", f"{MAX_DEPTH} elements are the most")
            self._start(name, attributes)

        parser.StartDoctypeDeclHandler = refuse
        parser.StartElementHandler = too_deep
        try:
            parser.Parse(document.encode("utf-8", "replace"), True)
        except expat.ExpatError as error:
            reason = expat.ErrorString(error.code) or "not well-formed"
            raise self._error(parser, f"the SSML is broken ({reason})", "write & as &amp; and close each tag") from None

    def _error(self, parser: expat.XMLParserType, what: str, remedy: str) -> MarkupError:
        line, column = parser.ErrorLineNumber, parser.ErrorColumnNumber + 1
        column = max(1, column - (self.added_columns if line == 1 else 0))
        return MarkupError(f"line {line}, column {column}: {what}", remedy=remedy)

    def warn(self, warning: str) -> None:
        if len(self.warnings) < MAX_WARNINGS:
            self.warnings[warning] = None

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        outer = self._open[-1] if self._open else _Element(name, 1.0, None, {})
        element = _Element(name, outer.rate, outer.emphasis, attributes)
        if name not in _KNOWN:
            self.warn(f"<{name[:_NAME_CHARS]}> is not known: its text is spoken")
        else:
            for attribute in attributes.keys() - _ATTRIBUTES.get(name, attributes.keys()):
                self.warn(f"{attribute[:_NAME_CHARS]} of <{name}> is left out")
        match name:
            case "p" | "s":
                self.pieces.append(_Structural(_PARAGRAPH_MS if name == "p" else _SENTENCE_MS))
            case "break" if self._capturing() is None:
                ms = min(self._break_ms(attributes), MAX_PAUSES_MS - self.paused_ms)
                if ms:
                    self.pieces.append(Pause(ms))
                    self.paused_ms += ms
                elif self.paused_ms == MAX_PAUSES_MS:
                    self.warn(f"breaks are {MAX_PAUSES_MS // 1000} s in all at most")
            case "prosody":
                element.rate = self._rate(attributes.get("rate"), outer.rate)
            case "emphasis":
                element.emphasis = self._emphasis(attributes.get("level", "moderate"))
            case "say-as" | "sub" if self._capturing() is None:
                element.captured = []
        self._open.append(element)

    def _end(self, name: str) -> None:
        element = self._open.pop()
        if element.captured is not None:
            self._say(element.rate, element.emphasis, self._substitute(element, "".join(element.captured)))
        elif name in ("p", "s"):
            self.pieces.append(_Structural(_PARAGRAPH_MS if name == "p" else _SENTENCE_MS))

    def _text(self, text: str) -> None:
        element = self._open[-1]
        captured = self._capturing()
        if captured is not None:
            captured.append(text)
        else:
            self._say(element.rate, element.emphasis, text)

    def _say(self, rate: float, emphasis: Emphasis | None, text: str) -> None:
        last = self.pieces[-1] if self.pieces else None
        if isinstance(last, Span) and (last.rate, last.emphasis) == (rate, emphasis):
            self.pieces[-1] = Span(last.text + text, rate, emphasis)
        elif text:
            self.pieces.append(Span(text, rate, emphasis))

    def _capturing(self) -> list[str] | None:
        return next((element.captured for element in self._open if element.captured is not None), None)

    def _break_ms(self, attributes: Mapping[str, str]) -> int:
        time = attributes.get("time")
        if time is not None:
            found = _TIME.fullmatch(time.strip())
            if found is not None:
                ms = round(float(found[1]) * (1 if found[2] == "ms" else 1000))
                if ms > MAX_PAUSE_MS:
                    self.warn(f"a break is {MAX_PAUSE_MS // 1000} s at most")
                return min(ms, MAX_PAUSE_MS)
            self.warn('time of <break> is not one such as "500ms" or "1.5s"')
        strength = attributes.get("strength", "medium")
        if strength not in _STRENGTH_MS:
            self.warn(f"strength of <break> is none of {', '.join(_STRENGTH_MS)}")
        return _STRENGTH_MS.get(strength, _STRENGTH_MS["medium"])

    def _rate(self, value: str | None, outer: float) -> float:
        if value is None:
            return outer
        value = value.strip()
        found = _PERCENT.fullmatch(value)
        if found is not None:
            share = float(found[2]) / 100
            rate = {"": share, "+": 1 + share, "-": 1 - share}[found[1]]
        elif value in _RATES:
            rate = _RATES[value]
        else:
            self.warn(f'rate of <prosody> is no percentage such as "80%", and none of {", ".join(_RATES)}')
            return outer
        if not MIN_RATE <= rate <= MAX_RATE:
            self.warn(f"rate of <prosody> is kept within {MIN_RATE:.0%} and {MAX_RATE:.0%}")
        return min(max(rate, MIN_RATE), MAX_RATE)

    def _emphasis(self, level: str) -> Emphasis:
        try:
            return Emphasis(level)
        except ValueError:
            self.warn(f"level of <emphasis> is none of {', '.join(Emphasis)}")
            return Emphasis.MODERATE

    def _substitute(self, element: _Element, text: str) -> str:
        if element.name == "sub":
            return element.attributes.get("alias", text)
        kind = element.attributes.get("interpret-as", "")
        say = _SAY_AS.get(kind)
        if say is None:
            self.warn(f"interpret-as of <say-as> is none of {', '.join(sorted(_SAY_AS))}: the text is spoken")
            return text
        try:
            return say(" ".join(text.split()), self.locale, element.attributes.get("format", ""))
        except (PromptError, ValueError):
            self.warn(f"what stands in <say-as interpret-as={kind!r}> is none: it is spoken as it is")
            return text


def _joined(collected: list[Piece | _Structural]) -> tuple[Piece, ...]:
    """Tidy white space, join pauses, and leave out those of structure at both ends."""
    pieces: list[Piece] = []
    explicit_ms = structural_ms = 0
    left_ms = MAX_PAUSES_MS
    for piece in collected:
        match piece:
            case Pause():
                explicit_ms = min(explicit_ms + piece.ms, MAX_PAUSE_MS)
            case _Structural():
                structural_ms = max(structural_ms, piece.ms) if pieces else 0
            case Span():
                ms = min(max(explicit_ms, structural_ms), left_ms)
                last = pieces[-1] if pieces and not ms else None
                if not piece.text.strip():
                    # White space between two elements parts their words.
                    if isinstance(last, Span) and piece.text:
                        pieces[-1] = replace(last, text=last.text.rstrip() + " ")
                    continue
                if ms:
                    _end_with_pause(pieces, ms)
                elif isinstance(last, Span) and structural_ms:
                    pieces[-1] = replace(last, text=last.text.rstrip() + " ")
                left_ms -= ms
                explicit_ms = structural_ms = 0
                text = _WHITE.sub(" ", piece.text)
                pieces.append(replace(piece, text=text if last is not None else text.lstrip()))
    _end_with_pause(pieces, min(explicit_ms, left_ms))
    return tuple(pieces)


def _end_with_pause(pieces: list[Piece], ms: int) -> None:
    if pieces and isinstance(pieces[-1], Span):
        pieces[-1] = replace(pieces[-1], text=pieces[-1].text.rstrip())
    if ms:
        pieces.append(Pause(ms))


def _digits(text: str, locale: str, _: str) -> str:
    """Return digits one by one, whatever stands between them; letters are refused."""
    if any(character.isalpha() for character in text):
        raise ValueError
    return _one_by_one(text, locale)


def _characters(text: str, locale: str, _: str) -> str:
    return _one_by_one(text, locale)


def _telephone(text: str, locale: str, _: str) -> str:
    plus = "plus, " if text.startswith("+") else ""
    return plus + _digits(text, locale, "")


def _one_by_one(text: str, locale: str) -> str:
    if len(text) > MAX_SPELLED:
        raise ValueError
    said = []
    for character in text:
        if character.isascii() and character.isdigit():
            # A language without words here is left the figures: its voice knows them one by one.
            said.append(spoken_number(character, locale) if has_words(locale) else character)
        elif character.isalpha():
            said.append(character.upper())
    if not said:
        raise ValueError
    return ", ".join(said)


def _cardinal(text: str, locale: str, _: str) -> str:
    return spoken_number(text.replace(",", ""), locale) if has_words(locale) else text


def _ordinal(text: str, locale: str, _: str) -> str:
    return spoken_ordinal(int(re.sub(r"(?i)(?<=[0-9])(?:st|nd|rd|th|\.|º|ª)$", "", text)), locale)


def _currency(text: str, locale: str, _: str) -> str:
    found = _MONEY.fullmatch(text)
    mark = (found[1] or found[3]) if found is not None else None
    if found is None or mark is None:
        raise ValueError
    home = home_currency(locale)
    code = (home if home in _DOLLARS else "USD") if mark == "$" else _SYMBOLS.get(mark, mark)
    return spoken_amount(found[2].replace(",", ""), code, locale)


def _date(text: str, locale: str, form: str) -> str:
    parts = _DATE_PARTS.findall(text)
    if form in ("my", "ym") and len(parts) == 2:
        month, year = parts if form == "my" else reversed(parts)
        return spoken_expiry(f"{int(month):02}{int(year) % 100:02}", locale)
    order = form if form in ("mdy", "dmy", "ymd", "ydm") else "ymd"
    if len(parts) != 3:
        raise ValueError
    of = {letter: int(part) for letter, part in zip(order, parts, strict=True)}
    year_number = of["y"] + 2000 if of["y"] < 100 else of["y"]
    return spoken_date(datetime.date(year_number, of["m"], of["d"]), locale)


_SAY_AS: Mapping[str, Callable[[str, str, str], str]] = {
    "cardinal": _cardinal,
    "characters": _characters,
    "currency": _currency,
    "date": _date,
    "digits": _digits,
    "number": _cardinal,
    "ordinal": _ordinal,
    "spell-out": _characters,
    "telephone": _telephone,
}
