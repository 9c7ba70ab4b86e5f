"""Packages that problems and methods come from: offered by entry points, recorded, compared."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from napts import entry_points
from napts.experiment import Observer, RunSpec, SpecError, parse_spec, run
from napts.experiment.methods import registry as methods
from napts.experiment.packages import changed_packages, foreign_packages
from napts.launch.plan import make_plan
from napts.launch.status import package_notices
from napts.launch.sweepfile import make_sweep
from napts.problems import problem_names, registry
from tests.helpers.own_code import METHOD, PROBLEM

DISTRIBUTION = "Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
SPEC = {
    "experiment": "tests",
    "workload": {"name": "line"},
    "optimizer": {"method": "plain"},
    "budget": {"epochs": 1},
}


def distribution(folder: Path, name: str, version: str, entries: str = "") -> None:
    about = folder / f"{name}-{version}.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(DISTRIBUTION.format(name=name, version=version))
    (about / "top_level.txt").write_text(f"{name}\n")
    (about / "entry_points.txt").write_text(entries)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with an installed package that offers a problem and a method, and a broken one."""
    folder = tmp_path / "site-packages"
    entries = "[napts.problems]\nline = offers.line:Line\n[napts.methods]\nplain = offers.plain\n"
    distribution(folder, "offers", "1.2", entries)
    broken = "[napts.problems]\nbroken = torn\nempty = offers\n"
    distribution(folder, "torn", "0.1", broken)
    (folder / "offers").mkdir()
    (folder / "offers" / "__init__.py").write_text("")
    text = PROBLEM.format(imports="", width=4, more="")
    (folder / "offers" / "line.py").write_text(text)
    (folder / "offers" / "plain.py").write_text(METHOD)
    (folder / "torn.py").write_text("import of_nobody\n")
    monkeypatch.syspath_prepend(folder)
    for place, table in ((registry, "_PROBLEMS"), (methods, "_METHODS")):
        monkeypatch.setattr(place, table, dict(getattr(place, table)))
    entry_points.forget()
    yield folder
    entry_points.forget()
    for name in [n for n in sys.modules if n.partition(".")[0] in ("offers", "torn")]:
        del sys.modules[name]


def test_names_are_known_without_an_import(installed: Path) -> None:
    assert "line" in problem_names()
    assert "plain" in methods.method_names()
    assert "line" not in problem_names(imported=True)
    assert not {"offers", "torn"} & set(sys.modules)


def test_they_are_imported_when_a_spec_names_them(installed: Path, tmp_path: Path) -> None:
    spec = parse_spec(SPEC)
    assert isinstance(spec, RunSpec)
    assert spec.code is None, "it is installed code, which its version tells"
    assert "torn" not in sys.modules
    outcome = run(spec, tmp_path)
    assert outcome.state == "done"
    environment = json.loads((outcome.path / "environment.json").read_text())
    assert environment["packages"] == {"offers": "1.2"}


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("broken", r"broken: cannot be imported from torn 0.1 \(torn\): ModuleNotFoundError: No"),
        ("empty", r"empty: torn 0.1 \(offers\) offers it, but registers none"),
    ],
)
def test_a_broken_offer_names_its_package(installed: Path, name: str, told: str) -> None:
    with pytest.raises(SpecError, match=told) as caught:
        parse_spec({**SPEC, "workload": {"name": name}})
    assert len(str(caught.value).splitlines()) == 1


class Notices(Observer):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def on_notice(self, line: str) -> None:
        self.lines.append(line)


def test_another_version_is_told_and_refused_where_asked(installed: Path, tmp_path: Path) -> None:
    spec = parse_spec(SPEC)
    assert isinstance(spec, RunSpec)
    outcome, notices = run(spec, tmp_path), Notices()
    assert not run(spec, tmp_path, observer=notices).ran
    assert notices.lines == [], "nothing has changed"
    (installed / "offers-1.2.dist-info").rename(installed / "offers-1.3.dist-info")
    about = installed / "offers-1.3.dist-info" / "METADATA"
    about.write_text(DISTRIBUTION.format(name="offers", version="1.3"))
    entry_points.forget()
    changed = "offers 1.2 in the record, 1.3 here"
    assert changed_packages(outcome.path, spec) == changed
    assert run(spec, tmp_path, observer=notices).state == "done"
    assert notices.lines == [f"{spec.run_key}: {changed}"]
    table = {**{k: v for k, v in SPEC.items() if k != "optimizer"}, "seeds": [0]}
    sweep = make_sweep({**table, "methods": [SPEC["optimizer"]]}, Path("sweep"))
    assert package_notices(make_plan(sweep, tmp_path)) == [f"1 run: {changed}"]
    exact = parse_spec({**SPEC, "execution": {"packages": "exact"}})
    assert isinstance(exact, RunSpec)
    assert exact.run_key == spec.run_key
    with pytest.raises(ValueError, match=f"found {changed}; allowed: the same versions"):
        run(exact, tmp_path)
    assert run(exact, tmp_path, mode="force").ran


def test_packages_of_what_is_built_in_and_of_a_path() -> None:
    built_in = parse_spec(
        {**SPEC, "workload": {"name": "digits-cnn"}, "optimizer": {"method": "TR"}}
    )
    by_path = {"method": "torch.optim.AdamW"}
    named = parse_spec({**SPEC, "workload": {"name": "digits-cnn"}, "optimizer": by_path})
    assert isinstance(built_in, RunSpec)
    assert isinstance(named, RunSpec)
    assert foreign_packages(built_in) == {}
    assert set(foreign_packages(named)) == {"torch"}
