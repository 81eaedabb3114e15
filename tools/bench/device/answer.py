"""The interpreter alone: says one byte when it runs, and ends when its input does."""

import select
import sys

sys.stdout.write(".")
poller = select.poll()
poller.register(sys.stdin, select.POLLIN)
# A meter's input does not block, so it is waited for; a closed one counts as readable.
poller.poll()
