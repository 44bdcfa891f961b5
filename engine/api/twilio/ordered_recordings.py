"""Recordings that are ordered with a call (``Record=true`` of the Calls resource)."""

from __future__ import annotations

import logging

from dsp.mask import MaskFill
from engine.api.twilio.call_orders import RecordOrder
from engine.log import fields
from engine.media.recorder import Channels
from engine.program import CallControl
from engine.programs.call_recording import RecordingCallback, RecordingError
from engine.programs.context import ProgramContext

__all__ = ("begin_ordered",)

log = logging.getLogger("engine.api.calls")

CHANNELS: dict[str, Channels] = {"mono": "mono", "dual": "stereo"}


def begin_ordered(context: ProgramContext, call: CallControl, order: RecordOrder) -> None:
    """Record a call that was just answered, behind the mask's line; what cannot be is logged, and the call goes on."""
    found = fields(call=call.facts.call_id)
    if context.recordings is None:
        log.warning("a call is not recorded: name a directory in [recording], and calls can be", extra=found)
        return
    callback = None
    if order.callback:
        callback = RecordingCallback(url=order.callback, method=order.method, events=order.events)
    call.mask_line(fill=MaskFill(context.config.twilio.mask_fill))
    try:
        context.recordings.start(call, source="OutboundAPI", channels=CHANNELS[order.channels], callback=callback)
    except RecordingError as error:
        log.warning("a call is not recorded: %s", error, extra=found)
