"""The network beside the console: the same frames, at the same moments, over a broker.

A meter whose configuration names a broker has this in its serve loop. What it sends unasked goes
over both links; a reply goes where the request came from. While the meter is quiet (see `quiet`)
nothing here touches the connection, neither an acknowledgement nor a ping: when the loop turns
would tell how long the work took.
"""

from hushfw.core import mqtt
from hushfw.core.frame import is_unasked
from hushfw.links import tcp, wifi
from hushfw.links.mqtt import UP, Client

CONSOLE, BROKER = 0, 1


class Network:
    """Built at boot; raises HushError where the configuration asks for what is not there."""

    def __init__(self, settings, names, meter, jitter):
        mqtt.check_street(names[0])
        context = tcp.trust() if settings["tls"] else None
        self._radio = wifi.Radio() if settings["wifi"] else None
        if "since_s" in settings:
            wifi.at_least(settings["since_s"])
        self.client = Client(
            names,
            settings.get("keepalive_s", 60),
            lambda: tcp.Connection(settings, context),
            _login,
            meter,
            jitter,
            self._radio,
        )
        self._watched = None

    def __repr__(self):
        return "Network(...)"

    def wait_ms(self, most_ms, quiet_ms):
        """How long the console may be waited for."""
        return most_ms if quiet_ms else min(most_ms, self.client.due_ms())

    def put(self, frames):
        """What was sent unasked, wherever it came up."""
        for data in frames:
            if is_unasked(data):
                self.client.put(data)

    def turn(self, console, endpoint, point):
        """One turn, after what fell due has been put."""
        if endpoint.quiet_ms():
            self._watch(console, None)
            return
        self._put_all(endpoint.released(BROKER))
        damaged = self.client.damaged
        for kind, sequence, payload in self.client.step(endpoint.spare_ms()):
            self._put_all(endpoint.receive_from(BROKER, kind, sequence, payload))
            point()
        if self.client.damaged != damaged:
            self._put_all(endpoint.damaged())
        if not endpoint.quiet_ms():
            self.client.send()
        self._watch(console, self.client.socket)

    def close(self):
        self.client.close()

    def figures(self):
        """The fields of the message `network`."""
        client = self.client
        return {
            "up": int(client.state == UP),
            "wifi_tries": self._radio.tries if self._radio is not None else 0,
            "connects": client.connects,
            "failures": client.failures,
            "queued": client.queued(),
            "acknowledged": client.acknowledged,
            "dropped": client.dropped,
            "expired": client.expired,
            "received": client.received,
            "damaged": client.damaged,
            "worst_step_ms": client.worst_step_ms,
            "last_error": client.last_error,
        }

    def _put_all(self, frames):
        for data in frames:
            self.client.put(data, not is_unasked(data))

    def _watch(self, console, stream):
        if stream is not self._watched:
            console.watch(stream)
            self._watched = stream


def _login():
    found = wifi.secrets("broker")
    return found.get("user"), found.get("password")
