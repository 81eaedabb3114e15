"""A street into files, as it streams: loads as wide CSV in watts, truth as JSON.

The loads are what `hushmeter.loads.read_load` reads: the time, then a column `home_N_w` a home.
Whole watts, so nothing is lost. The truth has two keys: `homes` (number, residents, standby_w,
appliances) and `events`, one list [home, appliance, start_s, end_s, watts] for each thing that ran;
seconds count from the first row, and what a home draws is its standby power plus its events. Events
that already ran at the first row are in it with a negative start.
"""

import json
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TextIO

import numpy as np

from hushmeter.loads.synthetic.appliances import KINDS
from hushmeter.loads.synthetic.events import DAY_S
from hushmeter.loads.synthetic.street import Block, Street, truth


class StreetFiles:
    """The files of one street, open while its blocks come in order."""

    def __init__(self, street: Street, loads: Path, truth_file: Path | None = None) -> None:
        """Opens and begins the files; whatever they held is lost."""
        self._street = street
        with ExitStack() as stack:
            self._loads = stack.enter_context(loads.open("w", encoding="ascii"))
            names = [f"home_{home.number}_w" for home in street.homes]
            self._loads.write(",".join(["time", *names]) + "\n")
            self._truth: TextIO | None = None
            if truth_file is not None:
                self._truth = stack.enter_context(truth_file.open("w", encoding="ascii"))
                _begin_truth(street, self._truth)
            self._stack = stack.pop_all()
        self._first = True

    def __enter__(self) -> "StreetFiles":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._truth is not None and error is None:
            self._truth.write("\n]}\n")
        self._stack.close()

    def add(self, block: Block) -> None:
        """Writes the rows and events of a block."""
        begin_s = self._street.start_s + block.first_day * DAY_S
        stamps = begin_s + np.arange(block.demand_w.shape[1]) * block.step_s
        times = np.datetime_as_string(stamps.astype("datetime64[s]")).tolist()
        rows = block.demand_w.T.tolist()
        self._loads.writelines(
            f"{time},{','.join(map(str, row))}\n" for time, row in zip(times, rows, strict=True)
        )
        if self._truth is not None:
            homes = block.events["home"].tolist()
            for home, event in zip(homes, truth(block.events), strict=True):
                self._truth.write("\n" if self._first else ",\n")
                self._truth.write(json.dumps([home, *event]))
                self._first = False


def _begin_truth(street: Street, file: TextIO) -> None:
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
    file.write(json.dumps({**about, "homes": homes})[:-1] + ', "events": [')
