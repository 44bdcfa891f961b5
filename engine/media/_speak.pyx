"""The speaking half of a leg's tick: player, keys, packets, RTCP.

Each tick makes 160 samples, already in the leg's codec: of the playlist, of keyed tones, of both mixed, or silence.
They wait in a small queue until a packet of the peer's ptime is full. While a telephone-event is sent its packets
replace the audio, and timestamps run on.

Nothing here allocates, waits or touches a Python object.
"""

from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint32_t
from libc.string cimport memcpy, memset

from dsp._oscillator cimport dtmf_tone_fill, dtmf_tone_start
from dsp._g711 cimport alaw_decode, alaw_encode, ulaw_decode, ulaw_encode
from engine.media._leg cimport (
    CARRIES_PCMU,
    FIFO_SIZE,
    MAX_KEYS,
    TICK_SAMPLES,
    LegState,
    Playlist,
    TickContext,
    playlist_end,
)
from engine.media._system cimport Address, realtime_ns, send_datagram
from engine.rtp._event_sender cimport (
    SENDER_DONE,
    SENDER_MARKER,
    SENDER_PACKET,
    event_sender_start,
    event_sender_step,
)
from engine.rtp._packet cimport RTP_HEADER_SIZE, rtp_build
from engine.rtp._rtcp cimport RTCP_MAX_REPORT, ReceptionReport, SenderInfo, rtcp_build
from engine.rtp._source cimport source_extended, source_fraction, source_lost
from engine.rtp._telephone_event cimport EVENT_PAYLOAD_SIZE

cdef enum:
    SILENCE_PCMU = 0xFF
    SILENCE_PCMA = 0xD5
    EVENT_VOLUME = 10           # -10 dBm0: what most peers send, and well inside RFC 4733 §2.3's 0 to -36
    TONE_RAMP = 16              # 2 ms: no click, and no loss of a 40 ms key
    END_TICKS = 2               # the repeated end packets, in ticks: they are part of the pause
    RTCP_INTERVAL_S = 5         # RFC 3550 §6.2
    NTP_EPOCH_S = 2208988800    # from 1900 to 1970 (§4)

# Per tone; what telephones send (ITU-T Q.23 leaves it to networks), and 16 dB above the limit of Q.24's receivers.
cdef double TONE_DBM0 = -9.0


cdef uint8_t _silence(const LegState* leg) noexcept nogil:
    return SILENCE_PCMU if leg.config.codec == CARRIES_PCMU else SILENCE_PCMA


cdef void _play(LegState* leg, TickContext* context, uint8_t* out) noexcept nogil:
    """Write TICK_SAMPLES bytes of the playlist; end it when its last sample was written."""
    cdef Playlist* playlist = leg.playlist
    cdef const uint8_t* source
    cdef int32_t at = 0
    cdef int32_t n
    cdef int32_t empty = 0
    while at < TICK_SAMPLES:
        if playlist.gap_left:
            n = min(playlist.gap_left, <int32_t>(TICK_SAMPLES - at))
            memset(out + at, _silence(leg), n)
            playlist.gap_left -= n
            at += n
            continue
        if playlist.clip >= playlist.n_clips:
            # A loop of clips without a sample would never leave this tick.
            if not playlist.loop or empty > playlist.n_clips or playlist.n_clips == 0:
                memset(out + at, _silence(leg), TICK_SAMPLES - at)
                playlist_end(leg, context, True, False)
                return
            playlist.clip = 0
            playlist.gap_left = playlist.gap
            continue
        n = min(playlist.clips[playlist.clip].n - playlist.offset, <int32_t>(TICK_SAMPLES - at))
        if leg.config.codec == CARRIES_PCMU:
            source = playlist.clips[playlist.clip].pcmu
        else:
            source = playlist.clips[playlist.clip].pcma
        memcpy(out + at, source + playlist.offset, n)
        playlist.offset += n
        at += n
        empty = 0 if n else empty + 1
        if playlist.offset >= playlist.clips[playlist.clip].n:
            playlist.offset = 0
            playlist.clip += 1
            if playlist.clip < playlist.n_clips:
                playlist.gap_left = playlist.gap
    if playlist.clip >= playlist.n_clips and not playlist.loop:
        playlist_end(leg, context, True, False)


