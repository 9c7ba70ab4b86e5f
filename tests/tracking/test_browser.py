"""MLflow as a reader uses it: the runs table and the comparison, in a real browser."""

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from napts.tracking import sync
from tests.helpers.browser import MARKS, chromium
from tests.helpers.mlflow_pages import click, page_shows, served, show_charts, wait_for

pytestmark = [*MARKS, pytest.mark.slow]


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    with chromium(tmp_path) as driver:
        yield driver


@pytest.fixture
def address(records: Path, make_run: Callable[..., Any], tmp_path: Path) -> Iterator[str]:
    """Serve six synced runs of an experiment; yield the address of the user interface."""
    for method, rejections in (("NAPTS", 2), ("APTS", 5), ("Adam", 0)):
        for seed in range(2):
            run = make_run(method, seed, experiment="digits").begin().epoch(0)
            for epoch in range(1, 6):
                loss = (2.0 + 0.1 * rejections + 0.05 * seed) / epoch
                run.epoch(epoch, rejections=rejections + seed, train_loss=loss)
            run.done()
    assert sync(records).created == 6
    with served(records, tmp_path / "ui.log") as address:
        yield address


def _picture(browser: Any, name: str) -> None:
    folder = os.environ.get("NAPTS_SCREENSHOTS")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        # Tool bars of charts show under the pointer only; a browser without one shows them always.
        browser.execute_script(
            "document.head.insertAdjacentHTML('beforeend',"
            "'<style>.modebar-container {display: none}</style>')"
        )
        time.sleep(2.0)  # charts are drawn after their text is there
        browser.save_screenshot(str(Path(folder) / name))


def _metrics_that_differ(browser: Any) -> list[str]:
    """Switch the table of metrics to the rows that differ; return its texts."""
    section = (
        "const link = [...document.querySelectorAll('a')]"
        ".find(link => link.innerText.trim() == 'rejections_per_batch');"
        "const box = link.closest('[class*=collapse-content-box]');"
    )
    page_shows(browser, "rejections_per_batch")
    browser.execute_script(f"{section} box.querySelector('button[role=switch]').click()")

    def texts() -> list[str]:
        return browser.execute_script(f"{section} return box.innerText").split()

    wait_for(lambda: "acceptance_rate" not in texts(), lambda: str(texts()))
    browser.execute_script(f"{section} box.scrollIntoView({{block: 'end'}})")
    return texts()


def test_a_reader_finds_and_compares_runs(browser, address, records, mlflow_of):
    mlflow = mlflow_of(records)
    experiment = mlflow.client.get_experiment_by_name("digits")
    assert experiment is not None
    number = experiment.experiment_id
    names = [f"{method} seed {seed}" for method in ("NAPTS", "APTS", "Adam") for seed in (0, 1)]

    browser.get(f"{address}/#/experiments/{number}/runs?compareRunsMode=TABLE")
    page_shows(browser, "sweep digits")
    click(browser, "button[aria-label=Close]")  # the assistant, which covers the page
    click(browser, ".ag-row button")  # unfold the sweep
    page_shows(browser, "sweep digits", "digits-cnn (abababab)", *names)
    _picture(browser, "mlflow-runs.png")

    show_charts(browser, address, number)
    page_shows(browser, *names)
    _picture(browser, "mlflow-charts.png")

    runs = mlflow.runs("digits")
    pair = [runs[name].info.run_id for name in ("NAPTS seed 0", "APTS seed 1")]
    browser.get(
        f"{address}/#/compare-runs?runs={json.dumps(pair)}&experiments={json.dumps([number])}"
    )
    page_shows(browser, "NAPTS seed 0", "APTS seed 1", "optimizer.method")
    texts = _metrics_that_differ(browser)
    _picture(browser, "mlflow-comparison.png")
    assert {"rejections_per_batch", "train_loss", "0.5", "1.5"} <= set(texts)
