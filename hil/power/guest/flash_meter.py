"""Runs in MicroPython's unix port: a meter whose files lie on a flash that tells all it does.

Littlefs is mounted on a flash in memory, and the meter is served over packets on the standard
streams, each type(1) length(4) data:

    from the host    M image    power on, with a meter on this content of the flash
                     L image    power on, with the loader: main.py of this content
                     R image    power on, with the prompt
                     B bytes    bytes on the meter's link, or code at the prompt
                     X          power off
    to the host      P E S      a page programmed, a block erased; what was asked for is done
                     W bytes    the meter said this, or the prompt
                     D bytes    the meter's generator gave this out
                     T text     what the meter or the code at the prompt died of
                     F image    the flash after power off
                     I          waiting for more

The arguments are the growth after which the journal is rewritten, so that a few slots see it, and
the name of a fault in `faults` that the meter is to have.

So the host sees in which order flash and link were used. A restart does not start a new process,
only a new meter: that takes milliseconds.
"""

import builtins
import gc
import io
import os
import struct
import sys

import vfs

from hushfw import journal, life, meter, serve
from hushfw.core import pace
from hushfw.core.drbg import Drbg

PAGE = 256
BLOCK = 4096
FOLDER = "/flash"

_in = sys.stdin.buffer
_out = sys.stdout.buffer


def tell(kind, *pieces):
    _out.write(struct.pack(">BI", ord(kind), sum([len(piece) for piece in pieces])))
    for piece in pieces:
        _out.write(piece)


def hear():
    """(type, data) of the next packet; an end of file ends the process."""
    head = _in.read(5)
    if len(head) < 5:
        sys.exit()
    kind, size = struct.unpack(">BI", head)
    return chr(kind), _in.read(size) if size else b""


class Flash:
    """NOR flash as littlefs drives it: pages of 256 bytes are programmed, blocks of 4096 erased."""

    def __init__(self, image):
        self.image = bytearray(image)
        self._view = memoryview(self.image)

    def readblocks(self, block, buffer, offset=0):
        at = block * BLOCK + offset
        buffer[:] = self._view[at : at + len(buffer)]

    def writeblocks(self, block, buffer, offset=0):
        view = memoryview(buffer)
        at = block * BLOCK + offset
        for begin in range(0, len(buffer), PAGE):
            page = view[begin : begin + PAGE]
            tell("P", struct.pack(">I", at + begin), page)
            self._program(at + begin, page)

    def _program(self, at, page):
        size = len(page)
        before = int.from_bytes(self._view[at : at + size], "big")
        after = before & int.from_bytes(page, "big")
        self._view[at : at + size] = after.to_bytes(size, "big")

    def ioctl(self, operation, argument):
        if operation == 3:
            tell("S")
        elif operation == 4:
            return len(self.image) // BLOCK
        elif operation == 5:
            return BLOCK
        elif operation == 6:
            at = argument * BLOCK
            tell("E", struct.pack(">II", at, BLOCK))
            self._view[at : at + BLOCK] = b"\xff" * BLOCK
        return 0


class PowerOff(Exception):
    """The host took the power away."""


class Packets:
    """The link of a meter, in packets."""

    def read(self, wait_ms):
        tell("I")
        kind, data = hear()
        if kind == "B":
            return data
        raise PowerOff

    def write(self, data):
        tell("W", data)


def tell_random():
    """From here on the host sees what generators give out."""
    generate = Drbg._generate

    def told(self, n):
        out = generate(self, n)
        tell("D", out)
        return out

    Drbg._generate = told


def serve_meter():
    """One life of a meter, from power on to power off."""
    link = Packets()
    try:
        endpoint = meter.boot(board_life=life.Life())
        serve.serve(link, endpoint)
    except PowerOff:
        pass


def mounted(image, run):
    """Runs with the image mounted as the current folder; the image afterwards goes to the host."""
    flash = Flash(image)
    vfs.mount(vfs.VfsLfs2(flash, progsize=PAGE), FOLDER)
    os.chdir(FOLDER)
    try:
        run()
    except Exception as error:
        # SystemExit passes: the host is gone.
        text = io.StringIO()
        sys.print_exception(error, text)
        tell("T", text.getvalue().encode())
    finally:
        os.chdir("/")
        vfs.umount(FOLDER)
        pace.install(None)
    tell("F", flash.image)
    gc.collect()


def say(*values):
    tell("W", " ".join([str(value) for value in values]).encode() + b"\n")


def prompt():
    """Runs code as at the prompt until the power goes."""
    names = {}
    while True:
        tell("I")
        kind, data = hear()
        if kind != "B":
            return
        exec(str(data, "utf-8"), names)


def load():
    """What the board does at power on: main.py, and nothing of hushfw is imported yet."""
    before = list(sys.path)
    for name in list(sys.modules):
        if name.split(".")[0] == "hushfw":
            del sys.modules[name]
    sys.path[:] = [".frozen"]
    names = {"__name__": "__main__", "__file__": "main.py"}
    try:
        with open("main.py") as file:
            exec(file.read(), names)
    finally:
        sys.path[:] = before


def main():
    builtins.print = say
    journal._REWRITE_BYTES = int(sys.argv[1])
    if len(sys.argv) > 2:
        import faults

        getattr(faults, sys.argv[2])()
    tell_random()
    runs = {"M": serve_meter, "L": load, "R": prompt}
    while True:
        tell("I")
        kind, data = hear()
        if kind in runs:
            mounted(data, runs[kind])


main()
