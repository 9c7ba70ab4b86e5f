"""What a report is, and the registry of all of them: by it others add figures, tables and parts.

A report is asked for by its name (``napts report NAME``). What it says of each comparison stands in
that comparison's part of the one page, and what it has besides in parts of its own.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from napts.analysis import Collection, Section, Table
from napts.plotting.drawings import Drawing
from napts.plotting.files import save_drawings
from napts.plotting.page import Body
from napts.plotting.provenance import report_command
from napts.registry import Registry


def _nothing(*_: object) -> tuple[()]:
    return ()


@dataclass(frozen=True)
class Report:
    """A report that can be asked for by name.

    Attributes:
        name: Its name.
        description: What it holds, in a few words.
        place: Where it stands among the others, in ascending order; those of the package have
            multiples of 10.
        drawings: Figures of one comparison.
        tables: Tables of one comparison, on the page.
        parts: Further parts of the page, from all records and the command that makes it.
        files: Writes its files, from all records, their folder and the command that makes them,
            and returns their paths; None to write its drawings of every comparison.
    """

    name: str
    description: str
    place: int
    drawings: Callable[[Section], Iterable[Drawing]] = _nothing
    tables: Callable[[Section], Sequence[Table]] = _nothing
    parts: Callable[[Collection, str], Iterable[Body]] = _nothing
    files: Callable[[Collection, Path, str], list[Path]] | None = None

    def make(self, collection: Collection, out_dir: Path, into: Path | None = None) -> list[Path]:
        """Write it.

        Args:
            collection: The records.
            out_dir: Folder of the results, created if it does not exist.
            into: Folder that is written to, if the files are brought there later.

        Returns:
            Paths of its files, where they are written.
        """
        command = report_command(self.name, collection.root, out_dir)
        out_dir = into or out_dir
        if self.files is not None:
            return self.files(collection, out_dir, command)
        sections = collection.of_kind("comparison")
        drawings = (drawing for section in sections for drawing in self.drawings(section))
        return save_drawings(drawings, out_dir, command)


REPORTS: Registry[Report] = Registry("reports", "napts.reports")
"""Every report by name; installed packages add theirs by entry points ``napts.reports``, each of
which names a module that calls `register_report`."""


def register_report(report: Report) -> None:
    """Add a report.

    Args:
        report: The report.

    Raises:
        ValueError: There is another one of its name.
    """
    REPORTS.register(report.name, report)


def ordered() -> list[Report]:
    """Return all reports by their places."""
    return sorted(REPORTS.values(), key=lambda report: report.place)
