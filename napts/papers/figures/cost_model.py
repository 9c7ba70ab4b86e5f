"""Times of four devices that counted passes come to, beside those that the NAPTS paper prints."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from napts.analysis import Section, comparison
from napts.analysis.columns import texts
from napts.analysis.tables import SINGLE, Table, number, spread, two_places
from napts.papers.cost_model import (
    FOUR_DEVICES,
    ONE_PROCESS,
    PAPER_BATCHES,
    Passes,
    counted,
    fit,
    local_fractions,
    of_the_paper,
    sensitivity,
    side_by_side,
)
from napts.papers.epoch_times import PAPER_SECONDS
from napts.plotting.annotate import caption
from napts.plotting.drawings import Drawing
from napts.plotting.style import finish, look_of, new_figure
from napts.records.costs import FORWARD_COST
from napts.records.metric import ACCURACY

MODELS = {
    "one process": ONE_PROCESS,
    "four devices": FOUR_DEVICES,
    "four devices, 8 micro-batches": side_by_side(4, micro_batches=8),
}
"""What is compared, by name."""

FORWARD_SHARES = (0.25, FORWARD_COST, 0.4)
LOCAL_SHARES = (0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1.0)
"""What the table and the figure vary: the share of a forward, and what local passes take beside one
another of what they take one after the other."""

_MARKERS = ("o", "s", "^")


def _passes(section: Section) -> dict[str, Passes]:
    """Return the passes of the paper's five methods; empty where they were not all run."""
    return of_the_paper(counted(section)) if section.metric == ACCURACY else {}


def cost_model_tables(section: Section) -> Sequence[Table]:
    """Return modelled times beside the printed ones, and how far that rests on the shares."""
    passes = _passes(section)
    return [_times(section, passes), _residuals(passes)] if passes else []


def _times(section: Section, passes: Mapping[str, Passes]) -> Table:
    counts = {row["label"]: row for row in comparison(section.runs).to_dict("records")}
    shares = local_fractions(section)
    costs = {
        name: {label: model.cost(counts) for label, counts in passes.items()}
        for name, model in MODELS.items()
    }
    fits = {name: fit(by_label) for name, by_label in costs.items()}
    rows = [
        [
            label,
            str(counts[label]["n"]),
            *_counts(counts[label], shares[label]),
            number(PAPER_SECONDS[label], places=2),
            *(
                cell
                for name in MODELS
                for cell in (
                    number(costs[name][label], places=2),
                    f"{100 * np.expm1(fits[name].deviations[label]):+.0f}",
                )
            ),
        ]
        for label in passes
    ]
    columns = ["method", "n", "forwards", "backwards", "local", "paper s"]
    heads = [head for name in MODELS for head in (name, "%")]
    units = "; ".join(
        f"{name}: {found.unit / PAPER_BATCHES:.3g} s a pass, error {found.error:.3f}"
        for name, found in fits.items()
    )
    return Table(
        "Modelled time of a batch, and the seconds of the NAPTS paper",
        [*columns, *heads],
        rows,
        [
            f"Passes of a batch: mean [min, max] over n runs. {SINGLE}",
            "Their cost, from the means, in forward and backward passes of the whole network by "
            "one process. On four devices subdomains take their local steps beside "
            "one another, and a pass of the whole network goes from one to the next. In %: how "
            "far the model is off after one unit has been fitted to the five printed times.",
            "What is compared is how often a run rejects and how many local steps it takes, "
            "whatever its problem is.",
            f"Units, and the root mean square of the logarithms that remain: {units}.",
        ],
    )


def _counts(row: Mapping[str, Any], share: float) -> list[str]:
    """Return the passes of a batch, those of subdomains by the share of the batch that they use."""

    def local(value: float | None) -> str:
        return two_places(None if value is None else share * value)

    forms = {"forwards": two_places, "backwards": two_places, "local_passes": local}
    return [spread(row, f"{name}_per_batch", form) for name, form in forms.items()]


