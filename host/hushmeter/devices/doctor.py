"""What is wrong with a board, and what to do about it.

A meter that answers is asked how it is; nothing on it changes. Where none answers, or where its
files are to be looked at as well, the board is taken to its prompt, looked at and restarted.
"""

import time
from typing import Any

from hushmeter.devices import deploy_plan, ports
from hushmeter.devices.boardfiles import BoardFiles
from hushmeter.devices.boards import Board, recognise
from hushmeter.devices.console import Console, Identity, PromptError
from hushmeter.devices.findings import ADVICE, Examination, about_meter, about_room
from hushmeter.devices.firmware import FOLDER, PLACES
from hushmeter.devices.greeting import greet
from hushmeter.devices.meter_plan import CONFIG_FILE, Whose
from hushmeter.devices.meterlink import NoMeter, ask_if_known, await_health
from hushmeter.devices.sensor_advice import spelled
from hushmeter.errors import HushmeterError
from hushmeter.link import Link

_GREETING_S = 20.0
_RESTART_S = 30.0
_FIRST_READING_S = 2.5
# What an empty board may hold: some images make a boot.py, and a reset may have left its note.
_NOBODYS = ("boot.py", "reset.txt")


def examine(
    console: Console,
    board: Board | None = None,
    *,
    stop: bool = False,
    restart_s: float = _RESTART_S,
) -> Examination:
    """Look at the board behind a console that is not open yet.

    Parameters
    ----------
    board:
        The board that it should be, if that is known.
    stop:
        Look at the files also where a meter answers; it is stopped for that and restarted.
    restart_s:
        How long a restarted board may take to answer, in its own seconds.
    """
    seen = Examination(console.address.device)
    _ask(seen, console.address.now())
    if seen.reached == "meter" and not stop:
        about_meter(seen, board)
        return seen
    was_meter = seen.reached == "meter"
    try:
        console.open()
    except PromptError as error:
        seen.add("no_answer", error.message, error.hint or "")
        return seen
    seen.reached = "prompt"
    try:
        deployed = _look_at_prompt(seen, console, board)
    finally:
        console.reset()
    if deployed:
        _restarted(seen, console, board, was_meter, restart_s)
    return seen


def _ask(seen: Examination, device: str) -> None:
    """Ask a meter how it is. A busy one is waited for; a prompt says at once that none runs."""
    try:
        greeted = greet(device, _GREETING_S)
    except HushmeterError:
        return
    link = greeted.link
    link.timeout_s = _GREETING_S
    try:
        seen.life = ask_if_known(link, "life_request")
        seen.status = ask_if_known(link, "status_request")
        seen.sensors = _ask_sensors(link)
        seen.hello = greeted.hello
        seen.reached = "meter"
    except HushmeterError:
        seen.life = seen.status = seen.sensors = {}
    finally:
        link.close()


def _ask_sensors(link: Link) -> dict[str, Any]:
    """A meter without a roster begins to read its sensor when it is asked for the first time."""
    said = ask_if_known(link, "sensors_request")
    if said and said["driver"] != "replay" and not said["reads"]:
        time.sleep(_FIRST_READING_S)
        said = ask_if_known(link, "sensors_request")
    return spelled(said) if said else {}


def _restarted(
    seen: Examination, console: Console, board: Board | None, was_meter: bool, restart_s: float
) -> None:
    """Ask the meter how it is after the look at its files."""
    try:
        health = await_health(console.address, restart_s * console.slowness)
    except HushmeterError as error:
        silent = isinstance(error, NoMeter)
        seen.add(
            "does_not_start",
            "firmware is on the board, but it does not answer after a restart"
            + ("" if silent else f" as a meter does: {error.message}"),
            "deploy it again: hushmeter deploy --port {port} --force",
        )
        return
    seen.hello, seen.life = health.hello, health.life
    seen.reached = "meter"
    if not was_meter:
        seen.add(
            "was_at_prompt",
            "the board was at its prompt, so the meter did not run; it was restarted",
            problem=False,
        )
    about_meter(seen, board)


