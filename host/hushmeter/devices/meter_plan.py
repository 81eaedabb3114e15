"""What a meter is given before its first boot: its configuration and a seed.

The long-term key is made on the meter and never seen here. A fixed seed in place of entropy is a
mode of its own, named insecure wherever it shows, and only for emulation and tests.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from hushfw.core import config as device_config
from hushfw.core.errors import HushError
from hushmeter.errors import HushmeterError

CONFIG_FILE = "config.json"
SEED_FILE = "seed.bin"
IDENTITY_FILE = "identity.bin"
PAIRS_FILE = "pairs.bin"
SIGNING_KEY_FILE = "signing.bin"

_MOST_BOOTS = 0xFFFF0000


@dataclass(frozen=True)
class Floors:
    """What a meter will not go below, fixed at provisioning."""

    least_members: int
    least_honest: int
    greatest_epsilon: Fraction
    shortest_slot_s: int


@dataclass(frozen=True)
class PrivacyCap:
    """What the home calls enough epsilon over a window of days; reaching it is shown."""

    epsilon: Fraction
    window_days: int

    def __str__(self) -> str:
        return f"epsilon {self.epsilon} in {self.window_days} days"


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
    actuator:
        ``none``, ``log``, or the device's own object such as ``{"name": "pwm", "pin": 16, ...}``.
    permitted_modes:
        Weakening modes that this meter may ever take part in.
    tables:
        Policies of the controller, and the key and comb of :mod:`hushmeter.crypto.on_meter`, by the
        names of their files on the meter.
    paillier:
        How the meter encrypts: the device's own object; None where it does not.
    watchdog_ms:
        The board resets after a hang of this length; 0 for no watchdog.
    fixed_seed:
        Text that replaces all entropy; None on a real meter.
    noise_sampler:
        ``exact``, or ``bounded``: the same time for every share, within 2^-64 of its law.
    report_after_ms, answer_after_ms:
        When the messages of a meter that measures leave, after the slot's end and after the
        announcement; None for the device's own.
    market:
        The terms of a home that trades: the device's own object; None where it does not.
    privacy_cap:
        None where the home sets none.
    network:
        The broker that the meter publishes to itself: the device's own object; its secrets are
        among ``tables``. None where it has none.
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
    actuator: str | Mapping[str, Any] = "none"
    permitted_modes: Sequence[str] = ()
    fixed_seed: str | None = None
    provisioned_pairs: bool = False
    home_log_kib: int = 64
    watchdog_ms: int = 0
    tables: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    paillier: Mapping[str, Any] | None = None
    noise_sampler: str = "exact"
    report_after_ms: int | None = None
    answer_after_ms: int | None = None
    market: Mapping[str, Any] | None = None
    privacy_cap: PrivacyCap | None = None
    network: Mapping[str, Any] | None = None


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
        "actuator": plan.actuator if isinstance(plan.actuator, str) else dict(plan.actuator),
        "permitted_modes": sorted(plan.permitted_modes),
        "fixed_seed": plan.fixed_seed is not None,
        "provisioned_pairs": plan.provisioned_pairs,
        "home_log_kib": plan.home_log_kib,
        "watchdog_ms": plan.watchdog_ms,
        "noise_sampler": plan.noise_sampler,
    }
    for name in ("report_after_ms", "answer_after_ms"):
        if getattr(plan, name) is not None:
            settings[name] = getattr(plan, name)
    if plan.paillier is not None:
        settings["paillier"] = dict(plan.paillier)
    if plan.network is not None:
        settings["network"] = dict(plan.network)
    if plan.market is not None:
        settings["market"] = dict(plan.market)
    if plan.privacy_cap is not None:
        settings["privacy_cap"] = {
            "epsilon": list(plan.privacy_cap.epsilon.as_integer_ratio()),
            "window_days": plan.privacy_cap.window_days,
        }
    try:
        device_config.check(settings)
    except HushError as error:
        raise HushmeterError(f"configuration of meter {plan.meter_id}: {error.message}") from error
    return settings


def files(plan: MeterPlan, boots: int = 0) -> dict[str, bytes]:
    """The files that provisioning writes, by name.

    Parameters
    ----------
    boots:
        How often the meter has started with its key; see :func:`more_than_any_boots`.
    """
    if plan.fixed_seed is None:
        seed = os.urandom(32)
    else:
        seed = derived_seed(plan.fixed_seed, f"meter {plan.meter_id}")
    return {
        CONFIG_FILE: json.dumps(configuration(plan)).encode(),
        SEED_FILE: with_checksum(boots.to_bytes(4, "big") + seed),
        **plan.tables,
    }


def more_than_any_boots() -> int:
    """A count of starts above that of any meter, for a seed that is written where a key was used.

    The count tells a meter whose journal is lost from a new one, and is a part of what the
    supplier signs when it tells the time. So it goes on, and never begins at 0 under the same key;
    no meter starts once a second, so the time in seconds is ahead of all counts, also of those
    that began with an earlier such time.
    """
    return min(max(int(time.time()), 1 << 30), _MOST_BOOTS)


class Whose(msgspec.Struct, frozen=True):
    """Whose meter a configuration on a board says that this is.

    Attributes
    ----------
    authority_key:
        As it stands there, in hexadecimal digits; "" where it does not.
    """

    meter_id: Annotated[int, Meta(ge=1, lt=1 << 32)]
    street: Annotated[str, Meta(max_length=32)]
    board: Annotated[str, Meta(max_length=32)]
    authority_key: str = ""

    @staticmethod
    def said_by(config: bytes | None) -> Whose | None:
        """What a file says; None where it does not, or there is none."""
        try:
            return msgspec.json.decode(config or b"", type=Whose)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None


def checked(config: bytes) -> dict[str, Any]:
    """The whole configuration in a file, as the device's own check finds it right.

    Raises
    ------
    HushmeterError
        It is not; the message is the one that the meter would give.
    """
    try:
        settings: dict[str, Any] = device_config.check(json.loads(config))
    except HushError as error:
        raise HushmeterError(error.message) from error
    except (ValueError, RecursionError) as error:
        raise HushmeterError("it is not JSON") from error
    return settings


def with_checksum(data: bytes) -> bytes:
    """Data as the device's store keeps it."""
    return data + zlib.crc32(data).to_bytes(4, "big")


def derived_seed(seed: str, purpose: str) -> bytes:
    """32 bytes that depend on a fixed seed and a purpose alone."""
    text = f"hushmeter fixed seed|{seed}|{purpose}"
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
