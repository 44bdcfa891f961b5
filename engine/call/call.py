"""What calls in both directions share: the leg, the negotiation, the program and the end.

A ``Call`` lives on the asyncio loop and is fed with events of the SIP endpoint, of the media plane and of its program.
Whatever ends it (BYE, CANCEL, no ACK, silence of the media, a fault of ours, drain), ``_release`` runs exactly once,
and a payment that is under way at the connector is waited for before the call is forgotten.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

from engine.call.replacement import Replacement
from engine.config import FormConfig, MediaConfig
from engine.errors import LedgerError, MediaError
from engine.events import CallAnswered, CallEnded, EngineEvent
from engine.form import FormProgram
from engine.ledger import CallMedia, Ledger
from engine.log import fields
from engine.media import (
    DigitEnded,
    DigitMerger,
    DigitReceived,
    DigitSource,
    Leg,
    LegStatistics,
    MediaEvent,
    MediaPlane,
    MediaTimeout,
    PeerUnreachable,
    PlayFinished,
)
from engine.metrics import (
    CALL_JITTER_SECONDS,
    CALL_MOS,
    CALLS,
    CALLS_ACTIVE,
    DIGITS,
    MEDIA_PACKETS,
)
from engine.rtp.srtp import SrtpKeysPair
from prompts.clip import Clip
from sip.crypto_attribute import SrtpPolicy
from sip.errors import NoCommonMedia, SipError
from sip.events import (
    InfoDigitReceived,
    InviteReceived,
    OfferAnswered,
    OfferReceived,
    OfferRequested,
    SessionConfirmed,
    SessionEnded,
    SessionId,
)
from sip.identity import CallerIdentity
from sip.offer_answer import LocalCapabilities, MediaParameters, accept_answer, answer, make_offer
from sip.sdp import SessionDescription

__all__ = ("Call", "CallContext", "Signalling")

log = logging.getLogger("engine.call")


class Signalling(Protocol):
    """What a call may ask of its SIP session; each call sends at once."""

    def ring(self, session: SessionId) -> None:
        """Send 180."""

    def answer(self, session: SessionId, sdp: SessionDescription) -> None:
        """Send 200 with our session description."""

    def reject(self, session: SessionId, status: int, *, retry_after_s: int | None = None) -> None:
        """Send a final failure."""

    def answer_offer(self, session: SessionId, sdp: SessionDescription) -> None:
        """Send 200 to a re-INVITE."""

    def refuse_offer(self, session: SessionId, status: int) -> None:
        """Refuse a re-INVITE; the session goes on as it was."""

    def hang_up(self, session: SessionId, reason: str = "") -> None:
        """End the session."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallContext:
    """What all calls of an engine share."""

    signalling: Signalling
    plane: MediaPlane
    ledger: Ledger
    advertised_host: str
    rtp_timeout_ms: int
    media: MediaConfig
    "Codecs, SRTP and rtcp-mux of every call."
    notify: Callable[[EngineEvent], None]
    now: Callable[[], float]
    "Monotonic seconds, the endpoint's and the media plane's clock."


