"""What the caller keyed so far: the secrets, and what of them may be shown."""

from __future__ import annotations

import re

from engine.pay.accounts import mask_account
from engine.pay.cards import MaskStyle, accepted_as, mask_number
from engine.pay.fields import Facts, Step
from engine.pay.results import MaskedFields
from engine.pay.secret import Secret
from engine.redact import redact_text

__all__ = ("Collected",)

_DIGIT_RUN = re.compile(r"\d+")


class Collected:
    """The fields of one payment, and their masks, which outlive them."""

    __slots__ = (
        "_mask_char",
        "_mask_style",
        "account_number",
        "card_number",
        "expiry_month",
        "expiry_year",
        "masked",
        "postal_code",
        "routing_number",
        "security_code",
    )

    def __init__(self, *, mask_char: str, postal_code: str, mask_style: str = MaskStyle.PLAIN) -> None:
        self._mask_char = mask_char
        self._mask_style = mask_style
        self.card_number: Secret | None = None
        self.security_code: Secret | None = None
        self.account_number: Secret | None = None
        self.expiry_month = ""
        self.expiry_year = ""
        self.routing_number = ""
        self.postal_code = postal_code
        self.masked = MaskedFields(postal_code=postal_code)

    def take(self, step: Step, entry: Secret, facts: Facts) -> None:
        """Keep a valid entry: secrets by reference, the rest as text, after which the entry is wiped."""
        shown = {name: getattr(self.masked, name) for name in MaskedFields.__dataclass_fields__}
        if step is Step.CARD_NUMBER:
            self.card_number = entry
            shown["last_four"] = entry.last_four()
            shown["card_number"] = mask_number(
                entry.last_four(), len(entry), char=self._mask_char, style=self._mask_style
            )
            shown["card_type"] = str(accepted_as(entry.view(), facts.accepted) or "")
        elif step is Step.SECURITY_CODE:
            self.security_code = entry
            shown["security_code"] = self._mask_char * len(entry)
        elif step is Step.ACCOUNT_NUMBER:
            self.account_number = entry
            shown["account_number"] = mask_account(entry.view())
        else:
            text = bytes(entry.view()).decode("ascii")  # none of these needs a mask (`dialects.md` §1.9)
            entry.wipe()
            if step is Step.EXPIRATION_DATE:
                self.expiry_month, self.expiry_year = text[:2], text[2:]
                shown["expiration_date"] = text
            elif step is Step.POSTAL_CODE:
                self.postal_code = shown["postal_code"] = text
            else:
                self.routing_number = shown["routing_number"] = text
        self.masked = MaskedFields(**shown)

    def without_echo(self, text: str, *, free_text: bool = False) -> str:
        """Return what the connector sent with any number that the caller keyed masked in it.

        In ``free_text`` anything that looks like a card number goes too, and a number that is the security code; an
        identifier may pass the Luhn check by chance and is left alone.
        """
        for secret in (self.card_number, self.account_number):
            if secret is not None:
                text = _mask_occurrences(text, secret, self._mask_char)
        if not free_text:
            return text
        if self.security_code is not None:
            code = self.security_code
            text = _DIGIT_RUN.sub(
                lambda run: self._mask_char * len(code) if _is_at(run[0], 0, code, whole=True) else run[0], text
            )
        return redact_text(text)

    def wipe(self) -> None:
        """Wipe the secrets; the masks stay."""
        for secret in (self.card_number, self.security_code, self.account_number):
            if secret is not None:
                secret.wipe()
        self.card_number = self.security_code = self.account_number = None


def _is_at(text: str, start: int, secret: Secret, *, whole: bool = False) -> bool:
    digits = secret.view()
    if whole and len(text) != len(digits):
        return False
    return len(digits) > 0 and all(
        start + index < len(text) and ord(text[start + index]) == byte for index, byte in enumerate(digits)
    )


def _mask_occurrences(text: str, secret: Secret, mask_char: str) -> str:
    start = 0
    while start + len(secret) <= len(text):
        if _is_at(text, start, secret):
            text = text[:start] + mask_char * len(secret) + text[start + len(secret) :]
            start += len(secret)
        else:
            start += 1
    return text
