"""The mask of a call is on for as long as somebody wants it, whoever else has ended, and on a line that comes later."""

from __future__ import annotations

from typing import Any, cast

import pytest

from engine.call.sound import Sound
from engine.errors import MediaError


class Line:
    """A leg that notes what was asked of its mask."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.error: MediaError | None = None

    def mask_line(self, **settings: object) -> None:
        self.asked.append("line")

    def mask(self, on: bool) -> None:
        if self.error is not None:
            raise self.error
        self.asked.append("on" if on else "off")


class Call(Sound):
    """The media half of a call that is up."""

    def __init__(self) -> None:
        super().__init__(cast(Any, None))
        self._ended = None
        self.line = Line()
        self._leg = cast(Any, self.line)


def test_it_comes_off_with_the_last_who_wanted_it() -> None:
    call = Call()
    call.mask_line()
    for on in (True, True, False, False):
        call.mask(on)
    assert call.line.asked == ["line", "on", "on", "on", "off"]


def test_a_line_that_comes_later_begins_masked() -> None:
    call = Call()
    call.mask(True)
    call.mask_line()
    assert call.line.asked == ["line", "on"]
    call.mask(False)
    assert call.line.asked[-1] == "off"


def test_one_who_ends_without_having_begun_takes_nothing_off() -> None:
    call = Call()
    call.mask_line()
    call.mask(False)
    call.mask(True)
    assert call.line.asked == ["line", "off", "on"]


def test_what_the_media_plane_did_not_do_is_not_counted() -> None:
    call = Call()
    call.mask_line()
    call.mask(True)
    call.line.error = MediaError("no room")
    with pytest.raises(MediaError):
        call.mask(False)
    call.line.error = None
    call.mask(False)
    call.mask(True)
    assert call.line.asked == ["line", "on", "off", "on"]
