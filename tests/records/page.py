"""The page on the run directory, made from the table of columns."""

from collections.abc import Iterable, Iterator

from napts.records.columns import FINAL, TARGET, Column, columns_of
from napts.records.layout import EPOCHS, MERGED, RESTARTS, STATUS, STEPS
from napts.records.thinning import LONG, RATIO, WHOLE

_INTRODUCTION = """# The run directory

One run is one folder `<records>/<experiment>/<run key>/` of plain JSON files, the single source of
truth: MLflow, tables and figures are made from it. This page is made from the table in
`napts/records/columns.py` (`python -m tests.records.page > docs/reference/records.md`), and a test
compares both with what runs write.

Files of a later version of the format (`schema` above 2, in any file that names one) are refused in
one line, and nothing is touched.

Names with `<metric>` stand for one column per metric of the problem: `val_accuracy`, `val_rmse`.
Every value may be null, which means that there is none. Losses and metrics that are not finite are
the strings `"inf"`, `"-inf"` and `"nan"`, since a diverged loss is a result; other numbers that are
not finite are null. Columns marked * differ even between two runs with the same results. Columns
described as those of finite sums, levels or quasi-Newton methods are present only if the method
counts them.

## spec.json

What the run is: `schema`, `run_key`, `experiment`, `label`, the validated `spec`, and

- `primary`: the metric by which runs are compared, `{"name": "rmse", "goal": "min", "fraction":
  false}`. The goal is `max` or `min`; fractions lie in [0, 1] and are shown in percent. Tables,
  figures, targets and tuning follow it. A run that failed or diverged counts as the worst possible
  value of the metric: the wrong end of [0, 1] for fractions, otherwise plus or minus infinity.
  Records without this entry were compared by accuracy.
- `kind`: what the run is for, `comparison`, `tuning` or `calibration`. In records without it, the
  experiment's name decides: `tune-...`, `calibration...`.
- `thinned`: in a thinned copy (see below), the medians of `train_seconds` and `cpu_seconds` over
  all epochs of the run except the first.

None of them is part of the run key.

## environment.json

What it ran on: revision of the program, versions, processor, accelerator, digest of the data.
`gpu_id` is a digest of the GPU's identifier. It shows which runs shared a GPU at the same time; no
claim about times is judged by the seconds of such runs.

## kept.npz

Arrays that the problem keeps of a finished run, for pictures alone: the solution of a differential
equation on the test grid, say. Most problems keep none. Nothing else depends on this file, packed
and condensed records leave it out, and one that cannot be read counts as absent.
"""

_VERSIONS = """## Versions of the format

`schema` is the version of the format. Runs write version 1, which is part of every run key; only
thinned copies have version 2, so that programs that do not know them refuse them. Within one
version:

- files and columns may be added; a reader passes on columns that it does not know, so that older
  programs can read newer records;
- no column changes its meaning, type or unit, and none is removed; what older records lack is null;
- a later option or key of a spec has one value that stands for its absence, with which all earlier
  runs were made (`napts/records/absent_options.py`). With that value it is left out of the run key,
  so keys never change, and finished runs are not repeated.

A change that an older reader would misunderstand raises the version. Programs read all versions up
to their own, and refuse later ones.
"""

