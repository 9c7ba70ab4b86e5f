"""Labels are text everywhere: a name that means something to a medium means nothing in it."""

import csv
import html.parser
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.console import Console

from napts.analysis import Table, load_collection
from napts.analysis.tables import markdown
from napts.plotting import render
from napts.records.read import load_run
from napts.text import is_hidden
from tests.input.commands import call, write

HOSTILE = [
    *(r"$\foo$", "+1+1", "=cmd()", "@x", "-1+1", "[red]x[/red] :warning: [/]", "_legend"),
    *("<script>alert(1)</script> </svg> --> &lt; <!--", "a|b `a` *a* ](x) \\", "#' \" é∞日 {0} %s"),
]
"""Labels that a spec may have."""

OLD = ["a\x1b[31mb", "a\nb", "a\x00b", "a\u202eb", "x" * 3000, "\r=1"]
"""Labels of records that other programs have written."""


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return records of runs with all these labels."""
    folder = tmp_path_factory.mktemp("hostile")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        methods = [
            {"method": "SGD", "lr": 0.1 + 0.001 * n, "label": label}
            for n, label in enumerate(HOSTILE)
        ]
        study = {
            "experiment": "hostile",
            "seeds": [0],
            "workload": {"name": "synthetic-blobs", "train_samples": 64},
            "budget": {"epochs": 1},
            "methods": methods,
        }
        result = call("run", write("study.toml", study), "--no-track")
        assert result.exit_code == 0
        for label in HOSTILE:
            assert label in result.output, label
        assert not any(map(is_hidden, result.output.replace("\n", "")))
        status = call("sweep", "status", "study.toml")
        assert "[red]x[/red] :warning: [/]" in status.output
    return folder / "records"


@pytest.fixture(scope="module")
def old_records(records: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return records whose labels no spec could have."""
    runs = sorted((records / "hostile").iterdir())
    folder = tmp_path_factory.mktemp("old")
    for run, label in zip(runs, OLD, strict=False):
        copy = folder / "old" / run.name
        copy.mkdir(parents=True)
        for file in run.iterdir():
            (copy / file.name).write_bytes(file.read_bytes())
        header = json.loads((copy / "spec.json").read_text())
        header["label"] = label
        header["spec"]["label"] = label
        (copy / "spec.json").write_text(json.dumps(header))
    return folder


class Elements(html.parser.HTMLParser):
    """Collects the elements of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.add(tag)
        assert not any(name.startswith("on") for name, _ in attrs)


ELEMENTS = re.compile(
    "html|head|meta|title|link|style|body|header|h[123]|p|nav|a|main|section|figure|picture|source"
    "|img|div|table|caption|thead|tbody|tr|th|td|code|dl|dt|dd|ol|li"
)


@pytest.mark.parametrize("which", ["records", "old_records"])
def test_reports_hold_labels_as_text(
    which: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    root: Path = request.getfixturevalue(which)
    files = render(["compare", "table", "html"], root, tmp_path)
    drawn: set[str] = set()
    kinds = {file.suffix for file in files}
    assert {".svg", ".html", ".csv", ".md", ".txt", ".pdf", ".png"} <= kinds
    for file in files:
        if file.suffix == ".svg":
            ElementTree.parse(file)
            drawn |= set(re.findall("<!-- (.*?) -->", file.read_text()))
        elif file.suffix == ".csv":
            lines = file.read_text().splitlines()
            rows = csv.reader(line for line in lines if not line.startswith("#"))
            for cell in (cell for row in rows for cell in row):
                assert not cell.startswith(("=", "@", "+", "\t", "\r"))
                assert not cell.startswith("-") or float(cell)
        elif file.suffix == ".html":
            page = Elements()
            page.feed(file.read_text())
            assert [name for name in page.found if not ELEMENTS.fullmatch(name)] == []
        if file.suffix not in (".pdf", ".png"):
            assert not any(map(is_hidden, file.read_text().replace("\n", "")))
    assert r"$\foo$ (n=1)" in drawn or which != "records"


def test_labels_of_old_records_are_made_visible(old_records: Path) -> None:
    labels = {load_run(path).label for path in (old_records / "old").iterdir()}
    assert r"a\x1b[31mb" in labels
    assert r"a\u202eb" in labels
    assert max(map(len, labels)) <= 150
    assert len(load_collection(old_records).records) == len(OLD)


TABLE = Table("[red]a|b", ["`m`", "$x$"], [["<b>", ":warning:"], ["a_b*c*", "[0.1, 0.2]"]], ["|"])


def test_markdown_has_no_markup_but_its_own() -> None:
    lines = TABLE.to_markdown().splitlines()
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 3 for line in lines if line[:1] == "|")
    assert markdown("`a` <b> $x$ a|b *c* [d](e) &amp; a_b [0.1, 0.2] 3 %") == (
        r"\`a\` \<b\> \$x\$ a\|b \*c\* [d\](e) \&amp; a_b [0.1, 0.2] 3 %"
    )
    assert markdown("a\nb") == r"a\\nb" or "\n" not in markdown("a\nb")


def test_terminals_get_text_without_markup() -> None:
    console = Console(width=80, force_terminal=False)
    with console.capture() as captured:
        console.print(TABLE.to_rich())
    for text in ("[red]a|b", ":warning:", "[0.1, 0.2]", "<b>"):
        assert text in captured.get()
