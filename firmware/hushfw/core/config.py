"""The configuration of a meter: one check, run on the host before it is written and on the meter.

A configuration is a JSON object of integers, texts and lists; there is no default for anything
that decides privacy. Every refusal names the field and what would be right.
"""

import binascii

from hushfw.core import battery
from hushfw.core.battery.settings import BATTERY, OPTIONS, PARTS
from hushfw.core.errors import HushError
from hushfw.core.pace import LEAST_WATCHDOG_MS, MOST_WATCHDOG_MS
from hushfw.core.peripherals import ACTUATORS as DRIVING
from hushfw.core.peripherals import CHECKS, LOADS, MAX_POWER_W, NEVER, UNATTENDED, check_shared
from hushfw.core.roster import MAX_MEMBERS, MAX_WINDOW_DAYS, MODES, mode_bits
from hushfw.core.rules import own_modes

VERSION = 1
MAX_CAPACITY_WH = 1000000

DRIVERS = ("replay",) + tuple(sorted(LOADS))
ACTUATORS = ("none", "log")
SOURCES = ("link", "file")
SAMPLERS = ("exact", "bounded")
LEAST_AFTER_MS, MOST_AFTER_MS = 100, 8000
RANDOMNESS = ("comb", "naive")
WHEN_EMPTY = ("wait", "fail")
MOST_POOL = 64
LEAVES_KIB = (16, 4096)
LEAST_INTERVAL_S = 60
MOST_CAP_WH = 1 << 42

# Bounds of what may be left out: ours of the broker's address, and how it is kept alive.
NETWORK_OPTIONS = {"address": None, "keepalive_s": (2, 3600), "since_s": (0, 0xFFFFFFFF)}

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
# A field that is absent stands for its value here; none of these decides privacy.
_DEFAULTS = {
    "watchdog_ms": 0,
    "paillier": None,
    "noise_sampler": "exact",
    "report_after_ms": 5000,
    "answer_after_ms": 2000,
    "network": None,
    "privacy_cap": None,
    "market": None,
}
_BATTERY_FIELDS = (
    "minimum_wh",
    "maximum_wh",
    "charge_efficiency_permille",
    "discharge_efficiency_permille",
)
_FLOORS = ("least_members", "least_honest", "greatest_epsilon", "shortest_slot_s")


def _refuse(field, reason):
    raise HushError("bad_config", "%s: %s" % (field, reason))


def _keys(where, value, wanted, optional=()):
    if not isinstance(value, dict):
        _refuse(where or "configuration", "must be an object")
    for name in wanted:
        if name not in value:
            _refuse(where + name, "is missing")
    for name in value:
        if name not in wanted and name not in optional:
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
    _fraction("floors.greatest_epsilon", floors["greatest_epsilon"])


def _fraction(field, value):
    if not isinstance(value, list) or len(value) != 2:
        _refuse(field, "must be [numerator, denominator]")
    for part in value:
        _integer(field, part, 1, 0xFFFFFFFF)


def _driver(driver):
    name = driver.get("name", "replay") if isinstance(driver, dict) else "replay"
    if name == "replay":
        _keys("driver.", driver, ("name", "export", "source"))
        _choice("driver.source", driver["source"], SOURCES)
        _flag("driver.export", driver["export"])
        return
    _choice("driver.name", name, DRIVERS)
    sees_export, needed, optional = LOADS[name]
    _part("driver.", driver, ("name", "export"), needed, optional)
    _flag("driver.export", driver["export"])
    if sees_export == NEVER and driver["export"]:
        _refuse("driver.export", "must be false: %s cannot tell feed-in from load" % name)


def _actuator(actuator):
    driven = isinstance(actuator, dict)
    if (actuator.get("name") if driven else actuator) not in (DRIVING if driven else ACTUATORS):
        _refuse("actuator", "must be one of %s" % ", ".join(ACTUATORS + tuple(sorted(DRIVING))))
    if driven:
        _part("actuator.", actuator, ("name",), *DRIVING[actuator["name"]])


def _shared(driver, actuator):
    wrong = check_shared(driver, actuator)
    if wrong:
        _refuse(wrong[0], wrong[1])


