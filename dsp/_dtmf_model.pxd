"""The learned part of the decision, in C. Weights by hand until the tuning has run."""

from libc.math cimport fabs, fmax, fmin, log

from dsp._window cimport ToneWindow


cdef inline double dtmf_score(const ToneWindow* w) noexcept nogil:
    """Return the log odds that a window is part of a key; `both_before`, `energy_before`: 0 where unknown."""
    return (
        2.0
        - 2.0 * log(fmax(w.residual - 1.4 * w.floor, 0.0) + 0.005)
        - 2.0 * log(fmin(w.both_before, 1.5) + 0.03)
        - 1.0 * log(fmin(fmax(w.below - w.below_floor, 0.0), 5.0) + 0.02)
        - 8.0
        - 2.0 * w.floor
    )
