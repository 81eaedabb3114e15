"""Imports the firmware as its application does: how long it took and what stays in memory.

Prints microseconds and bytes. Nothing of the firmware may have been imported before.
"""

import gc
import time

gc.collect()
before_bytes = gc.mem_free()
started = time.ticks_us()

from hushfw import app, memory  # noqa: E402

memory.pack()
for name in app.PIECES:
    __import__("hushfw." + name)

from hushfw import meter, serve  # noqa: E402, F401

took_us = time.ticks_diff(time.ticks_us(), started)
memory.unpack()
gc.collect()
print(took_us, before_bytes - gc.mem_free())
