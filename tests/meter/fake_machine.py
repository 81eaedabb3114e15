"""The module `machine` of a board, for the unix port: a reset ends the process with a code.

What a board's hardware would remember is in files of the working directory: `cause` holds the
number of the last reset's cause, `starved_ms` the longest time that the watchdog was not fed.
"""

import time

PWRON_RESET = 1
HARD_RESET = 2
WDT_RESET = 3
DEEPSLEEP_RESET = 4
SOFT_RESET = 5

RESET_CODE = 77


def reset_cause():
    try:
        with open("cause") as f:
            return int(f.read())
    except OSError:
        return PWRON_RESET


def reset():
    with open("cause", "w") as f:
        f.write(str(WDT_RESET))
    raise SystemExit(RESET_CODE)


class WDT:
    """It never bites; it writes down how hungry it was."""

    def __init__(self, id=0, timeout=5000):
        if not 1 <= timeout <= 8388:
            raise ValueError("timeout")
        self._fed_ms = time.ticks_ms()
        self._starved_ms = -1
        self.feed()

    def feed(self):
        now_ms = time.ticks_ms()
        starved_ms = time.ticks_diff(now_ms, self._fed_ms)
        self._fed_ms = now_ms
        if starved_ms > self._starved_ms:
            self._starved_ms = starved_ms
            with open("starved_ms", "w") as f:
                f.write(str(starved_ms))
