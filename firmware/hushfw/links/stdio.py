"""The console as a link: USB serial on a board, standard input and output on the unix port.

Both interpreters block in `read(n)` until all n bytes have come, and there is no `read1`. So
bytes are taken one at a time while `poll` says that another one is there, through a one-byte
buffer that is reused: no allocation grows with the traffic. A host that starts an emulated
meter may make the meter's standard input non-blocking and say so in the environment variable
below; then one call takes all there is, which is many times faster for long messages.

While the link is open the interrupt character is off, so that all 256 byte values pass.
"""

import os
import select
import sys

try:
    from micropython import kbd_intr
except ImportError:
    kbd_intr = None

_NON_BLOCKING = "HUSHMETER_STDIN"
_CTRL_C = 3
_LIMIT = 512
_END = (5, 9, 32)  # EIO of a closed pseudo-terminal, EBADF, EPIPE


class Stdio:
    """Byte transport over the console; frames are made elsewhere."""

    def __init__(self, limit=_LIMIT):
        self._in = sys.stdin.buffer
        self._out = sys.stdout.buffer
        self._one = bytearray(1)
        self._buffer = bytearray(limit)
        poll = select.poll()
        poll.register(self._in, select.POLLIN)
        # ipoll reuses its result where poll would allocate one for each byte.
        self._ready = poll.ipoll
        self._wait_for_any = None
        getenv = getattr(os, "getenv", None)
        self._at_once = getenv is not None and getenv(_NON_BLOCKING) == "nonblocking"

    def open(self):
        """From here on Ctrl-C is a byte like any other."""
        if kbd_intr is not None:
            kbd_intr(-1)

    def close(self):
        """Give Ctrl-C back to the interpreter."""
        if kbd_intr is not None:
            kbd_intr(_CTRL_C)

    def watch(self, stream):
        """From here on `read` also ends its wait when this stream has bytes; None for none."""
        self._wait_for_any = None
        if stream is not None:
            poll = select.poll()
            poll.register(self._in, select.POLLIN)
            poll.register(stream, select.POLLIN)
            self._wait_for_any = poll.ipoll

    def read(self, wait_ms):
        """What has arrived, at most `limit` bytes; b"" after `wait_ms` without any.

        Raises EOFError when the host has closed its end; a board's console never ends.
        """
        if self._wait_for_any is not None:
            for _ in self._wait_for_any(wait_ms):
                break
            wait_ms = 0
        if not self._readable(wait_ms):
            return b""
        try:
            return self._read_at_once() if self._at_once else self._read_by_byte()
        except OSError as error:
            _raise_if_closed(error)
            raise

    def write(self, data):
        """Write `data`, waiting while the host's buffer is full.

        A board gives a host that reads nothing half a second and then drops the rest; the cut
        frame fails its checksum like any damaged one.
        """
        try:
            self._out.write(data)
        except OSError as error:
            _raise_if_closed(error)
            raise

    def _readable(self, wait_ms):
        # A closed pipe reports POLLHUP, which counts: reading it then tells the end of file.
        for _ in self._ready(wait_ms):
            return True
        return False

    def _read_at_once(self):
        count = self._in.readinto(self._buffer)
        if count == 0:
            raise EOFError
        return bytes(memoryview(self._buffer)[: count or 0])

    def _read_by_byte(self):
        # Locals and no calls of our own: this loop sets the link's speed.
        one, buffer, readinto, ready = self._one, self._buffer, self._in.readinto, self._ready
        size = len(buffer)
        count = 0
        while count < size:
            for _ in ready(0):
                break
            else:
                break
            if not readinto(one):
                if not count:
                    raise EOFError
                break
            buffer[count] = one[0]
            count += 1
        return bytes(memoryview(buffer)[:count])


def _raise_if_closed(error):
    if error.args and error.args[0] in _END:
        raise EOFError
