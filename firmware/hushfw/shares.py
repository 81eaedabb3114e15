"""Which noise shares a meter draws: by its roster, and by the sampler that its configuration names.

`exact` has the law itself and takes as long as it takes; `bounded` is within 2^-64 of it and takes
the same steps whatever it draws (see `core.bounded`). Tables are made once for a roster.
"""

from hushfw.core import gamma, noise

EXACT = "exact"
BOUNDED = "bounded"


def drawers(roster, sampler):
    """For each lane of the roster what draws its share from a source: draw(source)."""
    return [_drawer(roster, lane, sampler) for lane in roster.lane_list]


def _drawer(roster, lane, sampler):
    if lane.noiseless():
        return lambda source: 0
    n = roster.noise_shape()
    num, den = lane.scale()
    bits = roster.fraction_bits
    if sampler == BOUNDED:
        from hushfw.core.bounded import Bounded

        # Of the faithful mode too: the same law at a scale in parts of a Wh, see `core.gamma`.
        return Bounded(n, num << bits, den).share
    if bits:
        return lambda source: gamma.share(source, n, num, den, bits)
    return lambda source: noise.share(source, n, num, den)
