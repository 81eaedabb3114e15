"""Made-up rows of a study."""

from hushmeter.study.measure import Estimate, Row


def row(
    controller,
    capacity_wh,
    bits,
    *,
    home="a",
    half=0.0,
    shuffled=0.0,
    binary=None,
    right_per_day=10.0,
    accuracy=0.9,
):
    """A row whose three measures are `bits`, give or take `half`."""
    measured = Estimate(bits, (bits - half, bits + half), shuffled)
    switched = bits if binary is None else binary
    return Row(
        home=home,
        controller=controller,
        capacity_wh=capacity_wh,
        mi=measured,
        mi_binary=Estimate(switched, (switched, switched), 0.0),
        mi_markov=measured,
        level_changes_per_day=0.0,
        cycles_per_day=0.0,
        events_per_day=right_per_day / accuracy,
        correct_per_day=right_per_day,
        accuracy=accuracy,
        recall=0.1,
    )
