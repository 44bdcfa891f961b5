"""The DTMF benchmark: one set of stimuli, any detector, one table.

``paytone bench dtmf``, or ``python -m benchmarks.dtmf``.
`docs/benchmarks.md` tells what each suite does and how a corpus is laid out.
"""
