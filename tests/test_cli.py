"""The command line: one line for an error, an example in every help text, stable exit codes."""

import io
import json
import os
import subprocess
import sys
from email.message import Message
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from hushfw.core.errors import HushError
from hushmeter import __version__
from hushmeter.cli import COMMANDS, Commands, Refusal, main
from hushmeter.cli.doctor import examine, missing_packages
from hushmeter.errors import HushmeterError


@pytest.fixture
def runner() -> CliRunner:
    return CliRunner()


def raising(error: Exception) -> click.Group:
    """The real group with one command that raises this."""

    class OneCommand(Commands):
        def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
            def fail() -> None:
                raise error

            return click.Command(cmd_name, callback=fail)

    return OneCommand("hushmeter", entries=COMMANDS)


def test_help_lists_every_command_without_importing_any() -> None:
    script = (
        "import sys; from click.testing import CliRunner; from hushmeter.cli import main\n"
        "print(CliRunner().invoke(main, ['--help']).output)\n"
        "print([name for name in sys.modules if name.startswith('hushmeter.cli.')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert all(f"\n  {name} " in done.stdout for name in COMMANDS)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_help_text_has_an_example(runner: CliRunner, name: str) -> None:
    result = runner.invoke(main, [name, "--help"])
    assert result.exit_code == 0
    example = result.output.partition("Example:\n")[2].splitlines()
    assert example and example[0].strip().startswith(f"hushmeter {name}")


def commands() -> list[list[str]]:
    """The words of every command, those of groups too."""
    found = []
    for name in sorted(COMMANDS):
        command = main.get_command(click.Context(main), name)
        if isinstance(command, click.Group):
            found += [[name, part] for part in command.list_commands(click.Context(command))]
        else:
            found.append([name])
    return found


HANDS_OVER = ["hil", "run"]
"""Its output and exit code are pytest's; the run is kept as a JSON file."""


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_can_speak_json(runner: CliRunner, words: list[str]) -> None:
    if words == HANDS_OVER:
        assert "--results" in runner.invoke(main, [*words, "--help"]).output
        return
    assert "--json" in runner.invoke(main, [*words, "--help"]).output


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_commands_help_has_an_example(runner: CliRunner, words: list[str]) -> None:
    text = runner.invoke(main, [*words, "--help"]).output.replace("Examples:\n", "Example:\n")
    example = text.partition("Example:\n")[2]
    assert example.strip().startswith(f"hushmeter {' '.join(words)}")


def test_the_version_is_the_firmwares(runner: CliRunner) -> None:
    result = runner.invoke(main, ["--version"])
    assert result.exit_code == 0
    assert __version__ in result.output


@pytest.mark.parametrize(
    ("error", "lines"),
    [
        (HushmeterError("no such home"), ["error: no such home"]),
        (
            HushmeterError("no such home", hint="try h000"),
            ["error: no such home", "hint: try h000"],
        ),
        (HushError("bad_config", "slot_s is 0"), ["error: bad_config: slot_s is 0"]),
        (OSError(28, "No space left on device", "x.db"), ["error: x.db: No space left on device"]),
    ],
)
def test_an_error_is_one_line_and_exit_code_2(
    runner: CliRunner, error: Exception, lines: list[str]
) -> None:
    result = runner.invoke(raising(error), ["any"])
    assert result.exit_code == 2
    assert result.stderr.splitlines() == lines
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("words", "said", "path"),
    [
        (["leakage", "single", "--dist", "0.5,0.5", "--capacity", "2.5"], "2.5", "leakage single"),
        (["leakage", "cascade", "--policies", "foo"], "'foo'", "leakage cascade"),
        (["leakage", "rate", "--policy", "optimal"], "--dist", "leakage rate"),
        (["leakage", "rate", "--no-such"], "--no-such", "leakage rate"),
        (["leakage", "singel"], "'singel'", "leakage"),
        (["demo", "too", "many"], "too", "demo"),
        (["no-such"], "'no-such'", ""),
        (["--no-such"], "--no-such", ""),
    ],
)
def test_words_that_a_command_does_not_take_are_one_line_and_a_hint(
    runner: CliRunner, words: list[str], said: str, path: str
) -> None:
    result = runner.invoke(main, words)
    assert result.exit_code == 2 and not result.stdout
    error, hint = result.stderr.splitlines()
    assert error.startswith("error: ") and said in error
    assert hint == f"hint: {' '.join(['hushmeter', *path.split(), '--help'])}"


