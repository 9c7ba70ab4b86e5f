"""The asv suites: found, run in this environment, compared, published, and looked at."""

import functools
import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks.conftest import ROOT, commit, repository
from tests.helpers.browser import MARKS, chromium

ASV = str(Path(sys.executable).with_name("asv"))
PART = "Collectives"
pytestmark = [
    pytest.mark.bench,
    pytest.mark.skipif(not Path(ASV).exists(), reason="needs asv (the bench extra)"),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the machine file of CI."""
    folder = tmp_path_factory.mktemp("home")
    shutil.copy(ROOT / "benchmarks" / "asv-machine.json", folder / ".asv-machine.json")
    return folder


def asv(folder: Path, home: Path, *arguments: str) -> str:
    environment = {**os.environ, "HOME": str(home), "PYTHONPATH": str(folder)}
    result = subprocess.run(
        [ASV, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory, home: Path) -> tuple[Path, list[str]]:
    """A repository of this tree with two revisions, both measured in this environment."""
    folder = tmp_path_factory.mktemp("measured")
    revisions = [repository(folder), commit(folder, "another")]
    for revision in revisions:
        asv(
            *(folder, home, "run", "--python=same", "--launch-method=spawn", "--quick"),
            *("--machine=ci", "--set-commit-hash", revision, "--bench", PART),
        )
    return folder, revisions


def test_every_benchmark_can_be_found(home: Path) -> None:
    assert "No problems found" in asv(ROOT, home, "check", "--python=same")


def test_results_are_stored_for_both_revisions(measured: tuple[Path, list[str]]) -> None:
    folder, revisions = measured
    files = list((folder / ".asv" / "results" / "ci").glob("*-*.json"))
    assert sorted(f.name[:8] for f in files) == sorted(r[:8] for r in revisions)
    for file in files:
        results = json.loads(file.read_text())["results"]
        (name,) = results
        assert name == "counters.Collectives.track_collectives"
        assert len(results[name][0]) == 5
        assert all(value > 0 for value in results[name][0])


def test_revisions_can_be_compared(measured: tuple[Path, list[str]], home: Path) -> None:
    folder, revisions = measured
    table = asv(folder, home, "compare", "--machine=ci", *revisions)
    assert table.count("track_collectives") == 5


@pytest.fixture
def pages(measured: tuple[Path, list[str]], home: Path) -> Path:
    folder, _ = measured
    asv(folder, home, "publish")
    return folder / ".asv" / "html"


def test_the_pages_have_a_point_for_each_revision(pages: Path) -> None:
    name = "counters.Collectives.track_collectives"
    index = json.loads((pages / "index.json").read_text())
    assert index["benchmarks"][name]["unit"] == "collectives/step"
    assert len(index["revision_to_hash"]) == 2
    points = json.loads((pages / "graphs" / "summary" / f"{name}.json").read_text())
    assert len(points) == 2
    assert all(value > 0 for _, value in points)


class TestBrowser:
    pytestmark = MARKS

    def test_the_published_pages_can_be_read(self, pages: Path, tmp_path: Path) -> None:
        from selenium.webdriver.support.ui import WebDriverWait

        with served(pages) as address, chromium(tmp_path) as browser:
            browser.get(address)
            if not browser.execute_script("return 'jQuery' in window && 'plot' in jQuery"):
                pytest.skip("asv's pages load their scripts from the network")
            wait = WebDriverWait(browser, 30)
            wait.until(lambda page: "track_collectives" in _text(page))
            browser.get(f"{address}/#counters.Collectives.track_collectives")
            wait.until(lambda page: page.execute_script("return $('canvas').length") > 0)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder; yield its address."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """Say nothing of a browser that hangs up."""

    with Server(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def _text(browser: Any) -> str:
    return browser.execute_script("return document.body.innerText")
