"""Makes a deployed board a meter of a street, and learns its public key.

The configuration and a seed go onto the board; the meter then makes its own long-term key from the
seed and its chip's entropy, and only the public half ever comes out. A board that has a key keeps
it: its configuration may change, but not into that of another meter, unless the key is given up
with everything that was made under it.
"""

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hushfw.core.pace import MOST_WATCHDOG_MS
from hushfw.core.roster import mode_names
from hushmeter.cluster.keyfile import fingerprint
from hushmeter.devices.boardfiles import TEMPORARY, BoardFiles
from hushmeter.devices.boards import Board
from hushmeter.devices.console import Console
from hushmeter.devices.firmware import LOADER, OLD_PACKAGE, USE_FILE
from hushmeter.devices.meter_plan import (
    CONFIG_FILE,
    IDENTITY_FILE,
    PAIRS_FILE,
    SEED_FILE,
    SIGNING_KEY_FILE,
    MeterPlan,
    Whose,
    files,
    more_than_any_boots,
)
from hushmeter.devices.meterlink import PATIENCE_S, await_health, open_link
from hushmeter.devices.network_plan import NETWORK_FILES
from hushmeter.devices.wiring import sensor_settings
from hushmeter.errors import HushmeterError

# The home's own readings.
_HOMES = ("home.bin", "home.bin.old", "battery.log", "battery.log.old")
# What a meter makes under its key, in the order in which it is given up: without a configuration
# it masks nothing, and a journal outlives the key whose slots it counts.
_OWN = (
    CONFIG_FILE,
    IDENTITY_FILE,
    PAIRS_FILE,
    "keys-*.bin",
    "keys-*.new",
    "roster-*.bin",
    "roster.new",
    "journal.bin",
    SIGNING_KEY_FILE,
    "leaves-*.bin",
    "leaves-*.sig",
    *NETWORK_FILES,
    *_HOMES,
    SEED_FILE,
)


class HasIdentity(HushmeterError):
    """The board is a meter already, and another one than asked for."""


class NotDeployed(HushmeterError):
    """There is no firmware on the board that could be provisioned."""


@dataclass(frozen=True)
class Provisioned:
    """A meter as the authority of its street wants to know it.

    Attributes
    ----------
    kept_identity:
        The board had its key before; only its configuration was written.
    fingerprint:
        SHA-256 of the public key, in groups of four digits.
    signing_key:
        The Ed25519 key that signs its commitments; None where it makes none.
    """

    meter_id: int
    street: str
    board: str
    public_key: bytes
    kept_identity: bool
    firmware: str
    modes: tuple[str, ...]
    signing_key: bytes | None = None

    @property
    def fingerprint(self) -> str:
        """What two people compare."""
        return fingerprint(self.public_key)

    def to_dict(self) -> dict[str, Any]:
        """An object fit for JSON, with keys that stay."""
        found = {
            "meter_id": self.meter_id,
            "street": self.street,
            "board": self.board,
            "public_key": self.public_key.hex(),
            "fingerprint": self.fingerprint,
            "firmware": self.firmware,
            "insecure_modes": list(self.modes),
            "kept_identity": self.kept_identity,
        }
        if self.signing_key is not None:
            found["signing_key"] = self.signing_key.hex()
            found["signing_fingerprint"] = fingerprint(self.signing_key)
        return found


def driver_settings(board: Board, name: str, settings: Mapping[str, int]) -> dict[str, Any]:
    """A driver's object in the configuration, with its pins from the board's file.

    Raises
    ------
    HushmeterError
        There is no such driver, the board cannot have it, or a setting is missing.
    """
    if name == "replay":
        return {"name": name, "source": "link", **settings}
    return sensor_settings(board, name, settings)


def default_watchdog_ms(board: Board) -> int:
    """The longest time-out that the board and the firmware know; 0 where there is no watchdog."""
    if board.watchdog is None:
        return 0
    longest = board.watchdog.longest_ms or MOST_WATCHDOG_MS
    return min(longest, MOST_WATCHDOG_MS)


