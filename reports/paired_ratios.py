"""Print ratios between methods, paired by seed, with 95 % intervals.

Usage: python reports/paired_ratios.py RECORDS
"""

import sys
from pathlib import Path

from napts.analysis import load_collection, paired_ratio

PAIRS = (("NAPTS", "APTS"), ("NTR", "TR"), ("NAPTS", "Adam"), ("NAPTS", "SGD"))
COLUMNS = ("cpu_seconds_per_epoch", "rejections_per_batch", "backwards_per_batch")


def main(records: Path) -> None:
    """Print one line per workload, column and pair that the records have."""
    for section in load_collection(records).sections:
        by_method = {str(name): runs for name, runs in section.runs.groupby("method")}
        for column in COLUMNS:
            for first, second in PAIRS:
                if first not in by_method or second not in by_method:
                    continue
                values = [
                    dict(zip(by_method[m]["seed"], by_method[m][column], strict=True))
                    for m in (first, second)
                ]
                if not any(values[1].values()):  # baselines reject nothing
                    continue
                ratio = paired_ratio(*values)
                print(
                    f"{section.workload:14} {column:22} {first}/{second:6} n={ratio.n} "
                    f"{ratio.value:.3f} [{ratio.low:.3f}, {ratio.high:.3f}]"
                )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
