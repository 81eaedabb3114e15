"""Random numbers: CTR_DRBG of NIST SP 800-90A (AES-256, no derivation function), and a fixed tape.

State: an AES-256 key and a 128-bit counter V. One generate call encrypts V+1, V+2, ...: first the
output, then 48 bytes more that replace key and V. Whoever reads the state afterwards cannot run
AES backwards, so earlier outputs stay secret (backtracking resistance). The seed must be 48 bytes
of full entropy; there is no personalisation string and no additional input.

Short requests would pay those 48 bytes each time, so a request of up to 64 bytes is served from
a 64-byte buffer that one generate call fills: by then key and V are already new, and every byte
handed out is zeroed in the buffer. A request takes what is left before it refills; a longer one
goes to generate calls of at most 1024 bytes and leaves the buffer alone. Outputs depend on the
seed and the sequence of calls only. (Copies that Python made on its heap are out of reach: only
the buffer is erased for certain.)

    source = Drbg(seed48)
    source.below(6)     # uniform on 0..5, exactly
"""

import struct

from hushfw import port
from hushfw.core.errors import HushError

SEED = 48
BUFFER = 64
MAX_REQUEST = 1024
RESEED_INTERVAL = 1 << 48
_BLOCK = 16
_V_MASK = (1 << 128) - 1
_LOW = 0xFFFF


class Source:
    """Integers from bytes; a subclass brings bytes(n)."""

    def below(self, n):
        """Uniform on 0..n-1, any n >= 1: rejection on the least number of bytes, top bits masked.

        Little-endian; n = 1 takes no bytes. Fewer than two tries are expected.
        """
        if n < 1:
            raise HushError("internal", "below(%d) has no value to draw; n must be 1 or more" % n)
        top = n - 1
        size = 0
        while top > 255:
            top >>= 8
            size += 8
        while top & (top + 1):
            top |= top >> 1
        mask = (top + 1 << size) - 1
        size = (size >> 3) + (top > 0)
        while True:
            value = int.from_bytes(self.bytes(size), "little") & mask
            if value < n:
                return value

    def bytes(self, n):
        raise NotImplementedError

    def bit(self):
        """One fair bit: the lowest of one byte. The other seven are dropped: no pool to erase."""
        return self.bytes(1)[0] & 1


class Drbg(Source):
    def __init__(self, seed_bytes):
        self._aes = port.aes(bytes(32))
        self._v = 0
        self._buffer = bytearray(BUFFER)
        self.reseed(seed_bytes)

    def __repr__(self):
        return "Drbg(...)"

    def reseed(self, material48):
        """Mix 48 fresh bytes into the state; what was left in the buffer is erased."""
        if len(material48) != SEED:
            raise HushError(
                "entropy", "the seed has %d bytes; it must have %d" % (len(material48), SEED)
            )
        fresh = int.from_bytes(self._stream(SEED), "big") ^ int.from_bytes(material48, "big")
        self._replace_state(fresh.to_bytes(SEED, "big"))
        self._buffer[:] = bytes(BUFFER)
        self._at = BUFFER
        self._requests = 0

    def bytes(self, n):
        at = self._at
        if not 0 <= n <= BUFFER - at:
            return self._beyond(n)
        self._at = end = at + n
        buffer = self._buffer
        out = bytes(buffer[at:end])
        buffer[at:end] = bytes(n)
        return out

    def _beyond(self, n):
        """Serve what the buffer's rest cannot."""
        if n < 0:
            raise HushError("internal", "%d bytes were asked for; n must be 0 or more" % n)
        if n > BUFFER:
            return self._long(n)
        head = self.bytes(BUFFER - self._at)
        self._buffer[:] = self._generate(BUFFER)
        self._at = 0
        return head + self.bytes(n - len(head))

    def _long(self, n):
        out = bytearray(n)
        for at in range(0, n, MAX_REQUEST):
            end = min(n, at + MAX_REQUEST)
            out[at:end] = self._generate(end - at)
        return bytes(out)

    def _generate(self, n):
        """SP 800-90A's generate: n bytes of output, after which key and V are new."""
        if self._requests >= RESEED_INTERVAL:
            raise HushError("entropy", "the generator's reseed interval is over; reseed it")
        self._requests += 1
        padded = n + -n % _BLOCK
        stream = self._stream(padded + SEED)
        self._replace_state(stream[padded:])
        return stream[:n]

    def _stream(self, n):
        """Encrypts V+1, V+2, ...; n is a whole number of blocks."""
        low = self._v & _LOW
        if low + n // _BLOCK > _LOW:
            return self._carrying_stream(n)
        # Only the last two bytes of the counter change: they are written as small integers.
        head = (self._v >> 16).to_bytes(_BLOCK - 2, "big")
        counters = bytearray((head + bytes(2)) * (n // _BLOCK))
        for at in range(_BLOCK - 2, n, _BLOCK):
            low += 1
            struct.pack_into(">H", counters, at, low)
        self._v += n // _BLOCK
        return self._aes.encrypt(counters)

    def _carrying_stream(self, n):
        counters = bytearray(n)
        v = self._v
        for at in range(0, n, _BLOCK):
            v = v + 1 & _V_MASK
            counters[at : at + _BLOCK] = v.to_bytes(_BLOCK, "big")
        self._v = v
        return self._aes.encrypt(counters)

    def _replace_state(self, material48):
        self._aes = port.aes(material48[:32])
        self._v = int.from_bytes(material48[32:], "big")


class Tape(Source):
    """A fixed byte string in place of randomness, for tests and modes marked insecure."""

    def __init__(self, data):
        self._data = bytes(data)
        self._at = 0

    def __repr__(self):
        return "Tape(...)"

    def bytes(self, n):
        end = self._at + n
        if n < 0 or end > len(self._data):
            raise HushError("tape_empty", "the tape has fewer than the %d bytes asked for" % n)
        out = self._data[self._at : end]
        self._at = end
        return out
