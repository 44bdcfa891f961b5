"""The learned part of the decision, in C. Generated: do not edit.

By ``python -m benchmarks.tune_dtmf --folds 5 --write``, seed 24;
weights and figures: benchmarks/tuning/model.json, the method: benchmarks/tuning/README.md.
"""

from libc.math cimport fabs, fmax, fmin, log

from dsp._window cimport ToneWindow


cdef inline double dtmf_score(const ToneWindow* w) noexcept nogil:
    """Return the log odds that a window is part of a key. What is not known of the time before is 0."""
    return (
        -6.83757
        # residual: energy that the two tones leave, over theirs
        - 1.17687 * log(fmax(w.residual, 0.0) + 0.005)
        # much residual: the same beyond 0.3
        - 2.39665 * fmax(log(fmax(w.residual, 0.0) + 0.005) + 1.2, 0.0)
        # excess: the same above the steady noise
        - 0.67493 * log(fmax(w.residual - 1.4 * w.floor, 0.0) + 0.005)
        # floor: energy of the quietest window of the last second
        - 6.79743 * fmin(w.floor, 1.0)
        # offset: deviation of the worse frequency
        - 6.81033 * fmax(fabs(w.low_offset), fabs(w.high_offset)) / 0.017
        # far offset: its square
        - 0.05307 * fmax(w.low_offset * w.low_offset, w.high_offset * w.high_offset) / 0.00029
        # twist: beyond -8 to +4 dB
        - 3.39372 * fmax(fabs(w.high_minus_low_db + 2.0) - 6.0, 0.0) / 3.0
        # slope: growth or decay within the window
        - 2.12248 * fmin(fmax(fabs(w.low_slope), fabs(w.high_slope)), 1.0)
        # before: the key's own tones in the 30 ms before: no pause
        - 0.41328 * log(fmin(w.both_before, 1.5) + 0.03)
        # no pause: the same beyond 0.27
        - 2.73943 * fmax(log(fmin(w.both_before, 1.5) + 0.03) + 1.2, 0.0)
        # below: energy below the band, less the steady part
        - 1.90572 * log(fmin(fmax(w.below - w.below_floor, 0.0), 5.0) + 0.02)
        # much below: the same beyond 0.35
        - 1.55266 * fmax(log(fmin(fmax(w.below - w.below_floor, 0.0), 5.0) + 0.02) + 1.0, 0.0)
        # steady below: steady energy below the band
        - 0.47987 * log(fmin(fmax(w.below_floor, 0.0), 10.0) + 0.02)
        # quiet: below -25 dBm0
        - 3.81188 * fmax(log(1283.6 / fmin(w.low_peak, w.high_peak)), 0.0)
    )