def _part(where, settings, also, needed, optional):
    """A sensor's or an actuator's integers, each within its bounds, and all of them together."""
    _keys(where, settings, tuple(also) + tuple(needed), tuple(optional))
    for ranges in (needed, optional):
        for field in ranges:
            if field in settings:
                _integer(where + field, settings[field], ranges[field][0], ranges[field][1])
    check = CHECKS.get(settings["name"])
    wrong = check and check(settings)
    if wrong:
        _refuse(where + wrong[0], wrong[1])


def live(config):
    """Whether the meter measures now, by its own clock; else it replays."""
    return config["driver"]["name"] != "replay"


def _controller(where, controller, export):
    if not isinstance(controller, dict) or "name" not in controller:
        _refuse(where, "must be an object with a name")
    name = controller["name"]
    _choice(where + ".name", name, battery.CONTROLLERS)
    if export and name not in battery.EXPORTING:
        _refuse(where + ".name", "%s needs a driver without export: it takes no load < 0" % name)
    if name == "none":
        _keys(where + ".", controller, ("name",))
    elif name == "cascade":
        _keys(where + ".", controller, ["name"] + list(PARTS))
        for part in PARTS:
            inner = controller[part]
            if isinstance(inner, dict) and inner.get("name") == name:
                _refuse(where + "." + part, "must not be a cascade itself")
            _controller(where + "." + part, inner, export)
    elif name == "source":
        own = OPTIONS[name]
        _keys(where + ".", controller, ("name", "quantum_w", "demand_levels"), own)
        for field in own:
            if field in controller:
                _integer(where + "." + field, controller[field], own[field][0], own[field][1])
    else:
        _battery(where + ".", controller)


def _battery(where, controller):
    """One battery and its controller's own settings, which all are integers."""
    rates = ("charge_rate_w", "discharge_rate_w")
    own = OPTIONS[controller["name"]]
    two = rates[0] in controller or rates[1] in controller
    needed = ["name", "capacity_wh"] + list(rates if two else ("rate_w",))
    if controller["name"] == "table":
        needed += list(own)
    _keys(where, controller, needed, list(_BATTERY_FIELDS) + list(own))
    for field in controller:
        if field == "capacity_wh":
            _integer(where + field, controller[field], 1, MAX_CAPACITY_WH)
        elif field in rates or field == "rate_w":
            _integer(where + field, controller[field], 1, MAX_POWER_W)
        elif field in BATTERY or field in own:
            bounds = BATTERY[field] if field in BATTERY else own[field]
            _integer(where + field, controller[field], bounds[0], bounds[1])
    capacity_wh = controller["capacity_wh"]
    maximum_wh = controller.get("maximum_wh", capacity_wh)
    _integer(where + "maximum_wh", maximum_wh, 0, capacity_wh)
    _integer(where + "minimum_wh", controller.get("minimum_wh", 0), 0, maximum_wh)


def check(config):
    """The configuration itself when it is right, else a refusal that names field and reason."""
    _keys("", config, _TOP, _DEFAULTS)
    _integer("version", config["version"], VERSION, VERSION)
    _integer("meter_id", config["meter_id"], 1, 0xFFFFFFFF)
    _name("street", config["street"])
    _name("board", config["board"])
    _key("authority_key", config["authority_key"])
    _floors(config["floors"])
    _driver(config["driver"])
    _controller("controller", config["controller"], config["driver"]["export"])
    _actuator(config["actuator"])
    _shared(config["driver"], config["actuator"])
    _modes(config)
    _integer("home_log_kib", config["home_log_kib"], 4, 1 << 20)
    _watchdog(optional(config, "watchdog_ms"), config["actuator"])
    _paillier(optional(config, "paillier"))
    _choice("noise_sampler", optional(config, "noise_sampler"), SAMPLERS)
    _offsets(config)
    _privacy_cap(optional(config, "privacy_cap"))
    _market(optional(config, "market"))
    _network(optional(config, "network"), config["street"])
    return config


def complete(config):
    """A configuration with all the fields that may be absent."""
    full = dict(_DEFAULTS)
    full.update(config)
    return full


