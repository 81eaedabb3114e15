"""Ports: ``auto`` never guesses, a second program never gets one, and errors say what to do."""

import errno
from pathlib import Path
from types import SimpleNamespace

import pytest
import serial

from hushmeter.devices import ports
from hushmeter.devices.boards import boards_with_image
from hushmeter.devices.ports import (
    Port,
    PortError,
    check_free,
    choose_port,
    list_all,
    open_port,
    translated,
)
from hushmeter.errors import HushmeterError

BOARD = next(board for board in boards_with_image() if board.console.kind == "usb-cdc")
OTHER = next(board for board in boards_with_image() if board.console.kind == "uart")


def found(device: str, usb_id: str = "", description: str = "n/a") -> SimpleNamespace:
    """A port as pyserial lists it."""
    vendor, _, product = usb_id.partition(":")
    return SimpleNamespace(
        device=device,
        description=description,
        vid=int(vendor, 16) if usb_id else None,
        pid=int(product, 16) if usb_id else None,
        serial_number=None,
    )


@pytest.fixture
def present(monkeypatch: pytest.MonkeyPatch) -> list[SimpleNamespace]:
    """The ports that the system lists; none until a test adds some."""
    listed: list[SimpleNamespace] = []
    monkeypatch.setattr(ports.list_ports, "comports", lambda: listed)
    return listed


def test_a_named_port_is_taken_as_it_is(present: list[SimpleNamespace]) -> None:
    assert choose_port("/dev/ttyS7") == "/dev/ttyS7"
    assert choose_port("socket://bench:4000") == "socket://bench:4000"


def test_auto_finds_the_one_port_that_fits(present: list[SimpleNamespace]) -> None:
    present += [found("/dev/ttyS0"), found("/dev/ttyACM3", BOARD.console.usb_ids[0])]
    assert choose_port("auto", BOARD) == "/dev/ttyACM3"
    assert choose_port("auto") == "/dev/ttyACM3"


def test_auto_takes_no_port_of_another_kind_of_board(present: list[SimpleNamespace]) -> None:
    present.append(found("/dev/ttyUSB0", OTHER.console.usb_ids[0], "CP2102"))
    with pytest.raises(PortError, match=f"no port has the USB numbers of board {BOARD.name}") as no:
        choose_port("auto", BOARD)
    assert f"/dev/ttyUSB0 (CP2102 {OTHER.console.usb_ids[0]})" in (no.value.hint or "")


def test_auto_never_chooses_between_two(present: list[SimpleNamespace]) -> None:
    usb_id = BOARD.console.usb_ids[0]
    present += [found("/dev/ttyACM1", usb_id), found("/dev/ttyACM0", usb_id)]
    with pytest.raises(PortError, match="2 ports could be") as two:
        choose_port("auto", BOARD)
    assert "/dev/ttyACM0" in (two.value.hint or "") and "/dev/ttyACM1" in (two.value.hint or "")


def test_ports_are_listed_by_name_with_what_the_system_knows(
    present: list[SimpleNamespace],
) -> None:
    present += [found("/dev/ttyS1"), found("/dev/ttyACM0", "2e8a:0005", "Board in FS mode")]
    assert list_all() == [
        Port("/dev/ttyACM0", "Board in FS mode", "2e8a:0005"),
        Port("/dev/ttyS1", ""),
    ]
    assert [str(port) for port in list_all()][1] == "/dev/ttyS1"


def test_an_open_port_carries_bytes(idle_port: str) -> None:
    transport = open_port(idle_port)
    assert transport.name == idle_port
    transport.close()


def test_a_port_in_use_is_refused(idle_port: str) -> None:
    holder = serial.Serial(idle_port, exclusive=True)
    try:
        with pytest.raises(PortError, match=f"port {idle_port} is in use") as busy:
            open_port(idle_port)
        assert busy.value.hint
    finally:
        holder.close()
    assert check_free(idle_port) == idle_port


def test_a_checked_port_is_free_again(idle_port: str) -> None:
    assert check_free(idle_port) == idle_port
    transport = open_port(idle_port)
    transport.close()


def test_a_port_that_is_not_there_is_refused_with_those_that_are(
    present: list[SimpleNamespace], tmp_path: Path
) -> None:
    present.append(found("/dev/ttyACM9"))
    absent = str(tmp_path / "ttyNONE")
    with pytest.raises(PortError, match=f"port {absent} is not there") as none:
        open_port(absent)
    assert "/dev/ttyACM9" in (none.value.hint or "")


def test_a_file_is_no_port(present: list[SimpleNamespace], tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a port")
    with pytest.raises(PortError, match=f"{path} is not a serial port"):
        open_port(str(path))
    assert path.read_text() == "not a port"


def test_a_forbidden_port_names_the_group_to_join(tmp_path: Path) -> None:
    path = tmp_path / "ttyLOCKED"
    path.touch()
    with pytest.raises(PortError, match="may not be opened by") as no, translated(str(path)):
        raise serial.SerialException(errno.EACCES, "Permission denied")
    assert f"the group {path.group()}" in (no.value.hint or "")


@pytest.mark.parametrize("code", [errno.EBUSY, errno.EAGAIN])
def test_every_sign_of_a_busy_port_reads_the_same(code: int) -> None:
    with pytest.raises(PortError, match="is in use by another program"), translated("/dev/ttyX"):
        raise serial.SerialException(code, "any words")


def test_an_error_of_another_kind_keeps_its_words() -> None:
    with pytest.raises(PortError, match="nonsense"), translated("strange://"):
        raise HushmeterError("nonsense")
