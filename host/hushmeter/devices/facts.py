"""The schema of ``boards/<name>/board.toml``: one type per table, every field checked.

What a single field's type can say is said here; what fields say about each other is in
:mod:`hushmeter.devices.rules`, and :mod:`hushmeter.devices.boards` reads the files.
"""

from collections.abc import Iterator
from typing import Annotated, Literal, get_args

import msgspec

Capability = Literal[
    "adc",
    "assembler",
    "bootloader",
    "entropy",
    "i2c",
    "pin",
    "pwm",
    "reset",
    "sockets",
    "spi",
    "timer",
    "uart",
    "watchdog",
    "wifi",
]
"""What a test or a driver may need. ``assembler`` is inline Thumb code, ``bootloader`` means that
the interpreter can start the chip's loader, ``entropy`` that ``os.urandom`` was checked."""

How = Literal["silicon", "emulated", "processes", "cross-compiled", "type stubs", "looked up"]
"""How something was checked, from the strongest to the weakest."""

Method = Literal["uf2", "picotool", "esptool"]
"""How an image gets onto a board: a copy to its drive, or one of two programs."""

Architecture = Literal["none", "armv6m", "host", "xtensawin"]
"""As mpy-cross calls them; ``host`` is whatever processor mpy-cross itself runs on."""

Positive = Annotated[int, msgspec.Meta(gt=0)]
NotNegative = Annotated[int, msgspec.Meta(ge=0)]
Gpio = Annotated[int, msgspec.Meta(ge=0, le=63)]
UsbId = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{4}:[0-9a-f]{4}$")]
Digest = Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{64})?$")]
Word32 = Annotated[int, msgspec.Meta(ge=0, le=0xFFFFFFFF)]


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of a board file: a field that it does not know is an error."""


class Heap(Table, frozen=True):
    """The interpreter's heap as it starts: used and free bytes together.

    ``known`` says whether that was read from the running image, or is only what the
    interpreter's sources guarantee.
    """

    bytes: Positive
    known: Literal["measured", "at least"] = "measured"


class Flash(Table, frozen=True):
    """The whole flash chip, the smallest piece it erases and the smallest it programs.

    The three last are the worst case of the chip's data sheet; None where the board is built
    with one of several chips.
    """

    bytes: Positive
    erase_bytes: Positive
    program_bytes: Positive
    worst_erase_us: Positive | None = None
    worst_program_us: Positive | None = None
    erase_cycles: Positive | None = None


class Filesystem(Table, frozen=True):
    """Where files are kept: a folder of the host, or a part of the flash."""

    kind: Literal["folder", "littlefs2"]
    start: NotNegative = 0
    bytes: NotNegative = 0
    block_bytes: NotNegative = 0


class Bytecode(Table, frozen=True):
    """What ``.mpy`` files the interpreter loads; native code needs the architecture too."""

    version: Annotated[str, msgspec.Meta(pattern=r"^[0-9]+\.[0-9]+$")]
    architecture: Architecture = "none"


class Watchdog(Table, frozen=True):
    """The time-outs that ``machine.WDT`` takes; no longest one where the port sets no limit.

    None of the watchdogs here can be stopped once it runs.
    """

    shortest_ms: Positive = 1
    longest_ms: Positive | None = None


class Console(Table, frozen=True):
    """How the framed link reaches the interpreter's standard input and output.

    ``usb_ids`` are the numbers, vendor and product, under which the console's port may show.
    """

    kind: Literal["stdio", "uart", "usb-cdc"]
    usb_ids: tuple[UsbId, ...] = ()


class Image(Table, frozen=True):
    """An official MicroPython image, named by its digest if anybody has checked it.

    An empty ``sha256`` is filled in by the user who downloads the image first, in a file of
    their own; see :mod:`hushmeter.devices.trust`.
    """

    version: str
    file: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    url: Annotated[str, msgspec.Meta(pattern=r"^https?://")]
    bytes: Positive | None = None
    sha256: Digest = ""


class Uf2(Table, frozen=True):
    """The drive that a board shows while its loader runs, and the chip family that it takes."""

    family: Word32
    flash_address: Word32
    drive: str
    board_id: str


class Esp(Table, frozen=True):
    """What esptool calls the chip, its number in an image's header, and where the image goes."""

    chip: str
    chip_id: Annotated[int, msgspec.Meta(ge=0, le=0xFFFF)]
    offset: NotNegative
    baud: Positive = 460800


