"""The hearing half of a leg's tick: from the socket to events.

Per tick: drain the RTP socket, take packets of the latched source with a negotiated payload type, feed telephone-events
to their receiver and audio to the jitter buffer, then take one frame of media time for the DTMF detector and the tap.

Whom the leg listens to is decided in ``_peer``.

Nothing here allocates, waits or touches a Python object.
"""

from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from dsp._dtmf cimport DTMF_END, DTMF_START, DtmfEvent, DtmfParams, dtmf_init, dtmf_lost, dtmf_process
from dsp._g711 cimport alaw_decode, ulaw_decode
from engine.media._peer cimport follow_source, from_our_peer, same_address, same_host
from engine.media._ring cimport ring_push
from engine.media._system cimport (
    BATCH,
    Address,
    batch_data,
    batch_from,
    batch_length,
    batch_receive,
    batch_wipe,
)
from engine.rtp._jitter cimport (
    JITTER_AGAIN,
    JITTER_HELD,
    JITTER_JUMP,
    JITTER_OVERFLOW,
    JitterFrame,
    JitterVerdict,
    jitter_depth,
    jitter_get,
    jitter_init,
    jitter_put,
)
from engine.rtp._packet cimport (
    PACKET_OK,
    PACKET_RTCP,
    PACKET_STUN,
    PacketFault,
    RtpHeader,
    rtp_parse,
)
from engine.rtp._rtcp cimport RtcpSummary, rtcp_parse
from engine.rtp._source cimport SEQUENCE_JUMP, SEQUENCE_OLD, SequenceVerdict, source_arrival, source_sequence
from engine.rtp._telephone_event cimport (
    EVENT_REPORTS,
    EVENT_START,
    EventReport,
    event_poll,
    event_receive,
    event_receiver_init,
)

cdef enum:
    # At most 64 packets of a leg in a tick: a flood at one leg makes no other late. The kernel drops the rest.
    MAX_BATCHES = 4
    RTCP_TICKS = 25             # look at the RTCP socket twice a second
    CATCH_UP_FRAMES = 4
    MAX_SAMPLES = 1920          # 240 ms
    # Holds up to here are the network's; after them the detector is told that there is a gap.
    HELD_TICKS = 3
    MAX_DETECTOR_EVENTS = 12    # dtmf_max_events(TICK_SAMPLES)

cdef int64_t NS_PER_MS = 1000000


cdef bint emit(TickContext* context, const MediaEvent* event) noexcept nogil:
    """Tell Python; what finds no room is counted by the ring."""
    context.woke = True
    return ring_push(context.events, event)


cdef void playlist_end(LegState* leg, TickContext* context, bint completed, bint by_digit) noexcept nogil:
    """Let go of what plays, if anything does, and say so: one event for each play."""
    cdef MediaEvent event
    if leg.playlist == NULL:
        return
    memset(&event, 0, sizeof(event))
    event.kind = EVENT_PLAYED
    event.leg_id = leg.id
    event.token = leg.playlist.token
    event.playlist = leg.playlist.serial
    event.completed = completed
    event.by_digit = by_digit
    leg.playlist = NULL
    emit(context, &event)


cdef void _digit(
    LegState* leg, TickContext* context, int32_t source, int32_t code, int64_t at_ns, float level_dbm0
) noexcept nogil:
    """A key was pressed: say so, and stop what may be interrupted before anything more of it is sent."""
    cdef MediaEvent event
    memset(&event, 0, sizeof(event))
    event.kind = EVENT_DIGIT
    event.leg_id = leg.id
    event.code = code
    event.source = source
    event.at_ns = at_ns
    event.level_dbm0 = level_dbm0
    emit(context, &event)
    event.code = 0
    if leg.playlist != NULL and leg.playlist.interruptible:
        playlist_end(leg, context, False, True)


cdef void _digit_end(
    LegState* leg, TickContext* context, int32_t source, int32_t code, int64_t at_ns, int64_t duration_ms
) noexcept nogil:
    cdef MediaEvent event
    memset(&event, 0, sizeof(event))
    event.kind = EVENT_DIGIT_END
    event.leg_id = leg.id
    event.code = code
    event.source = source
    event.at_ns = at_ns
    event.duration_ms = <int32_t>min(duration_ms, <int64_t>0x7FFFFFFF)
    emit(context, &event)
    event.code = 0


