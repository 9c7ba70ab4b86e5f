"""Named reports: how a records folder becomes figures, tables and one page."""

from collections.abc import Callable, Sequence
from pathlib import Path

from napts.analysis import Collection, comparison, comparison_tables, load_collection
from napts.plotting.contents import comparison_parts, html_page, tuning_parts
from napts.plotting.drawings import COMPARE, comparison_drawings, tuning_studies
from napts.plotting.files import save_drawings, save_tables
from napts.plotting.provenance import provenance_of, write_csv
from napts.plotting.registry import REPORTS, Report, ordered, register_report
from napts.plotting.staging import staged
from napts.records import Damage
from napts.text import shown


def render(
    names: str | Sequence[str],
    records_root: Path,
    out_dir: Path,
    *,
    tell: Callable[[Damage], None] = lambda damage: None,
) -> list[Path]:
    """Write reports from a records folder.

    Args:
        names: Names of `REPORTS`, or ``"all"``.
        records_root: Records folder, one experiment in it, or one run directory.
        out_dir: Folder of the results, created if it does not exist.
        tell: Told of every run that is left out because its records are damaged.

    Returns:
        Paths of the files written.

    Raises:
        ValueError: Unknown name.
        RecordError: There is no run under ``records_root``, or none that can be read.
    """
    asked = [names] if isinstance(names, str) else list(names)
    known = [report.name for report in ordered()]
    wanted = known if "all" in asked else asked
    unknown = [name for name in wanted if name not in REPORTS]
    if unknown:
        raise ValueError(f"report {shown(unknown[0])} is not one of {', '.join(known)}, all")
    collection = load_collection(records_root)
    for damage in collection.damages:
        tell(damage)
    out_dir = Path(out_dir)
    with staged(out_dir) as new:
        paths = [path for name in wanted for path in REPORTS[name].make(collection, out_dir, new)]
        return [out_dir / path.relative_to(new) for path in paths]


def write_report(records_root: Path, out_dir: Path) -> Path:
    """Write the one-page report and return its path.

    Args:
        records_root: Records folder.
        out_dir: Folder of the page.

    Returns:
        Path of ``report.html``, which needs no other file.

    Raises:
        RecordError: There is no run under ``records_root``, or none that can be read.
    """
    return REPORTS["html"].make(load_collection(records_root), Path(out_dir))[0]


def _tuning_files(collection: Collection, out_dir: Path, command: str) -> list[Path]:
    drawings = (study.drawing for study in tuning_studies(collection))
    return save_drawings(drawings, out_dir, command)


def _table_files(collection: Collection, out_dir: Path, command: str) -> list[Path]:
    paths: list[Path] = []
    for section in collection.of_kind("comparison"):
        provenance, name = provenance_of(section, command), f"table-{section.slug}"
        csv = out_dir / f"{name}.csv"
        write_csv(csv, comparison(section.runs), provenance)
        texts = save_tables(out_dir, name, comparison_tables(section.runs), provenance)
        paths += [csv, *texts]
    return paths


def _html_files(collection: Collection, out_dir: Path, command: str) -> list[Path]:
    path = out_dir / "report.html"
    out_dir.mkdir(parents=True, exist_ok=True)
    path.write_text(html_page(collection, command), encoding="utf-8")
    return [path]


register_report(
    Report(
        "table",
        "time, work and outcome per method",
        20,
        tables=lambda section: comparison_tables(section.runs),
        files=_table_files,
    )
)
register_report(
    Report(
        "compare",
        "cost, targets, rejections, radius, acceptance",
        50,
        drawings=lambda section: comparison_drawings(section, COMPARE),
        parts=comparison_parts,
    )
)
register_report(
    Report(
        "tuning",
        "tuning studies: what they brought and what they cost",
        70,
        parts=tuning_parts,
        files=_tuning_files,
    )
)
register_report(Report("html", "one page with every figure and table", 100, files=_html_files))
