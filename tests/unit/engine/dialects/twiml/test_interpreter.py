"""What TwiML documents make happen on a call."""

from __future__ import annotations

import pytest

from engine.dialects.twiml.commands import (
    Answer,
    Command,
    DialOut,
    Fetch,
    Finished,
    Queue,
    Reject,
    Source,
    Speak,
    StartPay,
    StartRecord,
    Stop,
    Warn,
)
from engine.dialects.twiml.interpreter import APOLOGY, Interpreter
from engine.dialects.twiml.keys import MAX_KEYS
from engine.dialects.twiml.pace import BURST, MAX_IN_A_ROW
from engine.dialects.twiml.verbs import Pause, Play, Say

URL = "https://app.example.com/voice/start?tenant=7"
KEYS = {**{str(digit): digit for digit in range(10)}, "*": 10, "#": 11}


class Driver:
    """An interpreter and its clock; the test is the call and the application."""

    def __init__(self, source: Source | None = None, *, is_inbound: bool = True, **options: bool) -> None:
        self.interpreter = Interpreter(source or Source(url=URL), is_inbound=is_inbound, **options)
        self.now = 100.0

    def took(self) -> list[Command]:
        """Return the commands that are due."""
        commands = []
        while (command := self.interpreter.next_command()) is not None:
            commands.append(command)
        return commands

    def one(self) -> Command:
        """Return the only command that is due."""
        (command,) = self.took()
        return command

    def start(self) -> list[Command]:
        self.interpreter.start(self.now)
        return self.took()

    def give(
        self,
        request: Command,
        verbs: str,
        *,
        status: int = 200,
        content_type: str = "text/xml",
        url: str = "",
    ) -> list[Command]:
        """Answer a request with a document of these verbs."""
        assert isinstance(request, Fetch)
        body = f"<Response>{verbs}</Response>".encode()
        self.interpreter.fetched(
            request.token, status=status, content_type=content_type, body=body, url=url, now=self.now
        )
        return self.took()

    def run(self, verbs: str) -> list[Command]:
        """Start with a document of these verbs."""
        (request,) = self.start()
        return self.give(request, verbs)

    def run_up(self, verbs: str) -> list[Command]:
        """The same on a call that is answered; return what follows the answer."""
        assert self.run(verbs) == [Answer()]
        self.interpreter.answered(self.now)
        return self.took()

    def after(self, seconds: float) -> list[Command]:
        self.now += seconds
        self.interpreter.handle_timer(self.now)
        return self.took()

    def press(self, keys: str) -> list[Command]:
        for key in keys:
            self.interpreter.digit(KEYS[key], self.now)
        return self.took()

    def spoken(self, command: Command, *, after: float = 2.0, by_digit: bool = False) -> list[Command]:
        assert isinstance(command, Speak)
        self.now += after
        self.interpreter.spoken(command.token, by_digit, self.now)
        return self.took()

    def ended(self, command: Command, *parameters: tuple[str, str], after: float = 2.0) -> list[Command]:
        assert isinstance(command, StartPay | StartRecord | DialOut | Queue)
        self.now += after
        self.interpreter.ended(command.token, parameters, self.now)
        return self.took()

    def hang_up(self) -> list[Command]:
        self.interpreter.hang_up(self.now)
        return self.took()


def spoken_of(command: Command) -> str:
    assert isinstance(command, Speak)
    return " ".join(item.text for item in command.items if isinstance(item, Say))


def codes_of(commands: list[Command]) -> list[int]:
    return [command.code for command in commands if isinstance(command, Warn)]


# -- the first document -----------------------------------------------------------------------------------------------


def test_the_document_is_fetched_while_the_call_rings_and_the_call_answered_when_something_is_to_be_heard() -> None:
    call = Driver(Source(url=URL, method="GET"))
    (request,) = call.start()
    assert request == Fetch(token=1, url=URL, method="GET")
    assert call.give(request, "<Say>Hello</Say>") == [Answer()]
    call.interpreter.answered(call.now)
    speak = call.one()
    assert spoken_of(speak) == "Hello"
    assert call.spoken(speak) == [Finished()]
    assert call.interpreter.is_over


def test_a_call_out_needs_no_answer_of_ours() -> None:
    call = Driver(is_inbound=False)
    assert spoken_of(call.run("<Say>Hello</Say>")[0]) == "Hello"


def test_a_document_that_came_inline_is_run_at_once() -> None:
    call = Driver(Source(text="<Response><Say>Hello</Say></Response>"), is_inbound=False)
    (speak,) = call.start()
    assert spoken_of(speak) == "Hello"


