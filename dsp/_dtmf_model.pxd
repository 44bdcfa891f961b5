"""The learned part of the decision, in C. Generated: do not edit.

By ``python -m benchmarks.tune_dtmf --folds 5 --write``, seed 24;
weights and figures: benchmarks/tuning/model.json, the method: benchmarks/tuning/README.md.
"""

from libc.math cimport fabs, fmax, fmin, log

from dsp._window cimport ToneWindow


cdef inline double dtmf_score(const ToneWindow* w) noexcept nogil:
    """Return the log odds that a window is part of a key. What is not known of the time before is 0."""
    return (
        -7.60024
        # residual: energy that the two tones leave, over theirs
        - 1.56952 * log(fmax(w.residual, 0.0) + 0.005)
        # excess: the same above the steady noise
        - 0.42198 * log(fmax(w.residual - 1.4 * w.floor, 0.0) + 0.005)
        # floor: energy of the quietest window of the last second
        - 7.91209 * fmin(w.floor, 1.0)
        # offset: deviation of the worse frequency
        - 7.76746 * fmax(fabs(w.low_offset), fabs(w.high_offset)) / 0.017
        # far offset: beyond ±1.5 %
        - 1.41186 * fmax(fmax(fabs(w.low_offset), fabs(w.high_offset)) / 0.015 - 1.0, 0.0)
        # twist: beyond -8 to +4 dB
        - 3.37179 * fmax(fabs(w.high_minus_low_db + 2.0) - 6.0, 0.0) / 3.0
        # slope: growth or decay within the window
        - 1.10168 * fmin(fmax(fabs(w.low_slope), fabs(w.high_slope)), 1.0)
        # before: the key's own tones in the 30 ms before: no pause
        - 0.99899 * log(fmin(w.both_before, 1.5) + 0.03)
        # below: energy below the band, the steady part apart
        - 2.27593 * log(fmin(fmax(w.below - w.below_floor, 0.0), 5.0) + 0.02)
        # steady below: steady energy below the band
        - 0.58655 * log(fmin(fmax(w.below_floor, 0.0), 10.0) + 0.02)
        # quiet: below -25 dBm0
        - 3.8318 * fmax(log(1283.6 / fmin(w.low_peak, w.high_peak)), 0.0)
    )
