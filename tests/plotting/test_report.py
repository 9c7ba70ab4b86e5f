"""Reports by name and the page: complete, self-contained, readable without sight or network."""

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from benchmarks.made_runs import write_comparison, write_run
from napts.analysis import load_collection
from napts.plotting import render, write_report
from napts.plotting.contents import comparison_parts
from napts.plotting.registry import ordered
from napts.records import RecordError


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("some folder") / "records"
    write_comparison(root, seeds=2, methods=("TR", "APTS", "NAPTS", "Adam"), epochs=3)
    write_run(root, method="SGD", state="failed", epochs_done=1, label="SGD <fast>")
    write_run(root, experiment="second", workload="mnist-fcnn", method="Adam", epochs=2)
    return root


class Page(HTMLParser):
    """Collects tags, and checks that they are closed in order."""

    VOID = ("meta", "link", "img", "source", "br")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def html(records: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_report(records, tmp_path_factory.mktemp("page")).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def test_every_image_has_text_and_size(page: Page) -> None:
    images = page.all("img")
    assert len(images) == 5 + 3  # all steps are accepted; Adam alone rejects none, has no radius
    for image in images:
        assert len(image["alt"] or "") > 40
        assert int(image["width"] or 0) > 300
        assert int(image["height"] or 0) > 100


def test_the_page_needs_nothing_else(html: str, page: Page) -> None:
    addresses = [
        value
        for _, attributes in page.tags
        for name, value in attributes.items()
        if name in ("src", "srcset", "href") and value
    ]
    assert all(address.startswith(("data:", "#")) for address in addresses)
    assert page.all("script") == []
    assert "@import" not in html
    assert "url(" not in html
    pictures = re.findall(r"data:image/webp;base64,([A-Za-z0-9+/=]+)", html)
    assert all(base64.b64decode(picture)[8:12] == b"WEBP" for picture in pictures)


def test_identifiers_are_unique_and_links_lead_somewhere(page: Page) -> None:
    ids = [value["id"] for _, value in page.tags if "id" in value]
    assert sorted(map(str, ids)) == [
        "claims",
        "digits-cnn",
        "mnist-fcnn",
        "skip-to",
        "table-of-contents",
    ]
    assert [link["href"] for link in page.all("a")] == [
        "#skip-to",
        "#claims",
        "#digits-cnn",
        "#mnist-fcnn",
    ]


def test_the_page_says_where_it_comes_from(page: Page) -> None:
    text = "".join(page.text)
    assert "5 methods, 9 runs, experiment demo." in text
    assert "SGD <fast>, seed 0: failed after 1 of 10 epochs." in text
    assert "napts report html" in text
    assert "0123456789ab" in text
    assert "Example CPU @ 2.00GHz" in text


def test_the_page_is_the_same_every_time(records: Path, html: str, tmp_path: Path) -> None:
    again = write_report(records, tmp_path).read_text(encoding="utf-8")
    # The command names the folder of the page, which is another one here.
    command = re.compile(r"napts report html .*?</code>")
    assert command.sub("", again) == command.sub("", html)


def test_all_reports_write_what_they_say(records: Path, tmp_path: Path) -> None:
    paths = render("all", records, tmp_path)
    assert all(path.is_file() for path in paths)
    assert len(set(paths)) == len(paths)
    names = {path.name for path in paths}
    assert {"report.html", "figure2-digits-cnn.pdf", "table-mnist-fcnn.md"} <= names
    assert "radius-digits-cnn.svg" in names
    assert "radius-mnist-fcnn.svg" not in names
    table = pd.read_csv(tmp_path / "table-digits-cnn.csv", comment="#")
    assert table["label"].tolist() == ["TR", "APTS", "NAPTS", "Adam", "SGD <fast>"]
    assert table["failed"].tolist() == [0, 0, 0, 0, 1]


def test_unknown_report_is_named(records: Path, tmp_path: Path) -> None:
    allowed = ", ".join(report.name for report in ordered())
    with pytest.raises(ValueError, match=f"report 'pie' is not one of {allowed}, all"):
        render(["table", "pie"], records, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_runs_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="no run directories here"):
        render("table", tmp_path, tmp_path / "out")


def test_the_papers_problem_leads(tmp_path: Path) -> None:
    write_run(tmp_path, workload="cifar10-cnn", experiment="alone")
    for seed in range(2):
        write_run(tmp_path, workload="cifar10-cnn", experiment="zoom", seed=seed)
        write_run(tmp_path, workload="aaa", experiment="aaa", seed=seed)
    parts = comparison_parts(load_collection(tmp_path), "")
    assert [body.slug for body in parts] == ["zoom-cifar10-cnn", "alone-cifar10-cnn", "aaa"]


def test_runs_without_a_single_epoch_have_a_page(tmp_path: Path) -> None:
    for method in ("TR", "APTSW"):
        path = write_run(tmp_path / "records", method=method, state="failed", epochs_done=0)
        (path / "epochs.jsonl").write_text("")
    files = render("all", tmp_path / "records", tmp_path / "out")
    assert tmp_path / "out" / "report.html" in files


def test_each_problem_has_a_figure_by_cost_and_one_by_target_before_any_has_more(
    tmp_path: Path,
) -> None:
    for workload, experiment, seeds in (
        ("digits-cnn", "small", 1), ("digits-cnn", "large", 3), ("cifar10-cnn", "full", 1),
    ):  # fmt: skip
        for seed in range(seeds):
            for method in ("NAPTS", "Adam"):
                write_run(
                    tmp_path, method=method, seed=seed, workload=workload, experiment=experiment
                )
    bodies = list(comparison_parts(load_collection(tmp_path), ""))
    assert bodies[0].heading.startswith("cifar10-cnn")
    found = {body.runs[0].experiment: {p.title: p.rank for p in body.pictures} for body in bodies}
    full, large, small = found["full"], found["large"], found["small"]
    cost, target = "Loss and accuracy by cost", "Time to a target accuracy"
    assert (large[cost], large[target]) == (0, 1)
    assert all(rank >= 1 for title, rank in large.items() if title != cost)
    assert full == {title: rank - 1 for title, rank in large.items() if title in full}
    assert min(small.values()) == 2