def test_consecutive_things_to_be_heard_are_one() -> None:
    call = Driver()
    (speak,) = call.run_up("<Say>one</Say><Play>/two.wav</Play><Pause length='2'/><Say>three</Say><Hangup/>")
    assert isinstance(speak, Speak)
    assert speak.items == (Say(text="one"), Play(url="/two.wav"), Pause(length_s=2.0), Say(text="three"))
    assert speak.base_url == URL
    assert not speak.interruptible
    assert call.spoken(speak) == [Finished(reason="hangup")]


def test_an_empty_document_ends_the_call() -> None:
    assert Driver().run("") == [Finished()]


@pytest.mark.parametrize(("reason", "status"), [("", 603), ("reason='busy'", 486)])
def test_a_call_that_rings_is_rejected(reason: str, status: int) -> None:
    assert Driver().run(f"<Reject {reason}/>") == [Reject(status=status), Finished(reason="rejected")]


def test_reject_is_passed_over_on_a_call_that_is_answered() -> None:
    call = Driver()
    (speak,) = call.run_up("<Say>Hello</Say><Reject/><Say>still here</Say>")
    warning, after = call.spoken(speak)
    assert codes_of([warning]) == [12200]
    assert spoken_of(after) == "still here"


def test_hang_up_and_redirect_do_not_answer() -> None:
    assert Driver().run("<Hangup/><Say>never</Say>") == [Finished(reason="hangup")]
    (request,) = Driver().run("<Redirect method='GET'>../other.xml?a=1#x</Redirect>")
    assert request == Fetch(token=2, url="https://app.example.com/other.xml?a=1", method="GET")


def test_a_pause_before_anything_else_lets_the_call_ring() -> None:
    call = Driver()
    assert call.run("<Pause length='5'/><Reject/>") == []
    assert call.interpreter.next_timer() == call.now + 5.0
    assert call.after(4.9) == []
    assert call.after(0.1) == [Reject(status=603), Finished(reason="rejected")]


def test_relative_urls_are_relative_to_where_the_document_came_from_in_the_end() -> None:
    call = Driver()
    (request,) = call.start()
    (fetch,) = call.give(request, "<Redirect>next</Redirect>", url="http://user:pw@b.example.org:8080/x/y")
    assert isinstance(fetch, Fetch)
    assert fetch.url == "http://user:pw@b.example.org:8080/x/next"


def test_what_is_passed_over_is_warned_of() -> None:
    commands = Driver().run("<Connect/><Hangup because='x'/>")
    assert codes_of(commands) == [12200, 12200]
    assert commands[-1] == Finished(reason="hangup")


# -- documents that cannot be had -------------------------------------------------------------------------------------


def test_without_a_document_the_caller_hears_so_and_the_call_ends() -> None:
    call = Driver()
    (request,) = call.start()
    assert isinstance(request, Fetch)
    call.interpreter.fetch_failed(request.token, "timeout", call.now)
    warning, answer = call.took()
    assert warning == Warn(code=11200, message="the application gave no document (timeout) (from app.example.com)")
    assert answer == Answer()
    call.interpreter.answered(call.now)
    speak = call.one()
    assert isinstance(speak, Speak)
    assert speak.items == (APOLOGY,)
    assert call.spoken(speak) == [Finished(reason="error")]


@pytest.mark.parametrize(
    ("status", "content_type", "verbs", "code"),
    [
        (500, "text/xml", "", 11200),
        (301, "text/xml", "", 11200),
        (200, "application/json", "", 12300),
        (200, "text/xml", "<Say>", 12100),
    ],
)
def test_the_fallback_is_asked_with_what_went_wrong(status: int, content_type: str, verbs: str, code: int) -> None:
    source = Source(url="https://user:pw@a.example.com/x?y=1", fallback_url=URL, fallback_method="GET")
    call = Driver(source)
    (request,) = call.start()
    warning, fallback = call.give(request, verbs, status=status, content_type=content_type)
    assert codes_of([warning]) == [code]
    assert isinstance(fallback, Fetch)
    assert (fallback.url, fallback.method) == (URL, "GET")
    assert fallback.parameters == (("ErrorCode", str(code)), ("ErrorUrl", "https://a.example.com/x?y=1"))
    assert call.give(fallback, "<Hangup/>") == [Finished(reason="hangup")]


def test_a_fallback_that_fails_too_is_not_asked_again() -> None:
    call = Driver(Source(url=URL, fallback_url=URL), is_inbound=False)
    (request,) = call.start()
    _, fallback = call.give(request, "", status=500)
    warning, speak = call.give(fallback, "", status=500)
    assert codes_of([warning]) == [11200]
    assert isinstance(speak, Speak)
    assert speak.items == (APOLOGY,)


