"""What to do about each fault of a sensor and of what drives the battery: the one table.

The texts are the device's, `hushfw.drivers.FAULTS` and an actuator's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hushmeter.printable import printable

SENSOR_ADVICE = {
    "silent": "the sensor does not answer: check its supply, its wires (TX to RX) and its address",
    "stuck": "the reading never changes: check that the clamp is closed around one conductor, and "
    "that the sensor itself is alive",
    "out_of_range": "the reading is beyond what a home can draw: check the wires, the gain and the "
    "clamp's ratio in the configuration",
    "negative": "power flows the wrong way: turn the clamp round, or provision with --export where "
    "the home feeds in and the sensor can tell",
    "bad_crc": "bytes are damaged on the way: shorten or twist the wires, keep them off the mains, "
    "and check the speed and a common ground",
    "wrong_address": "another device answers: check the address in the configuration, and that no "
    "two devices on the bus have the same",
    "cut": "messages come in part: check the wires and the speed, and that nothing else is on the "
    "port",
    "flood": "far too many pulses or bytes come: check for noise on the line and for a floating "
    "input",
    "bounce": "pulses bounce: use an opto-coupler or a capacitor at the input, or a longer "
    "debounce in the configuration",
    "encrypted": "the grid's company has the telegrams encrypted: ask it for the key, and use a "
    "reader that decrypts",
    "no_mains": "no mains voltage is seen: check the voltage sensor's transformer and its wires",
    "clipped": "the converter reaches the end of its range: use a larger burden ratio or a larger "
    "clamp, and check the bias voltage",
    "no_memory": "the meter's memory was full when it read: if that happens often, leave out what "
    "is not used (market, bills, a large pool), and report it",
    "failed": "the sensor's driver failed: check its pins in the configuration, and report it",
}
_BUS = "the wires between meter and inverter: check a, b and ground, the speed and the address"
ACTUATOR_ADVICE = {
    "silent": "the inverter does not answer: check that it is on, its wires, speed and address",
    "refused": "the inverter refuses set-points: allow control over Modbus in its own settings",
    "restarted": "the inverter has restarted, or something else sets it: let nothing else control "
    "it, and check its supply if that happens often",
    "off": "the battery is switched off at the inverter",
    "empty": "the battery is empty: it follows again once it is charged; make minimum_wh larger if "
    "that happens often",
    "full": "the battery is full: it follows again once it is discharged; make maximum_wh smaller "
    "if that happens often",
    "holding": "the inverter holds its battery for reasons of its own (temperature, reserve): see "
    "its display",
    "scale": "the inverter states its figures in a scale that makes no sense: update its software",
    "rating": "the inverter is rated below rated_w, or says nothing of it: provision with --set "
    "actuator.rated_w=N, N no more than its WChaMax",
    "no_timeout": "the inverter cannot end a set-point by itself, so it would go on without the "
    "meter: it is not driven; use another one",
    "pv_only": "the inverter may charge from the sun only: allow charging from the grid in its own "
    "settings (ChaGriSet)",
    "not_ready": "the ready line is low: the inverter is off, or the line is not connected",
    "failed": "the actuator's driver failed: check its pins in the configuration, and report it",
    "bad_crc": _BUS,
    "wrong_address": _BUS,
    "wrong_reply": _BUS,
    "cut": _BUS,
    "flood": _BUS,
}
_UNKNOWN = "check the sensor's supply and wires, and the pins that the configuration names"
_UNKNOWN_ACTUATOR = "check the inverter's supply and wires; until it follows, the battery is idle"


def advice_of(fault: str) -> str:
    """What to do about a sensor's fault."""
    return SENSOR_ADVICE.get(fault, _UNKNOWN)


def actuator_advice_of(fault: str) -> str:
    """What to do about an actuator's fault."""
    return ACTUATOR_ADVICE.get(fault, _UNKNOWN_ACTUATOR)


def is_idle(sensors: Mapping[str, Any]) -> bool:
    """Whether there is neither a sensor nor anything driven: nothing could be wrong with them."""
    return bool(sensors["driver"] == "replay" and sensors["actuator"] in ("none", "log"))


def spelled(sensors: Mapping[str, Any]) -> dict[str, Any]:
    """A ``sensors`` message with its words apart: fault, faults, actuator and its own two."""
    parts = bytes(sensors["words"]).decode("ascii", "replace").split(";")
    fault, faults, actuator, its_fault, its_faults = (*parts, *[""] * 5)[:5]
    return {
        **{name: value for name, value in sensors.items() if name != "words"},
        "fault": printable(fault),
        "faults": _counts(faults),
        "actuator": printable(actuator),
        "actuator_fault": printable(its_fault),
        "actuator_faults": _counts(its_faults),
    }


def _counts(text: str) -> dict[str, int]:
    """Faults since boot by name; what cannot be read is left out."""
    counts: dict[str, int] = {}
    for entry in text.split(","):
        name, _, count = entry.partition(" ")
        if name.isidentifier() and count.isdecimal():
            counts[name] = int(count)
    return counts
