# cython: boundscheck=False, wraparound=False, cdivision=True
# Safe without checks: every array has a fixed length from _gate.pxd and every loop runs over exactly that length.
"""The detector's front end: eight frequencies, the energy below them and the whole energy of 10 ms of audio.

A block is folded about its centre into an even and an odd half (40 samples each), and each half meets 16 integer
kernels: eight DTMF frequencies, six functions that span what lies below 460 Hz (mains, dial tone), two unused. The
eight are orthogonal to the six, so a dial tone ten times as strong as a key does not show in them. Lanes are kernels:
one broadcast pair of samples is multiplied with all of them, nothing has to be summed across lanes. Products and sums
are integers that cannot overflow, so SSE2, AVX2, AVX-512 and plain C give the same bits.
"""

from libc.math cimport cos, rint, sin, sqrt

cdef extern from *:
    """
    #include <stddef.h>
    #include <stdint.h>
    #include <string.h>
    #if defined(__x86_64__) && defined(__GNUC__)
    #define PAYTONE_X86 1
    #include <immintrin.h>
    #else
    #define PAYTONE_X86 0
    #endif

    /* [pair of samples][kernel][sample of the pair] */
    static int16_t PAYTONE_EVEN[20][16][2] __attribute__((aligned(64)));
    static int16_t PAYTONE_ODD[20][16][2] __attribute__((aligned(64)));

    static void paytone_gate_tables(const int16_t *even, const int16_t *odd) {
        memcpy(PAYTONE_EVEN, even, sizeof PAYTONE_EVEN);
        memcpy(PAYTONE_ODD, odd, sizeof PAYTONE_ODD);
    }

    /* Halves before the sum, and -32767 at least: squares of a pair stay below 2^31, kernels below 2^31 in all. */
    static inline int16_t paytone_clamp(int v) { return (int16_t)(v < -32767 ? -32767 : v); }

    typedef struct { float power[16], low, high, below, energy; } paytone_front_out;
    #define PAYTONE_UNIT (8192.0f * 8192.0f * 64.0f) /* of a squared kernel sum, in that of the energy */

    static inline __attribute__((always_inline)) void paytone_front_end(paytone_front_out *out) {
        const float *p = out->power;
        float a = p[0] > p[1] ? p[0] : p[1], b = p[2] > p[3] ? p[2] : p[3];
        out->low = a > b ? a : b;
        a = p[4] > p[5] ? p[4] : p[5];
        b = p[6] > p[7] ? p[6] : p[7];
        out->high = a > b ? a : b;
        out->below = ((p[8] + p[9]) + (p[10] + p[11])) + (p[12] + p[13]);
    }

    /* Write the energy down; 1 when it is less than `least`, and all else is 0. */
    static inline __attribute__((always_inline)) int paytone_quiet(paytone_front_out *out, uint32_t energy, float least) {
        out->energy = (float)energy * PAYTONE_UNIT;
        if (out->energy >= least) return 0;
        memset(out, 0, offsetof(paytone_front_out, energy));
        return 1;
    }

    static void paytone_front_plain(const int16_t *x, float least, paytone_front_out *out) {
        int32_t e[16] = {0}, o[16] = {0};
        int16_t s[40], d[40];
        uint32_t energy = 0;
        int i, p, k;
        for (i = 0; i < 40; i++) {
            int a = x[40 + i] >> 1, b = x[39 - i] >> 1;
            s[i] = paytone_clamp(a + b);
            d[i] = paytone_clamp(a - b);
        }
        /* A pair's squares, less 6 bits: 40 of them fit. */
        for (i = 0; i < 40; i += 2) {
            energy += ((uint32_t)(s[i] * s[i]) + (uint32_t)(s[i + 1] * s[i + 1])) >> 6;
            energy += ((uint32_t)(d[i] * d[i]) + (uint32_t)(d[i + 1] * d[i + 1])) >> 6;
        }
        if (paytone_quiet(out, energy, least)) return;
        for (p = 0; p < 20; p++)
            for (k = 0; k < 16; k++) {
                e[k] += s[2 * p] * PAYTONE_EVEN[p][k][0] + s[2 * p + 1] * PAYTONE_EVEN[p][k][1];
                o[k] += d[2 * p] * PAYTONE_ODD[p][k][0] + d[2 * p + 1] * PAYTONE_ODD[p][k][1];
            }
        for (k = 0; k < 16; k++) {
            float a = (float)e[k], b = (float)o[k];
            out->power[k] = a * a + b * b;
        }
        paytone_front_end(out);
    }

    #if PAYTONE_X86
    /* Fold x into s and d, eight samples of each at a time, and add their energy to total. (Sixteen at a time is
       slower: reading pairs back out of wider stores stalls.) */
    #define PAYTONE_FOLD(x, s, d, total) \
        { \
            const __m128i lowest = _mm_set1_epi16(-32767); \
            __m128i a, b, u, v; \
            int i; \
            _Pragma("GCC unroll 5") \
            for (i = 0; i < 40; i += 8) { \
                a = _mm_srai_epi16(_mm_loadu_si128((const __m128i *)(x + 40 + i)), 1); \
                b = _mm_srai_epi16(_mm_loadu_si128((const __m128i *)(x + 32 - i)), 1); \
                b = _mm_shufflelo_epi16(b, _MM_SHUFFLE(0, 1, 2, 3)); \
                b = _mm_shufflehi_epi16(b, _MM_SHUFFLE(0, 1, 2, 3)); \
                b = _mm_shuffle_epi32(b, _MM_SHUFFLE(1, 0, 3, 2)); \
                u = _mm_max_epi16(_mm_add_epi16(a, b), lowest); \
                v = _mm_max_epi16(_mm_sub_epi16(a, b), lowest); \
                _mm_store_si128((__m128i *)(s + i), u); \
                _mm_store_si128((__m128i *)(d + i), v); \
                total = _mm_add_epi32(total, _mm_srli_epi32(_mm_madd_epi16(u, u), 6)); \
                total = _mm_add_epi32(total, _mm_srli_epi32(_mm_madd_epi16(v, v), 6)); \
            } \
        }
    /* The sum of its lanes. And s and d into memory: broadcasting from there is a load, from a register three steps. */
    #define PAYTONE_TOTAL(total, energy) \
        total = _mm_add_epi32(total, _mm_shuffle_epi32(total, _MM_SHUFFLE(1, 0, 3, 2))); \
        total = _mm_add_epi32(total, _mm_shuffle_epi32(total, _MM_SHUFFLE(2, 3, 0, 1))); \
        energy = (uint32_t)_mm_cvtsi128_si32(total); \
        __asm__ volatile("" : : "r"(s), "r"(d) : "memory");
    #define PAYTONE_HALVES \
        int16_t s[40] __attribute__((aligned(16))), d[40] __attribute__((aligned(16))); \
        __m128i total = _mm_setzero_si128(); \
        uint32_t energy; \
        int p;

    static inline int32_t paytone_pair(const int16_t *half, int p) {
        int32_t pair;
        memcpy(&pair, half + 2 * p, 4);
        return pair;
    }

    static void paytone_front_sse2(const int16_t *x, float least, paytone_front_out *out) {
        PAYTONE_HALVES
        int q;
        PAYTONE_FOLD(x, s, d, total)
        PAYTONE_TOTAL(total, energy)
        if (paytone_quiet(out, energy, least)) return;
        for (q = 0; q < 4; q++) {
            __m128i e = _mm_setzero_si128(), o = _mm_setzero_si128();
            __m128 a, b;
            for (p = 0; p < 20; p++) {
                e = _mm_add_epi32(e, _mm_madd_epi16(_mm_set1_epi32(paytone_pair(s, p)),
                                                    *(const __m128i *)PAYTONE_EVEN[p][4 * q]));
                o = _mm_add_epi32(o, _mm_madd_epi16(_mm_set1_epi32(paytone_pair(d, p)),
                                                    *(const __m128i *)PAYTONE_ODD[p][4 * q]));
            }
            a = _mm_cvtepi32_ps(e);
            b = _mm_cvtepi32_ps(o);
            _mm_storeu_ps(out->power + 4 * q, _mm_add_ps(_mm_mul_ps(a, a), _mm_mul_ps(b, b)));
        }
        paytone_front_end(out);
    }

    __attribute__((target("avx2")))
    static void paytone_front_avx2(const int16_t *x, float least, paytone_front_out *out) {
        __m256i e0 = _mm256_setzero_si256(), e1 = e0, o0 = e0, o1 = e0, v;
        __m256 g, h;
        PAYTONE_HALVES
        PAYTONE_FOLD(x, s, d, total)
        PAYTONE_TOTAL(total, energy)
        if (paytone_quiet(out, energy, least)) return;
    #pragma GCC unroll 20
        for (p = 0; p < 20; p++) {
            v = _mm256_set1_epi32(paytone_pair(s, p));
            e0 = _mm256_add_epi32(e0, _mm256_madd_epi16(v, *(const __m256i *)PAYTONE_EVEN[p][0]));
            e1 = _mm256_add_epi32(e1, _mm256_madd_epi16(v, *(const __m256i *)PAYTONE_EVEN[p][8]));
            v = _mm256_set1_epi32(paytone_pair(d, p));
            o0 = _mm256_add_epi32(o0, _mm256_madd_epi16(v, *(const __m256i *)PAYTONE_ODD[p][0]));
            o1 = _mm256_add_epi32(o1, _mm256_madd_epi16(v, *(const __m256i *)PAYTONE_ODD[p][8]));
        }
        g = _mm256_cvtepi32_ps(e0);
        h = _mm256_cvtepi32_ps(o0);
        _mm256_storeu_ps(out->power, _mm256_add_ps(_mm256_mul_ps(g, g), _mm256_mul_ps(h, h)));
        g = _mm256_cvtepi32_ps(e1);
        h = _mm256_cvtepi32_ps(o1);
        _mm256_storeu_ps(out->power + 8, _mm256_add_ps(_mm256_mul_ps(g, g), _mm256_mul_ps(h, h)));
        paytone_front_end(out);
    }

    #define PAYTONE_FRONT_512(name, features, STEP) \
    __attribute__((target(features))) \
    static void name(const int16_t *x, float least, paytone_front_out *out) { \
        __m512i e0 = _mm512_setzero_si512(), e1 = e0, o0 = e0, o1 = e0; \
        __m512 g, h; \
        PAYTONE_HALVES \
        PAYTONE_FOLD(x, s, d, total) \
        PAYTONE_TOTAL(total, energy) \
        if (paytone_quiet(out, energy, least)) return; \
        _Pragma("GCC unroll 10") \
        for (p = 0; p < 20; p += 2) { \
            e0 = STEP(e0, _mm512_set1_epi32(paytone_pair(s, p)), *(const __m512i *)PAYTONE_EVEN[p]); \
            o0 = STEP(o0, _mm512_set1_epi32(paytone_pair(d, p)), *(const __m512i *)PAYTONE_ODD[p]); \
            e1 = STEP(e1, _mm512_set1_epi32(paytone_pair(s, p + 1)), *(const __m512i *)PAYTONE_EVEN[p + 1]); \
            o1 = STEP(o1, _mm512_set1_epi32(paytone_pair(d, p + 1)), *(const __m512i *)PAYTONE_ODD[p + 1]); \
        } \
        g = _mm512_cvtepi32_ps(_mm512_add_epi32(e0, e1)); \
        h = _mm512_cvtepi32_ps(_mm512_add_epi32(o0, o1)); \
        _mm512_storeu_ps(out->power, _mm512_add_ps(_mm512_mul_ps(g, g), _mm512_mul_ps(h, h))); \
        paytone_front_end(out); \
    }
    #define PAYTONE_MADD(acc, v, k) _mm512_add_epi32(acc, _mm512_madd_epi16(v, k))
    PAYTONE_FRONT_512(paytone_front_avx512, "avx512f,avx512bw", PAYTONE_MADD)
    PAYTONE_FRONT_512(paytone_front_vnni, "avx512f,avx512bw,avx512vnni", _mm512_dpwssd_epi32)
    #endif

    /* The same layout as GateBlock. */
    typedef void (*paytone_front)(const int16_t *, float, paytone_front_out *);
    static paytone_front PAYTONE_FRONT = paytone_front_plain;

    /* Choose an implementation; 0 when this processor has it not. */
    static int paytone_front_choose(int level, int only_ask) {
        paytone_front chosen = level == 0 ? paytone_front_plain : 0;
    #if PAYTONE_X86
        __builtin_cpu_init();
        if (level == 1) chosen = paytone_front_sse2;
        if (level == 2 && __builtin_cpu_supports("avx2")) chosen = paytone_front_avx2;
        if (level == 3 && __builtin_cpu_supports("avx512bw")) chosen = paytone_front_avx512;
        if (level == 4 && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vnni"))
            chosen = paytone_front_vnni;
    #endif
        if (chosen && !only_ask) PAYTONE_FRONT = chosen;
        return chosen != 0;
    }

    static inline void paytone_front_call(const int16_t *x, float least, void *out) {
        PAYTONE_FRONT(x, least, (paytone_front_out *)out);
    }
    """
    void paytone_gate_tables(const int16_t* even, const int16_t* odd) noexcept nogil
    void paytone_front_call(const int16_t* x, float least, void* out) noexcept nogil
    int paytone_front_choose(int level, int only_ask) noexcept nogil