def _residuals(passes: Mapping[str, Passes]) -> Table:
    errors = sensitivity(passes, FORWARD_SHARES, LOCAL_SHARES)
    rows = [
        [f"{local:g}", *(f"{errors[forward, local]:.3f}" for forward in FORWARD_SHARES)]
        for local in LOCAL_SHARES
    ]
    return Table(
        "Error of the five times by what the model supposes",
        ["local share", *(f"forward {share:.2f}" for share in FORWARD_SHARES)],
        rows,
        [
            "Root mean square of the logarithms of modelled over printed times, one unit fitted. "
            "Local share: what local passes take on four devices, of what they take on one; a "
            "quarter if subdomains are equal. Forward: its share of a forward and backward."
        ],
    )


def cost_model_frame(passes: Mapping[str, Passes]) -> pd.DataFrame:
    """Return what the figure shows: one row per model and method, and per supposition.

    Args:
        passes: Passes of the paper's five methods.
    """
    rows: list[dict[str, Any]] = []
    for name, model in MODELS.items():
        costs = {label: model.cost(counts) for label, counts in passes.items()}
        found = fit(costs)
        rows += [
            {
                "model": name,
                "method": label,
                "printed_seconds": PAPER_SECONDS[label],
                "modelled_seconds": found.unit * cost,
                "cost": cost,
                "error": found.error,
            }
            for label, cost in costs.items()
        ]
    varied = sensitivity(passes, FORWARD_SHARES, LOCAL_SHARES)
    rows += [
        {"forward_share": forward, "local_share": local, "error": error}
        for (forward, local), error in varied.items()
    ]
    return pd.DataFrame(rows)


def cost_model_figure(passes: Mapping[str, Passes], runs: int) -> Figure:
    """Draw modelled over printed times, and the error by what is supposed.

    Args:
        passes: Passes of the paper's five methods, means over runs.
        runs: Number of runs of each method at least.
    """
    figure = new_figure(9.6, 3.8)
    times, errors = np.ravel(figure.subplots(1, 2))
    _beside_the_paper(times, passes)
    found = sensitivity(passes, FORWARD_SHARES, LOCAL_SHARES)
    for share, marker in zip(FORWARD_SHARES, _MARKERS, strict=True):
        values = [found[share, local] for local in LOCAL_SHARES]
        errors.plot(LOCAL_SHARES, values, marker=marker, label=f"forward {share:.2f}")
    errors.axvline(FOUR_DEVICES.local_share, color="#999999", linewidth=0.8)
    errors.set_ylim(bottom=0)
    _legend_above(errors)
    finish(errors, title="Error of the five times", x="local share", y="RMS of log deviations")
    caption(
        figure,
        "Left: time of the counted passes over the seconds that the paper prints, one unit fitted "
        "to each model; 1 is agreement. Right: what remains on four devices, by what local passes "
        "take there of what they take on one; the line is a quarter. "
        + (f"Passes: means over n={runs} runs." if runs > 1 else "Passes: of single runs, n=1."),
    )
    return figure


def _beside_the_paper(axes: Axes, passes: Mapping[str, Passes]) -> None:
    places = np.arange(len(passes))
    for (name, model), marker in zip(MODELS.items(), _MARKERS, strict=True):
        found = fit({label: model.cost(counts) for label, counts in passes.items()})
        ratios = [np.exp(found.deviations[label]) for label in passes]
        axes.plot(places, ratios, marker, label=f"{name} ({found.error:.2f})")
    axes.axhline(1.0, color="#999999", linewidth=0.8)
    axes.set_xticks(places, list(passes))
    for tick, label in zip(axes.get_xticklabels(), passes, strict=True):
        tick.set_color(look_of(label).color)
    _legend_above(axes)
    finish(axes, title="Modelled over printed time (error)", x="", y="ratio")


def _legend_above(axes: Axes) -> None:
    """Put the legend where it hides nothing: above the panel and its title."""
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(-0.02, 1.1),
        borderaxespad=0.0,
        ncols=3,
        fontsize=7.5,
        columnspacing=0.8,
        handletextpad=0.2,
    )


def _runs(section: Section, passes: Mapping[str, Passes]) -> int:
    labels = texts(section.runs, "label")
    return min(labels.count(label) for label in passes)


def cost_model_drawings(section: Section) -> Iterator[Drawing]:
    """Yield the figure of a comparison in which the paper's five methods were run."""
    if passes := _passes(section):
        yield Drawing(
            f"times-{section.slug}",
            "Modelled times beside the printed ones",
            section,
            cost_model_frame(passes),
            lambda: cost_model_figure(passes, _runs(section, passes)),
            rank=2,
        )
