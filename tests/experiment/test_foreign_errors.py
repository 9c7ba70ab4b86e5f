"""Errors of somebody's problem or optimizer: recorded as failed, with the line that raised."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from napts.experiment import Observer, RunSpec, parse_spec, plugins, run, run_all
from napts.experiment.methods import registry
from napts.experiment.plugins.error_line import error_line
from napts.launch.job import RunsFailed, SweepJob
from napts.records import load_run
from tests.helpers.own_code import forget_afterwards, line_of, write_failing

KEEPING = """
import napts, pathlib, torch

@napts.register_method("keeps-a-path")
class Keeping(torch.optim.SGD):
    def state_dict(self):
        return {**super().state_dict(), "folder": pathlib.Path("x")}
"""

BAD = {
    "network": ("raise KeyError('width')", "KeyError: 'width'"),
    "data": ("raise OSError('no such table')", "OSError: no such table"),
    "loss": ("inputs.view(7)", "RuntimeError: shape '[7]' is invalid for input of size 120"),
    "metrics": ("1 / 0", "ZeroDivisionError: division by zero"),
}

Maker = Callable[..., RunSpec]


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Maker:
    forget_afterwards(monkeypatch)

    def make(number: int, **bad: str) -> RunSpec:
        plugins.load([str(write_failing(tmp_path, f"own-{number}", **bad))])
        return spec_of(f"own-{number}")

    return make


def spec_of(name: str, **other: Any) -> RunSpec:
    data = {
        "experiment": "foreign",
        "workload": {"name": name},
        "optimizer": {"method": "Adam"},
        "budget": {"epochs": 1},
        **other,
    }
    spec = parse_spec(data)
    assert isinstance(spec, RunSpec)
    return spec


@pytest.mark.parametrize(("part", "number"), [(part, n) for n, part in enumerate(BAD)])
def test_a_failure_says_where_it_happened(
    part: str, number: int, tmp_path: Path, own: Maker
) -> None:
    code, message = BAD[part]
    spec = own(number, **{part: code})
    [outcome] = run_all([spec], tmp_path / "records")
    file = tmp_path / f"own_{number}.py"
    assert outcome.state == "failed"
    assert outcome.error == f"{file.name}:{line_of(code, file)}: {message}"
    record = load_run(outcome.path)
    assert (record.state, record.status["error"]) == ("failed", outcome.error)
    assert [row["reason"] for row in record.restarts] == ["started"]
    told = (outcome.path / "traceback.txt").read_text()
    assert str(file) in told
    assert code in told
    # Another time it is left alone, and on request tried again.
    assert not run(spec, tmp_path / "records").ran


def test_the_next_run_goes_on_and_success_clears_the_traceback(tmp_path: Path, own: Maker) -> None:
    bad, good = own(10, network="raise RuntimeError(NAME)"), own(11)
    outcomes = run_all([bad, good], tmp_path / "records")
    assert [o.state for o in outcomes] == ["failed", "done"]
    assert "NameError: name 'NAME' is not defined" in (outcomes[0].error or "")
    (outcomes[1].path / "traceback.txt").write_text("of an earlier attempt")
    run(good, tmp_path / "records", mode="force")
    assert not (outcomes[1].path / "traceback.txt").exists()


def test_an_interrupted_run_keeps_its_rows_when_it_fails_to_begin_again(
    tmp_path: Path, own: Maker, monkeypatch
) -> None:
    spec = own(20)
    record = load_run(run(spec, tmp_path / "records").path)
    monkeypatch.setattr(type(spec.workload.build()), "network", lambda self: 1 / 0)
    [outcome] = run_all([spec], tmp_path / "records", mode="force")
    assert outcome.state == "failed"
    assert re.match(r"test_foreign_errors\.py:\d+: ZeroDivisionError", outcome.error or "")
    assert load_run(outcome.path).epochs == record.epochs


def test_the_traceback_is_in_the_log_of_the_job(tmp_path: Path, own: Maker, capfd) -> None:
    spec = own(30, loss="inputs.nowhere()")
    job = SweepJob((spec.as_dict(),), str(tmp_path / "records"))
    with pytest.raises(RunsFailed, match=r"own_30\.py:\d+: AttributeError"):
        job()
    assert "Traceback (most recent call last)" in capfd.readouterr().err


def test_errors_of_the_start_leave_no_record(tmp_path: Path, own: Maker) -> None:
    spec = own(40)
    fields = {**spec.as_dict(), "execution": {"device": "cuda"}}
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match=r"execution\.device"):
            run(RunSpec.model_validate(fields), tmp_path / "records")
    with pytest.raises(ValueError, match="divides into at most 4 blocks"):
        run(own_cut(), tmp_path / "records")
    assert not any(path.is_file() for path in (tmp_path / "records").rglob("*"))


def own_cut() -> RunSpec:
    return spec_of("synthetic-blobs", optimizer={"method": "APTS", "subdomains": 50})


def test_a_package_is_named_where_no_own_code_took_part(tmp_path: Path) -> None:
    package = tmp_path / "site-packages" / "somebody"
    package.mkdir(parents=True)
    (package / "steps.py").write_text("def step():\n    raise ValueError('lr')\n")
    scope: dict[str, Any] = {}
    exec(compile((package / "steps.py").read_text(), str(package / "steps.py"), "exec"), scope)
    with pytest.raises(ValueError, match="lr") as caught:
        scope["step"]()
    error = caught.value
    error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next
    assert error_line(error) == f"{Path('somebody/steps.py')}:2: ValueError: lr"


def test_a_retry_goes_on_where_the_run_failed_to_begin_again(
    tmp_path: Path, own: Maker, monkeypatch
) -> None:
    spec = own(50)
    fields = {**spec.as_dict(), "execution": {"checkpoint_every_s": 0.0}}
    spec = RunSpec.model_validate_json(json.dumps(fields))

    class Cut(Observer):
        def on_step(self, record: Any, epoch: int, step: int) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(spec, tmp_path / "records", observer=Cut())
    with monkeypatch.context() as patch:
        patch.setattr(type(spec.workload.build()), "network", lambda self: 1 / 0)
        [outcome] = run_all([spec], tmp_path / "records")
    assert outcome.state == "failed"
    assert load_run(outcome.path).restarts[-1]["attempt"] == 1
    again = load_run(run(spec, tmp_path / "records", mode="retry").path)
    assert again.state == "done"
    assert again.restarts[-1]["resumed_from_epoch"] == 0


@pytest.mark.parametrize(
    ("optimizer", "line"),
    [
        (
            {
                "method": "Adam",
                "scheduler": {
                    "method": "torch.optim.lr_scheduler.OneCycleLR",
                    **{"max_lr": 0.1, "total_steps": 2, "every": "step"},
                },
            },
            r"optimizer\.scheduler \(torch/optim/lr_scheduler\.py:\d+\): ValueError: Tried to step",
        ),
        (
            {"method": "torch.optim.SparseAdam"},
            r"optimizer \(torch/optim/\w+\.py:\d+\): RuntimeError: SparseAdam does not",
        ),
    ],
)
def test_an_error_of_torch_names_what_of_the_spec_it_is(
    optimizer: dict[str, Any], line: str, tmp_path: Path
) -> None:
    [outcome] = run_all([spec_of("synthetic-blobs", optimizer=optimizer)], tmp_path)
    assert outcome.state == "failed"
    assert re.match(line, outcome.error or "")


def test_a_state_that_no_checkpoint_takes_fails_at_once(
    tmp_path: Path, own: Maker, monkeypatch
) -> None:
    monkeypatch.setattr(registry, "_METHODS", dict(registry._METHODS))
    spec = own(60)
    file = tmp_path / "keeping.py"
    file.write_text(KEEPING)
    plugins.load([str(file)])
    made = spec_of(spec.workload.name, optimizer={"method": "keeps-a-path"})
    [outcome] = run_all([made], tmp_path / "records")
    assert outcome.state == "failed"
    assert "checkpoint: optimizer." in (outcome.error or "")
    assert load_run(outcome.path).status["epoch"] == 0
