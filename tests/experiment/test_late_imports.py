"""Own modules that are loaded while a run goes on, and data that have changed since."""

import importlib
import sys
from pathlib import Path

import pytest

from napts.experiment import RunSpec, parse_spec, plugins, run, run_all
from napts.experiment.start import DataChanged
from tests.helpers.own_code import PROBLEM


def spec_in(folder: Path, name: str, **other: str) -> RunSpec:
    text = PROBLEM.replace('"line"', f'"{name}"')
    file = folder / f"{name}_problem.py"
    file.write_text(text.format(width="self.width()", **other))
    plugins.load([str(file)])
    return read(name)


def read(name: str, **execution: str) -> RunSpec:
    spec = parse_spec(
        {
            "experiment": "late",
            "workload": {"name": name},
            "optimizer": {"method": "Adam"},
            "budget": {"epochs": 1},
            "execution": execution,
        }
    )
    assert isinstance(spec, RunSpec)
    return spec


LATE = """
    def width(self):
        import importlib
        return importlib.import_module("{module}").WIDTH
"""
IN_METRICS = """
    def width(self):
        return 4

    def metrics(self, model, samples):
        import importlib
        return {{"accuracy": importlib.import_module("{module}").WIDTH / 10}}
"""


@pytest.mark.parametrize(("number", "more"), [(0, LATE), (1, IN_METRICS)])
@pytest.mark.parametrize("elsewhere", [False, True])
def test_own_code_that_the_key_does_not_know_fails_the_run(
    number: int, more: str, elsewhere: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = f"late_width_{number}{elsewhere:d}"
    there = tmp_path / "there" if elsewhere else tmp_path
    there.mkdir(exist_ok=True)
    (there / f"{module}.py").write_text("WIDTH = 4\n")
    name = f"late{number}{elsewhere:d}"
    spec = spec_in(tmp_path, name, imports="", more=more.format(module=module))
    if elsewhere:
        monkeypatch.syspath_prepend(str(there))
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    outcomes = [*run_all([spec], tmp_path / "records")]
    again = run_all([spec], tmp_path / "records", mode="retry")
    for outcome in (*outcomes, *again):
        assert outcome.state == "failed"
        assert f"code: found {module} ({there / module}.py) loaded during the run" in (
            outcome.error or ""
        )
    sys.modules.pop(module, None)


def test_what_statements_import_and_what_is_installed_is_no_fault(tmp_path: Path) -> None:
    (tmp_path / "known_width.py").write_text("WIDTH = 4\n")
    more = """
    def width(self):
        import known_width, this
        return known_width.WIDTH
"""
    spec = spec_in(tmp_path, "known", imports="", more=more)
    assert run(spec, tmp_path / "records").state == "done"
    importlib.invalidate_caches()


def test_changed_data_of_a_run_that_is_done(tmp_path: Path) -> None:
    more = """
    def width(self):
        return 4

    def data(self, root=None):
        from pathlib import Path
        shift = float(Path(__file__).with_name("shift.txt").read_text())
        inputs = torch.linspace(-1, 1, 120)[:, None].repeat(1, 3) + shift
        targets = (inputs.sum(1) > 0).long()
        return tuple(zip(inputs.split((60, 40, 20)), targets.split((60, 40, 20))))
"""
    (tmp_path / "shift.txt").write_text("0.0")
    spec_in(tmp_path, "shifted", imports="", more=more)
    plain, exact = read("shifted"), read("shifted", data="exact")
    assert run(exact, tmp_path / "records").ran
    assert not run(exact, tmp_path / "records").ran
    (tmp_path / "shift.txt").write_text("0.5")
    assert not run(plain, tmp_path / "records").ran
    with pytest.raises(DataChanged, match=r"the run was done with .*mode force, or execution.data"):
        run(exact, tmp_path / "records")
    assert run(exact, tmp_path / "records", mode="force").ran
