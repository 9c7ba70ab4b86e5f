"""Figures of STTR and TTR: a profile over problems, their step lengths, their constants."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter, StrMethodFormatter

from napts.analysis import Collection, Section
from napts.analysis.columns import floats, rows_with, split
from napts.analysis.labels import distinct_labels, grouped
from napts.analysis.measured import named
from napts.analysis.profiles import Profile, profiles_of, times_to
from napts.papers.figures.untuned_costs import CLOCK, cost_figure, cost_frame
from napts.papers.untuned import (
    LONGER,
    METHODS,
    REFERENCE,
    SENSITIVITY,
    Standing,
    all_standings,
    finals,
    sensitivities,
    untuned_tables,
)
from napts.plotting.annotate import caption
from napts.plotting.curves import log_if_wide
from napts.plotting.drawings import Drawing
from napts.plotting.files import save_drawings, save_tables
from napts.plotting.page import Body
from napts.plotting.provenance import provenance_of
from napts.plotting.style import finish, look_of, looks, new_figure
from napts.records.metric import Metric


def untuned_files(collection: Collection, out_dir: Path, command: str) -> list[Path]:
    """Write tables and figures; return the files."""
    paths = save_drawings(untuned_drawings(collection), out_dir, command)
    if found := all_standings(collection):
        provenance = provenance_of(_together(_longest(found)), command)
        paths += save_tables(out_dir, "untuned", untuned_tables(collection), provenance)
    return paths


def untuned_parts(collection: Collection, command: str) -> Iterator[Body]:
    """Yield the part of the page, if there is something to compare."""
    if not (found := all_standings(collection)):
        return
    drawings = list(untuned_drawings(collection))
    yield Body(
        "untuned",
        "Without a learning rate",
        "STTR and TTR, with one set of options each, beside tuned and parameter-free rivals.",
        untuned_tables(collection),
        tuple(drawing.picture() for drawing in drawings),
        "",
        provenance_of(_together(_longest(found)), command),
    )


def untuned_drawings(collection: Collection) -> Iterator[Drawing]:
    """Yield the figures of all problems together, and those of the constants."""
    if found := all_standings(collection):
        longest = _longest(found)
        section = _together(longest)
        times = profile_frame(longest)
        lengths = length_frame(longest)
        yield Drawing(
            "untuned-profile",
            "As good as tuned Adam, sooner or later",
            section,
            times,
            lambda: profile_figure(times, section),
        )
        costs = cost_frame(longest)
        yield Drawing(
            "untuned-cost",
            "Validation metric by passes",
            section,
            costs,
            lambda: cost_figure(longest, costs, section),
        )
        yield Drawing(
            "untuned-lengths",
            "Step lengths beside the best rate of Adam",
            section,
            lengths,
            lambda: length_figure(lengths),
            rank=1,
        )
    for method in METHODS:
        if sections := sensitivities(collection, method):
            yield _constants_drawing(method, sections)


def _constants_drawing(method: str, sections: Sequence[Section]) -> Drawing:
    frame = constant_frame(sections, method)
    name = SENSITIVITY[method].rstrip("-")
    return Drawing(
        name,
        f"What each constant of {method} is worth",
        _one(name, sections),
        frame,
        lambda: constant_figure(frame),
        rank=1,
    )


def _longest(found: Sequence[list[Standing]]) -> list[Standing]:
    """Return the standings on most problems; all methods of a problem are in each."""
    return max(found, key=len)


def _together(found: Sequence[Standing]) -> Section:
    return _one("untuned", [one.section for one in found])


def _one(name: str, sections: Sequence[Section]) -> Section:
    """Return the runs of several problems as one section, for titles and provenance."""
    runs = tuple(run for section in sections for run in section.records)
    title = f"{len(sections)} problems" if len(sections) > 1 else sections[0].workload
    return Section(name, title, title, runs)


def profile_frame(found: Sequence[Standing]) -> pd.DataFrame:
    """Return when each run was first as good as tuned Adam's median at the end, in passes.

    Of a method with longer runs these count, as AlgoPerf's rules for what tunes itself have it.

    Returns:
        The columns ``problem``, ``label``, ``method``, ``seed``, ``target``, ``passes``; the latter
        infinite if that never happened.
    """
    rows = []
    for one in found:
        epochs = one.section.epochs
        adam = rows_with(epochs, "label", [REFERENCE])
        lasts = [floats(r, one.section.metric.column("val"))[-1] for r in split(adam, "seed")]
        target = float(np.median(lasts)) if lasts else np.nan
        methods = {label: method for method, label, _ in grouped(epochs)}
        replaced = [label for label in methods if f"{label}{LONGER}" in methods]
        rows += [
            {
                **{"problem": one.problem, "label": label.removesuffix(LONGER)},
                **{"method": methods[label], "seed": seed},
                **{"target": target, "passes": passes},
            }
            for label, by in times_to(epochs, [target], CLOCK).items()
            if label not in replaced
            for (seed, _), passes in by.items()
        ]
    return pd.DataFrame(rows, columns=["problem", "label", "method", "seed", "target", "passes"])


def profiles(frame: pd.DataFrame) -> list[Profile]:
    """Return the profiles of the methods that all problems have, over problems and seeds.

    Args:
        frame: From `profile_frame`.
    """
    problems = set(frame["problem"])
    times = {
        str(label): {
            (p, s): float(t) for p, s, t in zip(g["problem"], g["seed"], g["passes"], strict=True)
        }
        for label, g in frame.groupby("label", sort=False)
        if set(g["problem"]) == problems
    }
    return profiles_of(times)


def profile_figure(frame: pd.DataFrame, section: Section) -> Figure:
    """Draw the share of problems and seeds on which a method got there, by factor of the fastest.

    Args:
        frame: From `profile_frame`.
        section: All runs.
    """
    look = looks(section.runs)
    figure = new_figure(8.4, 4.0)
    axes = figure.subplots()
    lines = profiles(frame)
    farthest = 1.1 * max((p.factors[-1] for p in lines if len(p.factors)), default=1.0)
    for profile in lines:
        x = [1.0, *profile.factors, farthest]
        y = [0.0, *profile.solved, profile.solved[-1] if len(profile.solved) else 0.0]
        own = look[profile.label]
        axes.step(x, y, where="post", color=own.color, linestyle=own.dashes, label=profile.label)
    log = ", log scale" if log_if_wide(axes, "x") else ""
    axes.set_ylim(-0.02, 1.02)
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.02, 1.0))
    finish(
        axes,
        title="Performance profile",
        x=f"factor of the passes of the fastest{log}",
        y="share of problems and seeds",
    )
    caption(
        figure,
        "When a run's validation metric, at the end of an epoch, is first as good as that of the "
        "median run of tuned Adam at its end, in passes. Share of all pairs of problem and seed. "
        "What tunes itself has up to 1.5 times the budget, where there are such runs; what tuning "
        "cost is not counted.",
    )
    return figure


def length_frame(found: Sequence[Standing]) -> pd.DataFrame:
    """Return the mean radii by problem, method, seed and epoch, and the rate of tuned Adam."""
    rows = []
    for one in found:
        labels = distinct_labels(one.section.records)
        rates = {
            label: run.spec["optimizer"].get("lr")
            for run, label in zip(one.section.records, labels, strict=True)
        }
        own = rows_with(one.section.epochs, "label", METHODS)
        names = ["label", "seed", "epoch", "radius"]
        rows += [
            {
                **{"problem": one.problem, "method": method, "seed": seed, "epoch": epoch},
                **{"radius": radius, "adam": rates.get(REFERENCE)},
            }
            for method, seed, epoch, radius in zip(*(own[name] for name in names), strict=True)
            if epoch > 0
        ]
    columns = ["problem", "method", "seed", "epoch", "radius", "adam"]
    return pd.DataFrame(rows, columns=columns)


def length_figure(frame: pd.DataFrame) -> Figure:
    """Draw the radius by epoch, one panel for each problem.

    Args:
        frame: From `length_frame`.
    """
    problems = list(dict.fromkeys(frame["problem"]))
    across = min(3, len(problems))
    down = -(-len(problems) // across)
    figure = new_figure(9.6, 0.9 + 1.9 * down)
    panels = np.ravel(np.asarray(figure.subplots(down, across, squeeze=False, sharey=True)))
    for axes in panels[len(problems) :]:
        axes.set_axis_off()
    for place, (axes, problem) in enumerate(zip(panels, problems, strict=False)):
        own = rows_with(frame, "problem", [problem])
        for method in METHODS:
            for run in split(rows_with(own, "method", [method]), "seed"):
                axes.plot(run["epoch"], run["radius"], color=look_of(method).color, linewidth=0.9)
        rates = floats(own, "adam")
        if np.isfinite(rates).all():
            axes.axhline(rates[0], color=look_of("Adam").color, linestyle="--")
        axes.set_yscale("log")
        finish(axes, title=problem, x="epoch", y="length" if place % across == 0 else "")
    present = set(frame["method"])
    shown = [Line2D([], [], color=look_of(m).color, label=m) for m in METHODS if m in present]
    shown.append(Line2D([], [], color=look_of("Adam").color, linestyle="--", label=REFERENCE))
    figure.legend(handles=shown, loc="outside upper left", ncols=len(shown))
    caption(
        figure,
        "Lines: mean radius of an epoch, one line per seed. Dashed: the learning rate of Adam that "
        "was best of 13, a factor of the direction that TTR has too.",
    )
    return figure


def constant_frame(sections: Sequence[Section], method: str) -> pd.DataFrame:
    """Return the final test values of a method with one option changed, and with none.

    Returns:
        The columns ``problem``, ``metric``, ``option`` (empty for none), ``value``, ``default``,
        ``seed``, ``final`` in the metric's own unit, and ``error``: what it lacks to 1, or the
        metric itself where less is better, over that with the defaults.
    """
    rows = [row for section in sections for row in _rows(section, method)]
    names = ["problem", "metric", "option", "value", "default", "seed", "final", "error"]
    return pd.DataFrame(rows, columns=names)


def _rows(section: Section, method: str) -> list[dict[str, Any]]:
    metric = section.metric
    labels = dict(zip(distinct_labels(section.records), section.records, strict=True))
    base = next((run for label, run in labels.items() if label == method), None)
    if base is None:
        return []
    defaults, values = _flat(base.spec["optimizer"]), finals(section)
    plain = _error(metric, list(values[method].values()))
    rows = []
    for label, by in values.items():
        options = _flat(labels[label].spec["optimizer"])
        changed = [name for name in options if options[name] != defaults.get(name)]
        if len(changed) > 1:
            continue
        option = changed[0] if changed else ""
        common = {
            "problem": section.experiment.removeprefix(SENSITIVITY[method]),
            "metric": named(metric),
            "option": option,
            "value": options.get(option, np.nan),
            "default": defaults.get(option, np.nan),
        }
        rows += [
            {**common, "seed": seed, "final": value, "error": _error(metric, [value]) / plain}
            for seed, value in by.items()
        ]
    return rows


def _flat(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options with each decay rate of Adam by itself."""
    rates = {f"beta_{k}": rate for k, rate in enumerate(options.get("betas", ()), 1)}
    return {name: value for name, value in options.items() if name != "betas"} | rates


