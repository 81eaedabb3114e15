"""The actuator that only writes: nothing lost without a limit, and never more than one with it."""

import contextlib
import struct
from pathlib import Path

import pytest

from hushfw.drivers import log

STEP = struct.calcsize(log.RECORD)


def starts(data: bytes) -> list[int]:
    return [record[0] for record in struct.iter_unpack(log.RECORD, data)]


def run(path: Path, steps: int, limit_bytes: int) -> list[int]:
    """The largest size of both files together after every flush."""
    actuator = log.Log(limit_bytes, str(path))
    sizes = []
    for start_s in range(steps):
        actuator.apply(start_s, -5, 7, 3600)
        actuator.drain()
        if start_s % 50 == 49:
            actuator.flush()
            sizes.append(sum(file.stat().st_size for file in path.parent.iterdir()))
    actuator.flush()
    return sizes


def test_without_a_limit_every_step_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "battery.log"
    run(path, 3000, 0)
    assert starts(path.read_bytes()) == list(range(3000))
    assert [file.name for file in tmp_path.iterdir()] == ["battery.log"]


def test_with_a_limit_two_files_take_turns_and_hold_the_newest_steps_in_order(
    tmp_path: Path,
) -> None:
    path = tmp_path / "battery.log"
    limit = 16384
    sizes = run(path, 3000, limit)
    assert max(sizes) <= limit
    kept = starts((tmp_path / "battery.log.old").read_bytes()) + starts(path.read_bytes())
    assert kept == list(range(kept[0], 3000))
    assert len(kept) * STEP > limit // 4


def test_a_restart_goes_on_behind_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "battery.log"
    run(path, 100, 16384)
    run(path, 50, 16384)
    assert starts(path.read_bytes()) == [*range(100), *range(50)]


def test_where_nobody_drains_what_has_gathered_stays_small_and_the_hole_shows(
    tmp_path: Path,
) -> None:
    """A meter whose slots did not start takes samples for weeks, and must go on answering."""
    path = tmp_path / "battery.log"
    actuator = log.Log(0, str(path))
    for start_s in range(100_000):
        actuator.apply(start_s, -5, 7, 3600)
    actuator.drain()
    for start_s in range(100_000, 100_050):
        actuator.apply(start_s, -5, 7, 3600)
    actuator.flush()
    kept = starts(path.read_bytes())
    assert kept[-50:] == list(range(100_000, 100_050))
    assert kept[:-50] == list(range(len(kept) - 50))
    assert 60 <= len(kept) - 50 <= 300


def test_files_that_cannot_take_turns_end_no_later_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*paths: str) -> None:
        raise OSError(28)

    path = tmp_path / "battery.log"
    actuator = log.Log(4096, str(path))
    with monkeypatch.context() as patch:
        patch.setattr(log.os, "rename", full)
        for start_s in range(90):
            actuator.apply(start_s, -5, 7, 3600)
            with contextlib.suppress(OSError):
                actuator.drain()
    actuator.apply(90, -5, 7, 3600)
    actuator.flush()
    assert starts(path.read_bytes())[-1] == 90
