"""How each claim depends on each setting: one row per cell, one column per claim."""

from collections.abc import Sequence

import numpy as np
import seaborn as sns
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from napts.analysis.tables import number, percent
from napts.claims import Judgement, Verdict
from napts.claims.calibration import SCORED, CellResult, deciding
from napts.plotting.annotate import caption
from napts.plotting.style import new_figure

COLORS = {
    Verdict.CONFIRMED: "#9CC9A3",
    Verdict.UNDECIDED: "#F3E3A6",
    Verdict.REFUTED: "#E9A9A2",
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


def calibration_figure(cells: Sequence[CellResult], *, narrow: bool = False) -> Figure:
    """Draw the verdicts on all claims in all cells of a calibration study.

    Args:
        cells: Results of `napts.claims.calibration.score_cells`, best first.
        narrow: Smaller print, for small screens.
    """
    ordered = sorted(cells, key=lambda cell: cell.name)
    ordered.sort(key=lambda cell: cell.name != "defaults")
    figure = new_figure(6.4 if narrow else 11.0, 1.6 + 0.24 * len(ordered))
    axes = figure.subplots()
    verdicts = list(COLORS)
    codes = [[verdicts.index(j.verdict) for j in cell.judgements] for cell in ordered]
    numbers = [[_number(j) for j in cell.judgements] for cell in ordered]
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
        annot_kws={"fontsize": 5 if narrow else 7.5, "color": "#222222"},
        ax=axes,
    )
    small = 5 if narrow else 8
    heads = [f"{name}\n{HEADS[name]}" for name in SCORED]
    axes.set_xticklabels(heads, rotation=0, fontsize=4 if narrow else 6)
    names = [f"{cell.name}  ({cell.score:g}; {percent(cell.accuracy)} %)" for cell in ordered]
    axes.set_yticklabels(names, rotation=0, fontsize=small)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    handles = [Patch(color=color, label=str(verdict)) for verdict, color in COLORS.items()]
    figure.legend(handles=handles, loc="outside upper right", ncols=4, fontsize=small)
    caption(
        figure,
        "Rows: what is changed, with the score and NAPTS's accuracy in brackets. Each cell shows "
        "the number that the verdict rests on, the worst of those of the claim.",
    )
    return figure


def _number(judgement: Judgement) -> str:
    index = deciding(judgement)
    estimate = judgement.findings[index].estimate if index is not None else None
    return number(estimate.value, places=2) if estimate else ""
