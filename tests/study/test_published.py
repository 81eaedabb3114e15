"""Each of the paper's statements agrees where it should, and can be seen not to."""

import pytest

from hushmeter.study.equal_privacy import Ratio
from hushmeter.study.published import Rows, statements
from tests.study.study_kit import row

# What each controller leaks with 1 kWh, in all and in the binary measure, as in the paper.
LEAKS = {
    "be:sat": (0.30, 0.07),
    "be:idle": (0.29, 0.07),
    "nill": (0.50, 0.15),
    "lc": (0.24, 0.08),
    "ls1": (0.18, 0.05),
    "ls2": (0.17, 0.05),
    "rc": (0.19, 0.01),
}


def rows(changes=None):
    """Rows that say what the paper says, but for `changes`: controller -> (bits, binary)."""
    leaks = {**LEAKS, **(changes or {})}

    def made(home, size, larger):
        return [
            row(
                name,
                size,
                bits / larger,
                home=home,
                binary=binary / larger**0.5,
                right_per_day=(20 if name == "nill" else 10) / larger,
            )
            for name, (bits, binary) in leaks.items()
        ]

    sizes = made("a", 100, 1) + made("a", 1200, 4)
    return Rows(sizes, made("a", 500, 1) + made("b", 500, 1.5), 60)


def ratios(best=3.5, nill=6.6):
    return [
        Ratio("a", name, 500, 0.2, 1000, ratio, (1.0, 9.0), ratio)
        for name, ratio in (("be:sat", best), ("be:idle", best), ("nill", nill))
    ]


def verdicts(*given):
    return {statement.key: statement.agrees for statement in statements(*given)}


def test_rows_as_the_paper_has_them_agree_with_every_statement():
    assert all(verdicts(rows(), ratios()).values())


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"ls1": (0.40, 0.05)}, "stepping_leaks_least"),
        ({"rc": (0.19, 0.06)}, "rc_is_best_in_binary"),
        ({"lc": (0.24, 0.04)}, "lazy_is_next_in_binary"),
        ({"rc": (0.10, 0.01)}, "lazy_is_best_in_markov"),
    ],
)
def test_a_controller_out_of_order_is_seen(changes, key):
    assert not verdicts(rows(changes), ratios())[key]


def test_ratios_out_of_order_are_seen():
    assert not verdicts(rows(), ratios(best=0.9))["be_needs_a_larger_battery"]
    assert not verdicts(rows(), ratios(best=3.0, nill=3.0))["nill_needs_a_larger_one_still"]
    assert verdicts(rows(), ratios(nill=None))["nill_needs_a_larger_one_still"]
