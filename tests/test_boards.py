"""Board facts are data: what is in ``boards/`` is sound, and what is wrong is refused by name."""

from pathlib import Path

import pytest

from hushmeter.assets import boards_dir
from hushmeter.devices import boards
from hushmeter.devices.boards import board_names, boards_with_image, load_board, recognise
from hushmeter.errors import HushmeterError

FOLDER_BOARD = """
name = "shed"
description = "A board for tests"
chip = "host"
port = "unix"
small_int_bits = 63
float_bits = 64
heap = { bytes = 1000 }
filesystem = { kind = "folder" }
console = { kind = "stdio" }
"""


def write_board(root: Path, text: str, folder: str = "shed") -> Path:
    path = root / folder / "board.toml"
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def own_boards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(boards, "boards_dir", lambda: tmp_path)
    return tmp_path


def test_every_folder_is_a_board_that_loads() -> None:
    folders = sorted(path.name for path in boards_dir().iterdir() if path.is_dir())
    assert board_names() == folders
    assert len(folders) >= 2
    assert [load_board(name).name for name in folders] == folders


def test_an_alias_means_the_same_board() -> None:
    aliased = [board for board in map(load_board, board_names()) if board.aliases]
    assert aliased
    for board in aliased:
        assert all(load_board(alias) is board for alias in board.aliases)


def test_names_and_aliases_are_unique() -> None:
    all_boards = [load_board(name) for name in board_names()]
    names = [name for board in all_boards for name in (board.name, *board.aliases)]
    assert len(names) == len(set(names))


def test_the_unix_port_has_twice_the_smallest_heap_that_was_measured() -> None:
    real = [load_board(name) for name in board_names() if load_board(name).flash is not None]
    measured = [board.heap.bytes for board in real if board.heap.known == "measured"]
    assert load_board("unix").heap.bytes == 2 * min(measured)


def test_a_filesystem_in_flash_fills_whole_erase_blocks_inside_it() -> None:
    checked = 0
    for board in map(load_board, board_names()):
        if board.flash is not None:
            place = board.filesystem
            assert place.start % board.flash.erase_bytes == 0
            assert place.bytes % board.flash.erase_bytes == 0
            assert place.start + place.bytes <= board.flash.bytes
            checked += 1
    assert checked > 0


def test_an_unknown_board_is_refused_with_the_known_ones() -> None:
    with pytest.raises(HushmeterError, match="no board 'toaster'.*known boards: .*unix"):
        load_board("toaster")


def test_a_sound_board_file_is_read(own_boards: Path) -> None:
    write_board(own_boards, FOLDER_BOARD)
    board = load_board("shed")
    assert (board.heap.bytes, board.filesystem.kind, board.image) == (1000, "folder", None)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ("heap = { bytes = 0 }", r"heap\.bytes"),
        ("heap = { bytes = 'many' }", r"heap\.bytes"),
        ("heap = { bytes = 1000, stack = 5 }", r"\$\.heap"),
        ("name = 'barn'", "name is 'barn'"),
        ("float_bits = 16", "float_bits"),
        ("capabilities = ['telepathy']", "capabilities"),
        ("filesystem = { kind = 'littlefs2' }", "flash is missing"),
        ("console = { kind = 'carrier pigeon' }", r"console\.kind"),
        ("colour = 'red'", "colour"),
        ("image = { version = '1', file = '../x', url = 'https://a.b/x', sha256 = '' }", "image"),
    ],
)
def test_a_wrong_field_is_refused_with_file_and_field(
    own_boards: Path, wrong: str, field: str
) -> None:
    key = wrong.split(" ")[0]
    kept = [line for line in FOLDER_BOARD.splitlines() if not line.startswith(f"{key} ")]
    path = write_board(own_boards, "\n".join([*kept, wrong]))
    with pytest.raises(HushmeterError, match=field) as caught:
        load_board("shed")
    assert str(path) in caught.value.message


def test_a_missing_field_is_refused_with_its_name(own_boards: Path) -> None:
    write_board(own_boards, FOLDER_BOARD.replace('chip = "host"\n', ""))
    with pytest.raises(HushmeterError, match="chip"):
        load_board("shed")


def test_a_file_that_is_no_toml_is_refused_by_name(own_boards: Path) -> None:
    path = write_board(own_boards, "name = = 3")
    with pytest.raises(HushmeterError, match="is not TOML") as caught:
        load_board("shed")
    assert str(path) in caught.value.message


