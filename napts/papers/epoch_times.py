"""The NAPTS paper's table of seconds per epoch, beside records of its problem."""

import math
from collections.abc import Mapping

import pandas as pd

from napts.analysis.summary import COMPARISON_TABLES, sharing_notes, time_ratio
from napts.analysis.tables import SINGLE, Table, number, spread

WORKLOAD = "cifar10-cnn"
"""The paper's problem; its seconds say nothing about any other problem."""

PAPER_SECONDS: Mapping[str, float] = {
    "TR": 53.65,
    "NTR": 47.26,
    "APTS": 169.14,
    "APTSA": 152.39,
    "NAPTS": 115.88,
}
"""Seconds per epoch printed in the NAPTS paper, section 3: CIFAR-10, a CNN of 1.2 million
parameters, batch 1000, four A100. Seconds on other machines are comparable only as ratios."""


def epoch_times_table(runs: pd.DataFrame, frame: pd.DataFrame) -> Table | None:
    """Set the time ratios of the records beside those of the NAPTS paper.

    Args:
        runs: Frame of `runs_frame`, of one experiment and workload.
        frame: Frame of `comparison`; variants with a label of their own are not the paper's.

    Returns:
        The table; seconds are shown, but only ratios should be compared. None for problems other
        than the paper's, and if none of its methods was run.
    """
    if set(runs["workload"]) != {WORKLOAD} or not set(PAPER_SECONDS) & set(frame["method"]):
        return None
    rows = [
        [
            row["label"],
            str(row["n"]),
            spread(row, "seconds_per_epoch", number),
            number(PAPER_SECONDS.get(row["label"]), places=2),
            time_ratio(row, "TR"),
            number(_paper_ratio(row["label"], "TR"), places=2),
            time_ratio(row, "APTS"),
            number(_paper_ratio(row["label"], "APTS"), places=2),
        ]
        for row in frame.to_dict("records")
    ]
    columns = ["method", "n", "s/epoch", "paper", "vs TR", "paper", "vs APTS", "paper"]
    note = (
        "Paper: CIFAR-10, CNN of 1.2 million parameters, batch 1000, four A100, one subdomain "
        "each. Another machine and maybe another problem: compare ratios, not seconds. Ours: mean "
        f"[min, max] over n runs, ratios with 95 % intervals, paired by seed. {SINGLE}"
    )
    return Table(
        "Time per epoch beside the NAPTS paper", columns, rows, [note, *sharing_notes(runs)]
    )


def _paper_ratio(method: str, reference: str) -> float:
    return PAPER_SECONDS.get(method, math.nan) / PAPER_SECONDS[reference]


COMPARISON_TABLES.register("NAPTS paper", epoch_times_table)