cdef void _event_reports(LegState* leg, TickContext* context, EventReport* reports, int n) noexcept nogil:
    cdef int i
    for i in range(n):
        if reports[i].kind == EVENT_START:
            _digit(leg, context, SOURCE_TELEPHONE_EVENT, reports[i].code, reports[i].at_ns, reports[i].level_dbm0)
        else:
            _digit_end(
                leg, context, SOURCE_TELEPHONE_EVENT, reports[i].code, reports[i].at_ns, reports[i].duration_ms
            )
    memset(reports, 0, sizeof(EventReport) * n)


cdef void _telephone_event(
    LegState* leg, TickContext* context, const RtpHeader* header, const uint8_t* payload, int64_t now_ns
) noexcept nogil:
    cdef EventReport reports[EVENT_REPORTS]
    cdef uint32_t refused = leg.events.malformed + leg.events.no_digit
    cdef int n = event_receive(
        &leg.events,
        header.ssrc,
        header.timestamp,
        header.marker != 0,
        payload,
        header.payload_length,
        now_ns,
        reports,
    )
    leg.counters.events_in += 1
    # Events share the sequence numbers of the audio (RFC 4733 §2.2), where they share its SSRC.
    if leg.source.valid and leg.source.ssrc == header.ssrc:
        source_sequence(&leg.source, header.sequence)
    if leg.events.malformed + leg.events.no_digit != refused:
        leg.counters.dropped[DROP_EVENT] += 1
        return
    if not leg.event_heard:
        # From here on tones in the audio are what leaks beside the events.
        leg.event_heard = True
        dtmf_init(&leg.detector, &context.detector_params)
        leg.detector_samples = 0
    _event_reports(leg, context, reports, n)


