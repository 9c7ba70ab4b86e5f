"""Tables of the slides on finite sums: the cost of reaching a target, by every count."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from napts.analysis import Section
from napts.analysis.columns import floats, split, texts
from napts.analysis.labels import grouped
from napts.analysis.outcome import ENDED_BADLY
from napts.analysis.tables import Table, median_of, number
from napts.analysis.target import arrival

TARGETS = (("val_gap", 1e-6), ("val_gradient_norm", 1e-6))
"""Columns that must fall, and how far; these are ours, since the sources' tolerances are lost."""

COUNTS = {
    "epoch": "iterations",
    "backwards_total": "gradients",
    "hessians_total": "Hessians",
    "hessian_products_total": "products",
    "cg_iterations_total": "CG",
    "evaluations_total": "gradients + products",
    "train_seconds_total": "s",
}
"""Columns of the epochs frame, and of the table."""

_GISETTE: Mapping[str, tuple[float, float, float, float]] = {
    "TR": (16, 16, 16, 148),
    "ASTROM 1 %": (31, 32, 5.9, 47.2),
    "ASTROM 10 %": (16, 24, 10.1, 108.3),
    "ASTROM 25 %": (14, 24, 12.4, 125.2),
    "ASTROM 50 %": (13, 29, 14.8, 134.9),
    "SSN 1 %": (190, 190, 1.9, 1900),
    "SSN 10 %": (143, 143, 14.3, 1430),
    "SSN 25 %": (23, 23, 5.75, 230),
}
"""ASTROM's slides, on Gisette: iterations, gradients, Hessians, CG. The heading of SSN's last
column is lost, and SSN's CG is not weighted by the subset."""

_GISETTE_LIKE = ("mnist49-logistic", "gisette-logistic")


def finite_sum_tables(section: Section) -> Sequence[Table]:
    """Return the cost of reaching each of `TARGETS`, for methods that count it."""
    frame = section.epochs
    if "hessian_products_total" not in frame:
        return []
    found = [_cost_table(frame, metric, value) for metric, value in TARGETS if metric in frame]
    return found + ([_published()] if section.workload in _GISETTE_LIKE else [])


def _cost_table(frame: pd.DataFrame, metric: str, target: float) -> Table:
    name = metric.removeprefix("val_").replace("_", " ")
    rows = [[label, *_cells(group, metric, target)] for _, label, group in grouped(frame)]
    return Table(
        f"Cost of a {name} of {target:g}",
        ["method", "reached", *COUNTS.values(), "final share %"],
        rows,
        [
            "Median [smallest, largest] over the runs; one that ended without getting there counts "
            "as infinite in the median and is not in the range. "
            "Gradients, Hessians and products are weighted by their share of the samples, CG "
            "iterations are not; gradients of line searches are in. Final share: samples in the "
            "smallest subset there."
        ],
    )


def _cells(group: pd.DataFrame, metric: str, target: float) -> list[str]:
    runs = split(group, "seed")
    there = [costs for run in runs if (costs := _costs(run, metric, target)) is not None]
    return [
        f"{len(there)}/{len(runs)}",
        *(median_of([costs[name] for costs in there], len(runs)) for name in COUNTS),
        median_of([100 * costs["share"] for costs in there]),
    ]


def _costs(run: pd.DataFrame, metric: str, target: float) -> dict[str, float] | None:
    """Return what one run had spent when it got there; ``None`` if it never did."""
    there = arrival(run, "epoch", metric, target, rising=False)
    if not there.reached or texts(run, "state")[0] in ENDED_BADLY:
        return None
    row = int(np.flatnonzero(floats(run, "epoch") == there.time)[0])
    return {name: float(floats(run, name)[row]) for name in (*COUNTS,)} | {
        "share": float(floats(run, "sample_fraction")[row])
    }


def _published() -> Table:
    rows = [[label, *map(number, numbers)] for label, numbers in _GISETTE.items()]
    return Table(
        "As published for Gisette",
        ["method", "iterations", "gradients", "Hessians", "CG"],
        rows,
        [
            "ASTROM's slides: 6,000 samples with 5,000 features, other data than those of the "
            "stand-in; tolerance and penalty are lost. TR is our TRNewton. SSN with fixed steps "
            "of 0.075, 0.1 and 0.5, its CG iterations not weighted by the subset. Nothing is "
            "judged by these numbers."
        ],
    )
