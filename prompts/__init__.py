"""What the caller hears: texts, speech synthesis, and the store of rendered audio."""

__all__ = ()
