"""What ``<Dial record>`` and ``<Conference record>`` record: the caller's leg, behind the mask's line."""

from __future__ import annotations

import logging

from engine.dialects.twiml.verbs import Method
from engine.dialects.urls import resolved
from engine.log import fields
from engine.program import CallControl
from engine.programs.call_recording import CallRecording, RecordingCallback, RecordingError
from engine.programs.context import ProgramContext

__all__ = ("begin_recording",)

log = logging.getLogger("engine.programs.dial")

CANNOT_RECORD = 13253
"The vendor's number for a recording that a Dial cannot have."


def begin_recording(
    context: ProgramContext,
    call: CallControl,
    base_url: str,
    *,
    source: str,
    is_dual: bool,
    callback_url: str,
    callback_method: Method,
) -> CallRecording | None:
    """Record a call that has its mask line; None, with a warning, where that cannot be: the document goes on.

    ``source`` is the vendor's word: DialVerb, Conference. It ends with the call, or when the caller stops it.
    """
    found = fields(call=call.facts.call_id, code=CANNOT_RECORD)
    if context.recordings is None:
        log.warning("a Dial is not recorded: name a directory in [recording], and calls can be", extra=found)
        return None
    callback = None
    if callback_url:
        url = resolved(base_url, callback_url)
        if url:
            callback = RecordingCallback(url=url, method=callback_method)
        else:
            log.warning("a recordingStatusCallback is no URL: nothing is told", extra=found)
    try:
        return context.recordings.start(
            call, source=source, channels="stereo" if is_dual else "mono", callback=callback
        )
    except RecordingError as error:
        log.warning("a Dial is not recorded: %s", error, extra=found)
        return None
