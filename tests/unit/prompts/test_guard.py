"""What stands in front of every synthesiser."""

from __future__ import annotations

import asyncio

import pytest

from prompts.catalog import Catalog
from prompts.clip import Clip
from prompts.errors import MarkupError, SynthesisError
from prompts.keys import PLACEHOLDERS, PromptKey
from prompts.pieces import Pause, Span, Speech
from prompts.synth.factory import guarded, maker
from prompts.synth.guard import LOCAL_DIGITS, REMOTE_DIGITS, GuardedSynthesizer, longest_run
from prompts.synth.pool import WorkerPool
from prompts.synth.protocol import MAX_TEXT_CHARS, Capabilities
from tests.support.speech import FakeSynthesizer

CATALOG = Catalog.load()
ENGLISH = CATALOG.resolve("en-US").texts.digits
PAN = "4242424242424242"  # a published test number


class Remote(FakeSynthesizer):
    capabilities = Capabilities(remote=True)


def guard(inner: FakeSynthesizer, timeout_s: float = 10.0) -> GuardedSynthesizer:
    return GuardedSynthesizer(inner, catalog=CATALOG, timeout_s=timeout_s)


@pytest.mark.parametrize(
    ("text", "run"),
    [
        ("", 0),
        ("no digits", 0),
        ("It ends in four, two, four, two.", 4),
        ("4242", 4),
        ("4242 4242-4242.4242", 16),
        ("4 2 four TWO", 4),
        ("42 and 42", 2),
        ("４２４２", 4),  # fullwidth
        ("٤٢٤٢", 4),  # Arabic-Indic
        ("④②⁴²", 4),  # circled, superscript
        ("4\u200b2\u00ad4\u20602", 4),  # zero width space, soft hyphen, word joiner
        ("fourteen", 0),
    ],
)
def test_digits_in_a_row_are_counted_however_they_are_written(text: str, run: int) -> None:
    assert longest_run(text, ENGLISH) == run


@pytest.mark.parametrize("locale", CATALOG.locales)
@pytest.mark.asyncio
async def test_a_card_number_is_refused_in_figures_and_in_the_words_of_each_locale(locale: str) -> None:
    words = CATALOG.resolve(locale).texts.digits
    for inner in (FakeSynthesizer(), Remote()):
        for text in (PAN, " ".join(PAN), " - ".join(words[int(digit)] for digit in PAN)):
            with pytest.raises(SynthesisError, match="digits in a row") as caught:
                await guard(inner).synthesize(f"Your card is {text}.", locale=locale, voice="")
            assert "4242" not in str(caught.value)
            assert words[4] not in str(caught.value)
        assert inner.spoken == []


@pytest.mark.asyncio
async def test_a_synthesiser_in_the_network_gets_four_digits_and_one_here_a_telephone_number() -> None:
    here, away = FakeSynthesizer(), Remote()
    assert (LOCAL_DIGITS, REMOTE_DIGITS) == (11, 4)
    await guard(away).synthesize("It ends in 4242.", locale="en-US", voice="")
    await guard(here).synthesize("Call +1 800 555 0100.", locale="en-US", voice="")
    with pytest.raises(SynthesisError, match="more than 4 digits"):
        await guard(away).synthesize("It ends in 42424.", locale="en-US", voice="")
    with pytest.raises(SynthesisError, match="more than 11 digits"):
        await guard(here).synthesize("500000000009", locale="en-US", voice="")
    assert (len(here.spoken), len(away.spoken)) == (1, 1)


@pytest.mark.asyncio
async def test_digits_in_several_pieces_are_one_row() -> None:
    speech = Speech((Span("424"), Pause(500), Span("242", 0.8)))
    with pytest.raises(SynthesisError, match="more than 4 digits"):
        await guard(Remote()).synthesize(speech, locale="en-US", voice="")


@pytest.mark.parametrize("locale", CATALOG.locales)
@pytest.mark.asyncio
async def test_every_prompt_of_every_locale_passes_the_stricter_guard(locale: str) -> None:
    inner = Remote()
    for key in PromptKey:
        placeholders = {"digits": "4242"} if key in PLACEHOLDERS else {}
        await guard(inner).synthesize(CATALOG.text(key, locale, **placeholders), locale=locale, voice="")
    assert len(inner.spoken) == len(PromptKey)


@pytest.mark.asyncio
async def test_ssml_is_taken_apart_before_the_synthesiser_sees_it_and_told_of_once() -> None:
    inner, warnings = FakeSynthesizer(), list[str]()
    outer = GuardedSynthesizer(inner, catalog=CATALOG, warn=warnings.append)
    for _ in range(2):
        await outer.synthesize("<speak>Hi <blink>you</blink><break/></speak>", locale="en-US", voice="")
    assert [text for text, _, _ in inner.spoken] == ["Hi you "] * 2
    assert warnings == ["SSML: <blink> is not known: its text is spoken"]
    with pytest.raises(MarkupError, match="line 1, column 9"):
        await outer.synthesize("<speak>a", locale="en-US", voice="")


