"""The console carries every byte both ways, whichever interpreter is behind it."""

import time

import pytest

from hil.backends import Board
from hushmeter.link import Link, Transport

READY = b"ready"
ECHO = b"""
from hushfw.core import messages
from hushfw.core.frame import Decoder
from hushfw.links.stdio import Stdio

LEAVE = messages.encode("maintenance", {})[0]
link = Stdio()
decoder = Decoder()
link.open()
link.write(b"ready")
leaving = False
try:
    while not leaving:
        data = link.read(1000)
        link.write(data)
        leaving = LEAVE in [kind for kind, _, _ in decoder.feed(data)]
except EOFError:
    pass
link.close()
"""
WAIT_S = 20.0


def exchange(link: Transport, data: bytes) -> bytes:
    """Send data and return as many bytes as they are."""
    link.write(data)
    answer = b""
    deadline = time.monotonic() + WAIT_S
    while len(answer) < len(data) and time.monotonic() < deadline:
        answer += link.read(1.0)
    return answer


def start_echo(board: Board) -> Transport:
    link = board.boot({}, main=ECHO)
    said = b""
    deadline = time.monotonic() + WAIT_S
    while not said.endswith(READY) and time.monotonic() < deadline:
        said += link.read(1.0)
    assert said.endswith(READY)
    return link


def test_all_256_byte_values_pass_both_ways(board: Board) -> None:
    link = start_echo(board)
    values = bytes(range(256))
    assert exchange(link, values) == values
    backwards = values[::-1]
    assert exchange(link, backwards) == backwards


def test_a_message_larger_than_every_buffer_passes_whole(board: Board) -> None:
    link = start_echo(board)
    message = bytes(i * i % 251 for i in range(5000))
    assert exchange(link, message) == message


def test_an_interrupt_character_does_not_stop_the_program(board: Board) -> None:
    link = start_echo(board)
    assert exchange(link, b"\x03\x03\x04\x01") == b"\x03\x03\x04\x01"
    assert exchange(link, b"still here") == b"still here"


def test_nothing_is_said_that_was_not_asked_for(board: Board) -> None:
    link = start_echo(board)
    assert link.read(0.5) == b""
    assert exchange(link, b"\0") == b"\0"
    assert link.read(0.5) == b""


@pytest.mark.needs("reset")
def test_maintenance_gives_the_interpreters_prompt_back(board: Board) -> None:
    """Also where nothing is provisioned; on the unix port the process ends instead."""
    link = Link(board.boot({}), timeout_s=60.0, tries=1)
    assert "not_provisioned" in link.request("hello_request").fields["problem"]
    assert link.request("maintenance").name == "ok"
    link.transport.write(b"\r\nprint(6 * 7)\r\n")
    said = b""
    deadline = time.monotonic() + WAIT_S
    while b"42" not in said and time.monotonic() < deadline:
        said += link.transport.read(1.0)
    assert b"42\r\n>>> " in said
