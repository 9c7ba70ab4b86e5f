"""Cells of a calibration beside what the NAPTS paper prints, the nearest first."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from napts.analysis import Collection, Section, Table
from napts.analysis.tables import SINGLE, number, over_runs, percent, two_places
from napts.papers.claims.identification import (
    ERROR,
    ORDER,
    Regime,
    is_identification,
    regimes,
    with_limits,
)
from napts.papers.claims.repeats import repeats_table
from napts.papers.cost_model import PAPER_BATCHES, sensitivity
from napts.papers.epoch_times import PAPER_SECONDS
from napts.papers.figures.cost_model import FORWARD_SHARES, LOCAL_SHARES
from napts.plotting.annotate import caption
from napts.plotting.drawings import Drawing
from napts.plotting.files import save_drawings, save_tables
from napts.plotting.page import Body
from napts.plotting.provenance import provenance_of, provenance_of_all
from napts.plotting.style import finish, new_figure
from napts.records.metric import ACCURACY

LOCAL_STEPS = (2, 3, 4, 5, 10)
"""Local steps that the table of errors supposes, with rejections as they were."""

_FIT, _NO_FIT, _WINNER = "#0072B2", "#B5B5B5", "#D55E00"


@dataclass(frozen=True)
class Identification:
    """A calibration by absolute numbers, its regimes from best to worst, and its figure."""

    section: Section
    regimes: tuple[Regime, ...]
    drawing: Drawing

    @property
    def winner(self) -> Regime:
        """The best regime."""
        return self.regimes[0]


@lru_cache(maxsize=1)
def identifications(collection: Collection) -> list[Identification]:
    """Return the calibrations by absolute numbers in which a cell is complete."""
    sections = [s for s in collection.of_kind("calibration") if s.metric == ACCURACY]
    found = [(s, tuple(regimes(s))) for s in sections if is_identification(s)]
    return [_identification(section, cells) for section, cells in found if cells]


def _identification(section: Section, cells: tuple[Regime, ...]) -> Identification:
    drawing = Drawing(
        f"identification-{section.slug}",
        "Modelled and printed times by cell",
        section,
        identification_frame(cells),
        lambda: identification_figure(cells),
    )
    return Identification(section, cells, drawing)


def identification_frame(cells: Sequence[Regime]) -> pd.DataFrame:
    """Return one row per cell and method, with all that the cells are judged by."""
    rows = [
        {
            "place": place,
            "cell": cell.name,
            "tries": cell.tries,
            "seeds": cell.seeds,
            "error": cell.fit.error,
            "seconds_per_pass": cell.fit.unit / PAPER_BATCHES,
            "claims_met": " ".join(cell.met),
            "pairs_in_order": cell.in_order,
            "reproduces": cell.reproduces,
            "reasons": "; ".join(cell.reasons),
            "method": method,
            "forwards": passes.forwards,
            "backwards": passes.backwards,
            "local_passes": passes.local,
            "rejections_per_batch": cell.rejections[method].mean,
            "modelled_over_printed": math.exp(cell.fit.deviations[method]),
            "val_accuracy": cell.accuracies[method].mean,
        }
        for place, cell in enumerate(cells, 1)
        for method, passes in cell.passes.items()
    ]
    return pd.DataFrame(rows)


def identification_figure(cells: Sequence[Regime]) -> Figure:
    """Draw the error of every cell, and how far each method's time is off.

    Args:
        cells: Regimes, best first.
    """
    height = 1.6 + 0.24 * len(cells)
    figure = new_figure(10.5, height)
    panels = figure.subplots(1, 2, sharey=True)
    errors, times = np.ravel(panels)
    _times(times, cells)
    _errors(errors, cells)
    for axes in (errors, times):
        _name(axes, cells)
    times.tick_params(labelleft=False)
    caption(
        figure,
        f"Left: error of the five modelled times, {ERROR:g} (line) or less fits; the first cell, "
        "in orange, is the winner. Right: modelled over printed time less 1, in %, one unit "
        "fitted to each cell. Behind the name: tries; claims met, of N1 to N10.",
    )
    return figure


def _errors(axes: Axes, cells: Sequence[Regime]) -> None:
    places = np.arange(len(cells)) + 0.5
    values = [cell.fit.error for cell in cells]
    colors = [_FIT if cell.fits else _NO_FIT for cell in cells]
    colors[0] = _WINNER
    axes.hlines(places, 0, values, colors=colors, linewidth=1.4)
    axes.scatter(values, places, c=colors, zorder=3)
    axes.axvline(ERROR, color="#999999", linewidth=0.8)
    axes.set_xlim(left=0)
    finish(axes, title="Error of the five times", x="RMS of log deviations", y="")


def _name(axes: Axes, cells: Sequence[Regime]) -> None:
    names = [f"{cell.name}  ({cell.tries}; {len(cell.met)})" for cell in cells]
    axes.set_yticks(np.arange(len(cells)) + 0.5, names, rotation=0, fontsize=7)
    for winner in axes.get_yticklabels()[:1]:  # none where the other panel has them
        winner.set_fontweight("bold")
    axes.set_ylim(len(cells), 0)


def _times(axes: Axes, cells: Sequence[Regime]) -> None:
    off = np.array([[_off(cell, method) for method in PAPER_SECONDS] for cell in cells])
    off = off.round() + 0.0  # no "-0"
    sns.heatmap(
        off,
        annot=True,
        fmt="+.0f",
        cmap="vlag",
        vmin=-40,
        vmax=40,
        cbar=False,
        linewidths=0.6,
        linecolor="white",
        annot_kws={"fontsize": 7},
        ax=axes,
    )
    axes.set_xticks(np.arange(len(PAPER_SECONDS)) + 0.5, list(PAPER_SECONDS), rotation=0)
    axes.tick_params(length=0)
    axes.set_title("Modelled over printed time less 1, in %")


def _off(cell: Regime, method: str) -> float:
    return 100 * math.expm1(cell.fit.deviations[method])


def identification_tables(study: Identification) -> list[Table]:
    """Return the cells with their scores, their times and accuracies, and the winner's errors."""
    cells = study.regimes
    return [_verdicts(cells), *_numbers(cells), _tries(study), _shares(study.winner)]


