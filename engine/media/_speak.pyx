"""The speaking half of a leg's tick: one frame out of player, other leg and keys, and the packets that are full.

Each tick makes 160 samples. Where only a prompt plays they are bytes of its G.711 as they lie in memory; where something
is mixed, made softer, recorded or sent in another codec they are samples. They wait in a small queue until a packet of
the peer's ptime is full. While a telephone-event is sent its packets replace the audio, and timestamps run on.

Nothing here allocates, waits or touches a Python object.
"""

from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint32_t
from libc.string cimport memcpy, memmove, memset

from dsp._g711 cimport alaw_decode, alaw_encode, ulaw_decode, ulaw_encode
from engine.media._bridge cimport bridge_mix
from engine.media._keys cimport keys_mix, keys_rest, keys_send
from engine.media._leg cimport (
    CARRIES_PCMA,
    CARRIES_PCMU,
    FIFO_SAMPLES,
    GAIN_ONE,
    SILENCE_PCMA,
    SILENCE_PCMU,
    TICK_SAMPLES,
    LegState,
    TickContext,
)
from engine.media._player cimport player_fill, scale
from engine.media._recorder cimport recorder_push, recorder_skip
from engine.media._report cimport leg_report
from engine.media._room cimport room_mix
from engine.media._transmit cimport MAX_PAYLOAD, transmit_rtp
from engine.rtp._codec cimport codec_encode


cdef void _decode(int32_t codec, const uint8_t* source, int16_t* out, int32_t n) noexcept nogil:
    if codec == CARRIES_PCMA:
        alaw_decode(source, out, n)
    else:
        ulaw_decode(source, out, n)


cdef void _encode(int32_t codec, const int16_t* source, uint8_t* out, int32_t n) noexcept nogil:
    if codec == CARRIES_PCMA:
        alaw_encode(source, out, n)
    else:
        ulaw_encode(source, out, n)


cdef bint _is_g711(int32_t codec) noexcept nogil:
    return codec == CARRIES_PCMU or codec == CARRIES_PCMA


cdef int32_t _width(int32_t codec) noexcept nogil:
    """Bytes that a sample takes in the queue."""
    return 1 if _is_g711(codec) else 2


cdef bint _make_frame(
    LegState* leg, TickContext* context, bint with_keys, uint8_t* out, int16_t* samples
) noexcept nogil:
    """Make TICK_SAMPLES: bytes of the leg's G.711 in `out`, or samples. Returns whether they are samples."""
    cdef int32_t codec = leg.config.codec
    cdef bint has_played = leg.playlist != NULL
    cdef int32_t gain = leg.playlist.gain if has_played else GAIN_ONE
    cdef bint linear = (
        not _is_g711(codec) or gain != GAIN_ONE or leg.other != NULL or leg.room != NULL or with_keys
    )
    if has_played:
        # It may end in this call: `leg.playlist` is not to be read after it.
        player_fill(leg, context, codec == CARRIES_PCMA, out)
    elif not linear:
        memset(out, SILENCE_PCMA if codec == CARRIES_PCMA else SILENCE_PCMU, TICK_SAMPLES)
    if not linear:
        return False
    if has_played:
        _decode(codec, out, samples, TICK_SAMPLES)
        if gain != GAIN_ONE:
            scale(samples, TICK_SAMPLES, gain)
    else:
        memset(samples, 0, TICK_SAMPLES * sizeof(int16_t))
    bridge_mix(leg, samples)
    if leg.room != NULL:
        room_mix(leg, samples)
    if with_keys:
        keys_mix(leg, samples)
    return True


cdef void _queue(LegState* leg, const uint8_t* bytes_, const int16_t* samples, bint linear) noexcept nogil:
    """Put one frame behind what waits."""
    cdef int32_t codec = leg.config.codec
    if not _is_g711(codec):
        memcpy(leg.fifo + 2 * leg.n_fifo, samples, TICK_SAMPLES * sizeof(int16_t))
    elif linear:
        _encode(codec, samples, leg.fifo + leg.n_fifo, TICK_SAMPLES)
    else:
        memcpy(leg.fifo + leg.n_fifo, bytes_, TICK_SAMPLES)
    leg.n_fifo += TICK_SAMPLES


