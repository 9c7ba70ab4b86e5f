"""What tuning brings and what it costs."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from napts.analysis.tuning import Tuning
from napts.plotting.annotate import caption
from napts.plotting.curves import label_logarithmic, log_if_wide
from napts.plotting.style import Look, finish, look_of, new_figure

_PARTS = {"val": "validation", "train": "training"}
_TUNING, _RUN = "#D9E4EC", "#1B3A57"


def tuning_figure(tunings: Sequence[Tuning], costs: Mapping[str, float]) -> Figure:
    """Draw the best of k random settings, and the cost of one run with the search for its settings.

    Args:
        tunings: Tuning studies of one workload, at least one, all for the same metric.
        costs: CPU seconds of one training run of methods that were not tuned, by label.
    """
    rows = len(tunings) + len(costs)
    low = max(2.6, 0.9 + 0.33 * rows)
    figure = new_figure(9.6, max(3.6, low))
    best, cost = figure.subplots(1, 2)
    _best(best, tunings)
    _cost(cost, tunings, costs)
    caption(
        figure,
        "Left: what the best of so many randomly drawn settings reaches on average, with the first "
        "seed; dotted: the winner, mean over seeds. "
        "Right: CPU time of one run, and of the search for its settings.",
    )
    return figure


def _best(axes: Axes, tunings: Sequence[Tuning]) -> None:
    measure = tunings[0].measure
    taken: list[Look] = []
    for tuning in tunings:
        expected = measure.scale * np.asarray(tuning.expected_best())
        name = tuning.method
        look = look_of(name, taken)
        taken.append(look)
        axes.plot(
            np.arange(1, len(expected) + 1),
            expected,
            color=look.color,
            linestyle=look.dashes,
            marker=look.marker,
            markevery=max(1, len(expected) // 10),
            label=f"{name} ({len(expected)} settings)",
        )
        winner = measure.scale * tuning.value(tuning.best.mean)
        if np.isfinite(winner):
            axes.axhline(winner, color=look.color, linestyle=":", linewidth=1)
    axes.set_xscale("log")
    label_logarithmic(axes, "x", plain=True, wide=False)
    log = ", log scale" if not measure.fraction and log_if_wide(axes, "y") else ""
    axes.legend(
        loc="lower left", bbox_to_anchor=(-0.02, 1.1), borderaxespad=0.0, ncols=3, fontsize=7.5
    )
    finish(
        axes,
        title=f"{measure.label.capitalize()} by the number of settings tried",
        x="settings tried, log scale",
        y=f"{_PARTS[tunings[0].metric.partition('_')[0]]} {measure.axis}{log}",
    )


def _cost(axes: Axes, tunings: Sequence[Tuning], costs: Mapping[str, float]) -> None:
    names = [*costs, *(tuning.method for tuning in tunings)]
    single = [*costs.values(), *(t.best.cpu_seconds / len(t.best.scores) for t in tunings)]
    search = [*(0.0 for _ in costs), *(tuning.cpu_seconds for tuning in tunings)]
    places = np.arange(len(names))
    axes.barh(places, single, color=_RUN, height=0.66, label="one run")
    axes.barh(
        places,
        search,
        left=single,
        color=_TUNING,
        edgecolor="#33475B",
        linewidth=0.5,
        hatch="////",
        height=0.66,
        label="search",
    )
    for place, own, more in zip(places, single, search, strict=True):
        text = f"{own:.3g} + {more:.3g}" if more else f"{own:.3g}"
        axes.annotate(
            text,
            (own + more, place),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
    axes.set_yticks(places, names)
    axes.set_ylim(max(len(names), 3) - 0.5, -0.5)  # a single bar does not fill the panel
    axes.set_xscale("log")
    totals = [own + more for own, more in zip(single, search, strict=True)]
    # Room for the numbers, in decades, since the axis is logarithmic.
    left, right = min(single) / 2, max(totals)
    axes.set_xlim(left, right * max(2.0, (right / left) ** 0.35))
    label_logarithmic(axes, "x", plain=left >= 1e-3 and right < 1e5, wide=right > 300 * left)
    axes.grid(visible=False, axis="y")
    axes.legend(
        loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2, borderaxespad=0.2, frameon=False
    )
    finish(axes, title="", x="CPU time of training / s, log scale")