class Loader(Table, frozen=True):
    """How images get onto the board; the first method is the one taken unless another is named."""

    methods: Annotated[tuple[Method, ...], msgspec.Meta(min_length=1)]
    uf2: Uf2 | None = None
    esp: Esp | None = None


class Header(Table, frozen=True):
    """The pins that wires may be put on: all, those with an ADC, and those without an output."""

    gpio: tuple[Gpio, ...]
    adc: tuple[Gpio, ...] = ()
    input_only: tuple[Gpio, ...] = ()


class Uart(Table, frozen=True):
    """A UART by its number for ``machine.UART``."""

    id: NotNegative
    tx: Gpio
    rx: Gpio


class I2c(Table, frozen=True):
    """An I2C bus by its number for ``machine.I2C``."""

    id: NotNegative
    sda: Gpio
    scl: Gpio


class Clamp(Table, frozen=True):
    """A current clamp and a sample of the mains voltage, which gives the direction of power."""

    current: Gpio
    voltage: Gpio


class Pins(Table, frozen=True):
    """The pins of each kind of driver; one that is absent cannot be used on the board.

    Attributes
    ----------
    level:
        An ADC input whose level stands for power.
    clamp:
        The two ADC inputs of a current clamp and a voltage sample.
    uart:
        The bus of a PZEM or another Modbus meter.
    pulse:
        The S0 or optical pulse output of a meter.
    i2c:
        A bus for sensors.
    pwm:
        An output that sets a battery inverter's power.
    """

    level: Gpio | None = None
    clamp: Clamp | None = None
    uart: Uart | None = None
    pulse: Gpio | None = None
    i2c: I2c | None = None
    pwm: Gpio | None = None


class Wire(Table, frozen=True):
    """One wire of the bench, from a role of this board to a pin of the stimulus board."""

    role: str
    peer: Gpio
    through: str = ""


class Hil(Table, frozen=True):
    """The bench: a UART for the suite, and the wires to a board that gives the stimuli."""

    uart: Uart | None = None
    peer: str = ""
    wires: tuple[Wire, ...] = ()


class Check(Table, frozen=True):
    """What was checked of this board, and how."""

    what: str
    how: How


class Board(Table, frozen=True):
    """One board: everything that code may want to know of it.

    ``machine`` is what the interpreter says it runs on (``sys.implementation._machine``).
    """

    name: str
    description: str
    chip: str
    port: str
    small_int_bits: Positive
    float_bits: Literal[32, 64]
    heap: Heap
    filesystem: Filesystem
    console: Console
    capabilities: frozenset[Capability] = frozenset()
    aliases: tuple[str, ...] = ()
    machine: str = ""
    frequency_hz: Positive | None = None
    flash: Flash | None = None
    bytecode: Bytecode | None = None
    watchdog: Watchdog | None = None
    image: Image | None = None
    loader: Loader | None = None
    header: Header | None = None
    pins: Pins = Pins()
    hil: Hil = Hil()
    checked: tuple[Check, ...] = ()

    @property
    def is_process(self) -> bool:
        """Whether it is a process of this machine: it ends where a board would restart."""
        return self.chip == "host"

    @property
    def on_silicon(self) -> bool:
        """Whether anything was ever checked on a real one."""
        return any(check.how == "silicon" for check in self.checked)

    @property
    def status(self) -> str:
        """How this board was checked, from the strongest check down, in one line."""
        used = {check.how for check in self.checked}
        ways = [way for way in get_args(How) if way in used]
        found = ", ".join(ways) or "not checked"
        if self.flash is None or self.on_silicon:
            return found
        return f"{found}; never run on silicon"

    def roles(self) -> dict[str, int]:
        """Pin by role: ``level``, ``uart.tx``, ``clamp.current``, ``hil.uart.rx``."""
        found = dict(_flat("", self.pins))
        if self.hil.uart is not None:
            found.update(_flat("hil.uart.", self.hil.uart))
        return found


def _flat(prefix: str, table: Table) -> Iterator[tuple[str, int]]:
    for field in table.__struct_fields__:
        value = getattr(table, field)
        if isinstance(value, Table):
            yield from _flat(f"{prefix}{field}.", value)
        elif value is not None and field != "id":
            yield f"{prefix}{field}", value