cdef void _send_packet(LegState* leg) noexcept nogil:
    """Send what is at the head of the queue."""
    cdef uint8_t coded[MAX_PAYLOAD]
    cdef uint8_t* payload = leg.fifo
    cdef int32_t n = leg.config.packet
    if not _is_g711(leg.config.codec):
        n = codec_encode(&leg.codec, leg.config.codec, <int16_t*>leg.fifo, n, coded, MAX_PAYLOAD)
        payload = coded
    if n < 0:
        leg.counters.send_failed += 1
        return
    transmit_rtp(
        leg, <uint8_t>leg.config.send_pt, leg.marker, leg.timestamp * <uint32_t>leg.config.units, payload, n
    )
    if payload == coded:
        memset(coded, 0, n)


cdef void _flush(LegState* leg) noexcept nogil:
    """Send the packets that are full, or let their time pass where we may not send."""
    cdef int32_t width = _width(leg.config.codec)
    cdef int32_t packet = leg.config.packet
    while leg.n_fifo >= packet:
        if leg.config.sending:
            _send_packet(leg)
            leg.marker = False
        else:
            leg.marker = True
        leg.timestamp += packet
        leg.n_fifo -= packet
        if leg.n_fifo:
            memmove(leg.fifo, leg.fifo + packet * width, leg.n_fifo * width)


cdef void leg_speak(LegState* leg, TickContext* context, int64_t now_ns) noexcept nogil:
    """Make the samples of one tick, and send the packets that are full."""
    cdef uint8_t bytes_[TICK_SAMPLES]
    cdef int16_t samples[TICK_SAMPLES]
    cdef bint linear
    if not leg.configured:
        leg.skipped = context.skipped
        return
    if leg.skipped != context.skipped:
        if leg.recorder != NULL:
            recorder_skip(leg.recorder, <uint32_t>(context.skipped - leg.skipped))
        # The thread lost whole cycles: the timestamp tells the time, so it jumps, and the marker says that it did.
        leg.timestamp += <uint32_t>((context.skipped - leg.skipped) * TICK_SAMPLES)
        leg.skipped = context.skipped
        leg.marker = True
    if leg.is_keying and keys_send(leg):
        # What would have been heard in this tick is not: the prompt runs on under the key.
        linear = _make_frame(leg, context, False, bytes_, samples)
    else:
        linear = _make_frame(leg, context, leg.is_keying, bytes_, samples)
        _queue(leg, bytes_, samples, linear)
    if leg.recorder != NULL:
        if not linear:
            _decode(leg.config.codec, bytes_, samples, TICK_SAMPLES)
            linear = True
        recorder_push(leg.recorder, leg.heard if leg.has_heard else NULL, samples)
    if linear:
        memset(samples, 0, sizeof(samples))
    if leg.is_keying:
        keys_rest(leg)
    _flush(leg)
    if now_ns >= leg.report_at_ns:
        leg_report(leg, context, now_ns, False)


cdef void speak_recode(LegState* leg, int32_t codec) noexcept nogil:
    """Turn what waits to be sent into another codec: nothing of it is lost, so nothing clicks."""
    cdef int16_t samples[FIFO_SAMPLES]
    cdef int32_t n = min(leg.n_fifo, <int32_t>FIFO_SAMPLES)
    if _is_g711(leg.config.codec):
        _decode(leg.config.codec, leg.fifo, samples, n)
    else:
        memcpy(samples, leg.fifo, n * sizeof(int16_t))
    if _is_g711(codec):
        _encode(codec, samples, leg.fifo, n)
    else:
        memcpy(leg.fifo, samples, n * sizeof(int16_t))
    memset(samples, 0, sizeof(samples))
