"""A meter at its broker: one connection, QoS 1, and nothing that makes the meter wait.

`step` is one turn. It moves the connection on, gives the requests that came, and sends what waits:

    off -> connecting -> greeting -> subscribing -> up -> off after any failure

A lost connection is tried again after 1 to 2 s, then after twice that, up to 5 minutes; where in
the upper half of that time is drawn, so that a street does not come back all at once. The session
is clean: a request that waited at the broker while the meter was away is worth nothing (a time
least of all), so the meter says hello at each connection and the aggregator begins anew.

What the meter has to say waits in a queue until the broker has acknowledged it, and is sent again,
marked as such, over the next connection. A full queue drops its oldest frame and counts it, and a
report whose window is over by the time it could leave is not sent. That
acknowledgement says that the broker has the frame and no more: only `stored` tells the meter that
a report is kept, and one that was dropped here can be asked for with `resend`.
"""

from hushfw import port
from hushfw.core import mqtt
from hushfw.core.errors import HushError
from hushfw.core.frame import Decoder

OFF, CONNECTING, GREETING, SUBSCRIBING, UP = range(5)

MOST_FRAMES = 64
MOST_BYTES = 8192
FIRST_RETRY_MS = 2000
MOST_RETRY_MS = 300000

_MOST_IN_FLIGHT = 4
_CONNECT_MS = 20000
_STEADY_MS = 60000
_PIECE = 1024
_MOST_READS = 8
_SOON_MS = 20
_RADIO_MS = 250
_ERROR_BYTES = 80
# A step that may be slow begins with at least so much time until the next sample.
SPARE_MS = 900

_REFUSALS = ("protocol", "client's name", "service", "user name or password", "permission")


class _Waiting:
    """A frame in the queue, and the packet that carries it now, 0 for none."""

    def __init__(self, data, is_reply):
        self.data = data
        self.is_reply = is_reply
        self.packet = 0
        self.was_sent = False


