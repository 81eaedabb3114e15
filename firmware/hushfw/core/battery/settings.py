"""What can be set on a battery and on each controller: range and default, in one place.

Everything is an integer. A field is (least, most, default), where the default REQUIRED means that
it must be given, and None that the controller finds the value itself.

The ranges are such that no intermediate of any controller leaves 63 bits, so that a program with
64-bit integers can do the same steps; `limits` has the sums.
"""

from hushfw.core.errors import HushError

MOST_WS = 3600000000000  # 1 GWh
MOST_W = 1000000
MOST_DEMAND_W = 100000000
MOST_DRAW_W = MOST_DEMAND_W + MOST_W
MOST_STEP_S = 3600

REQUIRED = -1


def _field(least, most, default=REQUIRED):
    return least, most, default


COMMON = {
    "step_s": _field(1, MOST_STEP_S),
    "export": _field(0, 1, 0),
}

BATTERY = {
    "capacity_ws": _field(1, MOST_WS),
    "minimum_ws": _field(0, MOST_WS, 0),
    "maximum_ws": _field(0, MOST_WS, None),
    "charge_rate_w": _field(1, MOST_W),
    "discharge_rate_w": _field(1, MOST_W),
    "charge_efficiency_permille": _field(1, 1000, 1000),
    "discharge_efficiency_permille": _field(1, 1000, 1000),
}

NILL = {
    "steady_w": _field(0, MOST_W, None),
    "offset_w": _field(1, MOST_W, 115),
    "leave_w": _field(0, MOST_W, 1150),
    "learn_permille": _field(0, 1000, 500),
    "full_permille": _field(1, 1000, 1000),
    "empty_permille": _field(0, 999, 0),
    "high_leave_permille": _field(0, 1000, 500),
    "low_leave_permille": _field(0, 1000, 800),
    "recharge_follows": _field(0, 1, 0),
}

STEPPING = {"lift": _field(0, 1, 0)}

MEAN = {
    "mean_mw": _field(-1000 * MOST_W, 1000 * MOST_W, None),
    "mean_steps": _field(1, 1 << 30, 1 << 30),
}

SMOOTH = {"time_constant_s": _field(1, 1 << 30, 3600)}
SMOOTH.update(MEAN)

TABLE = {
    "quantum_w": _field(1, MOST_W, None),
    "demand_levels": _field(2, 1024, None),
}

SOURCE = {"peak_w": _field(1, MOST_DEMAND_W, None)}
SOURCE.update(TABLE)

OPTIONS = {
    "none": {},
    "be:sat": {},
    "be:idle": {},
    "nill": NILL,
    "lc": STEPPING,
    "ls1": STEPPING,
    "ls2": STEPPING,
    "rc": STEPPING,
    "hold-mean": MEAN,
    "smooth": SMOOTH,
    "table": TABLE,
    "source": SOURCE,
    "cascade": {},
}

PARTS = ("first", "second")
WITH_TABLE = ("table", "source")
_NOT_INTEGERS = {"table": ("table",), "source": ("table",), "cascade": PARTS}
_WS_PER_WH = 3600


class Given:
    """What a controller of this name was given.

    Controllers ask this object, so that they need nothing of this module once they are made.
    """

    def __init__(self, controller, settings):
        self._own = OPTIONS[controller]
        self._settings = settings

    def read(self, name):
        """The value of one setting within its range, or its default."""
        least, most, default = self._own.get(name) or BATTERY.get(name) or COMMON[name]
        value = self._settings.get(name)
        if value is None and default != REQUIRED:
            value = default
            if value is None:
                return None
        if not isinstance(value, int) or not least <= value <= most:
            refuse("%s is %r; it must be %d to %d" % (name, value, least, most))
        return int(value)

    def get(self, name):
        """As it was given: a table, or the settings of a part."""
        return self._settings.get(name)

    def refuse(self, reason):
        refuse(reason)


def refuse(reason):
    raise HushError("bad_config", reason)


def check_names(controller, settings):
    """Refuses a setting that the controller does not know: it may be another one misspelt."""
    own = OPTIONS[controller]
    for name in settings:
        known = name in own or name in BATTERY or name in COMMON
        if not known and name not in _NOT_INTEGERS.get(controller, ()):
            refuse("controller %s has no setting %s" % (controller, name))


def from_config(wanted, step_s, export, read_file, table="table"):
    """Settings for `make` from the object `controller` of a checked configuration.

    read_file(path) gives a file's bytes, or None. A table lies in table.bin; those of a cascade's
    parts in table-first.bin and table-second.bin.
    """
    settings = {"step_s": step_s, "export": export}
    name = wanted["name"]
    for field in wanted:
        if field == "rate_w":
            settings["charge_rate_w"] = settings["discharge_rate_w"] = wanted[field]
        elif field in PARTS:
            part = from_config(wanted[field], step_s, export, read_file, "table-" + field)
            part["name"] = wanted[field]["name"]
            settings[field] = part
        elif field.endswith("_wh"):
            settings[field[:-3] + "_ws"] = wanted[field] * _WS_PER_WH
        elif field != "name":
            settings[field] = wanted[field]
    if name in WITH_TABLE:
        settings["table"] = data = read_file(table + ".bin")
        if data is None:
            raise HushError(
                "not_provisioned", "there is no %s.bin: provision this meter with one" % table
            )
    return settings
