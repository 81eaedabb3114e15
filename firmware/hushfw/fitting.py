"""What a meter is fitted with, by its configuration; needed at boot only, and borrowed for it.

Each maker gives its part, or None, with nothing loaded, where the configuration does not ask for
one: most meters have no Paillier key, no market and no broker.
"""

import binascii
import json

from hushfw import journal, store
from hushfw.borrowed import Borrowed
from hushfw.core import messages
from hushfw.core.drbg import SEED, Drbg
from hushfw.core.errors import HushError
from hushfw.drivers import log
from hushfw.keyring import IDENTITY


def learn(settings, measures):
    """The messages that not every meter knows, see `core.vocabulary`."""
    with Borrowed("core.vocabulary") as vocabulary:
        for part, rows in (
            (settings["market"], vocabulary.MARKET),
            ((settings["paillier"] or {}).get("bills"), vocabulary.BILLS),
            (settings["network"], vocabulary.NETWORK),
            (measures, vocabulary.SENSORS),
        ):
            if part:
                messages.learn(rows)


def refuse_a_lost_journal(settings, book):
    """Every boot leaves a promise in the journal before it counts itself in the seed's file.

    And before it makes a key: so a new seed does not hide that the key had a journal.
    """
    if book.floors is not None:
        return
    stored = store.SeedFile().take()
    own_key = store.exists(IDENTITY) and not settings["provisioned_pairs"]
    if own_key or stored is not None and stored[1]:
        raise HushError(
            "storage",
            "the journal is gone, and with it what was masked: provision this meter anew",
        )


def refuse_a_lost_key(book):
    """A key made now would not fit the secrets that are stored, and no sum would come out."""
    if book.epoch and not store.exists(IDENTITY):
        raise HushError("storage", "the key of this meter is gone: provision it anew")


def keep_promises(promises, book):
    """Promises that changed are written down, if none became weaker."""
    before = book.floors
    if promises != before:
        if before is not None:
            with Borrowed("core.rules", "core.config") as config:
                config.check_tightens(promises, before)
        book.append(journal.FLOORS, json.dumps(promises).encode())


def actuator(settings, log_bytes):
    wanted = settings["actuator"]
    if isinstance(wanted, dict):
        from hushfw import following

        return following.make(settings, log_bytes)
    return log.Log(log_bytes) if wanted == "log" else log.NoActuator()


def pool(settings, random):
    """What encrypts under the household's key."""
    if settings["paillier"] is None:
        return None
    from hushfw.pool import HOUSEHOLD

    owner = "%s/%d" % (settings["street"], settings["meter_id"])
    return _pool(settings["paillier"], owner.encode(), settings, random, HOUSEHOLD)


def ring_pool(settings, random):
    """What encrypts under the utility's key, where the market's sums go round in a ring."""
    terms = settings["market"]
    if terms is None or "ring" not in terms:
        return None
    from hushfw.core import paillier
    from hushfw.pool import RING

    # It is needed for each letter, and an ESP32 does not give native code back that is let go of.
    __import__("hushfw.core.divisor")
    return _pool(terms["ring"], paillier.UTILITY, settings, random, RING)


def _pool(wanted, owner, settings, random, stem):
    from hushfw.pool import MeterPool

    authority = binascii.unhexlify(settings["authority_key"])
    insecure = settings["fixed_seed"]
    if insecure:
        # Idle time is no part of the seed: what is drawn in it must not change the reports.
        random = Drbg(random.bytes(SEED))
    return MeterPool(wanted, owner, authority, random, insecure, stem)


def trading(parts, ring, found_genuine):
    """What the market's messages are for. parts: settings, enrolment, journal, generator."""
    if parts[0]["market"] is None:
        return None
    from hushfw.trading import Trading

    return Trading(parts, ring, found_genuine)


def bills(settings, household, book, random):
    """What commits to readings for bills."""
    wanted = settings["paillier"]
    if wanted is None or not wanted.get("bills"):
        return None
    from hushfw.commitments import Commitments

    home = (settings["street"], settings["meter_id"])
    return Commitments(wanted, home, household, book, random)


def network(settings, random, meter):
    """What takes the frames to a broker."""
    wanted = settings["network"]
    if wanted is None:
        return None
    from hushfw.links.network import Network

    names = (settings["street"], settings["meter_id"])
    # Its own generator: what the noise draws must not hang on when a connection was lost.
    jitter = Drbg(random.bytes(SEED)).below
    return Network(wanted, names, meter, jitter)
