"""Figures: what is drawn is what the records say, in a look that never changes."""

import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

from benchmarks.made_runs import write_comparison, write_run
from napts.analysis import load_collection
from napts.papers.figures.figure2 import figure2, figure2_drawings
from napts.plotting.annotate import count_runs, fitting_columns
from napts.plotting.compare import cost_figure, radius_figure, rejection_figure
from napts.plotting.curves import SPANS, in_spans
from napts.plotting.drawings import COMPARE, comparison_drawings
from napts.plotting.provenance import Provenance, save_figure
from napts.plotting.style import look_of, looks, new_figure, style
from napts.plotting.targets import has_times

FIGURES = (figure2, cost_figure, rejection_figure, radius_figure)
PROVENANCE = Provenance("demo / digits-cnn", 6, "0123456789ab", "feedbeef0123", "napts report x")


@pytest.fixture
def epochs(tmp_path: Path) -> pd.DataFrame:
    write_comparison(tmp_path, seeds=2, methods=("TR", "NAPTS", "Adam"), epochs=4)
    write_run(tmp_path, method="SGD", state="diverged", epochs=4, epochs_done=2)
    return load_collection(tmp_path).sections[0].epochs


def panel(axes: list[Axes], title: str) -> Axes:
    return next(each for each in axes if each.get_title(loc="left").startswith(title))


@pytest.mark.parametrize("figure", FIGURES)
def test_every_figure_saves_in_four_formats(epochs: pd.DataFrame, tmp_path: Path, figure) -> None:
    with style():
        drawn = figure(epochs)
    paths = save_figure(drawn, tmp_path / "out", "name", epochs, PROVENANCE)
    assert [path.suffix for path in paths] == [".pdf", ".svg", ".png", ".csv"]
    assert all(path.stat().st_size > 500 for path in paths)


def test_lines_are_means_and_bands_are_ranges(epochs: pd.DataFrame) -> None:
    with style():
        loss = panel(figure2(epochs).axes, "Training loss")
    color = look_of("NAPTS").color.lower()
    line = next(ln for ln in loss.get_lines() if to_hex(ln.get_color()) == color)
    rows = epochs[(epochs["label"] == "NAPTS") & (epochs["epoch"] > 0)]
    by_epoch = rows.groupby("epoch")["train_loss"]
    np.testing.assert_allclose(np.asarray(line.get_ydata()), by_epoch.mean())
    band = next(c for c in loss.collections if to_hex(c.get_facecolor()[0]) == color)
    heights = band.get_paths()[0].vertices[:, 1]
    assert heights.min() == pytest.approx(by_epoch.min().min())
    assert heights.max() == pytest.approx(by_epoch.max().max())


def test_bars_are_rejections_over_the_whole_run(epochs: pd.DataFrame) -> None:
    with style():
        bars = panel(figure2(epochs).axes, "Rejected steps over")
    labels = [tick.get_text() for tick in bars.get_yticklabels()]
    assert labels == ["TR", "NAPTS"]
    widths = [patch.get_width() for patch in bars.patches]
    trained = epochs[epochs["epoch"] > 0]
    for label, width in zip(labels, widths, strict=True):
        runs = trained[trained["label"] == label].groupby("seed")[["rejections", "batches"]].sum()
        assert width == pytest.approx((runs["rejections"] / runs["batches"]).mean())


def test_figure_2_shows_the_papers_methods_and_names_the_others(tmp_path: Path) -> None:
    methods = ("TR", "NTR", "APTS", "APTSA", "NAPTS", "LBFGS")
    write_comparison(tmp_path, seeds=1, methods=methods, epochs=2)
    epochs = load_collection(tmp_path).sections[0].epochs
    with style():
        figure = figure2(epochs)
    entries = [text.get_text().split()[0] for text in figure.legends[0].get_texts()]
    assert entries == list(methods[:5])
    assert any(
        "not in the paper's figure: LBFGS." in " ".join(text.get_text().split())
        for text in figure.texts
    )


def test_phases_add_up_to_the_total(epochs: pd.DataFrame) -> None:
    with style():
        (axes,) = rejection_figure(epochs).axes
    widths = np.array([patch.get_width() for patch in axes.patches]).reshape(-1, 3)
    trained = epochs[epochs["epoch"] > 0]
    for label, width in zip(("TR", "NAPTS"), widths.sum(axis=1), strict=True):
        rows = trained[trained["label"] == label]
        assert width == pytest.approx(rows["rejections"].sum() / rows["batches"].sum())


