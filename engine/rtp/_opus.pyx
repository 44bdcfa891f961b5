# cython: boundscheck=False, wraparound=False, cdivision=True
"""Opus (RFC 6716) at 8 kHz, mono, through the system's libopus.

The library is opened while the program runs, so that an engine without it starts and only lacks the codec. Decoder and
encoder live in our own memory, which is wiped before it is freed; libopus allocates nothing while it works.
"""

cimport cython
from libc.stdint cimport int16_t, int32_t, uint8_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

cdef extern from *:
    """
    #include <dlfcn.h>
    #include <stddef.h>
    #include <stdint.h>
    typedef struct {
        void *library;
        const char *(*version)(void);
        int (*decoder_get_size)(int);
        int (*decoder_init)(void *, int32_t, int);
        int (*decode)(void *, const unsigned char *, int32_t, int16_t *, int, int);
        int (*decoder_ctl)(void *, int, ...);
        int (*encoder_get_size)(int);
        int (*encoder_init)(void *, int32_t, int, int);
        int32_t (*encode)(void *, const int16_t *, int, unsigned char *, int32_t);
        int (*encoder_ctl)(void *, int, ...);
    } paytone_opus_t;
    static paytone_opus_t paytone_opus;
    /* NULL, or why not. Called with the GIL held. */
    static const char *paytone_opus_open(const char *name) {
        static const char missing[] = "the library lacks a function of libopus 1.1 or later";
        if (paytone_opus.library != NULL)
            return NULL;
        paytone_opus_t found = {0};
        found.library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
        if (found.library == NULL) {
            const char *why = dlerror();
            return why != NULL ? why : "it cannot be loaded";
        }
        struct { const char *name; void *slot; } wanted[] = {
            {"opus_get_version_string", &found.version},
            {"opus_decoder_get_size", &found.decoder_get_size},
            {"opus_decoder_init", &found.decoder_init},
            {"opus_decode", &found.decode},
            {"opus_decoder_ctl", &found.decoder_ctl},
            {"opus_encoder_get_size", &found.encoder_get_size},
            {"opus_encoder_init", &found.encoder_init},
            {"opus_encode", &found.encode},
            {"opus_encoder_ctl", &found.encoder_ctl},
        };
        for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
            void *symbol = dlsym(found.library, wanted[i].name);
            if (symbol == NULL) {
                dlclose(found.library);
                return missing;
            }
            *(void **)wanted[i].slot = symbol;  /* as POSIX.1 shows for dlsym */
        }
        paytone_opus = found;
        return NULL;
    }
    static inline int paytone_opus_decode(void *d, const unsigned char *data, int32_t n, int16_t *out, int max) {
        return paytone_opus.decode(d, data, n, out, max, 0);
    }
    static inline int32_t paytone_opus_encode(void *e, const int16_t *in, int n, unsigned char *out, int32_t max) {
        return paytone_opus.encode(e, in, n, out, max);
    }
    static inline int paytone_opus_set(void *encoder, int request, int32_t value) {
        return paytone_opus.encoder_ctl(encoder, request, value);
    }
    static inline void paytone_opus_restart_decoder(void *decoder) { paytone_opus.decoder_ctl(decoder, 4028); }
    static inline void paytone_opus_restart_encoder(void *encoder) { paytone_opus.encoder_ctl(encoder, 4028); }
    static int paytone_opus_decoder_size(void) { return paytone_opus.decoder_get_size(1); }
    static int paytone_opus_encoder_size(void) { return paytone_opus.encoder_get_size(1); }
    static int paytone_opus_decoder_init(void *decoder) { return paytone_opus.decoder_init(decoder, 8000, 1); }
    static int paytone_opus_encoder_init(void *encoder) { return paytone_opus.encoder_init(encoder, 8000, 1, 2048); }
    static const char *paytone_opus_version(void) { return paytone_opus.version(); }
    """
    const char* paytone_opus_open(const char* name)
    const char* paytone_opus_version()
    int paytone_opus_decoder_size()
    int paytone_opus_encoder_size()
    int paytone_opus_decoder_init(void* decoder)
    int paytone_opus_encoder_init(void* encoder)
    int paytone_opus_set(void* encoder, int request, int32_t value)
    int paytone_opus_decode(void* decoder, const uint8_t* data, int32_t n, int16_t* out, int max) noexcept nogil
    int32_t paytone_opus_encode(
        void* encoder, const int16_t* samples, int n, uint8_t* out, int32_t max
    ) noexcept nogil
    void paytone_opus_restart_decoder(void* decoder) noexcept nogil
    void paytone_opus_restart_encoder(void* encoder) noexcept nogil

