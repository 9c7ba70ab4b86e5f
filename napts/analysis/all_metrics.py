"""Every metric of a comparison: its columns, and the table of those other than the main one."""

import pandas as pd

from napts.analysis.measured import metric_of
from napts.analysis.tables import Table, form_of, number, spread
from napts.records.columns import metrics_in
from napts.records.metric import LOSS, Metric


def other_ends(runs: pd.DataFrame) -> list[str]:
    """Return the columns of the runs frame with final values of metrics other than the main one.

    Args:
        runs: Frame of `napts.analysis.runs_frame`.

    Returns:
        For example ``["final_val_rmse", "final_test_rmse"]``; empty for most problems.
    """
    return [f"final_{part}_{name}" for name in _others(runs) for part in ("val", "test")]


def metrics_table(runs: pd.DataFrame, frame: pd.DataFrame) -> Table | None:
    """Return the table of all metrics, or None if the runs have only that of the comparison.

    Args:
        runs: Frame of `napts.analysis.runs_frame`, of one experiment and workload.
        frame: Its `napts.analysis.comparison`.
    """
    others = _others(runs)
    if not others:
        return None
    main = metric_of(runs)
    names = list(dict.fromkeys((main.name, *others, LOSS.name)))
    rows = [_row(row, name, main) for name in names for row in frame.to_dict("records")]
    return Table(
        "All metrics",
        ["method", "metric", "n", "validation", "test"],
        rows,
        [
            f"Mean [min, max] at the end; n: runs that are in it. Methods are compared by "
            f"{main.label}. In it and in the loss a run that failed or diverged counts as the "
            "worst; it has no value of the others, whose direction is not known."
        ],
        words=("metric",),
    )


def _row(row: dict[str, object], name: str, main: Metric) -> list[str]:
    form = form_of(main) if name == main.name else number
    columns = [f"final_{part}_{name}" for part in ("val", "test")]
    heading = main.heading if name == main.name else name.replace("_", " ")
    counts = dict.fromkeys(str(row[f"{column}_n"]) for column in columns)
    values = [spread(row, column, form) for column in columns]
    return [str(row["label"]), heading, ", ".join(counts), *values]


def _others(runs: pd.DataFrame) -> list[str]:
    ends = [name.removeprefix("final_") for name in map(str, runs.columns) if "final_" in name]
    return [name for name in metrics_in([dict.fromkeys(ends)]) if name != metric_of(runs).name]
