"""Packets of MQTT 3.1.1 as a meter needs them: one topic up, one down, QoS 1, a last will.

A packet is a byte of kind and flags, the length of the rest in groups of seven bits (low ones
first, at most four), and the rest. Texts and payloads of acknowledgements carry a length of two
bytes. Nothing here is kept for a packet that is not for a meter: a receiver that meets one, or a
malformed one, gives the connection up, as the standard demands.

    reader = Reader()
    for kind, flags, body in reader.feed(data):
        ...

Source: OASIS, MQTT Version 3.1.1 (2014), sections 2 and 3.
"""

from hushfw.core.errors import HushError

CONNECT, CONNACK, PUBLISH, PUBACK = 1, 2, 3, 4
SUBSCRIBE, SUBACK, PINGREQ, PINGRESP, DISCONNECT = 8, 9, 12, 13, 14

PING = b"\xc0\x00"
GOODBYE = b"\xe0\x00"

UP, DOWN, ALIVE = "up", "down", "alive"
PREFIX = "hush1"

# Room for a few whole frames; the rest of the world's packets are not for a meter.
MAX_BODY = 8192
LAST_ID = 65535

# Requests that a meter obeys over a network: they carry the supplier's tag or the authority's
# signature, or change nothing. The rest is for who holds the meter: `maintenance` gives the prompt
# and with it everything; rows and time of a replay could be invented by anybody at the broker; the
# home's ledger, bills and offers are the home's.
OVER_NETWORK = (
    "hello_request",
    "roster_begin",
    "roster_chunk",
    "roster_commit",
    "roster_pass",
    "renew_key",
    "announce",
    "stored",
    "resend",
    "status_request",
    "life_request",
    "network_request",
    "clock",
    "market_ask",
    "market_silent",
    "market_totals",
    "market_count",
)

_LEVEL = 4
_CLEAN, _WILL, _WILL_QOS_1, _WILL_RETAIN, _PASSWORD, _USER = 2, 4, 8, 32, 64, 128
_QOS, _DUP, _RETAIN = 6, 8, 1
_MAX_TEXT = 65535
_NOT_IN_A_LEVEL = "/+#\0"

# What must stand in the low half of the first byte; PUBLISH uses it for flags of its own.
_FLAGS = {CONNACK: 0, PUBACK: 0, SUBACK: 0, PINGRESP: 0}


def _refuse(message):
    raise HushError("bad_frame", message)


def check_street(street):
    """Refuses a street's name that cannot stand as one level of a topic."""
    for sign in _NOT_IN_A_LEVEL:
        if sign in street:
            raise HushError(
                "bad_config", "street: a name with /, +, # or NUL in it cannot be in a topic"
            )


def check_request(name):
    """Refuses what only the console may ask for."""
    if name not in OVER_NETWORK:
        raise HushError("unknown_message", "%s is for the console only" % name)


def topic(street, meter_id, leaf):
    """One of a meter's three topics."""
    return "%s/%s/%d/%s" % (PREFIX, street, meter_id, leaf)


def client_id(street, meter_id):
    """What a meter is called at its broker: one connection a meter."""
    return "%s/%s/%d" % (PREFIX, street, meter_id)


def _text(value):
    data = value.encode() if isinstance(value, str) else bytes(value)
    if len(data) > _MAX_TEXT:
        _refuse("a text of MQTT has at most %d bytes" % _MAX_TEXT)
    return len(data).to_bytes(2, "big") + data


def _packet(kind, flags, body):
    size = len(body)
    head = bytearray((kind << 4 | flags,))
    while True:
        size, low = size >> 7, size & 127
        head.append(low | (128 if size else 0))
        if not size:
            return bytes(head) + body


