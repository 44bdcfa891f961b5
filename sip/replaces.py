"""Replaces (RFC 3891): an INVITE that takes the place of a call that is there, as attended transfer does.

Laws: a call is replaced only when all three of Call-ID and tags fit (§3); a call of a peer that still rings is never
replaced, as its caller has not been answered (§3). The replaced session ends with BYE once the new one is confirmed:
if its ACK does not come the old call is still there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from sip.dialog import Dialog, DialogId
from sip.errors import ParseError, RemoteProtocolError
from sip.events import SessionId
from sip.grammar import LWS, find_param, parse_params
from sip.invite_states import State
from sip.message import Request

if TYPE_CHECKING:
    from sip.invite import InviteSession

__all__ = ("Replaces", "find_replaced")

_SECTION = "RFC 3891 §6.1"
_HVALUE = "-_.!~*'()[]/?:+$"
"What a header's value in a URI may hold unescaped (RFC 3261 §25.1, hvalue)."
_EARLY_OF_OURS = (State.CALLING, State.PROCEEDING)
_CONFIRMED = (State.ANSWERED, State.ESTABLISHED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replaces:
    """The call to be replaced, as the one who gets the INVITE sees it."""

    call_id: str
    to_tag: str
    "Its own tag in that call."
    from_tag: str
    "The other side's."
    early_only: bool = False
    "Whether a call that was answered shall be left alone."

    @classmethod
    def parse(cls, text: str) -> Replaces:
        """Parse the header's value; raises ParseError."""
        call_id, semicolon, rest = text.partition(";")
        call_id = call_id.strip(LWS)
        params = parse_params(rest, where="Replaces") if semicolon else ()
        to_tag, from_tag = find_param(params, "to-tag"), find_param(params, "from-tag")
        if not call_id or not to_tag or not from_tag:
            raise ParseError("Call-ID, to-tag or from-tag missing", where="Replaces", section=_SECTION)
        early_only = find_param(params, "early-only") is not None
        return cls(call_id=call_id, to_tag=to_tag, from_tag=from_tag, early_only=early_only)

    @classmethod
    def of(cls, dialog: Dialog) -> Replaces:
        """Name a dialog of ours the way its peer sees it."""
        _, local_tag, remote_tag = dialog.id
        # §3: a peer of RFC 2543 has no tag, which is written as 0.
        return cls(call_id=dialog.call_id, to_tag=remote_tag or "0", from_tag=local_tag)

    @property
    def dialog_id(self) -> DialogId:
        """The dialog that is meant, seen from the side that gets the INVITE."""
        return (self.call_id, self.to_tag, self.from_tag)

    def in_uri(self) -> str:
        """Return the value escaped for the headers of a Refer-To URI (RFC 3261 §19.1.1)."""
        return quote(str(self), safe=_HVALUE)

    def __str__(self) -> str:
        early = ";early-only" if self.early_only else ""
        return f"{self.call_id};to-tag={self.to_tag};from-tag={self.from_tag}{early}"


def find_replaced(request: Request, dialogs: Mapping[DialogId, InviteSession]) -> SessionId | None:
    """Return the session that an INVITE asks to replace, None when it asks for none.

    Raises RemoteProtocolError, or ParseError, with the status to answer with: 400 for more than one Replaces or a
    broken one, 481 when no call fits, 486 for one that was answered and is to be replaced only before, 603 for one
    that ends already (§3).
    """
    lines = request.headers.lines("Replaces")
    if not lines:
        return None
    if len(lines) > 1 or "Join" in request.headers:
        raise RemoteProtocolError("more than one call to replace or to join", status_hint=400)
    wanted = Replaces.parse(lines[0])
    session = dialogs.get(wanted.dialog_id)
    if session is None and wanted.from_tag == "0":
        session = dialogs.get((wanted.call_id, wanted.to_tag, ""))
    if session is None or session.state is State.INCOMING:
        raise RemoteProtocolError("no call to replace", status_hint=481)
    if session.state in _CONFIRMED:
        if wanted.early_only:
            raise RemoteProtocolError("the call to replace was answered", status_hint=486)
    elif session.state not in _EARLY_OF_OURS:
        raise RemoteProtocolError("the call to replace ends already", status_hint=603)
    return session.id
