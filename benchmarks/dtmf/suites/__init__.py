"""The suites, in the order of a full run."""

from benchmarks.dtmf.suite import Suite
from benchmarks.dtmf.suites import codec, latency, loss, mitel, noise, q24, real, talkoff, throughput

__all__ = ("SUITES",)

SUITES: dict[str, Suite] = {
    module.SUITE.name: module.SUITE for module in (q24, mitel, noise, loss, codec, real, talkoff, latency, throughput)
}
