"""Hostile labels, in specs and in records, through training, tables, figures and the page."""

import csv
import html.parser
import json
import random
import re
import shutil
import xml.etree.ElementTree
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napts.records.layout import SPEC
from tests.campaign import runs
from tests.campaign.children import Ended, napts
from tests.campaign.outcome import Case, Part
from tests.campaign.specs import control_characters

_LABELS_PER_CASE = 3
_SOUND = "sound label"
_EVIL = "evil()"
_LONGEST_LINE = 200
_BAD_INPUT = 2
_REPORT_S = 900.0
_FORMULA = ("=", "+", "-", "@", "\t", "\r")

_PIECES = (
    *(
        "$\\foo$",
        "$x^2$",
        "$",
        "$$",
        "\\",
        "\\alpha",
        "_a_",
        "x_{",
        "{",
        "}",
        "%",
        "^",
        "~",
        "#",
        "&",
    ),
    *(
        f"<script>{_EVIL}</script>",
        f"<img src=x onerror={_EVIL}>",
        f'"><svg onload={_EVIL}>',
        "</td>",
    ),
    *("]]>", "<!--", "-->", "&lt;", "&#x1b;", "<", ">", '"', "'", "`", f"javascript:{_EVIL}"),
    *("=1+1", "+1+1", "-1+1", "@SUM(A1)", '=HYPERLINK("http://example.org")', "=cmd|' /C calc'!A0"),
    *(",", ";", "|", "||", "a|b", "*bold*", "[link](http://example.org)", "---", ":--", "`code`"),
    *("\n", "\r", "\t", "\x00", "\x07", "\x1b[31m", "\x1b]0;title\x07", "\x7f", "\x85", "\u2028"),
    *("\u202e", "\u200b", "\ufeff", "\ud7ff", "e\u0301", "𝔑", "漢字", "😀", "ﬀ", "\u0000"),
    *("[red]", "[/red]", "[bold]x", "%s", "{0}", "{label}", "%(x)s", "${HOME}", "$(touch owned)"),
    *(
        "../x",
        "/etc/passwd",
        "a/b",
        "a\\b",
        "con",
        ".",
        "..",
        "-rf",
        "--help",
        " ",
        "  x  ",
        "nan",
        "null",
    ),
    *("x" * 100, "long " * 18, "W" * 99),
)


def _label(choice: random.Random) -> str:
    number = choice.choice((1, 1, 2, 3))
    return "".join(choice.choice(_PIECES) for _ in range(number))[:100] or "="


@dataclass(frozen=True)
class _Sound:
    """Records whose labels are sound, of a study with one more method than labels of a case."""

    records: Path
    study: Mapping[str, Any]


_METHODS = ("NAPTS", "TR", "Adam", "SGD")


def _prepare(folder: Path) -> _Sound:
    study = _study(["one", "two", "three", _SOUND])
    file = runs.write_toml(folder / "study.toml", study)
    records = folder / "records"
    ended = napts(["run", file, "--records", records, "--no-track"], folder, writable=[records])
    if ended.code:
        raise RuntimeError(f"the records were not made: {ended.said()}")
    return _Sound(records, study)


def _study(labels: list[str]) -> dict[str, Any]:
    first = runs.spec_of("Adam", runs.WORKLOADS[0], epochs=1)
    del first["label"], first["optimizer"]
    pairs = zip(labels, _METHODS, strict=True)
    methods = [{"label": label, **runs.OPTIMIZERS[method]} for label, method in pairs]
    return {**first, "seeds": [0], "methods": methods}


def _case(choice: random.Random, folder: Path, sound: _Sound) -> Case:
    labels = [_label(choice) for _ in range(_LABELS_PER_CASE)]
    case = Case()
    accepted = [_accepted(label, folder, case) for label in labels]
    records = folder / "records"
    if not all(accepted):
        # As an older version, or a hand, has written them into records.
        shutil.copytree(sound.records, records)
        _relabel(records, labels)
    else:
        file = runs.write_toml(folder / "study.toml", _study([*labels, _SOUND]))
        trained = napts(
            ["run", file, "--records", records, "--no-track"], folder, writable=[records]
        )
        case.findings += [f"run: {what}" for what in _wrong(trained)]
        if trained.code == _BAD_INPUT and len(set(labels)) == len(labels):
            case.findings.append(f"run: {trained.said()}")
    if records.exists():
        out = folder / "out"
        ended = napts(
            ["report", "all", records, "--out", out], folder, writable=[out], limit_s=_REPORT_S
        )
        case.findings += [f"report: {what}" for what in _wrong(ended)]
        case.findings += _ill_formed(out, ended)
    if (folder / "owned").exists():
        case.findings.append("a label was run by a shell")
    case.findings = [f"{labels!a}: {what}" for what in case.findings]
    return case


