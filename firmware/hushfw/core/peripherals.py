"""What a configuration may say of a meter's sensor and of what drives its battery.

One table for each of the two: the name, and the integers it takes with their least and greatest
value. A driver's own rules, which its numbers must meet together, are in CHECKS.
"""

MAX_POWER_W = 100000
NEVER, CHOICE, ALWAYS = 0, 1, 2

_PIN = (0, 255)

# name: (whether it can see export, what it needs, what it may be given)
LOADS = {
    "ade7953": (
        CHOICE,
        {"bus": (0, 1), "unit": (0, 3), "full_mv": (1000, 1000000), "full_ma": (100, 1000000)},
        {
            "sda": _PIN,
            "scl": _PIN,
            "sck": _PIN,
            "mosi": _PIN,
            "miso": _PIN,
            "cs": _PIN,
            "gain": (0, 5),
            "noload_w": (0, 50),
        },
    ),
    "clamp": (
        CHOICE,
        {
            "voltage_pin": _PIN,
            "current_pin": _PIN,
            "voltage_uv": (1000, 2000000),
            "current_ua": (100, 2000000),
        },
        {"cycles": (1, 5), "phase_mdeg": (-20000, 20000), "spacing_us": (25, 500)},
    ),
    "level": (
        CHOICE,
        {"pin": _PIN, "zero": (0, 65534), "num": (1, 1 << 28), "den": (1, 1 << 28), "n": (1, 256)},
        {},
    ),
    "p1": (
        CHOICE,
        {"uart": (0, 7), "rx": _PIN},
        {
            "tx": _PIN,
            "invert": (0, 1),
            "baud": (9600, 115200),
            "period_s": (1, 10),
            "crc": (0, 1),
            "most_w": (1000, MAX_POWER_W),
        },
    ),
    "pzem": (NEVER, {"uart": (0, 7), "tx": _PIN, "rx": _PIN, "unit": (1, 248)}, {}),
    "pulse": (
        CHOICE,
        {
            "pin": _PIN,
            "imp_per_kwh": (1, 100000),
            "most_w": (1, MAX_POWER_W),
            "debounce_ms": (1, 100),
            "silent_s": (2, 500),
        },
        {"edge": (0, 1), "pull": (0, 2), "export_pin": _PIN},
    ),
}

# Whose output keeps the last set-point when nobody sets it any more.
UNATTENDED = ("pwm",)

# name: (what it needs, what it may be given)
ACTUATORS = {
    "sunspec": (
        {
            "uart": (0, 7),
            "tx": _PIN,
            "rx": _PIN,
            "baud": (4800, 115200),
            "unit": (1, 247),
            "rated_w": (1, MAX_POWER_W),
        },
        {"most_lag_ms": (20, 350), "revert_s": (2, 60), "log": (0, 1)},
    ),
    "pwm": (
        {"pin": _PIN, "ready_pin": _PIN, "rated_w": (1, MAX_POWER_W)},
        {"freq_hz": (100, 10000), "margin_permille": (10, 400), "log": (0, 1)},
    ),
}


def _check_ade7953(settings):
    """The pins of its bus, and a full scale that is a home's power and not more."""
    for pin in ("sck", "mosi", "miso", "cs") if settings["bus"] else ("sda", "scl"):
        if pin not in settings:
            return pin, "is missing: bus %d needs it" % settings["bus"]
    if settings["full_mv"] * settings["full_ma"] > MAX_POWER_W * 1000000:
        return "full_ma", "full_mv * full_ma must be %d W or less" % MAX_POWER_W
    return None


def _check_clamp(settings):
    """Two pins, and the power of two sines that just fill the scale is a home's and not more."""
    if settings["voltage_pin"] == settings["current_pin"]:
        return "current_pin", "another pin than voltage_pin"
    full_scale_pw = 2048 * settings["voltage_uv"] * 2048 * settings["current_ua"] // 2
    if full_scale_pw > MAX_POWER_W * 1000000000000:
        return "current_ua", "2097152 * voltage_uv * current_ua must be %d W or less" % MAX_POWER_W
    return None


def _check_p1(settings):
    """The two rates that the standard has."""
    if settings.get("baud", 115200) not in (9600, 115200):
        return "baud", "must be 115200, or 9600 for DSMR 2 and 3"
    return None


def _check_level(settings):
    """Its whole scale must be a home's power and not more."""
    if 65535 * settings["num"] > MAX_POWER_W * settings["den"]:
        return "num", "65535 * num / den must be %d W or less" % MAX_POWER_W
    return None


def _check_pulse(settings):
    """Export has a pin of its own, and the fastest pulses last longer than bounce may."""
    if settings["export"] != ("export_pin" in settings):
        return "export_pin", "goes with export: both or neither"
    if settings.get("export_pin") == settings["pin"]:
        return "export_pin", "another pin than pin"
    least_ms = 3600000000 // (settings["imp_per_kwh"] * settings["most_w"])
    if least_ms <= 2 * settings["debounce_ms"]:
        return (
            "debounce_ms",
            "less than half of %d ms, the time between pulses at most_w" % least_ms,
        )
    return None


def _check_sunspec(settings):
    if settings["tx"] == settings["rx"]:
        return "rx", "must not be tx: %d" % settings["tx"]
    return None


def _check_pwm(settings):
    if settings["pin"] == settings["ready_pin"]:
        return "ready_pin", "must not be pin: %d" % settings["pin"]
    return None


def check_shared(driver, actuator):
    """None, or (field, what would be right): a pin and a UART are for one thing each."""
    taken = {}
    for where, part, table in (("driver.", driver, LOADS), ("actuator.", actuator, ACTUATORS)):
        if not isinstance(part, dict) or part["name"] not in table:
            continue
        pins = []
        for ranges in table[part["name"]][-2:]:
            pins += [field for field in ranges if ranges[field] is _PIN]
        for field in sorted(part):
            if field in pins or field == "uart":
                thing = "uart" if field == "uart" else "pin", part[field]
                if thing in taken:
                    return where + field, "is %s's %s already: another" % (taken[thing], thing[0])
                taken[thing] = where + field
    return None


# A function gives None, or (field, what would be right).
CHECKS = {
    "ade7953": _check_ade7953,
    "clamp": _check_clamp,
    "level": _check_level,
    "pulse": _check_pulse,
    "p1": _check_p1,
    "sunspec": _check_sunspec,
    "pwm": _check_pwm,
}
