"""Reads one sensor on this board when told to, and times it.

begin(settings)             makes the driver; prints the bytes of heap that it takes
read()                      prints the reading, its fault, its time in us, the bytes it drew
"""

import gc
import time

from hushfw import drivers

made = []


def begin(settings):
    gc.collect()
    free = gc.mem_free()
    made.append(drivers.make(settings))
    gc.collect()
    print(free - gc.mem_free())


def read():
    driver = made[0]
    gc.collect()
    free = gc.mem_free()
    began = time.ticks_us()
    watts = driver.read()
    took_us = time.ticks_diff(time.ticks_us(), began)
    print(watts, driver.fault, took_us, free - gc.mem_free())
