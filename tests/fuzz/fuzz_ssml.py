"""Fuzz target: bytes into the SSML parser and on to what espeak-ng is given.

Runs by ``tests/fuzz/drive.py`` or under atheris. What must hold for any text: pieces in their bounds or a MarkupError;
pieces that pass the worker's wire unchanged; and SSML for espeak-ng in which no text has become an element.
"""

from __future__ import annotations

import sys
from pathlib import Path
from xml.etree import ElementTree

if __name__ == "__main__":  # run as a file, the repository is not on the path
    sys.path.insert(0, str(Path(__file__).parents[2]))

from prompts.errors import MarkupError
from prompts.pieces import MAX_PAUSE_MS, MAX_RATE, MIN_RATE, Pause
from prompts.ssml import MAX_PAUSES_MS, MAX_WARNINGS, parse
from prompts.synth.espeak import markup
from prompts.synth.guard import longest_run
from prompts.synth.wire import pack_speech, unpack_speech

__all__ = ("SEEDS", "one_input")

SEEDS = (
    b'<speak>Hello <break time="500ms"/> <prosody rate="80%">my <emphasis>friend</emphasis></prosody></speak>',
    b'Pay <say-as interpret-as="currency">$25.10</say-as> by <say-as interpret-as="date" format="mdy">1/2/27</say-as>',
    b'<p><s>One</s><s>Two</s></p><sub alias="World &amp; Web">WWW</sub><break strength="x-strong"/>',
    b'<say-as interpret-as="telephone">+1 800 555 0100</say-as><say-as interpret-as="ordinal">3rd</say-as>',
    b'<say-as interpret-as="characters">a1b2</say-as><say-as interpret-as="cardinal">-12.5</say-as><![CDATA[<p>]]>',
    b'<!DOCTYPE x [<!ENTITY a "b">]><speak>&a;</speak>',
    b"<a><b><c><d><e>deep</e></d></c></b></a> & broken",
    "Gr\u00fc\u00dfe [[h@'loU]] \x01 ４２４２".encode(),
)
LOCALES = ("en-US", "pl-PL", "es-MX", "sv-SE")
WRITTEN = frozenset({"speak", "break", "prosody", "emphasis"})


def one_input(data: bytes) -> None:
    """Parse and check; raises whatever should not happen."""
    text = data.decode("utf-8", "surrogateescape")
    try:
        parsed = parse(text, locale=LOCALES[len(text) % len(LOCALES)])
    except MarkupError:
        return
    assert len(parsed.warnings) <= MAX_WARNINGS
    paused_ms = 0
    for piece in parsed.speech.pieces:
        if isinstance(piece, Pause):
            assert 0 < piece.ms <= MAX_PAUSE_MS
            paused_ms += piece.ms
        else:
            assert piece.text.strip()
            assert MIN_RATE <= piece.rate <= MAX_RATE
    assert paused_ms <= MAX_PAUSES_MS
    assert unpack_speech(pack_speech(parsed.speech)) == parsed.speech
    assert longest_run(parsed.speech.text, ("one", "two")) <= len(parsed.speech.text)
    written = markup(parsed.speech)
    assert "[" not in written
    root = ElementTree.fromstring(written.encode("utf-8", "replace"))
    assert {element.tag for element in root.iter()} <= WRITTEN


if __name__ == "__main__":
    import atheris  # type: ignore[import-untyped,unused-ignore]

    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
