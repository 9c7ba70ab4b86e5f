"""One look for every figure: sizes, fonts, and what tells methods apart."""

import itertools
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from zlib import crc32

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FixedFormatter, FuncFormatter

from napts.analysis.labels import grouped
from napts.analysis.looks import LOOKS, Dashes, Look

FOREIGN = (
    *("#332288", "#999933", "#111111", "#EE6677", "#661100", "#44AA99"),
    *("#AA4499", "#117733", "#88CCEE", "#B8A033", "#6699CC", "#994455"),
)
"""Colours of variants, and of methods without one of their own. After Paul Tol's schemes for
colour-blind readers; Adam's green is in none of them."""

OTHER_MARKERS = ("*", "d", "h", "8", "H")
OTHER_DASHES: tuple[Dashes, ...] = ("-", (0, (5, 1, 1, 1)), (0, (2, 1)))
"""Markers and dashes of methods without some of their own."""

PHASES: dict[str, tuple[str, str, str]] = {
    "proposal": ("proposal", "#1B3A57", ""),
    "correction": ("correction, eq. (10)", "#6A9FC5", "////"),
    "global": ("global step", "#D9E4EC", ""),
}
"""Name, colour and hatch of each phase of an iteration; told apart in grey as well."""

RC: dict[str, Any] = {
    # Embedded TrueType, so that text in a PDF can be searched and edited; the font that comes
    # with Matplotlib, so that figures do not depend on the fonts of a machine.
    "pdf.fonttype": 42,
    "svg.fonttype": "path",
    # Fixed identifiers: the same figure is the same file in every process.
    "svg.hashsalt": "napts",
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9.0,
    "axes.edgecolor": "#555555",
    "axes.linewidth": 0.8,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.6,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.0,
    "hatch.linewidth": 0.6,
    "savefig.dpi": 200,
    "figure.dpi": 100,
}


@contextmanager
def style() -> Iterator[None]:
    """Apply the look of the project; whatever was set before comes back afterwards."""
    with mpl.rc_context(), warnings.catch_warnings():
        # A letter that the font does not have is drawn as a box.
        warnings.filterwarnings("ignore", r"Glyph .* missing from font", UserWarning)
        sns.set_theme(style="whitegrid", palette="colorblind", rc=RC)
        yield


def looks(frame: pd.DataFrame) -> dict[str, Look]:
    """Return the look of every label in a frame, in the usual order of the methods.

    A method keeps its colour in every figure. Its variants, and methods without a look in `LOOKS`,
    such as those of other packages, have the colour of `FOREIGN` that follows from their label, or
    the next that no other label has.

    Args:
        frame: A frame with the columns ``method`` and ``label``.
    """
    names = [(method, label) for method, label, _ in grouped(frame)]
    firsts = {method: label for method, label in reversed(names) if method in LOOKS}
    found = {label: LOOKS[method] for method, label in firsts.items()}
    for method, label in names:
        if label not in found:
            other = _other_look(label, list(found.values()))
            found[label] = replace(LOOKS[method], color=other.color) if method in LOOKS else other
    return {label: found[label] for _, label in names}


def look_of(method: str, taken: Sequence[Look] = ()) -> Look:
    """Return the look of a method where it has no variants.

    Args:
        method: Its name.
        taken: Looks that others have.
    """
    return LOOKS[method] if method in LOOKS else _other_look(method, taken)


def _other_look(name: str, taken: Sequence[Look]) -> Look:
    """Return a look that nobody has, the same one wherever that is possible."""
    first = crc32(name.encode())
    colors = [look.color for look in taken]
    markers = [look.marker for look in taken]
    every = [
        Look(FOREIGN[(first + i) % len(FOREIGN)], dashes, marker)
        for marker, dashes in itertools.product(OTHER_MARKERS, OTHER_DASHES)
        for i in range(len(FOREIGN))
    ]
    free = [look for look in every if look not in taken] or every
    # Another colour before all, and then the marker that the fewest have.
    return min(free, key=lambda look: (colors.count(look.color), markers.count(look.marker)))


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure in inches that needs no display and is in nobody's global state.

    Args:
        width: Width in inches.
        height: Height in inches.
    """
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def as_text(figure: Figure) -> None:
    """Let a figure show every text as it is, wherever it came from: ``$`` begins no formula.

    To be called before the figure is written. What Matplotlib formats itself, such as powers of
    ten at a logarithmic axis, stays as it is.

    Args:
        figure: The figure.
    """
    ticks = {id(text) for text in _formatted_ticks(figure)}
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        if id(text) not in ticks:
            text.set_parse_math(False)


def _formatted_ticks(figure: Figure) -> Iterator[Text]:
    """Yield the labels of ticks that are numbers rather than names."""
    for axis in figure.findobj(Axis):
        assert isinstance(axis, Axis)
        if not isinstance(axis.get_major_formatter(), FixedFormatter | FuncFormatter):
            yield from axis.get_majorticklabels()
        yield from axis.get_minorticklabels()
        yield axis.get_offset_text()


def finish(axes: Axes, *, title: str, x: str = "", y: str = "") -> None:
    """Set title and labels of a panel and remove the lines that carry nothing.

    Args:
        axes: The panel.
        title: What it shows.
        x: Label of the horizontal axis with its unit.
        y: Label of the vertical axis with its unit.
    """
    axes.set(title=title, xlabel=x, ylabel=y)
    sns.despine(ax=axes)
