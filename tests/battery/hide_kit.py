"""Load files for `hushmeter hide`, and the command in this process."""

import json
from datetime import UTC, datetime, timedelta

from click.testing import CliRunner

from hushmeter.cli import main

START = datetime(2023, 1, 1, tzinfo=UTC)


def stamp(row, step_s=60):
    return (START + timedelta(seconds=row * step_s)).strftime("%Y-%m-%dT%H:%M:%S")


def write_load(path, watts, step_s=60, names=("home_0_w",)):
    """A wide CSV of one home, or of several that draw the same; None is a gap."""
    lines = ["time," + ",".join(names)]
    for row, value in enumerate(watts):
        cell = "" if value is None else str(value)
        lines.append(",".join([stamp(row, step_s), *[cell] * len(names)]))
    path.write_text("\n".join(lines) + "\n")
    return path


def hide(load, *arguments):
    """The result of the command."""
    return CliRunner().invoke(main, ["hide", "--load", str(load), *map(str, arguments)])


def told(load, *arguments):
    """Its JSON object; anything but success fails the test."""
    result = hide(load, *arguments, "--json")
    assert result.exit_code == 0, result.output + result.stderr
    return json.loads(result.stdout)
