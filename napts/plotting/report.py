"""Named reports: how a records folder becomes figures, tables and one page."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from napts.analysis import Collection, Table, comparison, comparison_tables, load_collection
from napts.analysis.published import published_table
from napts.claims import claims_frame, claims_tables, judge
from napts.plotting.contents import html_page
from napts.plotting.drawings import (
    COMPARE,
    FIGURE2,
    Drawing,
    ablation_drawings,
    calibrations,
    comparison_drawings,
    family_drawings,
    tuning_studies,
)
from napts.plotting.provenance import (
    Provenance,
    provenance_of,
    provenance_of_all,
    report_command,
    save_figure,
    write_csv,
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


def _save(drawings: Iterable[Drawing], out_dir: Path, command: str) -> list[Path]:
    return [
        path
        for drawing in drawings
        for path in save_figure(
            drawing.figure(),
            out_dir,
            drawing.name,
            drawing.data,
            provenance_of(drawing.section, command),
        )
    ]


def _figure2(collection: Collection, out_dir: Path) -> list[Path]:
    command = report_command("figure2", collection.root, out_dir)
    sections = collection.of_kind("comparison")
    drawings = (d for section in sections for d in comparison_drawings(section, [FIGURE2]))
    return _save(drawings, out_dir, command)


def _compare(collection: Collection, out_dir: Path) -> list[Path]:
    command = report_command("compare", collection.root, out_dir)
    sections = collection.of_kind("comparison")
    drawings = [d for section in sections for d in comparison_drawings(section, COMPARE)]
    drawings += [d for section in sections for d in ablation_drawings(section)]
    return _save(drawings, out_dir, command)


def _family(collection: Collection, out_dir: Path) -> list[Path]:
    command = report_command("family", collection.root, out_dir)
    sections = collection.of_kind("comparison")
    paths = _save((d for section in sections for d in family_drawings(section)), out_dir, command)
    for section in sections:
        if (table := published_table(section)) is not None:
            name = f"published-{section.slug}"
            paths += _text_files(out_dir, name, [table], provenance_of(section, command))[1:]
    return paths


def _tuning(collection: Collection, out_dir: Path) -> list[Path]:
    command = report_command("tuning", collection.root, out_dir)
    return _save((study.drawing for study in tuning_studies(collection)), out_dir, command)


def _calibration(collection: Collection, out_dir: Path) -> list[Path]:
    command = report_command("calibration", collection.root, out_dir)
    drawings = (drawing for study in calibrations(collection) for drawing in study.drawings)
    return _save(drawings, out_dir, command)


def _claims(collection: Collection, out_dir: Path) -> list[Path]:
    if not collection.of_kind("comparison"):
        return []
    judgements = judge(collection)
    provenance = provenance_of_all(collection, report_command("claims", collection.root, out_dir))
    csv, *texts = _text_files(out_dir, "claims", claims_tables(judgements), provenance)
    write_csv(csv, claims_frame(judgements), provenance)
    return [csv, *texts]


def _table(collection: Collection, out_dir: Path) -> list[Path]:
    command = report_command("table", collection.root, out_dir)
    paths: list[Path] = []
    for section in collection.of_kind("comparison"):
        provenance = provenance_of(section, command)
        tables = comparison_tables(section.runs)
        csv, *texts = _text_files(out_dir, f"table-{section.slug}", tables, provenance)
        write_csv(csv, comparison(section.runs), provenance)
        paths += [csv, *texts]
    return paths


def _text_files(
    out_dir: Path, name: str, tables: Sequence[Table], provenance: Provenance
) -> list[Path]:
    """Write tables as text and Markdown; returns the paths, that of a CSV to be written first."""
    out_dir.mkdir(parents=True, exist_ok=True)
    csv, text, markdown = (out_dir / f"{name}.{kind}" for kind in ("csv", "txt", "md"))
    origin = "\n".join(provenance.lines())
    body = "\n\n".join(table.to_text() for table in tables)
    text.write_text(f"{body}\n\n{origin}\n", encoding="utf-8")
    body = "\n\n".join(table.to_markdown() for table in tables)
    markdown.write_text(f"{body}\n\n```\n{origin}\n```\n", encoding="utf-8")
    return [csv, text, markdown]


def _html(collection: Collection, out_dir: Path) -> list[Path]:
    command = report_command("html", collection.root, out_dir)
    path = out_dir / "report.html"
    out_dir.mkdir(parents=True, exist_ok=True)
    path.write_text(html_page(collection, command), encoding="utf-8")
    return [path]


REPORTS: dict[str, Report] = {
    "figure2": Report("the NAPTS paper's Figure 2: loss, accuracy, rejections", _figure2),
    "compare": Report("cost, targets, rejections, radius, acceptance, window", _compare),
    "family": Report("APTS in weights and in data beside published averages", _family),
    "table": Report("time, work and outcome per method", _table),
    "claims": Report("which claims of the papers hold", _claims),
    "tuning": Report("tuning studies: what they brought and what they cost", _tuning),
    "calibration": Report("the claims by the settings that the paper does not print", _calibration),
    "html": Report("one page with every figure and table", _html),
}
"""Every report by name."""
