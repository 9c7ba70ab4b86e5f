"""Own problems in jobs: they run what was imported when they were submitted, and say what fails."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from napts.cli import main
from napts.experiment import SpecError, plugins
from napts.experiment.plugins import import_folders, loading, own_code
from napts.experiment.plugins.loading import load
from napts.launch.cluster import LocalCluster
from napts.launch.job import RunsFailed
from napts.launch.packs import job_of
from napts.launch.snapshot import Snapshot, take_snapshot
from napts.launch.submit import Submitter
from napts.launch.sweepfile import Sweep, load_sweep
from napts.problems import registry
from napts.records.layout import CHECKPOINT, STATUS
from napts.records.read import load_run
from tests.helpers.own_code import write_problem

MORE = """
    def augment(self, batch):
        assert (Path(__file__).parent / "data" / "numbers.csv").read_text() == "1,2"
        return batch
"""


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sweep:
    """A sweep of an own problem in a folder with helpers and data, imported here."""
    monkeypatch.setattr(loading, "_plugins", {})
    monkeypatch.setattr(import_folders, "_behind", {})
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.setattr(registry, "_PROBLEMS", dict(registry._PROBLEMS))
    for name in ("line", "sizes"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    folder = tmp_path / "mine"
    imports = "from pathlib import Path\nfrom sizes import width"
    write_problem(folder, width="width", imports=imports, more=MORE)
    (folder / "sizes.py").write_text("width = 4\n")
    (folder / "data").mkdir()
    (folder / "data" / "numbers.csv").write_text("1,2")
    load([str(folder / "line.py")])
    return load_sweep(folder / "line.toml")


def snapshot_of(sweep: Sweep, tmp_path: Path) -> Snapshot:
    modules = (module for run in sweep.runs() for module in run.modules)
    return take_snapshot(tmp_path / "code", allow_dirty=True, plugins=plugins.plugins_of(modules))


def test_jobs_run_what_was_imported(sweep: Sweep, tmp_path: Path) -> None:
    """The files are edited, and gone, before the jobs begin; the data stay where they are."""
    records = tmp_path / "mine" / "records"
    take = snapshot_of(sweep, records / ".launch" / "own")
    for name in ("line.py", "sizes.py"):
        (tmp_path / "mine" / name).write_text("1 / 0\n")
    told: list[int] = []
    submitter = Submitter(
        LocalCluster(kind="local", parallel=2),
        records,
        allow_dirty=True,
        tell=lambda run, code, log: told.append(code),
    )
    assert take.imports[0].endswith("imports/0/line.py")
    plan = submitter.submit(sweep).plan
    assert [run.state for run in submitter.look(sweep).runs] == ["done", "done"], told
    assert plan.counts()["missing"] == 2
    record = load_run(plan.runs[0].path)
    assert record.spec["code"] == {
        "line.py": own_code.digest_of(tmp_path / "mine" / "line.py"),
        "sizes.py": own_code.digest_of(tmp_path / "mine" / "sizes.py"),
    }


def test_the_same_code_is_copied_once(sweep: Sweep, tmp_path: Path) -> None:
    first = snapshot_of(sweep, tmp_path)
    assert snapshot_of(sweep, tmp_path) == first
    assert first != take_snapshot(tmp_path / "code", allow_dirty=True)
    beside = sorted(path.name for path in Path(first.imports[0]).parent.iterdir())
    assert beside == ["data", "line.py", "line.toml", "sizes.py"]


def test_code_that_changed_while_it_was_submitted_is_refused(sweep: Sweep, tmp_path: Path) -> None:
    (tmp_path / "mine" / "sizes.py").write_text("width = 5\n")
    with pytest.raises(SpecError, match=r"sizes.py: has changed since it was imported"):
        snapshot_of(sweep, tmp_path)


def test_runs_whose_code_fails_in_the_job_have_failed(sweep: Sweep, tmp_path: Path) -> None:
    """They are not missing: status and report say why."""
    submitter = Submitter(LocalCluster(kind="local"), tmp_path)
    views = submitter.look(sweep).runs
    bad = tmp_path / "elsewhere" / "line.py"
    bad.parent.mkdir()
    bad.write_text("import of_the_other_machine\n")
    job = job_of(views, tmp_path, None, retry_failed=False, imports=[str(bad)])
    told = r"line.py:1: ModuleNotFoundError: No module named 'of_the_other_machine'"
    with pytest.raises(RunsFailed, match=told):
        job()
    failed = submitter.look(sweep).runs
    assert [run.state for run in failed] == ["failed", "failed"]
    assert "of_the_other_machine" in (failed[0].error or "")
    assert load_run(failed[0].path).label == "NTR"
    # One that was interrupted has failed now, and keeps its place; so has one that says that it is
    # done, and lacks its rows.
    for run, state in zip(failed, ("interrupted", "done"), strict=True):
        status = json.loads((run.path / STATUS).read_text())
        (run.path / STATUS).write_text(json.dumps({**status, "state": state, "epoch": 1}))
        (run.path / CHECKPOINT).write_bytes(b"kept")
    with pytest.raises(RunsFailed, match=told):
        job()
    again = [json.loads((run.path / STATUS).read_text()) for run in failed]
    assert [(each["state"], each["epoch"]) for each in again] == [("failed", 1), ("failed", 1)]
    assert all((run.path / CHECKPOINT).read_bytes() == b"kept" for run in failed)
    other = replace(job, imports=())
    other = replace(other, specs=tuple({**s, "code": {"line.py": "0"}} for s in job.specs))
    with pytest.raises(RunsFailed, match=r"found other contents of line.py, sizes.py than"):
        other()


@pytest.mark.slow
def test_ranks_import_it_too(sweep: Sweep, tmp_path: Path) -> None:
    text = sweep.path.read_text() + "[execution]\nranks = 2\n[pipeline]\nstages = 2\n"
    sweep.path.write_text(text.replace('[[methods]]\nmethod = "Adam"\n', ""))
    both = load_sweep(sweep.path)
    submitter = Submitter(LocalCluster(kind="local"), tmp_path, allow_dirty=True)
    submitter.submit(both)
    (run,) = submitter.look(both).runs
    assert run.state == "done", run.error
    assert load_run(run.path).environment["ranks"] == 2


SCHEDULED = """
experiment = "tests"
seeds = [0]
[workload]
name = "synthetic-blobs"
[budget]
epochs = 1
[[methods]]
method = "torch.optim.AdamW"
lrr = 0.1
"""


@pytest.mark.parametrize("command", ["plan --check", "submit"])
def test_options_of_foreign_methods_are_checked(tmp_path: Path, command: str) -> None:
    """When a sweep is submitted, or on request; a plan alone imports nothing."""
    file = tmp_path / "sweep.toml"
    file.write_text(SCHEDULED)

    def napts(words: str) -> Result:
        records = ["--records", str(tmp_path / "records")]
        return CliRunner().invoke(main, ["sweep", *words.split(), str(file), *records])

    assert napts("plan").exit_code == 0
    refused = napts(command)
    assert refused.exit_code == 2
    assert "torch.optim.AdamW seed 0: " in refused.stderr or "AdamW seed 0: " in refused.stderr
    assert "lrr" in refused.stderr
    assert "did you mean" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1
    assert not list((tmp_path / "records").glob("tests/*"))
