"""Where sensors and actuators are wired: pins from the board's file, for a meter's configuration.

What a configuration may say of each is in :mod:`hushfw.core.peripherals`; which of that is a pin of
which kind, and what the board must be able to do for it, is here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from hushfw.core.peripherals import ACTUATORS, LOADS
from hushmeter.devices.boards import Board
from hushmeter.devices.facts import Table
from hushmeter.errors import HushmeterError


@dataclass(frozen=True)
class Wiring:
    """How one sensor or actuator is wired.

    Attributes
    ----------
    capability:
        What the board must have.
    pins:
        The field of the board's pins.
    settings:
        Setting -> field of those pins; "" where they are a single one.
    fixed:
        Settings that go with these pins.
    """

    capability: str
    pins: str
    settings: Mapping[str, str]
    fixed: Mapping[str, int]


_UART = {"uart": "id", "tx": "tx", "rx": "rx"}
_PIN = {"pin": ""}
WIRING = {
    "level": Wiring("adc", "level", _PIN, {}),
    "clamp": Wiring("adc", "clamp", {"voltage_pin": "voltage", "current_pin": "current"}, {}),
    "pzem": Wiring("uart", "uart", _UART, {}),
    "p1": Wiring("uart", "uart", _UART, {}),
    "pulse": Wiring("pin", "pulse", _PIN, {}),
    "ade7953": Wiring("i2c", "i2c", {"unit": "id", "sda": "sda", "scl": "scl"}, {"bus": 0}),
    "sunspec": Wiring("uart", "uart", _UART, {}),
    "pwm": Wiring("pwm", "pwm", _PIN, {}),
}
_OVER_SPI = Wiring("spi", "spi", {}, {"bus": 1})


def sensor_settings(board: Board, name: str, given: Mapping[str, int]) -> dict[str, Any]:
    """A sensor's object in the configuration, without ``export``.

    Raises
    ------
    HushmeterError
        There is no such sensor, the board cannot have it, or a setting is missing.
    """
    if name not in LOADS:
        known = ", ".join(("replay", *sorted(LOADS)))
        raise HushmeterError(f"there is no driver {name!r}; known drivers: {known}")
    _, needed, optional = LOADS[name]
    return _settings(board, "driver", name, given, needed, optional)


def actuator_settings(board: Board, name: str, given: Mapping[str, int]) -> dict[str, Any]:
    """An actuator's object in the configuration; errors as for a sensor."""
    if name not in ACTUATORS:
        known = ", ".join(("none", "log", *sorted(ACTUATORS)))
        raise HushmeterError(f"there is no actuator {name!r}; known actuators: {known}")
    return _settings(board, "actuator", name, given, *ACTUATORS[name])


def check_apart(driver: Mapping[str, Any], actuator: Mapping[str, Any] | str) -> None:
    """Refuse a sensor and an actuator on one UART or pin.

    Raises
    ------
    HushmeterError
        They share something; the message says what.
    """
    if isinstance(actuator, str):
        return
    ours, theirs = _places(driver), _places(actuator)
    for place in ours:
        if place in theirs:
            raise HushmeterError(
                f"driver {driver['name']} and actuator {actuator['name']} are both on {place}",
                hint=f"give one of them other pins: --set actuator.{theirs[place]}=N",
            )


def _places(part: Mapping[str, Any]) -> dict[str, str]:
    """What a part takes up, and the setting that says so."""
    found = {f"UART {part['uart']}": "uart"} if "uart" in part else {}
    for setting in part:
        is_pin = setting in ("pin", "tx", "rx", "sda", "scl", "sck", "mosi", "miso", "cs")
        if is_pin or setting.endswith("_pin"):
            found[f"pin {part[setting]}"] = setting
    return found


def _settings(
    board: Board,
    where: str,
    name: str,
    given: Mapping[str, int],
    needed: Mapping[str, tuple[int, int]],
    optional: Mapping[str, tuple[int, int]],
) -> dict[str, Any]:
    wiring = _OVER_SPI if name == "ade7953" and given.get("bus") == 1 else WIRING[name]
    if wiring.capability not in board.capabilities:
        raise HushmeterError(
            f"board {board.name} has no {wiring.capability}, which the {where} {name} needs",
            hint=f"hushmeter boards {board.name} lists what it has",
        )
    for setting in given:
        if setting not in needed and setting not in optional:
            known = ", ".join(sorted((*needed, *optional)))
            raise HushmeterError(f"the {where} {name} has no setting {setting}; it has {known}")
    made = {"name": name, **wiring.fixed, **_pins_of(board, where, name, wiring, given), **given}
    missing = [setting for setting in needed if setting not in made]
    if missing:
        least, most = needed[missing[0]]
        raise HushmeterError(
            f"the {where} {name} also needs {', '.join(missing)}",
            hint=f"--set {where}.{missing[0]}=N, with N from {least} to {most}; docs/sensors.md "
            "says what each is",
        )
    return made


def _pins_of(
    board: Board, where: str, name: str, wiring: Wiring, given: Mapping[str, int]
) -> dict[str, int]:
    """The board's pins for this, or nothing where all are given."""
    if all(setting in given for setting in wiring.settings):
        return {}
    pins = getattr(board.pins, wiring.pins)
    if pins is None:
        first = next(iter(wiring.settings))
        raise HushmeterError(
            f"board {board.name} has no pins for the {where} {name}",
            hint=f"name them: --set {where}.{first}=N; hushmeter boards {board.name} lists pins",
        )
    fields = msgspec.to_builtins(pins) if isinstance(pins, Table) else {"": pins}
    return {setting: fields[field] for setting, field in wiring.settings.items()}
