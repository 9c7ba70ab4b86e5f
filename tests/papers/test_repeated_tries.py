"""Counts by the model are those of runs that really repeat."""

from pathlib import Path
from typing import Any

import pytest

from napts.experiment import RunSpec, parse_spec, run
from napts.papers.repeated_tries import reaches_the_floor, with_tries
from napts.records import RunRecord, load_run

COUNTS = ("forwards", "backwards", "local_passes", "rejections", "rejections_global", "accepted")
COURSE = ("train_loss", "val_loss", "radius", "nonmonotone", "rejections_proposal")


def ran(root: Path, method: str, **options: Any) -> RunRecord:
    parts = {} if method in ("TR", "NTR") else {"local_steps": 3, "subdomains": 3}
    spec = parse_spec(
        {
            "experiment": "tries",
            "seed": 4,
            "workload": {"name": "synthetic-blobs"},
            "optimizer": {"method": method, "eta_1": 0.3, **parts, **options},
            "budget": {"epochs": 2, "batch_size": 64},
            "execution": {"record_steps": False, "threads": 1},
        }
    )
    assert isinstance(spec, RunSpec)
    return load_run(run(spec, root).path)


@pytest.mark.filterwarnings("ignore:.*no step was accepted")
@pytest.mark.parametrize("method", ["TR", "NTR", "APTS", "APTSA", "NAPTS"])
def test_counts_equal_those_of_a_run_with_that_limit(tmp_path: Path, method: str) -> None:
    region = {"radius": 1.5, "radius_min": 1.5}
    six, eight, once = (
        ran(tmp_path, method, radius_floor=floor, max_tries=tries, **region)
        for floor, tries in (("repeated", 6), ("repeated", 8), ("fixed", 6))
    )
    modelled = with_tries(six, 8)
    assert modelled.spec["optimizer"] == eight.spec["optimizer"]
    more = 0
    for mine, theirs, before in zip(modelled.epochs, eight.epochs, once.epochs, strict=True):
        assert {n: mine.get(n) for n in COUNTS} == {n: theirs.get(n) for n in COUNTS}
        assert {n: mine[n] for n in COURSE} == {n: before[n] for n in COURSE}
        more += theirs["rejections_global"] - before["rejections_global"]
    assert more > 0
    assert with_tries(modelled, 6).epochs == six.epochs
    assert reaches_the_floor(six, 6)
    assert not reaches_the_floor(six, 1)
    with pytest.raises(ValueError, match="repeated"):
        with_tries(once, 8)
