"""TwiML as it arrives, to verbs: what is taken, with which defaults, what is passed over, and what is refused."""

from __future__ import annotations

import gc
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from twilio.twiml import voice_response as twilio

from engine.dialects.twiml.attributes import MAX_WARNINGS
from engine.dialects.twiml.document import MAX_PAUSE_S, parse
from engine.dialects.twiml.errors import CONTENT_TYPE, DOCUMENT_PARSE, TwimlError
from engine.dialects.twiml.markup import MAX_ATTRIBUTE_CHARS, MAX_DEPTH, MAX_DOCUMENT_BYTES, MAX_ELEMENTS
from engine.dialects.twiml.nouns import MAX_NOUNS
from engine.dialects.twiml.verbs import (
    Client,
    Conference,
    Dial,
    DialQueue,
    Document,
    Enqueue,
    Gather,
    Hangup,
    Leave,
    Number,
    Pause,
    Pay,
    PayPrompt,
    Play,
    Record,
    Redirect,
    Reject,
    Say,
    Sip,
    Verb,
)

DOCS = Path(__file__).parents[5] / "docs"


def document(verbs: str) -> Document:
    return parse(f"<Response>{verbs}</Response>".encode())


def verb_of(markup: str) -> Verb:
    """Return the only verb of a document that has nothing to warn of."""
    read = document(markup)
    assert read.warnings == ()
    (verb,) = read.verbs
    return verb


def refusal_of(body: bytes, content_type: str = "") -> TwimlError:
    with pytest.raises(TwimlError) as caught:
        parse(body, content_type=content_type)
    return caught.value


