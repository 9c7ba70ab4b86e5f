"""The page on the run directory, made from the table of columns."""

from collections.abc import Iterable, Iterator

from napts.records.columns import FINAL, TARGET, Column, columns_of
from napts.records.layout import EPOCHS, MERGED, RESTARTS, STATUS, STEPS
from napts.records.thinning import LONG, RATIO, WHOLE

_INTRODUCTION = """# The run directory

One run is one folder `<records>/<experiment>/<run key>/` of plain JSON files, the only truth about
it: MLflow, tables and figures are made from it. This page is made from the table in
`napts/records/columns.py` (`python -m tests.records.page > docs/reference/records.md`), and a test
compares both with what runs write.

Files of a later version of the format (`schema` above 2, in any file that names one) are refused in
one line, and nothing is touched.

Names with `<metric>` stand for one column per metric of the problem: `val_accuracy`, `val_rmse`.
Every value may be null, which means that there is none. Losses and metrics that are not finite are
the strings `"inf"`, `"-inf"` and `"nan"`, since a diverged loss is a result; other numbers that are
not finite are null. Columns marked * differ between two runs of the same numbers.
Rows have the columns that are said to be of finite sums or of quasi-Newton methods only where the
method counts them.

## spec.json

What the run is: `schema`, `run_key`, `experiment`, `label`, the validated `spec`, and

- `primary`: the metric by which runs are compared, `{"name": "rmse", "goal": "min", "fraction":
  false}`. The goal is `max` or `min`; fractions lie in [0, 1] and are shown in percent. Tables,
  figures, targets and tuning follow it. A run that failed or diverged counts as the worst that the
  metric can be: the wrong end of [0, 1] for fractions, else plus or minus infinity. Records that do
  not say were compared by accuracy.
- `kind`: what the run is for, `comparison`, `tuning` or `calibration`. In records that do not say,
  the experiment's name does: `tune-...`, `calibration...`.
- `thinned`: of a thinned copy (see below) the medians of `train_seconds` and `cpu_seconds` over the
  epochs of the run but the first.

None of them is part of the run key.

## environment.json

What it ran on: revision of the program, versions, processor, accelerator, digest of the data.
`gpu_id` is a digest of the GPU's identifier: runs that were on one GPU at the same time are known
by it, and no claim on times is judged by their seconds.

## kept.npz

Arrays that the problem keeps of a run that is done, for pictures alone: the solution of a
differential equation on the test grid, say. Most have none; nothing else depends on it, packed and
condensed records leave it out, and one that cannot be read counts as none.
"""

_VERSIONS = """## Versions of the format

`schema` is the version of the format. What runs write has 1, which is part of every run key; only
thinned copies have 2, so that programs that do not know them refuse them. Within one version:

- files and columns may be added; a reader passes on columns that it does not know, so that older
  programs read newer records;
- no column gets another meaning, type or unit, and none is taken away; what older records do not
  have is null;
- an option or a key of a spec that comes later has a value that stands for its absence, which is
  how all runs before it were made (`napts/records/absent_options.py`). It is left out of the run
  key where it has that value: keys never change, and what has run is not run again.

A change that an older reader would misunderstand raises the version. Programs read all versions up
to their own, and refuse later ones.
"""

_THINNED = f"""## Condensed, packed and thinned copies

`napts records condense` copies runs without steps, checkpoints, process numbers and names of
computers; `napts records pack` makes one file `<experiment>.runs.jsonl.gz` of the copies, a line
for each run, and `napts records unpack` writes that as run directories again. All rows of epochs
are kept, unless `--thin` says otherwise.

With `--thin` a run that has ended, has more than {LONG} epochs and never more than one step in one
(the whole data as one batch, say) keeps only some rows. What describes the end of an epoch (losses,
metrics, radius, `elapsed_seconds`, `time`, ...) is unchanged there. What adds up (columns with the
unit "per epoch", and seconds but for `elapsed_seconds`) is the sum over all epochs since the row
before it, and `{MERGED}` says how many they are; a row without it stands for its own epoch. So
every running total at a row is that of the run, up to rounding of seconds and fractions. Kept are:

- epochs 0 to {WHOLE}, and then those nearest to {WHOLE} times the powers of {RATIO};
- the last epoch, and the one that the status names for the budget's target;
- the first epoch with the best validation value of the metric by which the run is compared;
- the first at least as good as each number of two significant digits (0.5, 0.49, ..., 0.1, 0.099);
- the first at least as good as the best value of each other run of the experiment with that
  workload and seed, those among the copies and those that the packed file has already.

What it has cost to reach such a value is exact, and so are best and last values, whether a target
is reached, sums over a run, and medians of seconds per epoch (from `thinned`). For any other value
there are bounds: the copy has it no earlier than the run had it, and no later than the run had the
next better number of two digits. For other metrics and losses there are none but the kept rows.
Curves over seeds have the epochs that all of them keep, distributions of radii those that each
keeps, and MLflow gets means over the merged epochs. Two copies of a run agree if they agree on the
epochs that both have; `collect` prefers the one with all rows.
"""

_DAMAGE = """## Damaged records

Records are checked on reading as specs are: every value against the table above, every row for what
it must have (`attempt`, `epoch` and `time`; of steps `attempt`, `epoch` and `step`; of attempts
`attempt` and `time`; of the status `state`). Integers are from 0 on and fit into 64 bits; columns
that the table does not have are passed on. Besides, nothing may be missing:

- the epochs follow one another from 0 on, those merged into a row of a thinned copy included, up to
  the `epoch` of `status.json` at least and of a run that is done exactly; that is the number of its
  budget, unless another limit or a target ended it;
- a run that is done has its `final` values;
- of every attempt that has rows `restarts.jsonl` tells, and there are rows up to where the last one
  went on;
- where an attempt says `record_steps`, there is a row for each step that its epochs count. Attempts
  of older versions do not say it; of a run with a single one the spec does, and the file may be
  missing as a whole, as in condensed records, which have no steps.

A status that is older than the last attempt says nothing: the run was started again. An end of a
file that is no complete line was being written, and is no damage by itself.

Who reads many runs (`report`, `claims`, `tune`, the tables of `run`, `sync`, `sweep plan`, `status`
and `collect`) says in a line which run lacks what, leaves it out, shows the others and ends with 1.
A damaged run has never ended: `run` and `sweep submit` do it again. On resumption the rows are
compared with the checkpoint:

- all rows before it are there: the run goes on; a file that is written anew anyway (`spec.json`,
  `status.json`, `environment.json`) and was damaged is kept aside;
- some are missing: it could only end with a part of them, so it is started anew, and everything
  that there was, checkpoints included, is kept aside.

What is kept aside lies in `.damaged-1`, `.damaged-2`, ... in the run directory; nothing reads it,
and it may be removed. `collect` lets a good copy take the place of a damaged one, which is kept in
it likewise. Of several copies of a run in one folder one counts; others with another result are
named.

Nothing is written through a symbolic link: a run directory that is one or holds one is refused, and
so is an experiment's folder that leads out of the records. The records folder itself may be a link.
A packed file may unpack to 512 MiB, a run in it to 64 MiB; `epochs.jsonl` may have 256 MiB, the
files of one object 64 MiB, and a row 1 MiB.
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
