"""Frames: how a message travels over a byte stream that may also carry garbage.

A frame is a zero byte, the body in consistent-overhead byte stuffing (COBS, which leaves no zero
inside), and a zero byte. So a receiver that lost its place waits for the next zero and is back in
step, whatever came before: a boot banner, half a frame, noise on the line.

    body = version(1) kind(1) sequence(2) payload(0..1024) crc32(4), big-endian

A request has a sequence number from 1 to 65535 and its reply repeats it; what a meter sends
unasked has 0.

    decoder = Decoder()
    for kind, sequence, payload in decoder.feed(encode(1, 7, b"hello")):
        ...
"""

import struct

from hushfw.port import crc32

VERSION = 1
MAX_PAYLOAD = 1024
_OVERHEAD = 8
MAX_STUFFED = MAX_PAYLOAD + _OVERHEAD + (MAX_PAYLOAD + _OVERHEAD) // 254 + 1


def stuff(data):
    """COBS: each run between zeros follows its length plus one; 255 means no zero follows it."""
    out = bytearray()
    for run in bytes(data).split(b"\0"):
        while len(run) >= 254:
            out.append(255)
            out.extend(run[:254])
            run = run[254:]
        out.append(len(run) + 1)
        out.extend(run)
    return bytes(out)


def unstuff(data):
    """The inverse of stuff, or None where data is not its output."""
    out = bytearray()
    size = len(data)
    i = 0
    while i < size:
        code = data[i]
        end = i + code
        if code == 0 or end > size:
            return None
        out.extend(data[i + 1 : end])
        i = end
        if code < 255 and i < size:
            out.append(0)
    return bytes(out)


def encode(kind, sequence, payload):
    if len(payload) > MAX_PAYLOAD:
        raise ValueError("a payload has at most %d bytes" % MAX_PAYLOAD)
    body = struct.pack(">BBH", VERSION, kind, sequence) + payload
    return b"\0" + stuff(body + struct.pack(">I", crc32(body))) + b"\0"


def decode_body(stuffed):
    """(kind, sequence, payload) of one stuffed body, or None where it is damaged."""
    body = unstuff(stuffed)
    if body is None or not _OVERHEAD <= len(body) <= MAX_PAYLOAD + _OVERHEAD:
        return None
    if struct.unpack(">I", body[-4:])[0] != crc32(body[:-4]):
        return None
    version, kind, sequence = struct.unpack(">BBH", body[:4])
    if version != VERSION:
        return None
    return kind, sequence, body[4:-4]


def is_unasked(data):
    """Whether one whole frame of ours is no reply."""
    found = decode_body(data[1:-1])
    return found is not None and found[1] == 0


class Decoder:
    """Cuts a byte stream into frames; counts what it threw away, keeps at most one frame."""

    def __init__(self):
        self._part = bytearray()
        self._skipping = False
        self.damaged = 0

    def feed(self, data):
        frames = []
        runs = bytes(data).split(b"\0")
        for run in runs[:-1]:
            self._gather(run)
            self._finish(frames)
        self._gather(runs[-1])
        return frames

    def _gather(self, run):
        if not self._skipping:
            if len(self._part) + len(run) > MAX_STUFFED:
                self._part = bytearray()
                self._skipping = True
            else:
                self._part.extend(run)

    def _finish(self, frames):
        if self._skipping:
            self._skipping = False
            self.damaged += 1
            return
        if self._part:
            frame = decode_body(self._part)
            self._part = bytearray()
            if frame is None:
                self.damaged += 1
            else:
                frames.append(frame)
