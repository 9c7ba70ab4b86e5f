"""What others rely on: public names, run keys of committed records, old sweeps and their jobs."""

import importlib
import json
import warnings
from pathlib import Path
from typing import Any

import pytest

from napts.experiment import RunSpec
from napts.launch.job import SweepJob
from napts.launch.plan import make_plan
from napts.launch.submitted import SubmittedJobs
from napts.launch.sweepfile import load_sweep
from napts.records import find_packed, load_packed
from napts.records.read import find_runs, load_run

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).parent / "golden"
NAMES: dict[str, list[str]] = json.loads((GOLDEN / "public_names.json").read_text())
"""Those of revision 199e286, by module."""


@pytest.mark.parametrize("module", NAMES)
def test_public_names_are_still_there(module: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        found = importlib.import_module(module)
        missing = [name for name in NAMES[module] if not hasattr(found, name)]
    assert not missing


def test_committed_records_give_their_own_keys() -> None:
    """Their specs are valid as they stand, and what is new since is no part of their keys."""
    root = ROOT / "reports" / "records"
    records = [*map(load_run, find_runs(root))]
    records += [record for path in find_packed(root) for record in load_packed(path)]
    assert len(records) > 1000
    for record in records:
        spec = RunSpec.model_validate_json(json.dumps(record.spec))
        assert spec.run_key == record.run_key, record.run_key
        assert spec.code is None


@pytest.mark.parametrize("path", sorted((ROOT / "slurm" / "sweeps").glob("*.toml")))
def test_sweeps_plan_the_runs_that_they_planned(path: Path) -> None:
    before: dict[str, Any] = json.loads((GOLDEN / "sweeps.json").read_text())
    runs = load_sweep(path).runs()
    assert before[path.name] == {"runs": len(runs), "keys": digest(run.run_key for run in runs)}


def test_jobs_written_before_are_read() -> None:
    """A job file and a list of submitted jobs of revision 199e286, and the plan that they give."""
    folder = GOLDEN / "records"
    (file,) = folder.glob(".launch/tests/jobs/*/*.json")
    job = SweepJob(**json.loads(file.read_text()))
    assert not job.imports
    jobs = SubmittedJobs(folder, "tests").jobs()
    assert [job.kind for job in jobs] == ["local"]
    plan = make_plan(load_sweep(GOLDEN / "sweep.toml"), folder)
    assert [(run.state, run.job) for run in plan.runs] == [("done", jobs[0]), ("missing", None)]


def digest(keys: Any) -> str:
    import hashlib

    return hashlib.sha256("\n".join(sorted(keys)).encode()).hexdigest()[:16]
