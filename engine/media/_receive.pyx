"""From the sockets of a leg to its jitter buffer and its receiver of telephone-events.

Per tick: drain the RTP socket, take packets of the latched source with a negotiated payload type, feed telephone-events
to their receiver and audio to the jitter buffer. Whom the leg listens to is decided in ``_peer``. Whatever else comes
is counted by its cause and dropped.

Nothing here allocates, waits or touches a Python object.
"""

from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from dsp._dtmf cimport dtmf_init
from engine.media._digits cimport leg_digit, leg_digit_end
from engine.media._leg cimport (
    CARRIES_COMFORT_NOISE,
    CARRIES_EVENT,
    CARRIES_NOTHING,
    CARRIES_REDUNDANCY,
    DROP_AUTHENTICATION,
    DROP_EVENT,
    DROP_JUMP,
    DROP_MALFORMED,
    DROP_NOT_CONFIGURED,
    DROP_NOT_RECEIVING,
    DROP_OVERFLOW,
    DROP_OWN_SSRC,
    DROP_PAYLOAD,
    DROP_PAYLOAD_TYPE,
    DROP_REPLAY,
    DROP_RTCP_MALFORMED,
    DROP_SEQUENCE,
    DROP_SOURCE,
    DROP_SSRC,
    DROP_STUN,
    SAMPLE_NS,
    SOURCE_TELEPHONE_EVENT,
    LegState,
    TickContext,
)
from engine.media._peer cimport follow_source, from_our_peer, rtcp_from_our_peer, same_address
from engine.media._report cimport leg_new_ssrc, ntp_fraction, ntp_seconds
from engine.media._system cimport (
    BATCH,
    Address,
    batch_data,
    batch_from,
    batch_length,
    batch_receive,
    batch_wipe,
    realtime_ns,
)
from engine.media._transmit cimport take_socket_errors
from engine.rtp._burst cimport burst_discarded, burst_lost, burst_received
from engine.rtp._codec cimport codec_decode, codec_reset_decoder, codec_samples, codec_timestamp_divisor
from engine.rtp._collision cimport COLLISION_NEW, collision_check
from engine.rtp._jitter cimport JITTER_JUMP, JITTER_LATE, JITTER_OVERFLOW, JitterVerdict, jitter_put
from engine.rtp._packet cimport (
    PACKET_OK,
    PACKET_RTCP,
    PACKET_STUN,
    PacketFault,
    RtpHeader,
    rtp_parse,
)
from engine.rtp._playout cimport playout_noise, playout_restart
from engine.rtp._redundancy cimport REDUNDANCY_MAX_BLOCKS, RedundantBlock, redundancy_parse
from engine.rtp._rtcp cimport RtcpSummary, ntp_middle, rtcp_is_leaving, rtcp_parse, rtcp_round_trip
from engine.rtp._source cimport (
    SEQUENCE_JUMP,
    SEQUENCE_OK,
    SEQUENCE_OLD,
    SequenceVerdict,
    source_arrival,
    source_lost,
    source_sequence,
)
from engine.rtp._srtp cimport SRTP_REPLAY, srtcp_unprotect_packet, srtp_unprotect_packet
from engine.rtp._telephone_event cimport (
    EVENT_REPORTS,
    EVENT_START,
    EventReport,
    event_poll,
    event_receive,
)

cdef enum:
    # At most 64 packets of a leg in a tick: a flood at one leg makes no other late. The kernel drops the rest.
    MAX_BATCHES = 4
    MAX_SAMPLES = 1920          # 240 ms

cdef int64_t EVENT_MEMORY_NS = 60000000000  # MEMORY_MS of engine.rtp._telephone_event


