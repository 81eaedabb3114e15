"""The greatest common divisor of two numbers, as fast as the interpreter at hand lets it be.

`gcd` is the definition; `common_divisor` is it or `euclid_viper`, where that runs and agrees.
"""

from hushfw.core import pace


def gcd(a, b):
    turn = 0
    while b:
        a, b = b, a % b
        turn += 1
        if not turn & 15:
            pace.point()
    return a


def _chosen():
    try:
        from hushfw.core.euclid_viper import gcd as fast
    except (ImportError, SyntaxError, ValueError, MemoryError):
        # No such compiler, bytecode for another machine, or no room for native code.
        return gcd
    a, b = 3 * (1 << 211) - 3 * 98765, 6 * (1 << 190) + 3 * 4321
    return fast if fast(a, b) == gcd(a, b) and fast(a, 7 * a) == a else gcd


common_divisor = _chosen()
