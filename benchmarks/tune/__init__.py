"""Tuning of the DTMF detector as code; the command is `benchmarks.tune_dtmf`."""
