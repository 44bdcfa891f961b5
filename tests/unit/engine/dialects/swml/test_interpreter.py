"""SWML documents on a call: what is run in which order, what waits for what, and what ends it."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import yaml

from engine.dialects.spoken import Say
from engine.dialects.swml import interpreter
from engine.dialects.swml.commands import (
    AnswerCall,
    Begin,
    BeginRecordCall,
    Command,
    EndRecordCall,
    FetchDocument,
    Finished,
    KeyDigits,
    SendUserEvent,
    Source,
    Stop,
    Wait,
    Warn,
)
from engine.dialects.swml.errors import ScriptError
from engine.dialects.swml.interpreter import MAX_STEPS_IN_A_ROW, MAX_TRANSFERS, STEPS_A_TURN, Interpreter
from engine.dialects.swml.methods import Connect, Pay, Play, Prompt, Record, Request, SipRefer

URL = "https://app.example.com/docs/start"
FALLBACK = "https://fallback.example.com/"
CALL = {"call_id": "c-1", "call_state": "created", "from": "+15550001", "to": "+15550002"}
PAY = {"pay": {"payment_connector_url": "https://shop.example.com/pay", "charge_amount": "${amount}"}}
HELLO = {"play": {"url": "say:Hello"}}


def say(text: str) -> dict[str, Any]:
    """A step that speaks."""
    return {"play": {"url": f"say:{text}"}}


class Run:
    """A call with its document; time stands still but where a test moves it."""

    def __init__(self, main: Any, *, is_up: bool = True, source: Source | None = None, **sections: Any) -> None:
        document = {"version": "1.0.0", "sections": {"main": main, **sections}}
        self.interpreter = Interpreter(
            source or Source(text=json.dumps(document)),
            call={**CALL, "call_state": "answered" if is_up else "created"},
            envs={"SHOP": "Fir Street"},
            max_document=65_536,
        )
        self.now = 0.0
        self.log: list[Command] = []
        self.interpreter.start(self.now)
        self.take()

    def take(self) -> list[Command]:
        """Take the commands that are due; let the interpreter have its turns."""
        taken: list[Command] = []
        while True:
            while (command := self.interpreter.next_command()) is not None:
                taken.append(command)
            if self.interpreter.next_timer() is None:
                break
            self.interpreter.handle_timer(self.now)
        self.log += taken
        return taken

    @property
    def last(self) -> Any:
        """The last command."""
        return self.log[-1]

    def end(self, **variables: Any) -> list[Command]:
        """End what runs; return what comes next."""
        self.interpreter.ended(self.last.token, variables, self.now)
        return self.take()

    def serve(
        self, main: Any, *, url: str = "", content_type: str = "application/json", **sections: Any
    ) -> list[Command]:
        """Answer the request for a document with one."""
        body = json.dumps({"sections": {"main": main, **sections}}).encode()
        return self.serve_body(body, url=url, content_type=content_type)

    def serve_body(self, body: bytes, *, status: int = 200, url: str = "", content_type: str = "") -> list[Command]:
        """Answer the request for a document."""
        self.interpreter.fetched(
            self.last.token, status=status, content_type=content_type, body=body, url=url, now=self.now
        )
        return self.take()

    def said(self) -> list[str]:
        """Speak to the end; return all that was and is said."""
        while isinstance(self.last, Begin) and isinstance(self.last.work, Play):
            self.end()
        return spoken(self.log)

    def variable(self, path: str) -> Any:
        """The value of a variable."""
        return self.interpreter.variables.get(path)


def spoken(commands: list[Command]) -> list[str]:
    """What of commands is said."""
    plays = [command.work for command in commands if isinstance(command, Begin) and isinstance(command.work, Play)]
    return [item.text for play in plays for item in play.items if isinstance(item, Say)]


def works(commands: list[Command]) -> list[type]:
    """The kinds of what is begun."""
    return [type(command.work) for command in commands if isinstance(command, Begin)]


def warnings(run: Run) -> list[ScriptError]:
    """What was warned of."""
    return [command.code for command in run.log if isinstance(command, Warn)]


# -- before the call is answered


@pytest.mark.parametrize(
    "step",
    [
        HELLO,
        PAY,
        {"prompt": {"play": "say:Press a key"}},
        {"record": {}},
        {"record_call": {}},
        {"send_digits": {"digits": "12"}},
        {"connect": {"to": "+15550003"}},
        {"sip_refer": {"to_uri": "sip:a@example.com"}},
    ],
)
def test_what_speaks_or_listens_answers_the_call_first_and_runs_then(step: dict[str, Any]) -> None:
    run = Run([step], is_up=False)
    assert run.log == [AnswerCall()]
    run.interpreter.answered(0.0)
    (first, *_) = run.take()
    assert isinstance(first, Begin | KeyDigits | BeginRecordCall)


@pytest.mark.parametrize(
    "step",
    [
        {"set": {"a": 1}},
        {"request": {"url": "https://a.example.com/", "method": "GET"}},
        {"sleep": 10},
        {"connect": {"to": "+15550003", "answer_on_bridge": True}},
        {"user_event": {"event": {"a": 1}}},
    ],
)
def test_what_neither_speaks_nor_listens_runs_while_the_call_rings(step: dict[str, Any]) -> None:
    assert not any(isinstance(command, AnswerCall) for command in Run([step], is_up=False).log)


def test_answer_waits_for_the_call_and_gives_it_its_longest_duration() -> None:
    run = Run([{"answer": {"max_duration": 60}}, HELLO], is_up=False)
    assert run.log == [AnswerCall(max_duration_s=60.0)]
    run.interpreter.answered(0.0)
    assert spoken(run.take()) == ["Hello"]


def test_answer_of_an_answered_call_does_not_wait() -> None:
    assert Run([{"answer": {}}, HELLO]).said() == ["Hello"]


def test_a_call_that_was_answered_before_the_start_is_up() -> None:
    run = Interpreter(
        Source(text='{"sections": {"main": [{"play": {"url": "say:Hello"}}]}}'), call=CALL, envs={}, max_document=1000
    )
    run.answered(0.0)
    run.start(0.0)
    assert isinstance(run.next_command(), Begin)


def test_a_play_that_must_not_answer_is_passed_over_while_the_call_rings() -> None:
    quiet = {"play": {"url": "say:Hello", "auto_answer": False}}
    run = Run([quiet], is_up=False)
    assert warnings(run) == [ScriptError.METHOD_EXECUTE_FAILED]
    assert run.last == Finished(reason="")
    assert Run([quiet]).said() == ["Hello"]


def test_a_call_is_refused_before_it_is_answered() -> None:
    assert Run([{"hangup": {"reason": "busy"}}], is_up=False).log == [Finished(reason="busy")]


# -- one step after the other


def test_steps_follow_each_other_and_the_end_of_main_ends_the_call() -> None:
    run = Run([say("one"), say("two")])
    assert spoken(run.log) == ["one"]
    assert spoken(run.end()) == ["two"]
    assert run.end() == [Finished(reason="")]


def test_what_a_payment_brought_decides_how_it_goes_on() -> None:
    thanks = {
        "cond": [
            {"when": "pay_result == 'success'", "then": [say("Paid ${pay_payment_results.payment_token}")]},
            {"else": [say("Not paid")]},
        ]
    }
    run = Run([{"set": {"amount": "20.45"}}, PAY, thanks])
    assert isinstance(run.last.work, Pay)
    assert run.last.work.properties["charge_amount"] == "20.45"
    run.end(pay_result="success", pay_payment_results={"payment_token": "tok-1"})
    assert run.said() == ["Paid tok-1"]


def test_a_pay_that_cannot_be_read_is_a_result_and_not_the_end() -> None:
    pay = {"payment_connector_url": "https://shop.example.com/pay", "parameters": "${extra}"}
    run = Run([{"set": {"extra": [{"name": "no value"}]}}, {"pay": pay}, say("next")])
    assert warnings(run) == [ScriptError.METHOD_PARAMETER_MISSING]
    assert run.variable("pay_result") == "validation-error"
    assert run.said() == ["next"]


def test_sleep_waits_for_its_milliseconds_or_for_ever() -> None:
    run = Run([{"sleep": 1500}, {"sleep": {"duration": -1}}])
    assert run.last.seconds == 1.5
    run.end()
    assert run.last.seconds == math.inf


def test_keys_recordings_and_events_become_commands() -> None:
    run = Run(
        [
            {"record_call": {"control_id": "r-1"}},
            {"user_event": {"event": {"n": "${n}"}}},
            {"stop_record_call": {"control_id": "r-1"}},
            {"send_digits": {"digits": "12#"}},
            {"record": {}},
            {"sip_refer": {"to_uri": "sip:a@example.com"}},
            {"request": {"url": "https://a.example.com/", "method": "POST"}},
        ]
    )
    begun, event, ended, keyed = run.log
    assert isinstance(begun, BeginRecordCall)
    assert begun.record.control_id == "r-1"
    assert event == SendUserEvent(event={"n": ""})
    assert ended == EndRecordCall(control_id="r-1")
    assert isinstance(keyed, KeyDigits)
    assert keyed.digits == "12#"
    assert works([*run.end(), *run.end(), *run.end()]) == [Record, SipRefer, Request]


def test_what_becomes_known_of_a_recording_is_a_variable_at_once() -> None:
    run = Run([{"record_call": {}}, {"sleep": 10}, say("${record_call_url}")])
    run.interpreter.set_variables({"record_call_url": "https://r.example.com/1"}, 0.0)
    run.end()
    assert run.said() == ["https://r.example.com/1"]


def test_variables_with_dots_make_objects() -> None:
    run = Run([{"sleep": 1}, say("${a.b.c} ${a['d']}")])
    run.end(**{"a.b.c": 1, "a.d": "two"})
    assert run.said() == ["1 two"]


def test_set_and_unset_change_variables() -> None:
    run = Run(
        [{"set": {"a": 1, "b": "${a}x", "c": {"d": [1]}}}, {"set": {"b": "${a}x"}}, {"unset": ["a"]}, {"sleep": 1}]
    )
    assert (run.variable("b"), run.variable("c.d[0]")) == ("1x", 1)
    assert Run([{"set": {"x": 1}}, {"unset": "x"}, say("[${x}]")]).said() == ["[]"]


def test_the_call_as_it_is_now_is_in_its_scope() -> None:
    run = Run([say("${call.call_state}"), say("${call.call_state}")], is_up=False)
    run.interpreter.call_changed({**CALL, "call_state": "answered"})
    run.interpreter.answered(0.0)
    run.take()
    run.interpreter.call_changed({**CALL, "call_state": "ending"})
    assert run.said() == ["answered", "ending"]


def test_environment_is_read_by_its_name() -> None:
    assert Run([say("${envs.SHOP}")]).said() == ["Fir Street"]


# -- cond and switch


@pytest.mark.parametrize(("n", "said"), [(1, ["one"]), (2, ["two"]), (3, ["else"]), (0, ["else"])])
def test_the_first_true_condition_wins_else_the_else(n: int, said: list[str]) -> None:
    cond = [
        {"when": "n == 1", "then": [say("one")]},
        {"when": "vars.n > 0 && n < 3", "then": [say("two")]},
        {"else": [say("else")]},
    ]
    assert Run([{"set": {"n": n}}, {"cond": cond}]).said() == said


def test_the_else_of_a_condition_runs_only_when_none_is_true() -> None:
    cond = [{"when": "n == 1", "then": [say("one")], "else": [say("none")]}, {"when": "n == 2", "then": [say("two")]}]
    assert Run([{"set": {"n": 2}}, {"cond": cond}]).said() == ["two"]
    assert Run([{"set": {"n": 3}}, {"cond": cond}]).said() == ["none"]


def test_no_true_condition_and_no_else_goes_on() -> None:
    assert Run([{"cond": [{"when": "false", "then": [say("no")]}]}, say("on")]).said() == ["on"]


def test_switch_goes_by_the_text_of_a_variable() -> None:
    steps = [
        {"switch": {"variable": "d", "case": {"1": [say("one")], "true": [say("yes")]}, "default": [say("other")]}}
    ]
    for value, said in ((1, "one"), ("1", "one"), (True, "yes"), ("x", "other")):
        assert Run([{"set": {"d": value}}, *steps, say("on")]).said() == [said, "on"]
    assert Run([*steps]).said() == ["other"]


def test_switch_without_a_match_and_a_default_is_an_error() -> None:
    run = Run([{"switch": {"variable": "d", "case": {"1": [say("one")]}}}, say("on")])
    assert warnings(run) == [ScriptError.METHOD_NO_MATCHING_CONDITION]
    assert run.last == Finished(reason="error")
    assert run.variable("script_error") == "relay_script_method_no_matching_condition"


def test_what_stands_in_a_branch_is_evaluated_when_it_runs() -> None:
    run = Run([{"set": {"n": 1}}, {"cond": [{"when": "n == 1", "then": [{"set": {"n": 2}}, say("${n}")]}]}])
    assert run.said() == ["2"]


# -- labels


def test_goto_jumps_as_often_as_it_may_and_then_falls_through() -> None:
    run = Run([{"label": "again"}, say("round"), {"goto": {"label": "again", "max": 2}}, say("out")])
    assert run.said() == ["round", "round", "round", "out"]


def test_goto_jumps_when_its_condition_holds() -> None:
    steps = [
        {"set": {"n": 0}},
        {"label": "again"},
        {"set": {"n": "${n + 1}"}},
        {"goto": {"label": "again", "when": "n < 5"}},
        say("${n}"),
    ]
    assert Run(steps).said() == ["5"]


def test_goto_leaves_the_branch_that_it_stands_in() -> None:
    run = Run(
        [
            {"label": "menu"},
            {"prompt": {"play": "say:Press one"}},
            {"cond": [{"when": "prompt_value != '1'", "then": [{"goto": {"label": "menu"}}, say("no")]}]},
            say("good"),
        ]
    )
    assert works(run.end(prompt_value="2")) == [Prompt]
    run.end(prompt_value="1")
    assert run.said() == ["good"]


def test_goto_finds_a_label_within_a_branch_and_goes_on_behind_that_branch() -> None:
    steps = [
        {"cond": [{"when": "false", "then": [say("no"), {"label": "deep"}, say("deep")]}]},
        say("behind"),
        {"goto": {"label": "deep", "max": 1}},
    ]
    assert Run(steps).said() == ["behind", "deep", "behind"]


def test_a_jump_out_of_on_return_leaves_its_result_behind() -> None:
    back = {"on_return": [{"goto": {"label": "out"}}], "result": [{"else": [say("never")]}]}
    assert Run([{"execute": {"dest": "s", **back}}, {"label": "out"}, say("out")], s=[]).said() == ["out"]


def test_jumps_are_counted_anew_when_a_section_is_called_again() -> None:
    loop = [{"label": "l"}, say("x"), {"goto": {"label": "l", "max": 1}}]
    assert Run([{"execute": {"dest": "loop"}}, {"execute": {"dest": "loop"}}], loop=loop).said() == ["x"] * 4


# -- execute, return, transfer


def test_execute_calls_a_section_with_params_and_goes_on_with_what_it_returns() -> None:
    run = Run(
        [
            {"execute": {"dest": "double", "params": {"n": "${4}"}, "on_return": [say("got ${return_value}")]}},
            say("[${params.n}]"),
        ],
        double=[{"cond": [{"when": "params.n == 4", "then": [{"return": "${params.n * 2}"}]}]}, say("never")],
    )
    assert run.said() == ["got 8", "[]"]


def test_a_section_without_return_returns_nothing() -> None:
    run = Run(
        [{"set": {"return_value": "old"}}, {"execute": {"dest": "quiet"}}, say("[${return_value}]")], quiet=[say("hm")]
    )
    assert run.said() == ["hm", "[]"]


@pytest.mark.parametrize(
    "result",
    [
        {"case": {"yes": [say("branch")]}, "default": [say("other")]},
        [{"when": "return_value == 'yes'", "then": [say("branch")]}, {"else": [say("other")]}],
    ],
)
def test_result_decides_by_what_was_returned_after_on_return(result: Any) -> None:
    run = Run(
        [{"execute": {"dest": "s", "on_return": [say("back")], "result": result}}, say("on")], s=[{"return": "yes"}]
    )
    assert run.said() == ["back", "branch", "on"]


def test_a_result_without_a_match_goes_on() -> None:
    assert Run(
        [{"execute": {"dest": "s", "result": {"case": {"a": [say("a")]}}}}, say("on")], s=[{"return": 1}]
    ).said() == ["on"]


def test_return_of_the_first_section_ends_the_document() -> None:
    assert Run([{"cond": [{"when": "true", "then": [{"return": 1}]}]}, say("never")]).log == [Finished(reason="")]


def test_a_document_is_fetched_with_its_variables_and_runs_as_a_subroutine() -> None:
    run = Run(
        [
            {"set": {"a": 1}},
            {"execute": {"dest": "https://u:p@app.example.com/sub", "params": {"b": 2}, "meta": {"c": 3}}},
            say("${return_value.x}"),
        ]
    )
    assert run.log == [
        FetchDocument(token=1, url="https://u:p@app.example.com/sub", vars={"a": 1}, params={"b": 2}, meta={"c": 3})
    ]
    assert spoken(run.serve([say("in ${params.b}"), {"return": {"x": "y"}}])) == ["in 2"]
    assert run.said() == ["in 2", "y"]


def test_what_a_document_names_is_relative_to_where_it_came_from() -> None:
    run = Run([], source=Source(url=URL))
    assert run.last.url == URL
    run.serve([{"execute": {"dest": "./next"}}], url="https://other.example.com/a/b")
    assert run.last.url == "https://other.example.com/a/next"
    run.serve([HELLO])
    assert run.last.base_url == "https://other.example.com/a/next"


def test_a_document_may_stand_in_the_text() -> None:
    inner = '{"sections": {"main": [{"set": {"x": "${1 + 1}"}}, {"return": "in ${params.n}"}]}}'
    run = Run([{"execute": {"dest": inner, "params": {"n": 7}}}, say("${return_value} ${x}")])
    assert run.said() == ["in 7 2"]


def test_sections_belong_to_their_document() -> None:
    inner = "sections:\n  main:\n    - execute: {dest: other}\n"
    run = Run([{"execute": {"dest": inner}}, say("on")], other=[say("outer")])
    assert run.last == Finished(reason="error")
    assert warnings(run) == [ScriptError.METHOD_EXECUTE_FAILED]


def test_transfer_replaces_all_that_runs() -> None:
    run = Run(
        [{"execute": {"dest": "a"}}, say("never")],
        a=[{"transfer": {"dest": "b", "params": {"n": 1}}}],
        b=[say("b${params.n}")],
    )
    assert run.said() == ["b1"]
    assert run.last == Finished(reason="")


def test_a_transfer_keeps_the_variables() -> None:
    run = Run([{"set": {"a": 1}}, {"transfer": {"dest": "https://app.example.com/2", "meta": {"m": 1}}}])
    assert (run.last.vars, run.last.meta) == ({"a": 1}, {"m": 1})
    run.serve([say("${a}")])
    assert run.said() == ["1"]


def test_sections_that_call_each_other_without_end_are_stopped() -> None:
    run = Run([{"execute": {"dest": "main"}}])
    assert warnings(run) == [ScriptError.NESTED_TOO_DEEP]
    assert run.last == Finished(reason="error")


def test_documents_that_transfer_to_each_other_without_end_are_stopped() -> None:
    run = Run([{"transfer": {"dest": URL}}])
    for _ in range(MAX_TRANSFERS - 1):
        run.serve([{"transfer": {"dest": URL}}])
    run.serve([{"transfer": {"dest": URL}}])
    assert warnings(run) == [ScriptError.TOO_MANY_TRANSFERS]
    assert run.last == Finished(reason="error")


@pytest.mark.parametrize("method", ["execute", "transfer"])
def test_a_document_that_cannot_be_had_later_ends_the_call(method: str) -> None:
    run = Run([], source=Source(url=URL, fallback_url=FALLBACK))
    run.serve([{method: {"dest": "https://u:secret@app.example.com/2"}}, say("never")])
    run.serve_body(b"", status=404)
    assert run.last == Finished(reason="error")
    assert warnings(run) == [ScriptError.METHOD_EXECUTE_FAILED]
    assert "secret" not in repr(run.log[-2])


# -- connect


def connect(**more: Any) -> dict[str, Any]:
    """A step that connects."""
    return {"connect": {"to": "+15550003", **more}}


def test_result_of_a_connect_decides_by_how_it_went() -> None:
    result = {"case": {"connected": [say("bye")]}, "default": [say("busy")]}
    for outcome, said in (("connected", "bye"), ("failed", "busy")):
        run = Run([connect(result=result), say("on")])
        assert isinstance(run.last.work, Connect)
        run.end(connect_result=outcome)
        assert run.said() == [said, "on"]


def test_after_a_bridge_the_document_for_that_follows() -> None:
    run = Run([connect(transfer_after_bridge="https://app.example.com/after"), say("on")])
    run.end(connect_result="connected")
    assert run.last.url == "https://app.example.com/after"
    other = Run([connect(transfer_after_bridge="https://app.example.com/after"), say("on")])
    other.end(connect_result="failed")
    assert other.said() == ["on"]


def test_what_the_called_side_goes_through_is_left_as_written() -> None:
    run = Run([{"set": {"n": 1}}, connect(confirm=[say("${n}")], headers=[{"name": "X-N", "value": "${n}"}])])
    ((device,),) = run.last.work.devices
    assert "${n}" in json.dumps(device.confirm)
    assert device.headers == (("X-N", "1"),)


# -- the first document


def test_the_first_document_is_fetched() -> None:
    run = Run([], source=Source(url=URL), is_up=False)
    assert run.log == [FetchDocument(token=1, url=URL)]
    assert run.serve_body(b"version: 1.0.0\nsections:\n  main:\n  - answer: {}\n") == [
        AnswerCall(max_duration_s=14400.0)
    ]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"sections": {}}', b"\xff\xfe\x00"])
def test_a_first_document_that_cannot_be_read_is_replaced_once(body: bytes) -> None:
    run = Run([], source=Source(url=URL, fallback_url=FALLBACK))
    run.serve_body(body)
    assert isinstance(run.log[-2], Warn)
    assert run.last == FetchDocument(token=2, url=FALLBACK, vars={"script_error": run.log[-2].code.value})
    run.serve_body(body)
    assert run.last == Finished(reason="error")


def test_a_first_document_that_cannot_be_had_is_replaced() -> None:
    run = Run([], source=Source(url=URL, fallback_url=FALLBACK))
    run.interpreter.fetch_failed(1, "no connection", 0.0)
    run.take()
    assert run.last.url == FALLBACK
    run.serve([say("fallback")])
    assert run.said() == ["fallback"]


def test_an_inline_document_that_cannot_be_read_is_replaced() -> None:
    assert Run([], source=Source(text="{", fallback_url=FALLBACK)).last.url == FALLBACK
    assert Run([], source=Source(text="{")).last == Finished(reason="error")
    assert Run([], source=Source(url="ftp://x")).last == Finished(reason="error")


def test_a_document_that_is_too_large_is_not_read() -> None:
    run = Run([], source=Source(url=URL))
    run.serve([say("x" * 70_000)])
    assert run.last == Finished(reason="error")


def test_json_and_yaml_are_the_same_document() -> None:
    yaml = b"sections:\n  main:\n  - play: {url: 'say:${a}'}\n  - sleep: 5\n"
    one, other = Run([], source=Source(url=URL)), Run([], source=Source(url=URL))
    one.serve([say("${a}"), {"sleep": 5}])
    other.serve_body(yaml)
    one.end()
    other.end()
    assert one.log == other.log


ORDER = """
sections:
  main:
    - answer: {}
    - set:
        order: {number: A-17, total: 49.90}
        tries: 0
    - label: pay
    - pay:
        payment_connector_url: https://shop.example.com/pay
        charge_amount: "${order.total.toFixed(2)}"
        currency: pln
        language: pl-PL
        max_attempts: 2
        postal_code: false
        parameters:
          - {name: order, value: "%{order.number}"}
        prompts:
          - for: payment-card-number
            actions:
              - {type: Say, phrase: "Zamówienie ${order.number}: podaj numer karty."}
    - switch:
        variable: pay_result
        case:
          success:
            - play: {url: "say:Dziękujemy, karta ${pay_payment_results.payment_card_number}."}
            - hangup: {}
          caller-interrupted-with-star:
            - transfer: {dest: helpdesk}
        default:
          - set: {tries: "${tries + 1}"}
          - play: {url: "say:Próba ${tries} nieudana."}
          - goto: {label: pay, max: 2}
    - execute:
        dest: goodbye
        params: {why: "${pay_result}"}
  goodbye:
    - cond:
        - when: params.why == 'too-many-failed-attempts' || params.why.startsWith('payment')
          then:
            - play: {url: "say:Spróbuj jutro."}
        - else:
            - play: {url: "say:Do widzenia."}
  helpdesk:
    - connect: {to: "+48225550199", timeout: 20}
