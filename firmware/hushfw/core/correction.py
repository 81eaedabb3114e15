"""Corrects a sensor's watts by points: straight lines between what it said and what was true.

Between two points the line through them, rounded to the nearest watt, halves upward. Beyond the
outermost ones the first or the last line goes on. Every line rises, by 1/4 to 4 true watts for
each one read (see `calibration`), so nothing is corrected by more than that far from a point, and
what is beyond MOST_W is no reading: no home draws it. One point alone shifts everything.

A corrected reading never falls where the sensor's rises, and a point gives exactly its true watts.
"""

MOST_W = 100000


def correct(points, watts):
    """True watts of read ones, both signed and whole; None beyond MOST_W.

    points are (read_w, true_w), rising in both.
    """
    count = len(points)
    if count < 2:
        true_w = watts + points[0][1] - points[0][0] if count else watts
    else:
        at = 1
        while at < count - 1 and watts > points[at][0]:
            at += 1
        read_w, true_w = points[at - 1]
        run_w = points[at][0] - read_w
        rise_w = points[at][1] - true_w
        # In whole runs and what is left: so the products stay small integers on a board.
        runs, left_w = divmod(watts - read_w, run_w)
        true_w += runs * rise_w + (2 * left_w * rise_w + run_w) // (2 * run_w)
    return true_w if -MOST_W <= true_w <= MOST_W else None
