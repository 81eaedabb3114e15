"""Cures for what rp2040py 0.3 does otherwise than a Raspberry Pi Pico.

Each function takes a machine that has not run yet and changes one behaviour on that machine only;
nothing is patched in the library's classes. They rest on the library's Python-level peripherals,
so a newer release needs the tests of this module more than its reading.

========================  =================================================================
function                  on the emulator without it
========================  =================================================================
``nak_idle_console``      idle USB completes empty transfers and floods the guest with
                          interrupts, which stretches every timing about tenfold
``pace_uarts``            ``machine.UART()`` never returns; bytes leave in no time
``disarm_watchdog``       the watchdog stays armed across the reset that it caused
``inject_entropy``        the ring oscillator's random bit is a constant, so is os.urandom
``turn_converter``        the converter, told to take several pins by turns, stays on the first
========================  =================================================================
"""

from collections.abc import Callable
from typing import Any

Machine = Any
"""An ``rp2040py.rp2040.RP2040``: native code without usable type information."""

UsbConsole = Any
"""An ``rp2040py.usb.cdc.USBCDC``: the host's end of the emulated USB serial port."""

BitSource = Callable[[], int]
"""Returns 0 or 1 at each call."""

CONSOLE_BATCH_NS = 20_000
"""A host collects what a program writes in one go before it sends a packet."""

_ROSC = 0x40060
_ROSC_STATUS = 0x18
_ROSC_RANDOM_BIT = 0x1C
_ROSC_STABLE_ENABLED = 1 << 31 | 1 << 12

_ADC_PIN_SHIFT, _ADC_PIN_MASK = 12, 7

_UART_DATA, _UART_FLAGS = 0x00, 0x18
_UART_TX_FIFO = 32
_UART_TX_HALF = 16
_UART_TX_INTERRUPT = 1 << 5
_UART_BUSY, _UART_RX_EMPTY, _UART_TX_FULL = 1 << 3, 1 << 4, 1 << 5
_UART_RX_FULL, _UART_TX_EMPTY = 1 << 6, 1 << 7
_UART_BITS = 10
_PERI_SOURCE_SHIFT, _PERI_SOURCE_MASK, _PERI_SOURCE_USB_PLL = 5, 7, 2
_USB_PLL_HZ, _SYSTEM_HZ = 48_000_000, 125_000_000


def nak_idle_console(machine: Machine, console: UsbConsole) -> Callable[[bytes], None]:
    """Let the USB host answer "nothing yet" while it has nothing to send.

    The library's host completes every transfer the guest asks for, with no bytes if it has none,
    and the guest asks again at once. Here the guest's request waits until there are bytes. The
    library's 512-byte queue, which drops what does not fit, is bypassed by one without a bound.

    Returns
    -------
    Callable[[bytes], None]
        Sends bytes to the guest's console.
    """
    usb = console.usb
    answer, forget = usb.on_endpoint_read, usb.on_reset
    queue = bytearray()
    waiting: list[int] = []

    def hand_over() -> None:
        if waiting and queue:
            size = waiting.pop()
            packet = bytes(queue[:size])
            del queue[:size]
            usb.endpoint_read_done(console._out_endpoint, packet)

    alarm = machine.clock.create_alarm(hand_over)

    def on_endpoint_read(endpoint: int, size: int) -> None:
        if endpoint != console._out_endpoint:
            answer(endpoint, size)
            return
        waiting[:] = [size]
        if queue:
            hand_over()

    def on_reset() -> None:
        waiting.clear()
        queue.clear()
        alarm.cancel()
        forget()

    def send(data: bytes) -> None:
        if not queue:
            alarm.schedule(CONSOLE_BATCH_NS)
        queue.extend(data)

    usb.on_endpoint_read = on_endpoint_read
    usb.on_reset = on_reset
    return send


def pace_uarts(machine: Machine) -> None:
    """Give both UARTs a transmit FIFO that empties at the programmed baud rate.

    The library raises the transmit interrupt whenever it looks at the interrupts, so that a guest
    which enables it (MicroPython since 1.23) never leaves its handler; the PL011 raises it when
    the FIFO has fallen to half. The baud rate follows the clock the guest chose for the
    peripherals, 48 MHz after MicroPython's start, where the library assumes 125 MHz.
    """
    for uart in machine.uart:
        _pace_uart(machine, uart)


