"""The images of cuts are what the record's operations leave, no more and no less."""

import pytest

from hil.power.record import BLOCK_BYTES, PAGE_BYTES, Cut, Erase, Program, Record, Sync, apply

FIRST, SECOND = bytes([0x0F]) * PAGE_BYTES, bytes([0x33]) * PAGE_BYTES
START = bytes(range(256)) * (2 * BLOCK_BYTES // 256)


def record() -> Record:
    """Block 1 is erased and gets two pages."""
    begin = BLOCK_BYTES
    return Record(
        START,
        [Erase(begin, BLOCK_BYTES), Program(begin, FIRST), Program(begin + PAGE_BYTES, SECOND)],
    )


def block_1(made: Record, event: int, where: str) -> bytes:
    image = made.image(Cut(event, where))  # type: ignore[arg-type]
    assert image[:BLOCK_BYTES] == START[:BLOCK_BYTES]
    return image[BLOCK_BYTES:]


def test_a_cut_before_an_operation_has_all_that_came_before_it() -> None:
    made = record()
    assert block_1(made, 0, "before") == START[BLOCK_BYTES:]
    assert block_1(made, 1, "before") == b"\xff" * BLOCK_BYTES
    assert block_1(made, 3, "before").startswith(FIRST + SECOND + b"\xff")


def test_a_torn_operation_is_half_done() -> None:
    made = record()
    half = BLOCK_BYTES // 2
    assert block_1(made, 0, "torn") == b"\xff" * half + START[BLOCK_BYTES + half :]
    assert block_1(made, 1, "torn")[:PAGE_BYTES] == FIRST[:128] + b"\xff" * 128


def test_a_ragged_operation_changes_some_of_the_bits_that_it_would_change() -> None:
    page = block_1(record(), 1, "ragged")[:PAGE_BYTES]
    assert all(byte & 0x0F == 0x0F for byte in page)
    cleared = sum(bin(byte ^ 0xFF).count("1") for byte in page)
    assert 0 < cleared < 4 * PAGE_BYTES
    erased = block_1(record(), 0, "ragged")
    assert all(new & old == old for new, old in zip(erased, START[BLOCK_BYTES:], strict=True))
    assert erased not in (START[BLOCK_BYTES:], b"\xff" * BLOCK_BYTES)


def test_an_overtaken_page_is_the_first_since_the_last_sync() -> None:
    made = record()
    assert Cut(2, "reordered") in list(made.cuts())
    assert block_1(made, 2, "reordered").startswith(b"\xff" * PAGE_BYTES + SECOND)
    made.events.insert(2, Sync())
    assert not any(cut.where == "reordered" for cut in made.cuts())


def test_every_operation_is_cut_and_the_last_cut_is_after_all() -> None:
    made = record()
    cuts = list(made.cuts())
    assert [cut.event for cut in cuts if cut.where == "before"] == [0, 1, 2, 3]
    whole = bytearray(START)
    for event in made.events:
        apply(whole, event)
    assert list(made.images(cuts))[-1] == whole
    assert made.counts() == {"programs": 2, "erases": 1}


def test_a_program_clears_bits_and_sets_none() -> None:
    flash = bytearray(b"\x55" * PAGE_BYTES)
    apply(flash, Program(0, FIRST))
    assert flash == b"\x05" * PAGE_BYTES


def test_cuts_out_of_order_are_refused() -> None:
    with pytest.raises(ValueError, match="in order"):
        list(record().images([Cut(2, "before"), Cut(1, "before")]))
