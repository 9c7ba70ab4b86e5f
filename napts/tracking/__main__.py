"""The program that follows a records folder beside a training process.

``python -m napts.tracking RECORDS`` ends after a last pass once the process that started it closes
the pipe to its standard input, or dies.
"""

import argparse
import os
import select
import sys
from collections.abc import Callable
from pathlib import Path

from napts.tracking.watcher import INTERVAL_S, watch

BEHIND = 3
"""Exit status when MLflow does not hold everything that the records hold."""

_NICENESS = 10


def _parent_is_gone(first_parent: int) -> Callable[[], bool]:
    """Return a test for the end of the training: its pipe to us is closed, or it died."""

    def gone() -> bool:
        if os.getppid() != first_parent:
            return True
        readable, _, _ = select.select([sys.stdin.fileno()], [], [], 0)
        return bool(readable) and not os.read(sys.stdin.fileno(), 1)

    return gone


def main(arguments: list[str] | None = None) -> int:
    """Follow a records folder until standard input is closed.

    Args:
        arguments: Command line without the program's name; None for the real one.

    Returns:
        0 if MLflow holds everything that the records hold, otherwise `BEHIND`.
    """
    parser = argparse.ArgumentParser(prog="python -m napts.tracking")
    parser.add_argument("records", type=Path)
    parser.add_argument("--tracking-uri")
    parser.add_argument("--interval-s", type=float, default=INTERVAL_S)
    options = parser.parse_args(arguments)
    os.nice(_NICENESS)
    until = _parent_is_gone(os.getppid())
    result = watch(options.records, options.tracking_uri, options.interval_s, until)
    return BEHIND if result.behind else 0


if __name__ == "__main__":
    sys.exit(main())
