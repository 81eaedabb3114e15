"""One deployment from the prompt to a meter that has confirmed its new firmware."""

import time
from dataclasses import dataclass, field
from typing import Any

from hushmeter.devices.boardfiles import BoardFiles
from hushmeter.devices.boards import Board
from hushmeter.devices.console import Console, Identity, WrongBoard
from hushmeter.devices.deploy_plan import (
    Done,
    Found,
    Plan,
    Progress,
    carry_out,
    check_not_older,
    is_deployed,
    look,
    make_plan,
)
from hushmeter.devices.firmware import Firmware
from hushmeter.devices.meterlink import PATIENCE_S, Health, NoMeter, await_health
from hushmeter.errors import HushmeterError

_OF_THIS_MACHINE = "host"


class DeployFailed(HushmeterError):
    """The new firmware did not come up; the message says what runs now."""


@dataclass(frozen=True)
class Deployment:
    """What was done, as reported.

    Attributes
    ----------
    changed:
        Whether anything was written; False where exactly this firmware was there.
    previous:
        The version before, or None on a board that had none.
    done:
        What was written; None where nothing was.
    migrated:
        Whether a firmware in the root, of the layout before this one, was removed.
    start_ms:
        From the reset to the confirmation, as the host saw it.
    """

    board: str
    port: str
    firmware: Firmware = field(repr=False)
    changed: bool
    previous: str | None
    done: Done | None
    loader_replaced: bool
    migrated: bool
    health: Health
    start_ms: int

    def to_dict(self) -> dict[str, Any]:
        """An object fit for JSON, with keys that stay."""
        done = self.done
        life = self.health.life
        return {
            "board": self.board,
            "port": self.port,
            "version": self.firmware.version,
            "previous": self.previous,
            "changed": self.changed,
            "place": self.health.place,
            "confirmed": bool(life.get("confirmed", 0)),
            "problem": self.health.problem,
            "mpy": self.firmware.mpy,
            "architecture": self.firmware.architecture,
            "files": len(self.firmware.files),
            "bytes": self.firmware.bytes,
            "sent_files": done.sent_files if done else 0,
            "sent_bytes": done.sent_bytes if done else 0,
            "copied_files": done.copied_files if done else 0,
            "kept_files": done.kept_files if done else 0,
            "copy_ms": done.copy_ms if done else 0,
            "loader_replaced": self.loader_replaced,
            "migrated": self.migrated,
            "import_ms": life.get("import_ms"),
            "boot_ms": life.get("boot_ms"),
            "start_ms": self.start_ms,
        }


def deploy(
    console: Console,
    board: Board,
    firmware: Firmware,
    loader: bytes,
    *,
    force: bool = False,
    patience_s: float = PATIENCE_S,
    progress: Progress = lambda done, total: None,
) -> Deployment:
    """Put a firmware onto the board behind an open prompt, start it, and wait until it is healthy.

    Whatever goes wrong before the place in use changes, the board is restarted as it was.

    Parameters
    ----------
    force:
        Also deploy an older version, or the same one once more.
    patience_s:
        How long the board may be silent, or answer without coming on, in its own seconds.

    Raises
    ------
    WrongBoard, FilesystemFull, Older
        Nothing was changed that is in use.
    DeployFailed
        The new firmware did not come up.
    """
    running = console.hello["firmware"] if console.hello else None
    try:
        check_interpreter(console.require(board), board, firmware)
        files = BoardFiles(console)
        found = look(files)
        plan = None
        if force or not is_deployed(found, firmware, loader):
            if not force:
                check_not_older(found, firmware, running)
            plan = make_plan(found, files, firmware, loader)
        done = carry_out(files, plan, progress) if plan is not None else None
    finally:
        console.reset()
    began = time.monotonic()
    place = plan.place if plan is not None else found.place
    health = _await_confirmed(console, firmware, place, patience_s)
    start_ms = round((time.monotonic() - began) * 1000)
    if plan is not None and plan.clean:
        health = _clean(console, plan, patience_s)
    return Deployment(
        board=board.name,
        port=console.address.device,
        firmware=firmware,
        changed=plan is not None,
        previous=_previous(found, running),
        done=done,
        loader_replaced=plan is not None and plan.loader is not None,
        migrated=plan is not None and bool(plan.clean),
        health=health,
        start_ms=start_ms,
    )


def check_interpreter(identity: Identity, board: Board, firmware: Firmware) -> None:
    """Refuse an interpreter that cannot load what was compiled for this board."""
    if not firmware.mpy:
        return
    native = firmware.architecture != "none"
    same = identity.mpy == firmware.mpy if native else _major(identity.mpy) == _major(firmware.mpy)
    # A process was compiled for by the machine that it runs on.
    loads = ("none", _OF_THIS_MACHINE, identity.architecture)
    if not same or firmware.architecture not in loads:
        advice = f"put the board's own image on: hushmeter flash --board {board.name}"
        if board.image is None:
            advice = f"send the sources: hushmeter deploy --board {board.name} --source"
        raise WrongBoard(
            f"MicroPython {identity.version} at the port loads bytecode {identity.mpy} with native "
            f"code {identity.architecture}; the firmware for {board.name} is {firmware.mpy}, "
            f"{firmware.architecture}",
            hint=advice,
        )


def _major(version: str) -> str:
    return version.partition(".")[0]


def _previous(found: Found, running: str | None) -> str | None:
    use = found.use
    if use is not None and use.place in found.manifests:
        return found.manifests[use.place].version
    return running


def _await_confirmed(
    console: Console, firmware: Firmware, place: str | None, patience_s: float
) -> Health:
    """The health of the new firmware, confirmed; a :class:`DeployFailed` says what runs instead."""
    address = console.address
    last_problem = ""

    def enough(health: Health) -> bool:
        nonlocal last_problem
        last_problem = health.problem or last_problem
        if health.life.get("safe"):
            raise DeployFailed(
                f"the board went to safe mode: {health.problem}",
                hint=f"hushmeter doctor --port {address.device}",
            )
        if health.life and health.place != place:
            raise DeployFailed(
                f"firmware {firmware.version} did not run well, and the board went back to "
                f"{health.hello['firmware']}"
                + (f"; it said: {last_problem}" if last_problem else ""),
                hint=f"hushmeter doctor --port {address.device}",
            )
        # A firmware older than the life message cannot say that it is confirmed.
        return not health.life or bool(health.life["confirmed"])

    try:
        health = await_health(address, patience_s * console.slowness, enough)
    except NoMeter as error:
        raise DeployFailed(
            f"after the deployment {error.message}",
            hint="unplug the board and plug it in again; after three tries it goes back to the "
            "firmware before",
        ) from error
    if not enough(health):
        said = f" ({health.problem})" if health.problem else ""
        raise DeployFailed(
            f"firmware {firmware.version} answers, but has not confirmed itself within "
            f"{patience_s:g} s of the board's time{said}",
            hint=f"hushmeter doctor --port {address.device}",
        )
    return health


def _clean(console: Console, plan: Plan, patience_s: float) -> Health:
    """Remove the firmware of the old layout, now that the new one has proved itself."""
    console.open()
    try:
        BoardFiles(console).remove(plan.clean)
    finally:
        console.reset()
    return await_health(console.address, patience_s * console.slowness)