cdef double PI = 3.141592653589793
cdef enum:
    HALF = 40
    LOW = 6  # functions a half that span what lies below the band: 0 to 460 Hz in 10 ms have about nine dimensions
# Unit kernels times this: the sum of the 40 magnitudes stays below 65536, so 32767 of each cannot overflow 32 bits.
cdef double SCALE = 8192.0
cdef double TOP_HZ = 460.0
GATE_UNIT = <float>(8192.0 * 8192.0 * 64.0)
LEVELS = ("plain", "sse2", "avx2", "avx512", "avx512vnni")


cdef void _orthogonal(double* v, const double* rows, int n) noexcept:
    """Take out of v what lies along n orthonormal rows, twice against rounding; scale it to length 1."""
    cdef double total
    cdef int i, k, turn
    for turn in range(2):
        for k in range(n):
            total = 0
            for i in range(HALF):
                total += v[i] * rows[HALF * k + i]
            for i in range(HALF):
                v[i] -= total * rows[HALF * k + i]
    total = 0
    for i in range(HALF):
        total += v[i] * v[i]
    total = sqrt(total)
    for i in range(HALF):
        v[i] /= total


cdef void _kernels(int odd, int16_t* table) noexcept:
    """Fill a table [20][16][2] with the even or the odd kernels."""
    cdef double[8] frequencies_hz = [697.0, 770.0, 852.0, 941.0, 1209.0, 1336.0, 1477.0, 1633.0]
    cdef double[240] low
    cdef double[40] v
    cdef double freq_hz, phase
    cdef int i, k
    for i in range(640):
        table[i] = 0
    for k in range(LOW + 8):
        if k < LOW:
            freq_hz = TOP_HZ * k / (LOW - 1)
            if odd:  # the sine of 0 Hz is nothing: begin half a step above
                freq_hz = TOP_HZ / (2 * LOW) + freq_hz * (2 * LOW - 1) / (2 * LOW)
        else:
            freq_hz = frequencies_hz[k - LOW]
        for i in range(HALF):
            phase = 2 * PI * freq_hz * (i + 0.5) / 8000.0
            v[i] = sin(phase) if odd else cos(phase)
        _orthogonal(v, low, k if k < LOW else LOW)
        for i in range(HALF):
            if k < LOW:
                low[HALF * k + i] = v[i]
            table[32 * (i // 2) + 2 * (8 + k if k < LOW else k - LOW) + i % 2] = <int16_t>rint(SCALE * v[i])


cdef void _fill_tables() noexcept:
    cdef int16_t[640] even
    cdef int16_t[640] odd
    _kernels(0, even)
    _kernels(1, odd)
    paytone_gate_tables(even, odd)


_fill_tables()
cdef int _level = len(LEVELS) - 1
while not paytone_front_choose(_level, 0):
    _level -= 1


cdef void gate_block(const int16_t* x, float least, GateBlock* out) noexcept nogil:
    paytone_front_call(x, least, out)


def analyse(const int16_t[::1] x not None):
    """Return (eight bins, below, energy) of one block of 80 samples: sums of squares, divided by 128."""
    cdef GateBlock block
    cdef int k
    if x.shape[0] != GATE_BLOCK:
        raise ValueError("a block needs 80 samples")
    gate_block(&x[0], 0, &block)
    return [block.bins[k] / GATE_UNIT for k in range(8)], block.below / GATE_UNIT, block.energy / GATE_UNIT


def levels():
    """Name the implementations that this processor can run, the plainest first."""
    return [name for i, name in enumerate(LEVELS) if paytone_front_choose(i, 1)]


def level():
    """Name the implementation in use."""
    return LEVELS[_level]


def set_level(str name not None):
    """Use another implementation, in the whole process: for tests and benchmarks."""
    global _level
    if name not in LEVELS or not paytone_front_choose(LEVELS.index(name), 0):
        raise ValueError(f"level must be one of {levels()}, not {name!r}")
    _level = LEVELS.index(name)