def test_a_method_without_a_radius_rejects_nothing(epochs: pd.DataFrame) -> None:
    foreign = epochs.replace({"Adam": "torch.optim.AdamW"})
    assert "torch.optim.AdamW" in set(foreign["label"])
    with style():
        (axes,) = rejection_figure(foreign).axes
        bars = panel(figure2(foreign).axes, "Rejected steps over")
    for drawn in (axes, bars):
        assert [tick.get_text().split()[0] for tick in drawn.get_yticklabels()] == ["TR", "NAPTS"]


def test_a_diverged_run_is_shown_and_counted(epochs: pd.DataFrame) -> None:
    with style():
        figure = figure2(epochs)
    loss = panel(figure.axes, "Training loss")
    crosses = [line for line in loss.get_lines() if line.get_marker() == "x"]
    assert [list(np.asarray(line.get_xdata())) for line in crosses] == [[2]]
    entries = [text.get_text() for text in figure.legends[0].get_texts()]
    assert entries == ["TR (n=2)", "NAPTS (n=2)", "Adam (n=2)", "SGD (n=1, 1 diverged)"]


@pytest.mark.parametrize("epochs_done", [0, 2])
def test_a_mean_ends_where_a_run_diverges(tmp_path: Path, epochs_done: int) -> None:
    for seed in (0, 1):
        write_run(tmp_path, method="SGD", seed=seed, epochs=5)
    state = {"state": "diverged", "epochs": 5, "epochs_done": epochs_done}
    write_run(tmp_path, method="SGD", seed=2, **state)
    epochs = load_collection(tmp_path).sections[0].epochs
    with style():
        figure = figure2(epochs)
    loss = panel(figure.axes, "Training loss")
    mean, *thin = [line for line in loss.get_lines() if line.get_marker() != "x"]
    assert list(np.asarray(mean.get_xdata())) == list(range(1, epochs_done + 1))
    rows = epochs[(epochs["epoch"] >= max(1, epochs_done)) & (epochs["seed"] < 2)]
    drawn = [np.asarray(line.get_ydata()) for line in thin][:2]
    for line, seed in zip(drawn, (0, 1), strict=True):
        np.testing.assert_allclose(line, rows[rows["seed"] == seed]["train_loss"])
    words = " ".join(" ".join(text.get_text() for text in figure.texts).split())
    assert "Thin lines: seeds that went on where one failed or diverged." in words


def test_infinite_losses_do_not_break_a_figure(tmp_path: Path) -> None:
    def change(row):
        return {**row, "train_loss": "inf" if row["epoch"] > 1 else row["train_loss"]}

    write_run(tmp_path, method="SGD", state="diverged", epochs_done=3, change=change)
    epochs = load_collection(tmp_path).sections[0].epochs
    with style():
        loss = panel(figure2(epochs).axes, "Training loss")
    assert np.isfinite(loss.get_ylim()).all()


def test_a_method_keeps_its_colour_whatever_else_is_shown(epochs: pd.DataFrame) -> None:
    alone = looks(epochs[epochs["label"] == "NAPTS"])
    assert looks(epochs)["NAPTS"] == alone["NAPTS"]
    assert alone["NAPTS"].color == look_of("NAPTS").color


def test_variants_of_a_method_have_different_colours(tmp_path: Path) -> None:
    for window in (5, 10, 20):
        write_run(tmp_path, options={"window": window})
    frame = load_collection(tmp_path).sections[0].epochs
    assert len({look.color for look in looks(frame).values()}) == 3


def test_runs_are_counted_with_their_failures(epochs: pd.DataFrame) -> None:
    assert count_runs(epochs[epochs["label"] == "SGD"]) == "n=1, 1 diverged"


def test_style_leaves_no_trace() -> None:
    before = dict(mpl.rcParams)
    with style():
        assert mpl.rcParams["pdf.fonttype"] == 42
    assert dict(mpl.rcParams) == before


SCRIPT = """
import sys
from pathlib import Path
from napts.plotting import render
render("figure2", Path("records"), Path(sys.argv[1]))
"""


