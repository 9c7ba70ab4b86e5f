"""Count the steps of trust-region methods of which no trial was accepted.

Usage: python reports/wholly_rejected.py RECORDS
"""

import sys
from collections import Counter
from pathlib import Path

from napts.analysis import load_collection
from napts.analysis.columns import floats, rows_with, trained

METHODS = ("TR", "NTR", "APTS", "APTSA", "NAPTS", "APTSW", "APTSD")


def main(records: Path) -> None:
    """Print one line per experiment and method that has such steps, and their sum."""
    steps: Counter[str] = Counter()
    rejected: Counter[str] = Counter()
    for section in load_collection(records).sections:
        for method in METHODS:
            rows = rows_with(trained(section.epochs), "method", [method])
            batches = floats(rows, "batches")
            name = f"{section.experiment} {method}"
            steps[name] += int(batches.sum())
            rejected[name] += int((batches - floats(rows, "accepted")).sum())
    for name, count in sorted(rejected.items()):
        if count:
            print(f"{name}: {count:,} of {steps[name]:,}")
    share = 100 * rejected.total() / steps.total()
    print(f"all: {rejected.total():,} of {steps.total():,} ({share:.1f} %)")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
