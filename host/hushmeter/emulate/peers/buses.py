"""I2C and SPI between a peer and an emulated board, byte by byte in the bus's own time.

    pico.attach(i2c(0, {0x38: chip}))
    pico.attach(spi(0, cs=5, peer=chip))

The emulator completes a byte at once; here it takes the time that the clock of the bus gives it,
so that a driver's times are those of a board, the processor's own overhead included. A start or
stop condition takes a bit. MicroPython on these chips scans an I2C bus by toggling its pins, one
address at a time without a byte (the controller cannot send none), which the emulator's I2C unit
does not see: `scan()` is answered at the pins by :class:`_Scanned`.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from hushmeter.emulate.peers.wires import Now, across_resets
from hushmeter.emulate.pico import Attachment

I2C_BITS = 9
SPI_BITS = 8
_SYSTEM_HZ, _USB_PLL_HZ = 125_000_000, 48_000_000
_PERI_SOURCE_SHIFT, _PERI_SOURCE_MASK, _PERI_SOURCE_USB_PLL = 5, 7, 2
_FLOATING = 0xFF


class I2cPeer(Protocol):
    """A chip on an I2C bus. Times are simulated seconds."""

    def i2c_start(self, reads: bool, now_s: float) -> bool:
        """Its address was called; return whether it acknowledges."""

    def i2c_write(self, byte: int, now_s: float) -> bool:
        """Take a byte; return whether it acknowledges."""

    def i2c_read(self, now_s: float) -> int:
        """Give a byte."""

    def i2c_stop(self, now_s: float) -> None:
        """The transfer is over."""


class SpiPeer(Protocol):
    """A chip on an SPI bus, with a chip select of its own."""

    def spi_select(self, now_s: float) -> None:
        """CS has fallen."""

    def spi_exchange(self, byte: int, now_s: float) -> int:
        """Take a byte and give the one that went the other way meanwhile."""

    def spi_release(self, now_s: float) -> None:
        """CS has risen."""


def i2c(unit: int, peers: Mapping[int, I2cPeer], sda: int, scl: int) -> Attachment:
    """Return what puts chips, by their 7-bit addresses, on an I2C bus of an emulated board."""
    return across_resets(lambda machine, now_s: _I2cBus(machine, unit, peers, sda, scl, now_s))


def spi(unit: int, cs: int, peer: SpiPeer) -> Attachment:
    """Return what puts a chip on an SPI bus of an emulated board."""
    return across_resets(lambda machine, now_s: _SpiBus(machine, unit, cs, peer, now_s))


class _Later:
    """Runs one thing after a time: a byte on its way."""

    def __init__(self, machine: Any) -> None:
        self._alarm = machine.clock.create_alarm(self._run)
        self._then: Callable[[], None] | None = None

    def do(self, seconds: float, then: Callable[[], None]) -> None:
        self._then = then
        self._alarm.schedule(seconds * 1e9)

    def _run(self) -> None:
        then, self._then = self._then, None
        if then is not None:
            then()


class _I2cBus:
    def __init__(
        self,
        machine: Any,
        unit: int,
        peers: Mapping[int, I2cPeer],
        sda: int,
        scl: int,
        now_s: Now,
    ) -> None:
        self._i2c, self._peers, self._now_s = machine.i2c[unit], peers, now_s
        self._later = _Later(machine)
        self._peer: I2cPeer | None = None
        bus = self._i2c
        bus.on_start = lambda repeated: self._later.do(self._bit_s(), bus.complete_start)
        bus.on_connect = self._called
        bus.on_write_byte = self._written
        bus.on_read_byte = self._read
        bus.on_stop = self._stopped
        _Scanned(machine, peers, sda, scl, now_s)

    def _bit_s(self) -> float:
        cycles = self._i2c.scl_high_period + self._i2c.scl_low_period
        return float(max(cycles, 1)) / _SYSTEM_HZ

    def _byte_s(self) -> float:
        return I2C_BITS * self._bit_s()

    def _called(self, address: int, mode: int) -> None:
        def done() -> None:
            peer = self._peers.get(address)
            known = peer is not None and peer.i2c_start(bool(mode), self._now_s())
            self._peer = peer if known else None
            self._i2c.complete_connect(known)

        self._later.do(self._byte_s(), done)

    def _written(self, byte: int) -> None:
        def done() -> None:
            peer = self._peer
            self._i2c.complete_write(peer is not None and peer.i2c_write(byte, self._now_s()))

        self._later.do(self._byte_s(), done)

    def _read(self, more: bool) -> None:
        def done() -> None:
            peer = self._peer
            self._i2c.complete_read(_FLOATING if peer is None else peer.i2c_read(self._now_s()))

        self._later.do(self._byte_s(), done)

    def _stopped(self) -> None:
        def done() -> None:
            peer, self._peer = self._peer, None
            if peer is not None:
                peer.i2c_stop(self._now_s())
            self._i2c.complete_stop()

        self._later.do(self._bit_s(), done)


class _Scanned:
    """Answers a bus that is driven by hand: an address and its acknowledge, nothing after it."""

    def __init__(
        self, machine: Any, peers: Mapping[int, I2cPeer], sda: int, scl: int, now_s: Now
    ) -> None:
        self._sda, self._peers, self._now_s = machine.gpio[sda], peers, now_s
        self._scl_pin, self._sda_pin = machine.gpio[scl], machine.gpio[sda]
        self._scl, self._sda_level = 1, 1
        self._bits: list[int] | None = None
        self._peer: I2cPeer | None = None
        self._scl_pin.add_listener(lambda new, old: self._changed())
        self._sda_pin.add_listener(lambda new, old: self._changed())

    def _changed(self) -> None:
        scl, sda = _line(self._scl_pin), _line(self._sda_pin)
        before, self._scl = self._scl, scl
        was, self._sda_level = self._sda_level, sda
        if before and scl and sda != was:
            self._start() if was else self._stop()
        elif scl and not before and self._bits is not None and len(self._bits) < SPI_BITS:
            self._bits.append(sda)
        elif before and not scl and self._bits is not None:
            self._fell(self._bits)

    def _start(self) -> None:
        self._bits = []

    def _stop(self) -> None:
        self._bits = None
        if self._peer is not None:
            self._peer.i2c_stop(self._now_s())
            self._peer = None

    def _fell(self, bits: list[int]) -> None:
        """After the eighth bit the chip pulls the line down for the ninth, and lets go after it."""
        if len(bits) < SPI_BITS:
            return
        if self._peer is not None:
            self._sda_pin.release_input()
            self._bits = None
            return
        address = sum(bit << 7 - at for at, bit in enumerate(bits))
        peer = self._peers.get(address >> 1)
        if peer is not None and peer.i2c_start(bool(address & 1), self._now_s()):
            self._peer = peer
            self._sda_pin.set_input_value(False)
        else:
            self._bits = None


def _line(pin: Any) -> int:
    """The level of a wire with a pull-up: low where the board drives it low."""
    return 0 if pin.output_enable and not pin.output_value else 1


class _SpiBus:
    def __init__(self, machine: Any, unit: int, cs: int, peer: SpiPeer, now_s: Now) -> None:
        self._machine, self._spi, self._peer = machine, machine.spi[unit], peer
        self._now_s = now_s
        self._later = _Later(machine)
        self._selected = False
        self._cs = machine.gpio[cs]
        self._cs.add_listener(lambda new, old: self._look())
        self._spi.on_transmit = self._transmit

    def _look(self) -> None:
        selected = bool(self._cs.output_enable and not self._cs.output_value)
        if selected == self._selected:
            return
        self._selected = selected
        act = self._peer.spi_select if selected else self._peer.spi_release
        act(self._now_s())

    def _transmit(self, byte: int) -> None:
        def done() -> None:
            answer = _FLOATING
            if self._selected:
                answer = self._peer.spi_exchange(byte, self._now_s())
            self._spi.complete_transmit(answer)

        self._later.do(SPI_BITS / self._rate_hz(), done)

    def _rate_hz(self) -> float:
        """The bus's true rate: the emulator's own figure has the wrong clock."""
        source = self._machine.clocks.peri_ctrl >> _PERI_SOURCE_SHIFT & _PERI_SOURCE_MASK
        clock_hz = _USB_PLL_HZ if source == _PERI_SOURCE_USB_PLL else _SYSTEM_HZ
        assumed_hz = float(self._machine.clk_peri)
        return max(1.0, float(self._spi.clock_frequency) * clock_hz / assumed_hz)
