"""Draw metric and loss by cost for the members of NAPTS below the paper's cost, and their rivals.

Usage: python reports/below_cost.py RECORDS OUT

Takes the sections whose experiment begins with "below-cost" and shows some of their methods; the
tables of time_to_accuracy.py show all.
"""

import sys
from pathlib import Path

from napts.analysis import load_collection
from napts.plotting.compare import cost_figure
from napts.plotting.provenance import provenance_of, save_figure
from napts.plotting.style import style

SHOWN = ("APTS", "NAPTS", "NAPTS quarter", "NAPTS light", "Adam 0.001", "Adam 0.003", "Adam 0.01")


def main(records: Path, out: Path) -> None:
    """Write one figure per section and print the names of the files."""
    for section in load_collection(records).sections:
        if not section.experiment.startswith("below-cost"):
            continue
        frame = section.epochs.query("label in @SHOWN")
        with style():
            figure = cost_figure(frame)
        columns = ["label", "seed", "epoch", "train_seconds_total", "pass_equivalents_total"]
        values = frame.filter(items=[*columns, "train_loss", section.metric.column("val")])
        origin = provenance_of(section, f"python reports/below_cost.py {records} {out}")
        for path in save_figure(figure, out, f"below-cost-{section.workload}", values, origin):
            print(path)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
