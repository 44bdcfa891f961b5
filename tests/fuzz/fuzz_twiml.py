"""Fuzz TwiML: any bytes are a document, any bytes what happens on a call that runs it.

Up to the first zero byte, each byte is something that happens; what follows is the document, which answers the first
request and some of the later ones. What must hold: a document is read or refused by a `TwimlError`; the interpreter
never raises; tokens are new, and what was stopped, answered or never begun changes nothing; once the far end is gone
only outcomes are told; `Finished` comes once and last; a payment's outcome is requested; no key is in a command but
where it belongs.

Runs by ``tests/fuzz/drive.py`` or under atheris.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":  # run as a file, the repository is not on the path
    sys.path.insert(0, str(Path(__file__).parents[2]))

from engine.dialects.twiml.actions import action_of
from engine.dialects.twiml.attributes import MAX_WARNINGS
from engine.dialects.twiml.commands import (
    Answer,
    Command,
    DialOut,
    Fetch,
    Finished,
    Parameters,
    Queue,
    Reject,
    Source,
    Speak,
    StartPay,
    StartRecord,
    Stop,
    Warn,
)
from engine.dialects.twiml.document import parse
from engine.dialects.twiml.errors import CONTENT_TYPE, DOCUMENT_PARSE, TwimlError
from engine.dialects.twiml.interpreter import Interpreter
from engine.dialects.twiml.markup import MAX_ELEMENTS
from engine.dialects.twiml.pace import MAX_IN_A_ROW

__all__ = ("SEEDS", "Case", "one_input")

URL = "https://app.example.com/a/b?c=d"
FALLBACK = "https://fallback.example.com/"
PLANTED = "8642097531"
OUTCOME = (("Result", "success"),)
MAX_COMMANDS = MAX_IN_A_ROW * (MAX_WARNINGS + 12)
"Of one input: inline documents that start over, each with its warnings."
REDIRECTED = "<Response><Gather numDigits='2'><Say>x</Say></Gather><Redirect>again</Redirect></Response>"
SEEDS = (
    b"\x30\x10\x31\x40\x11\x52\x30\x60\0<Response><Say>Hi</Say><Gather action='k' numDigits='2'><Say>Press</Say>"
    b"</Gather><Pay action='/paid'><Prompt for='payment-card-number'><Say>Card</Say></Prompt></Pay>"
    b"<Redirect>n</Redirect></Response>",
    b"\x10\x31\x21\x50\x61\x30\0<Response><Dial action='d' answerOnBridge='true'><Number url='w'>1</Number>"
    b"<Sip>sip:a@b</Sip></Dial><Enqueue waitUrl=''>q</Enqueue><Record/><Leave/><Reject/></Response>",
    b"\x01\x30\x31\x30\x31\0<Response><Pause length='0'/><Say><prosody rate='5%'>a</prosody> &amp; b</Say><Leave/>"
    b"</Response>",
    b"\x02\x70\x30\x90\x80\0<?xml version='1.0' encoding='iso-8859-1'?><Response><Play digits='1w2'/>\xe9<X y='z'/>"
    b"</Response>",
    b"\x04\x30\x30\0<!DOCTYPE a [<!ENTITY b 'c'>]><Response>&b;</Response>",
    b"\x08\x38\x50\x51\x60\x34\x90\x30\0<Response><Pay/><Pay action='http://x'/><Record action='r'/><Hangup/>"
    b"</Response>",
    b"\x10\x38\x11\x34\x38\x71\x34\xa1\x90\x34\0<Response><Pay action='https://x/y'/><Leave/><Say>next</Say></Response>",
)


class Case:
    """One call with its application."""

    def __init__(self, document: bytes, kind: int) -> None:
        text = document.decode("utf-8", "replace")
        source = (
            Source(text=text, fallback_url=FALLBACK if kind & 8 else "")
            if kind & 4
            else Source(url=URL, fallback_url=FALLBACK if kind & 8 else "")
        )
        self.document = document
        self.waiting, self.whisper = kind & 3 == 1, kind & 3 == 2
        self.interpreter = Interpreter(
            source, is_inbound=kind & 3 == 0, waiting=self.waiting, whisper=self.whisper, allow_insecure=bool(kind & 16)
        )
        self.now = 0.0
        self.open: dict[int, Command] = {}
        "What waits for an answer, by token."
        self.seen = 0
        self.finished = False
        self.hung_up = False
        self.log: list[Command] = []

    def took(self) -> list[Command]:
        """Take the commands that are due, and look at each."""
        commands: list[Command] = []
        while (command := self.interpreter.next_command()) is not None:
            assert not self.finished, "a command after Finished"
            commands.append(command)
            self._look_at(command)
        assert len(commands) <= MAX_COMMANDS
        assert self.interpreter.is_over == self.finished
        due = self.interpreter.next_timer()
        assert due is None or not (self.finished or self.hung_up)
        return commands

    def _look_at(self, command: Command) -> None:
        assert PLANTED not in repr(command)
        if self.hung_up:
            assert isinstance(command, Warn | Finished) or (isinstance(command, Fetch) and command.about)
        match command:
            case Finished():
                self.finished = True
            case Stop():
                assert self.open.pop(command.token, None) is not None, "stopped what did not run"
            case Fetch() | Speak() | StartPay() | StartRecord() | DialOut() | Queue():
                assert command.token > self.seen, "a token came twice"
                self.seen = command.token
                self.open[command.token] = command
                if isinstance(command, Fetch):
                    assert command.url.startswith(("https://", "http://"))
                    assert command.url.isascii()
                if self.waiting or self.whisper:
                    assert isinstance(command, Fetch | Speak)
            case Warn():
                assert len(command.message) < 400
            case Reject() | Answer():
                assert not self.waiting
                assert not self.whisper

    def happen(self, what: int) -> None:
        """Let something happen: the upper half says what, the lower one the variant."""
        kind, variant = what >> 4, what & 15
        self.now += (0.0, 0.02, 0.5, 3.0)[variant & 3]
        interpreter, now = self.interpreter, self.now
        match kind:
            case 0:
                interpreter.start(now)
            case 1:
                interpreter.answered(now)
            case 2:
                interpreter.handle_timer(now)
            case 3:
                self._answer_open(variant)
            case 4:
                for key in PLANTED:
                    interpreter.digit(int(key), now)
            case 5:
                interpreter.digit(variant - 1, now)
            case 6:
                self._answer_open(variant, longest=False)
            case 7:
                interpreter.redirect(Source(url=URL) if variant & 4 else Source(text=REDIRECTED), now)
            case 8:
                interpreter.leave(now)
            case 9:
                self.hung_up = True
                interpreter.hang_up(now)
            case 10:
                self._answer_wrong(variant)
            case _:
                self._answer_open(variant)
        self.took()

    def _answer_open(self, variant: int, *, longest: bool = True) -> None:
        if not self.open:
            return
        token = min(self.open) if longest else max(self.open)
        command = self.open.pop(token)
        now = self.now
        match command:
            case Fetch():
                self._answer_request(token, variant)
            case Speak():
                self.interpreter.spoken(token, bool(variant & 4), now)
            case StartPay():
                outcome = OUTCOME if variant & 12 else ()
                self.interpreter.ended(token, outcome, now)
                self._check_told(command, outcome)
            case StartRecord() | DialOut() | Queue():
                self.interpreter.ended(token, OUTCOME if variant & 8 else (), now)

    def _check_told(self, command: StartPay, outcome: Parameters) -> None:
        """A payment's outcome is requested, unless its action may not be."""
        insecure = self.interpreter._allow_insecure
        action = action_of(command.pay, command.base_url, allow_insecure=insecure)
        asked = [c for c in self.took() if isinstance(c, Fetch) and c.about == command.token]
        assert [c.url for c in asked] == ([action.url] if outcome and action.url else [])

    def _answer_request(self, token: int, variant: int) -> None:
        if variant & 12 == 12:
            self.interpreter.fetch_failed(token, "timeout" * 100, self.now)
            return
        status = 200 if variant & 8 or variant & 4 else (204, 302, 404, 503)[variant & 3]
        body = REDIRECTED.encode() if variant == 9 else self.document
        kind = "text/xml; charset=utf-8" if variant & 1 else ""
        self.interpreter.fetched(token, status=status, content_type=kind, body=body, url="", now=self.now)

    def _answer_wrong(self, variant: int) -> None:
        """Answer what was never asked, was stopped, or in the wrong way; nothing may come of it."""
        token = self.seen + 1 if variant & 1 else -variant
        for wrong in (token, *(t for t, c in self.open.items() if not isinstance(c, Fetch))):
            self.interpreter.fetched(wrong, status=200, content_type="", body=b"<Response/>", url="", now=self.now)
            self.interpreter.fetch_failed(wrong, "", self.now)
        for wrong in (token, *(t for t, c in self.open.items() if not isinstance(c, Speak))):
            self.interpreter.spoken(wrong, False, self.now)
        for wrong in (token, *(t for t, c in self.open.items() if isinstance(c, Fetch | Speak))):
            self.interpreter.ended(wrong, OUTCOME, self.now)
        assert self.took() == []

    def end(self) -> None:
        """Hang up and answer all that is open: it must be over then."""
        self.interpreter.start(self.now)
        self.took()
        self.hung_up = True
        self.interpreter.hang_up(self.now)
        self.took()
        for _ in range(2):
            for token, command in [*self.open.items()]:
                del self.open[token]
                if isinstance(command, Fetch):
                    self.interpreter.fetch_failed(token, "", self.now)
                elif isinstance(command, StartPay | StartRecord | DialOut | Queue):
                    self.interpreter.ended(token, OUTCOME, self.now)
                self.took()
        assert self.finished


def _read(document: bytes) -> None:
    refusal: TwimlError | None = None
    try:
        read = parse(document, content_type="text/xml")
    except TwimlError as error:
        refusal = error
    else:
        assert len(read.verbs) <= MAX_ELEMENTS
        assert len(read.warnings) <= MAX_WARNINGS + 1
    if refusal is not None:
        assert refusal.code in (DOCUMENT_PARSE, CONTENT_TYPE)
        assert len(str(refusal)) < 200


def one_input(data: bytes) -> None:
    """Run one case; raises whatever should not happen."""
    happens, _, document = data.partition(b"\0")
    _read(document)
    case = Case(document, happens[0] if happens else 0)
    for what in b"\x00" + happens[1:200]:
        case.happen(what)
    case.end()


if __name__ == "__main__":
    import atheris  # type: ignore[import-untyped,unused-ignore]

    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
