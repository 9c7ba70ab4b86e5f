"""MLflow's pages: its server, and what a reader does on them."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from napts.tracking import ui_command
from napts.tracking.ui import UI_ENVIRONMENT

PATIENCE_S = 60.0


@contextmanager
def served(records: Path, log: Path, tracking_uri: str | None = None) -> Iterator[str]:
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
        wait_for(
            lambda: socket.create_connection(("127.0.0.1", port), 1).close() or True,
            log.read_text,
        )
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def wait_for(condition: Callable[[], object], show: Callable[[], str]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            if condition():
                return
        except OSError:
            pass
        time.sleep(0.2)
    raise AssertionError(f"not within {PATIENCE_S:.0f} s; there is:\n{show()}")


def page_shows(browser: Any, *texts: str) -> None:
    """Wait until every text is visible on the page."""

    def visible() -> str:
        return browser.execute_script("return document.body.innerText")

    wait_for(lambda: all(text in visible() for text in texts), visible)


def click(browser: Any, selector: str) -> None:
    """Click the first element that matches, as soon as there is one."""
    found: list[Any] = []

    def ready() -> bool:
        found[:] = browser.find_elements("css selector", selector)
        return bool(found) and found[0].is_displayed()

    wait_for(ready, lambda: browser.page_source)
    browser.execute_script("arguments[0].click()", found[0])


def show_charts(browser: Any, address: str, experiment_id: str) -> None:
    browser.get(f"{address}/#/experiments/{experiment_id}/runs?compareRunsMode=CHART")
    page_shows(browser, "acceptance_rate")
    search = browser.find_element("css selector", "input[placeholder='Search metric charts']")
    search.send_keys("^(rejections_per_batch|train_loss|val_accuracy)$")
    page_shows(browser, "rejections_per_batch", "train_loss", "val_accuracy")
