"""The meter's generator over boots: cut at any write, put back, and with a source that breaks."""

from __future__ import annotations

import contextlib
import itertools
import os
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hushfw import generator, port, store
from hushfw.core.drbg import SEED, Drbg
from hushfw.core.errors import HushError
from hushmeter.devices.meter_plan import with_checksum

FIRST = with_checksum((0).to_bytes(4, "big") + bytes(range(32)))
OUTPUT = 64


class PowerCut(BaseException):
    """The power goes; no code of the firmware runs after it."""


class Cutter:
    """Files and renames of the store, and an end at one of their moments."""

    def __init__(self, at: int) -> None:
        self.left = at

    def moment(self) -> None:
        if self.left == 0:
            raise PowerCut
        self.left -= 1

    def open(self, path: str, mode: str) -> Any:
        if "w" not in mode:
            return open(path, mode)
        self.moment()
        return Writer(self, path, mode)

    def rename(self, before: str, after: str) -> None:
        self.moment()
        os.rename(before, after)
        self.moment()


class Writer:
    """A file whose bytes reach the flash in two halves."""

    def __init__(self, cutter: Cutter, path: str, mode: str) -> None:
        self._cutter = cutter
        self._file = open(path, mode)  # noqa: SIM115 (closed by __exit__)

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def write(self, data: bytes) -> None:
        half = len(data) // 2
        for part in (data[:half], data[half:]):
            self._cutter.moment()
            self._file.write(part)

    def flush(self) -> None:
        self._cutter.moment()
        self._file.flush()


MOMENTS = 6
NEVER = 99

Start = Callable[[], Any]


@pytest.fixture
def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "seed.bin").write_bytes(FIRST)
    return tmp_path


def boot(start: Start, cut_at: int) -> bytes | None:
    """What a boot gives out before its power goes, None if that is before it gives anything."""
    cutter = Cutter(cut_at)
    given: list[bytes] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "open", cutter.open, raising=False)
        patch.setattr(
            store,
            "os",
            types.SimpleNamespace(rename=cutter.rename, stat=os.stat, remove=os.remove),
        )
        with contextlib.suppress(PowerCut):
            start().give(given)
    return given[0] if given else None


class Good:
    """The firmware's own start."""

    def __init__(self) -> None:
        self._random, _ = generator.start(fixed_seed=True)

    def give(self, given: list[bytes]) -> None:
        given.append(self._random.bytes(OUTPUT))


class TooLate:
    """Positive control: the first output comes before the seed is replaced."""

    def give(self, given: list[bytes]) -> None:
        seeds = store.SeedFile()
        stored = seeds.take()
        assert stored is not None
        seed, boots = stored
        given.append(Drbg(seed + bytes(SEED - len(seed))).bytes(OUTPUT))
        seeds.put(port.sha256(seed), boots + 1)


class SameSeed(TooLate):
    """Positive control: the counter goes on and the seed stays, and only the seed is used."""

    def give(self, given: list[bytes]) -> None:
        seeds = store.SeedFile()
        stored = seeds.take()
        assert stored is not None
        seeds.put(stored[0], stored[1] + 1)
        given.append(Drbg(stored[0] + bytes(SEED - 32)).bytes(OUTPUT))


def repeats(storage: Path, start: Start) -> int:
    """Over all ways to cut three boots, then one whole one: how many outputs came twice."""
    found = 0
    for cuts in itertools.product((*range(MOMENTS), NEVER), repeat=3):
        (storage / "seed.bin").write_bytes(FIRST)
        outputs = [boot(start, at) for at in (*cuts, NEVER)]
        given = [output for output in outputs if output is not None]
        assert given
        found += len(given) - len(set(given))
    return found


def test_no_cut_at_any_write_of_any_boot_repeats_an_output(storage: Path) -> None:
    """Without entropy, where a repetition would show."""
    assert repeats(storage, Good) == 0


@pytest.mark.parametrize("broken", [TooLate, SameSeed])
def test_a_start_in_another_order_is_caught(storage: Path, broken: Start) -> None:
    assert repeats(storage, broken) > 0


def test_every_moment_of_a_boot_is_cut_and_leaves_a_whole_seed(storage: Path) -> None:
    for at in range(MOMENTS):
        (storage / "seed.bin").write_bytes(FIRST)
        assert boot(Good, at) is None
        stored = store.SeedFile().take()
        assert stored is not None and stored[1] in (0, 1)
    assert boot(Good, MOMENTS) is not None


def test_the_stored_seed_is_not_what_the_generator_runs_on(storage: Path) -> None:
    given = boot(Good, NEVER)
    stored = store.SeedFile().take()
    assert given is not None and stored is not None
    for tail in (bytes(16), stored[0][:16]):
        assert Drbg(stored[0] + tail).bytes(OUTPUT) != given


def counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A board's entropy that is another one at each read."""
    source = Drbg(bytes(range(48)))
    monkeypatch.setattr(port, "entropy", source.bytes)


def test_a_seed_that_is_put_back_gives_nothing_again(
    storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under a fixed seed it does: the positive control."""
    counted(monkeypatch)
    for fixed_seed, different in ((False, 5), (True, 1)):
        outputs = set()
        for _ in range(5):
            (storage / "seed.bin").write_bytes(FIRST)
            outputs.add(generator.start(fixed_seed)[0].bytes(OUTPUT))
        assert len(outputs) == different


def test_a_boot_with_a_broken_source_gives_nothing_and_keeps_the_seed(
    storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for broken in (bytes, lambda size: b"\xa5\x5a" * (size // 2), lambda size: b""):
        monkeypatch.setattr(port, "entropy", broken)
        with pytest.raises(HushError) as refusal:
            generator.start(fixed_seed=False)
        assert refusal.value.code == "entropy"
        assert (storage / "seed.bin").read_bytes() == FIRST


def test_fresh_entropy_is_mixed_in_before_a_slot(
    storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who has read the state before it cannot go on with it."""
    counted(monkeypatch)
    random, _ = generator.start(fixed_seed=False)
    thief = Drbg(bytes(SEED))
    thief._aes, thief._v, thief._at = random._aes, random._v, random._at
    thief._buffer[:] = random._buffer
    ahead = thief.bytes(OUTPUT)
    random.refresh()
    assert random.bytes(OUTPUT) != ahead


def test_a_source_that_breaks_later_lets_no_slot_be_masked(
    storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted(monkeypatch)
    random, _ = generator.start(fixed_seed=False)
    random.refresh()
    reads: Iterator[bytes] = iter([b"\x11" * SEED, os.urandom(SEED)])
    random._entropy._read = lambda size: next(reads)
    for _ in range(2):
        with pytest.raises(HushError) as refusal:
            random.refresh()
        assert refusal.value.code == "entropy"


def test_neither_shows_its_state(storage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted(monkeypatch)
    random, _ = generator.start(fixed_seed=False)
    assert (repr(random), repr(random._entropy)) == ("Generator(...)", "Entropy(...)")