def _verdicts(cells: Sequence[Regime]) -> Table:
    rows = [
        [
            cell.name,
            str(cell.tries),
            str(cell.seeds),
            f"{cell.fit.error:.3f}",
            number(cell.fit.unit / PAPER_BATCHES, places=2),
            str(len(cell.met)),
            f"{cell.in_order}/{len(ORDER)}",
            "reproduces" if cell.reproduces else f"does not: {'; '.join(cell.reasons)}",
        ]
        for cell in cells
    ]
    return Table(
        "Cells beside the NAPTS paper, the nearest first",
        ["changed", "tries", "n", "error", "s a pass", "claims met", "pairs", "verdict"],
        rows,
        [
            "Each with the tries that suit it best. Error: root mean square of the logarithms of "
            "modelled over printed times on four devices, one unit fitted. Claims: of N1 to N10. "
            "Pairs: accuracies after equal epochs that are ordered as the paper has them.",
            "First those that reproduce the paper, then those whose times fit; then by claims, "
            "pairs, error. Cells with fewer seeds (n) stand last.",
        ],
        words=("verdict",),
    )


def _numbers(cells: Sequence[Regime]) -> list[Table]:
    over = f"Mean [min, max] over n seeds. {SINGLE}"
    return [
        _by_method(
            cells,
            "Rejections per batch of the cells",
            lambda cell, method: over_runs(cell.rejections[method], two_places),
            f"Counted with the tries of each. {over}",
        ),
        _by_method(
            cells,
            "Modelled over printed time of the cells less 1, in %",
            lambda cell, method: f"{round(_off(cell, method)):+d}",
            "From the means over n seeds of the counts, one unit fitted to each cell.",
        ),
        _by_method(
            cells,
            "Validation accuracy of the cells in %",
            lambda cell, method: over_runs(cell.accuracies[method], percent),
            f"After equal epochs. {over}",
        ),
    ]


