"""A local market of homes: curves, their masked sum, the price, and each home's share.

What is where:

    responses   a home's settings -> what it would buy and sell at each price
    curves      those integers, checked; the file of many homes
    wholesale   what energy costs the utility in each interval
    terms       who is in a sum, caps, noise
    words       masked words in the market's own PRF domain
    members     one home's part in a masked sum, and the collector's
    vectorised  the same words for a thousand homes at once
    ring        the same sums in a Paillier ring
    summation   what a way of summing is, and what comes out of it
    clearing    the price, rationing, and a home's own share from public numbers
    transcript  the public record, from which anybody computes the price again
    session     one interval from curves to allocations
"""