cdef void _reports(LegState* leg, TickContext* context, EventReport* reports, int n) noexcept nogil:
    cdef int i
    for i in range(n):
        if reports[i].kind == EVENT_START:
            leg_digit(
                leg,
                context,
                SOURCE_TELEPHONE_EVENT,
                reports[i].code,
                reports[i].at_ns,
                reports[i].level_dbm0,
                leg.mask.position,
            )
        else:
            leg_digit_end(
                leg, context, SOURCE_TELEPHONE_EVENT, reports[i].code, reports[i].at_ns, reports[i].duration_ms
            )
    memset(reports, 0, sizeof(EventReport) * n)


cdef void _telephone_event(
    LegState* leg, TickContext* context, const RtpHeader* header, const uint8_t* payload, int32_t n, bint primary,
    int64_t now_ns
) noexcept nogil:
    """Take one event; of a packet with redundancy only the `primary` block counts as a packet."""
    cdef EventReport reports[EVENT_REPORTS]
    cdef uint32_t refused = leg.events.malformed + leg.events.no_digit
    cdef int n_reports = event_receive(
        &leg.events, header.ssrc, header.timestamp, header.marker != 0, payload, n, now_ns, reports
    )
    leg.counters.events_in += 1
    leg.events_open = True
    leg.event_packet_ns = now_ns
    # Events share the sequence numbers of the audio (RFC 4733 §2.2), where they share its SSRC.
    if primary and leg.source.valid and leg.source.ssrc == header.ssrc:
        source_sequence(&leg.source, header.sequence)
        leg.counters.lost = source_lost(&leg.source)
    if leg.events.malformed + leg.events.no_digit != refused:
        leg.counters.dropped[DROP_EVENT] += 1
        return
    if not leg.event_heard:
        # From here on tones in the audio are what leaks beside the events.
        leg.event_heard = True
        dtmf_init(&leg.detector, &context.detector_params)
        leg.detector_samples = 0
    _reports(leg, context, reports, n_reports)