def test_warnings_name_the_host_and_nothing_else_of_a_url() -> None:
    call = Driver(Source(url="https://user:pw@app.example.com/menu/1234?Digits=5678"))
    (request,) = call.start()
    (warning, _) = call.give(request, "", status=404)
    assert isinstance(warning, Warn)
    assert warning.message == "the application gave no document (HTTP 404) (from app.example.com)"


BROKEN_URLS = ("ftp://x/y", "/relative", "https://", "http://[::1/x", "https://a:99999/", "https://é.example/")


@pytest.mark.parametrize("url", BROKEN_URLS)
def test_a_url_that_is_none_ends_an_inline_document(url: str) -> None:
    call = Driver(Source(text=f"<Response><Redirect>{url}</Redirect></Response>"), is_inbound=False)
    warning, speak = call.start()
    assert codes_of([warning]) == [11200]
    assert isinstance(speak, Speak)


def test_the_action_of_a_dial_that_cannot_be_had_ends_the_call_as_any_document() -> None:
    call = Driver(Source(url=URL, fallback_url="https://fallback.example.com/"), is_inbound=False)
    (dial,) = call.run("<Dial action='done'>1</Dial><Say>never</Say>")
    (request,) = call.ended(dial, ("DialCallStatus", "busy"))
    warning, fallback = call.give(request, "", status=500)
    assert codes_of([warning]) == [11200]
    assert isinstance(fallback, Fetch)
    assert fallback.url == "https://fallback.example.com/"


def test_each_document_has_its_own_warnings() -> None:
    call = Driver(is_inbound=False)
    warning, request = call.run("<Leave/><Leave/><Redirect>x</Redirect>")
    assert codes_of([warning]) == [12200]
    assert codes_of(call.give(request, "<Leave/>")) == [12200]


# -- endless documents ------------------------------------------------------------------------------------------------


def test_a_document_that_redirects_to_itself_ends_the_call() -> None:
    call = Driver()
    commands = call.start()
    n_documents = 0
    while isinstance(commands[-1], Fetch):
        call.now += 1.0
        n_documents += 1
        commands = call.give(commands[-1], "<Redirect/><Redirect>again</Redirect>")
    assert n_documents == MAX_IN_A_ROW
    assert codes_of(commands)[-1] == 11200
    assert commands[-1] == Finished(reason="loop")


def test_a_document_that_asks_again_after_a_while_goes_on_as_long_as_the_call() -> None:
    call = Driver(is_inbound=False)
    (request,) = call.start()
    for _ in range(3 * MAX_IN_A_ROW):
        (speak,) = call.give(request, "<Pause length='1'/><Redirect>again</Redirect>")
        (request,) = call.spoken(speak, after=1.0)
    assert isinstance(request, Fetch)


def test_documents_that_say_next_to_nothing_cannot_follow_each_other_faster_than_ten_a_second() -> None:
    call = Driver(is_inbound=False)
    commands = call.start()
    n_documents = 0
    while isinstance(commands[-1], Fetch):
        n_documents += 1
        (speak,) = call.give(commands[-1], "<Pause length='0'/><Redirect>again</Redirect>")
        call.press("1")
        commands = call.spoken(speak, after=0.05)
    assert n_documents == BURST
    assert commands[-1] == Finished(reason="loop")


def test_a_payment_that_is_refused_at_once_and_asked_again_for_ever_ends_the_call() -> None:
    call = Driver(is_inbound=False)
    commands = call.start()
    refused = 0
    while isinstance(commands[-1], Fetch):
        (pay,) = call.give(commands[-1], "<Pay/>")
        refused += 1
        commands = call.ended(pay, ("Result", "validation-error"), after=0.2)
    assert refused == MAX_IN_A_ROW
    assert [type(command) for command in commands] == [Fetch, Warn, Finished]


def test_an_operator_may_redirect_as_often_as_he_likes() -> None:
    call = Driver(is_inbound=False)
    call.start()
    for _ in range(3 * MAX_IN_A_ROW):
        call.now += 1.0
        call.interpreter.redirect(Source(url=URL), call.now)
        _, request = call.took()
    assert isinstance(request, Fetch)


# -- keys -------------------------------------------------------------------------------------------------------------

GATHER = "<Gather action='keys' numDigits='2' timeout='3'><Say>Press two keys</Say></Gather><Say>Nothing came</Say>"


def test_keys_are_gathered_and_told() -> None:
    call = Driver()
    (speak,) = call.run_up(GATHER)
    assert isinstance(speak, Speak)
    assert speak.interruptible
    assert call.press("1") == [Stop(token=speak.token)]
    (request,) = call.press("2")
    assert isinstance(request, Fetch)
    assert (request.url, request.method) == ("https://app.example.com/voice/keys", "POST")
    assert request.parameters == (("Digits", "12"), ("FinishedOnKey", ""))
    assert call.give(request, "<Hangup/>") == [Finished(reason="hangup")]


