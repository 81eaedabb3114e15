"""Programs that are not there: scripts on the path that record how they were called.

Each call's arguments are kept as one line of JSON; what the script says and how it ends is chosen
by a word among its arguments. Nothing else is done. And a board's drive that is a folder.
"""

import json
import sys
import threading
import time
from pathlib import Path

import pytest

from hushmeter.devices.flash import INFO_FILE

_SCRIPT = """#!{python}
import json, sys
with open({log!r}, "a") as log:
    log.write(json.dumps(sys.argv[1:]) + "\\n")
answers = json.loads({answers!r})
for word in sys.argv[1:]:
    if word in answers:
        said, code = answers[word]
        sys.stdout.write(said)
        sys.exit(code)
"""

INFO = "UF2 Bootloader v1.0\r\nModel: A Board\r\nBoard-ID: {}\r\n"


class StandIn:
    """One program on the path, which is nothing but the stand-ins' folder.

    Attributes
    ----------
    answers:
        What it says and its exit code, by an argument; an argument that is not here is answered
        with silence and 0.
    """

    def __init__(self, name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answers: dict[str, tuple[str, int]] = {}
        self._log = folder / f"{name}.log"
        self._path = folder / "bin" / name
        self._path.parent.mkdir(exist_ok=True)
        monkeypatch.setenv("PATH", str(self._path.parent))
        self.answer()

    def answer(self, **answers: tuple[str, int]) -> None:
        """Say this and end so when the word is among the arguments."""
        self.answers |= answers
        text = _SCRIPT.format(
            python=sys.executable, log=str(self._log), answers=json.dumps(self.answers)
        )
        self._path.write_text(text, encoding="utf-8")
        self._path.chmod(0o755)

    @property
    def calls(self) -> list[list[str]]:
        """The arguments of every call so far."""
        if not self._log.exists():
            return []
        return [json.loads(line) for line in self._log.read_text().splitlines()]


class Drive:
    """A board's drive: it goes away as soon as it has the whole image."""

    def __init__(self, folder: Path, board_id: str) -> None:
        self.path = folder / "DRIVE"
        self.path.mkdir()
        self.received = b""
        (self.path / INFO_FILE).write_text(INFO.format(board_id))

    def restart_after(self, name: str, size: int) -> threading.Thread:
        def watch() -> None:
            target = self.path / name
            while not target.exists() or target.stat().st_size < size:
                time.sleep(0.005)
            self.received = target.read_bytes()
            (self.path / INFO_FILE).unlink()

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        return thread
