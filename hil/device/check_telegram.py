"""Telegrams of a P1 port on the interpreter at hand: fields, CRC, cuts, refusals."""

from hushfw_checks import CheckFailed, expect, run

from hushfw.core import crc16, crosscheck, telegram

BODY = (
    b"/HSH5\\253CHECK\r\n\r\n1-3:0.2.8(50)\r\n0-0:1.0.0(261121233000W)\r\n"
    b"1-0:1.8.1(001234.567*kWh)\r\n1-0:1.8.2(000765.433*kWh)\r\n"
    b"1-0:2.8.1(000000.001*kWh)\r\n1-0:2.8.2(999999.999*kWh)\r\n"
    b"1-0:1.7.0(00.412*kW)\r\n1-0:2.7.0(01.500*kW)\r\n"
    b"1-0:21.7.0(00.412*kW)\r\n1-0:22.7.0(01.500*kW)\r\n"
    b"0-0:96.13.0(48616C6C6F)\r\n!"
)
PLAIN = (
    b"/HSH3\\OLD\r\n\r\n1-0:21.7.0(0000.41*kW)\r\n1-0:22.7.0(0000.00*kW)\r\n"
    b"1-0:41.7.0(0000.09*kW)\r\n1-0:42.7.0(0000.00*kW)\r\n"
    b"1-0:61.7.0(0001.00*kW)\r\n1-0:62.7.0(0000.02*kW)\r\n!\r\n"
)


def _sealed(body):
    return body + b"%04X\r\n" % crc16.update(0, body, 0, len(body))


def _taken(stream, size, demands_crc=True):
    """What each telegram of a stream was taken for, in pieces of a size."""
    found = []

    def ended(fault):
        found.append(fault or (told.drawn_w, told.fed_w, told.drawn_wh, told.fed_wh, told.stamp))

    told = telegram.Telegrams(demands_crc, ended)
    for at in range(0, len(stream), size):
        piece = bytearray(stream[at : at + size])
        told.count = 0
        told.take(piece, len(piece))
    return found


WHOLE = (412, 1500, 2000000, 1000000000, b"261121233000W")


def check_the_crc_is_that_of_the_standard_fast_and_slow():
    """The check values of CRC-16/ARC and CRC-16/MODBUS."""
    for update in (crc16.update, crc16.slow_update):
        expect(update(0, b"x123456789x", 1, 10), 0xBB3D)
        expect(update(0xFFFF, b"123456789", 0, 9), 0x4B37)
        expect(update(update(0, b"1234", 0, 4), b"56789", 0, 5), 0xBB3D)


def check_a_telegram_is_the_same_in_pieces_of_every_size():
    stream = b"67.8*kW)\r\n!12" + _sealed(BODY) + _sealed(BODY)
    for size in (1, 2, 7, 31, 72, 256, 2000):
        expect(_taken(stream, size), [WHOLE, WHOLE], size)


def check_what_is_damaged_is_refused():
    sealed = _sealed(BODY)
    for place in range(0, len(sealed) - 2, 5):
        bad = bytearray(sealed)
        bad[place] ^= 2
        found = _taken(bytes(bad) + sealed, 256)
        if found.count(WHOLE) != 1:
            raise CheckFailed("byte %d was damaged: %r" % (place, found))
    half = len(BODY) // 2
    expect(_taken(sealed[:half] + sealed, 64), ["cut", WHOLE])
    expect(_taken(BODY + b"\r\n", 64), ["bad_crc"])
    expect(_taken(_sealed(BODY.replace(b"kW)", b"kV)")), 64), ["cut"])


def check_without_a_crc_the_lines_must_be_whole():
    expect(_taken(PLAIN, 50, False), [(1500, 20, None, None, b"")])
    expect(_taken(PLAIN, 50), ["bad_crc"])
    expect(_taken(PLAIN.replace(b"1-0:41", b"1-0:4"), 50, False), ["cut"])
    expect(_taken(PLAIN.replace(b"OLD", b"O\x01D"), 50, False), ["cut"])
    expect(_taken(_sealed(BODY), 50, False), [WHOLE])


def check_noise_costs_a_bounded_number_of_telegrams():
    for noise in (b"/", b"/!\r\n", b"\xff\x00", b"/A\n\n"):
        if len(_taken(noise * 300, 2000)) > telegram.MOST_ENDED + 1:
            raise CheckFailed("%r" % noise)


def check_power_and_energy_are_held_against_each_other():
    check = crosscheck.Check(3600, 100)
    verdicts = [check.agree(2000, 5000 + 2000 * second // 3600) for second in range(200)]
    expect(verdicts, [True] * 200)
    verdicts = [check.agree(2000, 5111) for second in range(130)]
    expect((verdicts[0], verdicts[-1]), (True, False))


run(globals())
