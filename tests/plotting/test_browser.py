"""The page in a real browser, on a wide screen and on a phone."""

import itertools
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from benchmarks.made_runs import write_run
from napts.plotting import write_report
from napts.plotting.drawings import COMPARE
from tests.helpers.browser import MARKS, chromium
from tests.helpers.studies import write_studies

pytestmark = MARKS
LOADED = "[...document.images].every(i => i.complete && i.naturalWidth > 300)"
STUDIES = 4
"""Figures beside those of the comparison: tuning, calibration, window, modelled times."""
IDLE = 1
"""Of those of a comparison, how many show nothing in the synthetic records: accepted steps."""


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
    assert page.stat().st_size < 2_000_000
    for width in (1200, 390):
        resize(browser, width)
        browser.get(page.as_uri())
        # Images are loaded when they come near.
        eager = "[...document.images].forEach(image => { image.loading = 'eager'; })"
        browser.execute_script(eager)
        WebDriverWait(browser, 30).until(lambda driver: measure(driver, LOADED))
        assert measure(browser, "document.images.length") == 1 + len(COMPARE) - IDLE + STUDIES
        # Wide tables and figures scroll in themselves; the page never does.
        assert measure(browser, "document.documentElement.scrollWidth") <= width
        screenshot(browser, f"report-{width}.png")
    links = "[...document.querySelectorAll('nav a')].map(a => a.getAttribute('href'))"
    sections = "[...document.querySelectorAll('main h2')].map(h => '#' + h.id)"
    assert measure(browser, links) == measure(browser, sections)
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_page_is_light_or_dark_and_can_be_used_without_a_mouse(browser, tmp_path: Path) -> None:
    write_run(tmp_path / "records", method="NAPTS")
    page = write_report(tmp_path / "records", tmp_path / "out")
    browser.get(page.as_uri())
    shades = {}
    for scheme in ("light", "dark"):
        feature = {"name": "prefers-color-scheme", "value": scheme}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        style = "getComputedStyle(document.{}).{}"
        paper, ink = (
            sum(map(int, re.findall(r"\d+", measure(browser, style.format("body", name)))[:3]))
            for name in ("backgroundColor", "color")
        )
        turned = measure(browser, style.format("images[0]", "filter")) != "none"
        shades[scheme] = (paper > 600, ink > 600, turned)
    assert shades == {"light": (True, False, False), "dark": (False, True, True)}
    body = browser.find_element("css selector", "body")
    body.send_keys(Keys.TAB)
    assert measure(browser, "document.activeElement.className") == "skip"
    assert measure(browser, "document.activeElement.offsetLeft") >= 0, "visible once it has focus"
    levels = "[...document.querySelectorAll('h1, h2, h3')].map(h => +h.tagName[1])"
    found = measure(browser, levels)
    assert found[0] == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(found))
    landmarks = "['header', 'nav', 'main'].every(n => document.querySelectorAll(n).length == 1)"
    assert measure(browser, landmarks)
    assert measure(browser, "[...document.querySelectorAll('th')].every(cell => cell.scope)")
    assert measure(browser, "[...document.images].every(image => image.alt.length > 40)")
