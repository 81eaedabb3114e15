"""What a configuration may say of a meter's sensor and of what drives its battery.

One table for each of the two: the name, and the integers it takes with their least and greatest
value. A driver's own rules, which its numbers must meet together, are in CHECKS.
"""

MAX_POWER_W = 100000
NEVER, CHOICE, ALWAYS = 0, 1, 2

_PIN = (0, 255)

# name: (whether it can see export, what it needs, what it may be given)
LOADS = {
    "level": (
        CHOICE,
        {"pin": _PIN, "zero": (0, 65534), "num": (1, 1 << 28), "den": (1, 1 << 28), "n": (1, 256)},
        {},
    ),
}

# name: (what it needs, what it may be given)
ACTUATORS = {}


def _check_level(settings):
    """Its whole scale must be a home's power and not more."""
    if 65535 * settings["num"] > MAX_POWER_W * settings["den"]:
        return "num", "65535 * num / den must be %d W or less" % MAX_POWER_W
    return None


# A function gives None, or (field, what would be right).
CHECKS = {"level": _check_level}