class Client:
    """The state of one connection after the other.

    dial() gives a connection, see `tcp`; login() the user and password; meter says what it is in
    `greeting()` and what may still be sent in `may_leave(frame)`; jitter(n) is a number below n;
    radio, where there is one, says in `is_up()` whether there is a network at all.
    """

    def __init__(self, names, keepalive_s, dial, login, meter, jitter, radio=None, ticks=None):
        self._street, self._meter_id = names
        self._keepalive_ms = 1000 * keepalive_s
        self._dial, self._login, self._radio = dial, login, radio
        self._meter, self._jitter = meter, jitter
        self._ticks = ticks or port.ticks_ms
        self._queue = []
        self._queued_bytes = 0
        self._connection = None
        self._tries = 0
        self._last_id = 0
        self._until = self._ticks()
        self._reset(OFF)
        self.connects = self.failures = self.acknowledged = self.dropped = self.expired = 0
        self.received = self.damaged = self.worst_step_ms = 0
        self.last_error = ""

    def __repr__(self):
        return "Client(...)"

    def _reset(self, state):
        self.state = state
        self._reader = mqtt.Reader()
        self._out = bytearray()
        self._sending = b""
        # Numbers of packets that the broker owes an acknowledgement for.
        self._owed = set()
        self._pinged = False
        self._asked_ms = self._sent_ms = self._ticks()

    @property
    def socket(self):
        """What to wait for bytes on, None where nothing can come."""
        return None if self.state in (OFF, CONNECTING) else self._connection.socket

    def queued(self):
        return len(self._queue)

    def put(self, data, is_reply=False):
        """One frame for the aggregator; the oldest ones give way to it, replies before others.

        Else who asks many times would drive the reports out.
        """
        self._queue.append(_Waiting(data, is_reply))
        self._queued_bytes += len(data)
        while len(self._queue) > MOST_FRAMES or self._queued_bytes > MOST_BYTES:
            self._queued_bytes -= len(self._queue.pop(self._first_to_go()).data)
            self.dropped += 1

    def _first_to_go(self):
        for i in range(len(self._queue)):
            if self._queue[i].is_reply:
                return i
        return 0

    def due_ms(self):
        """How long until there is something to do besides what comes."""
        now = self._ticks()
        if self.state == OFF:
            left_ms = port.ticks_diff(self._until, now)
            return left_ms if left_ms > 0 else _RADIO_MS if self._radio else _SOON_MS
        if self.state != UP or self._sending or self._out:
            return _SOON_MS
        since_ms = port.ticks_diff(now, self._asked_ms if self._awaits() else self._sent_ms)
        return max(_SOON_MS, self._patience_ms() - since_ms)

    def step(self, spare_ms=None):
        """One turn: the requests that came, as (kind, sequence, payload).

        spare_ms is how long until the next sample, None where none is taken.
        """
        requests = []
        began = self._ticks()
        self._try(lambda: self._turn(requests, spare_ms is None or spare_ms >= SPARE_MS))
        took_ms = port.ticks_diff(self._ticks(), began)
        self.worst_step_ms = max(self.worst_step_ms, took_ms)
        return requests

    def send(self):
        """Sends what waits, and takes nothing in."""
        if self.state == UP:
            self._try(self._send_queue)

    def _try(self, work):
        try:
            work()
        except (OSError, HushError) as error:
            self._lost(str(error))
        except MemoryError:
            self._lost("out of memory")

    def close(self):
        """Leaves on purpose: says that the meter is away, for the will is not sent then."""
        if self.state == UP:
            self._publish(mqtt.ALIVE, b"0", retain=True)
            self._out.extend(mqtt.GOODBYE)
            try:
                self._flush()
            except OSError:
                pass
        self._hang_up()
        self._reset(OFF)

    def _turn(self, requests, may_be_slow):
        if self.state == OFF:
            if may_be_slow:
                self._begin()
            return
        if self.state == CONNECTING:
            self._shake()
        # Until the broker has spoken a step may be one of the handshake.
        is_slow = self.state in (CONNECTING, GREETING) and self._connection.is_secure
        if self.state != CONNECTING and (may_be_slow or not is_slow):
            if self.state != GREETING or not self._sending:
                self._receive(requests)
            self._send_queue()
        self._check_time()

    def _begin(self):
        if port.ticks_diff(self._ticks(), self._until) < 0:
            return
        if self._radio is not None and not self._radio.is_up():
            return
        self._reset(CONNECTING)
        self._connection = self._dial()

    def _shake(self):
        if self._connection.ready():
            user, password = self._login()
            self._out.extend(
                mqtt.connect(
                    mqtt.client_id(self._street, self._meter_id),
                    self._keepalive_ms // 1000,
                    self._topic(mqtt.ALIVE),
                    b"0",
                    user,
                    password,
                )
            )
            self.state = GREETING
            self._next_piece()

    def _receive(self, requests):
        for _ in range(_MOST_READS):
            data = self._connection.read()
            if not data:
                break
            for kind, flags, body in self._reader.feed(data):
                self._take(kind, flags, body, requests)
                self._asked_ms = self._ticks()

    def _take(self, kind, flags, body, requests):
        if (kind == mqtt.CONNACK) != (self.state == GREETING):
            raise HushError("bad_frame", "the broker's packets come in a wrong order")
        if kind == mqtt.CONNACK:
            self._welcome(mqtt.connack(body))
        elif kind == mqtt.SUBACK:
            self._subscribed(body)
        elif kind == mqtt.PUBACK:
            self._acknowledge(mqtt.acknowledged(body))
        elif kind == mqtt.PUBLISH:
            self._take_message(flags, body, requests)
        else:
            self._pinged = False

    def _welcome(self, code):
        if code:
            what = _REFUSALS[code - 1] if code <= len(_REFUSALS) else "something"
            raise HushError("refused", "the broker refused: %s" % what)
        packet = self._new_id()
        self._owed.add(packet)
        self._out.extend(mqtt.subscribe(self._topic(mqtt.DOWN), packet))
        self.state = SUBSCRIBING

    def _subscribed(self, body):
        packet, quality = mqtt.granted(body)
        if self.state != SUBSCRIBING or packet not in self._owed or quality != 1:
            raise HushError("refused", "the broker refused the subscription")
        self._owed.discard(packet)
        self.state = UP
        self.connects += 1
        self._up_ms = self._ticks()
        self._publish(mqtt.ALIVE, b"1", retain=True)
        self._publish(mqtt.UP, self._meter.greeting())

    def _acknowledge(self, packet):
        self._owed.discard(packet)
        for i in range(min(_MOST_IN_FLIGHT, len(self._queue))):
            if self._queue[i].packet == packet:
                self._queued_bytes -= len(self._queue.pop(i).data)
                self.acknowledged += 1
                return

    def _take_message(self, flags, body, requests):
        name, payload, packet = mqtt.message(flags, body)
        if packet is not None:
            self._out.extend(mqtt.puback(packet))
        if name != self._topic(mqtt.DOWN):
            return
        decoder = Decoder()
        requests.extend(decoder.feed(payload))
        self.damaged += decoder.damaged
        self.received += 1

    def _send_queue(self):
        i = 0
        while self.state == UP and i < min(_MOST_IN_FLIGHT, len(self._queue)):
            waiting = self._queue[i]
            i += 1
            if waiting.packet:
                continue
            if not self._meter.may_leave(waiting.data):
                i -= 1
                self._queued_bytes -= len(self._queue.pop(i).data)
                self.expired += 1
                continue
            waiting.packet = self._publish(mqtt.UP, waiting.data, again=waiting.was_sent)
            waiting.was_sent = True
        self._flush()

    def _publish(self, leaf, payload, again=False, retain=False):
        packet = self._new_id()
        if not self._awaits():
            self._asked_ms = self._ticks()
        self._owed.add(packet)
        self._out.extend(mqtt.publish(self._topic(leaf), payload, packet, again, retain))
        return packet

    def _new_id(self):
        self._last_id = self._last_id % mqtt.LAST_ID + 1
        return self._last_id

    def _topic(self, leaf):
        return mqtt.topic(self._street, self._meter_id, leaf)

    def _next_piece(self):
        # TLS wants the very same bytes again where it could not take them.
        self._sending, self._out = bytes(self._out[:_PIECE]), self._out[_PIECE:]

    def _flush(self):
        while self._sending or self._out:
            if not self._sending:
                self._next_piece()
            count = self._connection.write(self._sending)
            if not count:
                return
            self._sending = self._sending[count:]
            self._sent_ms = self._ticks()

    def _awaits(self):
        """Whether the broker owes something."""
        return self.state != UP or self._pinged or len(self._owed) > 0

    def _patience_ms(self):
        """How long an answer of the broker is waited for, or how long nothing is said."""
        if self.state != UP:
            return _CONNECT_MS
        return min(_CONNECT_MS, self._keepalive_ms) if self._awaits() else self._keepalive_ms // 2

    def _check_time(self):
        if self._awaits():
            if port.ticks_diff(self._ticks(), self._asked_ms) > self._patience_ms():
                raise HushError("refused", "the broker does not answer")
        elif port.ticks_diff(self._ticks(), self._sent_ms) >= self._patience_ms():
            self._out.extend(mqtt.PING)
            self._pinged = True
            self._asked_ms = self._ticks()
            self._flush()

    def _lost(self, why):
        if self.state == UP and port.ticks_diff(self._ticks(), self._up_ms) >= _STEADY_MS:
            self._tries = 0
        self.failures += 1
        self.last_error = why[:_ERROR_BYTES]
        self._hang_up()
        for waiting in self._queue:
            waiting.packet = 0
        wait_ms = min(FIRST_RETRY_MS << min(self._tries, 8), MOST_RETRY_MS)
        self._tries += 1
        wait_ms = wait_ms // 2 + self._jitter(wait_ms // 2)
        self._until = port.ticks_add(self._ticks(), wait_ms)
        self._reset(OFF)

    def _hang_up(self):
        if self._connection is not None:
            self._connection.close()
        self._connection = None
