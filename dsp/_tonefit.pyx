# cython: boundscheck=False, wraparound=False, cdivision=True
# Safe without checks: every array has a fixed length from _tonefit.pxd and every loop runs over exactly that length.
"""Filter, eight-frequency bank and two-tone fit: the numbers under `dsp.dtmf`.

A block of 40 samples (5 ms) goes through a linear-phase high-pass that takes dial tone and mains hum out, then into
the eight DTMF frequencies. Only where a block looks like two tones is the costly part run: a least-squares fit over
25 ms in which each tone has a level, a phase, a slope and, through the slope in quadrature, its true frequency.
"""

from libc.math cimport atan2, cos, fabs, hypot, sin
from libc.string cimport memset

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
    PAYTONE_CLONES
    static void paytone_block(const float *x, float *y, float *bank, float *power, float *energy) {
        paytone_v8 ey = {0}, ex = {0}, re = {0}, im = {0}, acc, a, b;
        int g, k, i;
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
        energy[0] = paytone_sum(&ey);
        energy[1] = paytone_sum(&ex);
    }
    """
    void paytone_set_tables(const float* cosines, const float* sines) noexcept nogil
    float paytone_tap(int i) noexcept nogil
    void paytone_block(const float* x, float* y, float* bank, float* power, float* energy) noexcept nogil

cdef double PI = 3.141592653589793
cdef enum:
    HALF = 100  # samples on each side of the window's centre
    MAX_STEPS = 3  # Newton steps in frequency; a clean tone takes one or two
# A step of less than this (radians at the window's edge, 0.2 Hz) changes the residual by less than -40 dB.
cdef double STEP_DONE = 0.0157
# A pair whose Gram matrix is this close to singular is one tone, not two.
cdef double SINGULAR = 1e-6


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


_fill_tables()


cdef void tone_block(const float* x, float* y, float* bank, float* power, float* energy) noexcept nogil:
    paytone_block(x, y, bank, power, energy)


cdef inline double _response(double omega) noexcept nogil:
    """Sum of cos(omega t) over a block, t counted from its centre."""
    return 40.0 if fabs(omega) < 1e-9 else sin(20 * omega) / sin(0.5 * omega)


cdef void tone_mix(ToneMix* mix, double low_omega, double high_omega, int low_bin, int high_bin) noexcept nogil:
    cdef double p = 0.5 * _response(low_omega - BIN_OMEGA[low_bin])
    cdef double q = 0.5 * _response(high_omega - BIN_OMEGA[low_bin])
    cdef double r = 0.5 * _response(low_omega - BIN_OMEGA[high_bin])
    cdef double s = 0.5 * _response(high_omega - BIN_OMEGA[high_bin])
    # Never singular: the groups lie at least 1.3 bins apart, so |q|, |r| stay below a quarter of p, s.
    cdef double determinant = p * s - q * r
    mix.a = s / determinant
    mix.b = -q / determinant
    mix.c = -r / determinant
    mix.d = p / determinant


cdef double _phase_step(const double* re, const double* im, double omega) noexcept nogil:
    """Frequency of a tone in `TONE_BLOCKS` block spectra taken at `omega`."""
    cdef double x = 0, y = 0, c, s
    cdef int i
    for i in range(TONE_BLOCKS - 1):
        x += re[i + 1] * re[i] + im[i + 1] * im[i]
        y += im[i + 1] * re[i] - re[i + 1] * im[i]
    c = cos(TONE_BLOCK * omega)
    s = sin(TONE_BLOCK * omega)
    return omega + atan2(y * c - x * s, x * c + y * s) / TONE_BLOCK


cdef void tone_coarse(const float* ring, int oldest, int low_bin, int high_bin, TonePair* pair) noexcept nogil:
    cdef double[2][5] re
    cdef double[2][5] im
    cdef double[2] power = [0, 0]
    cdef double[2] omega
    cdef int[2] bins = [low_bin, high_bin]
    cdef int i, t, row, strong, weak
    cdef double leak
    for i in range(TONE_BLOCKS):
        row = (oldest + i) % TONE_BLOCKS * 16
        for t in range(2):
            re[t][i] = ring[row + bins[t]]
            im[t][i] = ring[row + 8 + bins[t]]
            power[t] += re[t][i] * re[t][i] + im[t][i] * im[t][i]
    strong = 1 if power[1] > power[0] else 0
    weak = 1 - strong
    omega[strong] = _phase_step(re[strong], im[strong], BIN_OMEGA[bins[strong]])
    # A strong tone's side lobe can hide a weak one in the other group: take it out before measuring the weak one.
    leak = _response(omega[strong] - BIN_OMEGA[bins[weak]]) / _response(omega[strong] - BIN_OMEGA[bins[strong]])
    for i in range(TONE_BLOCKS):
        re[weak][i] -= leak * re[strong][i]
        im[weak][i] -= leak * im[strong][i]
    omega[weak] = _phase_step(re[weak], im[weak], BIN_OMEGA[bins[weak]])
    leak = _response(omega[weak] - BIN_OMEGA[bins[strong]]) / _response(omega[weak] - BIN_OMEGA[bins[weak]])
    for i in range(TONE_BLOCKS):
        re[strong][i] -= leak * re[weak][i]
        im[strong][i] -= leak * im[weak][i]
    omega[strong] = _phase_step(re[strong], im[strong], BIN_OMEGA[bins[strong]])
    pair.low_omega = omega[0]
    pair.high_omega = omega[1]


cdef int _solve4(double* m, double* v) noexcept nogil:
    """Solve the symmetric 4 x 4 system m x = v by Cholesky; x replaces v. 0 when m is singular."""
    cdef int i, j, k
    cdef double total
    for i in range(4):
        for j in range(i + 1):
            total = m[4 * i + j]
            for k in range(j):
                total -= m[4 * i + k] * m[4 * j + k]
            if i == j:
                if total < SINGULAR * HALF:
                    return 0
                m[4 * i + i] = total ** 0.5
            else:
                m[4 * i + j] = total / m[4 * j + j]
    for i in range(4):
        for k in range(i):
            v[i] -= m[4 * i + k] * v[k]
        v[i] /= m[4 * i + i]
    for i in range(3, -1, -1):
        for k in range(i + 1, 4):
            v[i] -= m[4 * k + i] * v[k]
        v[i] /= m[4 * i + i]
    return 1


cdef int _project(
    const double* half, const double* p0, const double* p1, const double* p2, const double* p3, double* v, double* explained
) noexcept nogil:
    """Least squares of `half` on four columns; coefficients to `v`, explained energy added."""
    cdef double[16] m
    cdef double[4] right
    cdef double a, b, c, d, x
    cdef int i
    memset(m, 0, sizeof(m))
    memset(right, 0, sizeof(right))
    for i in range(HALF):
        a = p0[i]
        b = p1[i]
        c = p2[i]
        d = p3[i]
        x = half[i]
        m[0] += a * a
        m[4] += b * a
        m[5] += b * b
        m[8] += c * a
        m[9] += c * b
        m[10] += c * c
        m[12] += d * a
        m[13] += d * b
        m[14] += d * c
        m[15] += d * d
        right[0] += x * a
        right[1] += x * b
        right[2] += x * c
        right[3] += x * d
    for i in range(4):
        v[i] = right[i]
    if not _solve4(m, v):
        return 0
    for i in range(4):
        explained[0] += right[i] * v[i]
    return 1


cdef void _columns(double omega, double* c, double* s, double* uc, double* us) noexcept nogil:
    """Fill cos, sin and their products with u = t / 100 for t = 0.5, 1.5 … 99.5."""
    cdef double re = cos(0.5 * omega), im = sin(0.5 * omega), step_re = cos(omega), step_im = sin(omega), u, t
    cdef int i
    for i in range(HALF):
        u = (i + 0.5) / HALF
        c[i] = re
        s[i] = im
        uc[i] = u * re
        us[i] = u * im
        t = re * step_re - im * step_im
        im = im * step_re + re * step_im
        re = t


cdef void _flatness(
    const double* even, const double* odd, const double* c, const double* s, double a, double b, TonePair* pair
) noexcept nogil:
    """Compare a tone's amplitude in each block with its amplitude over the window.

    even, odd: what the fit left. The tone is a cos + b sin.
    """
    cdef double[5] re
    cdef double[5] im
    cdef double level = hypot(a, b), e, o, ratio
    cdef int i, block
    for i in range(TONE_BLOCKS):
        re[i] = a
        im[i] = b
    for i in range(HALF):
        block = 2 + (i + 20) // TONE_BLOCK  # 20 samples of the middle block lie on each side of the centre
        e = even[i] / 20.0
        o = odd[i] / 20.0
        re[block] += (e + o) * c[i]
        im[block] += (e + o) * s[i]
        re[4 - block] += (e - o) * c[i]
        im[4 - block] -= (e - o) * s[i]
    for i in range(TONE_BLOCKS):
        ratio = hypot(re[i], im[i]) / level
        if ratio < pair.flat_min:
            pair.flat_min = ratio
        if ratio > pair.flat_max:
            pair.flat_max = ratio


cdef int tone_fit(const float* y, TonePair* pair) noexcept nogil:
    cdef double[8][100] columns  # for each tone: cos, sin, u cos, u sin
    cdef double[100] even
    cdef double[100] odd
    cdef double[4] ve  # cos 1, u sin 1, cos 2, u sin 2
    cdef double[4] vo  # sin 1, u cos 1, sin 2, u cos 2
    cdef double energy = 0, explained, p, q, low_step, high_step
    cdef int i, step
    for i in range(HALF):
        p = y[HALF + i]
        q = y[HALF - 1 - i]
        even[i] = 0.5 * (p + q)
        odd[i] = 0.5 * (p - q)
        energy += p * p + q * q
    for step in range(MAX_STEPS):
        _columns(pair.low_omega, columns[0], columns[1], columns[2], columns[3])
        _columns(pair.high_omega, columns[4], columns[5], columns[6], columns[7])
        explained = 0
        if not _project(even, columns[0], columns[3], columns[4], columns[7], ve, &explained):
            return 0
        if not _project(odd, columns[1], columns[2], columns[5], columns[6], vo, &explained):
            return 0
        # x = Re (A + B u) exp(j omega t) with A = a - jb, B = a' - jb': B / A = slope + j 100 (true omega - omega).
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
    pair.low_omega += low_step / HALF
    pair.high_omega += high_step / HALF
    pair.low_peak = p ** 0.5
    pair.high_peak = q ** 0.5
    pair.low_slope = (ve[0] * vo[1] + vo[0] * ve[1]) / p
    pair.high_slope = (ve[2] * vo[3] + vo[2] * ve[3]) / q
    pair.tone_energy = 2 * explained
    pair.residual_energy = energy - 2 * explained
    pair.flat_min = 1
    pair.flat_max = 1
    # What is left, without the slopes: they belong to the amplitude's course.
    for i in range(HALF):
        even[i] -= ve[0] * columns[0][i] + ve[2] * columns[4][i]
        odd[i] -= vo[0] * columns[1][i] + vo[2] * columns[5][i]
    _flatness(even, odd, columns[0], columns[1], ve[0], vo[0], pair)
    _flatness(even, odd, columns[4], columns[5], ve[2], vo[2], pair)
    return 1


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
    if y.shape[0] != TONE_WINDOW:
        raise ValueError("a window needs 200 samples")
    pair.low_omega = 2 * PI * low_hz / 8000
    pair.high_omega = 2 * PI * high_hz / 8000
    if not tone_fit(&y[0], &pair):
        return None
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
