"""What is logged is one line, readable by people or machines, and never holds a card number."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterator

import pytest

from engine.log import fields, place_of, set_up

PAN = "4242424242424242"  # a published test number


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    for handler in list(root.handlers):
        root.removeHandler(handler)
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(level)


def test_text_lines_carry_the_fields_behind_the_message() -> None:
    stream = io.StringIO()
    set_up("info", "text", stream)
    logging.getLogger("engine.test").info("call answered", extra=fields(call="c1", codec="PCMU", reason="two words"))
    assert stream.getvalue().rstrip().endswith('engine.test: call answered call=c1 codec=PCMU reason="two words"')


def test_json_lines_are_objects_with_the_fields_as_members() -> None:
    stream = io.StringIO()
    set_up("info", "json", stream)
    logging.getLogger("engine.test").warning("late", extra=fields(ticks=3))
    entry = json.loads(stream.getvalue())
    assert (entry["level"], entry["logger"], entry["message"], entry["ticks"]) == ("warning", "engine.test", "late", 3)


@pytest.mark.parametrize("style", ["text", "json"])
def test_a_card_number_in_a_message_a_field_or_an_exception_is_redacted(style: str) -> None:
    stream = io.StringIO()
    set_up("info", style, stream)  # type: ignore[arg-type]
    log = logging.getLogger("engine.test")
    log.error("a peer said %s", PAN, extra=fields(header=f"X-Card: {PAN}"))
    try:
        raise ValueError(f"bad value {PAN}")
    except ValueError:
        log.exception("parsing failed")
    assert PAN not in stream.getvalue()
    assert "parsing failed" in stream.getvalue()


@pytest.mark.parametrize("style", ["text", "json"])
def test_no_three_digits_of_what_an_exception_says_are_logged(style: str) -> None:
    stream = io.StringIO()
    set_up("info", style, stream)  # type: ignore[arg-type]
    try:
        try:
            int("737 and 31415")
        except ValueError as error:
            raise RuntimeError("no code\n0042") from error
    except RuntimeError:
        logging.getLogger("engine.test").exception("a check failed")
    written = stream.getvalue()
    for digits in ("737", "31415", "0042"):
        assert digits not in written
    # What the line is for stays: which errors, and where.
    for kept in ("ValueError: invalid literal for int() with base 10: '*** and *****'", "RuntimeError: no code"):
        assert kept in written
    (line, *_) = re.findall(r"test_log\.py\W{1,3}, line ([0-9]+), in test_no_three_digits", written)
    assert int(line) > 0


def test_the_place_of_an_error_is_that_of_its_raise() -> None:
    with pytest.raises(ValueError, match="7x37") as caught:
        int("7x37")
    assert re.fullmatch(r"test_log\.py:[0-9]+", place_of(caught.value))
    assert place_of(ValueError("never raised")) == ""


def test_libraries_do_not_speak_below_a_warning() -> None:
    stream = io.StringIO()
    set_up("debug", "text", stream)
    logging.getLogger("sqlalchemy.engine").info("SELECT 1")
    assert not stream.getvalue()
