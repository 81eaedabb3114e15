"""What a home leaks, in the form in which it is shown, and the words for it."""

from __future__ import annotations

from dataclasses import dataclass

from hushmeter.leakage.home import HomeLeakage
from hushmeter.leakage.home_measured import Measured
from hushmeter.report.battery_model import BatteryReport
from hushmeter.report.pictures.stepping_common import LABELS

_UNITS = {1: "second", 60: "minute", 900: "quarter of an hour", 1800: "half hour", 3600: "hour"}


@dataclass
class LeakageReport:
    """Figures, the day that is shown, and the command line that repeats it."""

    found: HomeLeakage
    day: BatteryReport
    command: str = ""

    @property
    def unit(self) -> str:
        """A step in words: minute."""
        step_s = self.found.model.steps.step_s
        return _UNITS.get(step_s, f"step of {step_s} s")

    @property
    def source(self) -> str:
        """What stands on every picture."""
        text = f"{self.found.record.source}, home {self.found.record.home}"
        return "".join(letter if letter.isprintable() else "?" for letter in text)[:100]

    def questions(self, bits: float) -> str:
        """Bits a step as yes-or-no questions a day."""
        count = bits * self.found.steps_a_day
        return f"{count:,.0f}" if count >= 1 else f"{count:.1g}"

    @property
    def behind(self) -> list[Measured]:
        """What was run with a battery."""
        return [one for one in self.found.measured if one.controller != "none"]


def bits(value: float) -> str:
    """Bits with as many digits as say something."""
    if value < 0.0005:
        return f"{value:.1g}" if value > 0 else "0"
    return f"{value:.3f}" if value < 1 else f"{value:.2f}"


def label(controller: str) -> str:
    """A controller's name for people."""
    return "designed table" if controller == "table" else LABELS.get(controller, controller)