# -- every verb -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("markup", "verb"),
    [
        ("<Say>Hello</Say>", Say(text="Hello")),
        (
            "<Say voice='alice' language='de-DE' loop='0'>Guten\n   Tag</Say>",
            Say(text="Guten Tag", voice="alice", language="de-DE", loop=0),
        ),
        ("<Say>a &amp; b &lt;c&gt; <![CDATA[<d>]]></Say>", Say(text="a & b <c> <d>")),
        ("<Say>a<!-- no -->b</Say>", Say(text="ab")),
        ("<Say>a <break time='1s'/> b</Say>", Say(text='<speak>a <break time="1s"></break> b</speak>')),
        (
            "<Say>R&amp;B <sub alias='x &quot;&lt;y'>&lt;</sub></Say>",
            Say(text="<speak>R&amp;B <sub alias='x \"&lt;y'>&lt;</sub></speak>"),
        ),
        ("<Play> https://a.example/x.wav </Play>", Play(url="https://a.example/x.wav")),
        ("<Play loop='3'>x.wav</Play>", Play(url="x.wav", loop=3)),
        ("<Play digits='1W2#*'/>", Play(digits="1w2#*")),
        ("<Pause/>", Pause()),
        ("<Pause length='10'/>", Pause(length_s=10.0)),
        ("<Gather/>", Gather()),
        (
            "<Gather input='dtmf' action='/a' method='GET' timeout='10' numDigits='4' finishOnKey='*' bargeIn='FALSE'"
            " actionOnEmptyResult='True'><Say>x</Say><Play>y</Play><Pause/></Gather>",
            Gather(
                action="/a",
                method="GET",
                timeout_s=10.0,
                num_digits=4,
                finish_on_key="*",
                barge_in=False,
                action_on_empty_result=True,
                spoken=(Say(text="x"), Play(url="y"), Pause()),
            ),
        ),
        ("<Gather finishOnKey='' timeout='auto'/>", Gather(finish_on_key="")),
        ("<Redirect method='get'> /x </Redirect>", Redirect(url="/x", method="GET")),
        ("<Hangup/>", Hangup()),
        ("<Reject/>", Reject()),
        ("<Reject reason='busy'/>", Reject(reason="busy")),
        ("<Record/>", Record()),
        (
            "<Record action='/a' method='GET' timeout='10' finishOnKey='#' maxLength='20' playBeep='false'"
            " trim='do-not-trim' recordingStatusCallback='/s' recordingStatusCallbackMethod='GET'/>",
            Record(
                action="/a",
                method="GET",
                timeout_s=10.0,
                finish_on_key="#",
                max_length_s=20,
                play_beep=False,
                trim=False,
                status_callback="/s",
                status_method="GET",
            ),
        ),
        ("<Dial>+15551234567</Dial>", Dial(nouns=(Number(number="+15551234567"),))),
        (
            "<Dial action='/a' method='GET' timeout='20' hangupOnStar='true' timeLimit='60' callerId='+1' record='true'"
            " answerOnBridge='true' ringTone='us' recordingStatusCallback='/r'><Number>1</Number></Dial>",
            Dial(
                nouns=(Number(number="1"),),
                action="/a",
                method="GET",
                timeout_s=20.0,
                hangup_on_star=True,
                time_limit_s=60,
                caller_id="+1",
                record="record-from-answer",
                answer_on_bridge=True,
                ring_tone="us",
                status_callback="/r",
            ),
        ),
        (
            "<Dial><Number sendDigits='ww1' url='/w' method='GET' statusCallback='/s' statusCallbackMethod='GET'"
            " statusCallbackEvent='initiated answered'>1</Number><Sip username='u' password='p'>sip:a@b?x-a=1</Sip>"
            "<Client><Identity>anna</Identity></Client><Client>bob</Client></Dial>",
            Dial(
                nouns=(
                    Number(
                        number="1",
                        send_digits="ww1",
                        url="/w",
                        method="GET",
                        status_callback="/s",
                        status_method="GET",
                        status_events=("initiated", "answered"),
                    ),
                    Sip(uri="sip:a@b?x-a=1", username="u", password="p"),
                    Client(identity="anna"),
                    Client(identity="bob"),
                )
            ),
        ),
        ("<Dial><Conference>Room 1</Conference></Dial>", Dial(conference=Conference(name="Room 1"))),
        (
            "<Dial><Conference muted='true' startConferenceOnEnter='false' endConferenceOnExit='true' beep='onEnter'"
            " maxParticipants='3' waitUrl='' waitMethod='GET' record='record-from-start' recordingStatusCallback='/r'"
            " recordingStatusCallbackMethod='GET' statusCallback='/s' statusCallbackMethod='GET'"
            " statusCallbackEvent='start end'>R</Conference></Dial>",
            Dial(
                conference=Conference(
                    name="R",
                    muted=True,
                    start_on_enter=False,
                    end_on_exit=True,
                    beep="onEnter",
                    max_participants=3,
                    wait_url="",
                    wait_method="GET",
                    record=True,
                    recording_callback="/r",
                    recording_method="GET",
                    status_callback="/s",
                    status_method="GET",
                    status_events=("start", "end"),
                )
            ),
        ),
        ("<Dial><Queue url='/w'>support</Queue></Dial>", Dial(queue=DialQueue(name="support", url="/w"))),
        ("<Enqueue>support</Enqueue>", Enqueue(name="support")),
        (
            "<Enqueue action='/a' method='GET' waitUrl='/w' waitUrlMethod='GET'>support</Enqueue>",
            Enqueue(name="support", action="/a", method="GET", wait_url="/w", wait_method="GET"),
        ),
        ("<Leave/>", Leave()),
        ("<Pay/>", Pay(attributes={}, line=1)),
        (
            "<Pay chargeAmount='10.50' paymentConnector='x'><Prompt for='security-code' attempt='1 2'><Say>code</Say>"
            "<Play>y</Play><Pause/></Prompt><Prompt name='postal-code'><Say>zip</Say></Prompt>"
            "<Parameter name='a' value=' b '/><Parameter name='c'/></Pay>",
            Pay(
                attributes={"chargeAmount": "10.50", "paymentConnector": "x"},
                prompts=(
                    PayPrompt(
                        attributes={"for": "security-code", "attempt": "1 2"},
                        spoken=(Say(text="code"), Play(url="y"), Pause()),
                    ),
                    PayPrompt(
                        attributes={"name": "postal-code", "for": "postal-code"}, spoken=(Say(text="zip"),)
                    ),  # D-17
                ),
                parameters=(("a", " b "), ("c", "")),
                line=1,
            ),
        ),
    ],
)
def test_a_verb_is_read_with_its_attributes_and_defaults(markup: str, verb: Verb) -> None:
    assert verb_of(markup) == verb


