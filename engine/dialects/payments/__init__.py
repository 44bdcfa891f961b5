"""The Payments resource: an agent captures a payment on a live call, field by field (`dialects.md` §5), sans-IO."""

from engine.dialects.payments.answers import resource_body, resource_uri
from engine.dialects.payments.callbacks import (
    SessionFacts,
    capture_parameters,
    created_parameters,
    interrupted_parameters,
    result_parameters,
    tells_result,
)
from engine.dialects.payments.refusals import (
    RequestRefused,
    call_is_over,
    call_not_found,
    line_not_covered,
    no_connector,
    not_taken,
    refused_update,
    session_in_progress,
    session_not_found,
)
from engine.dialects.payments.requests import (
    CAPTURES,
    CreateRequest,
    RequestSettings,
    UpdateRequest,
    read_create,
    read_update,
)

__all__ = (
    "CAPTURES",
    "CreateRequest",
    "RequestRefused",
    "RequestSettings",
    "SessionFacts",
    "UpdateRequest",
    "call_is_over",
    "call_not_found",
    "capture_parameters",
    "created_parameters",
    "interrupted_parameters",
    "line_not_covered",
    "no_connector",
    "not_taken",
    "read_create",
    "read_update",
    "refused_update",
    "resource_body",
    "resource_uri",
    "result_parameters",
    "session_in_progress",
    "session_not_found",
    "tells_result",
)
