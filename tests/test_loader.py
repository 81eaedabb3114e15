"""The loader: which firmware it starts, whatever its files say and wherever the power was cut.

It runs as on a board, in a folder that stands for the flash, on CPython and on MicroPython; the
firmwares here only say which of them was started. tests/meter/test_life.py runs the real one.
"""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from hushmeter.assets import main_script
from hushmeter.emulate.interpreter import find_micropython

MOST_TRIES = 3
APP = "def main():\n    print('app {0}')\n"
SAFE = "def main(reason):\n    print('safe {0}:', reason)\n"
BROKEN = "import no_such_module\n"
Boot = Callable[[], list[str]]


@pytest.fixture
def flash(tmp_path: Path) -> Path:
    """A folder with the loader and nothing else."""
    folder = tmp_path / "flash"
    folder.mkdir()
    shutil.copy(main_script(), folder / "main.py")
    return folder


@pytest.fixture(params=["cpython", "micropython"])
def boot(request: pytest.FixtureRequest, flash: Path) -> Boot:
    """Starts the board; what its firmware said. Nothing else may be said."""
    # Without site-packages: an installed firmware would be found there.
    cpython = [sys.executable, "-S"]
    found = cpython if request.param == "cpython" else [str(find_micropython().path)]

    def run() -> list[str]:
        done = subprocess.run(
            [*found, "main.py"],
            cwd=flash,
            env={**os.environ, "MICROPYPATH": ".frozen", "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert done.returncode == 0 and not done.stderr, done.stdout + done.stderr
        return done.stdout.splitlines()

    return run


def deploy(flash: Path, place: str, app: str = APP, safe: str = SAFE) -> None:
    """A firmware in a place, complete; "" is the search path."""
    root = flash / "fw" / place if place else flash
    package = root / "hushfw"
    package.mkdir(parents=True)
    files = {"__init__.py": "", "app.py": app, "safe.py": safe}
    for name, text in files.items():
        (package / name).write_text(text.format(place or "path"))
    if place:
        listed = {f"hushfw/{n}": [(package / n).stat().st_size, "0" * 64] for n in files}
        (root / "manifest.json").write_text(json.dumps({"version": "1", "files": listed}))


def use(flash: Path, place: str, confirmed: bool, tries: int = 0) -> None:
    said = {"use": place, "confirmed": confirmed, "tries": tries}
    (flash / "fw" / "use.json").write_text(json.dumps(said))


def said(flash: Path) -> Any:
    return json.loads((flash / "fw" / "use.json").read_text())


def test_without_places_the_firmware_comes_from_the_search_path(flash: Path, boot: Boot) -> None:
    deploy(flash, "")
    assert boot() == ["app path"]
    assert not (flash / "fw").exists()


@pytest.mark.parametrize("place", ["a", "b"])
def test_the_place_in_use_is_started_and_its_try_counted(
    flash: Path, boot: Boot, place: str
) -> None:
    deploy(flash, "")
    deploy(flash, "a")
    deploy(flash, "b")
    use(flash, place, confirmed=True)
    assert boot() == [f"app {place}"]
    assert said(flash) == {"use": place, "confirmed": True, "tries": 1}


def test_a_try_is_counted_before_the_firmware_is_imported(flash: Path, boot: Boot) -> None:
    deploy(flash, "a", app="print(open('fw/use.json').read())\n" + APP)
    use(flash, "a", confirmed=False)
    line, started = boot()
    assert json.loads(line)["tries"] == 1
    assert started == "app a"


def test_a_firmware_on_trial_gives_way_after_three_tries(flash: Path, boot: Boot) -> None:
    deploy(flash, "a")
    deploy(flash, "b")
    use(flash, "b", confirmed=False)
    assert [boot() for _ in range(MOST_TRIES)] == [["app b"]] * MOST_TRIES
    assert boot() == ["app a"]
    assert said(flash) == {"use": "a", "confirmed": True, "tries": 1}


@pytest.mark.parametrize("confirmed", [True, False])
def test_a_boot_loop_ends_in_safe_mode_and_stays_there(
    flash: Path, boot: Boot, confirmed: bool
) -> None:
    """A confirmed firmware does not give way, and one on trial has nothing to give way to."""
    deploy(flash, "a")
    if confirmed:
        deploy(flash, "b")
    use(flash, "a", confirmed)
    assert [boot() for _ in range(MOST_TRIES)] == [["app a"]] * MOST_TRIES
    for _ in range(2):
        (line,) = boot()
        assert line.startswith("safe a: the firmware in place a did not start")
    assert said(flash)["tries"] == MOST_TRIES + 1


def test_a_firmware_on_trial_that_cannot_be_imported_gives_way_at_once(
    flash: Path, boot: Boot
) -> None:
    deploy(flash, "a")
    deploy(flash, "b", app=BROKEN)
    use(flash, "b", confirmed=False)
    assert boot() == ["app a"]
    assert said(flash) == {"use": "a", "confirmed": True, "tries": 1}


@pytest.mark.parametrize("broken", [BROKEN, "def (", "1 // 0\n", ""])
def test_a_confirmed_firmware_that_cannot_be_imported_ends_in_safe_mode(
    flash: Path, boot: Boot, broken: str
) -> None:
    deploy(flash, "a", app=broken)
    use(flash, "a", confirmed=True)
    assert boot() == ["safe a: the firmware in place a did not start: deploy it again"]


def test_safe_mode_comes_from_the_other_place_when_this_one_has_none(
    flash: Path, boot: Boot
) -> None:
    deploy(flash, "a", app=BROKEN, safe=BROKEN)
    deploy(flash, "b")
    use(flash, "a", confirmed=True)
    assert boot() == ["safe b: the firmware in place a did not start: deploy it again"]
    assert said(flash)["use"] == "a"


def test_when_nothing_starts_the_loader_returns_to_the_prompt(flash: Path, boot: Boot) -> None:
    assert boot() == []
    deploy(flash, "a", app=BROKEN, safe=BROKEN)
    use(flash, "a", confirmed=True)
    for _ in range(MOST_TRIES + 2):
        assert boot() == []


def test_the_other_place_is_taken_only_when_it_is_complete(flash: Path, boot: Boot) -> None:
    deploy(flash, "a")
    deploy(flash, "b")
    manifest = flash / "fw/a/manifest.json"
    whole = json.loads(manifest.read_text())
    app = "hushfw/app.py"
    listed = whole["files"]
    damaged = ["", "{", "[]", "null", "7", '{"files": 3}', '{"files": {}}', '{"files": [1]}']
    damaged += [
        json.dumps({"files": listed | {app: [listed[app][0] + 1, ""]}}),
        json.dumps({"files": listed | {"hushfw/gone.mpy": [1, ""]}}),
        json.dumps({"files": listed | {app: 12}}),
        json.dumps({"files": listed | {app: []}}),
    ]
    for text in damaged:
        manifest.write_text(text)
        use(flash, "b", confirmed=False, tries=MOST_TRIES)
        (line,) = boot()
        assert line.startswith("safe b"), text
    manifest.unlink()
    use(flash, "b", confirmed=False, tries=MOST_TRIES)
    assert boot()[0].startswith("safe b")
    manifest.write_text(json.dumps(whole))
    use(flash, "b", confirmed=False, tries=MOST_TRIES)
    assert boot() == ["app a"]


DAMAGED = [
    b"",
    b"{",
    b"null",
    b"[]",
    b"\xff\xfe\x00",
    b'{"confirmed": true, "tries": 0}',
    b'{"use": "c", "confirmed": true, "tries": 0}',
    b'{"use": ["a"], "confirmed": true, "tries": 0}',
    b'{"use": {}, "tries": 0}',
    b"[" * 3000,
    b'{"use": "a", "confirmed": true, "tries": 0',
]


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_use_file_starts_a_complete_place_on_trial(
    flash: Path, boot: Boot, content: bytes
) -> None:
    deploy(flash, "b")
    (flash / "fw/use.json").write_bytes(content)
    assert boot() == ["app b"]
    assert said(flash) == {"use": "b", "confirmed": False, "tries": 1}


@pytest.mark.parametrize("tries", ['"x"', "-5", "null", "1e99", "99999999999", "[]", "2.5"])
def test_a_count_that_is_none_begins_anew(flash: Path, boot: Boot, tries: str) -> None:
    deploy(flash, "a")
    text = f'{{"use": "a", "confirmed": true, "tries": {tries}}}'
    (flash / "fw/use.json").write_text(text)
    assert boot() == ["app a"]
    assert said(flash) == {"use": "a", "confirmed": True, "tries": 1}


def test_a_lost_use_file_starts_a_complete_place_where_the_path_has_none(
    flash: Path, boot: Boot
) -> None:
    deploy(flash, "a")
    assert boot() == ["app a"]
    assert said(flash) == {"use": "a", "confirmed": False, "tries": 1}


def test_a_damaged_use_file_without_a_complete_place_leaves_the_search_path(
    flash: Path, boot: Boot
) -> None:
    deploy(flash, "")
    (flash / "fw").mkdir()
    (flash / "fw/use.json").write_text("{")
    assert boot() == ["app path"]


def test_the_maintenance_flag_gives_the_prompt_once(flash: Path, boot: Boot) -> None:
    deploy(flash, "a")
    use(flash, "a", confirmed=True)
    (flash / "fw/maintenance").write_bytes(b"maintenance")
    assert boot() == []
    assert not (flash / "fw/maintenance").exists()
    assert (flash / "reset.txt").read_bytes() == b"maintenance"
    assert said(flash)["tries"] == 0
    assert boot() == ["app a"]


def test_a_maintenance_flag_that_cannot_be_used_up_does_not_keep_the_meter_from_starting(
    flash: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    deploy(flash, "a")
    use(flash, "a", confirmed=True)
    (flash / "fw/maintenance").write_bytes(b"maintenance")
    monkeypatch.chdir(flash)
    module = loader(flash)

    def refused(*paths: str) -> None:
        raise OSError(28)

    monkeypatch.setattr(module.os, "rename", refused)
    monkeypatch.setattr(module.os, "remove", refused)
    with without_firmware():
        module.main()
    assert capsys.readouterr().out == "app a\n"


def test_a_place_that_cannot_be_imported_leaves_nothing_of_itself_behind(
    flash: Path, boot: Boot
) -> None:
    """Half of one firmware and half of another would be worse than either."""
    package = "from hushfw import part\ndef main(*reason):\n    print(part.PLACE)\n"
    for place, app in (("b", "from hushfw import part\n" + BROKEN), ("a", package)):
        deploy(flash, place, app=app)
        (flash / f"fw/{place}/hushfw/part.py").write_text(f"PLACE = '{place}'\n")
    use(flash, "b", confirmed=False)
    assert boot() == ["a"]


class Cut(BaseException):
    """The power is gone."""


def loader(flash: Path) -> ModuleType:
    """The loader as a module of this interpreter, so that its writes can be cut."""
    spec = importlib.util.spec_from_file_location("loader_under_test", flash / "main.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextlib.contextmanager
def without_firmware() -> Iterator[None]:
    """This interpreter has no firmware loaded within, and its own again after."""
    kept_path, kept_modules = list(sys.path), set(sys.modules)
    ours = {n: sys.modules.pop(n) for n in list(sys.modules) if n.split(".")[0] == "hushfw"}
    try:
        yield
    finally:
        sys.path[:] = kept_path
        for name in set(sys.modules) - kept_modules | {"hushfw", "hushfw.app"}:
            sys.modules.pop(name, None)
        sys.modules.update(ours)


class CutFile(io.StringIO):
    """Keeps the first `left` characters that are written to it, then the power is gone."""

    def __init__(self, path: str, left: int) -> None:
        super().__init__()
        self._path, self._left = Path(path), left
        self._path.write_text("")

    def write(self, text: str) -> int:
        kept = text[: self._left]
        self._left -= len(text)
        with self._path.open("a") as file:
            file.write(kept)
        if self._left < 0:
            raise Cut
        return len(text)


@pytest.mark.parametrize("tries", [0, MOST_TRIES])
def test_a_cut_at_every_byte_that_the_loader_writes_leaves_the_old_file_or_the_new(
    flash: Path, boot: Boot, monkeypatch: pytest.MonkeyPatch, tries: int
) -> None:
    """With three tries behind it the write is the one that changes places."""
    deploy(flash, "a")
    deploy(flash, "b")
    monkeypatch.chdir(flash)
    started = "app b" if tries < MOST_TRIES else "app a"
    size = len(json.dumps({"use": "b", "confirmed": False, "tries": 1}))
    for left in [*range(0, size, 9), size, None]:
        use(flash, "b", confirmed=False, tries=tries)
        before = said(flash)
        module = loader(flash)
        if left is None:
            monkeypatch.setattr(module.os, "rename", _cut)
        else:

            def cut_open(path: str, mode: str = "r", left: int = left) -> Any:
                return CutFile(path, left) if "w" in mode else open(path, mode)

            monkeypatch.setattr(module, "open", cut_open, raising=False)
            monkeypatch.setattr(module.os, "rename", _cut)
        with pytest.raises(Cut):
            module.main()
        monkeypatch.undo()
        monkeypatch.chdir(flash)
        assert said(flash) == before
        assert boot() == [started]


def _cut(*paths: str) -> None:
    raise Cut


def test_a_full_filesystem_does_not_keep_the_meter_from_starting(
    flash: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    deploy(flash, "a")
    use(flash, "a", confirmed=True)
    monkeypatch.chdir(flash)
    module = loader(flash)

    def full(path: str, mode: str = "r") -> Any:
        if "w" in mode:
            raise OSError(28)
        return open(path, mode)

    monkeypatch.setattr(module, "open", full, raising=False)
    with without_firmware():
        module.main()
    assert capsys.readouterr().out == "app a\n"
    assert said(flash) == {"use": "a", "confirmed": True, "tries": 0}


def test_the_loader_imports_standard_modules_only() -> None:
    text = main_script().read_text(encoding="utf-8")
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module))
    assert found == {"json", "os", "sys", "micropython"}
    assert "sys.exit" not in text
