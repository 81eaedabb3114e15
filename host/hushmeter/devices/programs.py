"""Runs the programs that put images onto boards, and makes one clear error of theirs.

A program is found on the path, started with a list of arguments (no shell), and its output is
passed on line by line. Where it fails, a table of what it is known to say gives the error and the
next step; what is not in the table is quoted.
"""

import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from typing import NamedTuple

from hushmeter.errors import HushmeterError

Echo = Callable[[str], None]

_TAIL_LINES = 5


class Complaint(NamedTuple):
    """What a program is known to say, and what that means.

    ``message`` and ``hint`` may use the pattern's groups by number, and ``{board}``, ``{port}``.
    """

    pattern: str
    message: str
    hint: str


class Program(NamedTuple):
    """A program under the names that it goes by, how to get it, and what it complains of."""

    names: tuple[str, ...]
    install: str
    complaints: tuple[Complaint, ...]


PICOTOOL = Program(
    ("picotool",),
    "install picotool (github.com/raspberrypi/picotool), or use --method uf2",
    (
        Complaint(
            r"picotool was unable to connect|LIBUSB_ERROR_ACCESS",
            "picotool sees board {board} in its loader and may not talk to it",
            "add picotool's udev rules, or use --method uf2",
        ),
        Complaint(
            r"No accessible RP[\w/-]* devices? in BOOTSEL mode",
            "picotool finds no board in its loader",
            "hold BOOTSEL while plugging the board in, or name its --port",
        ),
        Complaint(
            r"family.*(not|cannot|can't)|not.*valid.*family",
            "picotool refuses the image for this chip",
            "look at the board's chip, and at hushmeter boards",
        ),
    ),
)

ESPTOOL = Program(
    ("esptool", "esptool.py"),
    "pip install esptool",
    (
        Complaint(
            r"This chip is ([\w()-]+),? not ([\w-]+)",
            "the chip at {port} is {0}; board {board} has {1}",
            "name the right --board or the right --port; see: hushmeter boards",
        ),
        Complaint(
            r"[Pp]ermission denied",
            "esptool may not open {port}",
            "hushmeter doctor --port {port} says which group to join",
        ),
        Complaint(
            r"[Cc]ould not open|port is busy or doesn't exist|No such file or directory",
            "esptool cannot open {port}",
            "see that the board is plugged in and that no other program uses the port",
        ),
        Complaint(
            r"Wrong boot mode detected|Failed to connect to",
            "the chip at {port} does not go into its loader",
            "hold the board's BOOT button, press RESET, let BOOT go, and try again",
        ),
        Complaint(
            r"MD5 of file does not match",
            "what was written to the board at {port} reads back differently",
            "try again with another cable; the board does not start until it is flashed anew",
        ),
        Complaint(
            r"Invalid head of packet|serial noise|stopped responding|Timed out|No serial data",
            "the connection to the chip at {port} is disturbed",
            "use another cable or USB port, and try again",
        ),
    ),
)


def find(program: Program) -> str:
    """The program's path; a :class:`HushmeterError` says how to get it."""
    for name in program.names:
        path = shutil.which(name)
        if path is not None:
            return path
    raise HushmeterError(f"the program {program.names[0]} is not on the path", hint=program.install)


def run(
    program: Program,
    arguments: Sequence[str],
    *,
    board: str,
    port: str = "",
    echo: Echo | None = None,
) -> str:
    """Run a program to its end and return what it said.

    Parameters
    ----------
    board, port:
        Named in errors.
    echo:
        Gets every line as it comes; where the program redraws a line, each state of it.

    Raises
    ------
    HushmeterError
        The program is absent, or ended with an error.
    """
    said = []
    try:
        with subprocess.Popen(
            [find(program), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            for line in process.stdout or ():
                said.append(line.rstrip())
                if echo is not None and line.strip():
                    echo(line.rstrip())
    except OSError as error:
        raise HushmeterError(f"{program.names[0]} cannot be run: {error.strerror}") from error
    text = "\n".join(said)
    if process.returncode:
        raise _error(program, text, process.returncode, board, port)
    return text


def _error(program: Program, text: str, code: int, board: str, port: str) -> HushmeterError:
    for complaint in program.complaints:
        found = re.search(complaint.pattern, text)
        if found:
            names = {"board": board, "port": port}
            message = complaint.message.format(*found.groups(), **names)
            return HushmeterError(message, hint=complaint.hint.format(**names))
    lines = [line for line in text.splitlines() if line.strip()][-_TAIL_LINES:]
    said = " / ".join(line.strip() for line in lines) or "nothing"
    return HushmeterError(
        f"{program.names[0]} failed with exit code {code}; it said: {said}",
        hint="see that the board is plugged in, and try again",
    )