def _by_method(
    cells: Sequence[Regime], title: str, entry: Callable[[Regime, str], str], note: str
) -> Table:
    rows = [
        [cell.name, str(cell.seeds), *(entry(cell, method) for method in PAPER_SECONDS)]
        for cell in cells
    ]
    return Table(title, ["changed", "n", *PAPER_SECONDS], rows, [note])


def _tries(study: Identification) -> Table:
    winner = study.winner
    rows = [
        [
            str(regime.tries),
            f"{regime.fit.error:.3f}",
            number(regime.fit.unit / PAPER_BATCHES, places=2),
            *(over_runs(count, two_places) for count in regime.rejections.values()),
            " ".join(regime.met),
        ]
        for regime in with_limits(winner.section)
    ]
    return Table(
        f"The winner by its tries: {winner.name}",
        ["tries", "error", "s a pass", *PAPER_SECONDS, "claims met"],
        rows,
        [
            "From the counts of the runs, as far as the floor is reached within as many tries. By "
            f"method: rejections per batch, mean [min, max] over {winner.seeds} seeds."
        ],
        words=("claims met",),
    )


def _shares(winner: Regime) -> Table:
    """Return the winner's error by what the model supposes of forwards, local steps and devices."""
    steps = winner.local_steps
    others = LOCAL_STEPS if steps not in (None, 1) else ()
    columns = [f"{each} local steps" for each in others]
    forwards = [f"forward {share:.2f}" for share in FORWARD_SHARES]
    by_share = sensitivity(winner.passes, FORWARD_SHARES, LOCAL_SHARES)
    usual = FORWARD_SHARES[1]
    by_steps = {
        each: sensitivity(winner.with_local_steps(each), [usual], LOCAL_SHARES) for each in others
    }
    rows = [
        [
            f"{local:g}",
            *(f"{by_share[forward, local]:.3f}" for forward in FORWARD_SHARES),
            *(f"{by_steps[each][usual, local]:.3f}" for each in others),
        ]
        for local in LOCAL_SHARES
    ]
    return Table(
        "The winner's error by what the model supposes",
        ["local share", *forwards, *columns],
        rows,
        [
            "Local share: what local passes take on four devices, of what they take on one; a "
            "quarter if subdomains are equal. Forward: its share of a forward and backward. "
            f"Local steps: the winner has {steps}; as if it had others and rejected as often, "
            "with the usual share of a forward.",
        ],
    )


def identification_files(collection: Collection, out_dir: Path, command: str) -> list[Path]:
    """Write figures, tables and numbers; arguments and result as for any report."""
    studies = identifications(collection)
    paths = save_drawings((study.drawing for study in studies), out_dir, command)
    for study in studies:
        provenance = provenance_of(study.section, command)
        paths += save_tables(out_dir, study.drawing.name, identification_tables(study), provenance)
    if table := repeats_table(collection):
        provenance = provenance_of_all(collection, command)
        paths += save_tables(out_dir, "identification-repeats", [table], provenance)
    return paths


def identification_parts(collection: Collection, command: str) -> Iterator[Body]:
    """Yield a part of the page for every such calibration, and one for what repeats are worth."""
    for study in identifications(collection):
        yield _part(study, command)
    if table := repeats_table(collection):
        yield Body(
            "repeats",
            "What repeated tries are worth",
            "The same runs with tries that are repeated at the smallest radius, and without.",
            [table],
            (),
            "",
            provenance_of_all(collection, command),
        )


def _part(study: Identification, command: str) -> Body:
    section, winner = study.section, study.winner
    verdict = "reproduces the paper" if winner.reproduces else "does not reproduce the paper"
    return Body(
        study.drawing.name,
        f"Regime of the NAPTS paper, by {section.slug}",
        f"{len(study.regimes)} cells, {len(section.records)} runs on {section.workload}: how near "
        "each comes to the printed times, the order of the accuracies and the claims N1 to N10.",
        identification_tables(study),
        [study.drawing.picture()],
        f"Winner: {winner.name}, {winner.tries} tries; it {verdict}.",
        provenance_of(section, command),
        section.records,
    )
