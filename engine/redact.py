"""The one place that masks: what looks like a card number or like keys that were pressed leaves only as a mask.

``redact_text`` runs over every log line and over every text from a peer that is kept. It is a net under code that does
not handle digits in the first place, so it prefers to mask too much:

* 12 to 19 digits, with single spaces or dashes between them or without, that pass the Luhn check or have the prefix
  and length of a common brand (a card number with one wrong key is still nearly a card number);
* more than 19 digits on end, which may be several numbers one after the other;
* the value after a name that carries keys or secrets: ``Signal=5`` of SIP INFO, ``"cvv":"737"``, ``digits=4111``.

Left readable, because logs need them: numbers that start with 0 or 1 (times in milliseconds since 1970, US numbers with
country code), and digits inside a word such as a hexadecimal identifier unless prefix, length and check digit all fit.
"""

from __future__ import annotations

import re

__all__ = ("mask_card", "redact_text")

_MIN_DIGITS, _MAX_DIGITS = 12, 19  # ISO/IEC 7812: PANs in use
_SHOWN = 4  # PCI DSS 3.4.1 permits the last four

_RUN = re.compile(r"[0-9](?:[ -]?[0-9]){11,}")
_GROUP = re.compile(r"[0-9]+")
_BRANDED = re.compile(
    r"4[0-9]{12}(?:[0-9]{3}){0,2}"  # visa 13, 16, 19
    r"|(?:5[1-5]|2[2-7])[0-9]{14}"  # mastercard 16
    r"|3[47][0-9]{13}"  # amex 15
    r"|3(?:[0689][0-9]{12}|[05689][0-9]{14})"  # diners-club 14 and 16, jcb 16
    r"|(?:6011|64[4-9][0-9]|65[0-9]{2}|62[0-9]{2})[0-9]{12}(?:[0-9]{3})?"  # discover, unionpay 16 and 19
)
_NAMED = re.compile(
    r"(?<![a-z])"
    r"(signal|digits?|dtmf|cvv2?|cvc2?|card_?number|security_?code|(?:bank_?)?account_?number)"
    r"""(\\?["']?\s*[=:]\s*\\?["']?)([0-9*\#A-D]*[0-9][0-9*\#A-D]*)(?![0-9a-z])""",
    re.IGNORECASE,
)


def mask_card(last_four: str, length: int, mask_char: str = "*") -> str:
    """Return ``length`` characters: one ``mask_char`` per hidden digit, then the last four (`dialects.md` D-19)."""
    return mask_char * max(0, length - len(last_four)) + last_four


def redact_text(text: str) -> str:
    """Return the text with everything masked that could be a card number or pressed keys."""
    text = _NAMED.sub(_mask_named, text)
    return _RUN.sub(_mask_run, text)


def _mask_named(match: re.Match[str]) -> str:
    return match[1] + match[2] + "*" * len(match[3])


def _mask_run(match: re.Match[str]) -> str:
    run = match[0]
    groups = [(group.start(), group.end()) for group in _GROUP.finditer(run)]
    before, after = match.string[: match.start()][-1:], match.string[match.end() :][:1]
    pieces: list[str] = []
    done = 0
    for start, end, shown in _numbers(run, groups, inside_word=before.isalpha() or after.isalpha()):
        digits = run[start:end].replace(" ", "").replace("-", "")
        pieces += (run[done:start], mask_card(digits[len(digits) - shown :], len(digits)))
        done = end
    return "".join(pieces) + run[done:]


def _numbers(run: str, groups: list[tuple[int, int]], *, inside_word: bool) -> list[tuple[int, int, int]]:
    """Return (start, end, digits to show) of what to mask in a run.

    A number may begin and end with any group. Where suspects overlap all of them go, so that figures beside a card
    number cannot draw the mask away from its end.
    """
    found: list[tuple[int, int, int]] = []
    for first, (start, _) in enumerate(groups):
        digits = ""
        for last in range(first, len(groups)):
            end = groups[last][1]
            digits += run[groups[last][0] : end]
            if len(digits) > _MAX_DIGITS and last > first:
                break
            sizes = [stop - begin for begin, stop in groups[first : last + 1]]
            if len(digits) > _MAX_DIGITS:
                shown = 0
            elif len(digits) >= _MIN_DIGITS and _is_suspect(digits, sizes, inside_word=inside_word):
                shown = _SHOWN
            else:
                continue
            if found and start < found[-1][1]:
                begun, ended, _ = found.pop()
                # The last four are shown of one number, not of what several make together.
                found.append((begun, max(ended, end), shown if begun == start or end <= ended else 0))
            else:
                found.append((start, end, shown))
    return found


def _is_suspect(digits: str, sizes: list[int], *, inside_word: bool) -> bool:
    if digits[0] in "01":
        return False
    checked = _luhn_is_valid(digits)
    branded = _BRANDED.fullmatch(digits) is not None
    # Cards are written in fours (or 4-6-5), or key by key; "160 320 480 640" is a row of figures.
    written_as_card = len(sizes) == 1 or sizes[0] == 4 or (len(set(sizes)) == 1 and sizes[0] <= 2)
    if inside_word or not written_as_card:
        return checked and branded
    return checked or branded


def _luhn_is_valid(digits: str) -> bool:
    total = 0
    for place, char in enumerate(reversed(digits)):
        value = int(char) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0
