"""An update cut at any page it programs and any block it erases leaves a board that starts.

Loader and deployment are the real ones, run by MicroPython on littlefs; the switch of the place in
use, the replacement of main.py and the loader's own counting are cut in their middle.
"""

from pathlib import Path

import pytest

from hil.power import update
from hil.power.record import Cut, Record
from hil.power.unix_machine import MachineFault, UnixMachine, image_of
from hushmeter.emulate import littlefs

OWN = {
    "config.json": b"{}",
    "seed.bin": bytes(40),
    "journal.bin": bytes(range(256)) * 12,
    "keys-1-19675.bin": bytes(120),
}
STARTS = update.MOST_TRIALS + 2


@pytest.fixture(scope="module")
def updated() -> tuple[Record, int]:
    """The record of an update and the starts after it; where in it the update was done."""
    with UnixMachine() as machine:
        machine.start_prompt(image_of(update.before(OWN)))
        update.update(machine.run_code)
        image = machine.off()
        done = len(machine.record.events)
        assert starts(machine, image)[0] == [update.RUNS_NEW] * update.MOST_TRIALS + [
            update.RUNS_OLD
        ] * (STARTS - update.MOST_TRIALS)
        return machine.record, done


def starts(machine: UnixMachine, image: bytes) -> tuple[list[str], bytes]:
    """What runs at each of several starts in a row, and the flash after them."""
    runs = []
    for _ in range(STARTS):
        try:
            said, image = machine.run_loader(image)
        except MachineFault as fault:
            said = str(fault)
        runs.append(said)
    return runs, image


@pytest.mark.parametrize("where", ["before", "torn", "ragged", "reordered"])
def test_an_update_cut_at_any_flash_operation_starts_the_old_or_the_new_firmware(
    updated: tuple[Record, int], where: str
) -> None:
    record, done = updated
    cuts = [cut for cut in record.cuts() if cut.where == where]
    assert len(cuts) > 20
    first: dict[Cut, str] = {}
    with UnixMachine() as machine:
        for cut, image in zip(cuts, record.images(cuts), strict=True):
            runs, after = starts(machine, image)
            assert update.boots_well(runs), (cut, runs)
            files = littlefs.read(after)
            assert {name: files[name] for name in OWN} == OWN, cut
            first[cut] = runs[0]
    in_update = [run for cut, run in first.items() if cut.event < done]
    changed = in_update.index(update.RUNS_NEW) if update.RUNS_NEW in in_update else len(in_update)
    assert set(in_update[:changed]) == {update.RUNS_OLD}
    assert set(in_update[changed:]) <= {update.RUNS_NEW}


def test_an_update_that_was_cut_can_be_done_again(updated: tuple[Record, int]) -> None:
    record, done = updated
    cuts = [cut for cut in record.cuts() if cut.where == "torn" and cut.event < done][::6]
    with UnixMachine() as machine:
        for cut, image in zip(cuts, record.images(cuts), strict=True):
            machine.start_prompt(image)
            update.update(machine.run_code)
            said, after = machine.run_loader(machine.off())
            assert said == update.RUNS_NEW, cut
            assert littlefs.read(after)["main.py"] == update.LOADER


def test_a_loader_that_is_overwritten_where_it_is_would_be_found() -> None:
    """Positive control: main.py is replaced without the rename."""
    overwrite = f"""
data = {update.LOADER!r}
with open("main.py", "wb") as f:
    for at in range(0, len(data), 700):
        f.write(data[at : at + 700])
        f.flush()
"""
    with UnixMachine() as machine:
        machine.start_prompt(image_of(update.before(OWN)))
        machine.run_code(overwrite)
        machine.off()
        record = machine.record
        runs = [starts(machine, image)[0] for image in record.images(record.cuts())]
    assert not all(update.boots_well(run) for run in runs)


def test_the_loader_that_is_tested_is_the_one_that_is_deployed() -> None:
    firmware = Path(__file__).resolve().parents[2] / "firmware"
    assert (firmware / "main.py").read_bytes() == update.LOADER
    assert update.LOADER != update.OLD_LOADER
