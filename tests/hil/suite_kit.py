"""Small suites under the board suite's own rules, each run in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

from hushmeter.devices import hil_run
from hushmeter.devices.hil_run import Run

ROOT = Path(__file__).resolve().parents[2]


def run_suite(
    folder: Path, source: str, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run ``source`` as a suite; what it keeps is in ``folder``/runs."""
    suite = folder / "suite"
    suite.mkdir(exist_ok=True)
    (suite / "test_it.py").write_text("import pytest\n" + textwrap.dedent(source))
    command = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml")]
    command += [f"--rootdir={suite}", "-p", "hil.conftest", "-p", "no:cacheprovider", str(suite)]
    path = os.pathsep.join(map(str, (ROOT, ROOT / "firmware", ROOT / "host")))
    return subprocess.run(
        [*command, f"--results={folder / 'runs'}", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def runs_in(folder: Path) -> list[Run]:
    """What was kept, by label."""
    found = [hil_run.read(path) for path in (folder / "runs").glob("*.json")]
    return sorted(found, key=lambda run: run.board.label)


def ended(run: Run) -> dict[str, tuple[str, str]]:
    """Outcome and reason by the last part of a test's name."""
    return {test.name.rpartition("::")[2]: (test.outcome, test.reason) for test in run.tests}
