"""The page in a real browser, on a wide screen and on a phone."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from napts.plotting import write_report
from napts.plotting.drawings import COMPARE
from tests.helpers.browser import MARKS, chromium
from tests.helpers.studies import write_studies

pytestmark = MARKS
STUDIES = 4
"""Figures beside those of the comparison: tuning, calibration, window, modelled times."""


@pytest.fixture
def browser(tmp_path: Path) -> Iterator:
    with chromium(tmp_path) as driver:
        yield driver


def measure(browser, script: str):
    return browser.execute_script(f"return {script}")


def resize(browser, width: int) -> None:
    # A headless window cannot be narrower than 500 pixels; the emulated screen can.
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def screenshot(browser, name: str) -> None:
    folder = os.environ.get("NAPTS_SCREENSHOTS")
    if folder:
        height = measure(browser, "document.documentElement.scrollHeight")
        width = measure(browser, "window.innerWidth")
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        Path(folder).mkdir(parents=True, exist_ok=True)
        browser.save_screenshot(str(Path(folder) / name))


def test_page_loads_and_fits_wide_and_narrow(browser, tmp_path: Path) -> None:
    write_studies(tmp_path / "records")
    page = write_report(tmp_path / "records", tmp_path / "out")
    ratios = []
    for width in (1200, 400):
        resize(browser, width)
        browser.get(page.as_uri())
        loaded = "[...document.images].every(i => i.complete && i.naturalWidth > 300)"
        assert measure(browser, loaded)
        assert measure(browser, "document.images.length") == 1 + len(COMPARE) + STUDIES
        # Wide tables scroll in themselves; the page never does.
        assert measure(browser, "document.documentElement.scrollWidth") <= width
        ratios.append(
            measure(browser, "document.images[0].naturalWidth/document.images[0].naturalHeight")
        )
        screenshot(browser, f"report-{width}.png")
    assert ratios[0] > 1 > ratios[1], "a phone gets the figure in one column"
    links = "[...document.querySelectorAll('a')].map(a => a.getAttribute('href'))"
    for link in measure(browser, links):
        assert measure(browser, f"document.getElementById('{link[1:]}') !== null"), link
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
