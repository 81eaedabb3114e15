"""A home's price responses in whole numbers: what it would buy and sell at each grid price.

    home = checked({"format": 1, "interval_s": 900, "must_run": [{"power_w": 240}], ...})
    demand_wh, supply_wh = curves(home, [60, 120, 180])

Each response is monotone by itself. A set-point moves one way along its points, and what it needs
moves with it; a switch goes off once, a panel on once, and a battery buys below what it sells
above. So are their sums in watt-seconds, and so is the sum's floor to whole Wh, taken once for the
home. Temperatures are thousandths of a degree, prices micro-units per Wh.

The meter keeps no names of appliances: it has no use for them. The host imports the amounts and the
checks from here, so there is one definition of a curve.
"""

from hushfw.core.errors import HushError

FORMAT = 1
WS = 3600
MILLI = 1000
MOST_W = 1000000
MOST_WH = 10000000
MOST_PRICE = (1 << 32) - 1
LEAST_MC, MOST_MC = -60000, 100000
MOST_POINTS = 100
MOST_PARTS = 32

_WATTS = (0, MOST_W)
_WH = (0, MOST_WH)
_PRICE = (-MOST_PRICE, MOST_PRICE)
_MC = (LEAST_MC, MOST_MC)
PARTS = {
    "thermostat": {
        "indoor_mc": _MC,
        "outdoor_mc": _MC,
        "loss_w_per_k": _WATTS,
        "store_wh_per_k": _WH,
        "most_w": _WATTS,
    },
    "switch": {"power_w": _WATTS, "most_price": _PRICE},
    "must_run": {"power_w": _WATTS},
    "battery": {
        "capacity_wh": _WH,
        "stored_wh": _WH,
        "reserve_wh": _WH,
        "most_w": _WATTS,
        "buy_below": _PRICE,
        "sell_above": _PRICE,
        "efficiency_percent": (1, 100),
    },
    "solar": {"power_w": _WATTS, "cost": _PRICE},
}
HEAT, COOL = "heat", "cool"


def setpoint_mc(points, price):
    """The set-point at a price: straight lines between (price, mc) points, constant outside."""
    left = None
    for right in points:
        if price < right[0]:
            if left is None:
                return right[1]
            rise = right[1] - left[1]
            return left[1] + rise * (price - left[0]) // (right[0] - left[0])
        left = right
    return left[1]