_THINNED = f"""## Condensed, packed and thinned copies

`napts records condense` copies runs without steps, checkpoints, process numbers and names of
computers. `napts records pack` makes one file `<experiment>.runs.jsonl.gz` of the copies, with a
line for each run, and `napts records unpack` turns that into run directories again. All rows of
epochs are kept, unless `--thin` says otherwise.

With `--thin`, a run that has ended, has more than {LONG} epochs and never more than one step in an
epoch (because all data are one batch, say) keeps only some of its rows. In these, what describes
the end of an epoch (losses, metrics, radius, `elapsed_seconds`, `time`, ...) is unchanged. What
adds up (columns with the unit "per epoch", and seconds except `elapsed_seconds`) is the sum over
all epochs since the previous row, and `{MERGED}` says how many these are; a row without it stands
for its own epoch alone. So every running total at a row is that of the run, up to rounding of
seconds and fractions. These rows are kept:

- epochs 0 to {WHOLE}, and then those nearest to {WHOLE} times the powers of {RATIO};
- the last epoch, and the one that the status names for the budget's target;
- the first epoch with the best validation value of the metric by which the run is compared;
- for each number of two significant digits (0.5, 0.49, ..., 0.1, 0.099), the first epoch at least
  as good;
- for each other run of the experiment with that workload and seed, among the copies or already in
  the packed file, the first epoch at least as good as that run's best value.

The cost of reaching such a value is exact, and so are best and last values, whether a target is
reached, sums over a run, and medians of seconds per epoch (from `thinned`). For any other value
there are bounds: the copy reaches it no earlier than the run did, and no later than the run reached
the next better number of two digits. For other metrics and losses there are only the kept rows.
Curves over seeds show the epochs that all of them keep, distributions of radii those that each
keeps, and MLflow gets means over the merged epochs. Two copies of a run agree if they agree on the
epochs that both have; `collect` prefers the one with all rows.
"""

_DAMAGE = """## Damaged records

Records are checked on reading, as specs are: every value against the tables above, and every row
for what it must have (an epoch `attempt`, `epoch` and `time`; a step `attempt`, `epoch` and `step`;
an attempt `attempt` and `time`; the status `state`). Integers are at least 0 and fit into 64 bits;
columns that the tables do not list are passed on. Besides, nothing may be missing:

- the epochs follow one another from 0, counting those merged into a row of a thinned copy, at least
  up to the `epoch` of `status.json`, and exactly up to it if the run is done; that is the number in
  its budget, unless another limit or a target ended it;
- a run that is done has its `final` values;
- `restarts.jsonl` lists every attempt that has rows, and there are rows up to the point where the
  last one resumed;
- if an attempt says `record_steps`, there is a row for each step that its epochs count. Attempts of
  older versions do not say so; for a run with a single attempt the spec does, and the file may be
  missing as a whole, as in condensed records, which have no steps.

A status that is older than the last attempt says nothing: the run was started again. An incomplete
last line was being written, and is not damage by itself.

Commands that read many runs (`report`, `claims`, `tune`, the tables of `run`, `sync`, `sweep plan`,
`status` and `collect`) say in one line which run lacks what, leave it out, show the others and end
with exit code 1. A damaged run counts as unfinished: `run` and `sweep submit` do it again. When a
run is resumed, its rows are compared with the checkpoint:

- if all rows before it are there, the run continues; a damaged file that is rewritten anyway
  (`spec.json`, `status.json`, `environment.json`) is set aside;
- if some are missing, the run could only end without them, so it is started afresh, and everything
  that was there, checkpoints included, is set aside.

What is set aside lies in `.damaged-1`, `.damaged-2`, ... in the run directory; nothing reads it,
and it may be removed. `collect` replaces a damaged copy with a good one, and sets the damaged one
aside in the same way. Of several copies of a run in one folder one counts; others with a different
result are named.

Nothing is written through a symbolic link: a run directory that is one or holds one is refused, and
so is an experiment's folder that leads out of the records. The records folder itself may be a link.
There are limits on sizes: a packed file may unpack to 512 MiB and a run in it to 64 MiB;
`epochs.jsonl` may have 256 MiB, a file with a single object 64 MiB, and a row 1 MiB.
"""

_FILES = (
    (EPOCHS, "One row for each epoch; row 0 is the evaluation before training."),
    (STEPS, "One row for each step, unless `execution.record_steps` is false."),
    (
        RESTARTS,
        "One row for each attempt. Rows of the files above that an attempt took back are void.",
    ),
    (STATUS, "How far the run is; replaced after every epoch."),
    (FINAL, "Losses and metrics at the end of a finished run."),
    (TARGET, "How near a run with a target in its budget came to it, and what that cost."),
)


def page() -> str:
    """Return the page."""
    sections = (line for file in _FILES for line in _section(*file))
    return "\n".join([_INTRODUCTION, *sections, _THINNED, _VERSIONS, _DAMAGE.rstrip("\n"), ""])


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
