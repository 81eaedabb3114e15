"""The command ``hushmeter``: parses, calls, prints; one file a command group.

A command's module is imported when the command is called, so that ``hushmeter --help`` starts at
once and a command that needs an extra does not trouble the others. Hence the table of modules and
one-line summaries here.
"""

import errno
import importlib
import sys
from typing import IO, Any, NamedTuple

import click

from hushfw.core.errors import HushError
from hushmeter import __version__
from hushmeter.errors import HushmeterError
from hushmeter.printable import printable


class Entry(NamedTuple):
    """Where a command lies: a module of this package, the object in it, and its summary."""

    module: str
    attribute: str
    summary: str


COMMANDS = {
    "aggregate": Entry("aggregate", "aggregate", "Add up streets behind an MQTT broker."),
    "attack": Entry("attack", "attack", "Play attacks on a street, undefended and defended."),
    "authority": Entry("authority", "authority", "Make a street's authority key, or show it."),
    "bill": Entry("bill", "bill", "Make bills that anybody can check, from hidden readings."),
    "boards": Entry("boards", "boards", "List the boards, with what was checked of each."),
    "bridge": Entry("bridge", "bridge", "Carry serial meters to an MQTT broker."),
    "calibrate": Entry("calibrate", "calibrate", "Correct a sensor by a reference instrument."),
    "demo": Entry("emulate", "demo", "Show a day of an emulated street, with a report."),
    "deploy": Entry("deploy", "deploy", "Put the firmware onto a board."),
    "doctor": Entry("doctor", "doctor", "Say what is wrong, here or with a board."),
    "emulate": Entry("emulate", "emulate", "Run a street of emulated meters."),
    "flash": Entry("flash", "flash", "Put MicroPython onto a board."),
    "hide": Entry("hide", "hide", "Hide a home's load behind a battery; measure and attack it."),
    "hil": Entry("hil", "hil", "Run the board suite, or show its runs."),
    "design": Entry("design", "design", "Write the policy that leaks least, for a meter."),
    "homes": Entry("homes", "homes", "Make the loads of synthetic homes, with the truth."),
    "image": Entry("image", "image", "Say where a board's MicroPython image is, or fetch it."),
    "leakage": Entry("leakage", "leakage", "Say how many bits leak, with bounds and certificates."),
    "load-test": Entry("load_test", "load_test", "Load the street service, and check its totals."),
    "ledger": Entry("ledger", "ledger", "Show what a meter's reports have spent."),
    "market": Entry("market", "market", "Trade on a local market that nobody can spy on."),
    "monitor": Entry("monitor", "monitor", "Show what a meter says, live."),
    "paillier": Entry("paillier", "paillier", "Make a home's key for encrypted readings."),
    "provision": Entry("provision", "provision", "Make a board a meter of a street."),
    "serve": Entry("serve", "serve", "Show live pages: a home's own, and the operator's."),
    "roster": Entry("roster", "roster", "Show, check or sign a street's rosters."),
    "study": Entry("study", "study", "Run a publication's experiments again, into one page."),
}


class Refusal(click.ClickException):
    """An error that the user can mend: one line, perhaps a hint, and exit code 2."""

    exit_code = 2

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint

    def show(self, file: IO[Any] | None = None) -> None:
        """Prints the line and the hint on standard error."""
        text = f"error: {self.message}" + (f"\nhint: {self.hint}" if self.hint else "")
        click.echo(printable(text, keep="\n"), file=file or sys.stderr)


class LazyGroup(click.Group):
    """A group whose commands are imported from this package when they are called."""

    def __init__(self, *args: Any, entries: dict[str, Entry], **options: Any) -> None:
        super().__init__(*args, **options)
        self.entries = entries

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names in the table."""
        return sorted(self.entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name; imports its module."""
        entry = self.entries.get(cmd_name)
        if entry is None:
            return None
        module = importlib.import_module(f"{__name__}.{entry.module}")
        command: click.Command = getattr(module, entry.attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands for the help text, from the table alone."""
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, self.entries[name].summary) for name in sorted(self.entries)]
            )


def misused(error: click.UsageError) -> Refusal:
    """What click says of words that it does not take, in one line, and which --help to read."""
    path = "hushmeter"
    if error.ctx is not None:
        root = error.ctx.find_root().command_path
        path += error.ctx.command_path.removeprefix(root)
    message = " ".join(error.format_message().split())
    return Refusal(message, f"{path} --help")


class Commands(LazyGroup):
    """The whole program."""

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """Reads the words before the command."""
        try:
            return super().make_context(*args, **extra)
        except click.exceptions.NoArgsIsHelpError:
            raise
        except click.UsageError as error:
            raise misused(error) from error

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command; turns the two root errors and the system's into one line.

        And click's own; a group without a command shows its help, as click does.
        """
        try:
            return super().invoke(ctx)
        except click.exceptions.NoArgsIsHelpError:
            raise
        except click.UsageError as error:
            raise misused(error) from error
        except HushmeterError as error:
            raise Refusal(error.message, error.hint) from error
        except HushError as error:
            raise Refusal(str(error)) from error
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise
            where = f"{error.filename}: " if error.filename is not None else ""
            raise Refusal(f"{where}{error.strerror or error}") from error


@click.group(
    cls=Commands, entries=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(__version__, prog_name="hushmeter")
def main() -> None:
    """Private smart meters: emulate a street, look at a board, read the reports.

    A research prototype. Every command has its own --help with an example.

    \b
    Example:
      hushmeter demo --out out/demo
    """
