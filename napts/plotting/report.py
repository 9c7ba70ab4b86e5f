"""Named reports: which figures and tables there are, and how a records folder becomes files."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from napts.analysis import Collection, Section, comparison, comparison_tables, load_collection
from napts.plotting.compare import cost_figure, radius_figure, rejection_figure
from napts.plotting.figure2 import BASELINES, figure2
from napts.plotting.page import Picture, page, section_html, svg_data
from napts.plotting.provenance import provenance_of, report_command, save_figure, write_csv
from napts.plotting.style import style

FigureFunction = Callable[..., Figure]


@dataclass(frozen=True)
class Plot:
    """One figure of the reports.

    Attributes:
        name: First part of its file names.
        draw: Function ``(frame, *, narrow=False) -> Figure``.
        title: Heading on the page.
        columns: Columns of the epochs frame that it shows.
        trust_region: It shows nothing unless a method has a trust region.
    """

    name: str
    draw: FigureFunction
    title: str
    columns: tuple[str, ...]
    trust_region: bool = False


_RUN = ("label", "method", "seed", "state", "epoch", "batches")
_REJECTIONS = tuple(f"rejections{phase}" for phase in ("", "_proposal", "_correction", "_global"))
_CLOCKS = ("train_seconds_total", "pass_equivalents_total")

FIGURE2 = Plot(
    "figure2",
    figure2,
    "Loss, accuracy and rejected steps",
    (*_RUN, "train_loss", "val_accuracy", "rejections", "rejections_per_batch"),
)
COMPARE = (
    Plot(
        "cost",
        cost_figure,
        "Loss and accuracy by cost",
        (*_RUN, *_CLOCKS, "train_loss", "val_accuracy"),
    ),
    Plot("rejections", rejection_figure, "Rejected steps by phase", (*_RUN, *_REJECTIONS), True),
    Plot("radius", radius_figure, "Trust-region radius", (*_RUN, "radius"), True),
)


@dataclass(frozen=True)
class Report:
    """A report that can be asked for by name.

    Attributes:
        description: What it holds, in a few words.
        make: Function that writes it and returns the paths of its files.
    """

    description: str
    make: Callable[[Collection, Path], list[Path]]


def render(names: str | Sequence[str], records_root: Path, out_dir: Path) -> list[Path]:
    """Write reports from a records folder.

    Args:
        names: Names of `REPORTS`, or ``"all"``.
        records_root: Records folder, one experiment in it, or one run directory.
        out_dir: Folder of the results, created if it does not exist.

    Returns:
        Paths of the files written.

    Raises:
        ValueError: Unknown name.
        RecordError: There is no run under ``records_root``, or one cannot be read.
    """
    asked = [names] if isinstance(names, str) else list(names)
    wanted = list(REPORTS) if "all" in asked else asked
    unknown = [name for name in wanted if name not in REPORTS]
    if unknown:
        raise ValueError(f"report {unknown[0]!r} is not one of {', '.join(REPORTS)}, all")
    collection = load_collection(records_root)
    return [path for name in wanted for path in REPORTS[name].make(collection, Path(out_dir))]


def write_report(records_root: Path, out_dir: Path) -> Path:
    """Write the one-page report and return its path.

    Args:
        records_root: Records folder.
        out_dir: Folder of the page.

    Returns:
        Path of ``report.html``, which needs no other file.

    Raises:
        RecordError: There is no run under ``records_root``, or one cannot be read.
    """
    return _html(load_collection(records_root), Path(out_dir))[0]


def _plots(section: Section, plots: Sequence[Plot]) -> list[Plot]:
    trusting = any(run.method not in BASELINES for run in section.records)
    return [plot for plot in plots if trusting or not plot.trust_region]


def _draw(plot: Plot, frame: pd.DataFrame, *, narrow: bool = False) -> Figure:
    with style():
        return plot.draw(frame, narrow=narrow)


def _figures(
    collection: Collection, out_dir: Path, plots: Sequence[Plot], report: str
) -> list[Path]:
    command = report_command(report, collection.root, out_dir)
    paths: list[Path] = []
    for section in collection.sections:
        for plot in _plots(section, plots):
            paths += save_figure(
                _draw(plot, section.epochs),
                out_dir,
                f"{plot.name}-{section.slug}",
                section.epochs.filter(items=list(plot.columns)),
                provenance_of(section, command),
            )
    return paths


def _figure2(collection: Collection, out_dir: Path) -> list[Path]:
    return _figures(collection, out_dir, [FIGURE2], "figure2")


def _compare(collection: Collection, out_dir: Path) -> list[Path]:
    return _figures(collection, out_dir, COMPARE, "compare")


def _table(collection: Collection, out_dir: Path) -> list[Path]:
    command = report_command("table", collection.root, out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    for section in collection.sections:
        provenance = provenance_of(section, command)
        csv, text, markdown = (
            out_dir / f"table-{section.slug}.{kind}" for kind in ("csv", "txt", "md")
        )
        tables = comparison_tables(section.runs)
        write_csv(csv, comparison(section.runs), provenance)
        origin = "\n".join(provenance.lines())
        body = "\n\n".join(table.to_text() for table in tables)
        text.write_text(f"{body}\n\n{origin}\n", encoding="utf-8")
        body = "\n\n".join(table.to_markdown() for table in tables)
        markdown.write_text(f"{body}\n\n```\n{origin}\n```\n", encoding="utf-8")
        paths += [csv, text, markdown]
    return paths


def _html(collection: Collection, out_dir: Path) -> list[Path]:
    command = report_command("html", collection.root, out_dir)
    bodies = []
    for section in collection.sections:
        pictures = [
            Picture(
                title=plot.title,
                wide=svg_data(_draw(plot, section.epochs)),
                narrow=svg_data(_draw(plot, section.epochs, narrow=True)),
            )
            for plot in _plots(section, [FIGURE2, *COMPARE])
        ]
        bodies.append(section_html(section, pictures, provenance_of(section, command)))
    path = out_dir / "report.html"
    out_dir.mkdir(parents=True, exist_ok=True)
    titles = [(section.slug, section.workload) for section in collection.sections]
    path.write_text(page(titles, bodies), encoding="utf-8")
    return [path]


REPORTS: dict[str, Report] = {
    "figure2": Report("the NAPTS paper's Figure 2: loss, accuracy, rejections", _figure2),
    "compare": Report("loss and accuracy by cost, rejections by phase, radius", _compare),
    "table": Report("time, work and outcome per method", _table),
    "html": Report("one page with every figure and table", _html),
}
"""Every report by name."""