def _pace_uart(machine: Machine, uart: Any) -> None:
    read, write, reset = uart.read_uint32, uart.write_uint32, uart.reset
    fifo = bytearray()

    def byte_ns() -> float:
        source = machine.clocks.peri_ctrl >> _PERI_SOURCE_SHIFT & _PERI_SOURCE_MASK
        clock_hz = _USB_PLL_HZ if source == _PERI_SOURCE_USB_PLL else _SYSTEM_HZ
        return _UART_BITS * 1e9 * 16 * max(float(uart.baud_divider), 1.0) / clock_hz

    def check_interrupts() -> None:
        machine.set_interrupt(uart.irq, bool(uart._interrupt_status & uart._interrupt_mask))

    def sent() -> None:
        byte = fifo.pop(0)
        if fifo:
            alarm.schedule(byte_ns())
        if uart.on_byte is not None:
            uart.on_byte(byte)
        if len(fifo) == _UART_TX_HALF or not fifo:
            uart._interrupt_status |= _UART_TX_INTERRUPT
        check_interrupts()

    alarm = machine.clock.create_alarm(sent)

    def read_uint32(offset: int) -> int:
        return flags() if offset == _UART_FLAGS else int(read(offset))

    def flags() -> int:
        transmit = (_UART_BUSY if fifo else _UART_TX_EMPTY) | (
            _UART_TX_FULL if len(fifo) >= _UART_TX_FIFO else 0
        )
        receive = (_UART_RX_FULL if uart.rx_fifo.full else 0) | (
            _UART_RX_EMPTY if uart.rx_fifo.empty else 0
        )
        return transmit | receive

    def write_uint32(offset: int, value: int) -> None:
        if offset != _UART_DATA:
            write(offset, value)
        elif len(fifo) < _UART_TX_FIFO:
            fifo.append(value & 0xFF)
            if len(fifo) == 1:
                alarm.schedule(byte_ns())

    def on_reset() -> None:
        alarm.cancel()
        fifo.clear()
        reset()

    uart.check_interrupts = check_interrupts
    uart.read_uint32, uart.write_uint32, uart.reset = read_uint32, write_uint32, on_reset


def disarm_watchdog(machine: Machine, restart: Callable[[], None]) -> None:
    """Stop the watchdog's timer as it fires, before ``restart`` resets the chip.

    The chip's reset stops it; the emulator's leaves it running, and the freshly started guest is
    reset again and again. The reason for the reset and the scratch registers stay, as they do on
    the chip.
    """
    watchdog = machine.watchdog

    def on_trigger() -> None:
        watchdog.alarm.enable = False
        watchdog.timer.enable = False
        watchdog._enable = False
        restart()

    watchdog.on_watchdog_trigger = on_trigger


def turn_converter(machine: Machine) -> None:
    """Let the converter go on to the next pin of those it is to take by turns.

    The library keeps a field of three bits, the pin, through a mask of two others.
    """
    kind: Any = type(machine.adc)

    class Turning(kind):  # type: ignore[misc]
        @property
        def _active_channel(self) -> int:
            return int(self.cs) >> _ADC_PIN_SHIFT & _ADC_PIN_MASK

        @_active_channel.setter
        def _active_channel(self, channel: int) -> None:
            self.cs &= ~(_ADC_PIN_MASK << _ADC_PIN_SHIFT)
            self.cs |= (channel & _ADC_PIN_MASK) << _ADC_PIN_SHIFT

    machine.adc.__class__ = Turning


def inject_entropy(machine: Machine, bit: BitSource) -> None:
    """Let the ring oscillator's RANDOMBIT register return ``bit()``.

    ``os.urandom`` of MicroPython whitens eight or more of these bits into each byte, so a repeated
    source gives repeated bytes, but not its own.
    """
    machine.peripherals[_ROSC] = _Rosc(bit)


class _Rosc:
    """A ring oscillator that is on and stable, with a random bit of our choice."""

    def __init__(self, bit: BitSource) -> None:
        self._bit = bit

    def read_uint32(self, offset: int) -> int:
        if offset == _ROSC_RANDOM_BIT:
            return self._bit()
        return _ROSC_STABLE_ENABLED if offset == _ROSC_STATUS else 0

    def write_uint32(self, offset: int, value: int) -> None:
        """Nothing to set: no clock is derived from it here."""

    def write_uint32_atomic(self, offset: int, value: int, atomic_type: int) -> None:
        """Nothing to set either."""

    def reset(self) -> None:
        """The watchdog's reset leaves the ring oscillator alone."""