def _accepted(label: str, folder: Path, case: Case) -> bool:
    """Tell whether a spec may have a label, and count it."""
    plan = runs.write_toml(folder / "plan.toml", _study([label, "two", "three", _SOUND]))
    ended = napts(["sweep", "plan", plan, "--records", folder / "records"], folder)
    case.findings += [f"plan: {what}" for what in _wrong(ended)]
    case.count("refused by specs, put into records" if ended.code else "accepted by specs")
    return ended.code == 0


def _relabel(records: Path, labels: list[str]) -> None:
    headers = sorted(records.glob(f"*/*/{SPEC}"))
    names = iter(labels)
    for path in headers:
        header = json.loads(path.read_text())
        if header["label"] == _SOUND:
            continue
        header["label"] = header["spec"]["label"] = next(names)
        path.write_text(json.dumps(header))


def _wrong(ended: Ended) -> list[str]:
    found = [f"outside: {breach}" for breach in ended.breaches]
    if ended.crashed:
        found.append(f"crashed: {ended.said()}")
    if characters := control_characters(ended.err + ended.out):
        found.append(f"control characters {characters!a} on the terminal")
    if ended.code == _BAD_INPUT:
        longest = max((len(line) for line in ended.err.splitlines()), default=0)
        if longest > _LONGEST_LINE:
            found.append(f"a line of {longest} characters: {ended.said()}")
    return found


def _ill_formed(out: Path, ended: Ended) -> list[str]:
    """Say which files of a report a label has broken, or that there is none."""
    if ended.crashed:
        return []
    files = [path for path in out.glob("**/*") if path.is_file()]
    if not any(path.name == "report.html" for path in files):
        return [f"report: no page: {ended.said()}"]
    first: dict[str, str] = {}
    for path in sorted(files):
        for what in _broken(path):
            first.setdefault(what, path.name)
    found = [f"{name}: {what}" for what, name in first.items()]
    page = out / "report.html"
    if _SOUND not in page.read_text(encoding="utf-8"):
        found.append("report.html: a sound run is not shown")
    return found


def _broken(path: Path) -> Iterator[str]:
    if path.suffix not in (".svg", ".csv", ".html", ".md", ".txt"):
        return
    text = path.read_bytes().decode(errors="replace")
    if characters := control_characters(text):
        yield f"control characters {characters!a}"
    if path.suffix == ".svg":
        yield from _broken_svg(text)
    elif path.suffix == ".csv":
        yield from _broken_csv(text)
    elif path.suffix == ".html":
        page = _Page()
        page.feed(text)
        yield from page.found
    elif path.suffix == ".md":
        yield from _broken_markdown(text)


def _broken_svg(text: str) -> Iterator[str]:
    try:
        root = xml.etree.ElementTree.fromstring(text)
    except xml.etree.ElementTree.ParseError as error:
        yield f"not well-formed: {error}"
        return
    for element in root.iter():
        if str(element.tag).endswith(("script", "foreignObject")):
            yield f"an element {element.tag}"
        if any(name.startswith("on") for name in element.attrib):
            yield "an attribute that is run"


def _broken_csv(text: str) -> Iterator[str]:
    rows = list(csv.reader(text.splitlines(keepends=True)))
    widths = {len(row) for row in rows if row and not row[0].startswith("#")}
    if len(widths) > 1:
        yield f"rows of {sorted(widths)} cells"
    for cell in {cell for row in rows for cell in row}:
        if cell.startswith(_FORMULA) and not _is_number(cell):
            yield f"a cell that starts a formula: {cell!a}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _broken_markdown(text: str) -> Iterator[str]:
    for block in re.split(r"\n\s*\n", text):
        lines = [line for line in block.splitlines() if line.startswith("|")]
        counts = {len(re.findall(r"(?<!\\)\|", line)) for line in lines}
        if len(counts) > 1:
            yield f"a table whose rows have {sorted(counts)} bars"


class _Page(html.parser.HTMLParser):
    """Looks for what a browser would run."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._in_script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._in_script = tag == "script"
        for name, value in attrs:
            if _EVIL in (value or "") and (name.startswith("on") or name in ("href", "src")):
                self.found.append(f"<{tag} {name}={value}>")

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False

    def handle_data(self, data: str) -> None:
        if self._in_script and _EVIL in data:
            self.found.append(f"a script with {_EVIL}")


LABELS = Part("labels", "labels", 6, _prepare, _case)