def test_a_prompt_with_both_names_of_its_step_is_for_the_vendors() -> None:
    (pay,) = document("<Pay><Prompt name='postal-code' for='security-code'/></Pay>").verbs
    assert isinstance(pay, Pay)
    assert pay.prompts[0].attributes["for"] == "security-code"


def test_the_password_of_a_sip_noun_is_in_no_repr() -> None:
    assert "hunter2" not in repr(document("<Dial><Sip password='hunter2'>sip:a@b</Sip></Dial>"))


def test_what_the_vendors_library_writes_is_taken_without_a_warning() -> None:
    response = twilio.VoiceResponse()
    gather = response.gather(input="dtmf", num_digits=1, action="/k", barge_in=True, action_on_empty_result=False)
    gather.say("Press one", voice="Polly.Joanna", language="en-US")
    pay = response.pay(
        charge_amount="20.45",
        postal_code=False,
        valid_card_types="visa amex",
        action="https://a.example/paid",
        status_callback="https://a.example/status",
    )
    prompt = twilio.Prompt(for_="payment-card-number", attempt=[1, 2], error_type=["timeout", "invalid-date"])
    prompt.say("Your card")
    pay.append(prompt)
    pay.parameter(name="order", value="7")
    dial = response.dial(caller_id="+15551234567", record="record-from-answer-dual", answer_on_bridge=True)
    dial.number("+15557654321", status_callback_event="initiated ringing answered completed")
    response.redirect("/next", method="POST")
    read = parse(str(response).encode(), content_type="text/xml; charset=utf-8")
    assert read.warnings == ()
    assert [type(verb) for verb in read.verbs] == [Gather, Pay, Dial, Redirect]
    assert isinstance(read.verbs[1], Pay)
    assert read.verbs[1].prompts[0].attributes["errorType"] == "['timeout', 'invalid-date']"  # D-16
    assert read.verbs[1].attributes["postalCode"] == "false"


def test_a_list_may_be_the_text_of_a_python_list() -> None:
    events = twilio.Dial()
    events.number("1", status_callback_event=["initiated", "completed"])
    (dial,) = document(str(events).partition("?>")[2]).verbs
    assert isinstance(dial, Dial)
    assert isinstance(dial.nouns[0], Number)
    assert dial.nouns[0].status_events == ("initiated", "completed")


# -- what is passed over ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("markup", "warning"),
    [
        ("<Connect><Stream url='x'/></Connect>", "line 2: <Connect> is not taken as a verb; it is passed over"),
        ("<say>x</say>", "line 2: <say> is not taken as a verb; it is passed over"),
        ("<Say/>", "line 2: <Say> has no text; it is passed over"),
        ("<Play/>", "line 2: <Play> has no URL; it is passed over"),
        ("<Redirect> </Redirect>", "line 2: <Redirect> has no URL; it is passed over"),
        ("<Dial/>", "line 2: <Dial> names nobody; it is passed over"),
        ("<Enqueue/>", "line 2: <Enqueue> has no name of a queue; it is passed over"),
    ],
)
def test_a_verb_that_makes_no_sense_is_left_out_with_its_line(markup: str, warning: str) -> None:
    read = document(f"\n{markup}<Hangup/>")
    assert read.verbs == (Hangup(),)
    assert warning in read.warnings


