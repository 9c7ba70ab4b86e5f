"""Copy the part of a records folder that is worth committing.

Usage: python reports/condense.py [--pack] RECORDS TARGET

With --pack each experiment becomes one file, for sweeps of hundreds of runs.
"""

import sys
from pathlib import Path

from napts.records.condense import condense, condense_packed


def main() -> None:
    """Condense, and pack if asked to."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--pack"]
    if len(arguments) != 2:
        sys.exit(__doc__)
    source, target = map(Path, arguments)
    for path in (condense_packed if "--pack" in sys.argv else condense)(source, target):
        print(path)


if __name__ == "__main__":
    main()
