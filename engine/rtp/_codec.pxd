"""One front for every codec of a leg: payloads to 8 kHz samples and back, without the GIL."""

from libc.stdint cimport int16_t, int32_t, uint8_t

from dsp._g722 cimport G722Decoder, G722Encoder
from engine.rtp._opus cimport OpusPair


cdef enum:                      # what a payload carries; 3, 4 and 8 are events, comfort noise and RED to the leg
    CODEC_NONE = 0
    CODEC_PCMU = 1
    CODEC_PCMA = 2
    CODEC_G722 = 5
    CODEC_L16 = 6
    CODEC_OPUS = 7


cdef enum:
    CODEC_JOIN = 40             # samples, 5 ms: how long the audio before a change of codec fades out


# Decoder and encoder of one leg. A leg of PCMU, PCMA or L16 touches the first 16 bytes only.
cdef struct CodecState:
    int32_t decoding            # of the last payload
    int32_t encoding
    int32_t joining             # samples still to be joined
    int16_t held                # last sample before the change
    int16_t last                # last sample decoded
    void* opus_decoder          # lent by an OpusPair, or NULL
    void* opus_encoder
    G722Decoder g722_decoder
    G722Encoder g722_encoder


cdef bint codec_known(int kind) noexcept nogil
# Units of RTP time in a second (RFC 3551 §4.5.2: G.722 counts 8000; RFC 7587 §4.1: Opus counts 48000); 0: no codec.
cdef int32_t codec_clock(int kind) noexcept nogil
# Units of RTP time in a sample at 8 kHz.
cdef int32_t codec_timestamp_divisor(int kind) noexcept nogil
# Samples at 8 kHz in a payload of n bytes, or -1: malformed. For Opus, the most there can be.
cdef int32_t codec_samples(int kind, int32_t n) noexcept nogil
cdef void codec_init(CodecState* state) noexcept nogil
# Wipe all that was heard and said; the Opus handles stay where they are.
cdef void codec_wipe(CodecState* state) noexcept nogil
# Begin a codec anew, because the far end did: another SSRC. CODEC_NONE: forget everything, and join nothing.
cdef void codec_reset_decoder(CodecState* state, int kind) noexcept nogil
cdef void codec_reset_encoder(CodecState* state, int kind) noexcept nogil
# Samples at 8 kHz, 0 for an empty payload, or -1: malformed, more than `max`, or no such codec. A payload of another
# kind than the last begins its codec anew, and is joined to what was heard before.
cdef int32_t codec_decode(
    CodecState* state, int kind, const uint8_t* payload, int32_t n, int16_t* out, int32_t max
) noexcept nogil
# Bytes, or -1: more than `max`, no such codec, or a number of samples that Opus does not code.
cdef int32_t codec_encode(
    CodecState* state, int kind, const int16_t* samples, int32_t n, uint8_t* out, int32_t max
) noexcept nogil


cdef class Codec:
    cdef CodecState state
    cdef OpusPair _opus
