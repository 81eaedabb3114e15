"""Faults that the power-cut test must find: each function breaks the firmware before it boots.

These run in MicroPython, beside `flash_meter`.
"""

from hushfw import endpoint, journal, store

_PENDING = 0xFFFFFFFF


def late_journal():
    """A record reaches the flash after its message has left: with the request that follows."""
    append, payload, settle = (
        journal.Journal.append,
        journal.Journal.payload,
        journal.Journal.settle,
    )

    def flush(self):
        pending, self.pending = getattr(self, "pending", None), None
        if pending:
            append(self, *pending)

    def append_later(self, kind, content):
        flush(self)
        self.pending = (kind, content)
        self._apply(kind, content, _PENDING)

    def payload_of(self, at):
        return self.pending[1] if at == _PENDING else payload(self, at)

    def settle_and_flush(self):
        settle(self)
        flush(self)

    journal.Journal.append = append_later
    journal.Journal.payload = payload_of
    journal.Journal.settle = settle_and_flush


def replace_in_place():
    """A file is overwritten where it is, piece by piece, instead of renamed over."""

    def replace(path, pieces):
        content = list(pieces)
        with open(path, "wb") as f:
            for piece in content:
                f.write(piece)
                f.flush()

    store.replace = journal.replace = replace


def late_seed():
    """The next seed is stored once the first replies have left."""
    put = store.SeedFile.put
    receive = endpoint.Endpoint.receive
    kept = []

    def put_later(self, seed, boots):
        kept[:] = [0, self, seed, boots]

    def receive_and_put(self, kind, sequence, content):
        frames = receive(self, kind, sequence, content)
        if kept:
            kept[0] += 1
            if kept[0] == 12:
                put(*kept[1:])
        return frames

    store.SeedFile.put = put_later
    endpoint.Endpoint.receive = receive_and_put
