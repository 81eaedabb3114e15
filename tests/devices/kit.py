"""A board made of the unix port: an interpreter that resets, loads main.py and shows its prompt.

The process has the storage folder as its root, a pseudo-terminal is its serial port, and a module
`machine` lets it reset itself, which here means: the process ends and a new one starts.
"""

import os
import pty
import select
import subprocess
import threading
import tty
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from hushmeter.assets import micropython_environment
from hushmeter.devices.firmware import Firmware
from hushmeter.emulate.interpreter import find_micropython

_MACHINE = """
import os
def reset():
    os.system("kill -9 $PPID")
"""
_STEP_S = 0.05


class UnixBoard:
    """Runs until the context ends; gives the path of its port."""

    def __init__(self, storage: Path) -> None:
        self.storage = storage
        self.starts = 0
        storage.mkdir(parents=True, exist_ok=True)
        self._modules = storage.with_name(storage.name + ".modules")
        self._modules.mkdir(exist_ok=True)
        (self._modules / "machine.py").write_text(_MACHINE)
        self._stop = threading.Event()

    def __enter__(self) -> str:
        self._ours, self._theirs = pty.openpty()
        tty.setraw(self._theirs)
        self._start()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        return os.ttyname(self._theirs)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._process.kill()
        self._process.wait()
        for end in (self._ours, self._theirs):
            os.close(end)

    def _start(self) -> None:
        self.starts += 1
        script = ["main.py"] if (self.storage / "main.py").exists() else ["-c", "pass"]
        self._process = subprocess.Popen(
            [str(find_micropython().path), "-i", *script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            cwd=self.storage,
            env=environment(self._modules),
        )

    def _serve(self) -> None:
        while not self._stop.is_set():
            stdin, stdout = self._process.stdin, self._process.stdout
            assert stdin is not None and stdout is not None
            ready, _, _ = select.select([self._ours, stdout], [], [], _STEP_S)
            if stdout in ready:
                data = os.read(stdout.fileno(), 4096)
                if data:
                    os.write(self._ours, data)
                else:
                    self._process.wait()
                    self._start()
            if self._ours in ready:
                try:
                    stdin.write(os.read(self._ours, 4096))
                except BrokenPipeError:
                    continue


def environment(modules: Path | None = None) -> dict[str, str]:
    """For an interpreter that finds the firmware only where the loader looks."""
    path = [".frozen"] if modules is None else [".frozen", str(modules)]
    return {**micropython_environment(), "MICROPYPATH": os.pathsep.join(path)}


def boots_as(storage: Path) -> str:
    """What a storage's main.py starts: the last line it prints."""
    done = subprocess.run(
        [str(find_micropython().path), "main.py"],
        capture_output=True,
        text=True,
        cwd=storage,
        env=environment(),
        stdin=subprocess.DEVNULL,
        timeout=20,
    )
    lines = done.stdout.strip().splitlines()
    return lines[-1] if lines else f"nothing: {done.stderr.strip()[-200:]}"


def write(storage: Path, files: Mapping[str, bytes]) -> None:
    """Files by path into a folder."""
    for path, data in files.items():
        target = storage / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)


def small_firmware(version: str) -> Firmware:
    """A firmware that says its version when it is started; a part is common to all versions."""
    app = f"from hushfw import {{}}\ndef main():\n    print('runs {version}', part.SIZE)\n"
    return Firmware(
        version,
        "",
        "none",
        {
            "hushfw/__init__.py": f"__version__ = '{version}'\n".encode(),
            "hushfw/app.py": app.format("part").encode(),
            "hushfw/safe.py": b"def main(reason):\n    print('safe mode', reason)\n",
            "hushfw/part.py": b"# the same in every version\n" * 40 + b"SIZE = 40\n",
            "hushfw/core/data.py": b"# " + version.encode() * 400 + b"\n",
        },
    )
