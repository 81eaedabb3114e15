"""Calibration on the meter: what is loaded only while somebody calibrates or asks.

Raw readings of every second are a home's secret, and the host gets them only in a session that a
message has begun and that ends by itself; meanwhile slots have gaps. A new calibration is taken in
a session alone, so no slot is measured half by the old one and half by the new.
"""

from hushfw import drivers, sensing, store
from hushfw.core import calibration
from hushfw.core.errors import HushError

MOST_SESSION_S = 900
NOMINAL, IN_USE, UNUSABLE = 0, 1, 2
_PLACES = 8


class Session:
    """Sums of what was read since they were last asked for, and how long it goes on."""

    def __init__(self, sensor):
        self._sensor = sensor
        self.left_s = 0
        self._begin()

    def _begin(self):
        self.count = self.failed = 0
        self.watts_sum = self.corrected_sum = 0
        self.least_w = self.most_w = 0
        self.fault = ""
        self._raw = {}

    def take(self, watts, corrected_w):
        """One second's reading, in the middle of anything."""
        self.left_s -= 1
        if watts is None:
            self.failed += 1
            self.fault = getattr(self._sensor.driver, "fault", None) or ""
            return
        self.least_w = watts if not self.count else min(self.least_w, watts)
        self.most_w = watts if not self.count else max(self.most_w, watts)
        self.count += 1
        self.watts_sum += watts
        self.corrected_sum += corrected_w or 0
        if hasattr(self._sensor.driver, "raw"):
            raw = self._sensor.driver.raw()
            for name in raw:
                self._raw[name] = self._raw.get(name, 0) + raw[name]

    def given(self):
        """The fields of `raw`; the next ones begin anew."""
        names = sorted(self._raw)
        sums = [(self._raw[name] & (1 << 64) - 1).to_bytes(_PLACES, "big") for name in names]
        said = {
            "left_s": max(0, self.left_s),
            "count": self.count,
            "failed": self.failed,
            "watts_sum": self.watts_sum,
            "corrected_sum": self.corrected_sum,
            "least_w": self.least_w,
            "most_w": self.most_w,
            "fault": self.fault,
            "names": ",".join(names),
            "sums": b"".join(sums),
        }
        self._begin()
        return said


def load(sensor):
    """Uses the stored calibration, or says why it cannot be used; then there are no readings."""
    try:
        made = _parsed(sensor, store.read(sensing.PATH) or b"")
    except HushError as error:
        sensor.problem = "%s cannot be used: %s" % (sensing.PATH, error.message)
        sensor.use({}, ())
        return
    _use(sensor, made)


def _use(sensor, made):
    sensor.use(made[0].constants, made[0].points)
    sensor.about = (made[0].version, made[0].made_s, made[1])
    sensor.problem = ""


def _parsed(sensor, data):
    """(the calibration, its checksum), if it is for this sensor as it is configured."""
    made = calibration.parse(data)
    name = sensor.settings["name"]
    if made.driver != name:
        raise HushError("bad_config", "calibration: it is of %s, not of %s" % (made.driver, name))
    if made.settings != calibration.settings_tag(sensor.settings):
        raise HushError("bad_config", "calibration: it was made with other settings of the sensor")
    calibration.check_constants(made.constants, drivers.calibrated(name))
    return made, data[-calibration.CHECK :]


def readings(sensor, seconds):
    """Begins a session, goes on with it, or ends it with 0; what was read since the last time."""
    if seconds > MOST_SESSION_S:
        raise HushError(
            "bad_message", "seconds is %d; %d is the most at once" % (seconds, MOST_SESSION_S)
        )
    session = sensor.session or Session(sensor)
    session.left_s = seconds
    sensor.session = session if seconds else None
    return session.given()


def put(sensor, data):
    """Takes a calibration into use, for good; empty data only asks. The stored bytes."""
    if data:
        if sensor.session is None:
            raise HushError("bad_config", "begin a session with calibration_raw first")
        made = _parsed(sensor, data)
        least = _stored_version() + 1
        if made[0].version < least:
            raise HushError(
                "bad_config", "version is %d; this meter wants %d" % (made[0].version, least)
            )
        store.replace(sensing.PATH, [data])
        try:
            _use(sensor, made)
        except Exception:
            # It is stored, and the driver may be gone that was made of another one.
            sensor.problem = "%s is stored and not in use: restart this meter" % sensing.PATH
            raise
    return {"data": store.read(sensing.PATH) or b""}


def _stored_version():
    """0 where nothing is stored, or nothing that can be read."""
    try:
        return calibration.parse(store.read(sensing.PATH) or b"").version
    except HushError:
        return 0


def status(settings, sensor, actuator):
    """What a meter says of its sensor and of what drives its battery: how they are, no watts."""
    driver = sensor and sensor.driver
    about = sensor and sensor.about
    session = sensor and sensor.session
    said = {
        "driver": settings["driver"]["name"],
        "sees_export": int(sensor.sees_export) if sensor else 0,
        "reads": sensor.reads if sensor else 0,
        "read_ms": sensor.read_ms if sensor else 0,
        "worst_read_ms": min(sensor.worst_read_ms, 65535) if sensor else 0,
        "session_s": max(0, session.left_s) if session else 0,
        "calibration": IN_USE if about else NOMINAL,
        "version": about[0] if about else 0,
        "made_s": about[1] if about else 0,
        "digest": about[2] if about else bytes(32),
        "settings": calibration.settings_tag(settings["driver"]),
        "problem": "",
    }
    if sensor and sensor.problem:
        said["calibration"], said["problem"] = UNUSABLE, sensor.problem
    wanted = settings["actuator"]
    name = wanted if isinstance(wanted, str) else wanted["name"]
    said["words"] = ";".join(_faults(driver) + [name] + _faults(actuator)).encode()
    said.update(_of_actuator(actuator))
    return said


def _faults(part):
    """The fault that a part has now, and how often each came: a name and a number, and commas."""
    faults = getattr(part, "faults", None) or {}
    counts = ",".join(["%s %d" % (name, faults[name]) for name in sorted(faults)])
    return [getattr(part, "fault", None) or "", counts]


def _of_actuator(actuator):
    """One that only logs, or none at all, follows always."""
    state = actuator.state() if hasattr(actuator, "state") else {}
    return {
        "acknowledged": state.get("acknowledged", 1),
        "idle_s": state.get("idle_seconds", 0),
        "unacknowledged": state.get("unacknowledged", 0),
    }
