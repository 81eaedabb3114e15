"""Samples of two analogue pins by turns, evenly spaced, into a buffer: v, i, v, i, ...

`Streamed` needs an RP2040: its converter starts by its own divider and changes pins by itself, and
DMA carries what it finds to the buffer. No instruction of the processor is involved, so nothing
that interrupts it moves a sample. `polled.Polled` works on any board, and an interrupt moves its
samples.

    source = make(hardware, voltage_pin, current_pin, spacing_us)    # None: the kind's own spacing
    source.take(samples, pairs)     # blocks for the window; False where it is not to be used
    source.pair_ns                  # time from one voltage sample to the next

Both give 12 bits, 0 to FULL_SCALE. The transfer ends within `take`, also by an exception: after a
soft reset the buffer's memory is somebody else's.
"""

import sys
import time

FULL_SCALE = 4095

# RP2040 datasheet: 2.20 SYSINFO, 4.9.6 ADC registers, 2.5.3.1 transfer requests.
_CHIP_ID, _ID_MASK, _RP2040 = 0x40000000, 0x0FFFFFFF, 0x00002927
_CS, _FCS, _FIFO, _DIV = 0x4004C000, 0x4004C008, 0x4004C00C, 0x4004C010
_REQUEST = 36
_FIRST_PIN = 26
_CLOCK_MHZ = 48
_ENABLED, _START_MANY, _READY = 1, 1 << 3, 1 << 8
# One request a sample, flags of an earlier overflow cleared.
_FIFO_ON = 1 | 1 << 3 | 1 << 10 | 1 << 11 | 1 << 24


def make(hardware, voltage_pin, current_pin, spacing_us=None):
    """The source that this board can have; ValueError or the like where a pin is not analogue."""
    pins = [hardware.Pin(pin) for pin in (voltage_pin, current_pin)]
    converters = [hardware.ADC(pin) for pin in pins]
    dma = _dma(hardware)
    if dma is None:
        from hushfw.drivers.polled import Polled

        return Polled(hardware, converters, spacing_us or Polled.SPACING_US)
    channels = (voltage_pin - _FIRST_PIN, current_pin - _FIRST_PIN)
    return Streamed(hardware.mem32, dma, channels, spacing_us or Streamed.SPACING_US)


def _dma(hardware):
    """A DMA channel, None where this is no RP2040 or the interpreter has none to give."""
    if sys.platform != "rp2" or hardware.mem32[_CHIP_ID] & _ID_MASK != _RP2040:
        return None
    try:
        import rp2

        return rp2.DMA()
    except (ImportError, AttributeError, OSError):
        return None


class Streamed:
    """The converter and DMA do it alone. `channels` are the converter's inputs, 0 to 3."""

    SPACING_US = 100

    def __init__(self, mem32, dma, channels, spacing_us):
        self._mem32, self._dma = mem32, dma
        self._spacing_us = spacing_us
        self.pair_ns = 2000 * spacing_us
        self.worst_late_us = 0
        first, second = channels
        self._turns = first << 12 | (1 << first | 1 << second) << 16
        self._control = dma.pack_ctrl(size=1, inc_read=False, treq_sel=_REQUEST)

    def take(self, samples, pairs):
        dma = self._dma
        self._prepare()
        due_ms = 2 * pairs * self._spacing_us // 1000
        began = time.ticks_ms()
        try:
            dma.config(read=_FIFO, write=samples, count=2 * pairs, ctrl=self._control, trigger=True)
            self._mem32[_CS] = _ENABLED | _START_MANY | self._turns
            time.sleep_ms(due_ms)
            while dma.active():
                if time.ticks_diff(time.ticks_ms(), began) > due_ms + 10:
                    return False
            return True
        finally:
            self._mem32[_CS] = _ENABLED
            self._mem32[_FCS] = 0
            if dma.active():
                dma.active(0)

    def _prepare(self):
        """Nothing runs, nothing is left of an earlier time."""
        mem32 = self._mem32
        mem32[_CS] = _ENABLED
        while not mem32[_CS] & _READY:
            pass
        mem32[_FCS] = _FIFO_ON
        while mem32[_FCS] >> 16 & 15:
            mem32[_FIFO]
        mem32[_DIV] = (_CLOCK_MHZ * self._spacing_us - 1) << 8