def test_a_prompt_that_a_key_ended_may_be_told_before_or_after_the_key() -> None:
    call = Driver()
    (speak,) = call.run_up(GATHER)
    assert call.spoken(speak, by_digit=True) == []
    (request,) = call.press("34")
    assert isinstance(request, Fetch)
    assert request.parameters[0] == ("Digits", "34")


def test_nothing_keyed_in_time_goes_on_with_the_next_verb() -> None:
    call = Driver()
    (speak,) = call.run_up(GATHER)
    assert call.interpreter.next_timer() is None
    assert call.spoken(speak) == []
    assert call.interpreter.next_timer() == call.now + 3.0
    (after,) = call.after(3.0)
    assert spoken_of(after) == "Nothing came"


def test_the_silence_counts_from_the_last_key() -> None:
    call = Driver()
    (speak,) = call.run_up(GATHER)
    call.spoken(speak)
    assert call.after(2.9) == []
    assert call.press("5") == []
    assert call.after(2.9) == []
    (request,) = call.after(0.1)
    assert isinstance(request, Fetch)
    assert request.parameters == (("Digits", "5"), ("FinishedOnKey", ""))


@pytest.mark.parametrize(
    ("attributes", "keys", "parameters"),
    [
        ("", "12#", (("Digits", "12"), ("FinishedOnKey", "#"))),
        ("", "1*2#", (("Digits", "1*2"), ("FinishedOnKey", "#"))),
        ("finishOnKey='*'", "1#*", (("Digits", "1#"), ("FinishedOnKey", "*"))),
        ("finishOnKey='' numDigits='3'", "*#*", (("Digits", "*#*"), ("FinishedOnKey", ""))),
        ("finishOnKey='09'", "190", (("Digits", "1"), ("FinishedOnKey", "9"))),
        ("actionOnEmptyResult='true'", "#", (("Digits", ""), ("FinishedOnKey", "#"))),
    ],
)
def test_what_ends_an_entry(attributes: str, keys: str, parameters: tuple[tuple[str, str], ...]) -> None:
    call = Driver(is_inbound=False)
    call.run(f"<Gather {attributes}/>")
    (request,) = call.press(keys)
    assert isinstance(request, Fetch)
    assert request.url == URL
    assert request.parameters == parameters


def test_an_empty_result_is_told_when_it_is_wanted() -> None:
    call = Driver(is_inbound=False)
    call.run("<Gather actionOnEmptyResult='true' method='get'/>")
    (request,) = call.after(5.0)
    assert isinstance(request, Fetch)
    assert request.method == "GET"
    assert request.parameters == (("Digits", ""), ("FinishedOnKey", ""))


def test_without_barge_in_the_prompt_is_heard_to_its_end_and_no_key_is_lost() -> None:
    call = Driver(is_inbound=False)
    (speak,) = call.run("<Gather bargeIn='false' numDigits='2'><Say>Listen</Say></Gather>")
    assert isinstance(speak, Speak)
    assert not speak.interruptible
    assert call.press("78") == []
    (request,) = call.spoken(speak)
    assert isinstance(request, Fetch)
    assert request.parameters[0] == ("Digits", "78")


def test_without_barge_in_keys_pressed_ahead_do_not_spare_the_prompt() -> None:
    call = Driver(is_inbound=False)
    (speak,) = call.run("<Say>Welcome</Say><Gather bargeIn='false' numDigits='1'><Say>Listen</Say></Gather>")
    call.press("1")
    (prompt,) = call.spoken(speak)
    assert spoken_of(prompt) == "Listen"
    (request,) = call.spoken(prompt)
    assert isinstance(request, Fetch)
    assert request.parameters[0] == ("Digits", "1")


def test_a_finish_key_pressed_ahead_of_an_entry_spares_nothing() -> None:
    call = Driver(is_inbound=False)
    (speak,) = call.run(f"<Say>Welcome</Say>{GATHER}")
    call.press("#")
    (prompt,) = call.spoken(speak)
    assert spoken_of(prompt) == "Press two keys"
    assert call.spoken(prompt) == []


def test_an_entry_without_a_length_ends_somewhere() -> None:
    call = Driver(is_inbound=False)
    call.run("<Gather/>")
    (request,) = call.press("1" * 200)
    assert isinstance(request, Fetch)
    assert request.parameters[0] == ("Digits", "1" * MAX_KEYS)


@pytest.mark.parametrize("verb", ["<Dial>1</Dial>", "<Record/>", "<Enqueue>a</Enqueue>", "<Pay/>"])
def test_keys_pressed_before_a_long_verb_are_not_kept_beyond_it(verb: str) -> None:
    call = Driver(is_inbound=False)
    (speak,) = call.run(f"<Say>Welcome</Say>{verb}{GATHER}")
    call.press("12")
    (command,) = call.spoken(speak)
    (prompt,) = call.ended(command)
    assert spoken_of(prompt) == "Press two keys"


