"""The pictures show what the committed records say, are few and small, and can be made again."""

import re
from pathlib import Path

import pytest

from napts.analysis.collection import records_digest
from tests.helpers.browser import MARKS
from tests.pictures import pictures

ROOT = pictures.ROOT


def browser_test(function):
    """Mark a test that needs a browser."""
    for mark in MARKS:
        function = mark(function)
    return function


SHOWN = [ROOT / shown.path for shown in pictures.FIGURES]


@pytest.mark.parametrize("shown", pictures.FIGURES, ids=lambda shown: Path(shown.path).stem)
def test_figures_are_of_the_records_as_they_are(shown: pictures.Shown) -> None:
    """Made anew by `make pictures`."""
    found = pictures.records_of(shown)
    assert pictures.digest_in(ROOT / shown.path) == records_digest(found.records)


def test_mlflow_is_shown_with_the_records_as_they_are(tmp_path: Path) -> None:
    assert pictures.digest_in(pictures.MLFLOW) == records_digest(pictures.tracked_runs(tmp_path))


def test_pictures_are_few_and_small_and_each_is_shown() -> None:
    files = [path for path in (ROOT / "reports" / "figures").iterdir()]
    files += [path for path in (ROOT / "docs").rglob("*.png") if "_build" not in path.parts]
    assert set(files) >= {*SHOWN, pictures.MLFLOW, pictures.PAGE}
    assert len(files) < 20
    assert sum(path.stat().st_size for path in files) < 1_500_000
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in pages)
    unused = [path.name for path in files if not re.search(re.escape(path.name), text)]
    assert unused == []


@pytest.mark.slow
@browser_test
def test_mlflow_shows_what_the_records_say(tmp_path: Path) -> None:
    target = tmp_path / "mlflow.png"
    pictures.picture_mlflow(tmp_path, target)
    assert target.stat().st_size > 20_000


@pytest.mark.slow
@browser_test
def test_the_page_shows_what_the_records_say(tmp_path: Path) -> None:
    target = tmp_path / "report.png"
    pictures.picture_page(tmp_path, target, ("cifar10-cnn", "mnist-fcnn"))
    assert target.stat().st_size > 20_000
