"""The radio: joins the home's network in the background and joins it again when it is lost.

`network.WLAN.connect` only begins; what it came to is asked for later. Name and password are read
from their file at each try and kept nowhere here: not in an attribute, a log, an error or a repr.
"""

import json
import time

from hushfw import port, store
from hushfw.core.errors import HushError

SECRETS_FILE = "network.json"
_TRY_MS = 20000


def secrets(kind):
    """An object of the secrets' file, {} where there is none of this kind."""
    data = store.read(SECRETS_FILE)
    if data is None:
        return {}
    try:
        found = json.loads(data).get(kind)
    except (ValueError, AttributeError):
        raise HushError("bad_config", "%s is damaged: provision anew" % SECRETS_FILE) from None
    return found if isinstance(found, dict) else {}


class Radio:
    """`is_up` moves it on and says whether there is a network."""

    def __init__(self, make=None, ticks=None):
        if make is None:
            import network

            make = network.WLAN
            station = getattr(network, "STA_IF", 0)
        else:
            station = 0
        if "ssid" not in secrets("wifi"):
            raise HushError("bad_config", "network.wifi: there is no name in %s" % SECRETS_FILE)
        self._ticks = ticks or port.ticks_ms
        self._began_ms = None
        self._radio = make(station)
        self._radio.active(True)
        self.tries = 0

    def __repr__(self):
        return "Radio(...)"

    def is_up(self):
        if self._radio.isconnected():
            self._began_ms = None
            return True
        now = self._ticks()
        if self._began_ms is None or port.ticks_diff(now, self._began_ms) >= _TRY_MS:
            self._began_ms = now
            self._join()
        return False

    def _join(self):
        self.tries += 1
        wanted = secrets("wifi")
        try:
            if self.tries > 1:
                self._radio.disconnect()
            self._radio.connect(wanted["ssid"], wanted.get("password"))
        except (OSError, RuntimeError, ValueError, KeyError):
            # It is asked again later; the text of the error might hold what was given.
            pass


def at_least(unix_s):
    """Puts a calendar that begins anew at each boot to where it was at provisioning.

    TLS compares a certificate's dates with it. The meter's own clock does not.
    """
    try:
        import machine

        epoch_s = 946684800 if time.gmtime(0)[0] == 2000 else 0
        if time.time() + epoch_s < unix_s:
            at = time.gmtime(unix_s - epoch_s)
            machine.RTC().datetime((at[0], at[1], at[2], at[6], at[3], at[4], at[5], 0))
    except (ImportError, AttributeError, OSError, ValueError, OverflowError):
        # No calendar to set: the board has one that goes on, or none that is asked.
        pass