class Call:
    """One call on one leg; ``IncomingCall`` and ``OutgoingCall`` know how it begins."""

    direction: ClassVar[Literal["in", "out"]]
    session: SessionId
    "The session in the endpoint; an outgoing call has none while it looks for addresses."
    _log: ClassVar[logging.Logger] = log

    def __init__(
        self,
        call_id: str,
        form_name: str,
        form: FormConfig,
        context: CallContext,
        make_program: Callable[[Call], FormProgram],
        on_gone: Callable[[Call], None],
        *,
        caller: str,
        dialled: str,
    ) -> None:
        self.call_id = call_id
        self.session = SessionId(0)
        self.form_name = form_name
        self.form = form
        self.caller = caller
        self.dialled = dialled
        self._context = context
        self._on_gone = on_gone
        self.identity: CallerIdentity | None = None
        self._leg: Leg | None = None
        self._local: LocalCapabilities | None = None
        self._described: SessionDescription | None = None
        "What we said last, offer or answer: a new offer keeps its payload types and keys."
        self._offer_sent: SessionDescription | None = None
        self._media: MediaParameters | None = None
        self._agreed: MediaParameters | None = None
        "What the leg works with; ``_media`` is None while an offer of ours waits for its answer."
        self._merger = DigitMerger()
        self._far_end: tuple[str, int] | None = None
        self._program = make_program(self)
        self._started_at = context.now()
        self._replacement: Replacement | None = None
        self._set_up = False
        self._hanging_up = False
        self._confirmed = False
        self._ended: str | None = None
        self._recorded = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def leg_id(self) -> int | None:
        """Id of the media leg while there is one."""
        return self._leg.id if self._leg is not None else None

    @property
    def is_waiting(self) -> bool:
        """Whether this is a call out that nobody has answered yet: a drain gives it up."""
        return False

    # -- setting up ----------------------------------------------------------------------------------------------

    def _open_leg(self) -> LocalCapabilities:
        """Open the leg and return what it can do; raises MediaError without a free port."""
        self._leg = self._context.plane.open_leg()
        config = self._context.media
        self._local = LocalCapabilities(
            address=self._context.advertised_host,
            rtp_port=self._leg.rtp_port,
            codecs=config.codecs,
            prefer_ours=config.codec_policy == "ours",
            comfort_noise=True,
            redundancy=True,
            rtcp_mux=config.rtcp_mux,
            srtp=SrtpPolicy(config.srtp),
            srtp_suites=config.srtp_suites,
            entropy=secrets.token_bytes,
            session_id=self._leg.id + 1,
            session_version=1,
        )
        return self._local

    def _begin_record(self, *, sip_call_id: str) -> None:
        """Count the call and write its record: from here on it is one, whatever becomes of it."""
        self._set_up = True
        self._task(self._record_start(sip_call_id))
        CALLS_ACTIVE.inc()

    def _begin_program(self) -> None:
        """Both sides have agreed and hear each other: tell observers and run the program."""
        assert self._media is not None
        self._confirmed = True
        srtp = self._media.srtp.suite if self._media.srtp is not None else "off"
        log.info(
            "call answered",
            extra=fields(
                call=self.call_id, direction=self.direction, form=self.form_name, codec=self._media.codec, srtp=srtp
            ),
        )
        self._context.notify(
            CallAnswered(
                call_id=self.call_id,
                caller=self.caller,
                dialled=self.dialled,
                form=self.form_name,
                codec=self._media.codec,
                telephone_event=self._media.event_receive_pt is not None,
                direction=self.direction,
                identity=self.identity,
            )
        )
        self._program.start(self._context.now())

    def _configure(self, media: MediaParameters, *, rtp_timeout_ms: int | None = None) -> None:
        """Let the leg work with what was agreed; raises MediaError, and all is as before, when it cannot."""
        assert self._leg is not None
        far_end = (media.remote_address, media.remote_rtp_port)
        srtp = media.srtp
        self._leg.configure(
            remote=(media.remote_address, media.remote_rtp_port),
            remote_rtcp=(media.remote_address, media.remote_rtcp_port),
            codec=media.codec,
            send_pt=media.send_pt,
            receive_pts=media.receive_pts,
            event_receive_pt=media.event_receive_pt,
            event_send_pt=media.event_send_pt,
            event_rate_hz=media.event_rate_hz,
            rtcp_mux=media.rtcp_mux,
            extended_reports=media.extended_reports,
            srtp=None if srtp is None else SrtpKeysPair(srtp.suite, srtp.local_key, srtp.remote_key),
            ptime_ms=media.ptime_ms,
            sending=media.direction in ("sendrecv", "sendonly"),
            receiving=media.direction in ("sendrecv", "recvonly"),
            rtp_timeout_ms=self._context.rtp_timeout_ms if rtp_timeout_ms is None else rtp_timeout_ms,
        )
        if media.event_receive_pt is None or far_end != self._far_end:
            # Somebody else may be there now, who sends tones and no events.
            self._merger.events_withdrawn()
        self._far_end = far_end
        self._media = self._agreed = media

    # -- from the SIP endpoint -----------------------------------------------------------------------------------

    def offered(self, event: OfferReceived | OfferRequested) -> None:
        """Answer a re-INVITE: hold, resume, another address or codec; keep the old session when it cannot be had."""
        assert self._local is not None
        local = self._local.bumped()
        try:
            if isinstance(event, OfferRequested):
                # §8.3.2: no payload type changes its meaning; and the keys stay as they are.
                ours = self._offer_sent = make_offer(local, self._described)
                self._media = None  # the answer comes in the ACK; media flows as before until then
            else:
                ours, media = answer(event.offer, local, self._agreed)
                # Before the answer to a call of ours nobody has to send.
                self._configure(media, rtp_timeout_ms=0 if self.is_waiting else None)
        except (NoCommonMedia, MediaError):
            self._context.signalling.refuse_offer(self.session, 488)
            return
        self._local = local
        self._described = ours
        self._context.signalling.answer_offer(self.session, ours)

    def acknowledged(self, event: SessionConfirmed) -> None:
        """Take the ACK of a re-INVITE: it brings the answer to an offer of ours, if there was one."""
        if event.answer is not None:
            self._take_answer(event)

    def _take_answer(self, event: SessionConfirmed) -> bool:
        """Take the answer in an ACK to an offer of ours that has none yet; hang up and return False if it is no use."""
        if self._offer_sent is None or self._media is not None:
            return True
        try:
            if event.answer is None:
                raise NoCommonMedia("the ACK brought no answer to our offer")
            self._configure(accept_answer(self._offer_sent, event.answer))
        except (SipError, MediaError) as error:
            log.info("a call ends: %s", error, extra=fields(call=self.call_id))
            self.hang_up("no common media")
            return False
        return True

    def answered_again(self, event: OfferAnswered) -> None:
        """Take an answer that differs from the last: the peer changed something as the session was refreshed."""
        if self._described is None or event.answer is None:
            return
        try:
            self._configure(accept_answer(self._described, event.answer))
        except (SipError, MediaError) as error:
            log.info("a call ends: %s", error, extra=fields(call=self.call_id))
            self.hang_up("no common media")

    # -- somebody takes the caller's place (RFC 3891) ------------------------------------------------------------

    def replace_caller(self, invite: InviteReceived) -> None:
        """Answer who wants to take the caller's place; the program goes on with them once they acknowledge it."""
        signalling = self._context.signalling
        if self._local is None or not self._confirmed or self._hanging_up or self._ended is not None:
            signalling.reject(invite.session, 481)
        elif self._replacement is not None:
            signalling.reject(invite.session, 486)
        else:
            try:
                self._replacement = Replacement.of(invite, self._local.bumped())
            except NoCommonMedia:
                signalling.reject(invite.session, 488)
                return
            signalling.answer(invite.session, self._replacement.ours)

    def take_over(self, event: SessionConfirmed) -> bool:
        """Go on with who took the caller's place; return False when that cannot be, which ends the call."""
        replacement, self._replacement = self._replacement, None
        assert replacement is not None
        try:
            self._configure(replacement.agreed(event))
        except (SipError, MediaError) as error:
            log.info("a call ends: %s", error, extra=fields(call=self.call_id))
            self._context.signalling.hang_up(event.session, "no common media")
            return False  # the endpoint hangs up the caller's session too
        self._local, self._described = replacement.local, replacement.ours
        self._offer_sent = None
        log.info("somebody took the caller's place", extra=fields(call=self.call_id))
        return True

    def replacement_ended(self) -> None:
        """Who wanted to take the caller's place is gone; the call goes on as it was."""
        self._replacement = None

    def info_digit(self, event: InfoDigitReceived) -> None:
        """Take a key that came as SIP INFO; it stops a prompt by the program's word, not in the media thread."""
        now = self._context.now()
        self._digit(
            DigitReceived(leg_id=self.leg_id or 0, code=event.event, source=DigitSource.INFO, at=now, level_dbm0=0.0)
        )

    def ended(self, event: SessionEnded) -> None:
        """The session is over, whoever ended it."""
        self._finish(str(event.cause))

    # -- from the media plane ------------------------------------------------------------------------------------

    def media_event(self, event: MediaEvent) -> None:
        """Take an event of this call's leg."""
        match event:
            case DigitReceived():
                self._digit(event)
            case DigitEnded():
                self._merger.end(event, self._context.now())
            case PlayFinished():
                self._program.play_finished(event.token, event.interrupted_by_digit, self._context.now())
            case PeerUnreachable():
                # It may still come: a peer that is moved, or a PBX that opens its port late. Silence ends the call.
                log.info("the far end refuses our media (ICMP)", extra=fields(call=self.call_id))
            case MediaTimeout():
                if self._media is not None and self._media.held:
                    return  # on hold nothing comes (RFC 3264 §8.4)
                log.info("the caller's media stays away", extra=fields(call=self.call_id, silent_ms=event.silent_ms))
                self.hang_up("media timeout")

    def _digit(self, event: DigitReceived) -> None:
        if self._merger.receive(event) is None:
            return  # the same press, heard another way
        DIGITS.labels(source=str(event.source)).inc()
        self._program.count_digit(event.source)
        # Before the ACK too: the program keeps what is keyed before it starts as type-ahead.
        self._program.digit(event.code, self._context.now())

    # -- for the program -----------------------------------------------------------------------------------------

    def play(self, clips: list[Clip], token: int, *, interruptible: bool) -> None:
        """Play ``clips`` one after the other; ``play_finished`` of the program follows in any case."""
        if self._leg is None or self._ended is not None:
            self._program.play_finished(token, False, self._context.now())
            return
        self._leg.play(clips, token=token, interruptible=interruptible)

    def stop_playing(self) -> None:
        """Stop what plays."""
        if self._leg is not None and self._ended is None:
            self._leg.stop_playing()

    def program_finished(self) -> None:
        """The program has nothing more to do: hang up."""
        self.hang_up("")

    # -- ending --------------------------------------------------------------------------------------------------

    def hang_up(self, reason: str) -> None:
        """End the session from our side; a no-op when it is over."""
        if self._ended is not None or self._hanging_up:
            return
        self._hanging_up = True
        self._context.signalling.hang_up(self.session, reason)
        # A peer that does not answer the BYE keeps the session for 64*T1; the payment is over now.
        self._program.hang_up(self._context.now())

    def _finish(self, cause: str) -> None:
        if self._ended is not None:
            return
        self._ended = cause
        if not self._set_up:  # refused: there was no call to record
            if self._leg is not None:
                self._leg.close()
                self._leg = None
            self._on_gone(self)
            return
        self._program.hang_up(self._context.now())
        self._task(self._release(cause))

    async def _release(self, cause: str) -> None:
        assert self._leg is not None
        await self._program.done()
        statistics = self._leg.statistics()
        self._leg.close()
        self._leg = None
        duration_s = self._context.now() - self._started_at
        await self._recorded.wait()
        try:
            await self._context.ledger.record_call_end(self.call_id, cause=cause, media=self._media_record(statistics))
        except LedgerError as error:
            log.error("the call record could not be written: %s", error, extra=fields(call=self.call_id))
        CALLS_ACTIVE.dec()
        CALLS.labels(cause=cause).inc()
        log.info("call ended", extra=fields(call=self.call_id, cause=cause, seconds=f"{duration_s:.1f}"))
        self._context.notify(CallEnded(call_id=self.call_id, cause=cause, duration_s=duration_s))
        self._on_gone(self)

    def _media_record(self, statistics: LegStatistics) -> CallMedia:
        """Say what the media was like, to the metrics and for the record."""
        discarded = sum(statistics.discarded_by_cause.values())
        for fate, n in (
            ("received", statistics.packets_in),
            ("lost", statistics.lost),
            ("late", statistics.late),
            ("discarded", discarded),
        ):
            MEDIA_PACKETS.labels(fate=fate).inc(max(0, n))
        if statistics.packets_in:
            CALL_MOS.observe(statistics.mos)
            CALL_JITTER_SECONDS.observe(statistics.jitter_ms / 1000)
        agreed = self._agreed
        return CallMedia(
            codec=agreed.codec if agreed is not None else "",
            srtp=agreed.srtp.suite if agreed is not None and agreed.srtp is not None else "",
            packets_in=statistics.packets_in,
            packets_lost=statistics.lost,
            packets_late=statistics.late,
            packets_discarded=discarded,
            jitter_ms=statistics.jitter_ms,
            round_trip_ms=statistics.round_trip_ms,
            mos=statistics.mos,
        )

    async def _record_start(self, sip_call_id: str) -> None:
        try:
            await self._context.ledger.record_call_start(
                self.call_id,
                sip_call_id=sip_call_id,
                caller=self.caller,
                dialled=self.dialled,
                form=self.form_name,
                direction=self.direction,
            )
        except LedgerError as error:
            log.error("the call record could not be written: %s", error, extra=fields(call=self.call_id))
        finally:
            self._recorded.set()

    def _task(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)
        return task

    def _task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a call's task failed", exc_info=error, extra=fields(call=self.call_id))
