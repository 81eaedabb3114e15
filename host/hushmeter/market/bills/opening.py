"""Opening a product of commitments: B and R, and the equation that they must satisfy.

A negative B lies in the upper half of Z_n. It is accepted only within what readings of at most
2^32 - 1 Wh give under these prices, which is so far below n that no other value fits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hushmeter.crypto.multiexp import product_of_powers
from hushmeter.crypto.paillier import PrivateKey
from hushmeter.crypto.powers import powmod
from hushmeter.market.bills.commitments import MOST_WH
from hushmeter.market.bills.failures import Failure
from hushmeter.market.bills.files import Opened, hexed


def product(commitments: Mapping[int, int], prices: Sequence[int], first_slot: int, n: int) -> int:
    """The product of c_t^(p_t) mod n^2 over the slots from `first_slot` on."""
    pairs = ((commitments[slot], price) for slot, price in enumerate(prices, first_slot))
    return product_of_powers(pairs, n * n)


def reach(prices: Sequence[int]) -> tuple[int, int]:
    """The least and the greatest total that readings can give."""
    return (
        MOST_WH * sum(min(0, price) for price in prices),
        MOST_WH * sum(max(0, price) for price in prices),
    )


def opened(private: PrivateKey, found: int, prices: Sequence[int]) -> Opened:
    """B and R of a product.

    Raises
    ------
    Failure
        What the meter committed to is out of reach.
    """
    n = private.n
    total = private.decrypt(found.to_bytes(2 * (n.bit_length() // 8), "big"))
    total = total if 2 * total < n else total - n
    _check_reach(total, prices)
    # (1 + n)^B is 1 mod n, so R is the n-th root of the product mod n.
    opening = Opened(str(total), hexed(private.root(found % n)))
    check(opening, n, found, prices)
    return opening


def check(opening: Opened, n: int, found: int, prices: Sequence[int]) -> int:
    """B, if it opens the product.

    Raises
    ------
    Failure
        B is out of reach, R not below n, or the equation does not hold.
    """
    total, root = number(opening.total), int(opening.root, 16)
    _check_reach(total, prices)
    if not 0 < root < n:
        raise Failure("total", "R must be from 1 to n - 1")
    square = n * n
    if (1 + total % n * n) * int(powmod(root, n, square)) % square != found:
        raise Failure("total", "(1 + B n) R^n is not the product of the commitments' powers")
    return total


def number(text: str) -> int:
    """The number that a decimal text is."""
    return int(text)


def _check_reach(total: int, prices: Sequence[int]) -> None:
    least, greatest = reach(prices)
    if not least <= total <= greatest:
        raise Failure("total", f"{total} is out of reach of these prices: {least} to {greatest}")
