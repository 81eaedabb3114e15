"""The meter's generator: how it is seeded at a boot, and what is mixed in while it runs.

At a boot the stored seed, the boot counter and 64 bytes of the board's entropy are hashed together;
one part of the result replaces the stored seed, the other seeds the generator. The file is replaced
(seed and counter at once) before the generator gives its first byte. So wherever the power is cut,
a boot either left the old file and gave nothing, or left another seed behind: even without entropy
no two boots give the same. Nor can the stored seed be had from what was given, or the other way
round. An old file that somebody puts back meets new entropy; under a fixed seed, which
has none, it does repeat: that mode is named insecure.

The entropy is tested before any of it is used, and all that is taken later too (see `core.health`):
before a slot is masked, 48 bytes more are mixed in, so that what somebody once read from memory
does not tell what is drawn later. A source that fails gives an error, and no report is made.
"""

from hushfw import port, store
from hushfw.core import kdf
from hushfw.core.drbg import SEED, Drbg
from hushfw.core.errors import HushError

_ENTROPY_BYTES = 64
_START_BYTES = 1024


class Entropy:
    """The board's own source; at first as many bytes are tested as SP 800-90B 4.3 asks for."""

    def __init__(self, read=None):
        from hushfw.core.health import Monitor, check_entropy

        self._read = read or port.entropy
        self._monitor = Monitor()
        check_entropy(self.take(_START_BYTES))

    def __repr__(self):
        return "Entropy(...)"

    def take(self, size):
        samples = self._read(size)
        if len(samples) != size:
            raise HushError("entropy", "the board's entropy source gave too few bytes")
        self._monitor.feed(samples)
        return samples


class Generator(Drbg):
    """A CTR_DRBG that is mixed anew with the board's entropy, None under a fixed seed."""

    def __init__(self, seed_bytes, entropy):
        super().__init__(seed_bytes)
        self._entropy = entropy

    def __repr__(self):
        return "Generator(...)"

    def refresh(self):
        """Before a slot is masked."""
        if self._entropy is not None:
            self.reseed(self._entropy.take(SEED))


def start(fixed_seed):
    """(generator, boots), with the next boot's seed stored."""
    seeds = store.SeedFile()
    stored = seeds.take()
    if stored is None:
        raise HushError("not_provisioned", "there is no seed.bin: provision this meter")
    seed, boots = stored[0], stored[1] + 1
    entropy = None if fixed_seed else Entropy()
    fresh = b"" if fixed_seed else entropy.take(_ENTROPY_BYTES)
    material = kdf.hkdf(seed + fresh, b"hush1 boot", boots.to_bytes(4, "big"), 32 + SEED)
    seeds.put(material[:32], boots)
    return Generator(material[32:], entropy), boots
