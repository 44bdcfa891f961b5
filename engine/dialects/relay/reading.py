"""Values out of the parameters of a request, each with its type, its range and its name in what is refused. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn

from engine.errors import ProgramError

__all__ = ("BAD", "BUSY", "GONE", "UNSUPPORTED", "Reader", "RequestRefused")

BAD = "422"
"A parameter that cannot be taken."
BUSY = "409"
"It cannot be done now."
GONE = "404"
"No such call: the vendor's client takes its action for finished."
UNSUPPORTED = "501"
"Not carried out here (D-22)."


class RequestRefused(ProgramError):  # noqa: N818 - the name says what it is
    """A request is not carried out; ``code`` and the text go to the client, and repeat nothing of the request."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Reader:
    """A table of the request; ``where`` is its path, with a dot at the end."""

    def __init__(self, values: Mapping[str, Any], where: str = "") -> None:
        self._values = values
        self._where = where

    def path(self, name: str) -> str:
        """Return what a parameter is called in a message."""
        return f"{self._where}{name}"

    def has(self, name: str) -> bool:
        """Whether a parameter was given, and not as null."""
        return self._values.get(name) is not None

    def value(self, name: str) -> Any:
        """Return a parameter as it came; None when it was not given."""
        return self._values.get(name)

    def all(self) -> Iterator[tuple[str, Any]]:
        """Yield all parameters as they came."""
        yield from self._values.items()

    def refuse(self, name: str, wanted: str) -> NoReturn:
        """Raise `RequestRefused` for a parameter."""
        raise RequestRefused(BAD, f"{self.path(name)}: {wanted}")

    def text(self, name: str, default: str | None, limit: int, *, lines: bool = False) -> str:
        """Return a text of at most ``limit`` characters that can be written; None as default: it must be given."""
        value = self._values.get(name)
        if value is None and default is not None:
            return default
        if not isinstance(value, str) or (default is None and not value.strip()):
            self.refuse(name, "a text is wanted" if value is not None else "is missing")
        if len(value) > limit:
            self.refuse(name, f"at most {limit} characters are wanted")
        if not _is_clean(value, lines=lines):
            self.refuse(name, "holds characters that are no text")
        return value

    def choice(self, name: str, default: str, choices: Sequence[str]) -> str:
        """Return one of some words, in any case."""
        value = self.text(name, default, 64).lower()
        if value not in choices:
            self.refuse(name, f"{' or '.join(choices)} is wanted")
        return value

    def keys(self, name: str, default: str | None, allowed: str, limit: int) -> str:
        """Return keys, letters as capitals; a whole number is taken for its digits."""
        value = self._values.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**18:
            value = str(value)
        elif value is None and default is not None:
            return default
        if not isinstance(value, str) or (default is None and not value):
            self.refuse(name, "keys are wanted" if value is not None else "is missing")
        if len(value) > limit or any(character not in allowed for character in value.upper()):
            self.refuse(name, f"at most {limit} of {allowed} are wanted")
        return value.upper()

    def number(self, name: str, default: float | None, low: float, high: float) -> float:
        """Return a number of a range; None as default: it must be given."""
        value = self._values.get(name)
        if value is None and default is not None:
            return default
        if isinstance(value, str) and len(value) <= 32:
            try:
                value = float(value)
            except ValueError:
                value = None
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.refuse(name, "a number is wanted")
        if not low <= value <= high:  # of int before it is a float: a long one has no float; NaN fails too
            self.refuse(name, f"a number of {low:g} to {high:g} is wanted")
        return float(value)

    def whole(self, name: str, default: int, low: int, high: int) -> int:
        """Return a whole number of a range."""
        value = self.number(name, float(default), low, high)
        if not value.is_integer():
            self.refuse(name, "a whole number is wanted")
        return int(value)

    def flag(self, name: str, *, default: bool) -> bool:
        """Return a boolean, also of the texts ``true`` and ``false``."""
        value = self._values.get(name)
        if value is None:
            return default
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        self.refuse(name, "true or false is wanted")

    def table(self, name: str, default: Mapping[str, Any] | None = None) -> Reader:
        """Return a table within; None as default: it must be given."""
        value = self._values.get(name, default)
        if value is None:
            value = default
        if not isinstance(value, Mapping):
            self.refuse(name, "an object is wanted" if value is not None else "is missing")
        return Reader(value, f"{self.path(name)}.")

    def list(self, name: str, limit: int) -> Sequence[Any]:
        """Return a list that is not empty, of at most ``limit``."""
        value = self._values.get(name)
        if not isinstance(value, list) or not value:
            self.refuse(name, "a list is wanted" if value is not None else "is missing")
        if len(value) > limit:
            self.refuse(name, f"at most {limit} are wanted")
        return value


def _is_clean(text: str, *, lines: bool) -> bool:
    """Whether a text can be written anywhere: no control characters, no halves of characters."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    kept = "\t\n\r" if lines else ""
    return all(character in kept or not (character < " " or character == "\x7f") for character in text)
