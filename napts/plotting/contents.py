"""What stands on the one page: claims, comparisons, tuning studies, calibrations."""

from collections.abc import Iterator, Sequence

from napts.analysis import Collection, Section, Table, comparison, comparison_tables
from napts.analysis.published import published_table
from napts.analysis.tables import number, percent
from napts.analysis.tuning_tables import tuning_table
from napts.claims import claims_tables, judge
from napts.claims.calibration import CellResult
from napts.plotting.drawings import (
    COMPARE,
    FIGURE2,
    Calibration,
    Drawing,
    TuningStudies,
    ablation_drawings,
    calibrations,
    comparison_drawings,
    family_drawings,
    tuning_studies,
)
from napts.plotting.page import Body, Picture, page, svg_data
from napts.plotting.provenance import provenance_of, provenance_of_all

_BEST = 12


def html_page(collection: Collection, command: str) -> str:
    """Return the page of all records.

    Args:
        collection: The records.
        command: Command that makes it again.
    """
    bodies = list(_bodies(collection, command))
    workloads = dict.fromkeys(section.workload for section in collection.sections)
    return page(bodies, ", ".join(workloads))


def _bodies(collection: Collection, command: str) -> Iterator[Body]:
    comparisons = collection.of_kind("comparison")
    if comparisons:
        yield _claims(collection, command)
    yield from (_comparison(section, command) for section in comparisons)
    yield from (_tuning(study, command) for study in tuning_studies(collection))
    yield from (_calibration(study, command) for study in calibrations(collection))


def _claims(collection: Collection, command: str) -> Body:
    return Body(
        "claims",
        "Claims of the papers",
        "What the comparisons below say of them, by tests that were declared beforehand.",
        claims_tables(judge(collection)),
        (),
        "",
        provenance_of_all(collection, command),
    )


def _comparison(section: Section, command: str) -> Body:
    drawings = [
        *family_drawings(section),
        *comparison_drawings(section, [FIGURE2, *COMPARE]),
        *ablation_drawings(section),
    ]
    published = published_table(section)
    methods = len(section.runs["label"].unique())
    return Body(
        section.slug,
        section.workload,
        f"{methods} methods, {len(section.records)} runs, experiment {section.experiment}.",
        [*comparison_tables(section.runs), *([published] if published else [])],
        _pictures(drawings),
        _summary(section),
        provenance_of(section, command),
        section.records,
    )


def _tuning(study: TuningStudies, command: str) -> Body:
    best = "; ".join(
        f"{t.method}: {percent(t.value(t.best.mean))} % at {_options(t.best.options, t.varied)}"
        for t in study.tunings
    )
    section = study.drawing.section
    return Body(
        section.slug,
        f"Tuning on {study.workload}",
        f"{len(section.records)} runs. All settings are tried with one seed, the best of them "
        "with more; the winner has the best mean on validation data.",
        [tuning_table(tuning) for tuning in study.tunings],
        _pictures([study.drawing]),
        f"Winners: {best}.",
        provenance_of(section, command),
        section.records,
    )


def _calibration(study: Calibration, command: str) -> Body:
    section, best = study.section, study.cells[0]
    return Body(
        section.slug,
        f"Calibration on {section.workload}",
        f"{len(study.cells)} cells, {len(section.records)} runs: which of the claims N1 to N10 "
        "hold with which of the settings that the paper does not print.",
        [_cells_table(study.cells)],
        _pictures(study.drawings),
        f"Best cell: {best.name}, with a score of {best.score:g} of {len(best.judgements)}.",
        provenance_of(section, command),
        section.records,
    )


def _cells_table(cells: Sequence[CellResult]) -> Table:
    names = [judgement.claim.name for judgement in cells[0].judgements]
    rows = [
        [
            cell.name,
            f"{cell.score:g}",
            percent(cell.accuracy),
            *(str(j.verdict) for j in cell.judgements),
        ]
        for cell in cells[:_BEST]
    ]
    return Table(
        "The best cells",
        ["changed", "score", "NAPTS accuracy %", *names],
        rows,
        ["One point for a confirmed claim, half of one for an undecided one; then by accuracy."],
    )


def _options(options: dict[str, object], names: Sequence[str]) -> str:
    return ", ".join(f"{name} {options[name]}" for name in names)


def _pictures(drawings: Sequence[Drawing]) -> list[Picture]:
    return [
        Picture(d.title, svg_data(d.figure()), svg_data(d.figure(narrow=True))) for d in drawings
    ]


def _summary(section: Section) -> str:
    """Say in words what the figures show, for readers who cannot see them."""
    parts = [
        f"{row['label']}: accuracy {percent(row['final_val_accuracy_mean'])} %, "
        f"train loss {number(row['final_train_loss_mean'])}, "
        f"{number(row['rejections_per_batch_mean'], places=2)} rejections per batch"
        for row in comparison(section.runs).to_dict("records")
    ]
    return f"Means over seeds at the end. {'; '.join(parts)}."