def test_keys_pressed_ahead_spare_the_prompt() -> None:
    call = Driver(is_inbound=False)
    (speak,) = call.run(f"<Say>Welcome</Say>{GATHER}")
    assert call.press("12") == []
    (request,) = call.spoken(speak)
    assert isinstance(request, Fetch)
    assert request.parameters[0] == ("Digits", "12")


def test_keys_beyond_those_wanted_are_for_the_next_menu() -> None:
    call = Driver(is_inbound=False)
    call.run(GATHER)
    _, request = call.press("1234")
    (second,) = call.give(request, GATHER)
    assert isinstance(second, Fetch)
    assert second.parameters[0] == ("Digits", "34")


def test_the_pound_key_after_a_complete_entry_does_not_end_the_next_one() -> None:
    for when in ("before the document", "after it"):
        call = Driver(is_inbound=False)
        call.run(GATHER)
        _, request = call.press("12")
        if when == "before the document":
            call.press("#")
        (prompt,) = call.give(request, GATHER)
        if when == "after it":
            assert call.press("#") == []
        assert spoken_of(prompt) == "Press two keys"
        (_, second) = call.press("34")
        assert isinstance(second, Fetch)
        assert second.parameters[0] == ("Digits", "34")


def test_a_pound_key_pressed_long_after_ends_the_entry_empty() -> None:
    call = Driver(is_inbound=False)
    call.run(GATHER)
    _, request = call.press("12")
    call.give(request, GATHER)
    call.now += 2.5
    (stop, after) = call.press("#")
    assert isinstance(stop, Stop)
    assert spoken_of(after) == "Nothing came"


def test_keys_that_are_none_are_ignored() -> None:
    call = Driver(is_inbound=False)
    call.run("<Gather numDigits='1'/>")
    for code in (-1, 12, 16, 255):
        call.interpreter.digit(code, call.now)
    assert call.took() == []


def test_keys_of_a_gather_are_in_no_repr() -> None:
    call = Driver(is_inbound=False)
    call.run("<Gather/>")
    call.press("9876")
    assert "9876" not in repr(call.interpreter)
    (request,) = call.press("#")
    assert "9876" not in repr(request)
    assert "9876" not in repr(vars(call.interpreter))


# -- long verbs -------------------------------------------------------------------------------------------------------


def test_the_outcome_of_a_payment_is_told_and_the_answer_goes_on() -> None:
    call = Driver()
    (pay,) = call.run_up("<Pay action='/paid?x=1'/><Say>never</Say>")
    assert isinstance(pay, StartPay)
    assert pay.base_url == URL
    (request,) = call.ended(pay, ("Result", "success"))
    assert isinstance(request, Fetch)
    assert (request.url, request.method) == ("https://app.example.com/paid?x=1", "POST")
    assert request.about == pay.token
    assert request.parameters == (("Result", "success"),)
    (speak,) = call.give(request, "<Say>Thank you</Say>")
    assert spoken_of(speak) == "Thank you"


def test_without_an_action_the_outcome_goes_to_the_document() -> None:
    call = Driver(is_inbound=False)
    (pay,) = call.run("<Pay/>")
    (request,) = call.ended(pay, ("Result", "success"))
    assert isinstance(request, Fetch)
    assert request.url == URL


@pytest.mark.parametrize("fault", ["unreachable", "500", "json", "broken"])
def test_a_payments_action_that_gives_no_document_leaves_the_one_there_is(fault: str) -> None:
    call = Driver(Source(url=URL, fallback_url="https://fallback.example.com/"), is_inbound=False)
    (pay,) = call.run("<Pay action='/paid'/><Gather action='next' numDigits='1'/>")
    (request,) = call.ended(pay, ("Result", "success"))
    assert isinstance(request, Fetch)
    call.now += 5.0
    if fault == "unreachable":
        call.interpreter.fetch_failed(request.token, "refused", call.now)
        (warning,) = call.took()
    elif fault == "500":
        (warning,) = call.give(request, "", status=500)
    elif fault == "json":
        (warning,) = call.give(request, "", content_type="application/json")
    else:
        (warning,) = call.give(request, "</Response>")
    assert isinstance(warning, Warn)
    (keys,) = call.press("1")
    assert isinstance(keys, Fetch)
    assert keys.url == "https://app.example.com/voice/next"


