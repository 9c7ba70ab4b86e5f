"""Every figure of the reports: what it is called, what it shows, and how it is drawn."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure

from napts.analysis import Collection, Section
from napts.analysis.columns import floats, rows_with, texts, with_trust_region
from napts.analysis.measured import named
from napts.analysis.tuning import Tuning, tunings_of
from napts.plotting.annotate import entitle
from napts.plotting.compare import (
    acceptance_figure,
    changing,
    cost_figure,
    has_changing_shares,
    radius_figure,
    rejection_figure,
    with_radius,
)
from napts.plotting.page import Picture, image_data
from napts.plotting.style import style
from napts.plotting.targets import has_times, target_figure
from napts.plotting.tuning import tuning_figure


@dataclass(frozen=True)
class Plot:
    """A figure of one comparison.

    Attributes:
        name: First part of its file names.
        draw: Function ``(frame) -> Figure``.
        title: Heading on the page; ``{metric}`` stands for the metric's name.
        columns: Columns of the epochs frame that it shows; ``{metric}`` as in the title.
        worth: Tells from an epochs frame whether there is anything to see.
        rank: As that of a `Drawing`.
    """

    name: str
    draw: Callable[..., Figure]
    title: str
    columns: tuple[str, ...]
    worth: Callable[[pd.DataFrame], bool] = lambda frame: True
    rank: int = 0


RUN = ("label", "method", "seed", "state", "epoch", "batches")
"""Columns that tell the rows of a figure's numbers apart."""
_REJECTIONS = tuple(f"rejections{phase}" for phase in ("", "_proposal", "_correction", "_global"))
_CLOCKS = ("train_seconds_total", "pass_equivalents_total")


def _trusts(frame: pd.DataFrame) -> bool:
    return len(with_trust_region(frame)) > 0


def _radius_changes(frame: pd.DataFrame) -> bool:
    return bool(changing(with_radius(frame), "radius")[0])


COMPARE = (
    Plot(
        "cost",
        cost_figure,
        "Loss and {metric} by cost",
        (*RUN, *_CLOCKS, "train_loss", "val_{metric}"),
        rank=0,
    ),
    Plot(
        "target",
        target_figure,
        "Time to a target {metric}",
        (*RUN, "cpu_seconds_total", "val_{metric}"),
        has_times,
        rank=1,
    ),
    Plot(
        "rejections", rejection_figure, "Rejected steps by phase", (*RUN, *_REJECTIONS), _trusts, 2
    ),
    Plot("radius", radius_figure, "Trust-region radius", (*RUN, "radius"), _radius_changes, 3),
    Plot(
        "acceptance",
        acceptance_figure,
        "Accepted steps",
        (*RUN, "acceptance_rate", "nonmonotone_rate"),
        has_changing_shares,
        3,
    ),
)


@dataclass(frozen=True)
class Drawing:
    """A figure that can be drawn.

    Attributes:
        name: File name without extension.
        title: Heading on the page.
        section: The runs it comes from.
        data: The numbers it shows.
        draw: Draws it.
        rank: How soon the page leaves it out, see `napts.plotting.page.Picture`.
    """

    name: str
    title: str
    section: Section
    data: pd.DataFrame
    draw: Callable[[], Figure]
    rank: int = 0

    def figure(self) -> Figure:
        """Draw it in the look of the project, with the problem in its title."""
        with style():
            figure = self.draw()
            if len(figure.axes) == 1 and figure.axes[0].get_title("left") == self.title:
                figure.axes[0].set_title("", loc="left")  # the figure's title says it
            entitle(figure, f"{problem_of(self.section)}: {self.title}")
            return figure

    def picture(self) -> Picture:
        """Return it for the page."""
        return Picture(self.title, lambda: image_data(self.figure()), self.rank)


def problem_of(section: Section) -> str:
    """Return what a figure's title calls the problem: the workload, and whose runs they are."""
    if section.kind != "comparison" or section.slug == section.workload:
        return section.workload
    return f"{section.workload} ({section.experiment})"


def comparison_drawings(section: Section, plots: Sequence[Plot]) -> Iterator[Drawing]:
    """Yield the figures of one comparison in which there is something to see."""
    metric = section.metric
    label = named(metric)
    for plot in plots:
        if plot.worth(section.epochs):
            columns = [name.format(metric=metric.name) for name in plot.columns]
            yield Drawing(
                f"{plot.name}-{section.slug}",
                plot.title.format(metric=label),
                section,
                section.epochs.filter(items=columns),
                lambda plot=plot: plot.draw(section.epochs),
                plot.rank,
            )


@dataclass(frozen=True)
class TuningStudies:
    """The tuning studies of one workload for one metric, and their figure."""

    workload: str
    tunings: tuple[Tuning, ...]
    drawing: Drawing


def tuning_studies(collection: Collection) -> list[TuningStudies]:
    """Return the tuning studies, by workload and metric."""
    sections = collection.of_kind("tuning")
    groups = dict.fromkeys((section.workload, section.metric) for section in sections)
    workloads = [workload for workload, _ in groups]
    studies = []
    for workload, metric in groups:
        own = [s for s in sections if (s.workload, s.metric) == (workload, metric)]
        tunings = tuple(t for section in own for t in tunings_of(section.records))
        if not tunings:
            continue
        runs = tuple(run for section in own for run in section.records)
        name = workload if workloads.count(workload) == 1 else f"{workload}-{metric.name}"
        together = Section("tuning", workload, f"tuning-{name}", runs)
        costs = untuned_costs(collection, together)
        drawing = Drawing(
            together.slug,
            f"{metric.label.capitalize()} by the number of settings tried, and cost with the "
            "search",
            together,
            _tuning_frame(tunings),
            lambda t=tunings, c=costs: tuning_figure(t, c),
            rank=2,
        )
        studies.append(TuningStudies(workload, tunings, drawing))
    return studies


def untuned_costs(collection: Collection, tuned: Section) -> dict[str, float]:
    """CPU seconds of one run of each trust-region method on the problem that was tuned on.

    They are those of one comparison, of the one with most of the tuned methods: others may have
    runs of another length.

    Args:
        collection: The records.
        tuned: The tuning study.

    Returns:
        Means over runs by label; empty if there is no comparison on the problem.
    """
    problem, tried = _problem(tuned), {run.method for run in tuned.records}
    found = [each for each in collection.of_kind("comparison") if _problem(each) == problem]
    if not found:
        return {}
    section = max(found, key=lambda each: _kinship(each, tried))
    methods = sorted(set(texts(with_trust_region(section.epochs), "method")))
    own = rows_with(section.runs, "method", methods)
    total = floats(own, "cpu_seconds_per_epoch") * floats(own, "epochs_done")
    by_label = own.assign(total=total).groupby("label", sort=False)
    return {str(label): floats(rows, "total").mean() for label, rows in by_label}


def _kinship(section: Section, methods: set[str]) -> tuple[int, int]:
    """Return how many of the methods a comparison has, and how many runs."""
    return len(methods & {run.method for run in section.records}), len(section.records)


def _problem(section: Section) -> tuple[str, int | str]:
    """Return a section's workload and the size of its batches."""
    return section.workload, section.records[0].spec["budget"]["batch_size"]


def _tuning_frame(tunings: Sequence[Tuning]) -> pd.DataFrame:
    rows = [
        {
            "method": tuning.method,
            **{name: setting.options.get(name) for name in tuning.varied},
            "seed": seed,
            tuning.metric: tuning.value(score),
        }
        for tuning in tunings
        for setting in tuning.settings
        for seed, score in sorted(setting.scores.items())
    ]
    return pd.DataFrame(rows)