def _error(metric: Metric, values: Sequence[float]) -> float:
    mean = float(np.mean(values))
    return mean if metric.goal == "min" else 1.0 - mean


def constant_figure(frame: pd.DataFrame) -> Figure:
    """Draw the error by the value of each constant, a panel per problem.

    Args:
        frame: From `constant_frame`.
    """
    problems = list(dict.fromkeys(frame["problem"]))
    options = [name for name in dict.fromkeys(frame["option"]) if name]
    height = 1.4 + 0.42 * max(len(options), 1)
    figure = new_figure(3.4 * len(problems) + 1.6, height)
    panels = np.ravel(np.asarray(figure.subplots(1, len(problems), squeeze=False, sharey=True)))
    for axes, problem in zip(panels, problems, strict=True):
        _constants(axes, rows_with(frame, "problem", [problem]), options)
    panels[0].set_yticks(range(len(options)), options)
    panels[0].set_ylim(len(options) - 0.5, -0.5)
    caption(
        figure,
        "Means over seeds, blue: smaller than the default, orange: larger; beside marks that are "
        "off, the constant's value. Grey band: seeds with the defaults. Each constant is changed "
        "by itself. Error: what the accuracy lacks to 1, or the bits, over that with the defaults.",
    )
    return figure


def _constants(axes: Axes, own: pd.DataFrame, options: Sequence[str]) -> None:
    plain = floats(rows_with(own, "option", [""]), "error")
    low, high = float(plain.min()), float(plain.max())
    axes.axvspan(low, high, color="#EDEDED")
    axes.axvline(1.0, color="#8A8A8A", linewidth=1.0)
    for place, option in enumerate(options):
        for value in split(rows_with(own, "option", [option]), "value"):
            mean = float(floats(value, "error").mean())
            larger = floats(value, "value")[0] > floats(value, "default")[0]
            color = "#D55E00" if larger else "#0072B2"
            axes.plot(mean, place, "o", color=color, markersize=4)
            if not 0.95 * low <= mean <= 1.05 * high:
                axes.annotate(
                    f"{floats(value, 'value')[0]:.3g}",
                    (mean, place),
                    xytext=(0, 4 if larger else -9),
                    textcoords="offset points",
                    ha="center",
                    fontsize=6,
                )
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    finish(axes, title=str(own["problem"].iloc[0]), x="error, relative to the defaults")