SHED = """
name = "shed"
description = "A board for tests, with everything that a board may have"
chip = "c1"
port = "p1"
machine = "Shed with C1"
small_int_bits = 31
float_bits = 32
capabilities = ["adc", "i2c", "pin", "pwm", "uart", "watchdog"]
heap = { bytes = 1000 }
flash = { bytes = 65536, erase_bytes = 4096, program_bytes = 256 }
filesystem = { kind = "littlefs2", start = 32768, bytes = 32768, block_bytes = 4096 }
bytecode = { version = "6.3", architecture = "armv6m" }
console = { kind = "usb-cdc", usb_ids = ["1234:abcd"] }
watchdog = { longest_ms = 8000 }
image = { version = "1", file = "a.uf2", url = "https://a.b/a.uf2" }
header = { gpio = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], adc = [0, 1, 2], input_only = [9] }
hil = { uart = { id = 0, tx = 7, rx = 9 }, peer = "shed", wires = [{ role = "pwm", peer = 3 }] }
pins = { level = 0, clamp = { current = 1, voltage = 2 }, pulse = 3, pwm = 4 }
loader = { methods = ["uf2"], uf2 = { family = 1, flash_address = 0, drive = "D", board_id = "B" } }
checked = [{ what = "all of it", how = "looked up" }]
"""


def replaced(text: str, line: str) -> str:
    """The text with the line of the same key replaced; no value but the key takes it out."""
    key = line.split(" ")[0]
    kept = [each for each in text.splitlines() if not each.startswith(f"{key} ")]
    return "\n".join([*kept, line] if "=" in line else kept)


def test_a_board_file_may_say_everything(own_boards: Path) -> None:
    write_board(own_boards, SHED)
    board = load_board("shed")
    assert board.roles() == {
        "level": 0,
        "clamp.current": 1,
        "clamp.voltage": 2,
        "pulse": 3,
        "pwm": 4,
        "hil.uart.tx": 7,
        "hil.uart.rx": 9,
    }
    assert board.status == "looked up; never run on silicon"
    assert recognise("Shed with C1") is board


UF2 = 'uf2 = { family = 1, flash_address = 0, drive = "D", board_id = "B" }'


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (
            "filesystem = { kind = 'littlefs2', start = 0, bytes = 4097, block_bytes = 4096 }",
            "multiple",
        ),
        (
            "filesystem = { kind = 'littlefs2', start = 61440, bytes = 8192, block_bytes = 4096 }",
            "ends behind the flash",
        ),
        (
            "filesystem = { kind = 'littlefs2', start = 512, bytes = 4096, block_bytes = 4096 }",
            "multiples of flash.erase_bytes",
        ),
        ("image", "both or neither"),
        ("loader = { methods = ['uf2'] }", r"loader\.uf2 is missing"),
        ("loader = { methods = ['esptool'] }", r"loader\.esp is missing"),
        ("loader = { methods = [] }", r"loader\.methods"),
        (f"loader = {{ methods = ['uf2', 'uf2'], {UF2} }}", "a method twice"),
        (
            "image = { version = '1', file = 'a.bin', url = 'https://a.b/a.bin' }",
            r"image\.file must end in \.uf2",
        ),
        (
            "image = { version = '1', file = 'a.uf2', url = 'https://a.b/b.uf2' }",
            "end in image.file",
        ),
        (
            "image = { version = '1', file = 'a.uf2', url = 'https://a.b/a.uf2', bytes = 70000 }",
            "more than the flash",
        ),
        (
            "image = { version = '1', file = 'a.uf2', url = 'https://a.b/a.uf2', sha256 = 'ab' }",
            "sha256",
        ),
        ("header", "header is missing"),
        ("header = { gpio = [0, 1], adc = [0, 1] }", "is 2, which header.gpio lacks"),
        ("header = { gpio = [0, 1], adc = [8] }", "header.adc has a pin"),
        ("pins = { level = 5 }", r"pins\.level is 5, which has no ADC"),
        ("pins = { pwm = 9 }", "cannot be an output"),
        ("pins = { pulse = 5, pwm = 5 }", r"pins\.pwm is 5, which pins\.pulse has already"),
        ("pins = { pulse = 7, pwm = 4 }", r"hil\.uart\.tx is 7, which pins\.pulse has already"),
        ("pins = { lever = 5 }", "lever"),
        ("capabilities = ['adc', 'pin', 'uart', 'watchdog']", "capabilities lacks 'pwm'"),
        ("watchdog", "watchdog is missing"),
        ("watchdog = { shortest_ms = 10, longest_ms = 9 }", r"watchdog\.longest_ms is less"),
        ("console = { kind = 'usb-cdc' }", r"console\.usb_ids is missing"),
        ("console = { kind = 'usb-cdc', usb_ids = ['2E8A:5'] }", "usb_ids"),
        ("bytecode = { version = '6', architecture = 'armv6m' }", "bytecode"),
        ("checked = [{ what = 'it', how = 'by looking hard' }]", "how"),
        ("hil = { peer = 'barn', wires = [{ role = 'pwm', peer = 3 }] }", "hil.peer is 'barn'"),
        ("hil = { peer = 'shed', wires = [{ role = 'steam', peer = 3 }] }", "steam is no role"),
        ("hil = { peer = 'shed', wires = [{ role = 'pwm', peer = 33 }] }", "which shed lacks"),
        (
            "hil = { peer = 'shed', wires = [{ role = 'pwm', peer = 3 }, "
            "{ role = 'level', peer = 3 }] }",
            "used twice",
        ),
    ],
)
def test_what_does_not_fit_together_is_refused_with_file_and_field(
    own_boards: Path, line: str, problem: str
) -> None:
    path = write_board(own_boards, replaced(SHED, line))
    with pytest.raises(HushmeterError, match=problem) as caught:
        load_board("shed")
    assert str(path) in caught.value.message


