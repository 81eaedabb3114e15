"""Imports the firmware as main.py does and prints how long it took and what stays in memory.

Prints microseconds and bytes. Nothing of the firmware may have been imported before.
"""

import gc
import time

gc.collect()
before_bytes = gc.mem_free()
started = time.ticks_us()

from hushfw import meter  # noqa: E402, F401
from hushfw.core.frame import Decoder  # noqa: E402, F401
from hushfw.links.stdio import Stdio  # noqa: E402, F401

took_us = time.ticks_diff(time.ticks_us(), started)
gc.collect()
print(took_us, before_bytes - gc.mem_free())
