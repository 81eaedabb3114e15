"""The loader: counts the tries of the firmware in use, starts it, and goes back when it must.

    fw/a/ fw/b/      two places for a firmware; manifest.json lists its files and is written last
    fw/use.json      {"use": "a", "confirmed": true, "tries": 0}, replaced whole
    fw/maintenance   a watched meter was asked for the prompt, which takes a reset

A try is counted before anything is imported; the firmware takes the count back once it works. A
firmware on trial that was tried three times gives way to the other place, if that one is complete;
any other ends in safe mode, from whichever place has one. Without fw/use.json the firmware comes
from the search path. Nothing that stands in these files stops the loader: what it can make no use
of is as good as absent, and when nothing starts, the interpreter's prompt is the way in.
"""

import json
import os
import sys

try:
    # Before anything slow: a frame may hold the byte that would interrupt the imports.
    from micropython import kbd_intr

    kbd_intr(-1)
except ImportError:
    kbd_intr = None

_USE = "fw/use.json"
_FLAG = "fw/maintenance"
_NOTE = "reset.txt"
_PLACES = ("a", "b")
_MOST_TRIES = 3
_CTRL_C = 3


def _read(path):
    """What a JSON file holds; None where it is absent or damaged."""
    try:
        with open(path) as f:
            return json.load(f)
    except Exception:
        return None


def _exists(path):
    try:
        os.stat(path)
    except OSError:
        return False
    return True


def _complete(place):
    """Whether a place has a manifest and every file of it, in its size."""
    try:
        sizes = _read("fw/%s/manifest.json" % place)["files"]
        for name in sizes:
            if os.stat("fw/%s/%s" % (place, name))[6] != sizes[name][0]:
                return False
        return len(sizes) > 0
    except Exception:
        return False


def _use():
    """The place in use; a complete one, on trial, where the file does not say."""
    use = _read(_USE)
    if isinstance(use, dict) and use.get("use") in _PLACES:
        tries = use.get("tries")
        known = isinstance(tries, int) and 0 <= tries <= _MOST_TRIES + 1
        return {
            "use": use["use"],
            "confirmed": use.get("confirmed") is True,
            "tries": tries if known else 0,
        }
    for place in _PLACES:
        if _complete(place):
            return {"use": place, "confirmed": False, "tries": 0}
    return None


def _keep(use):
    try:
        with open(_USE + ".tmp", "w") as f:
            json.dump(use, f)
        os.rename(_USE + ".tmp", _USE)
    except OSError:
        # A full filesystem: better a try that is not counted than a meter that does not start.
        pass


def _other(use):
    return _PLACES[use["use"] == _PLACES[0]]


def _give_way(use):
    """Changes to the other place when this one is on trial and the other one complete."""
    if use["confirmed"] or not _complete(_other(use)):
        return False
    use.update({"use": _other(use), "confirmed": True, "tries": 1})
    return True


def _run(place, module, *arguments):
    """Runs a module's main; False, and no trace of it, when it cannot be imported."""
    if place:
        sys.path.insert(0, "fw/" + place)
    try:
        start = __import__("hushfw." + module, None, None, ("main",)).main
    except Exception:
        if place:
            sys.path.pop(0)
        for name in list(sys.modules):
            if name.split(".")[0] == "hushfw":
                del sys.modules[name]
        return False
    start(*arguments)
    return True


def _maintenance():
    """Uses the flag up; it becomes the note from which the next start knows about this one."""
    if not _exists(_FLAG):
        return False
    try:
        os.rename(_FLAG, _NOTE)
    except OSError:
        return _removed(_FLAG)
    return True


def _removed(path):
    """Whether a flag is gone; one that cannot be used up would ask for the prompt for ever."""
    try:
        os.remove(path)
    except OSError:
        return False
    return True


def _start():
    if not _exists(_USE) and _run("", "app"):
        return
    use = _use()
    if use is None:
        if _exists(_USE):
            _run("", "app")
        return
    use["tries"] = min(use["tries"], _MOST_TRIES) + 1
    ready = use["tries"] <= _MOST_TRIES or _give_way(use)
    _keep(use)
    if ready and _run(use["use"], "app"):
        return
    if ready and _give_way(use):
        _keep(use)
        if _run(use["use"], "app"):
            return
    reason = "the firmware in place %s did not start: deploy it again" % use["use"]
    for place in (use["use"], _other(use)):
        if _run(place, "safe", reason):
            return


def main():
    try:
        if not _maintenance():
            _start()
    finally:
        if kbd_intr is not None:
            kbd_intr(_CTRL_C)


if __name__ == "__main__":
    main()
