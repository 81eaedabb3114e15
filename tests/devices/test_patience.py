"""Patience is counted in the board's own time and by its steps, not by the wall clock alone."""

import time
from types import SimpleNamespace
from typing import Any

import pytest

from hushmeter.assets import main_script
from hushmeter.devices import console as console_module
from hushmeter.devices import meterlink
from hushmeter.devices.address import Address
from hushmeter.devices.console import Console
from hushmeter.devices.greeting import AtPrompt, greet
from hushmeter.devices.meterlink import Health, NoMeter, await_health
from hushmeter.errors import HushmeterError
from tests.devices.kit import UnixBoard

HELLO = {"boots": 1, "problem": ""}
LIFE = {"tries": 1, "place": "a", "safe": 0, "confirmed": 0}


class Clock:
    """Time that passes only where somebody waits."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, answers: dict[float, Health]) -> None:
        self.now_s = 0.0
        self._answers = answers
        monkeypatch.setattr(meterlink, "time", self)
        monkeypatch.setattr(meterlink, "_Asker", lambda address, look_s: self)

    reason = "silence"

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds

    def close(self) -> None:
        """Nothing is open."""

    def ask(self) -> Health | None:
        self.now_s += 1
        return max(
            ((at, health) for at, health in self._answers.items() if at <= self.now_s),
            default=(0, None),
            key=lambda pair: pair[0],
        )[1]


def said(**changes: Any) -> Health:
    hello = {name: changes.pop(name, value) for name, value in HELLO.items()}
    return Health(hello, LIFE | changes)


def confirmed(health: Health) -> bool:
    return bool(health.life["confirmed"])


def test_each_step_of_a_meter_that_comes_up_renews_the_patience(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    steps = {50: said(), 100: said(tries=2), 155: said(place="b"), 210: said(confirmed=1)}
    clock = Clock(monkeypatch, steps)
    assert await_health(Address("P"), 60, confirmed).life["confirmed"] == 1
    assert 200 < clock.now_s < 215


def test_a_meter_that_answers_without_coming_on_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock(monkeypatch, {50: said(), 400: said(confirmed=1)})
    assert await_health(Address("P"), 60, confirmed).life["confirmed"] == 0
    assert 105 < clock.now_s < 120


def test_silence_ends_after_the_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, {70: said()})
    with pytest.raises(NoMeter, match="silence"):
        await_health(Address("P"), 60)
    assert 60 < clock.now_s < 70


def test_a_slow_board_shows_itself_by_its_own_clock(tmp_path: object) -> None:
    console = Console("/dev/ttyNONE")
    console.run = lambda code, timeout_s=0.0: time.sleep(0.9 if "ticks" in code else 0.1) or ""  # type: ignore[method-assign, func-returns-value]
    assert 3.5 < console.measure() < 5
    console.run = lambda code, timeout_s=0.0: ""  # type: ignore[method-assign]
    assert console.measure() == 1


@pytest.mark.parametrize(("port", "most"), [("/dev/ttyACM0", 60.0), ("/dev/pts/0", 300.0)])
def test_a_board_is_not_believed_to_be_slower_than_any_that_was_seen(
    monkeypatch: pytest.MonkeyPatch, port: str, most: float
) -> None:
    """What lies about its clock gets no more than a bounded share of the host's patience."""
    now = [0.0]
    monkeypatch.setattr(console_module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    console = Console(port)
    allowed: list[float] = []

    def lingers(code: str, timeout_s: float = 30.0) -> str:
        if "ticks" in code:
            allowed.append(timeout_s)
            now[0] += 10_000
        return ""

    monkeypatch.setattr(console, "run", lingers)
    assert console.measure() == most
    assert allowed == [most * 0.2], "nor is the measurement itself waited for any longer"


def test_a_board_that_goes_on_stepping_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loader counts to three; what counts its starts for ever is no reason to wait for ever."""
    Clock(monkeypatch, {float(at): said(boots=at) for at in range(0, 100_000, 30)})
    assert await_health(Address("P"), 60, confirmed).life["confirmed"] == 0


def test_a_prompt_is_told_from_a_meter_at_once(tmp_path: Any) -> None:
    with UnixBoard(tmp_path / "board") as port:
        began = time.monotonic()
        with pytest.raises(AtPrompt):
            greet(port, 30.0)
        assert time.monotonic() - began < 5


def test_a_busy_meter_is_waited_for(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program is silent for two seconds, longer than one try, and then answers as a meter."""
    storage = tmp_path / "board"
    storage.mkdir()
    (storage / "main.py").write_text(
        "import sys, time\nsys.path.insert(0, '.')\ntime.sleep(2)\nimport answers\n"
    )
    (storage / "answers.py").write_text(
        f"import sys\nsys.path.append({str(main_script().parent)!r})\n"
        "from hushfw import serve, life\nfrom hushfw.core.errors import HushError\n"
        "from hushfw.endpoint import Broken\nfrom hushfw.links.stdio import Stdio\n"
        "link = Stdio()\nlink.open()\n"
        "serve.run(link, Broken(HushError('not_provisioned', 'late'), life.Life()))\n"
    )
    with UnixBoard(storage) as port:
        greeted = greet(port, 20.0)
        greeted.link.close()
    assert greeted.hello["problem"] == "not_provisioned: late"


def test_a_port_that_nobody_serves_is_given_up_after_the_patience() -> None:
    with pytest.raises(HushmeterError):
        greet("/dev/ttyNONE", 0.1)
