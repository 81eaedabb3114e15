"""Safe mode: answers the link when the firmware cannot be imported, or three starts failed.

It says why there is no meter, how the board is, and lets the host in to mend it. It opens no key,
no journal and no configuration, and imports little, so that it runs where the rest does not. It
starts no watchdog.

No message of safe mode, or of maintenance, reads a key: but maintenance gives the interpreter's
prompt, and with it the whole flash, to whoever has the port. Physical access is trusted.
"""

from hushfw import life, serve
from hushfw.core.errors import HushError
from hushfw.endpoint import Broken
from hushfw.links.stdio import Stdio


def main(reason):
    link = Stdio()
    link.open()
    try:
        serve.run(link, Broken(HushError("safe_mode", reason), life.Life(safe=True)))
    finally:
        link.close()
