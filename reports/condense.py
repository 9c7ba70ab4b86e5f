"""Copy the part of a records folder that is worth committing.

Usage: python reports/condense.py [--pack] RECORDS TARGET

With --pack each experiment becomes one file, for sweeps of hundreds of runs.
"""

import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from napts.records import pack
from napts.records.condense import condense
from napts.records.packed import SUFFIX


def main() -> None:
    """Condense, and pack if asked to."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--pack"]
    if len(arguments) != 2:
        sys.exit(__doc__)
    source, target = map(Path, arguments)
    if "--pack" not in sys.argv:
        for path in condense(source, target):
            print(path)
        return
    with tempfile.TemporaryDirectory() as folder:
        by_experiment: dict[str, list[Path]] = defaultdict(list)
        for path in condense(source, folder):
            by_experiment[path.parent.name].append(path)
        for experiment, paths in by_experiment.items():
            print(pack(paths, target / f"{experiment}{SUFFIX}"))


if __name__ == "__main__":
    main()
