"""The command line: parse, call, print.

Everything heavy is imported inside the commands, so that ``napts --help`` is immediate. A user's
mistake is reported in one line, with exit code 2.
"""

import sys
from typing import TYPE_CHECKING, Any

from napts import lifeline
from napts.extras import MissingExtra, need

if TYPE_CHECKING:
    from napts.cli.commands import main

__all__ = ["main", "program"]


def program() -> None:
    """Run the command line; a missing package gives one line and exit code 2."""
    lifeline.follow()  # a rank of a run
    try:
        need("click", "rich")
        from napts.cli.commands import main

        main()
    except MissingExtra as error:
        print(f"napts: {error}", file=sys.stderr)
        sys.exit(2)


def __getattr__(name: str) -> Any:
    if name != "main":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from napts.cli.commands import main

    return main
