"""The peak of the heap that the board benchmark finds is that of actions whose need is known."""

import subprocess
from pathlib import Path

import pytest

from hushmeter.emulate.interpreter import find_micropython

ROOT = Path(__file__).resolve().parents[2]
SLACK_BYTES = 768
"""Grain of the search, and what an action's own call takes."""

PREAMBLE = """\
import primitives
from hushfw.core import pace

def work(points, sizes):
    def action():
        for at in range(points):
            held = bytearray(sizes.get(at, 16))
            held = None
            pace.point()
    return action
"""


def peak(code: str) -> int:
    path = [ROOT / "tools" / "bench_board" / "device", ROOT / "firmware"]
    lines = f"import sys\nsys.path[:0] = {[str(folder) for folder in path]}\n{PREAMBLE}{code}"
    command = [str(find_micropython().path), "-X", "heapsize=300k", "-c", lines]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return int(done.stdout)


@pytest.mark.parametrize("size", [1000, 5000, 20000])
def test_an_action_without_a_pace_point_needs_what_it_allocates(size: int) -> None:
    found = peak(f"print(primitives.peak_bytes(lambda: bytearray({size})))")
    assert size <= found <= size + SLACK_BYTES


def test_what_is_garbage_by_then_is_not_needed() -> None:
    code = "print(primitives.peak_bytes(lambda: [len(bytearray(1000)) for _ in range(40)]))"
    assert 1000 <= peak(code) <= 1000 + 2 * SLACK_BYTES


@pytest.mark.parametrize("at", [0, 3, 64, 99])
def test_what_is_held_in_a_stretch_that_is_watched_is_needed(at: int) -> None:
    """The first, an early one, each sixteenth, and the last: the rest of a hundred needs little."""
    found = peak(f"print(primitives.peak_bytes(work(100, {{{at}: 6000}})))")
    assert 6000 <= found <= 6000 + 2 * SLACK_BYTES


def test_what_is_held_in_no_stretch_that_is_watched_is_not_seen() -> None:
    """What the method leaves out, so that nobody takes it for more than it is."""
    assert peak("print(primitives.peak_bytes(work(100, {41: 3000})))") < 3000