def thermostat_ws(part, price, interval_s):
    """What brings the home to the set-point and holds it there, as far as the power goes."""
    setpoint = setpoint_mc(part["points"], price)
    held, moved = setpoint - part["outdoor_mc"], setpoint - part["indoor_mc"]
    if part["mode"] == COOL:
        held, moved = -held, -moved
    need = part["loss_w_per_k"] * interval_s * held + part["store_wh_per_k"] * WS * moved
    return min(max(need // MILLI, 0), part["most_w"] * interval_s)


def charge_ws(part, price, interval_s):
    """What a battery would buy: up to what fills it."""
    if price > part["buy_below"]:
        return 0
    room_wh = part["capacity_wh"] - part["stored_wh"]
    return min(room_wh * WS * 100 // part["efficiency_percent"], part["most_w"] * interval_s)


def discharge_ws(part, price, interval_s):
    """What a battery would sell: down to the reserve."""
    if price < part["sell_above"]:
        return 0
    spare_wh = max(part["stored_wh"] - part["reserve_wh"], 0)
    return min(spare_wh * WS, part["most_w"] * interval_s)


def demand_wh(home, price):
    """Whole Wh that the home would buy in the interval at this price."""
    interval_s = home["interval_s"]
    total_ws = 0
    for part in home["must_run"]:
        total_ws += part["power_w"] * interval_s
    for part in home["switch"]:
        if price <= part["most_price"]:
            total_ws += part["power_w"] * interval_s
    for part in home["thermostat"]:
        total_ws += thermostat_ws(part, price, interval_s)
    for part in home["battery"]:
        total_ws += charge_ws(part, price, interval_s)
    return total_ws // WS


def supply_wh(home, price):
    """Whole Wh that it would sell."""
    interval_s = home["interval_s"]
    total_ws = 0
    for part in home["solar"]:
        if price >= part["cost"]:
            total_ws += part["power_w"] * interval_s
    for part in home["battery"]:
        total_ws += discharge_ws(part, price, interval_s)
    return total_ws // WS


def curves(home, prices):
    """(demand, supply), Wh at each price of a grid."""
    demand = [demand_wh(home, price) for price in prices]
    return demand, [supply_wh(home, price) for price in prices]


def _refuse(name, reason):
    raise HushError("bad_config", "%s: %s" % (name, reason))


def check_points(name, mode, points):
    """Refuses set-points by which a higher price would ask for more energy."""
    for i in range(1, len(points)):
        left, right = points[i - 1], points[i]
        if right[0] <= left[0]:
            raise HushError("bad_config", "the prices of %s's points must ascend" % name)
        change = right[1] - left[1] if mode == HEAT else left[1] - right[1]
        if change > 0:
            way = "rise" if mode == HEAT else "fall"
            _refuse(
                name,
                "the set-point must not %s from price %d to %d; a higher price would buy more"
                % (way, left[0], right[0]),
            )


def check_battery(name, part):
    """Refuses a battery whose numbers contradict each other."""
    if part["buy_below"] >= part["sell_above"]:
        _refuse(
            name,
            "buy_below %d must be below sell_above %d, or it trades with itself"
            % (part["buy_below"], part["sell_above"]),
        )
    if max(part["stored_wh"], part["reserve_wh"]) > part["capacity_wh"]:
        _refuse(name, "stored_wh and reserve_wh are at most capacity_wh %d" % part["capacity_wh"])


def _integer(name, value, bounds):
    if isinstance(value, bool) or not isinstance(value, int):
        _refuse(name, "must be an integer")
    if not bounds[0] <= value <= bounds[1]:
        _refuse(name, "must be from %d to %d" % bounds)


def _fields(name, value, wanted):
    if not isinstance(value, dict):
        _refuse(name, "must be an object")
    for field in wanted:
        if field not in value:
            _refuse(name + "." + field, "is missing")
    for field in value:
        if field not in wanted:
            _refuse(name + "." + str(field), "is not a field of it")


def _check_thermostat(name, part):
    if part["mode"] not in (HEAT, COOL):
        _refuse(name + ".mode", "must be heat or cool")
    points = part["points"]
    if not isinstance(points, list) or not 1 <= len(points) <= MOST_POINTS:
        _refuse(name + ".points", "must be a list of 1 to %d points" % MOST_POINTS)
    for point in points:
        if not isinstance(point, list) or len(point) != 2:
            _refuse(name + ".points", "a point is [price, thousandths of a degree]")
        _integer(name + ".points", point[0], _PRICE)
        _integer(name + ".points", point[1], _MC)
    check_points(name, part["mode"], points)


def checked(home):
    """The settings themselves where every response is right and monotone, else a refusal."""
    _fields("responses", home, ("format", "interval_s") + tuple(PARTS))
    _integer("format", home["format"], (FORMAT, FORMAT))
    _integer("interval_s", home["interval_s"], (1, 86400))
    for kind, bounds in PARTS.items():
        parts = home[kind]
        if not isinstance(parts, list) or len(parts) > MOST_PARTS:
            _refuse(kind, "must be a list of at most %d" % MOST_PARTS)
        for i in range(len(parts)):
            name = "%s %d" % (kind, i + 1)
            extra = ("mode", "points") if kind == "thermostat" else ()
            _fields(name, parts[i], tuple(bounds) + extra)
            for field in bounds:
                _integer(name + "." + field, parts[i][field], bounds[field])
            if kind == "thermostat":
                _check_thermostat(name, parts[i])
            elif kind == "battery":
                check_battery(name, parts[i])
    return home
