"""What an official RP2040 image does with a filesystem that does not mount: docs/limitations.md.

It runs before any file of ours, so this is no promise but an observation: an image that begins to
behave otherwise fails here, and the page changes.
"""

import pytest

from hushmeter.devices.boards import load_board
from hushmeter.emulate import littlefs
from hushmeter.emulate.pico import EmulatedPico
from hushmeter.errors import HushmeterError

FACTS = load_board("pico")
FILES = {"main.py": b"open('ran', 'w').close()", "seed.bin": b"\x01" * 40}
SUPERBLOCKS = (0, 1)


def damaged(blocks: tuple[int, ...]) -> EmulatedPico:
    """A board whose filesystem has lost these blocks; skipped without an image."""
    try:
        pico = EmulatedPico(FACTS, entropy=1, files=FILES)
    except HushmeterError as error:
        pytest.skip(error.message)
    for block in blocks:
        at = FACTS.filesystem.start + block * littlefs.BLOCK_SIZE
        pico._flash[at : at + littlefs.BLOCK_SIZE] = b"\x5a" * littlefs.BLOCK_SIZE
    return pico


def test_a_filesystem_with_one_superblock_left_is_mounted() -> None:
    with damaged(SUPERBLOCKS[:1]) as pico:
        pico.run(0.5)
        assert pico.files() == FILES | {"ran": b""}


def test_a_filesystem_without_superblocks_is_made_anew_without_a_word() -> None:
    with damaged(SUPERBLOCKS) as pico:
        pico.run(0.5)
        assert pico.files() == {}
        assert pico.execute("import os\nprint(os.listdir('/'))") == "[]\r\n"
