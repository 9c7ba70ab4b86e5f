"""What the length of the memory changes: runs that differ in nothing but the window."""

import re

import numpy as np
import pandas as pd

from napts.analysis.collection import Section
from napts.analysis.columns import floats, rows_where, rows_with, texts
from napts.analysis.outcome import by_outcome

QUANTITIES = {
    "rejections_per_batch": "rejections per batch",
    "final_train_loss": "mean loss per sample",
    "final_val_accuracy": "accuracy / %",
}
"""Columns of the runs frame that are compared, and their names."""


def window_frame(section: Section) -> pd.DataFrame:
    """Return one row per run of NTR and NAPTS that changes nothing but the window.

    Args:
        section: Runs whose labels are the method's name, with ``window=...`` where it is changed.

    Returns:
        The columns ``method``, ``window``, ``seed`` and `QUANTITIES`, final values as outcomes
        (see `napts.analysis.outcome`); empty unless a method has several windows.
    """
    windows = {run.run_key: run.spec["optimizer"].get("window") for run in section.records}
    runs = section.runs
    pairs = zip(texts(runs, "method"), texts(runs, "label"), strict=True)
    plain = np.array(
        [
            method in ("NTR", "NAPTS") and bool(re.fullmatch(rf"{method}( window=\d+)?", label))
            for method, label in pairs
        ]
    )
    frame = rows_where(runs, plain)
    frame = frame.assign(window=[windows[key] for key in frame["run_key"]]).dropna(subset="window")
    several = [m for m, group in frame.groupby("method") if len(set(floats(group, "window"))) > 1]
    finals = {name: by_outcome(frame, name) for name in QUANTITIES if name.startswith("final_")}
    frame = frame.assign(**finals)
    kept = rows_with(frame, "method", [str(method) for method in several])
    return kept.filter(items=["method", "window", "seed", *QUANTITIES]).reset_index(drop=True)
