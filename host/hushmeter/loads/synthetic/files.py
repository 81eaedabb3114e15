"""A street into files, as it streams: loads as wide CSV in watts, truth as JSON.

The loads are what `hushmeter.loads.read_load` reads: the time, then a column `home_N_w` a home.
Whole watts, so nothing is lost. The truth has two keys: `homes` (number, residents, standby_w,
appliances) and `events`, one list [home, appliance, start_s, end_s, watts] for each thing that ran;
seconds count from the first row, and what a home draws is its standby power plus its events. Events
that already ran at the first row are in it with a negative start.
"""

import json
from typing import BinaryIO

import numpy as np

from hushmeter.loads.synthetic.appliances import KINDS
from hushmeter.loads.synthetic.events import DAY_S
from hushmeter.loads.synthetic.street import Block, Street, truth


class StreetFiles:
    """The files of one street, which the caller has open; its blocks come in order."""

    def __init__(self, street: Street, loads: BinaryIO, truth_file: BinaryIO | None = None) -> None:
        """Begins the files."""
        self._street, self._loads, self._truth = street, loads, truth_file
        names = [f"home_{home.number}_w" for home in street.homes]
        self._loads.write((",".join(["time", *names]) + "\n").encode("ascii"))
        if truth_file is not None:
            truth_file.write(_head_of_truth(street).encode("ascii"))
        self._first = True

    def end(self) -> None:
        """Completes the files after the last block."""
        if self._truth is not None:
            self._truth.write(b"\n]}\n")

    def add(self, block: Block) -> None:
        """Writes the rows and events of a block."""
        begin_s = self._street.start_s + block.first_day * DAY_S
        stamps = begin_s + np.arange(block.demand_w.shape[1]) * block.step_s
        times = np.datetime_as_string(stamps.astype("datetime64[s]")).tolist()
        rows = block.demand_w.T.tolist()
        self._loads.writelines(
            f"{time},{','.join(map(str, row))}\n".encode("ascii")
            for time, row in zip(times, rows, strict=True)
        )
        if self._truth is not None:
            homes = block.events["home"].tolist()
            for home, event in zip(homes, truth(block.events), strict=True):
                self._truth.write(b"\n" if self._first else b",\n")
                self._truth.write(json.dumps([home, *event]).encode("ascii"))
                self._first = False


def _head_of_truth(street: Street) -> str:
    homes = [
        {
            "home": home.number,
            "residents": residents,
            "standby_w": home.standby_w,
            "appliances": [KINDS[kind].name for kind in home.appliances],
            "lamps_w": home.lamps_w.tolist(),
        }
        for home, residents in zip(street.homes, street.residents, strict=True)
    ]
    about = {"seed": street.seed, "start": street.start.isoformat(), "step_s": street.step_s}
    return json.dumps({**about, "homes": homes})[:-1] + ', "events": ['
