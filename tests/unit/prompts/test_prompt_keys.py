from __future__ import annotations

import pytest

from prompts.keys import PromptKey, error_key, step_key


@pytest.mark.parametrize(
    ("step", "card_type", "expected"),
    [
        ("security-code", "", PromptKey.SECURITY_CODE),
        ("security-code", "visa", PromptKey.SECURITY_CODE),
        ("security-code", "amex", PromptKey.SECURITY_CODE_AMEX),
        ("expiration-date", "amex", PromptKey.EXPIRATION_DATE),
        ("no-such-step", "", None),
    ],
)
def test_a_step_has_its_prompt_and_the_card_type_its_variant(
    step: str, card_type: str, expected: PromptKey | None
) -> None:
    assert step_key(step, card_type) is expected


@pytest.mark.parametrize(
    ("error_type", "expected"),
    [
        ("timeout", PromptKey.ERROR_TIMEOUT),
        ("input-timeout", PromptKey.ERROR_TIMEOUT),
        ("invalid-card-number", PromptKey.ERROR_CARD_NUMBER),
        ("card-declined", PromptKey.ERROR_CARD_DECLINED),
        ("internal-error", None),
        ("", None),
    ],
)
def test_an_error_type_has_its_prompt(error_type: str, expected: PromptKey | None) -> None:
    assert error_key(error_type) is expected
