"""The configuration's check on this interpreter: every field wrong once, and floors that hold."""

import json

from hushfw_checks import expect, run

from hushfw.core import config
from hushfw.core.errors import HushError

GOOD = """{"version": 1, "meter_id": 7, "street": "s", "board": "b",
"authority_key": "%s", "floors": {"least_members": 12, "least_honest": 9,
"greatest_epsilon": [1, 1], "shortest_slot_s": 600},
"driver": {"name": "replay", "source": "link", "export": false},
"controller": {"name": "ls2", "capacity_wh": 500, "rate_w": 500}, "actuator": "none",
"permitted_modes": ["fixed-seed", "no-noise"], "fixed_seed": true, "provisioned_pairs": false,
"home_log_kib": 64}""" % ("5a" * 32)

WRONG = (
    ("version", 2),
    ("version", True),
    ("version", 1.0),
    ("meter_id", 0),
    ("meter_id", 1 << 32),
    ("meter_id", "7"),
    ("meter_id", True),
    ("street", ""),
    ("street", "x" * 33),
    ("street", 5),
    ("board", None),
    ("authority_key", "5a" * 31),
    ("authority_key", "zz" * 32),
    ("authority_key", 5),
    ("floors", []),
    ("floors.least_members", 1),
    ("floors.least_honest", 0),
    ("floors.greatest_epsilon", [1, 0]),
    ("floors.greatest_epsilon", [1]),
    ("floors.greatest_epsilon", 1.0),
    ("floors.shortest_slot_s", 86401),
    ("driver", None),
    ("driver.name", "other"),
    ("driver.source", "air"),
    ("driver.export", 1),
    ("controller", "none"),
    ("controller.name", []),
    ("controller.capacity_wh", 0),
    ("controller.rate_w", 1.5),
    ("actuator", "motor"),
    ("permitted_modes", "no-noise"),
    ("permitted_modes", ["unheard"]),
    ("fixed_seed", 1),
    ("provisioned_pairs", True),
    ("home_log_kib", 3),
)


def with_value(path, value):
    settings = json.loads(GOOD)
    where = settings
    *parents, last = path.split(".")
    for parent in parents:
        where = where[parent]
    where[last] = value
    return settings


def refused_naming(field, settings):
    try:
        config.check(settings)
    except HushError as error:
        expect(error.code, "bad_config", field)
        expect(field in error.message, True, "%s in %r" % (field, error.message))
    else:
        expect("accepted", "refused", field)


def check_the_good_one_is_taken():
    settings = json.loads(GOOD)
    expect(config.check(settings), settings)


def check_every_wrong_value_is_refused_naming_the_field():
    for path, value in WRONG:
        refused_naming(path, with_value(path, value))


def check_every_missing_or_unknown_field_is_refused_by_name():
    for name in json.loads(GOOD):
        settings = json.loads(GOOD)
        del settings[name]
        refused_naming(name, settings)
    refused_naming("surplus", with_value("surplus", 1))
    refused_naming("floors.surplus", with_value("floors.surplus", 1))


def check_promises_can_only_be_tightened():
    before = config.promises(json.loads(GOOD))
    expect(json.loads(json.dumps(before)), before)
    config.check_tightens(before, before)
    for path, value, good in (
        ("floors.least_members", 11, False),
        ("floors.least_members", 13, True),
        ("floors.least_honest", 8, False),
        ("floors.shortest_slot_s", 599, False),
        ("floors.greatest_epsilon", [1000001, 1000000], False),
        ("floors.greatest_epsilon", [4294967295, 4294967294], False),
        ("floors.greatest_epsilon", [4294967294, 4294967295], True),
        ("permitted_modes", ["fixed-seed"], True),
        ("permitted_modes", ["fixed-seed", "gamma-noise"], False),
        ("fixed_seed", False, False),
    ):
        try:
            config.check_tightens(config.promises(with_value(path, value)), before)
        except HushError as error:
            expect(good, False, path)
            expect(path in error.message, True, error.message)
        else:
            expect(good, True, path)


run(globals())
