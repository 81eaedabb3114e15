"""Runs on an emulated board in place of main.py: one meter after the other, imported only once.

When a meter is asked for maintenance the filesystem is unmounted and b"swap" said. The host puts
another content on the flash and says anything, which is confirmed with b"done"; then that is
mounted, and a new meter boots from it.
What a real restart does besides, restarting the interpreter and importing the firmware, reads the
flash and writes nothing.
"""

import gc
import time

import rp2
import vfs

from hushfw import life, memory
from hushfw.links.stdio import Stdio

# As in the application: what stays lies together.
memory.pack()
from hushfw import journal, meter, serve  # noqa: E402
from hushfw.core import pace  # noqa: E402

memory.unpack()

REWRITE_BYTES = 700


def main():
    journal._REWRITE_BYTES = REWRITE_BYTES
    link = Stdio()
    link.open()
    while True:
        serve.serve(link, meter.boot(board_life=life.Life()))
        time.sleep_ms(20)
        pace.install(None)
        vfs.umount("/")
        gc.collect()
        link.write(b"swap")
        while not link.read(1000):
            pass
        link.write(b"done")
        vfs.mount(vfs.VfsLfs2(rp2.Flash(), progsize=256), "/")


main()
