"""Gives memory back to the system between the nodes of a run.

What a node has used stays with the process otherwise: rows that a traced function still holds until
the garbage collector finds the cycle, and free blocks that the C library and Arrow keep. The next
node then takes its memory on top.
"""

from __future__ import annotations

import ctypes
import gc

import pyarrow as pa


def keep_what_is_loaded() -> None:
    """Leave everything that exists now out of later garbage collections.

    Modules and their objects live as long as the process. With TFX they are millions, and to look
    through them takes most of a collection.
    """
    gc.collect()
    gc.freeze()


def give_back() -> None:
    """Collect garbage, and give free memory back to the system."""
    gc.collect()
    pa.default_memory_pool().release_unused()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:  # the C library is glibc
        trim(0)