@pytest.mark.parametrize("action", ["http://app.example.com/paid", "ftp://x", "https://"])
def test_a_payments_action_must_be_https(action: str) -> None:
    call = Driver(is_inbound=False)
    (pay,) = call.run(f"<Pay action='{action}'/><Say>next</Say>")
    warning, speak = call.ended(pay, ("Result", "validation-error"))
    assert codes_of([warning]) == [64016]
    assert spoken_of(speak) == "next"


def test_a_payments_action_may_be_http_in_development() -> None:
    call = Driver(is_inbound=False, allow_insecure=True)
    (pay,) = call.run("<Pay action='http://app.example.com/paid'/>")
    (request,) = call.ended(pay, ("Result", "success"))
    assert isinstance(request, Fetch)


def test_the_action_of_an_inline_payment_must_be_absolute() -> None:
    call = Driver(Source(text="<Response><Pay action='/paid'/></Response>"), is_inbound=False)
    (pay,) = call.start()
    assert codes_of(call.ended(pay, ("Result", "success"))) == [64016]


def test_what_is_keyed_on_after_a_payment_reaches_no_gather() -> None:
    call = Driver(is_inbound=False)
    (speak,) = call.run("<Say>Your card number please</Say><Pay/>")
    call.press("4242")
    (pay,) = call.spoken(speak)
    call.press("42")
    (request,) = call.ended(pay, ("Result", "too-many-failed-attempts"))
    for _ in range(4):
        call.now += 0.6
        call.press("4")
    commands = call.give(request, "<Gather numDigits='1'/>")
    assert commands == []
    call.now += 0.6
    assert call.press("2") == []
    call.now += 1.0
    (keys,) = call.press("1")
    assert isinstance(keys, Fetch)
    assert keys.parameters[0] == ("Digits", "1")


def test_what_is_keyed_on_after_a_payment_was_stopped_reaches_no_gather() -> None:
    call = Driver(is_inbound=False)
    call.run("<Pay/>")
    call.interpreter.redirect(Source(text=f"<Response><Gather numDigits='1' action='{URL}'/></Response>"), call.now)
    call.took()
    assert call.press("4242") == []
    call.now += 1.0
    (request,) = call.press("1")
    assert isinstance(request, Fetch)
    assert request.parameters[0] == ("Digits", "1")


def test_relative_urls_of_every_verb_come_with_what_they_are_relative_to() -> None:
    verbs = ("<Say>x</Say>", "<Pay/>", "<Record/>", "<Dial>1</Dial>", "<Enqueue>a</Enqueue>")
    for verb in verbs:
        (command,) = Driver(is_inbound=False).run(verb)
        assert not isinstance(command, Answer | Fetch | Finished | Reject | Stop | Warn)
        assert command.base_url == URL


def test_a_recording_that_heard_nothing_goes_on_with_the_next_verb() -> None:
    call = Driver(is_inbound=False)
    (record,) = call.run("<Record action='rec'/><Say>next</Say>")
    assert isinstance(record, StartRecord)
    (speak,) = call.ended(record)
    assert spoken_of(speak) == "next"


def test_a_recording_is_told_to_its_action_or_the_document() -> None:
    for action, url in (("action='rec'", "https://app.example.com/voice/rec"), ("", URL)):
        call = Driver(is_inbound=False)
        (record,) = call.run(f"<Record {action}/>")
        (request,) = call.ended(record, ("RecordingUrl", "x"))
        assert isinstance(request, Fetch)
        assert (request.url, request.about) == (url, record.token if isinstance(record, StartRecord) else 0)


def test_dial_and_enqueue_without_an_action_go_on_with_the_next_verb() -> None:
    for verb, kind in (("<Dial>4711</Dial>", DialOut), ("<Enqueue>support</Enqueue>", Queue)):
        call = Driver(is_inbound=False)
        (command,) = call.run(f"{verb}<Say>next</Say>")
        assert isinstance(command, kind)
        (speak,) = call.ended(command, ("DialCallStatus", "busy"))
        assert spoken_of(speak) == "next"


def test_dial_and_enqueue_tell_their_action() -> None:
    for verb in ("<Dial action='done' method='GET'>4711</Dial>", "<Enqueue action='done' method='GET'>a</Enqueue>"):
        call = Driver(is_inbound=False)
        (command,) = call.run(verb)
        (request,) = call.ended(command, ("DialCallStatus", "busy"))
        assert isinstance(request, Fetch)
        assert (request.url, request.method) == ("https://app.example.com/voice/done", "GET")


def test_dial_answers_the_call_unless_it_shall_ring_until_it_is_connected() -> None:
    assert Driver().run("<Dial>4711</Dial>") == [Answer()]
    call = Driver()
    (dial,) = call.run("<Dial answerOnBridge='true'>4711</Dial><Say>next</Say>")
    assert isinstance(dial, DialOut)
    call.interpreter.answered(call.now)
    (speak,) = call.ended(dial, ("DialCallStatus", "completed"))
    assert spoken_of(speak) == "next"


