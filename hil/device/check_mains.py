"""Power from alternating samples: the definition and the machine code alike, and known windows."""

from array import array

from hushfw_checks import expect, run

from hushfw.core import mains, mains_figures

FULL = 4095
PAIR_NS = 200000
PAIRS = 337
KINDS = [mains.PURE]
if mains.KERNELS is not mains.PURE:
    KINDS.append(mains.KERNELS)
# A degree in 2^-28.
_DEGREE = 4685082


def sines(peak, start_deg, count=100):
    """Whole numbers of a sine, `count` a turn: small turns of a vector in integers."""
    sine, cosine = mains.sine(360 * _DEGREE // count), mains.cosine(360 * _DEGREE // count)
    x, y = 1 << 28, 0
    for _ in range(start_deg * count // 360):
        x, y = (x * cosine - y * sine) >> 28, (y * cosine + x * sine) >> 28
    while True:
        yield (y * peak + (1 << 27)) >> 28
        x, y = (x * cosine - y * sine) >> 28, (y * cosine + x * sine) >> 28


def filled(peak_i, lag_deg, kernels, dither=0):
    """A window of 50 Hz with 1600 steps of voltage; two hundred samples a cycle, by turns."""
    window = mains.Window(PAIRS, FULL, kernels)
    v, i = sines(1600, 216, 200), sines(peak_i, 216 - lag_deg, 200)
    for k in range(2 * PAIRS):
        volts, amps = next(v), next(i)
        window.samples[k] = 2000 + amps + (k * dither & 3) if k & 1 else 2100 + volts
    expect(window.evaluate(PAIRS, PAIR_NS, 2), None, kernels)
    return window


def about(got, wanted, most):
    if abs(got - wanted) > most:
        raise ValueError("%d is not within %d of %d" % (got, most, wanted))


def check_sums_are_the_same_whichever_way():
    """Also where every product is as large as it may be, and the longest window is full."""
    bounds = ((21846, 65535, 21846), (0, 43689, 43689), (100, 4000, 100))
    for pairs in (60, mains.MOST_PAIRS):
        for least, most, middle in bounds:
            samples = array("H", bytes(4 * pairs + 4))
            for k in range(2 * pairs + 2):
                samples[k] = most if k & 2 else least
            results = []
            # The definition takes a board long, and the longest window is known in closed form.
            for survey, crossings, add in KINDS if pairs < 100 else KINDS[-1:]:
                out = array("i", bytes(40))
                survey(samples, pairs, out)
                found = list(out[:6])
                crossings(samples, pairs, (least + most) // 2, 5, out, 7)
                found.extend(out[:8])
                add(samples, 0, pairs, middle, least + most - middle, out)
                results.append(found + list(out))
            for result in results:
                expect(result, results[0], (pairs, least))
            at = results[0][14:]
            step = most - least
            squares = (at[2] + (at[3] << 16), at[4] + (at[5] << 16))
            expect(squares, (pairs // 2 * step * step, pairs // 2 * step * step), (pairs, least))


def check_crossings_need_a_way_down():
    samples = array("H", bytes(4 * 24))
    for n, v in enumerate((9, 9, 2, 4, 6, 4, 6, 2, 3, 5, 9, 2, 2, 2, 5, 5, 1, 9, 9, 9, 1, 1, 1, 9)):
        samples[2 * n] = v
    for _, crossings, _ in KINDS:
        out = array("i", bytes(40))
        crossings(samples, 24, 5, 2, out, 8)
        expect(list(out[:5]), [4, 4, 9, 14, 17], crossings)
        crossings(samples, 24, 5, 2, out, 2)
        expect(list(out[:3]), [4, 4, 9], crossings)


def check_a_known_load_has_its_power_and_direction():
    for kernels in KINDS:
        for peak_i, lag_deg, real in ((800, 0, 640000), (800, 180, -640000), (800, 36, 517771)):
            window = filled(peak_i, lag_deg, kernels)
            about(window.real_q8(), 256 * real, 256 * 700)
            about(mains_figures.voltage_q8(window), 289631, 120)
            about(window.frequency_mhz, 50000, 30)
            expect(window.cycles, 2, lag_deg)
        expect(mains_figures.reactive_q8(filled(400, 36, kernels)) > 0, True, "lags")
        expect(mains_figures.reactive_q8(filled(400, -36, kernels)) < 0, True, "leads")


def check_a_sensors_lead_is_turned_back():
    window = filled(800, 54, mains.KERNELS)
    about(window.real_q8(mains.turn_by(18000)), 256 * 197771, 256 * 700)
    about(mains_figures.reactive_q8(window, mains.turn_by(18000)), 256 * 608676, 256 * 1500)


def check_what_is_no_window_says_why():
    window = filled(800, 0, mains.KERNELS)
    samples = window.samples
    expect(window.evaluate(PAIRS, PAIR_NS, 4), "no_mains", "too short")
    expect(window.evaluate(PAIRS, 2 * PAIR_NS, 2), "no_mains", "25 Hz")
    expect(window.cycles, 0, "nothing is left of it")
    samples[11] = FULL
    expect(window.evaluate(PAIRS, PAIR_NS, 2), "clipped", "rail")
    for k in range(1, 2 * PAIRS, 2):
        samples[k] = 2048
    expect(window.evaluate(PAIRS, PAIR_NS, 2), "stuck", "current")
    for k in range(1, 2 * PAIRS, 2):
        samples[k] = 1000 + (k & 2)
    expect(window.evaluate(PAIRS, PAIR_NS, 2), "out_of_range", "rest")
    for k in range(2 * PAIRS):
        samples[k] = 2048 + (k & 2)
    expect(window.evaluate(PAIRS, PAIR_NS, 2), "no_mains", "voltage")


def check_square_roots_are_whole():
    for number in (0, 1, 2, 3, 4, 15, 16, 17, 99, 100, 1 << 30, (1 << 30) - 1, (1 << 62) + 5):
        root = mains_figures.square_root(number)
        expect(root * root <= number < (root + 1) * (root + 1), True, number)


run(globals())
