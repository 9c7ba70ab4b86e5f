"""The built site in a browser, on a phone and a desktop: nothing sticks out or is missing.

`make docs` builds it, `.ci/run` before the tests.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.browser import MARKS, chromium
from tests.helpers.pages import DOCS, pages

BUILT = DOCS / "_build"
pytestmark = [
    *MARKS,
    pytest.mark.skipif(not (BUILT / "index.html").exists(), reason="needs make docs"),
]
WIDE = ("index", "results/napts", "reference/options", "reference/api/methods", "howto/slurm")

_LOOK = """
const width = document.documentElement.clientWidth;
const found = [];
if (document.documentElement.scrollWidth > width) found.push('the page scrolls sideways');
for (const image of document.querySelectorAll('article img'))
  if (!image.complete || !image.naturalWidth) found.push('missing: ' + image.src);
for (const element of document.querySelectorAll('article p, article h1, article h2, article pre'))
  if (element.getBoundingClientRect().right > width + 1) {
    let box = element;
    while (box && getComputedStyle(box).overflowX === 'visible') box = box.parentElement;
    if (!box || box.tagName === 'HTML' || box.tagName === 'BODY')
      found.push('sticks out: ' + element.textContent.slice(0, 60));
  }
return found;
"""


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with chromium(tmp_path_factory.mktemp("browser")) as driver:
        yield driver


def look(driver: Any, page: str, width: int, scheme: str = "light") -> list[str]:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    feature = {"name": "prefers-color-scheme", "value": scheme}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    driver.get(Path(BUILT / page).with_suffix(".html").as_uri())
    return [f"{page} at {width}: {problem}" for problem in driver.execute_script(_LOOK)]


def test_every_page_fits_a_phone(driver: Any) -> None:
    built = [page for page in pages() if (BUILT / page).with_suffix(".html").exists()]
    assert len(built) > 30
    assert [problem for page in built for problem in look(driver, page, 390)] == []


@pytest.mark.parametrize("width", [768, 1100, 1216, 1312, 1400, 1500])
def test_pages_with_one_column_of_the_theme_or_two(driver: Any, width: int) -> None:
    assert [problem for page in WIDE[:3] for problem in look(driver, page, width)] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_on_a_desktop(driver: Any, scheme: str) -> None:
    assert [problem for page in WIDE for problem in look(driver, page, 1280, scheme)] == []
    colour = "return getComputedStyle(document.body).backgroundColor"
    levels = [int(level) for level in driver.execute_script(colour)[4:-1].split(",")]
    assert (sum(levels) > 384) == (scheme == "light")
