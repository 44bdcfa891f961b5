"""The hearing half of a leg's tick: from what the socket brought to events, and to what others hear.

Per tick: take what came (``_receive``), then one frame of media time for the DTMF detector and the tap, and one frame
for those who hear this leg (``_bridge``).

Nothing here allocates, waits or touches a Python object.
"""

from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint64_t
from libc.string cimport memset

from dsp._dtmf cimport DTMF_END, DTMF_START, DtmfEvent, dtmf_init, dtmf_lost, dtmf_process
from engine.media._bridge cimport bridge_offer
from engine.media._digits cimport leg_digit, leg_digit_end
from engine.media._peer cimport same_address
from engine.media._receive cimport receive_rtcp, receive_rtp
from engine.media._speak cimport speak_recode
from engine.rtp._burst cimport burst_start
from engine.rtp._codec cimport codec_init
from engine.rtp._jitter cimport JITTER_AGAIN, JITTER_HELD, JitterFrame, jitter_depth, jitter_get, jitter_init
from engine.rtp._playout cimport playout_frame, playout_init, playout_restart, playout_take
from engine.rtp._telephone_event cimport event_receiver_init

cdef enum:
    RTCP_TICKS = 25             # look at the RTCP socket twice a second
    CATCH_UP_FRAMES = 4
    # Holds up to here are the network's; after them the detector is told that there is a gap.
    HELD_TICKS = 3
    MAX_DETECTOR_EVENTS = 12    # dtmf_max_events(TICK_SAMPLES)

cdef int64_t NS_PER_MS = 1000000


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
                leg_digit(
                    leg,
                    context,
                    SOURCE_IN_BAND,
                    found[i].digit,
                    pressed_ns,
                    max(found[i].low_dbm0, found[i].high_dbm0),
                    leg.mask.position - (leg.detector_samples - n - found[i].start),
                )
            elif found[i].kind == DTMF_END:
                leg_digit_end(
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
    if leg.is_listened_to:
        playout_frame(&leg.playout, samples, valid, frame.n, frame.flags)
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


cdef void _listen(LegState* leg) noexcept nogil:
    """See whether anybody hears this leg from this tick on; who begins hears nothing of before."""
    cdef bint listened_to = leg.other != NULL or leg.room != NULL or leg.is_masked or leg.recorder != NULL
    if listened_to and not leg.is_listened_to:
        playout_restart(&leg.playout)
    leg.is_listened_to = listened_to


cdef void leg_hear(LegState* leg, TickContext* context, int64_t now_ns) noexcept nogil:
    """Take what came since the last tick, and one frame of media time."""
    cdef MediaEvent event
    cdef JitterFrame frame
    cdef int16_t samples[TICK_SAMPLES]
    cdef uint8_t valid[TICK_SAMPLES]
    cdef int64_t concealed
    cdef int32_t made_up
    cdef int i
    receive_rtp(leg, context, now_ns)
    if (leg.ticks + <uint64_t>leg.id) % RTCP_TICKS == 0:
        receive_rtcp(leg, context, now_ns)
    if not leg.configured:
        return
    _listen(leg)
    concealed = leg.playout.concealed
    for i in range(CATCH_UP_FRAMES):
        frame = jitter_get(&leg.jitter, samples, valid)
        _frame(leg, context, &frame, samples, valid, now_ns)
        if not frame.flags & JITTER_AGAIN:
            break
    if leg.is_listened_to:
        playout_take(&leg.playout, samples)
        # What was made up in this tick is in this frame or still waits behind it.
        made_up = TICK_SAMPLES + leg.playout.n if leg.playout.concealed != concealed else 0
        bridge_offer(leg, samples, made_up)
    leg.counters.delay = jitter_depth(&leg.jitter)
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
        event.at_ns = now_ns
        event.duration_ms = <int32_t>min((now_ns - leg.heard_ns) // NS_PER_MS, <int64_t>0x7FFFFFFF)
        emit(context, leg, &event)


cdef void leg_configure(LegState* leg, TickContext* context, const LegConfig* config, int64_t now_ns) noexcept nogil:
    """Take what SDP agreed on, first or again; the stream and its counters go on where they can."""
    cdef bint moved = not leg.configured or not same_address(&leg.config.remote, &config.remote)
    cdef bint other_clock = not leg.configured or leg.config.event_rate_hz != config.event_rate_hz
    cdef MediaEvent event
    if not leg.configured:
        jitter_init(&leg.jitter)
        codec_init(&leg.codec)
        playout_init(&leg.playout)
        burst_start(&leg.bursts)
        dtmf_init(&leg.detector, &context.detector_params)
        leg.detector_samples = 0
        leg.round_trip_ns = -1
    if moved:
        leg.is_latched = False
        leg.is_rtcp_latched = False
        leg.unreachable_reported = False
    if moved or not config.negotiated_event:
        # Another far end, or one that no longer has events: its tones are digits until it sends an event.
        leg.event_heard = False
    if other_clock:
        event_receiver_init(&leg.events, config.event_rate_hz)
    if leg.configured and leg.config.codec != config.codec:
        speak_recode(leg, config.codec)
        # Timestamps in another clock begin anew.
        leg.marker = True
    leg.config = config[0]
    leg.srtp = config.srtp
    leg.codec.opus_decoder = config.opus_decoder
    leg.codec.opus_encoder = config.opus_encoder
    leg.heard_ns = now_ns
    leg.silence_reported = False
    leg.configured = True
    memset(&event, 0, sizeof(event))
    event.kind = EVENT_CONFIGURED
    event.playlist = config.serial
    emit(context, leg, &event)