def provision(
    console: Console,
    board: Board,
    plan: MeterPlan,
    *,
    replace_identity: bool = False,
    patience_s: float = PATIENCE_S,
) -> Provisioned:
    """Write a meter's configuration and seed, start it, and read its public key.

    Parameters
    ----------
    replace_identity:
        Give up the board's key, and its journal and rosters with it.

    Raises
    ------
    HasIdentity, NotDeployed
        Nothing was changed.
    HushmeterError
        The configuration is wrong, or the meter refused it; the one before is back.
    """
    new = files(plan)
    try:
        console.require(board)
        storage = BoardFiles(console)
        sizes = storage.listing()
        check_deployed(console, sizes)
        replaced = (*plan.tables, CONFIG_FILE)
        # A meter without a broker keeps no password of the home's Wi-Fi.
        left_over = [p for p in NETWORK_FILES if p in sizes and p not in plan.tables]
        found = {p: storage.read(p) for p in (*left_over, *replaced) if p in sizes}
        before = {path: data for path, data in found.items() if data is not None}
        kept = IDENTITY_FILE in sizes and not replace_identity
        if kept:
            _check_same(console, before.get(CONFIG_FILE), plan)
        else:
            # Also where the key alone is gone: its secrets and journal fit no other one.
            given_up = own_files(sizes)
            storage.remove(p for p in given_up if replace_identity or p not in _HOMES)
        if kept and SEED_FILE not in sizes:
            new = files(plan, more_than_any_boots())
        if not kept or SEED_FILE not in sizes:
            storage.replace(SEED_FILE, new[SEED_FILE])
        for path in replaced:
            storage.replace(path, new[path])
        storage.remove(path for path in left_over if kept)
    finally:
        console.reset()
    try:
        health = await_health(console.address, patience_s * console.slowness)
        reason = health.problem
        if not reason and health.hello["meter_id"] != plan.meter_id:
            reason = f"it answers as meter {health.hello['meter_id']}"
    except HushmeterError as error:
        reason = error.message
    if reason:
        raise HushmeterError(
            f"the meter does not work with this configuration: {reason}"
            + (f"; {_taken_back(console, before)}" if kept else ""),
            hint=f"hushmeter doctor --port {console.address.device}",
        )
    return Provisioned(
        meter_id=plan.meter_id,
        street=plan.street,
        board=board.name,
        public_key=bytes(health.hello["public_key"]),
        kept_identity=kept,
        firmware=health.hello["firmware"],
        modes=tuple(mode_names(health.hello["modes"])),
        signing_key=_signing_key(console, plan),
    )


def _signing_key(console: Console, plan: MeterPlan) -> bytes | None:
    """The key that signs its commitments, of a meter that makes them."""
    if plan.paillier is None or not plan.paillier.get("bills"):
        return None
    link = open_link(console.address)
    try:
        return bytes(link.request("bill_request", close=0).fields["public_key"])
    finally:
        link.close()


def check_deployed(console: Console, sizes: Mapping[str, int]) -> None:
    """Refuse a board without firmware; ``sizes`` is its listing."""
    if LOADER in sizes and (USE_FILE in sizes or f"{OLD_PACKAGE}/" in sizes):
        return
    raise NotDeployed(
        f"there is no firmware on the board at {console.address.device}",
        hint=f"hushmeter deploy --port {console.address.device}",
    )


def _check_same(console: Console, before: bytes | None, plan: MeterPlan) -> None:
    """Refuse to make another meter of one that has its key."""
    hint = (
        "take another board, or give up its key, journal and rosters with --replace-identity; "
        "its street must then enrol it anew"
    )
    was = Whose.said_by(before)
    if was is None:
        raise HasIdentity(
            f"the board at {console.address.device} has a key, but no configuration that says "
            "whose it is",
            hint=hint,
        )
    for name in ("meter_id", "street", "board"):
        value, wanted = getattr(was, name), getattr(plan, name)
        if value != wanted:
            raise HasIdentity(
                f"the board at {console.address.device} is meter {was.meter_id} of street "
                f"{was.street!r} on {was.board}: {name} is {value!r}, not {wanted!r}",
                hint=hint,
            )


def own_files(sizes: Mapping[str, int]) -> list[str]:
    """What a meter made under its key, in the order in which it is given up."""
    found = []
    for pattern in _OWN:
        for path in (pattern, pattern + TEMPORARY):
            found += fnmatch.filter(sizes, path)
    return found


def _taken_back(console: Console, before: Mapping[str, bytes]) -> str:
    """Put back what the meter has worked with; in words, whether that could be done."""
    try:
        _put_back(console, before)
    except HushmeterError as error:
        return f"and the one before could not be put back: {error.message}"
    return "the one before is back"


def _put_back(console: Console, before: Mapping[str, bytes]) -> None:
    """Write the configuration and tables of before."""
    console.open()
    try:
        for path, data in before.items():
            BoardFiles(console).replace(path, data)
    finally:
        console.reset()
