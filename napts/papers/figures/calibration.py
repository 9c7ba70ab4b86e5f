"""How each claim depends on each setting: one row per cell, one column per claim."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from napts.analysis import Collection, Section, Table
from napts.analysis.tables import SINGLE, number, over_runs, percent
from napts.papers.claims import Judgement, Verdict, claims_frame
from napts.papers.claims.calibration import SCORED, CellResult, deciding, score_cells
from napts.papers.claims.identification import is_identification
from napts.papers.figures.window import window_drawings
from napts.plotting.annotate import caption
from napts.plotting.drawings import Drawing
from napts.plotting.files import save_drawings
from napts.plotting.page import Body
from napts.plotting.provenance import provenance_of
from napts.plotting.style import new_figure
from napts.records.metric import ACCURACY

_BEST = 12

COLORS = {
    Verdict.CONFIRMED: "#92C5DE",
    Verdict.UNDECIDED: "#F7F3DC",
    Verdict.REFUTED: "#F4A582",
    Verdict.NOT_TESTED: "#EEEEEE",
}
"""Colour of each verdict; each cell also holds its number."""

HEADS = {
    "N1": "accuracy\nNAPTS - APTS",
    "N2": "CPU time\nNAPTS / APTS",
    "N3": "rejections\nNAPTS / APTS",
    "N4": "rejections\nNTR / TR",
    "N5": "accuracy at 2E\nTR, NTR - APTS",
    "N6": "backwards\nTR / APTS",
    "N7": "loss, accuracy\nover TR, NTR",
    "N8": "CPU time\nAPTSA / APTS",
    "N9": "CPU time\nNAPTS / APTSA",
    "N10": "rejected\nproposals",
}
"""What the number of each claim is about."""


def calibration_figure(cells: Sequence[CellResult]) -> Figure:
    """Draw the verdicts on all claims in all cells of a calibration study.

    Args:
        cells: Results of `napts.papers.claims.calibration.score_cells`, best first.
    """
    figure = new_figure(11.0, 1.6 + 0.24 * len(cells))
    axes = figure.subplots()
    verdicts = list(COLORS)
    codes = [[verdicts.index(j.verdict) for j in cell.judgements] for cell in cells]
    numbers = [[_number(j) for j in cell.judgements] for cell in cells]
    sns.heatmap(
        np.array(codes),
        annot=np.array(numbers),
        fmt="",
        cmap=ListedColormap([COLORS[verdict] for verdict in verdicts]),
        vmin=-0.5,
        vmax=len(verdicts) - 0.5,
        cbar=False,
        linewidths=0.6,
        linecolor="white",
        annot_kws={"fontsize": 7.5, "color": "#222222"},
        ax=axes,
    )
    heads = [f"{name}\n{HEADS[name]}" for name in SCORED]
    axes.set_xticklabels(heads, rotation=0, fontsize=6)
    names = [f"{cell.name}  ({cell.score:g}; {percent(cell.accuracy)} %)" for cell in cells]
    names[0] = f"winner: {names[0]}"
    axes.set_yticklabels(names, rotation=0, fontsize=8)
    _mark_winner(axes, columns=len(SCORED))
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    handles = [Patch(color=color, label=str(verdict)) for verdict, color in COLORS.items()]
    figure.legend(handles=handles, loc="outside upper left", ncols=4, fontsize=8)
    caption(
        figure,
        "Rows: what is changed, with the score and NAPTS's accuracy in brackets, the best first; "
        "the winner is framed. Each cell shows the number that the verdict rests on, the worst of "
        "those of the claim.",
    )
    return figure


def _mark_winner(axes: Axes, columns: int) -> None:
    """Put a frame around the first row, and print its name in bold."""
    frame = Rectangle((0, 0), columns, 1, fill=False, edgecolor="#222222", linewidth=2.2)
    axes.add_patch(frame).set_clip_on(False)
    for name in axes.get_yticklabels()[:1]:
        name.set_fontweight("bold")


def _number(judgement: Judgement) -> str:
    index = deciding(judgement)
    estimate = judgement.findings[index].estimate if index is not None else None
    return number(estimate.value, places=2) if estimate else ""


@dataclass(frozen=True)
class Calibration:
    """A calibration study, its cells from best to worst, and its figures."""

    section: Section
    cells: tuple[CellResult, ...]
    drawings: tuple[Drawing, ...]


@lru_cache(maxsize=1)  # several reports on one collection ask for them, and scoring takes a while
def calibrations(collection: Collection) -> list[Calibration]:
    """Return the calibration studies that are scored by ratios."""
    sections = [s for s in collection.of_kind("calibration") if s.metric == ACCURACY]
    return [_calibration(section) for section in sections if not is_identification(section)]


def _calibration(section: Section) -> Calibration:
    cells = tuple(score_cells(section))
    frames = [
        claims_frame(cell.judgements).assign(cell=cell.name, score=cell.score) for cell in cells
    ]
    grid = Drawing(
        section.slug,
        "How each claim depends on each setting",
        section,
        pd.concat(frames, ignore_index=True),
        lambda: calibration_figure(cells),
    )
    return Calibration(section, cells, (grid, *window_drawings(section)))


def calibration_files(collection: Collection, out_dir: Path, command: str) -> list[Path]:
    """Write the figures of all calibration studies; arguments and result as for any report."""
    drawings = (drawing for study in calibrations(collection) for drawing in study.drawings)
    return save_drawings(drawings, out_dir, command)


def calibration_parts(collection: Collection, command: str) -> Iterator[Body]:
    """Yield a part of the page for every calibration study."""
    return (_part(study, command) for study in calibrations(collection))


def _part(study: Calibration, command: str) -> Body:
    section, best = study.section, study.cells[0]
    return Body(
        section.slug,
        f"Calibration on {section.workload}",
        f"{len(study.cells)} cells, {len(section.records)} runs: which of the claims N1 to N10 "
        "hold with which of the settings that the paper does not print.",
        [_cells_table(study.cells)],
        [drawing.picture() for drawing in study.drawings],
        f"Best cell: {best.name}, with a score of {best.score:g} of {len(best.judgements)}.",
        provenance_of(section, command),
        section.records,
    )


def _cells_table(cells: Sequence[CellResult]) -> Table:
    names = [judgement.claim.name for judgement in cells[0].judgements]
    rows = [
        [
            cell.name,
            f"{cell.score:g}",
            str(cell.accuracies.n),
            over_runs(cell.accuracies, percent),
            *(str(j.verdict) for j in cell.judgements),
        ]
        for cell in cells[:_BEST]
    ]
    return Table(
        "The best cells",
        ["changed", "score", "n", "NAPTS accuracy %", *names],
        rows,
        [
            "One point for a confirmed claim, half of one for an undecided one; then by accuracy: "
            f"validation, mean [min, max] over n seeds. {SINGLE}"
        ],
    )