cdef void _next_key(LegState* leg) noexcept nogil:
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
            &leg.sender, leg.keys[index], EVENT_VOLUME, leg.timestamp, _event_units(leg, leg.key_on[index])
        )
    leg.keys[index] = 0


cdef uint32_t _event_units(const LegState* leg, int32_t samples) noexcept nogil:
    """Samples at 8 kHz in the clock of the telephone-event payload type."""
    return <uint32_t>(<int64_t>samples * leg.config.event_rate_hz // 8000)


cdef bint _key_tones(LegState* leg, int16_t* out) noexcept nogil:
    """Mix TICK_SAMPLES of keyed tones into `out`; returns whether there was any tone."""
    cdef int32_t at = 0
    cdef int32_t n
    cdef bint heard = False
    while at < TICK_SAMPLES:
        if leg.tone.left > 0:
            n = dtmf_tone_fill(&leg.tone, out + at, TICK_SAMPLES - at)
            heard = True
            if n <= 0:
                break
        elif leg.key_pause > 0:
            n = min(leg.key_pause, <int32_t>(TICK_SAMPLES - at))
            leg.key_pause -= n
        elif leg.n_keys and leg.key_in_band[leg.key_first]:
            _next_key(leg)
            continue
        else:
            break
        at += n
    return heard


cdef void _decode(const LegState* leg, const uint8_t* source, int16_t* out) noexcept nogil:
    if leg.config.codec == CARRIES_PCMU:
        ulaw_decode(source, out, TICK_SAMPLES)
    else:
        alaw_decode(source, out, TICK_SAMPLES)


cdef void _encode(const LegState* leg, const int16_t* source, uint8_t* out) noexcept nogil:
    if leg.config.codec == CARRIES_PCMU:
        ulaw_encode(source, out, TICK_SAMPLES)
    else:
        alaw_encode(source, out, TICK_SAMPLES)


cdef const Address* _destination(const LegState* leg) noexcept nogil:
    return &leg.latched if leg.is_latched else &leg.config.remote


cdef void _send(
    LegState* leg, uint8_t payload_type, bint marker, uint32_t timestamp, const uint8_t* payload, int32_t n
) noexcept nogil:
    """Send one packet; a datagram that the system refuses is counted, and its number is not used again."""
    cdef uint8_t packet[RTP_HEADER_SIZE + FIFO_SIZE]
    rtp_build(packet, payload_type, marker, leg.sequence, timestamp, leg.ssrc)
    memcpy(packet + RTP_HEADER_SIZE, payload, n)
    leg.sequence += 1
    if send_datagram(leg.rtp_fd, _destination(leg), packet, RTP_HEADER_SIZE + n):
        leg.counters.packets_out += 1
        leg.counters.octets_out += n
    else:
        leg.counters.send_failed += 1
    memset(packet, 0, RTP_HEADER_SIZE + n)


cdef bint _send_event(LegState* leg) noexcept nogil:
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
        _next_key(leg)
    flags = event_sender_step(&leg.sender, _event_units(leg, TICK_SAMPLES), payload, &timestamp)
    if flags & SENDER_PACKET and leg.config.sending and leg.config.event_send_pt >= 0:
        _send(
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


cdef bint leg_key(LegState* leg, uint8_t code, bint in_band, int32_t on_samples, int32_t off_samples) noexcept nogil:
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
    return True


cdef void leg_speak(LegState* leg, TickContext* context, int64_t now_ns) noexcept nogil:
    """Make the samples of one tick, and send the packets that are full."""
    cdef uint8_t* out
    cdef uint8_t dropped[TICK_SAMPLES]
    cdef int16_t samples[TICK_SAMPLES]
    cdef bint event
    if not leg.configured:
        return
    if leg.skipped != context.skipped:
        # The thread lost whole cycles: the timestamp tells the time, so it jumps, and the marker says that it did.
        leg.timestamp += <uint32_t>((context.skipped - leg.skipped) * TICK_SAMPLES)
        leg.skipped = context.skipped
        leg.marker = True
    event = _send_event(leg)
    out = &dropped[0] if event else &leg.fifo[leg.n_fifo]
    if leg.playlist != NULL:
        _play(leg, context, out)
    else:
        memset(out, _silence(leg), TICK_SAMPLES)
    if not event:
        if leg.tone.left > 0 or leg.key_pause > 0 or leg.n_keys:
            _decode(leg, out, samples)
            if _key_tones(leg, samples):
                _encode(leg, samples, out)
            memset(samples, 0, sizeof(samples))
        leg.n_fifo += TICK_SAMPLES
    while leg.n_fifo >= leg.config.packet:
        if leg.config.sending:
            _send(leg, <uint8_t>leg.config.send_pt, leg.marker, leg.timestamp, leg.fifo, leg.config.packet)
            leg.marker = False
        else:
            leg.marker = True
        leg.timestamp += leg.config.packet
        leg.n_fifo -= leg.config.packet
        _shift(leg.fifo, leg.config.packet, leg.n_fifo)
    if now_ns >= leg.report_at_ns:
        leg_report(leg, context, now_ns, False)


cdef void _shift(uint8_t* bytes_, int32_t by, int32_t n) noexcept nogil:
    cdef int32_t i
    for i in range(n):
        bytes_[i] = bytes_[i + by]


cdef void leg_report(LegState* leg, TickContext* context, int64_t now_ns, bint bye) noexcept nogil:
    """Send a compound RTCP packet (RFC 3550 §6.4), and choose when the next is due (§6.3.1)."""
    cdef uint8_t out[RTCP_MAX_REPORT]
    cdef SenderInfo sender
    cdef ReceptionReport reception
    cdef int64_t wall_ns = realtime_ns()
    cdef bint sent = leg.counters.packets_out != leg.packets_reported
    cdef int32_t n
    # A fixed recurrence is enough: §6.3.1 wants reports of many sessions apart, not secret.
    leg.random = leg.random * <uint32_t>1664525 + <uint32_t>1013904223
    leg.report_at_ns = now_ns + <int64_t>RTCP_INTERVAL_S * 500000000 + <int64_t>(
        (<int64_t>(leg.random >> 8) * (<int64_t>RTCP_INTERVAL_S * 1000000000)) >> 24
    )
    if not leg.configured or leg.config.remote_rtcp.port == 0:
        return
    if not leg.source.valid and leg.counters.packets_out == 0:
        # Nothing was said and nothing heard: RFC 3550 §6.3.7 has no BYE for it either.
        return
    sender.ntp_seconds = <uint32_t>(wall_ns // 1000000000 + <int64_t>NTP_EPOCH_S)
    sender.ntp_fraction = <uint32_t>(((wall_ns % 1000000000) << 32) // 1000000000)
    sender.timestamp = leg.timestamp
    sender.packets = <uint32_t>leg.counters.packets_out
    sender.octets = <uint32_t>leg.counters.octets_out
    if leg.source.valid:
        reception.ssrc = leg.source.ssrc
        reception.lost = source_lost(&leg.source)
        reception.fraction_lost = source_fraction(&leg.source)
        reception.extended_sequence = source_extended(&leg.source)
        reception.jitter = leg.source.jitter >> 4
        reception.last_sr = leg.last_sr
        reception.delay_since_sr = <uint32_t>(((now_ns - leg.last_sr_ns) << 16) // 1000000000) if leg.last_sr else 0
    leg.packets_reported = leg.counters.packets_out
    n = rtcp_build(
        out,
        leg.ssrc,
        &sender if sent else NULL,
        &reception if leg.source.valid else NULL,
        context.cname,
        context.n_cname,
        bye,
    )
    send_datagram(leg.rtcp_fd, &leg.config.remote_rtcp, out, n)
