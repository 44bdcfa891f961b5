"""libspandsp by ctypes: its functions typed, nothing else."""

from __future__ import annotations

import ctypes
from functools import cache

from benchmarks.dtmf.errors import DetectorError

__all__ = ("INSTALL_SPANDSP", "load_spandsp")

INSTALL_SPANDSP = "apt-get install libspandsp2"


@cache
def load_spandsp() -> ctypes.CDLL:
    """Return the library with its DTMF and G.726 functions typed.

    Raises DetectorError when it is not installed.
    """
    try:
        library = ctypes.CDLL("libspandsp.so.2")
    except OSError:
        raise DetectorError("libspandsp.so.2 is not installed", remedy=INSTALL_SPANDSP) from None
    pointer, integer = ctypes.c_void_p, ctypes.c_int
    for name, result, arguments in (
        ("dtmf_rx_init", pointer, [pointer, pointer, pointer]),
        ("dtmf_rx", integer, [pointer, pointer, integer]),
        ("dtmf_rx_fillin", integer, [pointer, integer]),
        ("dtmf_rx_status", integer, [pointer]),
        ("dtmf_rx_get", ctypes.c_size_t, [pointer, ctypes.c_char_p, integer]),
        ("dtmf_rx_set_realtime_callback", None, [pointer, pointer, pointer]),
        ("dtmf_rx_free", integer, [pointer]),
        ("g726_init", pointer, [pointer, integer, integer, integer]),
        ("g726_encode", integer, [pointer, pointer, pointer, integer]),
        ("g726_decode", integer, [pointer, pointer, pointer, integer]),
        ("g726_free", integer, [pointer]),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library
