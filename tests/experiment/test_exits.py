"""Code of the user that tries to end the process: a failure of the run, told as any other."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from napts import entry_points
from napts.exits import CodeExit, CtrlC, contained, each, guarded
from napts.experiment import Observer, RunSpec, followers, parse_spec, plugins, run, run_all
from napts.experiment.methods import foreign
from napts.experiment.methods.installed import load_class
from napts.experiment.plugins import PluginError
from napts.experiment.signals import StopRequest
from napts.launch.job import RunsFailed, SweepJob
from napts.parallel.ranks import ALONE
from napts.parallel.watch import Watch
from napts.records import load_run
from napts.registry import Registry
from tests.experiment.conftest import make_spec
from tests.helpers.own_code import IN_A_RUN, forget_afterwards, line_of, write_failing

Maker = Callable[..., dict[str, Any]]


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Maker:
    forget_afterwards(monkeypatch)

    def make(name: str, **bad: str) -> dict[str, Any]:
        plugins.load([str(write_failing(tmp_path, name, **bad))])
        return {
            "experiment": "exits",
            "workload": {"name": name},
            "optimizer": {"method": name},
            "budget": {"epochs": 1},
        }

    return make


def spec_of(data: dict[str, Any]) -> RunSpec:
    spec = parse_spec(data)
    assert isinstance(spec, RunSpec)
    return spec


EXITS = {
    "raise SystemExit(3)": "SystemExit: 3",
    "raise KeyboardInterrupt": "KeyboardInterrupt",
    "raise GeneratorExit": "GeneratorExit",
}
CASES = [
    *((part, "raise SystemExit(3)") for part in IN_A_RUN),
    *((part, code) for part in ("loss", "step") for code in list(EXITS)[1:]),
]


@pytest.mark.parametrize(("part", "code"), CASES)
def test_the_run_fails_and_says_where(part: str, code: str, tmp_path: Path, own: Maker) -> None:
    name = f"exit-{part}-{list(EXITS).index(code)}"
    [outcome] = run_all([spec_of(own(name, **{part: code}))], tmp_path / "records")
    file = tmp_path / f"{name.replace('-', '_')}.py"
    assert outcome.state == "failed"
    assert outcome.error == f"{file.name}:{line_of(code, file)}: {EXITS[code]}"
    assert load_run(outcome.path).status["error"] == outcome.error
    assert code in (outcome.path / "traceback.txt").read_text()


def test_the_next_run_begins(tmp_path: Path, own: Maker) -> None:
    bad, good = own("exit-first", loss="raise SystemExit"), own("exit-good")
    outcomes = run_all([spec_of(bad), spec_of(good)], tmp_path / "records")
    assert [o.state for o in outcomes] == ["failed", "done"]


def test_a_job_says_so_as_well(tmp_path: Path, own: Maker) -> None:
    spec = spec_of(own("exit-job", loss="raise SystemExit"))
    with pytest.raises(RunsFailed, match=r"exit_job\.py:\d+: SystemExit"):
        SweepJob((spec.as_dict(),), str(tmp_path / "records"))()


def test_options_and_constructors_that_are_looked_at_before(own: Maker, tmp_path: Path) -> None:
    data = own("exit-problem", problem="raise SystemExit")
    with pytest.raises(ValueError, match=r"workload.*exit_problem\.py:\d+: SystemExit"):
        parse_spec(data)
    data = own("exit-scheduled", constructor="raise KeyboardInterrupt")
    scheduler = {"method": "torch.optim.lr_scheduler.StepLR", "step_size": 1}
    data["optimizer"]["scheduler"] = scheduler
    with pytest.raises(ValueError, match=r"^optimizer: exit_scheduled\.py:\d+: KeyboardInterrupt"):
        foreign.check_all([spec_of(data).optimizer])


@pytest.mark.parametrize("name", ["SystemExit", "KeyboardInterrupt", "GeneratorExit"])
def test_what_is_imported(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = f"leaves_by_{name.lower()}"
    file = tmp_path / f"{module}.py"
    file.write_text(f"raise {name}\n")
    with pytest.raises(PluginError, match=f"{module}.py:1: {name}"):
        plugins.load([str(file)])
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("napts.experiment.methods.installed.check_installed", lambda *_, **__: None)
    with pytest.raises(ValueError, match=f"whose import fails: {name}"):
        load_class(f"{module}.X", object, key="optimizer.method")
    entry = entry_points.EntryPoint("x", module, entry_points.PROBLEMS)
    monkeypatch.setattr(entry_points, "_found", lambda _: {"x": entry})
    with pytest.raises(ValueError, match=f"x: cannot be imported.*{name}"):
        entry_points.load(entry_points.PROBLEMS, "x", ())


def test_a_constructor_of_a_package(monkeypatch: pytest.MonkeyPatch) -> None:

    def leave(*_: Any, **__: Any) -> None:
        raise SystemExit(2)

    for kind in (torch.optim.Adagrad, torch.optim.lr_scheduler.StepLR):
        monkeypatch.setattr(kind, "__init__", leave)
    for options, said in (
        ({"method": "torch.optim.Adagrad"}, "optimizer: torch.optim.Adagrad refuses its"),
        (
            {"method": "Adam", "scheduler": {"method": "torch.optim.lr_scheduler.StepLR"}},
            "optimizer.scheduler: torch.optim.lr_scheduler.StepLR refuses its",
        ),
    ):
        fields = {"experiment": "x", "workload": {"name": "synthetic-blobs"}, "optimizer": options}
        with pytest.raises(ValueError, match=f"{said} arguments: SystemExit: 2"):
            foreign.check(spec_of({**fields, "budget": {"epochs": 1}}).optimizer)


# --- Ctrl-C -------------------------------------------------------------------------------------


PRESS = "import signal; signal.raise_signal(signal.SIGINT)"


def test_ctrl_c_interrupts_a_run(tmp_path: Path, own: Maker) -> None:
    data = own("exit-pressed", step=PRESS)
    [outcome] = run_all([spec_of(data)], tmp_path / "records")
    assert (outcome.state, outcome.error) == ("interrupted", "stopped by SIGINT")
    # Pressed again it does not wait for the end of the step, in whoever's code it comes.
    data = own("exit-pressed-twice", step=f"{PRESS}; {PRESS}")
    with pytest.raises(KeyboardInterrupt):
        run(spec_of(data), tmp_path / "records")
    path = tmp_path / "records" / "exits" / spec_of(data).run_key
    assert load_run(path).state == "interrupted"
    assert str(load_run(path).status["error"]).endswith("KeyboardInterrupt")


def test_ctrl_c_interrupts_an_import(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    (tmp_path / "slow_to_import.py").write_text(PRESS)
    with pytest.raises(CtrlC):
        plugins.load([str(tmp_path / "slow_to_import.py")])
    assert signal.getsignal(signal.SIGINT) is before


def test_an_observer_may_end_the_process(tmp_path: Path) -> None:
    class Leaving(Observer):
        def on_step(self, record: Any, epoch: int, step: int) -> None:
            raise SystemExit

    spec = make_spec("Adam")
    with pytest.raises(SystemExit):
        run(spec, tmp_path, observer=Leaving())
    assert load_run(tmp_path / "tests" / spec.run_key).state == "interrupted"


def test_what_passes_and_what_does_not() -> None:
    with pytest.raises(KeyboardInterrupt), contained:
        raise KeyboardInterrupt  # nobody can tell who it was
    with pytest.raises(CodeExit, match=r"^KeyboardInterrupt$"), guarded():
        raise KeyboardInterrupt
    with pytest.raises(CtrlC), guarded():
        signal.raise_signal(signal.SIGINT)
    with pytest.raises(ZeroDivisionError), guarded():
        _ = 1 / 0
    assert list(each(range(3))) == [0, 1, 2]


# --- ranks ----------------------------------------------------------------------------------------


def test_on_a_rank_that_does_not_lead(own: Maker) -> None:
    data = own("exit-rank", loss="raise SystemExit(4)")
    with pytest.raises(CodeExit, match="SystemExit: 4"), StopRequest() as stop:
        followers._train(ALONE, stop, spec_of(data).as_dict(), None, None)
    data = own("exit-rank-network", network="raise SystemExit(4)")
    with pytest.raises(CodeExit, match="SystemExit: 4"), StopRequest() as stop:
        followers._train(ALONE, stop, spec_of(data).as_dict(), None, None)


def test_the_other_ranks_are_told_what_it_was() -> None:
    store = torch.distributed.HashStore()
    with pytest.raises(CodeExit), Watch(store, 1, 2), contained:
        raise SystemExit(5)
    assert store.get("end/1") == b"failed: SystemExit: 5"


def test_reports_of_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "leaving_reports.py").write_text("raise SystemExit(6)")
    monkeypatch.syspath_prepend(str(tmp_path))
    entry = entry_points.EntryPoint("mine", "leaving_reports", "napts.reports")
    monkeypatch.setattr("napts.registry.entry_points", lambda group: [entry])
    reports = Registry("some reports", "napts.reports")
    told = r"some reports: mine \(leaving_reports\) cannot be imported: SystemExit: 6"
    for _ in range(2):
        with pytest.raises(ValueError, match=told):
            list(reports)