def optional(config, name):
    """A field that may be absent, or what its absence stands for."""
    return config.get(name, _DEFAULTS[name])


def _privacy_cap(cap):
    """What the home calls enough: an epsilon over a window of days. It labels and stops nothing."""
    if cap is None:
        return
    _keys("privacy_cap.", cap, ("epsilon", "window_days"))
    _fraction("privacy_cap.epsilon", cap["epsilon"])
    _integer("privacy_cap.window_days", cap["window_days"], 1, MAX_WINDOW_DAYS)


def _watchdog(timeout_ms, actuator):
    if timeout_ms == 0 and isinstance(actuator, dict) and actuator["name"] in UNATTENDED:
        _refuse("watchdog_ms", "must be above 0: %s goes on when a meter hangs" % actuator["name"])
    if timeout_ms != 0 or isinstance(timeout_ms, bool):
        _integer("watchdog_ms", timeout_ms, LEAST_WATCHDOG_MS, MOST_WATCHDOG_MS)


def _offsets(config):
    """When messages leave, after what they answer to; only who measures has a clock for it."""
    for name in ("report_after_ms", "answer_after_ms"):
        if name in config and not live(config):
            _refuse(name, "needs a driver that measures: a replayed clock belongs to the host")
        _integer(name, optional(config, name), LEAST_AFTER_MS, MOST_AFTER_MS)


def _network(settings, street):
    """The broker that the meter publishes to itself; what is secret of it is in another file."""
    if settings is None:
        return
    _keys("network.", settings, ("host", "port", "tls", "wifi"), NETWORK_OPTIONS)
    for name in ("host", "address"):
        value = settings.get(name, "localhost")
        if not isinstance(value, str) or not 0 < len(value) <= 253 or value.strip() != value:
            _refuse("network." + name, "must be a name or an address, of 1 to 253 letters")
    _integer("network.port", settings["port"], 1, 65535)
    _flag("network.tls", settings["tls"])
    _flag("network.wifi", settings["wifi"])
    for name in ("keepalive_s", "since_s"):
        if name in settings:
            _integer("network." + name, settings[name], *NETWORK_OPTIONS[name])
    for sign in "/+#":
        if sign in street:
            _refuse("street", "has %s in it, which no topic of a broker can have" % sign)


def _paillier(settings):
    """How a meter that encrypts does so, and the SHA-256 of the key and the table it is given."""
    if settings is None:
        return
    _encryption("paillier.", settings, ("bills", "leaves_kib"))
    if "bills" in settings:
        _flag("paillier.bills", settings["bills"])
    if "leaves_kib" in settings:
        _integer("paillier.leaves_kib", settings["leaves_kib"], *LEAVES_KIB)


def _encryption(where, settings, optional=()):
    is_comb = isinstance(settings, dict) and settings.get("randomness") != "naive"
    fields = ("randomness", "pool", "when_empty", "key_sha256")
    wanted = fields + (("table_sha256",) if is_comb else ())
    _keys(where, settings, wanted, optional)
    _choice(where + "randomness", settings["randomness"], RANDOMNESS)
    _integer(where + "pool", settings["pool"], 1, MOST_POOL)
    _choice(where + "when_empty", settings["when_empty"], WHEN_EMPTY)
    for name in wanted[3:]:
        _key(where + name, settings[name])


def _market(terms):
    """What this home's street trades by; all its homes must have the same, or no sum opens."""
    if terms is None:
        return
    _keys("market.", terms, ("interval_s", "demand_cap_wh", "supply_cap_wh", "epsilon"), ("ring",))
    _integer("market.interval_s", terms["interval_s"], LEAST_INTERVAL_S, 86400)
    for name in ("demand_cap_wh", "supply_cap_wh"):
        _integer("market." + name, terms[name], 0, MOST_CAP_WH)
    if not terms["demand_cap_wh"] + terms["supply_cap_wh"]:
        _refuse("market.demand_cap_wh", "must be above 0, or supply_cap_wh")
    if terms["epsilon"] is not None:
        _fraction("market.epsilon", terms["epsilon"])
    if "ring" in terms:
        _encryption("market.ring.", terms["ring"])


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
