"""What programs of applications share with the engine that they run in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from engine.config import Config
from engine.net.web_client import WebClient
from engine.outbox import Outbox
from engine.payment_run import PaymentContext
from engine.program import CallControl, Exchange, Program
from engine.programs.meeting import Queues, Rooms
from engine.programs.recordings import Recordings
from engine.programs.status import CallStatusTeller
from prompts.store import PromptStore

if TYPE_CHECKING:
    from engine.programs.ncco.conversation import ConversationRoom
    from engine.programs.ncco.legs import NccoLegs
    from engine.programs.ncco.live import LivePlaying
    from engine.programs.rooms import MeetingRoom
    from engine.programs.verb import VerbMakers

__all__ = ("ProgramContext",)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramContext:
    """Made once by ``engine.service``."""

    config: Config
    exchange: Exchange
    web: WebClient
    "For requests whose answer is wanted: documents, actions."
    outbox: Outbox
    "For webhooks that must arrive, and whose answer is of no interest."
    payments: PaymentContext
    prompts: PromptStore
    today: Callable[[], date]
    clock: Callable[[], datetime]
    "UTC."
    status: CallStatusTeller
    "Tells applications how their calls go."
    verbs: VerbMakers = field(default_factory=dict)
    "What makes the verbs that run for long; one that is missing is passed over with a warning."
    recordings: Recordings | None = None
    "None: ``[recording]`` names no directory, and nothing is recorded."

    queues: Queues = field(default_factory=Queues)
    "Who waits behind an ``<Enqueue>``."
    rooms: Rooms[MeetingRoom] = field(default_factory=Rooms)
    "Conferences."
    conversations: Rooms[ConversationRoom] = field(default_factory=Rooms)
    "Of NCCO applications, by ``identity.named_conversation``."
    live: WeakValueDictionary[str, LivePlaying] = field(default_factory=WeakValueDictionary)
    "What the Voice API plays to calls, by their ids; a call holds its own."

    ncco: NccoLegs | None = None
    "The calls of NCCO applications; None: there are no such applications."

    program_named: Callable[[str, str, CallControl], Program] | None = None
    """Makes the program of an application or a form for a call, of ``(app, form, call)`` with one name empty: what
    a call is handed on to. Raises ``ConfigError`` for a name that there is not."""

    def now(self) -> float:
        """Return monotonic seconds, the event loop's clock."""
        return self.payments.now()
