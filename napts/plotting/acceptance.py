"""How often steps are accepted, and how often only the memory accepts them."""

import pandas as pd
from matplotlib.figure import Figure

from napts.analysis.columns import rows_without
from napts.plotting.annotate import caption, legend, thin_lines
from napts.plotting.curves import band, whole_numbers
from napts.plotting.figure2 import BASELINES
from napts.plotting.style import finish, looks, new_figure


def acceptance_figure(frame: pd.DataFrame, *, narrow: bool = False) -> Figure:
    """Draw the share of batches that moved the parameters, and of those only the memory let move.

    Args:
        frame: Frame of `napts.analysis.epochs_frame`, of one experiment and workload.
        narrow: One panel above the other, for small screens.
    """
    figure = new_figure(4.2, 6.4) if narrow else new_figure(9.6, 3.4)
    moved, past = figure.subplots(2, 1) if narrow else figure.subplots(1, 2)
    look = looks(frame)
    trusting = rows_without(frame, "method", BASELINES)
    band(moved, trusting, "epoch", "acceptance_rate", look, scale=100)
    finish(moved, title="Batches with an accepted step", x="epoch", y="share / %")
    band(past, trusting, "epoch", "nonmonotone_rate", look, scale=100)
    finish(past, title="Batches accepted by the memory alone", x="epoch", y="share / %")
    for axes in (moved, past):
        whole_numbers(axes)
        axes.set_ylim(-2, 102)
    legend(figure, trusting, look)
    caption(
        figure,
        "Right: steps that the loss on the current batch would have rejected, eq. (9). "
        f"Lines: mean over seeds; bands: smallest to largest seed.{thin_lines(trusting)}",
    )
    return figure
