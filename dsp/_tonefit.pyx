# cython: boundscheck=False, wraparound=False, cdivision=True
# Safe without checks: every array has a fixed length from _tonefit.pxd and every loop runs over exactly that length.
"""Filter, eight-frequency bank and two-tone fit: the numbers under `dsp.dtmf`.

A block of 40 samples (5 ms) goes through a linear-phase high-pass that takes dial tone and mains hum out, then into
the eight DTMF frequencies. Only where a block looks like two tones is the costly part run: a least-squares fit over
25 ms in which each tone has a level, a phase, a slope and, through the slope in quadrature, its true frequency.
"""

from libc.math cimport atan2, cos, fabs, sin, sqrt

cdef extern from *:
    """
    #include <string.h>
    #if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
    #define PAYTONE_CLONES __attribute__((target_clones("default", "avx2")))
    #else
    #define PAYTONE_CLONES
    #endif
    typedef float paytone_v8 __attribute__((vector_size(32)));

    /* Equiripple high-pass, 41 taps, symmetric: 0-460 Hz stopped, 675 Hz on passed, weights 3:1, 8 kHz.
       Below -29 dB to 450 Hz (dial tones, mains), within 0.8 dB from 686 Hz. First half and the middle tap;
       tests/unit/dsp/test_tonefit.py designs it again and compares. */
    static const float PAYTONE_TAPS[21] = {
        0.034397718f, -0.025052385f, -0.020725215f, -0.017855781f, -0.014453849f, -0.009209576f, -0.001892980f,
        0.007141133f, 0.016426650f, 0.024137046f, 0.028101668f, 0.026476187f, 0.017948584f, 0.002187060f,
        -0.020082602f, -0.046954665f, -0.075680421f, -0.102912154f, -0.125350018f, -0.140090777f, 0.854754843f};

    static float PAYTONE_COS[20][8], PAYTONE_SIN[20][8]; /* at (i + 1/2) samples from the block's centre */

    static void paytone_set_tables(const float *cosines, const float *sines) {
        memcpy(PAYTONE_COS, cosines, sizeof PAYTONE_COS);
        memcpy(PAYTONE_SIN, sines, sizeof PAYTONE_SIN);
    }

    static float paytone_tap(int i) { return PAYTONE_TAPS[i <= 20 ? i : 40 - i]; }

    static inline float paytone_sum(const paytone_v8 *v) {
        const float *f = (const float *)v;
        return ((f[0] + f[4]) + (f[1] + f[5])) + ((f[2] + f[6]) + (f[3] + f[7]));
    }

    /* Eight lanes by hand and no reassociation: every clone gives the same bits. */
    static inline __attribute__((always_inline)) void paytone_eight(const float *y, float *bank, float *power) {
        paytone_v8 re = {0}, im = {0}, a, b;
        int i;
        for (i = 0; i < 20; i++) {
            float sum = y[20 + i] + y[19 - i], difference = y[20 + i] - y[19 - i];
            memcpy(&a, PAYTONE_COS[i], sizeof a);
            memcpy(&b, PAYTONE_SIN[i], sizeof b);
            re += a * sum;
            im -= b * difference;
        }
        a = re * re + im * im;
        memcpy(bank, &re, sizeof re);
        memcpy(bank + 8, &im, sizeof im);
        memcpy(power, &a, sizeof a);
    }

    PAYTONE_CLONES
    static void paytone_bank(const float *y, float *bank, float *power) { paytone_eight(y, bank, power); }

    PAYTONE_CLONES
    static void paytone_block(const float *x, float *y, float *bank, float *power, float *energy) {
        paytone_v8 ey = {0}, ex = {0}, acc, a, b;
        int g, k;
        for (g = 0; g < 40; g += 8) {
            memcpy(&a, x + g + 20, sizeof a);
            ex += a * a;
            acc = a * PAYTONE_TAPS[20];
            for (k = 0; k < 20; k++) {
                memcpy(&a, x + g + k, sizeof a);
                memcpy(&b, x + g + 40 - k, sizeof b);
                acc += (a + b) * PAYTONE_TAPS[k];
            }
            ey += acc * acc;
            memcpy(y + g, &acc, sizeof acc);
        }
        paytone_eight(y, bank, power);
        energy[0] = paytone_sum(&ey);
        energy[1] = paytone_sum(&ex);
    }

    /* For two tones: sums of even cos, odd sin, u even sin, u odd cos over t = 1/2, 3/2 ... (8 n lanes, u = t / half).
       turn: cos and sin of w/2 and of w for the first tone, then for the second. */
    PAYTONE_CLONES
    static void paytone_project(const float *even, const float *odd, int n, float half, const double *turn, float *out) {
        paytone_v8 c[2], s[2], sum[8] = {{0}}, u, u_step, e, o, t;
        float step_c[2], step_s[2], *lane;
        int i, k;
        for (k = 0; k < 2; k++) {
            double re = turn[4 * k], im = turn[4 * k + 1], sr = turn[4 * k + 2], si = turn[4 * k + 3], r;
            for (i = 0; i < 8; i++) {
                c[k][i] = (float)re;
                s[k][i] = (float)im;
                r = re * sr - im * si;
                im = im * sr + re * si;
                re = r;
            }
            for (i = 0; i < 3; i++) { /* w, 2w, 4w, 8w */
                r = sr * sr - si * si;
                si = 2 * sr * si;
                sr = r;
            }
            step_c[k] = (float)sr;
            step_s[k] = (float)si;
        }
        for (i = 0; i < 8; i++) {
            u[i] = (i + 0.5f) / half;
            u_step[i] = 8 / half;
        }
        for (i = 0; i < n; i++) {
            memcpy(&e, even + 8 * i, sizeof e);
            memcpy(&o, odd + 8 * i, sizeof o);
            for (k = 0; k < 2; k++) {
                sum[4 * k] += e * c[k];
                sum[4 * k + 1] += o * s[k];
            }
            e *= u;
            o *= u;
            u += u_step;
            for (k = 0; k < 2; k++) {
                sum[4 * k + 2] += e * s[k];
                sum[4 * k + 3] += o * c[k];
                t = c[k] * step_c[k] - s[k] * step_s[k];
                s[k] = s[k] * step_c[k] + c[k] * step_s[k];
                c[k] = t;
            }
        }
        for (i = 0; i < 8; i++) {
            lane = (float *)&sum[i];
            out[i] = ((lane[0] + lane[4]) + (lane[1] + lane[5])) + ((lane[2] + lane[6]) + (lane[3] + lane[7]));
        }
    }
    """
    void paytone_project(
        const float* even, const float* odd, int n, float half, const double* turn, float* out
    ) noexcept nogil
    void paytone_set_tables(const float* cosines, const float* sines) noexcept nogil
    float paytone_tap(int i) noexcept nogil
    void paytone_block(const float* x, float* y, float* bank, float* power, float* energy) noexcept nogil
    void paytone_bank(const float* y, float* bank, float* power) noexcept nogil