def test_an_alias_that_means_another_board_is_refused(own_boards: Path) -> None:
    write_board(own_boards, FOLDER_BOARD)
    barn = FOLDER_BOARD.replace('"shed"', '"barn"') + 'aliases = ["shed"]\n'
    path = write_board(own_boards, barn, "barn")
    with pytest.raises(HushmeterError, match="'shed' already means") as caught:
        load_board("shed")
    assert str(path.parent.parent) in caught.value.message


def test_a_board_is_recognised_by_what_its_interpreter_says() -> None:
    boards_with_machine = [board for board in map(load_board, board_names()) if board.machine]
    assert boards_with_machine
    assert all(recognise(board.machine) is board for board in boards_with_machine)
    with pytest.raises(HushmeterError, match="'Toaster with T1', which is none of"):
        recognise("Toaster with T1")


def test_a_board_says_that_it_never_ran_on_silicon_unless_it_did() -> None:
    real = [board for board in map(load_board, board_names()) if board.flash is not None]
    assert all(("never run on silicon" in board.status) != board.on_silicon for board in real)
    assert all(board.checked for board in map(load_board, board_names()))


def test_only_an_image_that_was_checked_has_a_digest_and_then_a_size() -> None:
    for board in boards_with_image():
        assert board.image is not None
        emulated = any(check.how == "emulated" for check in board.checked)
        assert bool(board.image.sha256) == (emulated or board.on_silicon)
        assert (board.image.bytes is None) == (not board.image.sha256)


def test_uarts_and_buses_of_an_rp2040_lie_on_pins_that_can_serve_them() -> None:
    # RP2040 datasheet, 1.4.3: both repeat, every 16 and every 4 pins; TX before RX, SDA before SCL.
    checked = 0
    for board in map(load_board, board_names()):
        if board.chip != "rp2040":
            continue
        for uart in (board.pins.uart, board.hil.uart):
            assert uart is not None
            assert (uart.tx % 4, uart.rx % 4) == (0, 1)
            assert {(pin + 4) // 8 % 2 for pin in (uart.tx, uart.rx)} == {uart.id}
        bus = board.pins.i2c
        assert bus is not None
        assert (bus.sda % 2, bus.scl % 2) == (0, 1)
        assert {pin // 2 % 2 for pin in (bus.sda, bus.scl)} == {bus.id}
        checked += 1
    assert checked >= 2


def test_every_wire_of_a_bench_joins_an_output_to_an_input() -> None:
    outputs = {"uart.tx", "hil.uart.tx", "pwm"}
    for board in map(load_board, board_names()):
        if board.hil.wires:
            peer = load_board(board.hil.peer)
            assert {wire.role for wire in board.hil.wires} >= outputs
            for wire in board.hil.wires:
                if wire.role == "pwm":
                    assert peer.header is not None and wire.peer in peer.header.adc
