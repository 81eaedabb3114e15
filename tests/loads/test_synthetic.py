"""The synthetic street is the same for everybody and has something to hide."""

import numpy as np
import pytest

from hushmeter.errors import HushmeterError
from hushmeter.loads.synthetic import synthetic_street

GOLDEN_WS = [29920020, 26429640, 15126300]


def test_a_seed_gives_one_street_and_another_seed_another():
    street = synthetic_street(3, 2, 7)
    assert np.array_equal(street.energy_ws, synthetic_street(3, 2, 7).energy_ws)
    assert not np.array_equal(street.energy_ws, synthetic_street(3, 2, 8).energy_ws)


def test_a_home_does_not_depend_on_its_neighbours():
    assert np.array_equal(
        synthetic_street(2, 1, 7).energy_ws, synthetic_street(12, 1, 7).energy_ws[:2]
    )


def test_the_stream_behind_a_seed_has_not_moved():
    """Golden sums: a change here changes every transcript made from a seed."""
    street = synthetic_street(3, 1, 42)
    assert street.energy_ws.sum(axis=1).tolist() == GOLDEN_WS


def test_homes_look_like_homes():
    street = synthetic_street(40, 7, 1)
    assert (street.start, street.row_s, street.energy_ws.shape) == (1704067200, 60, (40, 7 * 1440))
    assert not street.missing.any()
    assert (street.energy_ws % 60 == 0).all()
    daily_kwh = street.energy_ws.sum(axis=1) / 3.6e6 / 7
    assert ((daily_kwh > 2) & (daily_kwh < 25)).all()
    power_w = street.energy_ws / 60
    assert (power_w.min(axis=1) >= 30).all()
    assert ((power_w.max(axis=1) > 1500) & (power_w.max(axis=1) < 10000)).all()
    by_hour = power_w.reshape(40, 7, 24, 60).mean(axis=(0, 1, 3))
    assert by_hour[18:22].mean() > 2 * by_hour[1:5].mean()


@pytest.mark.parametrize(("homes", "days"), [(0, 1), (1, 0), (-1, 3)])
def test_an_empty_street_is_an_error(homes, days):
    with pytest.raises(HushmeterError, match="1 or more"):
        synthetic_street(homes, days, 1)