@pytest.mark.parametrize(
    ("markup", "verb", "warning"),
    [
        ("<Say Voice='x'>a</Say>", Say(text="a"), "line 1: attribute Voice of <Say> is passed over"),
        ("<Say loop='-1'>a</Say>", Say(text="a"), "line 1: loop of <Say> wants a number of 0 to 1000; 1 is taken"),
        (
            "<Say loop='9999'>a</Say>",
            Say(text="a", loop=1000),
            "line 1: loop of <Say> wants a number of 0 to 1000; 1000 is taken",
        ),
        (
            "<Pause length='86400'/>",
            Pause(length_s=MAX_PAUSE_S),
            "line 1: length of <Pause> wants a number of 0 to 3600; 3600 is taken",
        ),
        ("<Gather bargeIn='yes'/>", Gather(), "line 1: bargeIn of <Gather> wants true or false; true is taken"),
        ("<Gather timeout='4 s'/>", Gather(), "line 1: timeout of <Gather> wants a number of 0 to 600; 5 is taken"),
        ("<Gather timeout='٣'/>", Gather(), "line 1: timeout of <Gather> wants a number of 0 to 600; 5 is taken"),
        ("<Gather input='speech'/>", Gather(), "line 1: input of <Gather> wants some of dtmf; dtmf is taken"),
        ("<Gather input='dtmf speech'/>", Gather(), "line 1: input of <Gather> wants some of dtmf; dtmf is taken"),
        (
            "<Gather finishOnKey='A'/>",
            Gather(),
            "line 1: finishOnKey of <Gather> wants some of 0-9, * and #; # is taken",
        ),
        ("<Gather method='PUT'/>", Gather(), "line 1: method of <Gather> wants one of GET, POST; POST is taken"),
        ("<Gather><Pay/></Gather>", Gather(), "line 1: <Pay> is not taken in <Gather>; it is passed over"),
        ("<Gather>keys</Gather>", Gather(), "line 1: text in <Gather> is passed over"),
        (
            "<Reject reason='sleepy'/>",
            Reject(),
            "line 1: reason of <Reject> wants one of rejected, busy; rejected is taken",
        ),
        ("<Hangup><Say>x</Say></Hangup>", Hangup(), "line 1: <Say> is not taken in <Hangup>; it is passed over"),
        (
            "<Play digits='1a'>u</Play>",
            Play(url="u"),
            "line 1: digits of <Play> wants up to 128 of 0-9, *, # and w; they are not keyed",
        ),
        ("<Play digits='1'>u</Play>", Play(digits="1"), "line 1: <Play> has digits and a URL; the digits are keyed"),
        (
            "<Pay amount='1'/>",
            Pay(attributes={"amount": "1"}, line=1),
            "line 1: attribute amount of <Pay> is passed over",
        ),
        (
            "<Pay><Prompt for='x'><Dial>1</Dial></Prompt></Pay>",
            Pay(attributes={}, prompts=(PayPrompt(attributes={"for": "x"}, spoken=()),), line=1),
            "line 1: <Dial> is not taken in <Prompt>; it is passed over",
        ),
        (
            "<Pay><Parameter value='x'/></Pay>",
            Pay(attributes={}, line=1),
            "line 1: <Parameter> has no name; it is passed over",
        ),
        (
            "<Dial record='always'>1</Dial>",
            Dial(nouns=(Number(number="1"),)),
            "line 1: record of <Dial> wants one of do-not-record, record-from-answer, record-from-ringing,"
            " record-from-answer-dual, record-from-ringing-dual, true, false; do-not-record is taken",
        ),
        (
            "<Dial>1<Conference>r</Conference></Dial>",
            Dial(nouns=(Number(number="1"),)),
            "line 1: <Dial> takes several to call, or one <Conference>, or one <Queue>, in this order",
        ),
        (
            "<Dial>" + "<Number>1</Number>" * (MAX_NOUNS + 1) + "</Dial>",
            Dial(nouns=(Number(number="1"),) * MAX_NOUNS),
            "line 1: <Dial> calls 10 at most; the others are passed over",
        ),
        (
            "<Dial><Number/><Sim>1</Sim><Client>c</Client></Dial>",
            Dial(nouns=(Client(identity="c"),)),
            "line 1: <Number> is empty; it is passed over",
        ),
        (
            "<Dial><Number sendDigits='1,2'>1</Number></Dial>",
            Dial(nouns=(Number(number="1"),)),
            "line 1: sendDigits of <Number> wants up to 64 of 0-9, *, # and w; none is keyed",
        ),
    ],
)
def test_a_wrong_value_gives_the_default_and_a_warning(markup: str, verb: Verb, warning: str) -> None:
    read = document(markup)
    assert read.verbs == (verb,)
    assert warning in read.warnings


def test_text_outside_of_a_verb_is_passed_over() -> None:
    assert document("Hello <Hangup/>").warnings == ("line 1: text outside of a verb is passed over; put it into <Say>",)


def test_attributes_of_the_root_and_namespaces_are_of_no_interest() -> None:
    read = parse(b"<Response xmlns='urn:x' xmlns:a='urn:a' x='y'><Say xmlns:b='urn:b'>Hi</Say></Response>")
    assert read == Document(verbs=(Say(text="Hi"),))


