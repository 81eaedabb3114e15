"""The emulated flash chip shows what is done to it, and takes as long as it is told to."""

from collections.abc import Iterator

import pytest

from hushmeter.devices.boards import load_board
from hushmeter.emulate.pico import EmulatedPico
from hushmeter.emulate.pico_flash import ERASE, PROGRAM, FlashOperation, FlashTimes
from hushmeter.errors import HushmeterError

FACTS = load_board("pico")
TIMED_WRITE = """
import time
began = time.ticks_us()
with open("a.bin", "wb") as file:
    file.write(bytes(range(256)) * 20)
print(time.ticks_diff(time.ticks_us(), began))
"""
READ_ADC = """
import machine
for pin in (26, 28):
    print(machine.ADC(machine.Pin(pin)).read_u16() >> 4)
"""


@pytest.fixture(scope="module")
def pico() -> Iterator[EmulatedPico]:
    try:
        made = EmulatedPico(FACTS)
    except HushmeterError as error:
        pytest.skip(error.message)
    with made:
        yield made


def timed_write(pico: EmulatedPico, times: FlashTimes) -> tuple[int, list[FlashOperation]]:
    """The guest's own time of a write, us, and what the chip did."""
    seen: list[FlashOperation] = []
    pico.on_flash, pico.flash_times = seen.append, times
    took_us = int(pico.execute(TIMED_WRITE))
    pico.on_flash, pico.flash_times = lambda operation: None, FlashTimes(0, 0)
    return took_us, seen


def test_operations_are_seen_and_take_their_time(pico: EmulatedPico) -> None:
    quick_us, quick = timed_write(pico, FlashTimes(0, 0))
    times = FlashTimes(erase_us=20_000, program_us=1_000)
    slow_us, slow = timed_write(pico, times)
    for seen in (quick, slow):
        assert {operation.kind for operation in seen} == {ERASE, PROGRAM}
        assert all(FACTS.filesystem.start <= operation.address for operation in seen)
        assert all(len(o.data) == 256 for o in seen if o.kind == PROGRAM)
        assert sorted(o.at_s for o in seen) == [o.at_s for o in seen]
    erases = sum(operation.kind == ERASE for operation in slow)
    flash_us = erases * times.erase_us + (len(slow) - erases) * times.program_us
    assert flash_us < slow_us < flash_us + 2 * quick_us
    assert pico.files()["a.bin"] == bytes(range(256)) * 20


def test_an_analogue_pin_shows_the_voltage_of_the_moment(pico: EmulatedPico) -> None:
    pico.drive_adc(26, lambda now_s: 1234)
    pico.drive_adc(28, lambda now_s: 17 if now_s < pico.simulated_s + 1 else 0)
    assert pico.execute(READ_ADC).split() == ["1234", "17"]
    with pytest.raises(HushmeterError, match="26 to 29"):
        pico.drive_adc(3, lambda now_s: 0)