cdef uint32_t _samples_time(LegState* leg, uint32_t timestamp, int32_t units) noexcept nogil:
    """The stream's time in samples at 8 kHz, whatever the clock of its codec; it wraps like a timestamp."""
    if units == 1:
        return timestamp
    leg.rtp_units += <int32_t>(timestamp - leg.rtp_timestamp)
    leg.rtp_timestamp = timestamp
    return <uint32_t>(leg.rtp_units // units)


cdef void _audio(LegState* leg, const RtpHeader* header, const uint8_t* payload, int32_t carries, int64_t now_ns) noexcept nogil:
    cdef int16_t samples[MAX_SAMPLES]
    cdef JitterVerdict verdict
    cdef SequenceVerdict sequence
    cdef uint32_t timestamp
    cdef uint64_t changes = leg.counters.ssrc_changes
    cdef uint32_t missed
    cdef int32_t n
    if not follow_source(leg, header, now_ns):
        leg.counters.dropped[DROP_SSRC] += 1
        return
    if leg.counters.ssrc_changes != changes:
        codec_reset_decoder(&leg.codec, carries)
        playout_restart(&leg.playout)
    missed = <uint16_t>(header.sequence - leg.source.max_sequence)
    sequence = source_sequence(&leg.source, header.sequence)
    if sequence == SEQUENCE_JUMP:
        leg.counters.dropped[DROP_SEQUENCE] += 1
        return
    if header.payload_length == 0:
        return  # it keeps a NAT open
    if sequence == SEQUENCE_OK:
        if missed > 1:
            burst_lost(&leg.bursts, missed - 1)
        burst_received(&leg.bursts)
    leg.counters.lost = source_lost(&leg.source)
    if carries == CARRIES_COMFORT_NOISE:
        # RFC 3389: it fills a pause. To the detector a pause is one; who listens hears the noise.
        playout_noise(&leg.playout, payload, header.payload_length)
        return
    timestamp = _samples_time(leg, header.timestamp, codec_timestamp_divisor(carries))
    source_arrival(&leg.source, <uint32_t>(now_ns // SAMPLE_NS), timestamp)
    n = codec_decode(&leg.codec, carries, payload, header.payload_length, samples, MAX_SAMPLES)
    if n <= 0:
        leg.counters.dropped[
            DROP_OVERFLOW if codec_samples(carries, header.payload_length) > MAX_SAMPLES else DROP_PAYLOAD
        ] += 1
        return
    verdict = jitter_put(&leg.jitter, timestamp, header.marker != 0, sequence != SEQUENCE_OLD, samples, n)
    if verdict == JITTER_JUMP:
        leg.counters.dropped[DROP_JUMP] += 1
    elif verdict == JITTER_OVERFLOW:
        leg.counters.dropped[DROP_OVERFLOW] += 1
    elif verdict == JITTER_LATE:
        burst_discarded(&leg.bursts, 1)
    memset(samples, 0, n * sizeof(int16_t))


cdef void _redundant(
    LegState* leg, TickContext* context, const RtpHeader* header, const uint8_t* payload, int64_t now_ns
) noexcept nogil:
    """Take a packet of RFC 2198: every block of a telephone-event, the older first; of audio the newest only."""
    cdef RedundantBlock blocks[REDUNDANCY_MAX_BLOCKS]
    cdef RtpHeader inner
    cdef int n = redundancy_parse(payload, header.payload_length, header.timestamp, blocks)
    cdef int i
    cdef int32_t carries
    if n == 0:
        leg.counters.dropped[DROP_PAYLOAD] += 1
    for i in range(n):
        carries = leg.config.carries[blocks[i].payload_type]
        inner = header[0]
        inner.timestamp = blocks[i].timestamp
        inner.payload_type = blocks[i].payload_type
        inner.payload_length = blocks[i].length
        if carries == CARRIES_EVENT and blocks[i].length:
            _telephone_event(
                leg, context, &inner, payload + blocks[i].offset, blocks[i].length, blocks[i].primary, now_ns
            )
        elif blocks[i].primary and carries != CARRIES_EVENT and carries != CARRIES_REDUNDANCY:
            if carries == CARRIES_NOTHING:
                leg.counters.dropped[DROP_PAYLOAD_TYPE] += 1
            else:
                _audio(leg, &inner, payload + blocks[i].offset, carries, now_ns)


cdef void _refused(LegState* leg, int fault) noexcept nogil:
    """Count a packet that SRTP does not let through; one too short for a tag is as little authentic as one forged."""
    leg.counters.dropped[DROP_REPLAY if fault == SRTP_REPLAY else DROP_AUTHENTICATION] += 1


cdef void _rtcp(LegState* leg, uint8_t* data, int n, const Address* source, int64_t now_ns) noexcept nogil:
    cdef RtcpSummary summary
    cdef int64_t wall_ns
    cdef int64_t round_trip_ns
    if not rtcp_from_our_peer(leg, source):
        leg.counters.dropped[DROP_SOURCE] += 1
        return
    if leg.srtp != NULL:
        n = srtcp_unprotect_packet(leg.srtp, data, n)
        if n < 0:
            _refused(leg, n)
            return
    if not rtcp_parse(data, n, leg.ssrc, &summary):
        leg.counters.dropped[DROP_RTCP_MALFORMED] += 1
        return
    if not leg.config.rtcp_mux and not same_address(source, &leg.latched):
        # From the RTP port it tells nothing of where the peer wants RTCP.
        leg.latched_rtcp = source[0]
        leg.is_rtcp_latched = True
    leg.counters.rtcp_in += 1
    if summary.bye and (not leg.source.valid or rtcp_is_leaving(&summary, leg.source.ssrc)):
        leg.counters.peer_bye = True
    if summary.has_sender_info and leg.source.valid and summary.ssrc == leg.source.ssrc:
        # RFC 3550 §6.4.1, LSR.
        leg.last_sr = ntp_middle(summary.sender.ntp_seconds, summary.sender.ntp_fraction)
        leg.last_sr_ns = now_ns
    if summary.has_reception:
        leg.counters.peer_fraction_lost = summary.reception.fraction_lost
        leg.counters.peer_lost = summary.reception.lost
        leg.counters.peer_jitter = summary.reception.jitter
        wall_ns = realtime_ns()
        round_trip_ns = rtcp_round_trip(
            ntp_middle(ntp_seconds(wall_ns), ntp_fraction(wall_ns)),
            summary.reception.last_sr,
            summary.reception.delay_since_sr,
        )
        if round_trip_ns >= 0:
            leg.round_trip_ns = round_trip_ns


cdef void _datagram(
    LegState* leg, TickContext* context, uint8_t* data, int n, const Address* source, int64_t now_ns
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
    if leg.srtp != NULL:
        # Before the address is looked at: only what is authentic may become our peer.
        n = srtp_unprotect_packet(leg.srtp, data, n)
        if n < 0:
            _refused(leg, n)
            return
        if rtp_parse(data, n, &header) != PACKET_OK:
            leg.counters.dropped[DROP_MALFORMED] += 1
            return
    if not from_our_peer(leg, source, &header, now_ns):
        leg.counters.dropped[DROP_SOURCE] += 1
        return
    if header.ssrc == leg.ssrc:
        # Two of the same, or our own packets that come back (RFC 3550 §8.2).
        leg.counters.dropped[DROP_OWN_SSRC] += 1
        if collision_check(
            &leg.collisions, leg.ssrc, header.ssrc, <const uint8_t*>source, sizeof(Address), now_ns
        ) == COLLISION_NEW:
            leg_new_ssrc(leg, context, now_ns)
        return
    leg.heard_ns = now_ns
    leg.silence_reported = False
    leg.unreachable_reported = False
    leg.counters.packets_in += 1
    leg.counters.octets_in += header.payload_length
    if not leg.config.receiving:
        leg.counters.dropped[DROP_NOT_RECEIVING] += 1
    elif carries == CARRIES_EVENT:
        _telephone_event(leg, context, &header, data + header.payload_offset, header.payload_length, True, now_ns)
    elif carries == CARRIES_REDUNDANCY:
        _redundant(leg, context, &header, data + header.payload_offset, now_ns)
    else:
        _audio(leg, &header, data + header.payload_offset, carries, now_ns)


cdef void _drain(LegState* leg, TickContext* context, int fd, bint rtcp, int batches, int64_t now_ns) noexcept nogil:
    cdef Address source
    cdef int i
    cdef int n = 0
    cdef int n_read
    for n_read in range(batches):
        n = batch_receive(fd, &context.batch)
        if n < 0:
            take_socket_errors(leg, context, fd, now_ns)
            continue
        for i in range(n):
            if not leg.configured:
                leg.counters.dropped[DROP_NOT_CONFIGURED] += 1
            else:
                batch_from(&context.batch, i, &source)
                if rtcp:
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
    if n == BATCH and not rtcp:
        leg.flooded_ns = now_ns


cdef void receive_rtp(LegState* leg, TickContext* context, int64_t now_ns) noexcept nogil:
    """Take what came to the RTP port since the last tick."""
    cdef EventReport reports[EVENT_REPORTS]
    _drain(leg, context, leg.rtp_fd, False, MAX_BATCHES, now_ns)
    if leg.events_open and leg.configured:
        _reports(leg, context, reports, event_poll(&leg.events, now_ns, reports))
        # Until the receiver has forgotten the last key, nothing of it may stay.
        leg.events_open = now_ns - leg.event_packet_ns <= 2 * EVENT_MEMORY_NS


cdef void receive_rtcp(LegState* leg, TickContext* context, int64_t now_ns) noexcept nogil:
    """Take what came to the RTCP port; there is little of it."""
    _drain(leg, context, leg.rtcp_fd, True, 1, now_ns)
