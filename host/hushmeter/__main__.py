"""``python -m hushmeter`` is the command ``hushmeter``."""

from hushmeter.cli import main

main(prog_name="hushmeter")
