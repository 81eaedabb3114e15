"""What is measured at the prompt: imports, and the parts of a meter's work one by one."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hil.twin import Twin
from hushmeter.cluster import enrolment
from hushmeter.link import Link
from tools.bench_board.backends import (
    Backend,
    firmware_compiled,
    firmware_source,
    make_backend,
    modules,
    script,
)
from tools.bench_board.figures import LARGE, Add, Rows, collect
from tools.bench_board.street import METER_ID, Street

FIRMWARE, PARTS = "Firmware", "Parts of the work"
ANY_STREET = 12


def measure_firmware(board: str, quick: bool) -> Rows:
    """Sizes of the firmware, and how long a board takes to import it."""

    def measure(add: Add) -> None:
        backend = make_backend(board)
        source, compiled = firmware_source(), firmware_compiled(backend.facts.name)
        for form, files in ((".mpy", compiled), (".py", source)):
            add(FIRMWARE, form, "bytes", sum(map(len, files.values())), note=f"{len(files)} files")
            repeats = 3 if backend.clock == "wall" and not quick else 1
            found = [imports(backend, files) for _ in range(repeats)]
            add(FIRMWARE, f"{form}, import", "s", [took_s for took_s, _ in found])
            add(FIRMWARE, f"{form}, stays on the heap", "bytes", [kept for _, kept in found])

    return collect("the firmware's import", None, measure)


def imports(backend: Backend, files: dict[str, bytes]) -> tuple[float, int]:
    """Seconds, and bytes that stay on the heap."""
    (line,) = backend.run("import imports", modules(files) | script("imports"))
    took_us, kept_bytes = map(int, line.split())
    return took_us / 1e6, kept_bytes


def measure_street(board: str, members: int, quick: bool) -> Rows:
    """Each part of the work of an enrolled meter that depends on the size of its street."""

    def measure(add: Add) -> None:
        repeats = 1 if quick or members > LARGE else 3
        add_parts(board, members, f"by_street({repeats}, {5 if quick else 20})", members, add)

    return collect("the parts of the work", members, measure)


def measure_board(board: str, quick: bool) -> Rows:
    """Each part that does not, with the heap as a meter has it: curves, journal, collections."""

    def measure(add: Add) -> None:
        repeats, appends = (1, 10) if quick else (3, 100)
        add_parts(board, ANY_STREET, f"by_board({repeats}, {appends})", None, add)

    return collect("the parts that depend on no street", None, measure)


def add_parts(board: str, members: int, call: str, shown: int | None, add: Add) -> None:
    """Run a function of the script ``parts`` on an enrolled meter, and add what it prints."""
    backend = make_backend(board)
    firmware = modules(firmware_compiled(backend.facts.name))
    files = firmware | enrolled(backend.facts.name, members) | script("parts")
    code = f"from hushfw import memory\nmemory.pack()\nimport parts\nparts.{call}"
    for line in backend.run(code, files):
        name, samples_us = line.split("\t")
        samples_s = [int(sample) / 1e6 for sample in samples_us.split()]
        add(PARTS, name, "s", samples_s, members=shown)


def enrolled(
    board: str,
    members: int,
    market: Mapping[str, Any] | None = None,
    files: Mapping[str, bytes] | None = None,
) -> dict[str, bytes]:
    """The storage of an enrolled meter, made by the same firmware on this interpreter.

    ``files`` are put there before it is enrolled.
    """
    street = Street(members, board, provisioned=True, slots_today=1, market=market)
    with tempfile.TemporaryDirectory() as folder:
        twin = Twin(Path(folder), street.files | dict(files or {}))
        link = Link(twin)
        hello = link.request("hello_request").fields
        enrolment.deliver({METER_ID: link}, street.enrol(hello["public_key"]))
        return twin.files()
