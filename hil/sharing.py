"""Which tests stay together when workers share the suite: those that share one booted meter.

A fixture of a module lives once a worker, and booting a meter is most of what a test costs on an
emulated board. Tests in a class share a meter, so a class goes to one worker; every other test
goes where there is room.
"""

from __future__ import annotations

from typing import Any

from xdist.scheduler import LoadScopeScheduling


class ByClass(LoadScopeScheduling):  # type: ignore[misc]
    """Hands out classes and single tests, in their order."""

    def _split_scope(self, nodeid: str) -> str:
        file, *inside = nodeid.split("::")
        return f"{file}::{inside[0]}" if len(inside) > 1 else nodeid

    def __init__(self, config: Any, log: Any = None) -> None:
        config.option.loadscopereorder = False
        super().__init__(config, log)
