"""Modules that are needed rarely: loaded for one use, and let go of after it.

A board's heap holds the whole firmware or a large street with room to spare, not both. What only a
boot or an enrolment needs is borrowed:

    with Borrowed("core.x25519", "core.sha512", "core.ed25519") as ed25519:
        good = ed25519.verify(key, message, signature)

Every name is listed, each after those that it imports; the last module is what one gets. A name
that was loaded before stays after, so borrowing nests. An object of a borrowed module's class keeps
what it needs of it, and nothing else may be kept.

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


class Borrowed:
    def __init__(self, *names):
        self._names = names
        self._loaded = []

    def __enter__(self):
        try:
            for name in self._names:
                pace.point()
                path = "hushfw." + name
                if path not in sys.modules:
                    self._loaded.append(path)
                    __import__(path)
        except BaseException:
            self._give_back()
            raise
        return sys.modules[path]

    def __exit__(self, kind, error, trace):
        self._give_back()

    def _give_back(self):
        if self._loaded and _SHORT_OF_MEMORY:
            # First what takes no memory: one that is half loaded must not be found again.
            for path in self._loaded:
                sys.modules.pop(path, None)
            gc.collect()
            for path in self._loaded:
                package, name = path.rsplit(".", 1)
                if hasattr(sys.modules[package], name):
                    delattr(sys.modules[package], name)
            gc.collect()
        self._loaded = []
