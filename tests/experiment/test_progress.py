"""The sums of a running epoch: what survives an interruption, also one by an older version."""

from dataclasses import replace

from napts.experiment.progress import Progress, Tally
from napts.optim import StepRecord


def _tally() -> Tally:
    tally = Tally()
    for _ in range(2):
        tally.add(replace(StepRecord(1.0), cg_iterations=3, sample_fraction=0.25), 2)
    return tally


def test_sums_survive_an_interruption() -> None:
    progress = Progress(epoch=3, step=2, tally=_tally())
    again = Progress.from_dict(progress.as_dict())
    assert again == progress
    row = again.tally.as_row()
    assert (row["cg_iterations"], row["sample_fraction"]) == (6, 0.25)
    assert type(row["cg_iterations"]) is int
    assert "hessians" not in row


def test_sums_of_older_checkpoints_lie_side_by_side() -> None:
    data = Progress(tally=_tally()).as_dict()
    data["tally"] |= {**data["tally"].pop("optional"), "hessians": None}
    assert Progress.from_dict(data).tally == _tally()
