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
from typing import ClassVar

from engine.call.context import CallContext
from engine.call.holding import Holding
from engine.call.record import media_record
from engine.call.replacement import Replacement
from engine.errors import CallError, LedgerError, MediaError
from engine.events import CallAnswered, CallCreated, CallEnded
from engine.log import fields
from engine.media import (
    DigitEnded,
    DigitMerger,
    DigitReceived,
    DigitSource,
    Leg,
    MediaEvent,
    MediaTimeout,
    PeerUnreachable,
    PlayFinished,
)
from engine.metrics import CALLS, CALLS_ACTIVE, DIGITS
from engine.payment_run import PaymentGuard
from engine.program import CallControl, CallFacts, CallState, Program
from engine.rtp.srtp import SrtpKeysPair
from sip.crypto_attribute import SrtpPolicy
from sip.errors import LocalProtocolError, NoCommonMedia, ParseError, SipError
from sip.events import (
    InfoDigitReceived,
    InviteReceived,
    OfferAnswered,
    OfferReceived,
    OfferRefused,
    OfferRequested,
    ReferProgress,
    SessionConfirmed,
    SessionEnded,
    SessionId,
)
from sip.identity import CallerIdentity
from sip.offer_answer import LocalCapabilities, MediaParameters, accept_answer, answer, make_offer
from sip.sdp import SessionDescription
from sip.uri import Uri

__all__ = ("Call",)

log = logging.getLogger("engine.call")

_SILENT = frozenset({"sendonly", "inactive"})
"Directions of ours in which the far end sends nothing."


