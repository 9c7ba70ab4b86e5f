"""MLflow as a reader uses it: the runs table and the comparison, in a real browser."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from napts.tracking import default_tracking_uri, sync, ui_command
from napts.tracking.ui import UI_ENVIRONMENT
from tests.helpers.browser import MARKS, chromium

pytestmark = [*MARKS, pytest.mark.slow]
PATIENCE_S = 60.0


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    with chromium(tmp_path) as driver:
        yield driver


@contextmanager
def _served(records: Path, log: Path, tracking_uri: str | None = None) -> Iterator[str]:
    """Run the user interface on a store; yield its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with log.open("wb") as output:
        server = subprocess.Popen(
            ui_command(records, tracking_uri, port),
            stdout=output,
            stderr=output,
            cwd=log.parent,
            env={**os.environ, **UI_ENVIRONMENT},
            start_new_session=True,
        )
    try:
        _wait_for(
            lambda: socket.create_connection(("127.0.0.1", port), 1).close() or True,
            log.read_text,
        )
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


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
    with _served(records, tmp_path / "ui.log") as address:
        yield address


def _wait_for(condition: Callable[[], object], show: Callable[[], str]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            if condition():
                return
        except OSError:
            pass
        time.sleep(0.2)
    pytest.fail(f"not within {PATIENCE_S:.0f} s; there is:\n{show()}")


def _page_shows(browser: Any, *texts: str) -> None:
    """Wait until every text is visible on the page."""

    def visible() -> str:
        return browser.execute_script("return document.body.innerText")

    _wait_for(lambda: all(text in visible() for text in texts), visible)


def _click(browser: Any, selector: str) -> None:
    """Click the first element that matches, as soon as there is one."""
    found: list[Any] = []

    def ready() -> bool:
        found[:] = browser.find_elements("css selector", selector)
        return bool(found) and found[0].is_displayed()

    _wait_for(ready, lambda: browser.page_source)
    browser.execute_script("arguments[0].click()", found[0])


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
    _page_shows(browser, "rejections_per_batch")
    browser.execute_script(f"{section} box.querySelector('button[role=switch]').click()")

    def texts() -> list[str]:
        return browser.execute_script(f"{section} return box.innerText").split()

    _wait_for(lambda: "acceptance_rate" not in texts(), lambda: str(texts()))
    browser.execute_script(f"{section} box.scrollIntoView({{block: 'end'}})")
    return texts()


def _show_charts(browser: Any, address: str, experiment_id: str) -> None:
    browser.get(f"{address}/#/experiments/{experiment_id}/runs?compareRunsMode=CHART")
    _page_shows(browser, "acceptance_rate")
    search = browser.find_element("css selector", "input[placeholder='Search metric charts']")
    search.send_keys("^(rejections_per_batch|train_loss|val_accuracy)$")
    _page_shows(browser, "rejections_per_batch", "train_loss", "val_accuracy")


def test_a_reader_finds_and_compares_runs(browser, address, records, mlflow_of):
    mlflow = mlflow_of(records)
    experiment = mlflow.client.get_experiment_by_name("digits")
    assert experiment is not None
    number = experiment.experiment_id
    names = [f"{method} seed {seed}" for method in ("NAPTS", "APTS", "Adam") for seed in (0, 1)]

    browser.get(f"{address}/#/experiments/{number}/runs?compareRunsMode=TABLE")
    _page_shows(browser, "sweep digits")
    _click(browser, "button[aria-label=Close]")  # the assistant, which covers the page
    _click(browser, ".ag-row button")  # unfold the sweep
    _page_shows(browser, "sweep digits", "digits-cnn (abababab)", *names)
    _picture(browser, "mlflow-runs.png")

    _show_charts(browser, address, number)
    _page_shows(browser, *names)
    _picture(browser, "mlflow-charts.png")

    runs = mlflow.runs("digits")
    pair = [runs[name].info.run_id for name in ("NAPTS seed 0", "APTS seed 1")]
    browser.get(
        f"{address}/#/compare-runs?runs={json.dumps(pair)}&experiments={json.dumps([number])}"
    )
    _page_shows(browser, "NAPTS seed 0", "APTS seed 1", "optimizer.method")
    texts = _metrics_that_differ(browser)
    _picture(browser, "mlflow-comparison.png")
    assert {"rejections_per_batch", "train_loss", "0.5", "1.5"} <= set(texts)


@pytest.mark.skipif(
    "NAPTS_RECORDS" not in os.environ,
    reason="NAPTS_RECORDS does not name an experiment in a records folder to take pictures of",
)
def test_pictures_of_real_records(browser, tmp_path, empty_database, mlflow_of):
    experiment = Path(os.environ["NAPTS_RECORDS"]).resolve()
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    uri = default_tracking_uri(tmp_path)
    assert sync(experiment, uri).created >= 2
    mlflow = mlflow_of(tmp_path)
    found = mlflow.client.get_experiment_by_name(experiment.name)
    assert found is not None
    with _served(experiment, tmp_path / "ui.log", uri) as address:
        browser.get(f"{address}/#/experiments/{found.experiment_id}/runs?compareRunsMode=TABLE")
        _page_shows(browser, f"sweep {experiment.name}")
        _click(browser, "button[aria-label=Close]")
        _click(browser, ".ag-row button")
        _show_charts(browser, address, found.experiment_id)
        _page_shows(browser, *mlflow.runs(experiment.name))
        _picture(browser, f"mlflow-{experiment.name}.png")
