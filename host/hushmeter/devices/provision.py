"""What a meter is given before its first boot: its configuration and a seed.

The long-term key is made on the meter and never seen here. A fixed seed in place of entropy is a
mode of its own, named insecure wherever it shows, and only for emulation and tests.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from hushfw.core import config as device_config
from hushfw.core.errors import HushError
from hushmeter.errors import HushmeterError

CONFIG_FILE = "config.json"
SEED_FILE = "seed.bin"
IDENTITY_FILE = "identity.bin"
PAIRS_FILE = "pairs.bin"


@dataclass(frozen=True)
class Floors:
    """What a meter will not go below, fixed at provisioning."""

    least_members: int
    least_honest: int
    greatest_epsilon: Fraction
    shortest_slot_s: int


@dataclass(frozen=True)
class MeterPlan:
    """The configuration of one meter.

    Attributes
    ----------
    controller:
        The device's own object, such as ``{"name": "none"}``.
    source:
        Where the replay driver takes its rows from.
    driver:
        Another load driver: the device's own object without ``export``, such as
        ``{"name": "level", "pin": 26, ...}``.
    permitted_modes:
        Weakening modes that this meter may ever take part in.
    watchdog_ms:
        The board resets after a hang of this length; 0 for no watchdog.
    fixed_seed:
        Text that replaces all entropy; None on a real meter.
    """

    meter_id: int
    street: str
    board: str
    authority_key: bytes
    floors: Floors
    controller: dict[str, Any]
    source: str = "link"
    driver: Mapping[str, Any] | None = None
    export: bool = False
    actuator: str = "none"
    permitted_modes: Sequence[str] = ()
    fixed_seed: str | None = None
    provisioned_pairs: bool = False
    home_log_kib: int = 64
    watchdog_ms: int = 0


def configuration(plan: MeterPlan) -> dict[str, Any]:
    """The checked configuration object of a plan.

    Raises
    ------
    HushmeterError
        A field is wrong; the message is the one that the meter would give.
    """
    floors = plan.floors
    driver = plan.driver or {"name": "replay", "source": plan.source}
    settings: dict[str, Any] = {
        "version": device_config.VERSION,
        "meter_id": plan.meter_id,
        "street": plan.street,
        "board": plan.board,
        "authority_key": plan.authority_key.hex(),
        "floors": {
            "least_members": floors.least_members,
            "least_honest": floors.least_honest,
            "greatest_epsilon": list(floors.greatest_epsilon.as_integer_ratio()),
            "shortest_slot_s": floors.shortest_slot_s,
        },
        "driver": {**driver, "export": plan.export},
        "controller": plan.controller,
        "actuator": plan.actuator,
        "permitted_modes": sorted(plan.permitted_modes),
        "fixed_seed": plan.fixed_seed is not None,
        "provisioned_pairs": plan.provisioned_pairs,
        "home_log_kib": plan.home_log_kib,
        "watchdog_ms": plan.watchdog_ms,
    }
    try:
        device_config.check(settings)
    except HushError as error:
        raise HushmeterError(f"configuration of meter {plan.meter_id}: {error.message}") from error
    return settings


def files(plan: MeterPlan) -> dict[str, bytes]:
    """The files that provisioning writes, by name."""
    if plan.fixed_seed is None:
        seed = os.urandom(32)
    else:
        seed = derived_seed(plan.fixed_seed, f"meter {plan.meter_id}")
    return {
        CONFIG_FILE: json.dumps(configuration(plan)).encode(),
        SEED_FILE: with_checksum(bytes(4) + seed),
    }


def with_checksum(data: bytes) -> bytes:
    """Data as the device's store keeps it."""
    return data + zlib.crc32(data).to_bytes(4, "big")


def derived_seed(seed: str, purpose: str) -> bytes:
    """32 bytes that depend on a fixed seed and a purpose alone."""
    text = f"hushmeter fixed seed|{seed}|{purpose}"
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
