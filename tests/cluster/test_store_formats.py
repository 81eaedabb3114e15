"""A store as earlier releases wrote it is opened and completed; a later one is refused."""

from __future__ import annotations

import gzip
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from hushmeter.cluster.aggregator import COMPLETED, DONE, VOID
from hushmeter.cluster.store import Store
from hushmeter.errors import HushmeterError
from tests.cluster.street_kit import make_street, take
from tests.fixtures.formats.make_store import SEED

FORMATS = Path(__file__).resolve().parents[1] / "fixtures" / "formats"
STORES = ["store-96c67a4", "store-05d6270"]


def unpacked(name: str, folder: Path) -> Path:
    path = folder / "street.db"
    path.write_bytes(gzip.decompress((FORMATS / name / "street.db.gz").read_bytes()))
    return path


@pytest.mark.parametrize("name", STORES)
def test_an_aggregator_goes_on_where_an_earlier_one_stopped(name: str, tmp_path: Path) -> None:
    told = json.loads((FORMATS / name / "told.json").read_text())
    kit = make_street(5, missing=1, seed=SEED)
    aggregator = kit.aggregator(unpacked(name, tmp_path))
    with closing(aggregator._store):
        slots = aggregator.slots
        assert [slots[n].state for n in (1, 2, 3, 4)] == [DONE, VOID, VOID, "open"]
        silent = {str(n): slot.silent.hex() for n, slot in slots.items() if slot.silent is not None}
        assert silent == told["silent"]
        assert {str(n): slots[n].totals for n in (1, 2, 3)} == told["totals"]
        assert aggregator.announce(3)[kit.ids()[0]]["silent"].hex() == told["silent"]["3"]
        late = kit.meters[kit.ids()[0]].answer(3, bytes.fromhex(told["silent"]["3"]))
        take(aggregator, [late])
        assert (slots[3].state, slots[3].totals) == (COMPLETED, [sum(7 * m + 3 for m in kit.ids())])
        # Two reports of slot 4 were kept: they are the same ones, and the others are taken.
        take(aggregator, [kit.meters[m].report(4, [7 * m + 4]) for m in kit.ids()])
        announced = aggregator.announce(4)
        take(aggregator, [kit.meters[m].answer(4, f["silent"]) for m, f in announced.items()])
        assert slots[4].totals == [sum(7 * m + 4 for m in kit.ids())]


def test_a_store_of_a_later_release_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = unpacked(STORES[-1], tmp_path)
    with closing(sqlite3.connect(path)) as db:
        (version,) = db.execute("PRAGMA user_version").fetchone()
        db.execute(f"PRAGMA user_version={version + 1}")
    before = path.read_bytes()
    with pytest.raises(HushmeterError, match=f"store version {version + 1}, this program reads"):
        Store(path)
    assert path.read_bytes() == before
