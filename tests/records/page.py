"""The page on the run directory, made from the table of columns."""

from collections.abc import Iterable, Iterator

from napts.records.columns import FINAL, TARGET, Column, columns_of
from napts.records.layout import EPOCHS, RESTARTS, STATUS, STEPS

_INTRODUCTION = """# The run directory

One run is one folder `<records>/<experiment>/<run key>/` of plain JSON files, the only truth about
it: MLflow, tables and figures are made from it. This page is made from the table in
`napts/records/columns.py` (`python -m tests.records.page > docs/records.md`), and a test compares
both with what runs write.

Names with `<metric>` stand for one column per metric of the problem: `val_accuracy`, `val_rmse`.
Every value may be null, which means that there is none. Losses and metrics that are not finite are
the strings `"inf"`, `"-inf"` and `"nan"`, since a diverged loss is a result; other numbers that are
not finite are null. Columns marked * differ between two runs of the same numbers.
Rows have the columns that are said to be of finite sums only where the method counts them.

## spec.json

What the run is: `schema`, `run_key`, `experiment`, `label`, the validated `spec`, and

- `primary`: the metric by which runs are compared, `{"name": "rmse", "goal": "min", "fraction":
  false}`. The goal is `max` or `min`; fractions lie in [0, 1] and are shown in percent. Tables,
  figures, targets and tuning follow it. A run that failed or diverged counts as the worst that the
  metric can be: the wrong end of [0, 1] for fractions, else plus or minus infinity. Records that do
  not say were compared by accuracy.
- `kind`: what the run is for, `comparison`, `tuning` or `calibration`. In records that do not say,
  the experiment's name does: `tune-...`, `calibration...`.

Neither is part of the run key.

## environment.json

What it ran on: revision of the program, versions, processor, accelerator, digest of the data.
"""

_FILES = (
    (EPOCHS, "One row for each epoch; row 0 is the evaluation before training."),
    (STEPS, "One row for each step, unless `execution.record_steps` is false."),
    (
        RESTARTS,
        "One row for each attempt. Rows of the files above that an attempt took back are void.",
    ),
    (STATUS, "How far the run is; replaced after every epoch."),
    (FINAL, "What a run that is done ended with."),
    (TARGET, "How near a run with a target in its budget came to it, and what that cost."),
)


def page() -> str:
    """Return the page."""
    return "\n".join([_INTRODUCTION, *(line for file in _FILES for line in _section(*file))])


def _section(file: str, meaning: str) -> Iterator[str]:
    yield from (f"## {file}", "", meaning, "")
    yield from ("| column | type | unit | meaning | since |", "|---|---|---|---|---|")
    yield from _rows(columns_of(file))
    yield ""


def _rows(columns: Iterable[Column]) -> Iterator[str]:
    for each in columns:
        mark = " *" if each.measured else ""
        yield f"| `{each.name}`{mark} | {each.type} | {each.unit} | {each.meaning} | {each.since} |"


if __name__ == "__main__":
    print(page(), end="")
