"""What the commands share: options, exit codes, and how mistakes are reported."""

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from napts.text import one_line

if TYPE_CHECKING:
    from napts.records import Damage

_USAGE = 130
"""Characters that a message about an argument may have."""

FAILED, BAD_INPUT, BUSY, INTERRUPTED = 1, 2, 3, 130

RECORDS = click.option(
    "--records",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("records"),
    show_default=True,
    help="Folder of all run directories.",
)
TRACKING_URI = click.option(
    "--tracking-uri", help="MLflow's address; by default a SQLite store inside the records."
)
DATA_ROOT = click.option(
    "--data-root",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of data sets in torchvision's layout; by default NAPTS_DATA, then a cache.",
)
OVERRIDES = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Replace a value: budget.epochs=3, ...",
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")


class Seconds(click.FloatRange):
    """A time in seconds; refuses NaN, which no range check excludes."""

    name = "seconds"

    def __init__(self) -> None:
        super().__init__(0.1, 86_400.0)

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the number."""
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value} is not in the range {self._describe_range()}.", param, ctx)
        return number


class Program(click.Group):
    """The group of all commands: any problem with the input is reported in one line."""

    def main(self, *args: Any, **options: Any) -> Any:
        """Run a command and end the process with its exit code, as click's own method does.

        Wrong arguments, and anything the operating system refuses (a full disk, a folder without
        permission), give one line and exit code 2.
        """
        if not options.pop("standalone_mode", True):
            return super().main(*args, standalone_mode=False, **options)
        try:
            code = super().main(*args, standalone_mode=False, **options)
        except click.ClickException as error:
            sys.exit(_told(error))
        except click.Abort:
            sys.exit(FAILED)
        except OSError as error:
            say(reason_of(error))
            sys.exit(BAD_INPUT)
        sys.exit(code if isinstance(code, int) else 0)


def reason_of(error: OSError) -> str:
    """Return what the operating system refused, and where."""
    if not error.strerror:
        return str(error)
    return f"{error.filename}: {error.strerror}" if error.filename else error.strerror


def _told(error: click.ClickException) -> int:
    """Say what is wrong with the arguments; if there are none, show the help."""
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        return error.exit_code
    context = error.ctx if isinstance(error, click.UsageError) else None
    program = context.command_path if context is not None else "napts"
    said = one_line(error.format_message().rstrip("."), _USAGE)
    say(f"{said}; see {one_line(program, 30)} --help")
    return error.exit_code


def fail(message: object, code: int = BAD_INPUT) -> click.exceptions.Exit:
    """Say on standard error what is wrong, and return the exception that ends the command.

    Args:
        message: One line per problem; each is shortened to what a terminal shows.
        code: Exit code.
    """
    say(reason_of(message) if isinstance(message, OSError) else message)
    return click.exceptions.Exit(code)


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: ``"1 run"``, ``"1,200 runs"``.

    Args:
        number: The number.
        noun: The noun in the singular.
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def say(message: object) -> None:
    """Say something on standard error, under the program's name.

    Args:
        message: One line or several; each is shortened, and hidden characters are spelled out.
    """
    for line in f"napts: {message}".splitlines():
        click.echo(one_line(line), err=True)


class LeftOut:
    """Reports on standard error each run that is left out because its records are damaged, once.

    It is true once it has reported something; the command then ends with `FAILED`.
    """

    def __init__(self) -> None:
        self._told: set[Damage] = set()

    def __call__(self, damage: "Damage") -> None:
        """Report a run.

        Args:
            damage: The run, and what is wrong with it.
        """
        if damage not in self._told:
            say(f"left out: {damage}")
        self._told.add(damage)

    def __bool__(self) -> bool:
        return bool(self._told)


def _import_all(context: click.Context, parameter: click.Parameter, names: tuple[str, ...]) -> None:
    """Import the named files and modules, before the command reads anything."""
    if not names:
        return
    from napts.experiment.plugins.loading import PluginError, load

    try:
        load(names, say)
    except PluginError as error:
        raise fail(error) from None


IMPORTS = click.option(
    "--import",
    "imports",
    multiple=True,
    metavar="FILE_OR_MODULE",
    expose_value=False,
    callback=_import_all,
    help="Import problems and methods of your own first; repeatable.",
)
