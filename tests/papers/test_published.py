"""The figures of APTS in weights and in data, and the published averages beside them."""

from pathlib import Path
from typing import Any

import pytest
from matplotlib.colors import to_hex

from benchmarks.made_runs import write_run
from napts.analysis import Section, load_collection
from napts.papers.figures.weights_and_data import (
    course_by_epoch,
    has_any,
    has_both_kinds,
    part_looks,
    weights_figure,
)
from napts.papers.published import PUBLISHED, published_for, published_table
from napts.plotting import render
from napts.plotting.style import style


def weights(subdomains: int, order: int = 1, *, forced: bool = False) -> dict[str, Any]:
    return {"subdomains": subdomains, "order": order, "forced_decrease": forced}


def write_family(root: Path, seeds: int = 2) -> None:
    """Full batches of MNIST: two numbers of subdomains, both orders, with and without fdl."""
    common: dict[str, Any] = {
        "workload": "mnist-fcnn",
        "epochs": 4,
        "batch_size": 55_000,
        "workload_options": {"sigmoid_output": True},
    }
    for seed in range(seeds):
        for count in (2, 6):
            for order in (1, 2):
                for forced in (False, True):
                    label = f"APTS({count}, {order})" + (" fdl" if forced else "")
                    options = weights(count, order, forced=forced)
                    write_run(
                        root, method="APTSW", seed=seed, label=label, options=options, **common
                    )
        write_run(root, method="Adam", seed=seed, **common)
        write_run(root, method="TR", label="TR(2)", seed=seed, options={"order": 2}, **common)


@pytest.fixture
def section(tmp_path: Path) -> Section:
    write_family(tmp_path)
    return load_collection(tmp_path).sections[0]


def test_columns_without_and_with_forced_decrease(section: Section) -> None:
    with style():
        axes = weights_figure(section).axes
    titles = [panel.get_title(loc="left") for panel in axes]
    assert titles == ["Training loss", "", "", "Validation accuracy", "", ""]
    legends = [panel.get_legend() for panel in axes[:3]]
    named = {found.get_title().get_text(): len(found.get_texts()) for found in legends}
    assert named == {"without forced decrease": 4, "with forced decrease": 4, "other methods": 2}
    curves = [len([ln for ln in panel.get_lines() if len(ln.get_xdata()) > 1]) for panel in axes]
    assert curves == [4 + 4 + 2] * 6  # those of the other columns in grey
    assert axes[0].get_ylim() == axes[1].get_ylim()


def test_colour_tells_subdomains_and_dashes_tell_order(section: Section) -> None:
    look = part_looks(section)
    assert look["APTS(2, 1)"].color == look["APTS(2, 2) fdl"].color != look["APTS(6, 1)"].color
    assert look["APTS(2, 1)"].dashes == look["APTS(6, 1)"].dashes != look["APTS(2, 2)"].dashes
    assert look["APTS(2, 1)"].marker != look["APTS(2, 1) fdl"].marker
    assert look["TR(2)"].dashes == look["APTS(6, 2)"].dashes


def test_methods_of_one_comparison_look_different(tmp_path: Path) -> None:
    for count in (2, 4, 6):
        for order in (1, 2):
            label = f"({count}, {order})"
            for method, options in (
                ("APTSW", weights(count, order)),
                ("APTSD", {"shards": count, "order": order}),
            ):
                write_run(tmp_path, method=method, label=method + label, options=options, epochs=2)
    look = part_looks(load_collection(tmp_path).sections[0])
    assert len(set(look.values())) == len(look) == 12


def test_published_averages_stand_to_the_right(section: Section) -> None:
    averages = published_for(section)
    assert set(averages) == {"APTS(2, 1)", "APTS(6, 1)", "Adam"}
    assert averages["APTS(6, 1)"].accuracy == 95.91
    with style():
        panels = course_by_epoch(section).axes
    accuracy = [axes for axes in panels[len(panels) // 2 :] if axes.get_visible()]
    lines = [line for axes in accuracy for line in axes.get_lines()]
    points = [line for line in lines if len(line.get_xdata()) == 1]
    told = {(to_hex(p.get_markeredgecolor()), float(p.get_ydata()[0])) for p in points}
    look = part_looks(section)
    assert told == {(look[k].color.lower(), a.accuracy) for k, a in averages.items()}
    assert all(point.get_xdata()[0] > 4 for point in points)


def test_the_published_table_has_theirs_beside_ours(section: Section) -> None:
    table = published_table(section)
    assert table is not None
    assert [row[0] for row in table.rows] == ["APTS(2, 1)", "APTS(6, 1)", "Adam"]
    assert table.rows[1][3:] == ["4 (n=2)", "95.91 [85.4, 97.5]", "1.49", "100 (n=10)"]


def test_averages_of_other_problems_are_not_ours(tmp_path: Path) -> None:
    """The network without the sigmoid, another batch size, a part of the data."""
    for change in (
        {"batch_size": 55_000},
        {"batch_size": 1000, "workload_options": {"sigmoid_output": True}},
        {
            "batch_size": 55_000,
            "workload_options": {"sigmoid_output": True, "train_samples": 100},
        },
    ):
        root = tmp_path / str(len(list(tmp_path.iterdir())))
        options = weights(6)
        write_run(root, method="APTSW", workload="mnist-fcnn", options=options, **change)
        section = load_collection(root).sections[0]
        assert published_for(section) == {}
        assert published_table(section) is None


def test_every_average_has_its_place_once() -> None:
    places = [(a.workload, a.batch, a.method, *sorted(a.options.items())) for a in PUBLISHED]
    assert len(set(places)) == len(places)
    assert all(10 < a.accuracy < 100 for a in PUBLISHED)
    assert all(a.span is None or a.span[0] < a.accuracy < a.span[1] for a in PUBLISHED)
    sigmoid_floor = 1.46115
    assert all(
        a.loss is None or a.loss > sigmoid_floor for a in PUBLISHED if a.workload == "mnist-fcnn"
    )


def test_the_report_writes_them(section: Section, tmp_path: Path) -> None:
    names = {path.name for path in render("family", tmp_path, tmp_path / "out")}
    assert {"weights-mnist-fcnn.png", "course-mnist-fcnn.svg", "published-mnist-fcnn.md"} <= names
    assert "published-mnist-fcnn.csv" not in names


def test_other_comparisons_have_no_such_figure(tmp_path: Path) -> None:
    write_run(tmp_path, method="NAPTS")
    section = load_collection(tmp_path).sections[0]
    assert not has_any(section)
    assert not has_both_kinds(section)
    assert render("family", tmp_path, tmp_path / "out") == []
