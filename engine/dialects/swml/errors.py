"""What is wrong with a document, by the vendor's names (`dialects.md` §3.8)."""

from __future__ import annotations

from enum import StrEnum

from engine.errors import ProgramError

__all__ = ("ScriptError", "SwmlError")


class ScriptError(StrEnum):
    """Names of ``script_error`` and of ``calling.script.warning``."""

    PARSE_ERROR = "relay_script_parse_error"
    PARSE_INTERNAL_ERROR = "relay_script_parse_internal_error"
    VERSION_INVALID = "relay_script_version_invalid"
    SECTIONS_MISSING = "relay_script_sections_missing"
    MAIN_SECTION_MISSING = "relay_script_main_section_missing"
    SECTION_CODE_MISSING = "relay_script_section_code_missing"
    SECTION_PARAMETER_UNDEFINED = "relay_script_section_parameter_undefined"
    ELEMENT_UNDEFINED = "relay_script_element_undefined"
    ELEMENT_WRONG_TYPE = "relay_script_element_wrong_type"
    ELEMENT_INVALID_VALUE = "relay_script_element_invalid_value"
    ELEMENT_DUPLICATED = "relay_script_element_duplicated"
    METHOD_MISSING_NAME = "relay_script_method_missing_name"
    METHOD_UNDEFINED = "relay_script_method_undefined"
    METHOD_PARAMETER_MISSING = "relay_script_method_parameter_missing"
    METHOD_PARAMETER_INVALID_VALUE = "relay_script_method_parameter_invalid_value"
    METHOD_PARAMETER_UNDEFINED = "relay_script_method_parameter_undefined"
    METHOD_PARAMETER_CONFLICT = "relay_script_method_parameter_conflict"
    METHOD_NO_MATCHING_CONDITION = "relay_script_method_no_matching_condition"
    METHOD_EXECUTE_FAILED = "relay_script_method_execute_failed"
    JS_EVAL_ERROR = "relay_script_js_eval_error"
    NESTED_TOO_DEEP = "relay_script_nested_too_deep"
    TOO_MANY_TRANSFERS = "relay_script_too_many_transfers"


class SwmlError(ProgramError):
    """A document cannot be run, or not any further."""

    def __init__(self, code: ScriptError, where: str, reason: str) -> None:
        """``where`` is a path such as ``sections.main[2].pay.timeout``; ``reason`` repeats no value of a variable."""
        super().__init__(f"{where}: {reason}" if where else reason)
        self.code = code
        self.where = where
        self.reason = reason
