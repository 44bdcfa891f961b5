"""The payment: what is asked, what is right, what is kept secret, and how it ends. No input or output of its own."""

__all__ = ()