def test_a_dial_that_nobody_answered_leaves_the_call_ringing() -> None:
    call = Driver()
    (dial,) = call.run("<Dial answerOnBridge='true'>4711</Dial><Reject reason='busy'/>")
    assert call.ended(dial, ("DialCallStatus", "no-answer")) == [Reject(status=486), Finished(reason="rejected")]


def test_a_call_that_was_answered_to_be_connected_cannot_be_rejected() -> None:
    call = Driver()
    (dial,) = call.run("<Dial answerOnBridge='true'>4711</Dial><Reject/>")
    call.interpreter.answered(call.now)
    warning, finished = call.ended(dial, ("DialCallStatus", "completed"))
    assert codes_of([warning]) == [12200]
    assert finished == Finished()


# -- from outside -----------------------------------------------------------------------------------------------------


def test_a_live_call_is_given_another_document() -> None:
    call = Driver()
    (speak,) = call.run_up("<Say>one</Say><Say>two</Say>")
    assert isinstance(speak, Speak)
    call.interpreter.redirect(Source(url="https://other.example.com/", method="GET"), call.now)
    stop, request = call.took()
    assert stop == Stop(token=speak.token)
    assert request == Fetch(token=speak.token + 1, url="https://other.example.com/", method="GET")
    assert call.spoken(speak) == []
    (after,) = call.give(request, "<Say>three</Say>")
    assert spoken_of(after) == "three"


def test_a_document_that_is_being_fetched_is_given_up_for_another_one() -> None:
    call = Driver()
    (request,) = call.start()
    assert isinstance(request, Fetch)
    call.interpreter.redirect(Source(text="<Response><Reject/></Response>"), call.now)
    assert call.took() == [Stop(token=request.token), Reject(status=603), Finished(reason="rejected")]
    assert call.give(request, "<Say>late</Say>") == []


def test_the_fallback_stays_when_the_other_document_names_none() -> None:
    call = Driver(Source(url=URL, fallback_url="https://fallback.example.com/"), is_inbound=False)
    call.start()
    call.interpreter.redirect(Source(url="https://other.example.com/"), call.now)
    _, request = call.took()
    _, fallback = call.give(request, "", status=500)
    assert isinstance(fallback, Fetch)
    assert fallback.url == "https://fallback.example.com/"


def test_a_redirected_call_still_tells_the_outcome_of_a_payment_that_was_being_told() -> None:
    call = Driver(is_inbound=False)
    (pay,) = call.run("<Pay/>")
    (request,) = call.ended(pay, ("Result", "success"))
    call.interpreter.redirect(Source(text="<Response><Say>Wait</Say></Response>"), call.now)
    (speak,) = call.took()
    assert isinstance(speak, Speak)
    assert call.give(request, "<Say>never</Say>") == []
    assert call.spoken(speak) == [Finished()]


def test_an_outcome_that_is_not_taken_after_the_end_is_no_news() -> None:
    call = Driver(is_inbound=False)
    (pay,) = call.run("<Pay/>")
    (request,) = call.ended(pay, ("Result", "success"))
    call.interpreter.redirect(Source(text="<Response/>"), call.now)
    assert call.took() == [Finished()]
    assert call.give(request, "", status=500) == []


@pytest.mark.parametrize("verbs", ["<Say>x</Say>", "<Gather><Say>x</Say></Gather>", "<Gather/>"])
def test_hanging_up_ends_what_is_heard_and_gathered(verbs: str) -> None:
    call = Driver(is_inbound=False)
    call.run(verbs)
    call.press("1")
    call.took()
    assert call.hang_up() == [Finished(reason="hung-up")]
    assert call.interpreter.next_timer() is None
    assert call.hang_up() == []


def test_hanging_up_before_anything_began_ends_it() -> None:
    assert Driver().hang_up() == [Finished(reason="hung-up")]


@pytest.mark.parametrize(
    ("verb", "action"),
    [
        ("<Pay action='/done'/>", True),
        ("<Record/>", True),
        ("<Dial action='/done'>4711</Dial>", True),
        ("<Dial>4711</Dial>", False),
        ("<Enqueue action='/done'>a</Enqueue>", True),
    ],
)
def test_the_outcome_of_a_verb_is_told_after_the_caller_hung_up(verb: str, action: bool) -> None:
    call = Driver(is_inbound=False)
    (command,) = call.run(f"{verb}<Say>never</Say>")
    assert call.hang_up() == []
    commands = call.ended(command, ("Result", "caller-hung-up"))
    if action:
        (request,) = commands
        assert isinstance(request, Fetch)
        assert request.about
        commands = call.give(request, "<Say>never</Say>")
    assert commands == [Finished(reason="hung-up")]