cdef enum:
    # Requests of opus_encoder_ctl, as opus_defines.h numbers them (2048 and 4028 above: VOIP and RESET_STATE).
    SET_BITRATE = 4002
    SET_VBR = 4006
    SET_COMPLEXITY = 4010
    SET_INBAND_FEC = 4012
    SET_DTX = 4016
    SET_SIGNAL = 4024
    SIGNAL_VOICE = 3001

SONAME = "libopus.so.0"
MAX_SAMPLES = OPUS_MAX_SAMPLES


def load(str name not None=SONAME):
    """Open the library if it is not open; return None, or why it cannot be."""
    cdef bytes encoded = name.encode()
    cdef const char* why = paytone_opus_open(encoded)
    return None if why == NULL else why.decode("utf-8", "replace")


def version():
    """Return what the library calls itself; None when it is not there."""
    return None if load() is not None else paytone_opus_version().decode("utf-8", "replace")


cdef int32_t opus_decode_8k(void* decoder, const uint8_t* data, int32_t n, int16_t* out, int32_t max) noexcept nogil:
    # No data would mean a lost packet to libopus, and make up audio.
    cdef int32_t done = paytone_opus_decode(decoder, data, n, out, max) if n > 0 and max > 0 else -1
    return done if done >= 0 else -1


cdef int32_t opus_encode_8k(void* encoder, const int16_t* samples, int32_t n, uint8_t* out, int32_t max) noexcept nogil:
    # libopus takes longer frames since 1.2; older ones refuse. 60 ms is what every one of them codes.
    cdef int32_t done = paytone_opus_encode(encoder, samples, n, out, max) if 0 < n <= 480 and max > 0 else -1
    return done if done > 0 else -1


cdef void opus_restart_decoder(void* decoder) noexcept nogil:
    paytone_opus_restart_decoder(decoder)


cdef void opus_restart_encoder(void* encoder) noexcept nogil:
    paytone_opus_restart_encoder(encoder)


@cython.auto_pickle(False)
@cython.final
cdef class OpusPair:
    """A decoder and an encoder; raises RuntimeError where libopus is missing.

    Coded at `bitrate` (bit/s) constantly: the sizes of encrypted packets tell nothing of what is said (RFC 6562 §3).
    """

    def __cinit__(self, int bitrate, int complexity):
        cdef int32_t value
        why = load()
        if why is not None:
            raise RuntimeError(f"no Opus: {why}")
        self._decoder_size = paytone_opus_decoder_size()
        self._encoder_size = paytone_opus_encoder_size()
        self.decoder = calloc(1, self._decoder_size)
        self.encoder = calloc(1, self._encoder_size)
        if self.decoder == NULL or self.encoder == NULL:
            raise MemoryError
        if paytone_opus_decoder_init(self.decoder) != 0 or paytone_opus_encoder_init(self.encoder) != 0:
            raise RuntimeError("libopus refuses 8 kHz, mono")
        for request, setting in (
            (SET_BITRATE, bitrate),
            (SET_COMPLEXITY, complexity),
            (SET_VBR, 0),
            (SET_INBAND_FEC, 0),
            (SET_DTX, 0),
            (SET_SIGNAL, SIGNAL_VOICE),
        ):
            value = setting
            if paytone_opus_set(self.encoder, request, value) != 0:
                raise ValueError(f"libopus refuses bitrate {bitrate} or complexity {complexity}")

    def __dealloc__(self):
        # It holds what was said.
        if self.decoder != NULL:
            memset(self.decoder, 0, self._decoder_size)
            free(self.decoder)
        if self.encoder != NULL:
            memset(self.encoder, 0, self._encoder_size)
            free(self.encoder)

    @property
    def size(self):
        """Bytes that both take."""
        return self._decoder_size + self._encoder_size