"""


def order(*outcomes: str) -> list[Command]:
    """What the document above does when its payments end so; the same by JSON."""
    logs = []
    for text in (ORDER, json.dumps(yaml.safe_load(ORDER))):
        run = Run([], source=Source(text=text), is_up=False)
        run.interpreter.answered(0.0)
        run.take()
        for outcome in outcomes:
            assert isinstance(run.last.work, Pay)
            run.end(pay_result=outcome, pay_payment_results={"payment_card_number": "************1111"})
            run.said()
        logs.append(run.log)
    assert logs[0] == logs[1]
    return logs[0]


def test_an_order_is_paid() -> None:
    log = order("success")
    (pay, thanks) = [command.work for command in log if isinstance(command, Begin)]
    assert isinstance(pay, Pay)
    assert pay.properties["charge_amount"] == "49.90"
    assert pay.properties["parameters"] == [{"name": "order", "value": "A-17"}]
    assert pay.properties["prompts"][0]["actions"][0]["phrase"] == "Zamówienie A-17: podaj numer karty."
    assert isinstance(thanks, Play)
    assert spoken(log) == ["Dziękujemy, karta ************1111."]
    assert log[-1] == Finished(reason="hangup")


def test_an_order_is_tried_again_and_then_given_up() -> None:
    log = order("payment-connector-error", "payment-connector-error", "too-many-failed-attempts")
    assert works(log).count(Pay) == 3
    assert spoken(log) == ["Próba 1 nieudana.", "Próba 2 nieudana.", "Próba 3 nieudana.", "Spróbuj jutro."]
    assert log[-1] == Finished(reason="")


def test_a_caller_who_wants_help_is_connected() -> None:
    assert works(order("caller-interrupted-with-star")) == [Pay, Connect]


# -- errors on the way


def test_an_expression_that_cannot_be_evaluated_is_empty_and_told_once() -> None:
    run = Run([{"label": "l"}, say("[${1 +}]"), {"goto": {"label": "l", "max": 3}}])
    assert run.said() == ["[]"] * 4
    assert warnings(run) == [ScriptError.JS_EVAL_ERROR]
    assert run.variable("script_error") == "relay_script_js_eval_error"


def test_a_condition_that_cannot_be_evaluated_is_false() -> None:
    run = Run([{"cond": [{"when": "((", "then": [say("no")]}, {"else": [say("else")]}]}])
    assert run.said() == ["else"]
    assert warnings(run) == [ScriptError.JS_EVAL_ERROR]


def test_facts_of_the_call_that_are_too_large_are_not_taken() -> None:
    run = Run([{"sleep": 1}, say("${call.from}")])
    run.interpreter.call_changed({"from": "x" * 5_000_000})
    run.end()
    assert run.said() == ["+15550001"]
    assert warnings(run) == [ScriptError.ELEMENT_INVALID_VALUE]


def test_a_parameter_that_is_wrong_once_it_is_known_ends_the_document() -> None:
    run = Run([{"set": {"v": "loud"}}, {"play": {"url": "say:x", "volume": "${v}"}}, say("never")])
    assert warnings(run) == [ScriptError.ELEMENT_WRONG_TYPE]
    assert run.last == Finished(reason="error")
    assert "loud" not in repr(run.log)


def test_a_loop_that_never_waits_is_stopped() -> None:
    inner = [{"label": "l"}, {"goto": {"label": "l"}}]
    run = Run([{"label": "o"}, {"execute": {"dest": "inner"}}, {"goto": {"label": "o"}}], inner=inner)
    assert warnings(run) == [ScriptError.METHOD_EXECUTE_FAILED]
    assert run.last == Finished(reason="error")
    assert run.interpreter._n_steps <= MAX_STEPS_IN_A_ROW + 1


def test_others_have_their_turn_while_many_steps_run() -> None:
    run = Interpreter(
        Source(text=json.dumps({"sections": {"main": [{"set": {"n": 1}}] * 200}})),
        call=CALL,
        envs={},
        max_document=65_536,
    )
    run.start(5.0)
    assert run.next_command() is None
    turns = 0
    while run.next_timer() == 5.0:
        run.handle_timer(5.0)
        turns += 1
    assert turns > 2
    assert run.next_command() == Finished(reason="")


def endless(step: dict[str, Any]) -> Run:
    """A document that does something again and again, for longer than anyone can wait."""
    return Run(
        [{"label": "o"}, {"execute": {"dest": "middle"}}, {"goto": {"label": "o"}}],
        middle=[{"label": "m"}, {"execute": {"dest": "inner"}}, {"goto": {"label": "m"}}],
        inner=[{"label": "l"}, step, {"goto": {"label": "l"}}],
    )


def test_a_document_that_waits_again_and_again_ends_at_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpreter, "MAX_STEPS", 5000)
    run = endless({"sleep": 10})
    rounds = 0
    while isinstance(run.last, Wait):
        rounds += 1
        run.now += 0.01
        run.end()
    assert run.last == Finished(reason="error")
    assert 5000 / 4 < rounds < 5000


def test_a_loop_of_what_is_over_at_once_gives_others_their_turn_and_is_stopped() -> None:
    run = endless(HELLO)
    turns = rounds = 0
    while not run.interpreter.is_over:
        rounds += 1
        run.interpreter.ended(run.last.token, {}, 0.0)
        turns += run.interpreter.next_timer() is not None
        run.take()
    assert warnings(run) == [ScriptError.METHOD_EXECUTE_FAILED]
    assert rounds < MAX_STEPS_IN_A_ROW
    assert turns > rounds / STEPS_A_TURN


def test_a_variable_that_does_not_fit_ends_the_document_only_when_the_document_sets_it() -> None:
    run = Run([{"sleep": 1}, say("on")])
    run.end(huge="x" * 2_000_000)
    assert run.said() == ["on"]
    assert warnings(run) == [ScriptError.ELEMENT_INVALID_VALUE]
    double = [{"set": {"a": "xxxxxxxxxx"}}, *[{"set": {"a": ["${a}", "${a}"]}}] * 30, say("never")]
    other = Run(double)
    assert other.last == Finished(reason="error")


# -- the end of the call


def test_the_end_of_the_call_ends_the_document() -> None:
    run = Run([{"sleep": 10}, say("never")])
    run.interpreter.hang_up(0.0)
    assert run.take() == [Stop(token=1), Finished(reason="hung-up")]


def test_what_was_begun_is_left_to_end_by_itself() -> None:
    run = Run([PAY, say("never")])
    token = run.last.token
    run.interpreter.hang_up(0.0)
    assert run.take() == [Finished(reason="hung-up")]
    run.interpreter.ended(token, {"pay_result": "success"}, 0.0)
    run.interpreter.hang_up(0.0)
    assert run.take() == []


def test_a_document_that_comes_after_the_end_of_the_call_is_not_run() -> None:
    run = Run([], source=Source(url=URL))
    run.interpreter.hang_up(0.0)
    assert run.take() == [Stop(token=1), Finished(reason="hung-up")]
    run.interpreter.fetched(1, status=200, content_type="", body=b"{}", url="", now=0.0)
    assert run.take() == []


def test_answers_to_what_was_not_asked_change_nothing() -> None:
    run = Run([HELLO, say("two")])
    run.interpreter.fetched(1, status=200, content_type="", body=b"{}", url="", now=0.0)
    run.interpreter.fetch_failed(1, "", 0.0)
    run.interpreter.ended(2, {"a": 1}, 0.0)
    run.interpreter.answered(0.0)
    run.interpreter.start(0.0)
    run.interpreter.handle_timer(9.0)
    assert run.take() == []
    assert run.said() == ["Hello", "two"]
