"""A run that never happened."""

from __future__ import annotations

from typing import Any

import msgspec

from hushmeter.devices import hil_run
from hushmeter.devices.hil_run import Number, Result, Run

TESTS = (
    Result("hil/test_a.py::test_one", "passed", "", 2.5, 0.25),
    Result("hil/test_a.py::test_two", "skipped", "desk has no adc", 0.0),
    Result("hil/test_b.py::test_three[12]", "passed", "", 0.5, 0.5),
    Result("hil/test_b.py::test_four", "not_run", "nightly: long; run with --nightly"),
)


def a_run(**changes: Any) -> Run:
    """A run of a board called desk."""
    tests = changes.pop("tests", TESTS)
    run = Run(
        schema=hil_run.SCHEMA,
        began="2026-01-02T03:04:05Z",
        took_s=12.5,
        host=hil_run.Host("0.1.0", "CPython 3.11.7", "Linux x86_64"),
        board=hil_run.BoardUnderTest(
            "desk", "rpi_pico", "Raspberry Pi Pico (RP2040)", "emulated", "", "simulated"
        ),
        firmware=hil_run.Firmware("0.1.0", "ab" * 32, 57, 108365),
        image=hil_run.Image("image.uf2", "cd" * 32, "1.24.1"),
        interpreter=hil_run.Interpreter("micropython", "1.24.1", "a machine", "6.3"),
        wiring=hil_run.Wiring(
            "the bench file", "wiggler", (hil_run.WireInPlace("level", 26, 16, ""),)
        ),
        choice=hil_run.Choice(("hil", "--board", "pico"), False, 2),
        outcomes=hil_run.tally(tests),
        tests=tests,
        numbers={
            "slot_ms_for_n_12": Number(10, "ms"),
            "slot_ms_for_n_100": Number(20, "ms"),
            "free_heap_bytes": Number(153600, "bytes"),
        },
    )
    return msgspec.structs.replace(run, **changes)
