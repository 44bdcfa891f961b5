"""The E-model of ITU-T G.107 with its default values (§7.7, table 2): what is measured here is loss and delay only.

Symbols are those of the Recommendation. `engine.rtp.quality` is the front.
"""

from libc.math cimport exp, fabs, log10, pow, sqrt

# G.107 table 2, dB where nothing else is said.
cdef double SLR = 8.0
cdef double RLR = 2.0
cdef double STMR = 15.0
cdef double DS = 3.0
cdef double DR = 3.0
cdef double TELR = 65.0
cdef double WEPL = 110.0
cdef double QDU = 1.0
cdef double NC = -70.0              # dBm0p
cdef double NFOR = -64.0            # dBmp
cdef double PS = 35.0               # dB(A)
cdef double PR = 35.0               # dB(A)


cdef double _db_sum(double a, double b) noexcept nogil:
    return 10.0 * log10(pow(10.0, a / 10.0) + pow(10.0, b / 10.0))


cdef double _noise() noexcept nogil:
    """No (§7.2): all noise, at the 0 dBr point."""
    cdef double olr = SLR + RLR
    cdef double nos = PS - SLR - DS - 100.0 + 0.004 * (PS - olr - DS - 14.0) ** 2
    cdef double pre = PR + 10.0 * log10(1.0 + pow(10.0, (10.0 - (STMR + DR)) / 10.0))
    cdef double nor = RLR - 121.0 + pre + 0.008 * (pre - 35.0) ** 2
    return _db_sum(_db_sum(NC, nos), _db_sum(nor, NFOR + RLR))


cdef double _simultaneous(double ro, double no, double t) noexcept nogil:
    """Is (§7.3): loudness, sidetone, quantising."""
    cdef double xolr = SLR + RLR + 0.2 * (64.0 + no - RLR)
    cdef double iolr = 20.0 * (pow(1.0 + (xolr / 8.0) ** 8, 1.0 / 8.0) - xolr / 8.0)
    cdef double stmro = -10.0 * log10(pow(10.0, -STMR / 10.0) + exp(-t / 4.0) * pow(10.0, -TELR / 10.0))
    cdef double ist = (
        12.0 * pow(1.0 + pow(fabs(stmro - 13.0) / 6.0, 8.0), 1.0 / 8.0)
        - 28.0 * pow(1.0 + pow((stmro + 1.0) / 19.4, 35.0), 1.0 / 35.0)
        - 13.0 * pow(1.0 + pow(fabs(stmro - 3.0) / 33.0, 13.0), 1.0 / 13.0)
        + 29.0
    )
    cdef double q = 37.0 - 15.0 * log10(QDU)
    cdef double g = 1.07 + 0.258 * q + 0.0602 * q * q
    cdef double y = (ro - 100.0) / 15.0 + 46.0 / 8.4 - g / 9.0
    cdef double z = 46.0 / 30.0 - g / 40.0
    return iolr + ist + 15.0 * log10(1.0 + pow(10.0, y) + pow(10.0, z))


cdef double _delay(double ro, double no, double t) noexcept nogil:
    """Id (§7.4): echo to the talker and to the listener, and delay itself, one way and `t` ms."""
    cdef double roe = -1.5 * (no - RLR)
    cdef double terv = TELR - 40.0 * log10((1.0 + t / 10.0) / (1.0 + t / 150.0)) + 6.0 * exp(-0.3 * t * t)
    cdef double re = 80.0 + 2.5 * (terv - 14.0)
    cdef double idte = 0.0
    cdef double rle = 10.5 * (WEPL + 7.0) * pow(2.0 * t + 1.0, -0.25)
    cdef double idle = (ro - rle) / 2.0 + sqrt((ro - rle) ** 2 / 4.0 + 169.0)
    cdef double x
    cdef double idd = 0.0
    if t >= 1.0:
        idte = ((roe - re) / 2.0 + sqrt((roe - re) ** 2 / 4.0 + 100.0) - 1.0) * (1.0 - exp(-t))
    if t > 100.0:
        x = log10(t / 100.0) / log10(2.0)
        idd = 25.0 * (pow(1.0 + x**6, 1.0 / 6.0) - 3.0 * pow(1.0 + (x / 3.0) ** 6, 1.0 / 6.0) + 2.0)
    return idte + idle + idd


cdef double quality_r_factor(
    double ie, double bpl, double loss, double burst_ratio, double delay_ms
) noexcept nogil:
    """Return R, 0 to 100. `loss` is 0 to 1 and counts what came too late; `delay_ms` is one way, mouth to ear."""
    cdef double no = _noise()
    cdef double ro = 15.0 - 1.5 * (SLR + no)
    cdef double ppl = 100.0 * min(max(loss, 0.0), 1.0)
    cdef double t = min(max(delay_ms, 0.0), 10000.0)
    # §7.5, Ie,eff.
    cdef double ie_eff = ie
    if ppl > 0.0:
        ie_eff += (95.0 - ie) * ppl / (ppl / max(burst_ratio, 1.0) + max(bpl, 0.0))
    return min(max(ro - _simultaneous(ro, no, t) - _delay(ro, no, t) - ie_eff, 0.0), 100.0)


cdef double quality_opinion(double r_factor) noexcept nogil:
    """Return the mean opinion score of a conversation, 1 to 4.5 (Annex B)."""
    cdef double r = min(max(r_factor, 0.0), 100.0)
    return max(1.0, 1.0 + 0.035 * r + 7e-6 * r * (r - 60.0) * (100.0 - r))


def r_factor(double ie, double bpl, double loss, double burst_ratio, double delay_ms):
    """Return R, 0 to 100, from equipment impairment, loss (0 to 1), burst ratio (1 for random) and one-way delay."""
    return quality_r_factor(ie, bpl, loss, burst_ratio, delay_ms)


def opinion(double r_factor):
    """Return the mean opinion score that an R means, 1 to 4.5."""
    return quality_opinion(r_factor)
