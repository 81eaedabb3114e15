"""The board's life around the application: why it started, which firmware runs, its watchdog.

The loader (main.py) counts a try in fw/use.json before it imports anything. Here the application
takes the count back once it has shown that it works; one on trial that only says what is wrong
gives up by itself, so that the loader goes back to the firmware before it.

A watchdog cannot be stopped once it runs. So the way out of a watched meter is a flag and a reset:
the loader takes the flag away and returns to the prompt. A reset that the firmware asks for leaves
a note first, since some chips report it as one by the watchdog; a note that a power cut overtook
is not believed.
"""

import json
import os
import time

import hushfw
from hushfw import memory, store
from hushfw.core import pace
from hushfw.core.errors import HushError

try:
    import machine
except ImportError:
    machine = None

HEALTHY_MS = 10000
RETRY_MS = 600000

_USE = "fw/use.json"
_FLAG = "fw/maintenance"
_NOTE = "reset.txt"
_NOTE_BYTES = 40
_MOST_TRIES = 3
_FLUSH_S = 0.1

_CAUSES = (
    ("PWRON_RESET", "power_on"),
    ("BROWN_OUT_RESET", "brown_out"),
    ("WDT_RESET", "watchdog"),
    ("SOFT_RESET", "soft"),
    ("HARD_RESET", "hard"),
    ("DEEPSLEEP_RESET", "deep_sleep"),
)


class Life:
    """One run of the firmware, from the application's first line to the next reset."""

    def __init__(self, safe=False):
        self.safe = safe
        self.cause = _take_cause()
        self.place = _place(hushfw.__file__)
        self.import_ms = 0
        self.boot_ms = 0
        self.watchdog_ms = 0
        self._watchdog = None
        self._settled = False

    def start_watchdog(self, timeout_ms):
        """From here on a hang ends in a reset; 0, or a board without one, changes nothing."""
        make = getattr(machine, "WDT", None)
        if not timeout_ms or make is None:
            return
        try:
            self._watchdog = make(timeout=timeout_ms)
        except (ValueError, OSError):
            # This chip's cannot be that slow: the life message says that none runs.
            return
        self.watchdog_ms = timeout_ms
        pace.guard(self.feed)

    def feed(self):
        if self._watchdog is not None:
            self._watchdog.feed()

    def wait_ms(self, most_ms):
        """How long the link may be waited for without starving the watchdog."""
        return min(most_ms, self.watchdog_ms // 4) if self.watchdog_ms else most_ms

    def tend(self, running_ms, works, served):
        """One turn of the loop: feeds, and settles once whether this firmware is healthy."""
        self.feed()
        if self.safe:
            if running_ms >= RETRY_MS:
                # Power that flickered three times looks like a boot loop, and nobody may come.
                self._change_use({"tries": _MOST_TRIES - 1})
                self.restart("retry")
        elif not self._settled and (served or running_ms >= HEALTHY_MS):
            self._settled = True
            if works or _confirmed(_use()):
                self._change_use({"confirmed": True, "tries": 0})
            else:
                self.restart("trial")

    def _change_use(self, changes):
        """Changes what fw/use.json says, where it speaks of this firmware."""
        use = _use()
        if use is None or not (self.safe or use["use"] == self.place):
            return
        if any(use.get(name) != changes[name] for name in changes):
            use.update(changes)
            try:
                store.replace(_USE, [json.dumps(use).encode()])
            except HushError:
                # A full filesystem: then the loader could not count this try either.
                pass

    def prepare_maintenance(self):
        """What must be on the flash before the meter is left; a refusal when it cannot be."""
        if self.safe:
            # Whoever comes in mends something: the firmware gets its tries back.
            self._change_use({"tries": 0})
        if self._watchdog is None:
            if hasattr(machine, "reset"):
                _note("maintenance")
            return
        if not store.exists("fw"):
            os.mkdir("fw")
        store.replace(_FLAG, [b"maintenance"])

    def leave(self):
        """To the prompt: by returning, or by a reset where a watchdog runs."""
        if self._watchdog is not None:
            _reset()

    def restart(self, why):
        """Resets the board and says why after it; returns on a board that cannot reset itself."""
        if hasattr(machine, "reset"):
            _note(why)
            _reset()

    def figures(self):
        """The fields of the life message that are the board's."""
        use = _use() or {}
        return {
            "reset_cause": self.cause,
            "tries": min(use.get("tries", 0), 255),
            "safe": int(self.safe),
            "place": self.place,
            "confirmed": int(_confirmed(use)),
            "import_ms": self.import_ms,
            "boot_ms": self.boot_ms,
            "watchdog_ms": self.watchdog_ms,
            "largest_free_bytes": memory.largest_free_bytes(),
            "filesystem_free_bytes": memory.filesystem_free_bytes(),
        }


def configured_watchdog_ms(path="config.json"):
    """What the configuration asks for, 0 where it cannot be read or asks for what cannot be.

    The check of the whole file comes later and refuses it by name: a shorter time would end before
    that, and one that the chip's driver does not take would end in a fault at every start.
    """
    try:
        wanted = json.loads(store.read(path))["watchdog_ms"]
    except (TypeError, ValueError, KeyError):
        return 0
    if isinstance(wanted, int) and pace.LEAST_WATCHDOG_MS <= wanted <= pace.MOST_WATCHDOG_MS:
        return wanted
    return 0


def _reset():
    # What is still on its way to the host would be lost.
    time.sleep(_FLUSH_S)
    machine.reset()


def _note(why):
    """For the next boot; one that cannot be written is done without."""
    try:
        store.replace(_NOTE, [why.encode()[:_NOTE_BYTES]])
    except Exception:
        # A full flash, or no memory, which may be why: the reset must come all the same.
        pass


def _take_cause():
    """The name of the last reset's cause; the note of a reset of our own is used up."""
    cause = "unknown"
    number = machine.reset_cause() if hasattr(machine, "reset_cause") else None
    for constant, name in _CAUSES:
        if number is not None and getattr(machine, constant, None) == number:
            cause = name
            break
    note = store.read(_NOTE)
    if note is None:
        return cause
    try:
        store.remove(_NOTE)
        return cause if cause == "power_on" else str(note[:_NOTE_BYTES], "utf-8") or cause
    except (OSError, ValueError):
        return cause


def _place(path):
    """The place that a module was imported from: a or b, "" where there are no places."""
    parts = path.replace("\\", "/").split("/")[-4:]
    return parts[1] if len(parts) == 4 and parts[0] == "fw" else ""


def _use():
    """What fw/use.json says, None where nothing was deployed or it is damaged."""
    try:
        use = json.loads(store.read(_USE))
        return use if use["use"] in ("a", "b") and use["tries"] >= 0 else None
    except (TypeError, ValueError, KeyError):
        return None


def _confirmed(use):
    """Whether this firmware is no trial; one without places cannot be one."""
    return not use or use.get("confirmed") is True
