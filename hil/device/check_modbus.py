"""Modbus RTU on the interpreter at hand: frames, faults, and a line that rests."""

from hushfw_checks import run

from hushfw.core import modbus


class Wire:
    def __init__(self):
        self.incoming = b""
        self.sent = []

    def any(self):
        return len(self.incoming)

    def readinto(self, buffer):
        count = min(len(buffer), len(self.incoming))
        buffer[:count] = self.incoming[:count]
        self.incoming = self.incoming[count:]
        return count

    def write(self, data):
        self.sent.append(data)


REPLY = modbus.request(1, modbus.READ_INPUT, b"\x04\x01\x02\x03\x04")


def want(found, wanted):
    if found != wanted:
        raise ValueError("found %r, wanted %r" % (found, wanted))


def check_frames_are_the_specifications():
    want(modbus.request(2, 7, b""), b"\x02\x07\x41\x12")
    want(modbus.request(1, 3, modbus.span(0, 10)), b"\x01\x03\x00\x00\x00\x0a\xc5\xcd")
    want(modbus.one(5, -2), b"\x00\x05\xff\xfe")
    want(modbus.signed(modbus.register(b"\xff\xfe", 0)), -2)


def check_a_reply_is_taken_and_a_broken_one_is_not():
    question = modbus.READ_INPUT, modbus.span(0, 2)
    want(modbus.reply(REPLY, 1, *question), (None, b"\x01\x02\x03\x04"))
    for at in range(len(REPLY)):
        broken = bytearray(REPLY)
        broken[at] ^= 1
        fault = modbus.reply(broken, 1, *question)[0]
        if fault is None:
            raise ValueError("byte %d was wrong and nobody saw it" % at)


def check_the_master_asks_hears_and_rests():
    wire = Wire()
    master = modbus.Master(wire, 9600)
    near = (1 << 30) - 10
    want(master.ask(near, 1, modbus.READ_INPUT, modbus.span(0, 2)), True)
    want(master.answer(5), None)
    wire.incoming = REPLY
    want(master.answer(40), b"\x01\x02\x03\x04")
    want(master.ask(41, 1, modbus.READ_INPUT, modbus.span(0, 2)), False)
    want(master.ask(45, 1, modbus.READ_INPUT, modbus.span(0, 2)), True)
    want(master.answer(445), None)
    want(master.fault, "silent")
    want(master.ask(944, 1, modbus.READ_INPUT, modbus.span(0, 2)), False)
    want(master.ask(945, 1, modbus.READ_INPUT, modbus.span(0, 2)), True)


run(globals())
