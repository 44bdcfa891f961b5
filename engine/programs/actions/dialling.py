"""Whom to call, one group of devices after the other, those of a group at once: what ``connect`` and ``dial`` share.

`GroupDialling` neither knows what runs on a call nor what is told of it: its owner places and gives up, and says who
answered and who is gone. The first who answers is it; the others are given up in the same step.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Generic, TypeVar
from urllib.parse import unquote

from engine.dialects.signalwire.devices import Device, Devices
from engine.errors import CallError, ConfigError
from engine.log import fields
from engine.net.dialling import RING_RANGE_S, OutboundCall
from engine.programs.weak import weakly
from sip.errors import ParseError
from sip.uri import Uri

__all__ = ("MAX_GROUPS", "MAX_PARALLEL", "GroupDialling", "outbound_of", "worst_of")

log = logging.getLogger("engine.programs.actions")

MAX_GROUPS = 10
MAX_PARALLEL = 10
"Of a group; the rest is passed over."
MAX_HEADERS = 16
"Of one call, as ``net.dialling`` has it."

Leg = TypeVar("Leg")
# The outcome of a dialling is that of the callee who came nearest to an answer.
_RANK = ("busy", "refused", "no-answer", "not-found", "no-media", "unreachable", "failed")


def outbound_of(device: Device, *, caller: str = "", call_id: str = "") -> OutboundCall:
    """Return the call of a device; raise ``CallError`` for what cannot be called.

    ``caller`` is who calls where the device names nobody; ``call_id`` is for the log. A SIP URI may bring headers with
    it (RFC 3261 §19.1.1), of which X- headers are kept, as of ``headers``.
    """
    to, found = _without_headers(device.to.strip())
    headers: dict[str, str] = {}
    for name, value in (*found, *device.headers):
        if name[:2].lower() != "x-" or len(headers) >= MAX_HEADERS:
            log.warning("a header of who is called is left out: X- headers are sent", extra=fields(call=call_id))
            continue
        headers[name] = value
    low, high = RING_RANGE_S
    return OutboundCall(
        to=to,
        caller=device.from_ or caller,
        ring_s=min(max(device.timeout_s, low), high),
        headers=headers,
        username=device.username,
        password=device.password,
    )


def _without_headers(text: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    if not text.lower().startswith(("sip:", "sips:")):
        return text, ()
    try:
        uri = Uri.parse(text)
    except ParseError:
        raise CallError("who is to be called is no SIP URI: write sip:USER@HOST") from None
    return str(uri.without_headers()), tuple((name, unquote(value or "")) for name, value in uri.headers)


def worst_of(causes: list[str]) -> str:
    """Return of several causes (``CallControl.cause``) the one that came nearest to an answer; ``failed`` of none."""
    return next((cause for cause in _RANK if cause in causes), "failed")


class GroupDialling(Generic[Leg]):
    """One dialling; ``Leg`` is what its owner has for each call."""

    def __init__(
        self,
        devices: Devices,
        *,
        place: Callable[[Device], Leg],
        give_up: Callable[[Leg, str], None],
        on_failed: Callable[[str], None],
        call_id: str = "",
    ) -> None:
        """``place`` calls a device, or raises ``CallError`` or ``ConfigError``; ``give_up`` ends a call, with a reason.

        ``on_failed`` takes why nobody could be had (`worst_of`), once, and not from within `start`. The hooks must not
        hold the owner. ``call_id`` is for the log.
        """
        self._groups = list(devices[:MAX_GROUPS])
        self._place = place
        self._give_up = give_up
        self._on_failed: Callable[[str], None] | None = on_failed
        self._call_id = call_id
        self._legs: list[Leg] = []
        "That ring."
        self._causes: list[str] = []
        self._failing: asyncio.Handle | None = None
        if len(devices) > MAX_GROUPS or any(len(group) > MAX_PARALLEL for group in devices):
            log.warning(
                "no more than %d times %d are called; the rest is passed over",
                MAX_GROUPS,
                MAX_PARALLEL,
                extra=fields(call=call_id),
            )

    @property
    def is_over(self) -> bool:
        """Whether somebody answered, or nobody can be had any more."""
        return self._on_failed is None

    def start(self) -> None:
        """Call the first group."""
        if not self.is_over:
            self._next_group()

    def answered(self, leg: Leg) -> bool:
        """Note that somebody answered; return False when nobody is wanted any more, and that call is to be ended."""
        if self.is_over or leg not in self._legs:
            return False
        self._on_failed = None
        others, self._legs = [other for other in self._legs if other is not leg], []
        for other in others:
            self._give_up(other, "somebody else answered")
        return True

    def over(self, leg: Leg, cause: str) -> None:
        """Note that a call is over, and why (``CallControl.cause``)."""
        if leg not in self._legs:
            return
        self._legs.remove(leg)
        self._causes.append(cause)
        if not self._legs and not self.is_over:
            self._next_group()

    def stop(self) -> None:
        """Give all up that ring; nothing more is told."""
        self._on_failed = None
        if self._failing is not None:
            self._failing.cancel()
        legs, self._legs = self._legs, []
        for leg in legs:
            self._give_up(leg, "given up")

    def _next_group(self) -> None:
        while self._groups and not self._legs:
            for device in self._groups.pop(0)[:MAX_PARALLEL]:
                try:
                    self._legs.append(self._place(device))
                except (CallError, ConfigError) as error:
                    log.warning("somebody cannot be called: %s", error, extra=fields(call=self._call_id))
                    self._causes.append("failed")
        if not self._legs:
            # Whoever asked goes on behind us, not within us.
            self._failing = asyncio.get_running_loop().call_soon(weakly(self._fail))

    def _fail(self) -> None:
        tell, self._on_failed = self._on_failed, None
        if tell is not None:
            tell(worst_of(self._causes))