class Flat(FakeSynthesizer):
    capabilities = Capabilities(rate=False, emphasis=False)

    async def synthesize(self, text: str | Speech, *, locale: str, voice: str) -> Clip:
        self.given = text
        return await super().synthesize(text, locale=locale, voice=voice)


@pytest.mark.asyncio
async def test_a_synthesiser_is_not_given_what_it_cannot_do() -> None:
    inner, warnings = Flat(), list[str]()
    outer = GuardedSynthesizer(inner, catalog=CATALOG, warn=warnings.append)
    markup = '<speak>a <prosody rate="80%">b</prosody><break time="1s"/><emphasis>c</emphasis></speak>'
    for _ in range(2):
        await outer.synthesize(markup, locale="en-US", voice="")
    assert inner.given == Speech((Span("a "), Span("b"), Pause(1000), Span("c")))
    assert warnings == [
        "SSML: the synthesiser has one rate: that of <prosody> is left out",
        "SSML: the synthesiser does not stress: <emphasis> is left out",
    ]


@pytest.mark.asyncio
async def test_a_long_document_is_read_as_a_short_one_is() -> None:
    inner, warnings = FakeSynthesizer(), list[str]()
    outer = GuardedSynthesizer(inner, catalog=CATALOG, warn=warnings.append)
    await outer.synthesize(f"<speak>{'<i>a</i> ' * 500}</speak>", locale="en-US", voice="")
    assert inner.spoken == [("a " * 499 + "a", "en-US", "")]
    assert warnings == ["SSML: <i> is not known: its text is spoken"]


@pytest.mark.asyncio
async def test_a_text_that_is_no_document_is_spoken_as_it_stands() -> None:
    inner = FakeSynthesizer()
    await guard(inner).synthesize("Tom & Jerry < 3 <break/>", locale="en-US", voice="")
    assert inner.spoken == [("Tom & Jerry < 3 <break/>", "en-US", "")]


@pytest.mark.parametrize(
    "document",
    [
        '<speak><say-as interpret-as="digits">4242424242424242</say-as></speak>',
        "<speak>4242<break/>4242<p>4242</p><emphasis>4242</emphasis></speak>",
        '<speak>4242 4242 <sub alias="4242 4242">x</sub></speak>',
        "<speak>&#52;242&#x34;242 4242 4242</speak>",
    ],
)
@pytest.mark.asyncio
async def test_markup_does_not_hide_digits(document: str) -> None:
    inner = FakeSynthesizer()
    with pytest.raises(SynthesisError, match="digits in a row"):
        await guard(inner).synthesize(document, locale="en-US", voice="")
    assert inner.spoken == []


@pytest.mark.asyncio
async def test_a_text_that_is_too_long_never_reaches_the_synthesiser() -> None:
    inner = FakeSynthesizer()
    with pytest.raises(SynthesisError, match=f"{MAX_TEXT_CHARS} are the most"):
        await guard(inner).synthesize("x" * (MAX_TEXT_CHARS + 1), locale="en-US", voice="")
    assert inner.spoken == []


class Broken(Remote):
    async def start(self) -> None:
        raise OSError("connection refused: secret")

    async def synthesize(self, text: str | Speech, *, locale: str, voice: str) -> Clip:
        raise RuntimeError(f"cannot say {text}")


@pytest.mark.asyncio
async def test_any_fault_of_a_synthesiser_is_told_without_the_text() -> None:
    with pytest.raises(SynthesisError, match=r"could not start \(OSError\)"):
        await guard(Broken()).start()
    with pytest.raises(SynthesisError, match=r"failed \(RuntimeError\)") as caught:
        await guard(Broken()).synthesize("four two", locale="en-US", voice="")
    assert "four" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.asyncio
async def test_a_synthesiser_that_does_not_answer_is_given_up() -> None:
    inner = Remote()
    inner.gate = asyncio.Event()
    with pytest.raises(SynthesisError, match=r"did not answer within 0\.01 s"):
        await guard(inner, timeout_s=0.01).synthesize("Hello", locale="en-US", voice="")


@pytest.mark.asyncio
async def test_its_own_refusals_identity_start_and_end_pass_through() -> None:
    inner = FakeSynthesizer()
    inner.failure = SynthesisError("no such voice", remedy="choose another")
    outer = guarded(inner)(WorkerPool(), CATALOG)
    with pytest.raises(SynthesisError, match="no such voice: choose another"):
        await outer.synthesize("Hello", locale="en-US", voice="")
    await outer.start()
    await outer.close()
    assert outer.identity.startswith("fake")
    assert outer.capabilities is inner.capabilities
    assert inner.started
    assert inner.closed


@pytest.mark.asyncio
async def test_the_shipped_synthesisers_come_guarded() -> None:
    for make in (maker(), maker("piper")):
        pool = WorkerPool()
        synthesizer = make(pool, CATALOG)
        with pytest.raises(SynthesisError, match="digits in a row"):
            await synthesizer.synthesize(PAN, locale="en-US", voice="")
        assert pool.pids == ()
        await synthesizer.close()
