"""The files of reports: figures with their numbers, and tables as text."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from napts.analysis import Table
from napts.plotting.drawings import Drawing
from napts.plotting.provenance import Provenance, provenance_of, save_figure


def save_drawings(drawings: Iterable[Drawing], out_dir: Path, command: str) -> list[Path]:
    """Write figures with their numbers.

    Args:
        drawings: The figures.
        out_dir: Folder of the files.
        command: Command that makes them again.

    Returns:
        Paths of the files.
    """
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


def save_tables(
    out_dir: Path, name: str, tables: Sequence[Table], provenance: Provenance
) -> list[Path]:
    """Write tables as text and as Markdown.

    Args:
        out_dir: Folder of the files.
        name: File name without extension.
        tables: The tables.
        provenance: Origin, which stands below them.

    Returns:
        Paths of both files.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    text, markdown = (out_dir / f"{name}.{kind}" for kind in ("txt", "md"))
    origin = "\n".join(provenance.lines())
    body = "\n\n".join(table.to_text() for table in tables)
    text.write_text(f"{body}\n\n{origin}\n", encoding="utf-8")
    body = "\n\n".join(table.to_markdown() for table in tables)
    markdown.write_text(f"{body}\n\n```\n{origin}\n```\n", encoding="utf-8")
    return [text, markdown]
