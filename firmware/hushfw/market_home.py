"""What a home says of prices: it comes in pieces, and is checked whole before it is kept."""

from hushfw import market, store
from hushfw.borrowed import Borrowed
from hushfw.core.errors import HushError

_MOST_RESPONSES = 2048


class Trade(market.Trade):
    """The handler of responses, which needs no roster."""

    def handle(self, name, fields):
        size, offset, data = fields["size"], fields["offset"], fields["data"]
        if not 0 < size <= _MOST_RESPONSES:
            raise HushError("bad_config", "responses have 1 to %d bytes" % _MOST_RESPONSES)
        come = b"" if offset == 0 else self._state.get("come", b"")
        if offset != len(come) or offset + len(data) > size:
            raise HushError("bad_message", "wanted the piece at offset %d" % len(come))
        come += data
        if len(come) < size:
            self._state["come"] = come
            return "ok", {}
        self._state.pop("come", None)
        with Borrowed(market.CURVES) as responses:
            self._checked(responses, come)
        if store.read(market.RESPONSES_FILE) != come:
            store.replace(market.RESPONSES_FILE, [come])
        return "ok", {}
