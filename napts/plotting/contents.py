"""What stands on the one page: comparisons, tuning studies, and what registered reports add."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from napts.analysis import Collection, Section, comparison
from napts.analysis.frames import target_in_words
from napts.analysis.looks import LEADING
from napts.analysis.measured import named
from napts.analysis.summary import sharing_notes
from napts.analysis.tables import form_of, number, spread, two_places, with_unit
from napts.analysis.tuning_tables import tuning_table
from napts.plotting.drawings import TuningStudies, problem_of, tuning_studies
from napts.plotting.page import Body, page
from napts.plotting.provenance import provenance_of
from napts.plotting.registry import ordered

_LIMITS = ("epochs", "passes", "samples", "seconds")


def html_page(collection: Collection, command: str) -> str:
    """Return the page of all records.

    Args:
        collection: The records.
        command: Command that makes it again.
    """
    bodies = [body for report in ordered() for body in report.parts(collection, command)]
    workloads = dict.fromkeys(section.workload for section in collection.sections)
    return page(bodies, ", ".join(workloads))


def comparison_parts(collection: Collection, command: str) -> Iterator[Body]:
    """Yield a part of the page for every comparison.

    Those on leading problems come first, the ones with the most runs before the others.

    Args:
        collection: The records.
        command: Command that makes the page again.
    """
    sections = sorted(collection.of_kind("comparison"), key=_place)
    return (_comparison(section, command) for section in sections)


def _place(section: Section) -> tuple[bool, int]:
    """Return where a comparison stands; those that have the same keep their order."""
    leads = section.workload in LEADING
    return not leads, -len(section.records) if leads else 0


def tuning_parts(collection: Collection, command: str) -> Iterator[Body]:
    """Yield a part of the page for every workload that was tuned on; arguments as above."""
    return (_tuning(study, command) for study in tuning_studies(collection))


def _comparison(section: Section, command: str) -> Body:
    reports = ordered()
    drawings = [drawing for report in reports for drawing in report.drawings(section)]
    methods = len(section.runs["label"].unique())
    return Body(
        section.slug,
        problem_of(section),
        f"{methods} methods, {len(section.records)} runs, experiment {section.experiment}."
        f"{_budget(section)}{_sharing(section)}",
        [table for report in reports for table in report.tables(section)],
        [drawing.picture() for drawing in drawings],
        _summary(section),
        provenance_of(section, command),
        section.records,
    )


def _budget(section: Section) -> str:
    """Return what ends the runs, where it is more than a number of epochs."""
    budgets = [run.spec["budget"] for run in section.records]
    if not any(budget.get(name) for budget in budgets for name in (*_LIMITS[1:], "target")):
        return ""
    return f" Budget: {'; or '.join(dict.fromkeys(map(budget_in_words, budgets)))}."


def _sharing(section: Section) -> str:
    """Return what to know of the seconds of runs that shared a GPU."""
    return "".join(f" {note}" for note in sharing_notes(section.runs))


def budget_in_words(budget: Mapping[str, Any]) -> str:
    """Return a budget for people, for example ``"30 epochs or 60 seconds, batches of 50"``.

    Args:
        budget: The table of a validated spec.
    """
    limits = [f"{budget[name]:,.12g} {name}" for name in _LIMITS if budget.get(name) is not None]
    size = budget["batch_size"]
    batches = "all samples in every batch" if size == "full" else f"batches of {size}"
    target = budget.get("target")
    until = f", until {target_in_words(target)}" if target else ""
    return f"{' or '.join(limits)}{until}, {batches}"


def _tuning(study: TuningStudies, command: str) -> Body:
    best = "; ".join(
        f"{t.method}: {with_unit(t.value(t.best.mean), t.measure)} at "
        f"{_options(t.best.options, t.varied)}"
        for t in study.tunings
    )
    section = study.drawing.section
    return Body(
        section.slug,
        f"Tuning on {study.workload}",
        f"{len(section.records)} runs. All settings are tried with one seed, the best of them "
        "with more; the winner has the best mean on validation data.",
        [tuning_table(tuning) for tuning in study.tunings],
        [study.drawing.picture()],
        f"Winners: {best}.",
        provenance_of(section, command),
        section.records,
    )


def _options(options: dict[str, object], names: Sequence[str]) -> str:
    return ", ".join(f"{name} {options[name]}" for name in names)


def _summary(section: Section) -> str:
    """Say in words what the figures show, for readers who cannot see them."""
    metric = section.metric
    name = named(metric)
    value, unit = f"final_{metric.column('val')}", " %" if metric.fraction else ""
    parts = [
        f"{row['label']} (n = {row[f'{value}_n']}): {name} "
        f"{spread(row, value, form_of(metric))}{unit}, "
        f"train loss {spread(row, 'final_train_loss', number)}, "
        f"{spread(row, 'rejections_per_batch', two_places)} rejections per batch"
        for row in comparison(section.runs).to_dict("records")
    ]
    return f"Means [min, max] over n seeds at the end. {'; '.join(parts)}."