def _look_at_prompt(seen: Examination, console: Console, board: Board | None) -> bool:
    """What interpreter and files show; whether there is a firmware that could start."""
    try:
        seen.interpreter = console.identify()
    except HushmeterError as error:
        seen.add("not_micropython", error.message, error.hint or "")
        return False
    board = _about_interpreter(seen, seen.interpreter, board)
    try:
        files = BoardFiles(console)
        found = deploy_plan.look(files)
        config = files.read(CONFIG_FILE) if CONFIG_FILE in found.sizes else None
    except (PromptError, ports.PortError) as error:
        # Nothing is known of the files, so nobody is to erase them.
        seen.add("no_answer", error.message, error.hint or "try again")
        return False
    except HushmeterError as error:
        seen.add(
            "filesystem",
            f"the filesystem cannot be read: {error.message}",
            "copy what can be read with mpremote; then make a new one: hushmeter flash --erase, or "
            "an image that erases the flash on a board with a drive",
        )
        return False
    about_room(seen, found.room.free_bytes)
    if not set(found.sizes).difference(_NOBODYS):
        _about_nothing(seen, board)
        return False
    deployed = _about_places(seen, found)
    if deployed:
        _about_config(seen, config, board)
    return deployed


def _about_nothing(seen: Examination, board: Board | None) -> None:
    """A new board looks the same as one whose filesystem was lost."""
    name = board.name if board is not None else "NAME"
    seen.add(
        "empty_filesystem",
        "the filesystem is empty: this board is new, or its filesystem was erased or reformatted "
        "(an official image makes a new one over one that does not mount, and says nothing)",
        f"hushmeter deploy --board {name} --port {{port}}. If it was a meter, its key is lost: "
        "provision it anew after that, and let its street enrol the new key",
    )


def _about_interpreter(seen: Examination, identity: Identity, board: Board | None) -> Board | None:
    """Whether it is the board that was named; the board that it is, if that is known."""
    try:
        actual = recognise(identity.machine)
    except HushmeterError as error:
        if board is None or board.machine:
            seen.add("unknown_board", error.message, "see: hushmeter boards", problem=bool(board))
        return board
    if board is not None and actual.name != board.name:
        text = f"the board at the port is a {actual.name}, not a {board.name}"
        seen.add("wrong_board", text, "name the right --port or --board")
    wanted = actual.bytecode.version if actual.bytecode is not None else identity.mpy
    if identity.mpy != wanted:
        seen.add(
            "wrong_version",
            f"MicroPython {identity.version} loads bytecode {identity.mpy}, not {wanted}",
            f"hushmeter flash --board {actual.name} --port {{port}}",
        )
    elif actual.image is not None and identity.version != actual.image.version:
        text = f"MicroPython is {identity.version}; {actual.image.version} is what was tried"
        seen.add("other_version", text, problem=False)
    return actual


def _about_places(seen: Examination, found: deploy_plan.Found) -> bool:
    """Whether a firmware could start; what is wrong with the places."""
    advice = "hushmeter deploy --port {port}"
    for place in PLACES:
        if place in found.manifests or not found.beneath(f"{FOLDER}/{place}"):
            continue
        used = place == found.place
        seen.add(
            "half_deployed",
            f"place {place}, {'the one in use' if used else 'not in use'}, is not complete"
            + ("" if used else "; a deployment was cut there, which does no harm"),
            advice,
            problem=used,
        )
    if found.old_layout:
        seen.add(
            "old_layout", "firmware of an older layout lies in the root", advice, problem=False
        )
    if found.loader is None:
        seen.add("not_deployed", "there is no main.py: no meter starts on this board", advice)
        return False
    if not found.manifests and not found.old_layout:
        seen.add("not_deployed", "there is no complete firmware on this board", advice)
        return False
    return True


def _about_config(seen: Examination, config: bytes | None, board: Board | None) -> None:
    """Only what the meter, once it runs again, will not say itself."""
    if config is None or board is None:
        return
    whose = Whose.said_by(config)
    if whose is not None and whose.board != board.name:
        seen.add(
            "wrong_board",
            f"the configuration is for board {whose.board}, and this is a {board.name}",
            ADVICE["wrong_board"],
        )
