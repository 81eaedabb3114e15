"""The device's console link on the unix port: pipes that block, terminals, and their ends."""

import os
import pty
import select
import subprocess
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hushmeter.assets import micropython_environment
from hushmeter.emulate.interpreter import find_micropython

ECHO = """
from hushfw.links.stdio import Stdio

link = Stdio(limit=100)
link.open()
while True:
    try:
        data = link.read(1000)
    except EOFError:
        break
    if len(data) > 100:
        data = b"more than the limit"
    link.write(data)
open("ended", "w").close()
"""
EVERY_VALUE = bytes(range(256))


@contextmanager
def echo(folder: Path, stdin: int, stdout: int) -> Iterator[subprocess.Popen[bytes]]:
    """A process that sends back what it reads; the caller's copies of its ends are closed."""
    script = folder / "echo.py"
    script.write_text(ECHO)
    command = [str(find_micropython().path), str(script)]
    with subprocess.Popen(
        command, stdin=stdin, stdout=stdout, cwd=folder, env=micropython_environment()
    ) as process:
        for end in {stdin, stdout}:
            os.close(end)
        yield process
        process.kill()


def read_exactly(descriptor: int, size: int) -> bytes:
    data = b""
    while len(data) < size and select.select([descriptor], [], [], 10.0)[0]:
        data += os.read(descriptor, size - len(data))
    return data


def test_every_byte_value_passes_through_pipes_that_block(tmp_path: Path) -> None:
    child_in, ours_out = os.pipe()
    ours_in, child_out = os.pipe()
    with echo(tmp_path, child_in, child_out) as process:
        os.write(ours_out, EVERY_VALUE * 10)
        assert read_exactly(ours_in, 2560) == EVERY_VALUE * 10
        os.close(ours_out)
        assert process.wait(10.0) == 0
    os.close(ours_in)
    assert (tmp_path / "ended").exists()


def test_every_byte_value_passes_through_a_terminal(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    with echo(tmp_path, theirs, theirs) as process:
        os.write(ours, EVERY_VALUE)
        assert read_exactly(ours, 256) == EVERY_VALUE
        os.close(ours)
        assert process.wait(10.0) == 0
    assert (tmp_path / "ended").exists()


@pytest.mark.parametrize("closed", ["input", "output"])
def test_a_process_whose_host_died_ends(tmp_path: Path, closed: str) -> None:
    child_in, ours_out = os.pipe()
    ours_in, child_out = os.pipe()
    with echo(tmp_path, child_in, child_out) as process:
        os.write(ours_out, b"x")
        assert read_exactly(ours_in, 1) == b"x"
        began = time.monotonic()
        if closed == "input":
            os.close(ours_out)
        else:
            os.close(ours_in)
            os.write(ours_out, b"nobody reads this")
        process.wait(10.0)
        assert time.monotonic() - began < 5
    os.close(ours_in if closed == "input" else ours_out)