def test_warnings_are_bounded_and_repeat_no_value() -> None:
    read = document("<Say x4111111111111111='1' loop='4222222222222'>a</Say>" + "<N\u00fcmber/>" * 100)
    assert len(read.warnings) == MAX_WARNINGS + 1
    assert read.warnings[-1] == "there are more"
    assert not any("4222222222222" in warning for warning in read.warnings)


# -- what is refused --------------------------------------------------------------------------------------------------

LAUGHS = b"<!DOCTYPE r [<!ENTITY a 'ha'>" + b"".join(
    f"<!ENTITY {name} '{f'&{before};' * 10}'>".encode() for before, name in zip("abcdefg", "bcdefgh", strict=True)
)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the document is empty; answer with <Response/> to end the call"),
        (b" \n", "the document is empty; answer with <Response/> to end the call"),
        (b"Hello", "line 1: the XML is broken (syntax error); write & as &amp; and close each tag"),
        (
            b"<Response>\n<Say>You & me</Say></Response>",
            "line 2: the XML is broken (not well-formed (invalid token)); write & as &amp; and close each tag",
        ),
        (
            b"<Response>\n\n<Say>Hi</Response>",
            "line 3: the XML is broken (mismatched tag); write & as &amp; and close each tag",
        ),
        (b"<html><body>Error</body></html>", "line 1: the root element is not <Response>"),
        (b"<response/>", "line 1: the root element is not <Response>"),
        (b"<!DOCTYPE html><html/>", "line 1: a document type is not taken; leave <!DOCTYPE> out"),
        (
            b"<!DOCTYPE r [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><Response><Say>&x;</Say></Response>",
            "line 1: a document type is not taken; leave <!DOCTYPE> out",
        ),
        (
            b"<!DOCTYPE r SYSTEM 'http://evil.example/x.dtd'><Response/>",
            "line 1: a document type is not taken; leave <!DOCTYPE> out",
        ),
        (
            LAUGHS + b"]><Response><Say>&h;</Say></Response>",
            "line 1: a document type is not taken; leave <!DOCTYPE> out",
        ),
        (
            b"<Response>" + b"<a>" * MAX_DEPTH,
            f"line 1: nested deeper than {MAX_DEPTH} elements",
        ),
        (
            b"<Response>" + b"<Hangup/>" * MAX_ELEMENTS + b"</Response>",
            f"line 1: more than {MAX_ELEMENTS} elements; split the document with <Redirect>",
        ),
        (
            b"<Response><Say voice='" + b"x" * (MAX_ATTRIBUTE_CHARS + 1) + b"'/></Response>",
            f"line 1: an attribute is longer than {MAX_ATTRIBUTE_CHARS} characters",
        ),
        (
            b"<Response><Say " + b" ".join(b"a%d=''" % n for n in range(65)) + b"/></Response>",
            "line 1: more than 64 attributes in one element",
        ),
        (
            b"<Response>" + b" " * MAX_DOCUMENT_BYTES + b"</Response>",
            f"the document is longer than {MAX_DOCUMENT_BYTES} bytes; split it with <Redirect>",
        ),
        (
            b"<Response><Say>\xff</Say></Response>",
            "the document is not in the encoding that it names, or in one not taken here; write it in UTF-8",
        ),
        (
            b"<?xml version='1.0' encoding='rot13'?><Erfcbafr/>",
            "the document is not in the encoding that it names, or in one not taken here; write it in UTF-8",
        ),
        (
            b"<?xml version='1.0' encoding='utf-7'?><Response/>",
            "the document is not in the encoding that it names, or in one not taken here; write it in UTF-8",
        ),
        (
            b"<?xml version='1.0' encoding='x-unknown'?><Response/>",
            "the document is not in the encoding that it names, or in one not taken here; write it in UTF-8",
        ),
    ],
)
def test_what_cannot_be_parsed_is_refused_with_line_and_remedy(body: bytes, message: str) -> None:
    refusal = refusal_of(body)
    assert refusal.code == DOCUMENT_PARSE
    assert str(refusal) == message


def test_ten_megabytes_are_refused_unread() -> None:
    assert "longer than" in str(refusal_of(b"<Response>" + b"<Say>x</Say>" * 850_000))


