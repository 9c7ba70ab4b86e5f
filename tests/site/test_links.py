"""Links of the pages lead somewhere: to a page, a heading, a picture or a file of the project."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.helpers.pages import DOCS, ROOT, pages

_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
_FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
PAGES = [*(DOCS / page for page in pages()), ROOT / "CONTRIBUTING.md", ROOT / "README.md"]


def links(page: Path) -> Iterator[tuple[bool, str, str]]:
    """Whether it is a picture, its text, and where it leads, of every link of a page."""
    for picture, text, target in _LINK.findall(_FENCED.sub("", page.read_text(encoding="utf-8"))):
        if not target.startswith(("http://", "https://")):
            yield bool(picture), text, target


@cache
def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as MyST makes them."""
    text = _FENCED.sub("", page.read_text(encoding="utf-8"))
    included = re.search(r"```{include} (\S+)", page.read_text(encoding="utf-8"))
    if included:
        return anchors((page.parent / included[1]).resolve())
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.*)", text, re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        found.add(slug if slug not in found else f"{slug}-1")
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for picture, text, target in links(page):
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        where = f"{page.relative_to(ROOT)}: {target}"
        assert path.exists(), where
        assert not anchor or path.suffix != ".md" or anchor in anchors(path), where
        assert not picture or len(text) > 15, f"{where}: say what there is to be seen"


def test_every_page_is_reachable() -> None:
    listed = set()
    for page in pages():
        text = (DOCS / page).read_text(encoding="utf-8")
        for tree in re.findall(r"```{toctree}\n(.*?)```", text, re.DOTALL):
            names = [line for line in tree.splitlines() if line and not line.startswith(":")]
            listed |= {f"{(Path(page).parent / name)}.md" for name in names}
    assert listed == set(pages()) - {"index.md"}
