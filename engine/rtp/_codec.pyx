# cython: boundscheck=False, wraparound=False, cdivision=True
# Safe without checks: each codec's loop runs over n after n, and what comes of it, were held against `max`.
"""One front for every codec of a leg.

The plane works at 8 kHz; each codec is decoded to that and encoded from it. PCMU, PCMA and L16 have no state. G.722's
lies in the leg itself, and only a G.722 leg touches it; Opus's is made by Python, before the leg asks for it.

A stream may change its codec in the middle, by a re-INVITE or by another negotiated payload type (RFC 3264 §8.3). Each
codec begins at silence, so the change would click; therefore the last sample before it fades out over 5 ms while what
follows fades in. What we send ourselves is not faded: it is the far end's decoder that begins anew.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int16_t, int32_t, uint8_t
from libc.string cimport memset

from dsp._g711 cimport alaw_decode, alaw_encode, ulaw_decode, ulaw_encode
from dsp._g722 cimport (
    g722_decode_8k,
    g722_decoder_init,
    g722_encode_8k,
    g722_encoder_init,
)
from engine.rtp._opus cimport (
    OPUS_MAX_SAMPLES,
    OpusPair,
    opus_decode_8k,
    opus_encode_8k,
    opus_restart_decoder,
    opus_restart_encoder,
)

import numpy as np

NONE = CODEC_NONE
PCMU = CODEC_PCMU
PCMA = CODEC_PCMA
G722 = CODEC_G722
L16 = CODEC_L16
OPUS = CODEC_OPUS
JOIN = CODEC_JOIN
STATE_SIZE = sizeof(CodecState)

cdef enum:
    OPUS_AHEAD = 52             # 6.5 ms: what libopus looks ahead when it codes voice
    MAX_PAYLOAD = 1 << 16       # no datagram is longer
    MAX_SAMPLES = 1 << 20       # of the Python front: its buffers stay small


cdef bint codec_known(int kind) noexcept nogil:
    return kind == CODEC_PCMU or kind == CODEC_PCMA or CODEC_G722 <= kind <= CODEC_OPUS


cdef int32_t codec_clock(int kind) noexcept nogil:
    return 8000 * codec_timestamp_divisor(kind) if codec_known(kind) else 0


cdef int32_t codec_timestamp_divisor(int kind) noexcept nogil:
    return 6 if kind == CODEC_OPUS else 1


cdef int32_t codec_samples(int kind, int32_t n) noexcept nogil:
    if not codec_known(kind) or n < 0:
        return -1
    if kind == CODEC_L16:
        return -1 if n & 1 else n >> 1
    if kind == CODEC_OPUS:
        return OPUS_MAX_SAMPLES if n else 0
    return n


cdef void codec_init(CodecState* state) noexcept nogil:
    memset(state, 0, sizeof(CodecState))
    g722_decoder_init(&state.g722_decoder)
    g722_encoder_init(&state.g722_encoder)


cdef void codec_reset_decoder(CodecState* state, int kind) noexcept nogil:
    if kind == CODEC_NONE:
        state.decoding = CODEC_NONE
        state.joining = 0
        state.held = 0
        state.last = 0
    if kind == CODEC_NONE or kind == CODEC_G722:
        g722_decoder_init(&state.g722_decoder)
    if (kind == CODEC_NONE or kind == CODEC_OPUS) and state.opus_decoder != NULL:
        opus_restart_decoder(state.opus_decoder)


cdef void codec_reset_encoder(CodecState* state, int kind) noexcept nogil:
    if kind == CODEC_NONE:
        state.encoding = CODEC_NONE
    if kind == CODEC_NONE or kind == CODEC_G722:
        g722_encoder_init(&state.g722_encoder)
    if (kind == CODEC_NONE or kind == CODEC_OPUS) and state.opus_encoder != NULL:
        opus_restart_encoder(state.opus_encoder)


cdef void codec_wipe(CodecState* state) noexcept nogil:
    codec_reset_decoder(state, CODEC_NONE)
    codec_reset_encoder(state, CODEC_NONE)


cdef int32_t _ahead(int kind) noexcept nogil:
    """Samples of nothing that a new decoder gives before its first audio comes."""
    return OPUS_AHEAD if kind == CODEC_OPUS else 0


cdef void _join(CodecState* state, int16_t* samples, int32_t n) noexcept nogil:
    """Fade the held sample out and `samples` in, from where the payload before left off."""
    cdef int32_t ahead = _ahead(state.decoding)
    cdef int32_t at = CODEC_JOIN + ahead - state.joining
    cdef int32_t i
    cdef int32_t old
    cdef int32_t new
    n = min(n, state.joining)
    state.joining -= n
    for i in range(n):
        at += 1
        old = max(<int32_t>0, CODEC_JOIN - at)
        new = max(<int32_t>0, at - ahead)
        # Both weights are JOIN together, or less: it cannot overflow.
        samples[i] = <int16_t>((state.held * old + samples[i] * new) // CODEC_JOIN)


cdef int32_t codec_decode(
    CodecState* state, int kind, const uint8_t* payload, int32_t n, int16_t* out, int32_t max
) noexcept nogil:
    cdef int32_t done = codec_samples(kind, n)
    cdef int32_t i
    cdef bint changed = kind != state.decoding
    if done <= 0:
        return done
    if kind == CODEC_OPUS:
        if state.opus_decoder == NULL:
            return -1
        if changed:
            opus_restart_decoder(state.opus_decoder)
        done = opus_decode_8k(state.opus_decoder, payload, n, out, max)
        if done <= 0:
            return -1
    elif done > max:
        return -1
    elif kind == CODEC_PCMU:
        ulaw_decode(payload, out, n)
    elif kind == CODEC_PCMA:
        alaw_decode(payload, out, n)
    elif kind == CODEC_L16:
        # RFC 3551 §4.5.11: two's complement, network byte order.
        for i in range(done):
            out[i] = <int16_t>((payload[2 * i] << 8) | payload[2 * i + 1])
    else:
        if changed:
            g722_decoder_init(&state.g722_decoder)
        g722_decode_8k(&state.g722_decoder, payload, n, out)
    if changed:
        if state.decoding != CODEC_NONE:
            state.held = state.last
            state.joining = CODEC_JOIN + _ahead(kind)
        state.decoding = kind
    if state.joining:
        _join(state, out, done)
    state.last = out[done - 1]
    return done


cdef int32_t codec_encode(
    CodecState* state, int kind, const int16_t* samples, int32_t n, uint8_t* out, int32_t max
) noexcept nogil:
    cdef bint changed = kind != state.encoding
    cdef int32_t i
    if not codec_known(kind) or n < 0:
        return -1
    if n == 0:
        return 0
    if kind == CODEC_OPUS:
        if state.opus_encoder == NULL:
            return -1
        if changed:
            opus_restart_encoder(state.opus_encoder)
        n = opus_encode_8k(state.opus_encoder, samples, n, out, max)
        if n < 0:
            return -1
    elif n > max or (kind == CODEC_L16 and n > max >> 1):
        return -1
    elif kind == CODEC_PCMU:
        ulaw_encode(samples, out, n)
    elif kind == CODEC_PCMA:
        alaw_encode(samples, out, n)
    elif kind == CODEC_L16:
        for i in range(n):
            out[2 * i] = <uint8_t>(samples[i] >> 8)
            out[2 * i + 1] = <uint8_t>(samples[i] & 0xFF)
        n = 2 * n
    else:
        if changed:
            g722_encoder_init(&state.g722_encoder)
        g722_encode_8k(&state.g722_encoder, samples, n, out)
    state.encoding = kind
    return n


def clock_hz(int kind):
    """Return the RTP clock of a codec; 0 for what is none."""
    return codec_clock(kind)


def timestamp_divisor(int kind):
    """Return the units of RTP time in a sample at 8 kHz."""
    return codec_timestamp_divisor(kind)


@cython.auto_pickle(False)
@cython.final
cdef class Codec:
    """Decoder and encoder of one leg; with an `OpusPair` they know Opus too."""

    def __cinit__(self, OpusPair opus=None):
        codec_init(&self.state)
        self._opus = opus
        if opus is not None:
            self.state.opus_decoder = opus.decoder
            self.state.opus_encoder = opus.encoder

    def __dealloc__(self):
        # An OpusPair wipes its own; it may be gone by now.
        memset(&self.state, 0, sizeof(self.state))

    def decode(self, int kind, const uint8_t[::1] payload not None, int max=1920):
        """Return samples at 8 kHz, or None: malformed, more than `max`, or no such codec."""
        cdef int32_t done
        cdef int16_t[::1] view
        cdef uint8_t nothing = 0
        if payload.shape[0] > MAX_PAYLOAD or not 0 < max <= MAX_SAMPLES:
            return None
        out = np.zeros(max, dtype=np.int16)
        view = out
        done = codec_decode(
            &self.state, kind, &payload[0] if payload.shape[0] else &nothing, <int32_t>payload.shape[0], &view[0], max
        )
        return None if done < 0 else out[:done]

    def encode(self, int kind, const int16_t[::1] samples not None, int max=4096):
        """Return a payload, or None: more than `max` bytes, no such codec, or not a frame that Opus codes."""
        cdef int32_t done
        cdef bytes out
        cdef int16_t nothing = 0
        if not 0 < max <= MAX_SAMPLES or samples.shape[0] > MAX_SAMPLES:
            return None
        out = PyBytes_FromStringAndSize(NULL, max)
        done = codec_encode(
            &self.state,
            kind,
            &samples[0] if samples.shape[0] else &nothing,
            <int32_t>samples.shape[0],
            <uint8_t*>PyBytes_AS_STRING(out),
            max,
        )
        return None if done < 0 else out[:done]

    def reset_decoder(self, int kind):
        """Begin a codec anew; `NONE` forgets everything."""
        codec_reset_decoder(&self.state, kind)

    def reset_encoder(self, int kind):
        """Begin a codec anew; `NONE` forgets everything."""
        codec_reset_encoder(&self.state, kind)
