"""What the committed records say, as digests: every table of every report, and every verdict.

Usage: python -m tests.papers.committed_records > tests/papers/golden/committed-records.json

Figures are not drawn; the numbers that they show are among the tables. With PYTHONPATH set to
another revision's files, `python tests/papers/committed_records.py` says what that one makes of
them.
"""

import fnmatch
import gzip
import hashlib
import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

from click.testing import CliRunner
from matplotlib.figure import Figure

RECORDS = Path(__file__).parents[2] / "reports" / "records"
DIGITS = 10
"""Significant digits of the numbers that are compared; the last ones are the machine's."""

LATER = (
    *("prodigy-s*", "adamwschedulefree-s*", "sgdschedulefree-s*", "dog-s*", "dadaptadam-s*"),
    *("finite-sums*", "tune-*-logistic-*", "rmtr-*"),
    *("cifar10-cnn.runs*", "cifar10-cnn-seconds*"),
    *("calibration-absolute*", "paper-times-*"),
    *("pinn-*", "tune-burgers-Adam*", "tune-klein-gordon-Adam*", "tune-allen-cahn-Adam*"),
    "tune-transport-Adam*",
)
"""Runs and experiments that came later, and are left out."""


def committed() -> dict[str, Any]:
    """Return verdicts and digests of what is made of the committed records."""
    from napts import analysis
    from napts.plotting import report

    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) / RECORDS.name
        _copy_early(RECORDS, kept)
        # Read once: what is judged and drawn is kept with it.
        collection = analysis.load_collection(kept)
    with (
        mock.patch.object(analysis, "load_collection", return_value=collection),
        mock.patch.object(report, "load_collection", return_value=collection),
    ):
        claims, files = _claims(), _files()
    return {"verdicts": _verdicts(claims), "claims": _digest(_rounded(claims)), "files": files}


def _copy_early(source: Path, target: Path) -> None:
    """Copy packed records without what is in `LATER`."""
    target.mkdir()
    for path in sorted(source.glob("*.gz")):
        if not _later(path.name):
            lines = gzip.decompress(path.read_bytes()).splitlines(keepends=True)
            kept = [line for line in lines if not _later(json.loads(line)["run_key"])]
            (target / path.name).write_bytes(gzip.compress(b"".join(kept), 1))


def _later(name: str) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in LATER)


def _claims() -> list[dict[str, Any]]:
    from napts.cli.commands import main

    result = CliRunner().invoke(main, ["claims", str(RECORDS), "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.output)


def _verdicts(claims: list[dict[str, Any]]) -> dict[str, str]:
    return {f"{row['claim']}: {row['section'] or 'nowhere'}": row["verdict"] for row in claims}


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return f"{value:.{DIGITS}g}" if isinstance(value, float) else value


def _files() -> dict[str, str]:
    """Return digests of the tables of all files of ``napts report all``, by file and title."""
    from napts.plotting import drawings, render
    from napts.plotting.page import Image

    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.object(drawings.Drawing, "figure", return_value=Figure()),
        mock.patch.object(drawings, "image_data", return_value=Image("", 1, 1)),
        mock.patch.object(Figure, "savefig"),
    ):
        render("all", RECORDS, Path(folder))
        return {
            f"{path.name}{title}": digest
            for path in sorted(Path(folder).iterdir())
            for title, digest in _tables(path.suffix, path.read_text("utf-8")).items()
        }


def _tables(kind: str, text: str) -> dict[str, str]:
    if kind == ".csv":
        return {"": _digest([line for line in text.splitlines() if not line.startswith("# ")])}
    if kind == ".html":
        return _on_the_page(text)
    # What stands at the end names the command and the version.
    *parts, _ = re.split(r"\n\n(?=\*\*|```\n)" if kind == ".md" else r"\n\n", text)
    return {f": {part.splitlines()[0].strip('*')}": _digest(part) for part in parts}


def _on_the_page(text: str) -> dict[str, str]:
    """Return the digests of a page's tables, by anchor and title, and of the words of each part."""
    found: dict[str, str] = {}
    for part in re.split("<section.*?>", text)[1:]:
        anchor = _all(r'<h2 id="(.*?)"', part)[0]
        for table in _all(r"<table>.*?</table></div>\n(?:<p class=.note.>.*?</p>)*", part):
            found[f": {anchor}: {_all('<caption>(.*?)</caption>', table)[0]}"] = _digest(table)
        words = _all(r'<h2.*?</h2>|<h3>.*?</h3>|<p class="lead">.*?</p>|alt=".*?"', part)
        found[f": {anchor}"] = _digest(words)
    return found


def _all(pattern: str, text: str) -> list[str]:
    return re.findall(pattern, text, re.DOTALL)


def _digest(content: Any) -> str:
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


if __name__ == "__main__":
    json.dump(committed(), sys.stdout, indent=1, sort_keys=True)
    print()
