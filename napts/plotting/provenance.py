"""Where a figure comes from, written into the files themselves."""

import contextlib
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from napts._version import __version__
from napts.analysis import Collection, Section
from napts.analysis.collection import records_digest
from napts.analysis.summary import sharing_notes
from napts.plotting.style import as_text, style
from napts.records import RunRecord
from napts.text import one_line, visible

ALL = "all"
"""Subject of what is made from all records."""


@dataclass(frozen=True)
class Provenance:
    """Origin of a figure or table.

    Attributes:
        subject: Experiment and workload, or `ALL`.
        runs: Number of runs.
        revision: Revisions of the program that made the records, "+changes" where the working
            tree was not clean, "unknown" where none was recorded.
        digest: Digest of the records.
        command: Command that makes the file again.
        version: Version of the package that drew it.
        times: What to know of the seconds, where they are no times.
    """

    subject: str
    runs: int
    revision: str
    digest: str
    command: str
    version: str = __version__
    times: str = ""

    def lines(self) -> list[str]:
        """Return the origin as ``key: value`` lines."""
        return [
            f"records: {self.subject}, {self.runs} runs, digest {self.digest}",
            f"revision: {self.revision}",
            f"command: {self.command}",
            f"napts: {self.version}",
            *([f"times: {self.times}"] if self.times else []),
        ]


def provenance_of(section: Section, command: str) -> Provenance:
    """Return the origin of everything that is made from one section.

    Args:
        section: The runs.
        command: Command that makes the file again.
    """
    subject = f"{section.experiment} / {section.workload}"
    runs, times = section.records, " ".join(sharing_notes(section.runs))
    return Provenance(subject, len(runs), revisions(runs), section.digest, command, times=times)


def provenance_of_all(collection: Collection, command: str) -> Provenance:
    """Return the origin of what is made from all records.

    Args:
        collection: The records.
        command: Command that makes the file again.
    """
    runs = collection.records
    return Provenance(ALL, len(runs), revisions(runs), records_digest(runs), command)


def revisions(runs: Sequence[RunRecord]) -> str:
    """Name the revisions of the program under which runs were made.

    Args:
        runs: The runs.

    Returns:
        Abbreviated revisions, sorted, separated by commas.
    """
    found = set()
    for run in runs:
        revision = run.environment.get("git_revision")
        dirty = "+changes" if revision and run.environment.get("git_dirty") else ""
        found.add(f"{str(revision)[:12]}{dirty}" if revision else "unknown")
    return ", ".join(sorted(found))


def report_command(name: str, records_root: Path, out_dir: Path) -> str:
    """Return the command that makes a report again, with paths relative to here if possible.

    Args:
        name: Name of the report.
        records_root: Records folder.
        out_dir: Folder of the results.
    """
    return f"napts report {name} {_short(records_root)} --out {_short(out_dir)}"


def _short(path: Path) -> str:
    with contextlib.suppress(ValueError):
        path = path.resolve().relative_to(Path.cwd().resolve())
    return shlex.quote(path.as_posix())


def save_figure(
    figure: Figure, out_dir: Path, name: str, data: pd.DataFrame, provenance: Provenance
) -> list[Path]:
    """Write a figure as PDF, SVG and PNG and its numbers as CSV, each with its origin.

    The files hold no date: the same records give the same bytes.

    Args:
        figure: The figure.
        out_dir: Folder, created if it does not exist.
        name: File name without extension.
        data: The numbers that the figure shows.
        provenance: Origin, written into the metadata and into comment lines of the CSV.

    Returns:
        Paths of the files written.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    text = visible("; ".join(provenance.lines()))
    paths = [out_dir / f"{name}.{kind}" for kind in ("pdf", "svg", "png", "csv")]
    pdf, svg, png, csv = paths
    with style():
        as_text(figure)
        pdf_metadata = {"Title": name, "Keywords": text, "CreationDate": None}
        figure.savefig(pdf, metadata=pdf_metadata)
        figure.savefig(svg, metadata={"Title": name, "Description": text, "Date": None})
        figure.savefig(png, metadata={"Title": name, "Description": text})
    write_csv(csv, data, provenance)
    return paths


_COMMENT = 2000
"""Characters of a comment line; revisions and commands may be long."""

_FORMULA = re.compile(
    r"[=@\t\r]|[+-](?!\d+(\.\d+)?(e[+-]?\d+)?( [^()=|!@+*/^&]*)?$)", re.IGNORECASE
)
"""What begins a formula in a spreadsheet; numbers do not, nor a number and words after it."""


def without_formulas(data: pd.DataFrame) -> pd.DataFrame:
    """Return a frame whose texts no spreadsheet takes for a formula: an apostrophe stands before.

    Args:
        data: The frame; numbers in it stay what they are.
    """

    def plain(value: object) -> object:
        if isinstance(value, str):
            text = visible(value)
            return f"'{text}" if _FORMULA.match(text) else text
        return value

    texts = [name for name in data.columns if data[name].dtype.kind not in "biuf"]
    columns = {
        name: pd.Series([plain(value) for value in data[name]], data.index, dtype=object)
        for name in texts
    }
    return data.assign(**columns).rename(columns=plain)


def write_csv(path: Path, data: pd.DataFrame, provenance: Provenance) -> None:
    """Write a frame as CSV below comment lines that name its origin.

    Read it back with ``pandas.read_csv(path, comment="#")``.

    Args:
        path: File to write.
        data: The frame.
        provenance: Its origin.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    comments = "".join(f"# {one_line(line, _COMMENT)}\n" for line in provenance.lines())
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(comments)
        without_formulas(data).to_csv(file, index=False, lineterminator="\n", float_format="%.10g")
