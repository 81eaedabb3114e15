"""Power cuts as a weapon: to make a meter mask a slot twice, or draw the same noise twice.

Whoever controls the supply, or waits for a storm, chooses when it goes. What the meter must not
forget is on the flash before anything leaves.
"""

from __future__ import annotations

import os
from typing import Any
from unittest import mock

from hushfw import journal as device_journal
from hushfw import store as device_store
from hushfw.core.drbg import Drbg
from hushmeter.attack.boards import Board, signed
from hushmeter.attack.book import Try, entry
from hushmeter.attack.scene import Scene, Street

_SLOTS = 3


def reports_in_memory_only(
    journal: Any, kind: int, payload: bytes, append: Any = device_journal.Journal.append
) -> None:
    """Undefended: a report is known until the power goes, and no longer."""
    if kind != device_journal.REPORT:
        append(journal, kind, payload)
        return
    size = journal.size_bytes()
    append(journal, kind, payload)
    os.truncate(journal._path, size)


def seed_stays(seeds: Any, seed: bytes, boots: int) -> None:
    """Undefended: a boot leaves the stored seed as it was."""


@entry(
    "masked-twice",
    summary="cuts the power after a report and feeds another reading for the same slot",
    defence="the report is in the journal before it leaves; that slot is never masked again",
    without=[(device_journal.Journal, "append", reports_in_memory_only)],
)
def masked_twice(scene: Scene) -> Try:
    """Two reports under one pad: their difference is that of the readings, but for two shares."""
    street = scene.enrolled(5, missing=0)
    board = street.boards[1]
    scene.read(street, 1, 1, 120)
    first, known = street.reported(1, 1), sum(scene.truth([1], 1))
    board.boot()
    sent = len(board.reports[1])
    scene.read(street, 1, 1, 870)
    again = len(board.reports[1]) > sent
    evidence: dict[str, Any] = {"reports_of_one_slot": len(board.reports[1])}
    if not again:
        return Try(False, evidence)
    difference = signed(street.reported(1, 1) - first)
    wanted = sum(scene.truth([1], 1)) - known
    evidence |= {
        "true_difference_wh": 870 - 120,
        "noise_shares_wh": wanted - (870 - 120),
        "recovered_difference_wh": difference,
    }
    return Try(difference == wanted, evidence)


def _totals(scene: Scene, street: Street, slots: range) -> list[int]:
    """The street's noisy totals, each after a power cut of every meter before it."""
    totals = []
    for slot in slots:
        for board in street.boards.values():
            board.boot()
        scene.run(street, slot)
        totals.append(signed(sum(street.reported(i, slot) for i in street.boards)))
    return totals


@entry(
    "generator-rollback",
    summary="cuts the whole street's power before each slot, so that all draw the same noise",
    defence="a boot mixes seed and counter and replaces the stored seed before its first output",
    without=[(device_store.SeedFile, "put", seed_stays)],
    false_alarm_rate=1e-6,
)
def generator_rollback(scene: Scene) -> Try:
    """The board's entropy is taken to be worthless, as the fixed seed of these meters is.

    Equal noise drops out of the difference of two totals. By chance two noises are equal with
    probability below 1 in 100 here (lambda = 50 Wh), so all of three pairs in 1 of 10^6 runs.
    The last figures cut the power around every write of a boot and count generators with one seed.
    """
    street = scene.enrolled(4, missing=0)
    totals = _totals(scene, street, range(1, _SLOTS + 2))
    true_wh = [scene.truth(street.boards, slot)[0] for slot in range(1, _SLOTS + 2)]
    errors = [(totals[i + 1] - totals[i]) - (true_wh[i + 1] - true_wh[i]) for i in range(_SLOTS)]
    cuts, repeated = _cuts_in_a_boot(scene, street)
    evidence = {
        "true_differences_wh": [true_wh[i + 1] - true_wh[i] for i in range(_SLOTS)],
        "recovered_differences_wh": [totals[i + 1] - totals[i] for i in range(_SLOTS)],
        "errors_wh": errors,
        "cuts_in_a_boot": cuts,
        "generators_repeated": repeated,
    }
    return Try(not any(errors), evidence)


class _Cut(Exception):
    """The power went."""


def _cuts_in_a_boot(scene: Scene, street: Street) -> tuple[int, int]:
    """(places at which the power was cut, generators that came again) over boots of one meter.

    Cut before and after every file that a boot replaces; then it boots twice more.
    """
    seeds: list[bytes] = []
    number = 0
    while True:
        board = scene.copy(street.boards[1], f"cut-{number}")
        seeds.clear()
        was_cut = _boot(board, number, seeds)
        _boot(board, None, seeds)
        _boot(board, None, seeds)
        if len(set(seeds)) < len(seeds):
            return number + 1, len(seeds) - len(set(seeds))
        if not was_cut:
            return number, 0
        number += 1


def _boot(board: Board, cut_at: int | None, seeds: list[bytes]) -> bool:
    """Boot, with the power cut at that place; the seeds of generators that came to be are kept."""
    passed = 0
    replace: Any = device_store.replace
    make: Any = Drbg.__init__

    def pass_or_cut() -> None:
        nonlocal passed
        if passed == cut_at:
            raise _Cut
        passed += 1

    def cut_replace(path: str, pieces: Any) -> None:
        pass_or_cut()
        replace(path, pieces)
        pass_or_cut()

    def seen(random: Drbg, seed: bytes) -> None:
        make(random, seed)
        seeds.append(bytes(seed))

    with (
        mock.patch.object(device_store, "replace", cut_replace),
        mock.patch.object(Drbg, "__init__", seen),
    ):
        try:
            board.boot()
        except _Cut:
            return True
    return False