class Call(Holding):
    """One call on one leg; ``IncomingCall`` and ``OutgoingCall`` know how it begins."""

    session: SessionId
    "The session in the endpoint; an outgoing call has none while it looks for addresses."
    _log: ClassVar[logging.Logger] = log

    def __init__(
        self,
        facts: CallFacts,
        context: CallContext,
        make_program: Callable[[CallControl], Program],
        on_gone: Callable[[Call], None],
    ) -> None:
        self.facts = facts
        self.call_id = facts.call_id
        self.session = SessionId(0)
        self.guard = PaymentGuard()
        super().__init__(context)
        self._on_gone = on_gone
        self.identity: CallerIdentity | None = None
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
        self._beside: Leg | None = None
        "The leg that this call's shall be able to be bridged with."
        self._started_at = context.now()
        self._replacement: Replacement | None = None
        self._refer_report: Callable[[int | None, str, bool], None] | None = None
        self._set_up = False
        self._hanging_up = False
        self._confirmed = False
        self._ended: str | None = None
        self._recorded = asyncio.Event()
        self._answer_recorded: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def leg_id(self) -> int | None:
        """Id of the media leg while there is one."""
        return self._leg.id if self._leg is not None else None

    @property
    def program(self) -> Program:
        """What runs on the call."""
        return self._program

    @property
    def state(self) -> CallState:
        """Where the call stands."""
        if self._ended is not None or self._hanging_up:
            return CallState.ENDED
        return CallState.ANSWERED if self._confirmed else CallState.RINGING

    @property
    def cause(self) -> str:
        """Why the call is over, as its record has it; empty while nobody knows."""
        return self._ended or ""

    @property
    def bridged_with(self) -> CallControl | None:
        """The call that is heard here now."""
        return self._bridged if isinstance(self._bridged, Call) else None

    def answer(self) -> None:
        """Answer a call in that rings."""
        raise NotImplementedError

    def reject(self, status: int) -> None:
        """Refuse a call in that rings."""
        raise NotImplementedError

    @property
    def is_waiting(self) -> bool:
        """Whether this is a call out that nobody has answered yet: a drain gives it up."""
        return False

    # -- setting up ----------------------------------------------------------------------------------------------

    def _open_leg(self) -> LocalCapabilities:
        """Open the leg and return what it can do; raises MediaError without a free port."""
        leg = self._context.plane.open_leg(beside=self._beside)
        self._take_leg(leg)
        config = self._context.media
        self._local = LocalCapabilities(
            address=self._context.advertised_host,
            rtp_port=leg.rtp_port,
            codecs=config.codecs,
            prefer_ours=config.codec_policy == "ours",
            comfort_noise=True,
            redundancy=True,
            rtcp_mux=config.rtcp_mux,
            srtp=SrtpPolicy(config.srtp),
            srtp_suites=config.srtp_suites,
            entropy=secrets.token_bytes,
            session_id=leg.id + 1,
            session_version=1,
        )
        return self._local

    def _begin_record(self, *, sip_call_id: str) -> None:
        """Count the call and write its record: from here on it is one, whatever becomes of it."""
        self._set_up = True
        facts = self.facts
        self._context.notify(
            CallCreated(
                call_id=self.call_id,
                direction=facts.direction,
                caller=facts.caller,
                dialled=facts.dialled,
                parent_id=facts.parent_id,
            )
        )
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
                call=self.call_id,
                direction=self.facts.direction,
                form=self._program.label,
                codec=self._media.codec,
                srtp=srtp,
            ),
        )
        self._context.notify(
            CallAnswered(
                call_id=self.call_id,
                caller=self.facts.caller,
                dialled=self.facts.dialled,
                form=self._program.label,
                codec=self._media.codec,
                telephone_event=self._media.event_receive_pt is not None,
                direction=self.facts.direction,
                identity=self.identity,
            )
        )
        self._answer_recorded = self._task(self._record_answer())
        self._program.start(self._context.now())

    def _configure(self, media: MediaParameters, *, rtp_timeout_ms: int | None = None) -> None:
        """Let the leg work with what was agreed; raises MediaError, and all is as before, when it cannot."""
        assert self._leg is not None
        media = self._as_held(media)
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
            self._hold_answered()
            return
        try:
            self._configure(accept_answer(self._described, event.answer))
        except (SipError, MediaError) as error:
            log.info("a call ends: %s", error, extra=fields(call=self.call_id))
            self.hang_up("no common media")
            return
        self._hold_answered()

    def offer_refused(self, event: OfferRefused) -> None:
        """Note that the peer did not take an offer of ours: the session goes on as it was."""
        log.info("the far end refuses an offer", extra=fields(call=self.call_id, status=event.status))
        self._hold_refused()

    # -- the peer is asked to call somebody else (RFC 3515) ------------------------------------------------------

    def refer(self, to: str, report: Callable[[int | None, str, bool], None]) -> None:
        """Ask the far end to call ``to``; raise ``CallError`` when that cannot be asked now."""
        if self.state is not CallState.ANSWERED:
            raise CallError("a call that is not up cannot be transferred")
        if self.guard.busy:
            raise CallError("who pays is not transferred: wait for the payment's end, or stop it")
        try:
            uri = Uri.parse(to.strip())
        except ParseError:
            uri = None
        if uri is None or not (uri.is_sip or uri.scheme == "tel"):
            raise CallError("who is to be called is no URI: write sip:USER@HOST or tel:+NUMBER")
        try:
            self._context.signalling.refer(self.session, uri)
        except LocalProtocolError as error:
            raise CallError(f"the far end cannot be asked to call: {error}") from None
        self._refer_report = report

    def refer_progress(self, event: ReferProgress) -> None:
        """Tell who asked what became of a REFER of ours."""
        report = self._refer_report
        if event.final:
            self._refer_report = None
        if report is not None:
            report(event.status, event.reason, event.final)

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
        self._hold_moved()
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
                now = self._context.now()
                self._merger.end(event, now)
                for companion in self._companions:
                    companion.digit_ended(now)
                self._program.digit_ended(now)
            case PlayFinished():
                self._play_finished(event.token, event.interrupted_by_digit)
            case PeerUnreachable():
                # It may still come: a peer that is moved, or a PBX that opens its port late. Silence ends the call.
                log.info("the far end refuses our media (ICMP)", extra=fields(call=self.call_id))
            case MediaTimeout():
                if self._agreed is not None and (self._agreed.held or self._agreed.direction in _SILENT):
                    return  # on hold nothing comes (RFC 3264 §8.4), nor from who only listens
                log.info("the caller's media stays away", extra=fields(call=self.call_id, silent_ms=event.silent_ms))
                self.hang_up("media timeout")

    def _digit(self, event: DigitReceived) -> None:
        if self._merger.receive(event) is None:
            return  # the same press, heard another way
        if self.on_hold:
            return  # who is held is not heard
        DIGITS.labels(source=str(event.source)).inc()
        taker = next((companion for companion in self._companions if companion.wants_digits), self._program)
        taker.count_digit(event.source)
        # Before the ACK too: the program keeps what is keyed before it starts as type-ahead.
        taker.digit(event.code, self._context.now())

    # -- ending --------------------------------------------------------------------------------------------------

    def hang_up(self, reason: str) -> None:
        """End the session from our side; a no-op when it is over."""
        if self._ended is not None or self._hanging_up:
            return
        self._hanging_up = True
        self._context.signalling.hang_up(self.session, reason)
        # A peer that does not answer the BYE keeps the session for 64*T1; the payment is over now.
        self._tell_over()

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
        self._tell_over()
        self._task(self._release(cause))

    def _tell_over(self) -> None:
        """Nothing more is heard: the payment of an agent ends before the program that brought them together."""
        now = self._context.now()
        for companion in list(self._companions):
            companion.hang_up(now)
        self._program.hang_up(now)
        self._refer_report = None
        self.unbridge()
        self.leave_room()

    async def _release(self, cause: str) -> None:
        assert self._leg is not None
        for companion in (*self._companions, *self._leaving):
            await companion.done()
        await self._program.done()
        statistics = self._leg.statistics()
        self._leg.close()
        self._leg = None
        duration_s = self._context.now() - self._started_at
        await self._recorded.wait()
        if self._answer_recorded is not None:
            await self._answer_recorded
        try:
            await self._context.ledger.record_call_end(
                self.call_id, cause=cause, media=media_record(statistics, self._agreed)
            )
        except LedgerError as error:
            log.error("the call record could not be written: %s", error, extra=fields(call=self.call_id))
        CALLS_ACTIVE.dec()
        CALLS.labels(cause=cause).inc()
        log.info("call ended", extra=fields(call=self.call_id, cause=cause, seconds=f"{duration_s:.1f}"))
        self._context.notify(CallEnded(call_id=self.call_id, cause=cause, duration_s=duration_s))
        self._on_gone(self)

    async def _record_start(self, sip_call_id: str) -> None:
        try:
            await self._context.ledger.record_call_start(
                self.call_id,
                sip_call_id=sip_call_id,
                caller=self.facts.caller,
                dialled=self.facts.dialled,
                form=self._program.label,
                direction=self.facts.direction,
                parent_id=self.facts.parent_id,
            )
        except LedgerError as error:
            log.error("the call record could not be written: %s", error, extra=fields(call=self.call_id))
        finally:
            self._recorded.set()

    async def _record_answer(self) -> None:
        await self._recorded.wait()
        try:
            await self._context.ledger.record_call_answer(self.call_id)
        except LedgerError as error:
            log.error("the call record could not be written: %s", error, extra=fields(call=self.call_id))

    def _task(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)
        return task

    def _task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a call's task failed", exc_info=error, extra=fields(call=self.call_id))
