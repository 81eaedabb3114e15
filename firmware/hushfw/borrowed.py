"""Modules that are needed rarely: loaded for one use, and let go of after it.

A board's heap holds the whole firmware or a large street with room to spare, not both. What only a
boot or an enrolment needs is borrowed:

    with Borrowed("core.curve25519", "core.sha512", "core.ed25519") as ed25519:
        good = ed25519.verify(key, message, signature)

The last module is what one gets. What it imports is borrowed with it, and may be listed before it,
so that samples can be taken between two of them. A module that was loaded before stays after, so
borrowing nests. With `alone` only the modules that are named go, and what they imported stays: so
does the controller's own module, but not what chose it. An object of a borrowed module's class
keeps what it needs of it, and nothing else may be kept.

When memory runs out in the middle of loading, what was loaded goes and MemoryError is raised, so
borrow before anything is changed: then the refusal that it becomes leaves everything as it was.
Importing a second time gives the same code from the same place in flash, so a security property
cannot depend on it; one that is to hold after the borrowing must not be kept in such a module.
"""

import gc
import sys

from hushfw.core import pace

# An interpreter that does not count its heap has one that is large, and keeps what it has loaded.
_SHORT_OF_MEMORY = hasattr(gc, "mem_free")


def _since(before):
    """This package's modules that were not there before."""
    return [path for path in sys.modules if path not in before and path.startswith("hushfw.")]


class Borrowed:
    def __init__(self, *names, alone=False):
        self._names = names
        self._alone = alone
        self._loaded = []

    def __enter__(self):
        before = set(sys.modules)
        if _SHORT_OF_MEMORY:
            # Garbage among it would leave no block that is large enough for a module.
            gc.collect()
        try:
            for name in self._names:
                pace.point()
                path = "hushfw." + name
                if path not in before:
                    __import__(path)
            self._loaded = self._lent(before)
        except BaseException:
            # A module that is half loaded may be among them; it must not be found again.
            gc.collect()
            self._loaded = _since(before)
            self._give_back()
            raise
        return sys.modules[path]

    def _lent(self, before):
        if not self._alone:
            return _since(before)
        paths = ["hushfw." + name for name in self._names]
        return [path for path in paths if path not in before]

    def __exit__(self, kind, error, trace):
        self._give_back()

    def _give_back(self):
        if self._loaded and _SHORT_OF_MEMORY:
            for path in self._loaded:
                sys.modules.pop(path, None)
            gc.collect()
            for path in self._loaded:
                package, name = path.rsplit(".", 1)
                if hasattr(sys.modules.get(package), name):
                    delattr(sys.modules[package], name)
            gc.collect()
        self._loaded = []
