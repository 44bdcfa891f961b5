cdef double quality_r_factor(
    double ie, double bpl, double loss, double burst_ratio, double delay_ms
) noexcept nogil
cdef double quality_opinion(double r_factor) noexcept nogil
