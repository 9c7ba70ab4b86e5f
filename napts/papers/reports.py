"""The reports that are about particular papers; this module registers them."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from napts.analysis import Collection, Section, Table
from napts.papers.claims import claims_frame, claims_tables, judge
from napts.papers.figures.calibration import calibration_files, calibration_parts
from napts.papers.figures.figure2 import figure2_drawings
from napts.papers.figures.weights_and_data import weights_and_data_drawings
from napts.papers.figures.window import window_drawings
from napts.papers.published import published_table
from napts.plotting.files import save_drawings, save_tables
from napts.plotting.page import Body
from napts.plotting.provenance import provenance_of, provenance_of_all, write_csv
from napts.plotting.registry import Report, register_report
from napts.records.metric import ACCURACY


def _claims_files(collection: Collection, out_dir: Path, command: str) -> list[Path]:
    if not _has_comparisons(collection):
        return []
    judgements = judge(collection)
    provenance = provenance_of_all(collection, command)
    csv = out_dir / "claims.csv"
    write_csv(csv, claims_frame(judgements), provenance)
    return [csv, *save_tables(out_dir, "claims", claims_tables(judgements), provenance)]


def _has_comparisons(collection: Collection) -> bool:
    """Tell whether there are comparisons of the kind that the claims are about."""
    return any(section.metric == ACCURACY for section in collection.of_kind("comparison"))


def _claims_parts(collection: Collection, command: str) -> Iterator[Body]:
    if _has_comparisons(collection):
        yield Body(
            "claims",
            "Claims of the papers",
            "What the comparisons below say of them, by tests that were declared beforehand.",
            claims_tables(judge(collection)),
            (),
            "",
            provenance_of_all(collection, command),
        )


def _published(section: Section) -> Sequence[Table]:
    table = published_table(section)
    return [] if table is None else [table]


def _published_files(collection: Collection, out_dir: Path, command: str) -> list[Path]:
    sections = collection.of_kind("comparison")
    drawings = (drawing for section in sections for drawing in weights_and_data_drawings(section))
    paths = save_drawings(drawings, out_dir, command)
    for section in sections:
        if tables := _published(section):
            provenance = provenance_of(section, command)
            paths += save_tables(out_dir, f"published-{section.slug}", tables, provenance)
    return paths


for _report in (
    Report(
        "claims",
        "which claims of the papers hold",
        10,
        parts=_claims_parts,
        files=_claims_files,
    ),
    Report(
        "family",
        "APTS in weights and in data beside published averages",
        30,
        drawings=weights_and_data_drawings,
        tables=_published,
        files=_published_files,
    ),
    Report(
        "figure2",
        "the NAPTS paper's Figure 2: loss, accuracy, rejections",
        40,
        drawings=figure2_drawings,
    ),
    Report(
        "window",
        "what the length of NAPTS's memory changes",
        60,
        drawings=window_drawings,
    ),
    Report(
        "calibration",
        "the claims by the settings that the paper does not print",
        80,
        parts=calibration_parts,
        files=calibration_files,
    ),
):
    register_report(_report)
