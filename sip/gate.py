"""Who may ask something of this user agent: the question that is put for every request of a stranger.

A request that belongs to a transaction or a dialog of ours was let in when that began, and nobody can guess the tags
and branches by which it is known. Everything else is put to the gate first, before an answer could tell what is behind
it: which methods, which users, how full, that there is SIP here at all (RFC 3261 §26.1, RFC 5039 §4). The gate itself
is not part of this package: it knows networks, passwords and the past of a source.

An ACK is never answered. A CANCEL cannot be challenged (§22.1): one that matches nothing is answered only to whom the
gate admits as it stands.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from sip.address import Address
from sip.message import Request

__all__ = ("ADMIT", "DROP", "Admission", "Drop", "Gate", "Refusal", "Verdict")


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """The request is taken."""

    rule: str = ""
    "Name of the rule that let it in; empty without a gate."
    user: str = ""
    "Who answered the challenge; empty when nobody was asked."
    is_trusted: bool = False
    "Whether the peer belongs to our trust domain: its P-Asserted-Identity is believed (RFC 3325 §5)."

    def __str__(self) -> str:
        return f"{self.rule}:{self.user}" if self.user else self.rule


@dataclass(frozen=True, slots=True)
class Refusal:
    """The request is answered without state, with ``status`` of 300 to 699 (§8.2.7, §26.3.2.4)."""

    status: int
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Drop:
    """Nothing is answered: whoever asks learns as much as from a host that is switched off."""


Verdict = Admission | Refusal | Drop

ADMIT = Admission()
"The admission of whoever asks where there is no gate."
DROP = Drop()


class Gate(Protocol):
    """What the handler of requests asks. Nothing here raises for what a peer can send."""

    def judge(self, request: Request, source: Address, now: float) -> Verdict:
        """Judge a request that belongs to no transaction and no dialog of ours; never an ACK."""

    def judge_malformed(self, source: Address, now: float) -> bool:
        """Return whether ``source`` may be told that its message was malformed; called for every such message."""

    def is_open(self, source: Address) -> bool:
        """Return whether ``source`` is admitted by its address alone: a refusal for want of room may be told."""