def connect(name, keepalive_s, will_topic, will, user=None, password=None):
    """The first packet: a clean session, and a retained will of QoS 1."""
    flags = _CLEAN | _WILL | _WILL_QOS_1 | _WILL_RETAIN
    body = _text(name) + _text(will_topic) + _text(will)
    if user is not None:
        flags |= _USER
        body += _text(user)
        if password is not None:
            flags |= _PASSWORD
            body += _text(password)
    head = _text("MQTT") + bytes((_LEVEL, flags)) + keepalive_s.to_bytes(2, "big")
    return _packet(CONNECT, 0, head + body)


def publish(name, payload, packet_id, again=False, retain=False):
    """A message of QoS 1; again says that it was sent before."""
    flags = 2 | (_DUP if again else 0) | (_RETAIN if retain else 0)
    return _packet(PUBLISH, flags, _text(name) + packet_id.to_bytes(2, "big") + bytes(payload))


def puback(packet_id):
    return _packet(PUBACK, 0, packet_id.to_bytes(2, "big"))


def subscribe(name, packet_id):
    return _packet(SUBSCRIBE, 2, packet_id.to_bytes(2, "big") + _text(name) + b"\x01")


def connack(body):
    """The broker's return code: 0 where it takes the meter."""
    if len(body) != 2 or body[0] > 1:
        _refuse("a CONNACK of MQTT 3.1.1 has two bytes, the first 0 or 1")
    return body[1]


def acknowledged(body):
    """The packet that a PUBACK is for."""
    if len(body) != 2:
        _refuse("a PUBACK has two bytes")
    return _id(body)


def granted(body):
    """(packet, QoS) of a SUBACK for one topic; 128 where the broker refused it."""
    if len(body) != 3:
        _refuse("a SUBACK for one topic has three bytes")
    return _id(body), body[2]


def message(flags, body):
    """(topic, payload, packet) of a PUBLISH; packet is None where no PUBACK is wanted."""
    qos = (flags & _QOS) >> 1
    if qos > 1 or (flags & _DUP and not qos):
        _refuse("a PUBLISH for a meter has QoS 0 or 1")
    at = 2 + int.from_bytes(body[:2], "big")
    if len(body) < at + 2 * qos or at == 2:
        _refuse("a PUBLISH is cut short, or has no topic")
    try:
        name = str(body[2:at], "utf-8")
    except (UnicodeError, ValueError):
        raise HushError("bad_frame", "a topic is not UTF-8") from None
    return name, body[at + 2 * qos :], _id(body[at : at + 2]) if qos else None


def _id(data):
    packet_id = int.from_bytes(data[:2], "big")
    if packet_id == 0:
        _refuse("0 is no packet's number")
    return packet_id


class Reader:
    """Cuts the bytes of a broker into packets; keeps one that has not come whole."""

    def __init__(self):
        self._part = bytearray()

    def feed(self, data):
        """[(kind, flags, body)] of the packets that are whole now."""
        self._part.extend(data)
        packets = []
        at = 0
        while True:
            found = _whole(self._part, at)
            if found is None:
                break
            begin, end = found
            first = self._part[at]
            packets.append((first >> 4, first & 15, bytes(self._part[begin:end])))
            at = end
        if at:
            self._part = self._part[at:]
        return packets


def _whole(data, at):
    """(begin, end) of the body of the packet at this place; None where more must come."""
    if at == len(data):
        return None
    kind = data[at] >> 4
    if kind != PUBLISH and _FLAGS.get(kind) != data[at] & 15:
        _refuse("a broker sends a meter no packet that begins with %02x" % data[at])
    size = 0
    for i in range(4):
        if at + 1 + i >= len(data):
            return None
        byte = data[at + 1 + i]
        size |= (byte & 127) << 7 * i
        if byte < 128:
            begin = at + 2 + i
            if size > MAX_BODY:
                _refuse("a packet of %d bytes; a meter takes %d" % (size, MAX_BODY))
            return (begin, begin + size) if begin + size <= len(data) else None
    _refuse("a packet's length takes more than four bytes")
