"""The built wheel, installed outside the checkout, carries all it needs and runs the same."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from hushmeter import __version__, assets

ROOT = Path(__file__).resolve().parents[1]


def run(*command: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs a command and shows what it said if it fails."""
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", **variables}
    done = subprocess.run(
        command, capture_output=True, cwd=cwd, env=environment, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built with the backend that is installed here, so without a network."""
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out), cwd=ROOT)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds nothing but the installed wheel."""
    target = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    run(*pip, "--target", str(target), str(wheel), cwd=target)
    return target


def test_the_wheel_holds_every_package_file_and_nothing_else(wheel: Path) -> None:
    expected = {"hushmeter/_assets/firmware/boot.py", "hushmeter/_assets/firmware/main.py"}
    for root, package in (("firmware", "hushfw"), ("host", "hushmeter")):
        for path in (ROOT / root / package).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                expected.add(path.relative_to(ROOT / root).as_posix())
    for path in (ROOT / "boards").rglob("*"):
        if path.is_file():
            expected.add(f"hushmeter/_assets/{path.relative_to(ROOT).as_posix()}")
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert names == expected


def test_the_version_has_one_source(wheel: Path) -> None:
    assert wheel.name.split("-")[1] == __version__


def test_doctor_runs_from_the_installed_wheel(site: Path, tmp_path: Path) -> None:
    command = str(site / "bin" / "hushmeter")
    done = run(command, "doctor", "--json", cwd=tmp_path, PYTHONPATH=str(site))
    report = json.loads(done.stdout)
    assert report["can_emulate"]
    assert Path(report["firmware"]["path"]).is_relative_to(site)
    assert report["images"]


def test_micropython_imports_the_firmware_of_the_installed_wheel(
    site: Path, tmp_path: Path
) -> None:
    script = (
        "import subprocess\n"
        "from hushmeter import assets\n"
        "from hushmeter.emulate.interpreter import find_micropython\n"
        "code = 'import hushfw, hushfw.core.errors; print(hushfw.__file__)'\n"
        "command = [str(find_micropython().path), '-c', code]\n"
        "subprocess.run(command, check=True, env=assets.micropython_environment())\n"
    )
    done = run(sys.executable, "-c", script, cwd=tmp_path, PYTHONPATH=str(site))
    assert Path(done.stdout.strip()).is_relative_to(site)


def test_checkout_and_wheel_flash_the_same_files(site: Path, tmp_path: Path) -> None:
    script = (
        "import json\n"
        "from hushmeter import assets\n"
        "files = assets.firmware_files().items()\n"
        "print(json.dumps({name: path.read_text() for name, path in files}))\n"
    )
    done = run(sys.executable, "-c", script, cwd=tmp_path, PYTHONPATH=str(site))
    here = {name: path.read_text() for name, path in assets.firmware_files().items()}
    assert json.loads(done.stdout) == here
    assert {"boot.py", "main.py", "hushfw/core/errors.py"} <= here.keys()
