"""Runs the check functions of a script and prints one line for each: the device's test runner.

Works under MicroPython and CPython. A check is a function whose name starts with `check_`; it
fails by raising. `expect` is the comparison that survives optimised builds.
"""

import sys


class CheckFailed(Exception):
    pass


def expect(got, wanted, what=""):
    if got != wanted:
        raise CheckFailed("%s got %r, wanted %r" % (what, got, wanted))


def refuses(code, function, *arguments):
    """The call must raise a HushError with this code."""
    try:
        function(*arguments)
    except Exception as error:
        expect(getattr(error, "code", repr(error)), code, "refusal")
        return
    raise CheckFailed("nothing was raised, wanted the refusal %s" % code)


def run(namespace):
    failed = 0
    for name in sorted(n for n in namespace if n.startswith("check_")):
        try:
            namespace[name]()
        except Exception as error:
            failed += 1
            print("FAIL", name, repr(error))
            if hasattr(sys, "print_exception"):
                sys.print_exception(error)
        else:
            print("ok", name)
    print("DONE", failed, "failed")