@pytest.mark.parametrize("kind", ["application/json", "audio/mpeg", "image/png", "application/octet-stream"])
def test_what_is_no_xml_by_its_content_type_is_refused(kind: str) -> None:
    refusal = refusal_of(b"<Response/>", kind)
    assert refusal.code == CONTENT_TYPE
    assert str(refusal) == "the answer is no TwiML by its content type; send it as text/xml"


def test_plain_text_is_refused_unless_it_is_markup() -> None:
    assert refusal_of(b"OK", "text/plain").code == CONTENT_TYPE
    assert parse(b" <Response/>", content_type="text/plain; charset=utf-8") == Document(verbs=())


@pytest.mark.parametrize(
    "kind", ["", "text/xml", "Application/XML; charset=utf-8", "text/html", "application/twiml+xml"]
)
def test_what_may_be_xml_is_read(kind: str) -> None:
    assert parse(b"<Response/>", content_type=kind) == Document(verbs=())


@pytest.mark.parametrize(
    ("encode", "content_type"),
    [
        (lambda text: text.encode(), ""),
        (lambda text: text.encode("utf-8-sig"), ""),
        (lambda text: text.encode("utf-16"), ""),
        (lambda text: text.encode("utf-16-be"), ""),
        (lambda text: f"<?xml version='1.0' encoding='ISO-8859-1'?>{text}".encode("latin-1"), "text/xml"),
        (
            lambda text: f"<?xml version='1.0' encoding='utf-8'?>{text}".encode("cp1252"),
            "text/xml; charset=Windows-1252",
        ),
        (lambda text: f"<?xml version='1.0' encoding='utf-16'?>{text}".encode(), 'text/xml; charset="UTF-8"'),
    ],
)
def test_a_document_may_be_in_another_encoding(encode: Callable[[str], bytes], content_type: str) -> None:
    body = encode("<Response><Say>Gr\u00fc\u00dfe</Say></Response>")
    assert parse(body, content_type=content_type).verbs == (Say(text="Gr\u00fc\u00dfe"),)


def test_the_bound_on_its_size_is_an_argument() -> None:
    with pytest.raises(TwimlError, match="longer than 10 bytes"):
        parse(b"<Response/>", max_bytes=10)


BROKEN = ("<Response><Say>1234</Response>", "<!DOCTYPE a><x>1234</x>", f"<Say>1234</Say>{'<a>' * 20}", "<a>1234</a>")


def test_nothing_of_a_document_lives_on_when_it_was_read_or_refused() -> None:
    gc.collect()
    gc.disable()
    gc.freeze()
    try:
        for text in ("<Response><Say>1234</Say></Response>", *BROKEN):
            with suppress(TwimlError):
                parse(text.encode())
            assert gc.collect() == 0
    finally:
        gc.unfreeze()
        gc.enable()


# -- what the documentation says ---------------------------------------------------------------------------------------

NOUNS = ("Number", "Sip", "Client", "Conference", "Queue")
TEXTS = {"Redirect": "x", "Enqueue": "x", "Dial": "1", "Say": "x", "Play": "x", **dict.fromkeys(NOUNS, "x")}


def documented() -> dict[str, set[str]]:
    """Return the attributes of each verb and noun in the tables of docs/twiml.md."""
    rows = re.findall(r"^\| `(\w+)` \| ([^|]*)\|[^|]*\|$", (DOCS / "twiml.md").read_text(), re.MULTILINE)
    named: dict[str, set[str]] = {}
    for name, cell in rows:
        named.setdefault(name, set(re.findall(r"`(\w+)`", re.sub(r"\(.*?\)", "", cell))))
    return named


@pytest.mark.parametrize(("name", "attributes"), documented().items())
def test_the_documentation_names_the_attributes_that_are_taken(name: str, attributes: set[str]) -> None:
    taken = set()
    for attribute in set().union(*documented().values()):
        markup = f"<{name} {attribute}=''>{TEXTS.get(name, '')}</{name}>"
        read = document(f"<Dial>{markup}</Dial>" if name in NOUNS else markup)
        if not any(warning.startswith(f"line 1: attribute {attribute} of ") for warning in read.warnings):
            taken.add(attribute)
    assert taken == attributes


def test_the_documentation_was_found() -> None:
    assert len(documented()) == 17