cdef double PI = 3.141592653589793
cdef enum:
    HALF = 100  # samples on each side of the window's centre
    MAX_STEPS = 3  # Newton steps in frequency; a clean tone takes one or two
# The slopes take up a frequency error of first order: this step (radians at the window's edge, 2.5 Hz) leaves less
# than 0.1 % of the tone in the residual.
cdef double STEP_DONE = 0.2
# Tones nearer to each other than this (radians a sample, 64 Hz) cannot be told apart in 25 ms.
cdef double MIN_APART = 0.05
# A pair whose Gram matrix is this close to singular is one tone, not two.
cdef double SINGULAR = 1e-6


cdef ToneMix KEY_MIX[16]  # for tones on the bins
cdef double STEP_C[8]  # cos and sin of the phase that a tone on the bin advances in a block
cdef double STEP_S[8]

KEY_CODES = (1, 2, 3, 12, 4, 5, 6, 13, 7, 8, 9, 14, 10, 0, 11, 15)


cdef void _fill_tables() noexcept:
    cdef double[8] frequencies_hz = [697.0, 770.0, 852.0, 941.0, 1209.0, 1336.0, 1477.0, 1633.0]
    cdef float[160] cosines
    cdef float[160] sines
    cdef double gain
    cdef int i, k
    for k in range(8):
        BIN_OMEGA[k] = 2 * PI * frequencies_hz[k] / 8000.0
        gain = paytone_tap(20)
        for i in range(20):
            gain += 2 * paytone_tap(i) * cos(BIN_OMEGA[k] * (20 - i))
            cosines[8 * i + k] = <float>cos(BIN_OMEGA[k] * (i + 0.5))
            sines[8 * i + k] = <float>sin(BIN_OMEGA[k] * (i + 0.5))
        BIN_GAIN[k] = <float>gain
    paytone_set_tables(cosines, sines)
    for k in range(8):
        STEP_C[k] = cos(TONE_BLOCK * BIN_OMEGA[k])
        STEP_S[k] = sin(TONE_BLOCK * BIN_OMEGA[k])
    for i in range(16):
        tone_mix(&KEY_MIX[i], BIN_OMEGA[i // 4], BIN_OMEGA[4 + i % 4], i // 4, 4 + i % 4)
        KEY_CODE[i] = KEY_CODES[i]
        CODE_KEY[<int>KEY_CODES[i]] = i


_fill_tables()


cdef void tone_block(const float* x, float* y, float* bank, float* power, float* energy) noexcept nogil:
    paytone_block(x, y, bank, power, energy)


cdef inline double _response(double omega) noexcept nogil:
    """Sum of cos(omega t) over a block, t counted from its centre."""
    return 40.0 if fabs(omega) < 1e-9 else sin(20 * omega) / sin(0.5 * omega)


cdef void _inverse(double p, double q, double r, double s, double* out) noexcept nogil:
    # Never singular: the groups lie at least 1.3 bins apart, so |q|, |r| stay below a quarter of p, s.
    cdef double determinant = p * s - q * r
    out[0] = s / determinant
    out[1] = -q / determinant
    out[2] = -r / determinant
    out[3] = p / determinant


cdef void tone_mix(ToneMix* mix, double low_omega, double high_omega, int low_bin, int high_bin) noexcept nogil:
    cdef double f = BIN_OMEGA[low_bin], g = BIN_OMEGA[high_bin]
    cdef double p = 0.5 * _response(low_omega - f), p2 = 0.5 * _response(low_omega + f)
    cdef double q = 0.5 * _response(high_omega - f), q2 = 0.5 * _response(high_omega + f)
    cdef double r = 0.5 * _response(low_omega - g), r2 = 0.5 * _response(low_omega + g)
    cdef double s = 0.5 * _response(high_omega - g), s2 = 0.5 * _response(high_omega + g)
    _inverse(p + p2, q + q2, r + r2, s + s2, mix.re)
    _inverse(p - p2, q - q2, r - r2, s - s2, mix.im)


cdef void tone_amplitudes(
    const ToneMix* mix, const float* row, int low_bin, int high_bin, double* low, double* high
) noexcept nogil:
    cdef double a = row[low_bin], b = row[high_bin], c = row[8 + low_bin], d = row[8 + high_bin]
    cdef double re = mix.re[0] * a + mix.re[1] * b, im = mix.im[0] * c + mix.im[1] * d
    low[0] = sqrt(re * re + im * im)
    re = mix.re[2] * a + mix.re[3] * b
    im = mix.im[2] * c + mix.im[3] * d
    high[0] = sqrt(re * re + im * im)


cdef int tone_weaker_bin(const float* ring, int newest, int strong_bin) noexcept nogil:
    cdef const ToneMix* mix
    cdef const float* row
    cdef double power, most = -1, re, im
    cdef int i, k, weak, best = 0, first = 0 if strong_bin >= 4 else 4
    for k in range(4):
        weak = first + k
        mix = &KEY_MIX[4 * k + strong_bin - 4] if strong_bin >= 4 else &KEY_MIX[4 * strong_bin + k]
        power = 0
        for i in range(TONE_BLOCKS):
            row = &ring[((newest - i) & (TONE_RING - 1)) * 16]
            if strong_bin >= 4:
                re = mix.re[0] * row[weak] + mix.re[1] * row[strong_bin]
                im = mix.im[0] * row[8 + weak] + mix.im[1] * row[8 + strong_bin]
            else:
                re = mix.re[2] * row[strong_bin] + mix.re[3] * row[weak]
                im = mix.im[2] * row[8 + strong_bin] + mix.im[3] * row[8 + weak]
            power += re * re + im * im
        if power > most:
            most = power
            best = weak
    return best


cdef void tone_coarse(const float* ring, int newest, int low_bin, int high_bin, TonePair* pair) noexcept nogil:
    cdef const ToneMix* mix = &KEY_MIX[4 * low_bin + high_bin - 4]
    cdef const float* row
    cdef double[2] re
    cdef double[2] im
    cdef double[2] last_re
    cdef double[2] last_im
    cdef double[2] x = [0, 0]
    cdef double[2] y = [0, 0]
    cdef double a, b, c, d
    cdef int i, t, k
    for i in range(TONE_BLOCKS):
        row = &ring[((newest - TONE_BLOCKS + 1 + i) & (TONE_RING - 1)) * 16]
        a = row[low_bin]
        b = row[high_bin]
        c = row[8 + low_bin]
        d = row[8 + high_bin]
        # Each tone by itself: neither the other's side lobe nor its own negative frequency is left in it.
        re[0] = mix.re[0] * a + mix.re[1] * b
        re[1] = mix.re[2] * a + mix.re[3] * b
        im[0] = mix.im[0] * c + mix.im[1] * d
        im[1] = mix.im[2] * c + mix.im[3] * d
        for t in range(2):
            if i:
                x[t] += re[t] * last_re[t] + im[t] * last_im[t]
                y[t] += im[t] * last_re[t] - re[t] * last_im[t]
            last_re[t] = re[t]
            last_im[t] = im[t]
    for t in range(2):
        # What the phase advanced from block to block beyond what it does on the bin.
        k = high_bin if t else low_bin
        a = atan2(y[t] * STEP_C[k] - x[t] * STEP_S[k], x[t] * STEP_C[k] + y[t] * STEP_S[k]) / TONE_BLOCK
        if t:
            pair.high_omega = BIN_OMEGA[k] + a
        else:
            pair.low_omega = BIN_OMEGA[k] + a


cdef int _solve4(double* m, double* v) noexcept nogil:
    """Solve the symmetric 4 x 4 system m x = v by Cholesky; x replaces v. 0 when m is singular."""
    cdef int i, j, k
    cdef double total
    cdef double[4] scale
    for i in range(4):
        for j in range(i + 1):
            total = m[4 * i + j]
            for k in range(j):
                total -= m[4 * i + k] * m[4 * j + k]
            if i == j:
                if total < SINGULAR * HALF:
                    return 0
                scale[i] = 1 / sqrt(total)
            else:
                m[4 * i + j] = total * scale[j]
    for i in range(4):
        for k in range(i):
            v[i] -= m[4 * i + k] * v[k]
        v[i] *= scale[i]
    for i in range(3, -1, -1):
        for k in range(i + 1, 4):
            v[i] -= m[4 * k + i] * v[k]
        v[i] *= scale[i]
    return 1


cdef struct Turn:
    # cos and sin of w / 2, of w, and of half w (half: samples on a side of the centre).
    double[4] step
    double end_c
    double end_s


cdef inline void _turn(double omega, int half, Turn* turn) noexcept nogil:
    cdef double c = cos(0.5 * omega), s = sin(0.5 * omega)
    turn.step[0] = c
    turn.step[1] = s
    turn.step[2] = c * c - s * s
    turn.step[3] = 2 * c * s
    turn.end_c = cos(half * omega)
    turn.end_s = sin(half * omega)


cdef inline void _sums(double end_c, double end_s, double half_c, double half_s, int half, double* out) noexcept nogil:
    """Sums of cos, u sin and u² cos of a t over t = 1/2, 3/2 ... half - 1/2, u = t / half, in closed form.

    end: of half a; half_c, half_s: of a / 2. The first is sin(half a) / (2 sin(a / 2)), the others its derivatives.
    """
    cdef double d = 2 * half_s
    cdef double f = end_s / d
    cdef double f1 = (half * end_c - f * half_c) / d
    out[0] = f
    out[1] = -f1 / half
    out[2] = (half * half * end_s + 2 * f1 * half_c - 0.25 * f * d) / d / (<double>half * half)


cdef void _gram(const Turn* a, const Turn* b, int half, double* even, double* odd) noexcept nogil:
    """Inner products of cos 1, u sin 1, cos 2, u sin 2 (even) and sin 1, u cos 1, sin 2, u cos 2 (odd): lower halves."""
    cdef double[3] one
    cdef double[3] two
    cdef double[3] plus
    cdef double[3] minus
    cdef double n = half, u2 = half / 3.0 - 1.0 / (12.0 * half)  # sum of u²
    _sums(a.end_c * a.end_c - a.end_s * a.end_s, 2 * a.end_c * a.end_s, a.step[2], a.step[3], half, one)
    _sums(b.end_c * b.end_c - b.end_s * b.end_s, 2 * b.end_c * b.end_s, b.step[2], b.step[3], half, two)
    _sums(
        a.end_c * b.end_c - a.end_s * b.end_s, a.end_s * b.end_c + a.end_c * b.end_s,
        a.step[0] * b.step[0] - a.step[1] * b.step[1], a.step[1] * b.step[0] + a.step[0] * b.step[1], half, plus,
    )
    _sums(
        a.end_c * b.end_c + a.end_s * b.end_s, a.end_s * b.end_c - a.end_c * b.end_s,
        a.step[0] * b.step[0] + a.step[1] * b.step[1], a.step[1] * b.step[0] - a.step[0] * b.step[1], half, minus,
    )
    even[0] = 0.5 * (n + one[0])
    even[4] = 0.5 * one[1]
    even[5] = 0.5 * (u2 - one[2])
    even[8] = 0.5 * (minus[0] + plus[0])
    even[9] = 0.5 * (plus[1] + minus[1])
    even[10] = 0.5 * (n + two[0])
    even[12] = 0.5 * (plus[1] - minus[1])
    even[13] = 0.5 * (minus[2] - plus[2])
    even[14] = 0.5 * two[1]
    even[15] = 0.5 * (u2 - two[2])
    odd[0] = 0.5 * (n - one[0])
    odd[4] = 0.5 * one[1]
    odd[5] = 0.5 * (u2 + one[2])
    odd[8] = 0.5 * (minus[0] - plus[0])
    odd[9] = 0.5 * (plus[1] - minus[1])
    odd[10] = 0.5 * (n - two[0])
    odd[12] = 0.5 * (plus[1] + minus[1])
    odd[13] = 0.5 * (minus[2] + plus[2])
    odd[14] = 0.5 * two[1]
    odd[15] = 0.5 * (u2 + two[2])


cdef int tone_fit(const float* y, TonePair* pair) noexcept nogil:
    cdef float[104] even
    cdef float[104] odd
    cdef float[8] sums
    cdef double[8] steps
    cdef double[16] m_even
    cdef double[16] m_odd
    cdef double[4] right_even
    cdef double[4] right_odd
    cdef double[4] ve  # cos 1, u sin 1, cos 2, u sin 2
    cdef double[4] vo  # sin 1, u cos 1, sin 2, u cos 2
    cdef Turn[2] turn
    cdef double explained, p, q, low_step, high_step
    cdef float energy = 0, a, b
    cdef int i, step
    for i in range(HALF):
        a = y[HALF + i]
        b = y[HALF - 1 - i]
        even[i] = <float>0.5 * (a + b)
        odd[i] = <float>0.5 * (a - b)
        energy += a * a + b * b
    for i in range(HALF, 104):
        even[i] = 0
        odd[i] = 0
    for step in range(MAX_STEPS):
        if pair.high_omega - pair.low_omega < MIN_APART:
            return 0
        _turn(pair.low_omega, HALF, &turn[0])
        _turn(pair.high_omega, HALF, &turn[1])
        for i in range(4):
            steps[i] = turn[0].step[i]
            steps[4 + i] = turn[1].step[i]
        paytone_project(even, odd, 13, HALF, steps, sums)
        _gram(&turn[0], &turn[1], HALF, m_even, m_odd)
        right_even[0] = sums[0]
        right_even[1] = sums[2]
        right_even[2] = sums[4]
        right_even[3] = sums[6]
        right_odd[0] = sums[1]
        right_odd[1] = sums[3]
        right_odd[2] = sums[5]
        right_odd[3] = sums[7]
        for i in range(4):
            ve[i] = right_even[i]
            vo[i] = right_odd[i]
        if not _solve4(m_even, ve) or not _solve4(m_odd, vo):
            return 0
        # x = Re (A + B u) exp(j omega t) with A = a - jb, B = a' - jb': B / A = slope + j HALF (true omega - omega).
        p = ve[0] * ve[0] + vo[0] * vo[0] + 1e-30
        q = ve[2] * ve[2] + vo[2] * vo[2] + 1e-30
        low_step = (vo[0] * vo[1] - ve[0] * ve[1]) / p
        high_step = (vo[2] * vo[3] - ve[2] * ve[3]) / q
        if fabs(low_step) > 2.0 or fabs(high_step) > 2.0:
            return 0  # further than 25 Hz from where the coarse estimate put it: no steady tone
        if step == MAX_STEPS - 1 or (fabs(low_step) < STEP_DONE and fabs(high_step) < STEP_DONE):
            break
        pair.low_omega += low_step / HALF
        pair.high_omega += high_step / HALF
    explained = 0
    for i in range(4):
        explained += right_even[i] * ve[i] + right_odd[i] * vo[i]
    pair.low_omega += low_step / HALF
    pair.high_omega += high_step / HALF
    pair.low_peak = sqrt(p)
    pair.high_peak = sqrt(q)
    pair.low_slope = (ve[0] * vo[1] + vo[0] * ve[1]) / p
    pair.high_slope = (ve[2] * vo[3] + vo[2] * ve[3]) / q
    pair.tone_energy = 2 * explained
    pair.residual_energy = energy - 2 * explained
    return 1


cdef void tone_flatness(
    const float* ring, int newest, const ToneMix* mix, int low_bin, int high_bin, TonePair* pair
) noexcept nogil:
    cdef double low, high
    cdef int i
    pair.flat_min = 1
    pair.flat_max = 1
    for i in range(TONE_BLOCKS):
        tone_amplitudes(mix, &ring[((newest - i) & (TONE_RING - 1)) * 16], low_bin, high_bin, &low, &high)
        low /= pair.low_peak
        high /= pair.high_peak
        pair.flat_min = min(pair.flat_min, min(low, high))
        pair.flat_max = max(pair.flat_max, max(low, high))


def analyse_block(const float[::1] x not None):
    """Filter and analyse one block.

    `x` holds 80 samples, 40 of them history. Returns the filtered block, the eight complex bins as (real, imaginary)
    lists, and the energies of the filtered and of the unfiltered block.
    """
    cdef float[40] y
    cdef float[16] bank
    cdef float[8] power
    cdef float[2] energy
    if x.shape[0] != TONE_HISTORY + TONE_BLOCK:
        raise ValueError("a block needs 80 samples")
    tone_block(&x[0], y, bank, power, energy)
    return (
        [y[i] for i in range(TONE_BLOCK)],
        [bank[i] for i in range(TONE_BINS)],
        [bank[TONE_BINS + i] for i in range(TONE_BINS)],
        energy[0],
        energy[1],
    )


def fit_tones(const float[::1] y not None, double low_hz, double high_hz):
    """Fit two tones to 200 samples at 8 kHz, starting from coarse frequencies.

    Returns a dict with the fields of `TonePair`, frequencies in Hz, or None where no two steady tones can be told.
    """
    cdef TonePair pair
    cdef ToneMix mix
    cdef float[256] ring
    cdef float[8] power
    cdef int i, low_bin, high_bin
    if y.shape[0] != TONE_WINDOW:
        raise ValueError("a window needs 200 samples")
    pair.low_omega = 2 * PI * low_hz / 8000
    pair.high_omega = 2 * PI * high_hz / 8000
    if not tone_fit(&y[0], &pair):
        return None
    for i in range(TONE_BLOCKS):
        paytone_bank(&y[TONE_BLOCK * i], &ring[16 * i], power)
    low_bin = min(range(4), key=lambda k: abs(BIN_OMEGA[k] - pair.low_omega))
    high_bin = min(range(4, 8), key=lambda k: abs(BIN_OMEGA[k] - pair.high_omega))
    tone_mix(&mix, pair.low_omega, pair.high_omega, low_bin, high_bin)
    tone_flatness(ring, TONE_BLOCKS - 1, &mix, low_bin, high_bin, &pair)
    return {
        "low_hz": pair.low_omega * 4000 / PI,
        "high_hz": pair.high_omega * 4000 / PI,
        "low_peak": pair.low_peak,
        "high_peak": pair.high_peak,
        "low_slope": pair.low_slope,
        "high_slope": pair.high_slope,
        "tone_energy": pair.tone_energy,
        "residual_energy": pair.residual_energy,
        "flat_min": pair.flat_min,
        "flat_max": pair.flat_max,
    }


def taps():
    """Return the high-pass filter's 41 taps."""
    return [paytone_tap(i) for i in range(41)]
