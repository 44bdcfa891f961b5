"""Keys that we press: a queue of them, each sent as RFC 4733 event or as tones in the audio.

A telephone-event's packets replace the audio while it lasts; tones are mixed into it.

Nothing here allocates, waits or touches a Python object.
"""

from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint32_t
from libc.string cimport memset

from dsp._oscillator cimport dtmf_tone_fill, dtmf_tone_start
from engine.media._leg cimport MAX_KEYS, TICK_SAMPLES, LegState
from engine.media._transmit cimport transmit_rtp
from engine.rtp._event_sender cimport (
    SENDER_DONE,
    SENDER_MARKER,
    SENDER_PACKET,
    event_sender_start,
    event_sender_step,
)
from engine.rtp._telephone_event cimport EVENT_PAYLOAD_SIZE

cdef enum:
    EVENT_VOLUME = 10           # -10 dBm0: what most peers send, and well inside RFC 4733 §2.3's 0 to -36
    TONE_RAMP = 16              # 2 ms: no click, and no loss of a 40 ms key
    END_TICKS = 2               # the repeated end packets, in ticks: they are part of the pause

# Per tone; what telephones send (ITU-T Q.23 leaves it to networks), and 16 dB above the limit of Q.24's receivers.
cdef double TONE_DBM0 = -9.0


cdef bint keys_push(LegState* leg, uint8_t code, bint in_band, int32_t on_samples, int32_t off_samples) noexcept nogil:
    """Queue one key; returns False when MAX_KEYS wait."""
    cdef int32_t index
    if leg.n_keys >= MAX_KEYS:
        return False
    index = (leg.key_first + leg.n_keys) % MAX_KEYS
    leg.keys[index] = code
    leg.key_in_band[index] = in_band
    leg.key_on[index] = on_samples
    leg.key_off[index] = off_samples
    leg.n_keys += 1
    leg.is_keying = True
    return True


cdef uint32_t _event_units(const LegState* leg, int32_t samples) noexcept nogil:
    """Samples at 8 kHz in the clock of the telephone-event payload type."""
    return <uint32_t>(<int64_t>samples * leg.config.event_rate_hz // 8000)


cdef uint32_t _event_timestamp(const LegState* leg) noexcept nogil:
    """The leg's time in the clock of the telephone-event payload type."""
    return leg.timestamp * <uint32_t>(leg.config.event_rate_hz // 8000)


cdef void _next(LegState* leg) noexcept nogil:
    """Take the next key off the queue and begin it."""
    cdef int32_t index = leg.key_first
    leg.key_first = (leg.key_first + 1) % MAX_KEYS
    leg.n_keys -= 1
    leg.key_pause = leg.key_off[index]
    if leg.key_in_band[index]:
        dtmf_tone_start(&leg.tone, leg.keys[index], TONE_DBM0, leg.key_on[index], TONE_RAMP)
    else:
        leg.timestamp += leg.n_fifo
        leg.n_fifo = 0
        event_sender_start(
            &leg.sender, leg.keys[index], EVENT_VOLUME, _event_timestamp(leg), _event_units(leg, leg.key_on[index])
        )
    leg.keys[index] = 0


cdef void keys_mix(LegState* leg, int16_t* out) noexcept nogil:
    """Mix TICK_SAMPLES of keyed tones into `out`."""
    cdef int32_t at = 0
    cdef int32_t n
    while at < TICK_SAMPLES:
        if leg.tone.left > 0:
            n = dtmf_tone_fill(&leg.tone, out + at, TICK_SAMPLES - at)
            if n <= 0:
                break
        elif leg.key_pause > 0:
            n = min(leg.key_pause, <int32_t>(TICK_SAMPLES - at))
            leg.key_pause -= n
        elif leg.n_keys and leg.key_in_band[leg.key_first]:
            _next(leg)
            continue
        else:
            break
        at += n


cdef void keys_rest(LegState* leg) noexcept nogil:
    """See whether anything is left to key."""
    leg.is_keying = leg.sender.active or leg.tone.left > 0 or leg.key_pause > 0 or leg.n_keys > 0


cdef bint keys_send(LegState* leg) noexcept nogil:
    """Send the telephone-event's packet of this tick; returns whether one took the place of audio."""
    cdef uint8_t payload[EVENT_PAYLOAD_SIZE]
    cdef uint32_t timestamp = 0
    cdef int flags
    if not leg.sender.active:
        if leg.tone.left > 0 or leg.n_keys == 0 or leg.key_in_band[leg.key_first]:
            return False
        if leg.key_pause > 0:
            leg.key_pause -= TICK_SAMPLES
            return False
        _next(leg)
    flags = event_sender_step(&leg.sender, _event_units(leg, TICK_SAMPLES), payload, &timestamp)
    if flags & SENDER_PACKET and leg.config.sending and leg.config.event_send_pt >= 0:
        transmit_rtp(
            leg,
            <uint8_t>leg.config.event_send_pt,
            flags & SENDER_MARKER != 0,
            timestamp,
            payload,
            EVENT_PAYLOAD_SIZE,
        )
    if flags & SENDER_DONE:
        leg.key_pause = max(<int32_t>0, leg.key_pause - END_TICKS * TICK_SAMPLES)
        memset(&leg.sender, 0, sizeof(leg.sender))
    leg.timestamp += TICK_SAMPLES
    memset(payload, 0, sizeof(payload))
    return True
