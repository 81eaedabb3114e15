"""Calibration on this interpreter: the file, the correction, and a sensor that has one."""

import os

from hushfw_checks import CheckFailed, expect, refuses, run

from hushfw import calibrating, drivers, sensing, store
from hushfw.core import calibration
from hushfw.core.correction import MOST_W, correct

SETTINGS = {"name": "fake", "export": False, "pin": 3}
POINTS = [(0, 0), (100, 104), (1000, 1011)]
# A write costs milliseconds where the filesystem is a board's flash: there fewer places are cut.
EVERY = 41 if os.getcwd() == "/" else 5
PATH = "hushfw-check.bin"


class Fake:
    """A sensor of 500 W whose gain can be calibrated."""

    CALIBRATED = {"gain": (900, 1100)}

    def __init__(self):
        self.made = []
        self.watts = 500
        self.fault = None
        self.faults = {}

    def make(self, settings, hardware=None):
        self.made.append(settings["calibration"])
        return self

    def read(self):
        if self.watts is None:
            self.fault = "silent"
            self.faults["silent"] = self.faults.get("silent", 0) + 1
        return self.watts

    def raw(self):
        return {"squares": 1 << 40, "low": -7}


def bench(data=None):
    """A sensor as a boot makes it, on a driver of ours and a file of its own."""
    fake = Fake()
    drivers._module = lambda name: fake
    sensing.PATH = PATH
    store.remove(PATH)
    if data is not None:
        store.replace(PATH, [data])
    return fake, sensing.make(SETTINGS)


def made(version=1, driver="fake", settings=SETTINGS, gain=1000, points=POINTS):
    tag = calibration.settings_tag(settings)
    constants = {"gain": gain}
    return calibration.encode(
        calibration.Calibration(version, 1800000000, tag, driver, constants, points)
    )


def check_the_file_comes_back_whole_and_damage_is_refused():
    data = made()
    one = calibration.parse(data)
    expect((one.version, one.made_s, one.driver), (1, 1800000000, "fake"))
    expect((one.constants, list(one.points)), ({"gain": 1000}, POINTS))
    for at in range(0, len(data), 3):
        spoilt = bytearray(data)
        spoilt[at] ^= 16
        refuses("bad_config", calibration.parse, spoilt)
        refuses("bad_config", calibration.parse, data[:at])


def check_the_correction_is_exact_at_points_and_rises():
    last = -MOST_W
    for watts in range(-300, 1500):
        now = correct(POINTS, watts)
        expect(now >= last, True, watts)
        last = now
    expect([correct(POINTS, watts) for watts, _ in POINTS], [0, 104, 1011])
    expect(correct([(0, 0), (23000, 23001)], 90000), 90004)
    expect(correct([(0, 0), (100, 400)], 25001), None)


def check_nominal_without_a_file_and_calibrated_with_one():
    fake, sensor = bench()
    expect((sensor.read(), sensor.about, fake.made), (500, None, [{}]))
    fake, sensor = bench(made(gain=1010))
    expect((sensor.read(), sensor.about[0], fake.made), (507, 1, [{"gain": 1010}]))
    fake.watts = -3
    expect(sensor.read(), 0)


def check_a_calibration_that_cannot_be_used_gives_no_reading_and_says_why():
    other = dict(SETTINGS)
    other["pin"] = 4
    for data, word in (
        (made()[:-1], "checksum"),
        (b"", "begin"),
        (made(driver="other"), "other"),
        (made(settings=other), "settings"),
        (made(gain=1101), "gain"),
    ):
        _, sensor = bench(data)
        expect((sensor.read(), sensor.about), (None, None))
        if word not in sensor.problem:
            raise CheckFailed(sensor.problem)
        # It can be calibrated all the same.
        calibrating.readings(sensor, 60)
        sensor.read()
        expect(calibrating.readings(sensor, 60)["watts_sum"], 500)
        calibrating.put(sensor, made(2, gain=1010))
        expect(sensor.problem, "")
        calibrating.readings(sensor, 0)
        expect([sensor.read(), sensor.read()], [None, 507])


def check_a_session_sums_what_was_read_and_ends_by_itself():
    fake, sensor = bench(made())
    expect(calibrating.readings(sensor, 4)["count"], 0)
    expect([sensor.read(), sensor.read()], [None, None])
    fake.watts = None
    sensor.read()
    said = calibrating.readings(sensor, 2)
    expect((said["count"], said["failed"], said["fault"]), (2, 1, "silent"))
    expect((said["watts_sum"], said["corrected_sum"]), (1000, 2 * 507))
    expect(said["names"], "low,squares")
    expect(said["sums"], (((1 << 64) - 14).to_bytes(8, "big") + (1 << 41).to_bytes(8, "big")))
    fake.watts = 500
    expect([sensor.read(), sensor.read(), sensor.read()], [None, None, 507])
    expect(sensor.session, None)
    refuses("bad_message", calibrating.readings, sensor, 901)


def check_a_calibration_is_taken_in_a_session_alone_and_versions_rise():
    _, sensor = bench()
    refuses("bad_config", calibrating.put, sensor, made())
    expect(calibrating.put(sensor, b""), {"data": b""})
    calibrating.readings(sensor, 60)
    calibrating.put(sensor, made(3))
    for version in (1, 3):
        refuses("bad_config", calibrating.put, sensor, made(version))
    refuses("bad_config", calibrating.put, sensor, made(4, driver="other"))
    expect(calibrating.put(sensor, b"")["data"], made(3))
    expect(sensor.about[0], 3)


def check_a_cut_in_a_write_leaves_the_old_or_the_new_one():
    old, new = made(1), made(2, gain=1050)
    bench(old)
    for size in range(0, len(new), EVERY):
        with open(PATH + ".tmp", "wb") as f:
            f.write(new[:size])
        sensor = sensing.make(SETTINGS)
        expect((sensor.problem, sensor.about[0]), ("", 1), size)
    store.replace(PATH, [new])
    expect(sensing.make(SETTINGS).about[0], 2)
    store.remove(PATH)
    store.remove(PATH + ".tmp")


def check_what_a_meter_says_of_its_sensor_has_no_watts():
    fake, sensor = bench(made())
    fake.watts = None
    sensor.read()
    said = calibrating.status({"driver": SETTINGS, "actuator": "log"}, sensor, None)
    expect(said["words"], b"silent;silent 1;log;;")
    expect((said["calibration"], said["version"], said["reads"]), (1, 1, 1))
    expect(said["acknowledged"], 1)
    for name in said:
        expect("watts" in name, False, name)
    store.remove(PATH)


run(globals())
