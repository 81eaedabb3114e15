"""Room for a sample in the middle of long work: every long loop calls `point`.

There is one thread on a board, and some operations take seconds. Instead of cutting each into
pieces, each lets one hook run every few milliseconds:

    pace.install(sampler.take_if_due)       # once, by whoever takes the samples
    pace.point()                            # in a loop's body, at most about 20 ms apart

The hook never runs inside itself: a point that is reached within it does nothing. It runs in the
middle of somebody's work, so it must not touch the journal, the keys or the main generator, nor
call the meter. What it raises ends that work, which then has changed nothing but temporary files.

A watchdog is fed at every point, also at those within the hook: `guard(watchdog.feed)`. It may be
no shorter than the longest work between two points, and no longer than every chip can count.
"""

LEAST_WATCHDOG_MS = 1000
MOST_WATCHDOG_MS = 8000

_hook = None
_feed = None
_running = False


def install(hook):
    """Makes hook() the one that points call, None for none; the hook before it back."""
    global _hook
    before, _hook = _hook, hook
    return before


def guard(feed):
    """Makes feed() what every point calls first, None for nothing; the one before it back."""
    global _feed
    before, _feed = _feed, feed
    return before


def point():
    """Feeds the watchdog, and lets the hook run unless it is running."""
    global _running
    if _feed is not None:
        _feed()
    if _hook is None or _running:
        return
    _running = True
    try:
        _hook()
    finally:
        _running = False
