"""What a figure must not do to its reader: hide a method, share a colour, show nothing."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

from benchmarks.made_runs import write_comparison, write_run
from napts.analysis import Section, load_collection
from napts.analysis.looks import LOOKS
from napts.papers.figures.weights_and_data import weights_and_data_drawings
from napts.plotting.compare import acceptance_figure, cost_figure, radius_figure
from napts.plotting.courses import MOST
from napts.plotting.curves import BEHIND, POINTS, dominated
from napts.plotting.palette import few_colours
from napts.plotting.registry import ordered
from napts.plotting.style import looks, style
from napts.plotting.targets import target_figure

MANY = (
    *("TR", "NTR", "APTS", "APTSA", "NAPTS", "APTSW", "APTSD", "Adam", "SGD", "LBFGS"),
    *("torch.optim.AdamW", "torch.optim.RMSprop", "torch.optim.Adagrad", "torch.optim.NAdam"),
)
Row = dict[str, Any]


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Section:
    root = tmp_path_factory.mktemp("many")
    write_comparison(root, seeds=1, methods=MANY, epochs=4)
    write_run(root, method="TR", label="TR(2)", options={"order": 2}, epochs=4)
    return load_collection(root).sections[0]


@pytest.fixture(scope="module")
def drawn(many: Section) -> dict[str, Figure]:
    drawings = [drawing for report in ordered() for drawing in report.drawings(many)]
    return {drawing.name.partition("-")[0]: drawing.figure() for drawing in drawings}


def legends(figure: Figure) -> list[list[str]]:
    boxes = [*figure.legends, *(a.get_legend() for a in figure.axes if a.get_legend())]
    return [[text.get_text() for text in box.get_texts()] for box in boxes if box]


def coloured(axes: Axes) -> list[str]:
    colours = [to_hex(line.get_color()) for line in axes.get_lines() if len(line.get_xydata()) > 1]
    return [colour for colour in colours if colour != BEHIND.lower()]


def test_the_problem_stands_in_every_title(drawn: dict[str, Figure]) -> None:
    assert {"cost", "target", "figure2", "rejections", "radius"} <= set(drawn)
    for name, figure in drawn.items():
        title = max(figure.texts, key=lambda text: text.get_fontsize()).get_text()
        assert title.startswith("digits-cnn"), name


def test_no_legend_has_more_than_seven_entries(drawn: dict[str, Figure]) -> None:
    for name in ("cost", "target"):
        found = legends(drawn[name])
        assert all(0 < len(entries) <= MOST for entries in found)
        assert sum(map(len, found)) == len(MANY) + 1, "each method stands in one of them"


def test_no_two_methods_share_a_colour(many: Section, drawn: dict[str, Figure]) -> None:
    colours = [look.color for look in looks(many.epochs).values()]
    assert len(set(colours)) == len(colours)
    for axes in drawn["cost"].axes:
        assert len(set(coloured(axes))) == len(coloured(axes))


def test_a_line_below_another_stays_visible(many: Section, tmp_path: Path) -> None:
    for method in ("APTS", "NAPTS", "Adam"):
        write_run(tmp_path, method=method, epochs=30, change=lambda row: row)
    with style():
        axes = cost_figure(load_collection(tmp_path).sections[0].epochs).axes[0]
    lines = [line for line in axes.get_lines() if len(line.get_xydata()) == 30]
    widths = [line.get_linewidth() for line in lines]
    assert len(lines) == 3
    assert widths == sorted(widths, reverse=True)
    assert len(set(widths)) == 3
    assert len({line.get_markevery() for line in lines}) == 3


def spoilt(by: float) -> Callable[[Row], Row]:
    return lambda row: {**row, "train_loss": row["train_loss"] + by} if row["epoch"] else row


@pytest.mark.parametrize("alone", [0.0, 50.0])
def test_where_one_seed_makes_the_band_it_is_quartiles(tmp_path: Path, alone: float) -> None:
    for seed in range(5):
        by = alone if seed == 4 else 0.1 * seed
        write_run(tmp_path, method="NAPTS", seed=seed, epochs=4, change=spoilt(by))
    epochs = load_collection(tmp_path).sections[0].epochs
    assert dominated(epochs, ["train_loss"]) == (alone > 0)
    with style():
        figure = cost_figure(epochs)
    heights = figure.axes[0].collections[0].get_paths()[0].vertices[:, 1]
    values = epochs[epochs["epoch"] > 0]["train_loss"]
    assert (heights.max() < values.max() - 10) == (alone > 0)
    words = figure._supxlabel.get_text()  # pyright: ignore
    assert ("quartiles" in words) == (alone > 0)


def test_long_runs_are_drawn_with_few_points(tmp_path: Path) -> None:
    write_run(tmp_path, method="NAPTS", epochs=1000)
    epochs = load_collection(tmp_path).sections[0].epochs
    with style():
        (line,) = cost_figure(epochs).axes[0].get_lines()
    assert 100 < len(line.get_xydata()) <= POINTS
    last = epochs["train_seconds_total"].max()
    assert np.asarray(line.get_xdata())[-1] == pytest.approx(last)


def test_marks_of_a_target_stand_side_by_side(many: Section) -> None:
    with style():
        figure = target_figure(many.epochs)
    for axes in (a for a in figure.axes if a.get_xlabel().startswith("target")):
        places = [float(np.asarray(line.get_xdata())[0]) for line in axes.get_lines()
                  if line.get_marker() not in ("None", "")]  # fmt: skip
        assert len(places) > 1
        assert min(np.diff(sorted(places))) > 0.05


def constant(**values: float) -> Callable[[Row], Row]:
    return lambda row: {**row, **values} if row["epoch"] else row


def test_radii_are_a_distribution_and_constant_ones_have_no_panel(tmp_path: Path) -> None:
    radii = (0.05, 0.1, 0.2)
    for seed, radius in enumerate(radii):
        write_run(tmp_path, method="TR", seed=seed, epochs=1, change=constant(radius=radius))
        write_run(tmp_path, method="NTR", seed=seed, epochs=1, change=constant(radius=0.5))
    epochs = load_collection(tmp_path).sections[0].epochs
    with style():
        figure = radius_figure(epochs)
    (axes,) = [a for a in figure.axes if a.get_visible()]
    assert axes.get_title(loc="left").startswith("TR")
    ends = np.concatenate([np.asarray(c.get_segments())[0][:, 1] for c in axes.collections])
    assert {0.05, 0.1, 0.2} <= set(ends.tolist()), "range and median, not the mean of 0.117"
    assert "NTR (0.5)" in figure._supxlabel.get_text()  # pyright: ignore


def test_shares_that_never_change_have_no_panel(tmp_path: Path) -> None:
    for seed in range(2):
        write_run(tmp_path, method="TR", seed=seed, epochs=4)
        write_run(tmp_path, method="NAPTS", seed=seed, epochs=4,
                  change=lambda row: {**row, "nonmonotone": row["epoch"]})  # fmt: skip
    epochs = load_collection(tmp_path).sections[0].epochs
    with style():
        figure = acceptance_figure(epochs)
    titles = [a.get_title(loc="left") for a in figure.axes if a.get_visible()]
    assert titles == ["Batches accepted by the memory alone"]
    assert legends(figure) == [["NAPTS (n=2)"]]
    assert all(a.get_lines() for a in figure.axes if a.get_visible())


def test_weights_and_others_have_columns_of_their_own(tmp_path: Path) -> None:
    for subdomains in (2, 4, 6):
        for forced in (False, True):
            options = {"subdomains": subdomains, "forced_decrease": forced}
            label = f"APTS({subdomains}, 1){' fdl' if forced else ''}"
            write_run(tmp_path, method="APTSW", label=label, options=options, epochs=3)
    write_run(tmp_path, method="TR", label="TR(2)", options={"order": 2}, epochs=3)
    write_run(tmp_path, method="LBFGS", label="LBFGS(20)", epochs=3)
    section = load_collection(tmp_path).sections[0]
    weights = next(d for d in weights_and_data_drawings(section) if d.name.startswith("weights"))
    figure = weights.figure()
    assert [len(entries) for entries in legends(figure)] == [3, 3, 2]
    assert len(set(coloured(figure.axes[2]))) == 2


def test_few_colours_keep_those_of_the_lines(drawn: dict[str, Figure]) -> None:
    buffer = io.BytesIO()
    drawn["target"].savefig(buffer, format="png", dpi=80)
    with PIL.Image.open(buffer) as image:
        before = np.asarray(image.convert("RGB")).astype(int)
        after = np.asarray(few_colours(image, 24).convert("RGB")).astype(int)
    assert len(np.unique(after.reshape(-1, 3), axis=0)) <= 24
    found = set()
    for name in ("TR", "NTR", "APTS", "APTSA", "NAPTS", "Adam"):
        wanted = 255 * np.array(to_rgb(LOOKS[name].color))
        pure = (np.abs(before - wanted) < 2).all(axis=2)
        assert pure.sum() >= 5
        shown = after[pure][0]
        assert np.abs(shown - wanted).max() < 40
        found.add(tuple(shown))
    assert len(found) == 6
