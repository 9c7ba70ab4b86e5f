"""Reports on problems whose metric is not the accuracy: nothing says accuracy, less is better."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from benchmarks.made_runs import write_run
from napts.analysis import Collection, Section, load_collection
from napts.analysis.looks import LOOKS
from napts.plotting import render
from napts.plotting.compare import cost_figure
from napts.plotting.drawings import tuning_studies
from napts.plotting.registry import ordered
from napts.plotting.style import look_of, looks
from napts.plotting.targets import target_figure
from napts.records.metric import Metric

RMSE = Metric("rmse", "min")
FOREIGN = (
    *("torch.optim.AdamW", "prodigyopt.Prodigy", "schedulefree.AdamWScheduleFree", "DoG"),
    *("schedulefree.SGDScheduleFree", "dadaptation.DAdaptAdam", "torch.optim.Muon"),
)
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("wine")
    for method in ("TR", "NAPTS", "torch.optim.AdamW"):
        for seed in range(2):
            write_run(
                root, method=method, seed=seed, workload="wine", experiment="wine",
                metric=RMSE, epochs=3,
            )  # fmt: skip
    for lr in (0.1, 0.2):
        write_run(
            root, method="torch.optim.AdamW", workload="wine", experiment="tune-wine-AdamW",
            metric=RMSE, kind="tuning", options={"lr": lr}, epochs=2,
        )  # fmt: skip
    return root


@pytest.fixture(scope="module")
def collection(records: Path) -> Collection:
    return load_collection(records)


@pytest.fixture(scope="module")
def section(collection: Collection) -> Section:
    return collection.of_kind("comparison")[0]


def test_no_figure_says_accuracy(collection: Collection, section: Section) -> None:
    drawings = [drawing for report in ordered() for drawing in report.drawings(section)]
    drawings += [study.drawing for study in tuning_studies(collection)]
    assert len(drawings) > 4
    said = []
    for drawing in drawings:
        texts = [text.get_text() for text in drawing.figure().findobj(Text)]  # pyright: ignore
        said += [drawing.title, *map(str, drawing.data.columns), *texts]
    assert not [text for text in said if "accuracy" in text.lower()]
    for text in (
        "Validation rmse",
        "Time to a target rmse",
        "Rmse by the number of settings tried",
    ):
        assert text in said


def test_no_table_and_no_page_says_accuracy(records: Path, tmp_path: Path) -> None:
    paths = render(["table", "html", "claims"], records, tmp_path)
    assert {path.suffix for path in paths} >= {".csv", ".txt", ".md", ".html"}
    for path in paths:
        assert "accuracy" not in path.read_text(encoding="utf-8").lower(), path
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "NAPTS (n = 2): rmse " in page
    assert "val. rmse" in page


def test_only_fractions_are_in_percent(section: Section) -> None:
    figure = cost_figure(section.epochs)
    labels = [axes.get_ylabel() for axes in figure.axes]
    assert not [label for label in labels if "%" in label]
    (axes, _) = (a for a in figure.axes if a.get_title() == "Validation rmse")
    lines = [line.get_ydata() for line in axes.get_lines()]
    highest = max(float(np.max(np.asarray(values, dtype=float))) for values in lines)
    trained = section.epochs[section.epochs["epoch"] > 0]
    assert highest <= trained["val_rmse"].max()


def test_harder_targets_are_farther_to_the_right(section: Section) -> None:
    axes = target_figure(section.epochs).axes[0]
    values = [float(label.get_text()) for label in axes.get_xticklabels()]
    assert values == sorted(values, reverse=True)
    assert axes.get_xlabel() == "target validation rmse"


def test_unknown_methods_have_looks_of_their_own() -> None:
    frame = pd.DataFrame({"method": [*FOREIGN, "NAPTS"], "label": [*FOREIGN, "NAPTS"]})
    found = looks(frame)
    assert len(set(found.values())) == len(found)
    assert len({look.color for look in found.values()}) == len(found)
    assert not {found[name].marker for name in FOREIGN} & {look.marker for look in LOOKS.values()}
    assert looks(frame.iloc[::-1]) == found
    assert looks(frame.iloc[:1])[FOREIGN[0]] == look_of(FOREIGN[0])


_ALLOWED = {
    "papers/": "the papers' own metric",
    "problems/": "each names its own",
    "records/metric.py": "the constant for old records",
    "optim/sr1.py": "of numbers",
    "optim/subproblem.py": "of numbers",
}


def test_no_generic_module_says_accuracy() -> None:
    """What is measured is said by the problem; see `napts.records.metric`."""
    package = ROOT / "napts"
    said = []
    for path in package.rglob("*.py"):
        name = path.relative_to(package).as_posix()
        if not name.startswith(tuple(_ALLOWED)) and re.search("accuracy", path.read_text(), re.I):
            said.append(name)
    assert said == []