def test_an_outcome_that_is_being_told_is_waited_for_when_the_caller_hangs_up() -> None:
    call = Driver(is_inbound=False)
    (pay,) = call.run("<Pay/>")
    (request,) = call.ended(pay, ("Result", "success"))
    assert isinstance(request, Fetch)
    assert call.hang_up() == []
    call.interpreter.fetch_failed(request.token, "timeout", call.now)
    warning, finished = call.took()
    assert codes_of([warning]) == [11200]
    assert finished == Finished(reason="hung-up")


def test_what_comes_after_the_end_does_nothing() -> None:
    call = Driver()
    (request,) = call.start()
    call.give(request, "<Hangup/>")
    call.interpreter.redirect(Source(url=URL), call.now)
    call.interpreter.answered(call.now)
    call.interpreter.leave(call.now)
    assert call.press("1") + call.after(9.0) + call.hang_up() + call.give(request, "<Say>x</Say>") == []


# -- in a queue, and in a whisper --------------------------------------------------------------------------------------


def test_a_wait_document_starts_over_until_it_says_leave() -> None:
    call = Driver(is_inbound=False, waiting=True)
    (request,) = call.start()
    (speak,) = call.give(request, "<Say>Please wait</Say>")
    (again,) = call.spoken(speak)
    assert isinstance(again, Fetch)
    assert again.url == URL
    assert call.give(again, "<Leave/>") == [Finished(reason="leave")]


def test_an_inline_wait_document_starts_over_too() -> None:
    call = Driver(Source(text="<Response><Say>Wait</Say></Response>"), is_inbound=False, waiting=True)
    (speak,) = call.start()
    for _ in range(3 * MAX_IN_A_ROW):
        (speak,) = call.spoken(speak)
    assert spoken_of(speak) == "Wait"


def test_an_empty_wait_document_is_no_endless_loop() -> None:
    call = Driver(Source(text="<Response/>"), is_inbound=False, waiting=True)
    assert call.start()[-1] == Finished(reason="loop")


def test_a_wait_document_cannot_pay_dial_record_or_queue() -> None:
    call = Driver(is_inbound=False, waiting=True)
    *warnings, speak = call.run("<Pay/><Dial>1</Dial><Record/><Enqueue>a</Enqueue><Reject/><Say>wait</Say>")
    assert codes_of(warnings) == [12200] * 5
    assert spoken_of(speak) == "wait"


def test_a_wait_document_that_cannot_be_had_is_told_to_whoever_had_it_run() -> None:
    call = Driver(is_inbound=False, waiting=True)
    (request,) = call.start()
    warning, finished = call.give(request, "", status=500)
    assert codes_of([warning]) == [11200]
    assert finished == Finished(reason="error")


def test_leave_from_outside_ends_a_wait_document_and_a_queue() -> None:
    call = Driver(is_inbound=False, waiting=True)
    (speak,) = call.run("<Say>Please wait</Say>")
    assert isinstance(speak, Speak)
    call.interpreter.leave(call.now)
    assert call.took() == [Stop(token=speak.token), Finished(reason="leave")]
    call = Driver(is_inbound=False)
    (queue,) = call.run("<Enqueue>a</Enqueue><Say>next</Say>")
    assert isinstance(queue, Queue)
    call.interpreter.leave(call.now)
    stop, after = call.took()
    assert stop == Stop(token=queue.token)
    assert spoken_of(after) == "next"
    call.interpreter.leave(call.now)
    assert call.took() == []


def test_leave_outside_of_a_queue_is_passed_over() -> None:
    call = Driver(is_inbound=False)
    warning, finished = call.run("<Leave/>")
    assert codes_of([warning]) == [12200]
    assert finished == Finished()


def test_a_whisper_may_refuse_the_connection() -> None:
    call = Driver(is_inbound=False, whisper=True)
    (speak,) = call.run("<Gather numDigits='1'><Say>Press a key to take the call</Say></Gather><Reject/>")
    call.spoken(speak)
    assert call.after(5.0) == [Finished(reason="rejected")]


def test_a_whisper_that_cannot_be_had_is_told_to_whoever_had_it_run() -> None:
    call = Driver(is_inbound=False, whisper=True)
    (request,) = call.start()
    warning, finished = call.give(request, "", status=500)
    assert codes_of([warning]) == [11200]
    assert finished == Finished(reason="error")


def test_a_whisper_cannot_pay_dial_record_or_queue() -> None:
    call = Driver(is_inbound=False, whisper=True)
    *warnings, finished = call.run("<Pay/><Dial>1</Dial><Record/><Enqueue>a</Enqueue><Leave/>")
    assert codes_of(warnings) == [12200] * 5
    assert finished == Finished()
