"""The one-page report: HTML that needs no other file, for screens, phones and paper."""

import base64
import html
import io
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import PIL.Image
from matplotlib.figure import Figure

from napts.analysis import Table
from napts.plotting.palette import few_colours
from napts.plotting.provenance import ALL, Provenance
from napts.plotting.style import as_text, style
from napts.records import RunRecord

ENVIRONMENT = {
    "git_revision": "revision",
    "git_dirty": "uncommitted changes",
    "napts": "napts",
    "python": "Python",
    "torch": "torch",
    "numpy": "numpy",
    "platform": "platform",
    "cpu_model": "CPU",
    "cpu_cores": "CPU cores",
    "threads": "threads",
    "gpu": "GPU",
    "data_digest": "data digest",
}
"""What is shown of the environment of the runs, and its name on the page."""

CSS = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1c2733; --soft: #55626e; --line: #d8dee4;
  --link: #0b5394; --code: #f3f5f7; }
@media (prefers-color-scheme: dark) { :root { --paper: #121212; --ink: #e6e9ec; --soft: #a9b3bc;
  --line: #3a424a; --link: #8ab8f0; --code: #23282d; }
  img { filter: invert(.93) hue-rotate(180deg); } }
* { box-sizing: border-box; }
html { scroll-padding-top: 1rem; }
body { margin: 0 auto; max-width: 62rem; padding: 1.5rem 1rem 4rem; background: var(--paper);
  color: var(--ink); font: 16px/1.55 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .4rem; }
h2 { font-size: 1.35rem; margin: 2.5rem 0 .3rem; padding-top: 1rem;
  border-top: 2px solid var(--ink); }
h3 { font-size: 1.05rem; margin: 1.8rem 0 .5rem; }
a { color: var(--link); }
a:focus-visible, summary:focus-visible, .scroll:focus-visible { outline: 3px solid var(--link);
  outline-offset: 2px; }
.skip { position: absolute; left: -999rem; }
.skip:focus { position: static; display: inline-block; margin-bottom: 1rem; }
nav ol { columns: 17rem; column-gap: 2.6rem; padding-left: 1.4rem; margin: .3rem 0; }
nav li { break-inside: avoid; }
.lead, .note, footer { color: var(--soft); }
.note { font-size: .85rem; margin: .3rem 0 0; max-width: 48rem; }
figure { margin: 0; }
img { display: block; max-width: 100%; height: auto; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; font-size: 1.05rem; padding: 1.4rem 0 .4rem; }
th, td { padding: .28rem .7rem; border-bottom: 1px solid var(--line); text-align: right;
  vertical-align: top; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; padding-left: 0; position: sticky; left: 0;
  background: var(--paper); }
.words { text-align: left; white-space: normal; min-width: 11rem; }
thead th { border-bottom: 1.5px solid var(--ink); vertical-align: bottom; }
code { background: var(--code); padding: .1rem .35rem; border-radius: 3px; font-size: .85rem;
  overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; font-size: .88rem; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
@media (max-width: 640px) { body { font-size: 15px; } dl { grid-template-columns: 1fr; }
  dd { margin-bottom: .4rem; } img { max-width: none; width: 44rem; } }
@media print { :root { color-scheme: light; --paper: #fff; --ink: #000; } img { filter: none; }
  body { max-width: none; padding: 0; font-size: 11px; } nav, .skip { display: none; }
  figure, table { break-inside: avoid; } h2 { break-before: page; }
  h2:first-of-type { break-before: auto; } .scroll { overflow: visible; } }
"""


@dataclass(frozen=True)
class Image:
    """An image as a data address.

    Attributes:
        data: The address.
        width: Natural width in CSS pixels.
        height: Natural height in CSS pixels.
    """

    data: str
    width: int
    height: int


@dataclass(frozen=True)
class Picture:
    """A figure on the page.

    Attributes:
        title: Heading.
        image: Draws it.
        rank: How soon it is left out where the page would be too large: those of the smallest last.
    """

    title: str
    image: Callable[[], Image]
    rank: int = 0


LARGEST = 1_900_000
"""Bytes that a page may have."""

_AROUND = 2_000
"""Bytes around an image: its heading and its description, at most."""

DPI = 80
"""Resolution of the page's figures."""

TONES = 24
"""Colours of a figure on the page: few make it small, and letters keep their edges."""


def image_data(figure: Figure) -> Image:
    """Turn a figure into an image that can stand inside a page.

    Losslessly compressed from a palette: a fifth of the same figure as SVG, whose lines take more
    bytes than their pixels.

    Args:
        figure: The figure.
    """
    drawn, packed = io.BytesIO(), io.BytesIO()
    with style():
        as_text(figure)
        figure.savefig(drawn, format="png", dpi=DPI)
    with PIL.Image.open(drawn) as image:
        few_colours(image, TONES).convert("RGB").save(
            packed, "WEBP", lossless=True, quality=80, method=4
        )
        width, height = image.size
    data = base64.b64encode(packed.getvalue()).decode("ascii")
    return Image(f"data:image/webp;base64,{data}", width, height)


@dataclass(frozen=True)
class Body:
    """A part of the page.

    Attributes:
        slug: Its anchor.
        heading: Its heading.
        lead: One sentence below it.
        tables: Its tables.
        pictures: Its figures; the first stands above the tables.
        summary: What the figures show, for readers who cannot see them.
        provenance: Where the numbers come from.
        runs: The runs, whose environment is listed; none for no list.
    """

    slug: str
    heading: str
    lead: str
    tables: Sequence[Table]
    pictures: Sequence[Picture]
    summary: str
    provenance: Provenance
    runs: Sequence[RunRecord] = ()

    def html(self, images: Mapping[int, Image]) -> str:
        """Return it as HTML.

        Args:
            images: The pictures that there is room for, by their identity.
        """
        drawn = [picture for picture in self.pictures if id(picture) in images]
        left_out = [picture.title for picture in self.pictures if id(picture) not in images]
        shown = [
            _picture(
                self,
                picture.title,
                images[id(picture)],
                self.summary if first else "Its numbers are in the tables.",
            )
            for first, picture in zip(
                itertools.chain([True], itertools.repeat(False)), drawn, strict=False
            )
        ]
        return f"""<section aria-labelledby="{_text(self.slug)}">
<h2 id="{_text(self.slug)}">{_text(self.heading)}</h2>
<p class="lead">{_text(self.lead)}</p>
{"".join(shown[:1])}
{"".join(table.to_html() for table in self.tables)}
{"".join(shown[1:])}
{_left_out(left_out)}
<h3>Where this comes from</h3>
{_origin(self.provenance)}
{_environments(self.runs)}
</section>
"""


def page(bodies: Sequence[Body], subject: str) -> str:
    """Return the whole page.

    Args:
        bodies: Its parts.
        subject: What it is about, in its title.
    """
    images = _that_fit(bodies)
    links = "\n".join(
        f'<li><a href="#{_text(body.slug)}">{_text(body.heading)}</a></li>' for body in bodies
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Comparison of methods: {_text(subject)}</title>
<link rel="icon" href="data:,">
<style>{CSS}</style>
</head>
<body>
<a class="skip" href="#skip-to">Skip to the results</a>
<header>
<h1>Trust-region and domain-decomposition methods compared</h1>
<p class="lead">Made from the records of the runs alone; every run is shown, failed ones too.</p>
<nav aria-labelledby="table-of-contents">
<h2 id="table-of-contents">Contents</h2>
<ol>
{links}
</ol>
</nav>
</header>
<main id="skip-to" tabindex="-1">
{"".join(body.html(images) for body in bodies)}
</main>
</body>
</html>
"""


def _that_fit(bodies: Sequence[Body]) -> dict[int, Image]:
    """Draw the pictures in the order of their ranks until there is no room for another one."""
    room = LARGEST - sum(len(body.html({}).encode()) for body in bodies) - len(CSS)
    images: dict[int, Image] = {}
    for picture in sorted((p for body in bodies for p in body.pictures), key=lambda p: p.rank):
        image = picture.image()
        room -= len(image.data) + _AROUND
        if room < 0:
            break
        images[id(picture)] = image
    return images


def _left_out(titles: Sequence[str]) -> str:
    if not titles:
        return ""
    names = "; ".join(titles)
    return (
        f'<p class="note">Among the files of <code>napts report all</code>, and not here, where '
        f"the page would be too large: {_text(names)}.</p>"
    )


def _picture(body: Body, title: str, image: Image, words: str) -> str:
    alt = f"{title}: {body.heading}. {words}".strip()
    return f"""<h3>{_text(title)}</h3>
<figure class="scroll" tabindex="0" role="group" aria-label="{_text(title)}">
<img loading="lazy" decoding="async" src="{image.data}" width="{image.width}" \
height="{image.height}" alt="{_text(alt)}">
</figure>
"""


def _origin(provenance: Provenance) -> str:
    of = "" if provenance.subject == ALL else f" of {_text(provenance.subject)}"
    return (
        f"<p>{provenance.runs} runs{of}, digest of the records "
        f"<code>{_text(provenance.digest)}</code>, made by revision "
        f"<code>{_text(provenance.revision)}</code>. This page is made again with "
        f"<code>{_text(provenance.command)}</code>.</p>"
    )


def _environments(runs: Sequence[RunRecord]) -> str:
    """List the environment; where runs differ, every value that occurs."""
    if not runs:
        return ""
    entries = []
    for key, name in ENVIRONMENT.items():
        found = {_plain(run.environment.get(key)) for run in runs}
        entries.append(f"<dt>{name}</dt><dd>{_text('; '.join(sorted(found)))}</dd>")
    return f"<dl>{''.join(entries)}</dl>"


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)


def _text(value: str) -> str:
    return html.escape(value)