@pytest.mark.parametrize("words", [[], ["leakage"]])
def test_a_group_without_a_command_shows_its_help(runner: CliRunner, words: list[str]) -> None:
    assert "Commands:" in runner.invoke(main, words).output


def test_a_defect_is_not_dressed_up_as_the_users_error(runner: CliRunner) -> None:
    result = runner.invoke(raising(ZeroDivisionError("a defect")), ["any"])
    assert isinstance(result.exception, ZeroDivisionError)


def test_an_unknown_command_is_a_usage_error(runner: CliRunner) -> None:
    result = runner.invoke(main, ["dance"])
    assert result.exit_code == 2
    assert "dance" in result.stderr


def test_doctor_reports_what_is_here(runner: CliRunner) -> None:
    result = runner.invoke(main, ["doctor", "--json"])
    report = json.loads(result.output)
    assert report["hushmeter"] == __version__
    assert report["interpreter"]["ok"]
    assert report["can_emulate"] == report["firmware"]["ok"]
    assert result.exit_code == (0 if report["can_emulate"] else 1)
    states = {image["state"] for image in report["images"]}
    assert states <= {"at hand", "missing", "damaged", "not accepted"}


def test_doctor_says_the_same_to_people(runner: CliRunner) -> None:
    report = examine()
    output = runner.invoke(main, ["doctor"]).output
    assert report["interpreter"]["path"] in output
    assert report["interpreter"]["origin"] in output
    assert all(image["path"] in output for image in report["images"])


def test_doctor_fails_and_says_why_when_no_street_can_be_emulated(
    runner: CliRunner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HUSHMETER_MICROPYTHON", str(tmp_path / "absent"))
    result = runner.invoke(main, ["doctor"])
    assert result.exit_code == 1
    assert "HUSHMETER_MICROPYTHON names" in result.output
    assert "cannot be emulated" in result.output
    as_json = runner.invoke(main, ["doctor", "--json"])
    assert as_json.exit_code == 1
    assert json.loads(as_json.output)["interpreter"]["ok"] is False


def test_doctor_reports_a_port_that_is_not_there(runner: CliRunner, tmp_path: Path) -> None:
    port = str(tmp_path / "ttyNONE")
    result = runner.invoke(main, ["doctor", "--json", "--port", port])
    report = json.loads(result.output)
    assert result.exit_code == 1
    assert report["port"]["ok"] is False
    assert report["port"]["error"] and report["port"]["hint"]


def test_doctor_names_the_packages_that_an_extra_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    metadata = Message()
    metadata["Provides-Extra"] = "fast"
    metadata["Provides-Extra"] = "browser"
    metadata["Requires-Dist"] = "click"
    metadata["Requires-Dist"] = "no-such-package-here>=2; extra == 'fast'"
    metadata["Requires-Dist"] = "not-for-this-system; sys_platform == 'none' and extra == 'fast'"
    metadata["Requires-Dist"] = "click; extra == 'browser'"
    monkeypatch.setattr("importlib.metadata.metadata", lambda name: metadata)
    assert missing_packages() == {"fast": ["no-such-package-here"], "browser": []}


def test_image_says_where_it_looks(
    runner: CliRunner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HUSHMETER_CACHE", str(tmp_path))
    result = runner.invoke(main, ["image", "--json"])
    rows = json.loads(result.output)["images"]
    assert result.exit_code == 1
    assert rows and all(row["state"] == "missing" for row in rows)
    assert all(row["path"].startswith(str(tmp_path / "images")) for row in rows)


def test_image_of_a_board_that_runs_none_is_refused(runner: CliRunner) -> None:
    result = runner.invoke(main, ["image", "unix"])
    assert result.exit_code == 2
    assert result.stderr.startswith("error: board unix runs no image")


def test_an_error_cannot_steer_the_terminal() -> None:
    said = io.StringIO()
    Refusal("bad \x1b[2J board", hint="one\ntwo\x07").show(said)
    assert said.getvalue() == "error: bad \ufffd[2J board\nhint: one\ntwo\ufffd\n"
