"""Modbus RTU: frames, and a master that never waits.

A frame is the unit's number, a function, data, and a CRC-16 with its low byte first; numbers in
data have their high byte first. Frames are told apart by silence, 3.5 characters of it. A reply
does not say which question it answers. So the master asks one question at a time, empties its
buffer before each, and after a reply that did not come, or came broken, it lets the line rest: what
arrives in that time is thrown away, so that a late reply is never taken for a newer question's. A
unit that replies later than `reply_ms + rest_ms` after a question breaks that rule.

    line = Master(uart, 9600)
    line.ask(now_ms, 1, READ_INPUT, span(0, 10))      # False while the line must be silent
    ...
    registers = line.answer(now_ms)                   # bytes, or None
    if registers is None and not line.waiting: line.fault says why, see FAULTS

now_ms are ticks in milliseconds that wrap at a power of two from 2^30 on. Whoever looks in once a
second takes the reply to the question of the second before, and asks the next at once.

Functions, fields and exceptions: MODBUS Application Protocol Specification V1.1b3; framing and
CRC: MODBUS over Serial Line V1.02.
"""

from hushfw.core.crc16 import update

READ_HOLDING = 3
READ_INPUT = 4
WRITE_ONE = 6
WRITE_MANY = 16

MOST_REGISTERS = 125
MOST_WRITTEN = 123

# What can be wrong with a reply. A frame that is whole but another unit's, or the answer to another
# question, is a `wrong_address`; more bytes than the reply has is a `flood`.
FAULTS = ("silent", "cut", "flood", "bad_crc", "wrong_address", "exception")

_READS = (READ_HOLDING, READ_INPUT)
_EXCEPTION = 0x80
_EXCEPTION_SIZE = 5
_WRITTEN_SIZE = 8
_MOST_FRAME = 256
_WRAP = 0x3FFFFFFF


def crc16(data):
    """The CRC as a number; a frame carries it with the low byte first."""
    return update(0xFFFF, data, 0, len(data))


def request(unit, function, data):
    """The frame of a question; also of a reply, which looks the same."""
    frame = bytes((unit, function)) + data
    crc = crc16(frame)
    return frame + bytes((crc & 0xFF, crc >> 8))


def span(address, count):
    """The data of a question for count registers from this address on."""
    return bytes((address >> 8, address & 0xFF, count >> 8, count & 0xFF))


def one(address, value):
    """The data that writes one register; a negative value as its two's complement."""
    return span(address, value & 0xFFFF)


def many(address, values):
    """The data that writes registers from this address on; values are their bytes."""
    return span(address, len(values) // 2) + bytes((len(values),)) + values


def register(registers, index):
    """Register number index of what a read gave, as 0 to 65535."""
    return registers[2 * index] << 8 | registers[2 * index + 1]


def signed(value):
    """A register's 16 bits as a number from -32768 to 32767."""
    return value - 0x10000 if value & 0x8000 else value


def reply_size(function, data):
    """Bytes of the reply to this question, where it is no exception."""
    if function in _READS:
        return 5 + 2 * (data[2] << 8 | data[3])
    return _WRITTEN_SIZE


def is_whole(frame, function, data):
    """Whether as many bytes are there as the reply to this question has."""
    size = reply_size(function, data)
    if len(frame) >= 2 and frame[1] & _EXCEPTION:
        size = min(size, _EXCEPTION_SIZE)
    return len(frame) >= size


def reply(frame, unit, function, data):
    """(None, content) of the reply to a question, or (fault, content).

    The content is a read's registers as bytes, a write's b"", and an exception's code as one byte.
    """
    fault = _wrong(frame, unit, function, data)
    if fault is not None:
        return fault, b""
    if frame[1] & _EXCEPTION:
        return "exception", bytes(frame[2:3])
    return None, bytes(frame[3:-2]) if function in _READS else b""


def _wrong(frame, unit, function, data):
    """The fault of a reply that nothing can be read from, or None."""
    if not is_whole(frame, function, data):
        return "cut" if frame else "silent"
    is_exception = frame[1] & _EXCEPTION
    size = _EXCEPTION_SIZE if is_exception else reply_size(function, data)
    if len(frame) > size:
        return "flood"
    if crc16(frame) != 0:
        return "bad_crc"
    is_ours = frame[0] == unit and frame[1] & ~_EXCEPTION == function
    if is_ours and not is_exception:
        # A read says how many bytes follow; a write repeats where it wrote, and what or how many.
        is_ours = frame[2] == size - 5 if function in _READS else frame[2:6] == data[:4]
    return None if is_ours else "wrong_address"


class Master:
    """Questions over a UART-like object: any(), readinto(buffer), write(bytes), no time-outs."""

    def __init__(self, uart, baud, reply_ms=400, rest_ms=500):
        self._uart = uart
        self._reply_ms = reply_ms
        self._rest_ms = rest_ms
        # 3.5 characters of 11 bits; above 19200 baud the standard has 1.75 ms.
        self._gap_ms = (38500 + baud - 1) // baud if baud <= 19200 else 2
        self._buffer = bytearray(_MOST_FRAME)
        self._filled = 0
        self._question = None
        self._asked_ms = 0
        self._silent_from_ms = 0
        self._silent_for_ms = 0
        # Of the last question: None, or what was wrong with its reply.
        self.fault = None
        # The code of the last exception.
        self.exception = 0

    @property
    def waiting(self):
        """Whether a question was asked whose answer has neither come nor failed."""
        return self._question is not None

    def ask(self, now_ms, unit, function, data):
        """Whether the question went out: not while one is open, nor while the line rests."""
        if self._question is not None:
            return False
        if self._silent_for_ms:
            if (now_ms - self._silent_from_ms) & _WRAP < self._silent_for_ms:
                return False
            self._silent_for_ms = 0
        self._empty()
        self._question = unit, function, data
        self._asked_ms = now_ms
        self.fault = None
        self._uart.write(request(unit, function, data))
        return True

    def answer(self, now_ms):
        """The content of the reply, b"" for a write's; None while there is none, or at a fault."""
        if self._question is None:
            return None
        waited_ms = (now_ms - self._asked_ms) & _WRAP
        unit, function, data = self._question
        is_flood = not self._gather()
        frame = memoryview(self._buffer)[: self._filled]
        if not is_flood and waited_ms < self._reply_ms and not is_whole(frame, function, data):
            return None
        fault, content = ("flood", b"") if is_flood else reply(frame, unit, function, data)
        self._question = None
        self.fault = fault
        if fault == "exception":
            self.exception = content[0]
        if fault is not None and fault != "exception":
            self._rest(now_ms, self._rest_ms)
        elif waited_ms <= self._reply_ms:
            # Nobody knows when its last byte came; one looked for later came long before.
            self._rest(now_ms, self._gap_ms)
        return content if fault is None else None

    def _rest(self, now_ms, ms):
        self._silent_from_ms = now_ms
        self._silent_for_ms = ms

    def _gather(self):
        """Takes what has come; False where that is more than any frame."""
        count = self._uart.any()
        if not count:
            return True
        if self._filled + count > _MOST_FRAME:
            self._empty()
            return False
        place = memoryview(self._buffer)[self._filled : self._filled + count]
        self._filled += self._uart.readinto(place) or 0
        return True

    def _empty(self):
        self._filled = 0
        # As often as the buffer may be full again: a line that never rests must not hold this up.
        for _ in range(4):
            if not self._uart.any():
                return
            self._uart.readinto(self._buffer)