def test_two_processes_write_the_same_bytes(tmp_path: Path) -> None:
    write_comparison(tmp_path / "records", seeds=2, methods=("TR", "NAPTS"), epochs=3)
    for seed in ("1", "2"):
        # Another hash seed per process: no order of a set may reach a file.
        subprocess.run(
            [sys.executable, "-W", "error", "-c", SCRIPT, "out"],
            cwd=tmp_path,
            check=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(Path.cwd()), "HOME": str(tmp_path)},
        )
        (tmp_path / "out").rename(tmp_path / seed)
    for kind in ("pdf", "svg", "png", "csv"):
        name = f"figure2-digits-cnn.{kind}"
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes(), kind


def test_provenance_is_readable_from_every_file(epochs: pd.DataFrame, tmp_path: Path) -> None:
    from PIL import Image

    with style():
        figure = radius_figure(epochs)
    pdf, svg, png, csv = save_figure(figure, tmp_path, "radius", epochs, PROVENANCE)
    for needle in ("digest feedbeef0123", "revision: 0123456789ab", "command: napts report x"):
        assert needle.encode() in pdf.read_bytes()
        assert needle in svg.read_text(encoding="utf-8")
        with Image.open(png) as image:
            assert needle in image.info["Description"]
        assert needle in csv.read_text(encoding="utf-8")
    assert b"CreationDate" not in pdf.read_bytes()
    again = pd.read_csv(csv, comment="#")
    assert len(again) == len(epochs)
    np.testing.assert_allclose(again["val_loss"], epochs["val_loss"], rtol=1e-9)


@pytest.mark.parametrize(("count", "width"), [(7, 9.6), (7, 4.2), (8, 9.6), (1, 4.2), (12, 7.2)])
def test_legends_fit_and_leave_no_row_nearly_empty(count: int, width: float) -> None:
    entries = ["NAPTS (n=3)"] * count
    columns = fitting_columns(new_figure(width, 3.0), entries)
    rows = -(-count // columns)
    assert columns == -(-count // rows)
    assert columns * (0.067 * len(entries[0]) + 0.56) <= max(width, 1.5)


def test_rejections_of_long_runs_are_averaged_over_spans(tmp_path: Path) -> None:
    write_run(tmp_path, method="TR", epochs=3 * SPANS - 1)
    write_run(tmp_path, method="NAPTS", epochs=7)
    frame = load_collection(tmp_path).sections[0].epochs
    column = "rejections_per_batch"
    spans, words = in_spans(frame, [column])
    assert words == " Each point: mean over 3 epochs."
    for label, last in (("TR", 3 * SPANS - 1), ("NAPTS", 7)):
        before, after = (f[f["label"] == label].set_index("epoch")[column] for f in (frame, spans))
        assert after.dropna().index.tolist() == [*range(3, last, 3), last]
        assert after[3] == pytest.approx(before.loc[1:3].mean())
        assert after[last] == pytest.approx(before.loc[3 * ((last - 1) // 3) + 1 :].mean())
    assert spans["train_loss"].equals(frame["train_loss"])
    short = frame[frame["epoch"] <= SPANS]
    same, words = in_spans(short, [column])
    assert same is short
    assert not words


def test_a_title_says_nothing_of_rejected_steps_where_nobody_rejects(tmp_path: Path) -> None:
    write_run(tmp_path / "plain", method="Adam")
    (drawing,) = figure2_drawings(load_collection(tmp_path / "plain").sections[0])
    assert drawing.title == "Loss and accuracy by epoch"
    write_run(tmp_path / "trust", method="TR")
    (drawing,) = figure2_drawings(load_collection(tmp_path / "trust").sections[0])
    assert drawing.title == "Loss, accuracy and rejected steps"


def test_no_times_to_targets_where_every_run_is_there_at_the_start(tmp_path: Path) -> None:
    for method in ("TR", "Adam"):
        write_run(tmp_path / "moving", method=method)
        write_run(
            tmp_path / "still", method=method, change=lambda row: {**row, "val_accuracy": 0.5}
        )
    frames = [load_collection(tmp_path / n).sections[0].epochs for n in ("moving", "still")]
    assert list(map(has_times, frames)) == [True, False]


def test_a_single_panel_does_not_repeat_the_title(tmp_path: Path) -> None:
    write_run(tmp_path, method="TR")
    section = load_collection(tmp_path).sections[0]
    (drawing,) = (d for d in comparison_drawings(section, COMPARE) if d.name[:4] == "reje")
    figure = drawing.figure()
    assert [axes.get_title("left") for axes in figure.axes] == [""]
    assert any(drawing.title in text.get_text() for text in figure.texts)
