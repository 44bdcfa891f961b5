"""Samples in, numbers out: codecs, tones, levels."""

__all__: tuple[str, ...] = ()
