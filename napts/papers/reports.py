"""The reports that are about particular papers; this module registers them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from napts.analysis import Collection, Section, Table
from napts.papers.claims import CLAIMS, claims_frame, claims_tables, judge
from napts.papers.equations import equation_tables
from napts.papers.figures.calibration import calibration_files, calibration_parts
from napts.papers.figures.cost_model import cost_model_drawings, cost_model_tables
from napts.papers.figures.equations import equation_drawings
from napts.papers.figures.figure2 import figure2_drawings
from napts.papers.figures.finite_sums import finite_sum_drawings
from napts.papers.figures.identification import identification_files, identification_parts
from napts.papers.figures.levels import level_drawings
from napts.papers.figures.untuned import untuned_files, untuned_parts
from napts.papers.figures.weights_and_data import weights_and_data_drawings
from napts.papers.figures.window import window_drawings
from napts.papers.finite_sums import finite_sum_tables
from napts.papers.levels import level_tables
from napts.papers.published import published_table
from napts.plotting.drawings import Drawing
from napts.plotting.files import save_drawings, save_tables
from napts.plotting.page import Body
from napts.plotting.provenance import provenance_of, provenance_of_all, write_csv
from napts.plotting.registry import Report, register_report


def _claims_files(collection: Collection, out_dir: Path, command: str) -> list[Path]:
    if not _has_comparisons(collection):
        return []
    judgements = judge(collection)
    provenance = provenance_of_all(collection, command)
    csv = out_dir / "claims.csv"
    write_csv(csv, claims_frame(judgements), provenance)
    return [csv, *save_tables(out_dir, "claims", claims_tables(judgements), provenance)]


def _has_comparisons(collection: Collection) -> bool:
    """Tell whether there are comparisons that the claims are about."""
    metrics = {claim.metric for claim in CLAIMS if claim.rules}
    return any(section.metric in metrics for section in collection.of_kind("comparison"))


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


def _files(
    name: str,
    drawings: Callable[[Section], Iterable[Drawing]],
    tables: Callable[[Section], Sequence[Table]],
) -> Callable[[Collection, Path, str], list[Path]]:
    """Return what writes the figures and tables of every comparison.

    Args:
        name: Prefix of the tables' files.
        drawings: Figures of one comparison.
        tables: Tables of one comparison.
    """

    def write(collection: Collection, out_dir: Path, command: str) -> list[Path]:
        sections = collection.of_kind("comparison")
        paths = save_drawings((d for s in sections for d in drawings(s)), out_dir, command)
        for section in sections:
            if found := tables(section):
                provenance = provenance_of(section, command)
                paths += save_tables(out_dir, f"{name}-{section.slug}", found, provenance)
        return paths

    return write


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
        files=_files("published", weights_and_data_drawings, _published),
    ),
    Report(
        "figure2",
        "the NAPTS paper's Figure 2: loss, accuracy, rejections",
        40,
        drawings=figure2_drawings,
    ),
    Report(
        "sums",
        "finite sums: error by counted work, growing subsets, cost of a target",
        30,
        drawings=finite_sum_drawings,
        tables=finite_sum_tables,
        files=_files("sums", finite_sum_drawings, finite_sum_tables),
    ),
    Report(
        "equations",
        "quasi-Newton methods and differential equations: error by gradients, the solution",
        30,
        drawings=equation_drawings,
        tables=equation_tables,
        files=_files("equations", equation_drawings, equation_tables),
    ),
    Report(
        "levels",
        "multilevel training: loss by work, share of work by level, cycles, cost of a loss",
        30,
        drawings=level_drawings,
        tables=level_tables,
        files=_files("levels", level_drawings, level_tables),
    ),
    Report(
        "times",
        "modelled times from counted passes, beside those that the NAPTS paper prints",
        40,
        drawings=cost_model_drawings,
        tables=cost_model_tables,
        files=_files("times", cost_model_drawings, cost_model_tables),
    ),
    Report(
        "window",
        "what the length of NAPTS's memory changes",
        60,
        drawings=window_drawings,
    ),
    Report(
        "untuned",
        "STTR and TTR beside tuned and parameter-free rivals: profile, lengths, constants",
        85,
        parts=untuned_parts,
        files=untuned_files,
    ),
    Report(
        "calibration",
        "the claims by the settings that the paper does not print",
        80,
        parts=calibration_parts,
        files=calibration_files,
    ),
    Report(
        "identification",
        "the NAPTS paper's regime: cells beside its times, accuracies and claims",
        80,
        parts=identification_parts,
        files=identification_files,
    ),
):
    register_report(_report)
