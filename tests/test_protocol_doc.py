"""docs/protocol.md has exactly the message table of the code."""

import pytest

from hushfw.core import messages
from tools import protocol_table

BEGIN, END = protocol_table.BEGIN, protocol_table.END


def test_the_page_has_the_table_of_the_code() -> None:
    page = protocol_table.PAGE.read_text(encoding="utf-8")
    wanted = protocol_table.table()
    assert protocol_table.between_markers(page) == wanted, (
        "write it anew with: python -m tools.protocol_table --write"
    )


def test_every_message_and_field_is_in_the_table() -> None:
    rows = protocol_table.table().splitlines()
    assert len(rows) == len(messages.TABLE) + 2
    for row, (number, name, fields) in zip(rows[2:], sorted(messages.TABLE), strict=True):
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert cells[:2] == [f"0x{number:02x}", name]
        assert cells[2] == ("host" if number < 0x40 else "meter")
        assert cells[3] == (fields or "-")
        assert cells[4]
    assert set(protocol_table.MEANINGS) == set(messages.BY_NAME)


def test_no_cell_breaks_the_table() -> None:
    for row in protocol_table.table().splitlines():
        assert row.count("|") == 6


def test_a_changed_page_is_noticed_and_mended() -> None:
    old = f"before\n{BEGIN}\n| old |\n{END}\nafter\n"
    assert protocol_table.between_markers(old) == "| old |"
    mended = protocol_table.with_table(old)
    assert protocol_table.between_markers(mended) == protocol_table.table()
    assert mended.startswith("before\n") and mended.endswith("\nafter\n")


@pytest.mark.parametrize(
    "page", ["", protocol_table.BEGIN, protocol_table.END + protocol_table.BEGIN]
)
def test_a_page_without_markers_is_an_error(page: str) -> None:
    with pytest.raises(ValueError, match="needs"):
        protocol_table.between_markers(page)