cdef void _audio(LegState* leg, const RtpHeader* header, const uint8_t* payload, int32_t carries, int64_t now_ns) noexcept nogil:
    cdef int16_t samples[MAX_SAMPLES]
    cdef JitterVerdict verdict
    cdef SequenceVerdict sequence
    cdef int32_t n = header.payload_length
    if not follow_source(leg, header, now_ns):
        leg.counters.dropped[DROP_SSRC] += 1
        return
    sequence = source_sequence(&leg.source, header.sequence)
    if sequence == SEQUENCE_JUMP:
        leg.counters.dropped[DROP_SEQUENCE] += 1
        return
    source_arrival(&leg.source, <uint32_t>(now_ns // SAMPLE_NS), header.timestamp)
    if carries == CARRIES_COMFORT_NOISE or n == 0:
        # RFC 3389: it fills a pause, and the pause is what we want to hear. An empty packet keeps a NAT open.
        return
    if n > MAX_SAMPLES:
        leg.counters.dropped[DROP_OVERFLOW] += 1
        return
    if carries == CARRIES_PCMU:
        ulaw_decode(payload, samples, n)
    else:
        alaw_decode(payload, samples, n)
    verdict = jitter_put(
        &leg.jitter, header.timestamp, header.marker != 0, sequence != SEQUENCE_OLD, samples, n
    )
    if verdict == JITTER_JUMP:
        leg.counters.dropped[DROP_JUMP] += 1
    elif verdict == JITTER_OVERFLOW:
        leg.counters.dropped[DROP_OVERFLOW] += 1
    memset(samples, 0, n * sizeof(int16_t))


cdef void _rtcp(LegState* leg, const uint8_t* data, int n, const Address* source, int64_t now_ns) noexcept nogil:
    cdef RtcpSummary summary
    if not same_host(source, &leg.config.remote_rtcp) and not (
        leg.is_latched and same_host(source, &leg.latched)
    ):
        leg.counters.dropped[DROP_SOURCE] += 1
        return
    if not rtcp_parse(data, n, leg.ssrc, &summary):
        leg.counters.dropped[DROP_RTCP_MALFORMED] += 1
        return
    leg.counters.rtcp_in += 1
    leg.counters.peer_bye = leg.counters.peer_bye or summary.bye
    if summary.has_sender_info and leg.source.valid and summary.ssrc == leg.source.ssrc:
        # RFC 3550 §6.4.1, LSR: the middle 32 of the 64 bits.
        leg.last_sr = (summary.sender.ntp_seconds << 16) | (summary.sender.ntp_fraction >> 16)
        leg.last_sr_ns = now_ns
    if summary.has_reception:
        leg.counters.peer_fraction_lost = summary.reception.fraction_lost
        leg.counters.peer_lost = summary.reception.lost
        leg.counters.peer_jitter = summary.reception.jitter


cdef void _datagram(
    LegState* leg, TickContext* context, const uint8_t* data, int n, const Address* source, int64_t now_ns
) noexcept nogil:
    cdef RtpHeader header
    cdef PacketFault fault
    cdef int32_t carries
    if n < 0:
        leg.counters.dropped[DROP_OVERFLOW] += 1
        return
    fault = rtp_parse(data, n, &header)
    if fault == PACKET_RTCP:
        _rtcp(leg, data, n, source, now_ns)
        return
    if fault != PACKET_OK:
        leg.counters.dropped[DROP_STUN if fault == PACKET_STUN else DROP_MALFORMED] += 1
        return
    carries = leg.config.carries[header.payload_type]
    if carries == CARRIES_NOTHING:
        leg.counters.dropped[DROP_PAYLOAD_TYPE] += 1
        return
    if not from_our_peer(leg, source, header.ssrc, now_ns):
        leg.counters.dropped[DROP_SOURCE] += 1
        return
    leg.heard_ns = now_ns
    leg.silence_reported = False
    leg.counters.packets_in += 1
    leg.counters.octets_in += header.payload_length
    if not leg.config.receiving:
        leg.counters.dropped[DROP_NOT_RECEIVING] += 1
    elif carries == CARRIES_EVENT:
        _telephone_event(leg, context, &header, data + header.payload_offset, now_ns)
    else:
        _audio(leg, &header, data + header.payload_offset, carries, now_ns)


cdef void _drain(LegState* leg, TickContext* context, int fd, bint rtcp, int batches, int64_t now_ns) noexcept nogil:
    cdef Address source
    cdef int i
    cdef int n
    cdef int n_read
    for n_read in range(batches):
        n = batch_receive(fd, &context.batch)
        for i in range(n):
            batch_from(&context.batch, i, &source)
            if not leg.configured:
                leg.counters.dropped[DROP_NOT_CONFIGURED] += 1
            elif rtcp:
                _rtcp(leg, batch_data(&context.batch, i), max(batch_length(&context.batch, i), 0), &source, now_ns)
            else:
                _datagram(
                    leg,
                    context,
                    batch_data(&context.batch, i),
                    batch_length(&context.batch, i),
                    &source,
                    now_ns,
                )
            batch_wipe(&context.batch, i)
        if n < BATCH:
            return


cdef void _detect(
    LegState* leg, TickContext* context, const int16_t* samples, const uint8_t* valid, int32_t n, int64_t now_ns
) noexcept nogil:
    """Feed one frame of media time to the detector, its gaps as gaps, and report what it heard."""
    cdef DtmfEvent found[MAX_DETECTOR_EVENTS]
    cdef int32_t at = 0
    cdef int32_t end
    cdef int n_found
    cdef int i
    cdef int64_t pressed_ns
    while at < n:
        end = at
        while end < n and valid[end] == valid[at]:
            end += 1
        leg.detector_samples += end - at
        if not valid[at]:
            dtmf_lost(&leg.detector, end - at)
            at = end
            continue
        n_found = dtmf_process(&leg.detector, samples + at, end - at, found, MAX_DETECTOR_EVENTS)
        at = end
        for i in range(n_found):
            if found[i].kind == DTMF_START:
                pressed_ns = now_ns - SAMPLE_NS * (
                    leg.detector_samples - found[i].start + jitter_depth(&leg.jitter)
                )
                _digit(
                    leg,
                    context,
                    SOURCE_IN_BAND,
                    found[i].digit,
                    pressed_ns,
                    max(found[i].low_dbm0, found[i].high_dbm0),
                )
            elif found[i].kind == DTMF_END:
                _digit_end(
                    leg,
                    context,
                    SOURCE_IN_BAND,
                    found[i].digit,
                    now_ns,
                    (found[i].end - found[i].start) * SAMPLE_NS // NS_PER_MS,
                )
        memset(found, 0, sizeof(found))


cdef void _frame(
    LegState* leg, TickContext* context, const JitterFrame* frame, const int16_t* samples, const uint8_t* valid,
    int64_t now_ns
) noexcept nogil:
    """Hand one frame to all who listen."""
    cdef bint held = frame.flags & JITTER_HELD != 0
    if leg.has_tap and leg.source.valid and not ring_push(&leg.tap, samples):
        leg.counters.tap_lost += 1
    leg.held_ticks = min(leg.held_ticks + 1, 1000) if held else 0
    if not leg.detect_in_band or leg.event_heard or not leg.source.valid:
        return
    if not held:
        _detect(leg, context, samples, valid, frame.n, now_ns)
    elif HELD_TICKS < leg.held_ticks <= 2 * HELD_TICKS:
        # Enough for the detector to let go of a key; more silence tells it nothing.
        dtmf_lost(&leg.detector, TICK_SAMPLES)
        leg.detector_samples += TICK_SAMPLES


cdef void leg_hear(LegState* leg, TickContext* context, int64_t now_ns) noexcept nogil:
    """Take what came since the last tick, and one frame of media time."""
    cdef EventReport reports[EVENT_REPORTS]
    cdef MediaEvent event
    cdef JitterFrame frame
    cdef int16_t samples[TICK_SAMPLES]
    cdef uint8_t valid[TICK_SAMPLES]
    cdef int i
    _drain(leg, context, leg.rtp_fd, False, MAX_BATCHES, now_ns)
    if leg.ticks % RTCP_TICKS == 0:
        _drain(leg, context, leg.rtcp_fd, True, 1, now_ns)
    if not leg.configured:
        return
    _event_reports(leg, context, reports, event_poll(&leg.events, now_ns, reports))
    for i in range(CATCH_UP_FRAMES):
        frame = jitter_get(&leg.jitter, samples, valid)
        _frame(leg, context, &frame, samples, valid, now_ns)
        if not frame.flags & JITTER_AGAIN:
            break
    memset(samples, 0, sizeof(samples))
    if (
        leg.config.receiving
        and leg.config.timeout_ns > 0
        and not leg.silence_reported
        and now_ns - leg.heard_ns >= leg.config.timeout_ns
    ):
        leg.silence_reported = True
        memset(&event, 0, sizeof(event))
        event.kind = EVENT_SILENT
        event.leg_id = leg.id
        event.at_ns = now_ns
        event.duration_ms = <int32_t>min((now_ns - leg.heard_ns) // NS_PER_MS, <int64_t>0x7FFFFFFF)
        emit(context, &event)


cdef void leg_configure(
    LegState* leg, const LegConfig* config, const DtmfParams* params, int64_t now_ns
) noexcept nogil:
    """Take what SDP agreed on, first or again; the stream and its counters go on where they can."""
    cdef bint moved = not leg.configured or not same_address(&leg.config.remote, &config.remote)
    cdef bint other_clock = not leg.configured or leg.config.event_rate_hz != config.event_rate_hz
    if not leg.configured:
        jitter_init(&leg.jitter)
        dtmf_init(&leg.detector, params)
        leg.detector_samples = 0
    if moved:
        leg.is_latched = False
    if moved or not config.negotiated_event:
        # Another far end, or one that no longer has events: its tones are digits until it sends an event.
        leg.event_heard = False
    if other_clock:
        event_receiver_init(&leg.events, config.event_rate_hz)
    if leg.configured and leg.config.codec != config.codec:
        # What waits to be sent is in the other codec.
        leg.timestamp += leg.n_fifo
        leg.n_fifo = 0
    leg.config = config[0]
    leg.heard_ns = now_ns
    leg.silence_reported = False
    leg.configured = True
