"""Prints the table of docs/protocol.md from the message table of the device package.

python -m tools.protocol_table            the table
python -m tools.protocol_table --write    put it between the page's markers
"""

from __future__ import annotations

import sys
from pathlib import Path

from hushfw.core import messages

PAGE = Path(__file__).resolve().parents[1] / "docs" / "protocol.md"
BEGIN = "<!-- messages: begin -->"
END = "<!-- messages: end -->"


def table() -> str:
    """Every message as a row: number, name, sender, fields, what it is for."""
    rows = ["| number | name | sender | fields | meaning |", "| --- | --- | --- | --- | --- |"]
    for number, name, sender, layout, meaning in messages.TABLE:
        fields = ", ".join(f"{field} {kind}" for field, kind in layout) or "-"
        rows.append(f"| 0x{number:02x} | {name} | {sender} | {fields} | {meaning} |")
    return "\n".join(rows)


def between_markers(page: str) -> str:
    """What a page has between its markers.

    Raises
    ------
    ValueError
        There is not exactly one begin and one end after it.
    """
    before, begin, rest = page.partition(BEGIN)
    inner, end, after = rest.partition(END)
    if not begin or not end or BEGIN in rest or END in before + after:
        raise ValueError(f"the page needs {BEGIN} once, and {END} once after it")
    return inner.strip("\n")


def with_table(page: str) -> str:
    """The page with the table between its markers."""
    between_markers(page)
    before, _, rest = page.partition(BEGIN)
    after = rest.partition(END)[2]
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        print(table())
