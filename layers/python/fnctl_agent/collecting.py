"""What a process gives back that no request has come to for long."""

from __future__ import annotations

import ctypes
import gc


def give_back() -> None:
    """Garbage, where the program lets Python collect, and then what the allocator holds in vain."""
    if gc.isenabled():
        gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's
    if trim is not None:
        trim(0)
