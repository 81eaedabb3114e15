"""Room: the heap is kept in one piece while modules load; what of heap and flash is free."""

import gc
import os

from hushfw.core import pace

_GRAIN_BYTES = 256


def pack():
    """Collect often while modules are loaded: what stays then lies together.

    Without it, what stays lies scattered among what does not, and the largest free block of a
    small heap is a third of the free bytes. `unpack` ends it.
    """
    if hasattr(gc, "threshold"):
        gc.collect()
        gc.threshold(gc.mem_free() // 16)


def unpack():
    if hasattr(gc, "threshold"):
        gc.threshold(-1)
        gc.collect()


def largest_free_bytes():
    """The largest block that can be allocated, to 256 bytes; 0 where the interpreter hides it.

    A failing allocation leaves nothing behind and one that succeeds is collected before the next,
    so the probe fragments nothing. Without automatic collection a failure costs one look.
    """
    if not hasattr(gc, "mem_free"):
        return 0
    gc.collect()
    low, high = 0, gc.mem_free() + 1
    gc.disable()
    try:
        while high - low > _GRAIN_BYTES:
            pace.point()
            middle = (low + high) >> 1
            if _fits(middle):
                low = middle
                gc.collect()
            else:
                high = middle
    finally:
        gc.enable()
    return low


def _fits(size):
    try:
        bytearray(size)
    except MemoryError:
        return False
    return True


def filesystem_free_bytes():
    """Bytes that new files may still take; 0 where the system does not say."""
    try:
        room = os.statvfs(os.getcwd())
    except (AttributeError, OSError):
        return 0
    return room[0] * room[3]
