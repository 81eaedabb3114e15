"""The configuration of a meter: one check, run on the host before it is written and on the meter.

A configuration is a JSON object of integers, texts and lists; there is no default for anything
that decides privacy. Every refusal names the field and what would be right.
"""

import binascii

from hushfw.core.errors import HushError
from hushfw.core.roster import MAX_MEMBERS, MODES, mode_bits

VERSION = 1
MAX_POWER_W = 100000
MAX_CAPACITY_WH = 1000000

DRIVERS = ("replay",)
CONTROLLERS = ("none", "ls2")
ACTUATORS = ("none", "log")
SOURCES = ("link", "file")

_TOP = (
    "version",
    "meter_id",
    "street",
    "board",
    "authority_key",
    "floors",
    "driver",
    "controller",
    "actuator",
    "permitted_modes",
    "fixed_seed",
    "provisioned_pairs",
    "home_log_kib",
)
_FLOORS = ("least_members", "least_honest", "greatest_epsilon", "shortest_slot_s")


def _refuse(field, reason):
    raise HushError("bad_config", "%s: %s" % (field, reason))


def _keys(where, value, wanted):
    if not isinstance(value, dict):
        _refuse(where or "configuration", "must be an object")
    for name in wanted:
        if name not in value:
            _refuse(where + name, "is missing")
    for name in value:
        if name not in wanted:
            _refuse(where + str(name), "is not a field of a configuration")


def _integer(field, value, low, high):
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        _refuse(field, "must be an integer from %d to %d" % (low, high))


def _choice(field, value, choices):
    if value not in choices:
        _refuse(field, "must be one of %s" % ", ".join(choices))


def _flag(field, value):
    if value is not True and value is not False:
        _refuse(field, "must be true or false")


def _name(field, value):
    try:
        good = isinstance(value, str) and 0 < len(value.encode()) <= 32
    except UnicodeError:
        good = False
    if not good:
        _refuse(field, "must be a text of 1 to 32 bytes")


def _key(field, value):
    try:
        good = isinstance(value, str) and len(binascii.unhexlify(value)) == 32
    except ValueError:
        good = False
    if not good:
        _refuse(field, "must be 64 hexadecimal digits")


def _floors(floors):
    _keys("floors.", floors, _FLOORS)
    _integer("floors.least_members", floors["least_members"], 2, MAX_MEMBERS)
    _integer("floors.least_honest", floors["least_honest"], 1, MAX_MEMBERS)
    _integer("floors.shortest_slot_s", floors["shortest_slot_s"], 1, 86400)
    epsilon = floors["greatest_epsilon"]
    if not isinstance(epsilon, list) or len(epsilon) != 2:
        _refuse("floors.greatest_epsilon", "must be [numerator, denominator]")
    for part in epsilon:
        _integer("floors.greatest_epsilon", part, 1, 0xFFFFFFFF)


def _driver(driver):
    _keys("driver.", driver, ("name", "source", "export"))
    _choice("driver.name", driver["name"], DRIVERS)
    _choice("driver.source", driver["source"], SOURCES)
    _flag("driver.export", driver["export"])


def _controller(controller, export):
    if not isinstance(controller, dict) or "name" not in controller:
        _refuse("controller", "must be an object with a name")
    _choice("controller.name", controller["name"], CONTROLLERS)
    if controller["name"] == "none":
        _keys("controller.", controller, ("name",))
        return
    _keys("controller.", controller, ("name", "capacity_wh", "rate_w"))
    _integer("controller.capacity_wh", controller["capacity_wh"], 1, MAX_CAPACITY_WH)
    _integer("controller.rate_w", controller["rate_w"], 1, MAX_POWER_W)
    if export:
        _refuse("controller.name", "ls2 needs a driver without export: its grid draw is never < 0")


def check(config):
    """The configuration itself when it is right, else a refusal that names field and reason."""
    _keys("", config, _TOP)
    _integer("version", config["version"], VERSION, VERSION)
    _integer("meter_id", config["meter_id"], 1, 0xFFFFFFFF)
    _name("street", config["street"])
    _name("board", config["board"])
    _key("authority_key", config["authority_key"])
    _floors(config["floors"])
    _driver(config["driver"])
    _controller(config["controller"], config["driver"]["export"])
    _choice("actuator", config["actuator"], ACTUATORS)
    _modes(config)
    _integer("home_log_kib", config["home_log_kib"], 4, 1 << 20)
    return config


def _modes(config):
    permitted = config["permitted_modes"]
    if not isinstance(permitted, list):
        _refuse("permitted_modes", "must be a list")
    for name in permitted:
        _choice("permitted_modes", name, sorted(MODES))
    for flag, mode in (("fixed_seed", "fixed-seed"), ("provisioned_pairs", "provisioned-pairs")):
        _flag(flag, config[flag])
        if config[flag] and mode not in permitted:
            _refuse(flag, "needs %s among permitted_modes" % mode)


def own_modes(config):
    """The bits of the weakening modes that provisioning put in force."""
    names = []
    if config["fixed_seed"]:
        names.append("fixed-seed")
    if config["provisioned_pairs"]:
        names.append("provisioned-pairs")
    return mode_bits(names)


def promises(config):
    """What no later configuration of this meter may loosen; it goes into the journal."""
    kept = {name: config["floors"][name] for name in _FLOORS}
    kept["permitted_modes"] = mode_bits(config["permitted_modes"])
    kept["own_modes"] = own_modes(config)
    return kept


def check_tightens(after, before):
    """Refuses promises that are anywhere looser than the ones before, naming the field."""
    for name in ("least_members", "least_honest", "shortest_slot_s"):
        if after[name] < before[name]:
            _refuse("floors." + name, "can only be raised once it is set; it was %d" % before[name])
    num, den = after["greatest_epsilon"]
    old_num, old_den = before["greatest_epsilon"]
    if num * old_den > old_num * den:
        _refuse(
            "floors.greatest_epsilon",
            "can only be lowered once it is set; it was %d/%d" % (old_num, old_den),
        )
    if after["permitted_modes"] & ~before["permitted_modes"]:
        _refuse("permitted_modes", "can only lose modes once they are set")
    for name, flag in (("fixed-seed", "fixed_seed"), ("provisioned-pairs", "provisioned_pairs")):
        if before["own_modes"] & ~after["own_modes"] & MODES[name]:
            _refuse(flag, "cannot be taken back: the keys on this meter were made under it")
