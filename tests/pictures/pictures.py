"""The pictures that README and documentation show, made from the committed records.

Figures are drawn by the reports themselves. Of MLflow and of the page a browser takes pictures, and
what it shows is compared with the records first.
"""

import io
import json
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import PIL.Image
from PIL.PngImagePlugin import PngInfo

from napts.analysis import Collection, load_collection
from napts.analysis.collection import records_digest
from napts.papers.claims import judge
from napts.papers.claims.tables import claims_tables
from napts.papers.figures.calibration import calibrations
from napts.papers.figures.identification import identifications
from napts.papers.figures.untuned import untuned_drawings
from napts.plotting import write_report
from napts.plotting.drawings import Drawing
from napts.plotting.palette import few_colours
from napts.plotting.registry import ordered
from napts.plotting.style import as_text, style
from napts.records import RunRecord, unpack
from napts.records.packed import SUFFIX
from napts.tracking import default_tracking_uri, sync
from tests.helpers.browser import chromium
from tests.helpers.mlflow_pages import click, page_shows, served, show_charts, wait_for

ROOT = Path(__file__).parents[2]
RECORDS, SPEED = ROOT / "reports" / "records", ROOT / "reports" / "records-speed"
UNTUNED = ROOT / "reports" / "records-untuned"
DPI, TONES, SCREEN_TONES = 100, 28, 96


@dataclass(frozen=True)
class Shown:
    """A figure that is shown somewhere.

    Attributes:
        path: Its file, from the repository's root.
        records: The experiment whose packed records it is drawn from, or a folder of several.
        drawing: Its name among those of the reports on these records alone.
        labels: The methods that it shows, if not all.
    """

    path: str
    records: Path
    drawing: str
    labels: tuple[str, ...] = ()


LRS = ("0.001", "0.003", "0.01")
FIGURES = (
    Shown("reports/figures/figure2-cifar10-cnn.png", RECORDS / "cifar10-cnn", "figure2"),
    Shown("reports/figures/times-cifar10-cnn.png", RECORDS / "cifar10-cnn", "times"),
    Shown("reports/figures/figure2-mnist-fcnn.png", RECORDS / "mnist-fcnn", "figure2"),
    Shown("reports/figures/figure2-quickstart-digits-cnn.png", RECORDS / "quickstart", "figure2"),
    Shown("reports/figures/weights-weights-mnist-mnist-fcnn.png", RECORDS / "weights-mnist",
          "weights"),
    Shown("reports/figures/course-sapts-cifar10-mini-deep-cifar10-mini-deep.png",
          RECORDS / "sapts-cifar10-mini-deep", "course"),
    Shown("reports/figures/calibration.png", RECORDS / "calibration", "calibration"),
    Shown("reports/figures/below-cost-cifar10-mini.png", SPEED / "below-cost-cifar10-mini", "cost",
          ("APTS", "NAPTS", "NAPTS quarter", "NAPTS light", *(f"Adam {lr}" for lr in LRS))),
    Shown("reports/figures/identification-calibration-absolute.png",
          RECORDS / "calibration-absolute", "identification"),
    *(Shown(f"reports/figures/untuned-{name}.png", UNTUNED, f"untuned-{name}")
      for name in ("profile", "cost", "lengths", "sensitivity", "sensitivity-spectral")),
    Shown("docs/finite_sums.png", RECORDS / "finite-sums", "work"),
    Shown("docs/multilevel.png", RECORDS / "rmtr-digits", "levels"),
)  # fmt: skip

MLFLOW, PAGE = ROOT / "docs" / "mlflow.png", ROOT / "docs" / "report.png"
TRACKED, SEEDS = "mnist-fcnn", (3, 4)
METHODS = ("TR", "NTR", "APTS", "APTSA", "NAPTS", "Adam", "SGD")
CHARTS = ("rejections_per_batch", "train_loss", "val_accuracy")


def packed(experiment: Path) -> Path:
    """Return the file of an experiment; a folder as it is."""
    if experiment.is_dir():
        return experiment
    return experiment.with_name(f"{experiment.name}{SUFFIX}")


def draw(shown: Shown) -> None:
    """Draw a figure into its file, from a palette of few colours."""
    collection = records_of(shown)
    figure = next(d for d in _drawings(collection) if d.name.startswith(shown.drawing)).figure()
    buffer = io.BytesIO()
    with style():
        as_text(figure)
        figure.savefig(buffer, format="png", dpi=DPI)
    _save(buffer.getvalue(), ROOT / shown.path, collection.records, TONES)


def records_of(shown: Shown) -> Collection:
    """Return the runs that a figure shows."""
    return _of(load_collection(packed(shown.records)), shown.labels)


def _of(collection: Collection, labels: tuple[str, ...]) -> Collection:
    """Return a collection of some methods alone."""
    if not labels:
        return collection
    sections = [
        replace(s, records=tuple(run for run in s.records if run.label in labels))
        for s in collection.sections
    ]
    return replace(collection, sections=tuple(sections))


def _drawings(collection: Collection) -> Iterator[Drawing]:
    for section in collection.of_kind("comparison"):
        for report in ordered():
            yield from report.drawings(section)
    for study in calibrations(collection):
        yield from study.drawings
    for found in identifications(collection):
        yield found.drawing
    yield from untuned_drawings(collection)


def _save(png: bytes, path: Path, runs: tuple[RunRecord, ...], tones: int = SCREEN_TONES) -> None:
    """Write a picture with few colours, and the digest of the records that it shows."""
    info = PngInfo()
    info.add_text("Description", f"records: digest {records_digest(runs)}")
    with PIL.Image.open(io.BytesIO(png)) as image:
        few_colours(image, tones).save(path, optimize=True, pnginfo=info)


def digest_in(path: Path) -> str:
    """Return the digest of the records that a picture shows."""
    with PIL.Image.open(path) as image:
        return str(image.info.get("Description", "")).rpartition(" ")[2]


def tracked_runs(folder: Path) -> list[RunRecord]:
    """Unpack the runs that MLflow's picture shows into a folder, and return them."""
    unpack(packed(RECORDS / TRACKED), folder)
    runs = []
    for record in load_collection(folder).records:
        if record.label in METHODS and record.seed in SEEDS:
            runs.append(record)
        else:
            shutil.rmtree(record.path)
    return runs


def picture_mlflow(folder: Path, target: Path) -> None:
    """Import records into a store of their own, look at it in a browser, and take a picture.

    Args:
        folder: An empty folder for records, store and browser.
        target: The file of the picture.
    """
    records = folder / "records"
    runs = tracked_runs(records)
    uri = default_tracking_uri(folder)
    assert sync(records / TRACKED, uri).created == len(runs) > 10
    with chromium(folder) as browser, served(records / TRACKED, folder / "ui.log", uri) as address:
        number = _experiment(uri)
        browser.get(f"{address}/#/experiments/{number}/runs?compareRunsMode=TABLE")
        page_shows(browser, f"sweep {TRACKED}")
        click(browser, "button[aria-label=Close]")  # the assistant, which covers the page
        click(browser, ".ag-row button")  # unfold the sweep
        show_charts(browser, address, number)
        page_shows(browser, *(f"{m} seed {s}" for m in METHODS for s in SEEDS[-1:]))
        wait_for(lambda: len(_charts(browser)) == len(CHARTS), lambda: str(_charts(browser)))
        _compare_with_records(_charts(browser), runs)
        browser.execute_script(
            "document.head.insertAdjacentHTML('beforeend',"
            "'<style>.modebar-container {display: none}</style>')"
        )
        time.sleep(2.0)  # charts are drawn after their text is there
        _save(browser.get_screenshot_as_png(), target, tuple(runs))


def _experiment(uri: str) -> str:
    import mlflow

    found = mlflow.MlflowClient(uri).get_experiment_by_name(TRACKED)
    assert found is not None
    return str(found.experiment_id)


def _charts(browser: Any) -> list[dict[str, Any]]:
    """Return the lines of all charts: their names and the values on both axes."""
    script = """return [...document.querySelectorAll('.js-plotly-plot')].flatMap(plot =>
        (plot.data || []).map(line => ({name: line.name, metric: line.metricKey ||
            (plot.layout.yaxis.title || {}).text || '', x: [...(line.x || [])],
            y: [...(line.y || [])]}))).filter(line => line.y.length > 1)"""
    lines = browser.execute_script(script)
    charts: dict[str, list[dict[str, Any]]] = {}
    for line in lines:
        metric = next((m for m in CHARTS if m in f"{line['name']} {line['metric']}"), "")
        charts.setdefault(metric, []).append(line)
    return [{"metric": metric, "lines": own} for metric, own in charts.items() if metric]


def _compare_with_records(charts: list[dict[str, Any]], runs: list[RunRecord]) -> None:
    """Check that each line of each chart has the values of the run that it is named after."""
    by_name = {f"{run.label} seed {run.seed}": run for run in runs}
    compared = 0
    for chart in charts:
        for line in chart["lines"]:
            name = next((name for name in by_name if str(line["name"]).startswith(name)), None)
            if name is None:
                continue
            wanted = {row["epoch"]: _value(row, chart["metric"]) for row in by_name[name].epochs}
            for x, y in zip(line["x"], line["y"], strict=True):
                if y is not None and wanted.get(int(x)) is not None:
                    assert abs(y - wanted[int(x)]) <= 1e-6 * max(1.0, abs(y)), (name, chart, x, y)
                    compared += 1
    assert compared > 50, json.dumps(charts)[:2000]


def _value(row: dict[str, Any], metric: str) -> float | None:
    if metric == "rejections_per_batch":
        return row["rejections"] / row["batches"] if row.get("batches") else None
    if metric == "train_loss":
        return row.get("train_loss")
    return (row.get("val") or row).get(metric.removeprefix("val_"), row.get(metric))


def picture_page(folder: Path, target: Path, experiments: Sequence[str] | None = None) -> None:
    """Write the page, compare its claims with the records, take a picture of it.

    Args:
        folder: An empty folder for records, page and browser.
        target: The file of the picture.
        experiments: What is on the page; by default all that is committed.
    """
    records = RECORDS
    if experiments is not None:
        records = folder / "records"
        records.mkdir()
        for name in experiments:
            shutil.copy(packed(RECORDS / name), records)
    page = write_report(records, folder / "out")
    collection = load_collection(records)
    with chromium(folder) as browser:
        browser.get(page.as_uri())
        tables = browser.execute_script(
            "return [...document.querySelectorAll('table')].map(table => ({"
            "title: table.caption.innerText,"
            "rows: [...table.tBodies[0].rows].map(row => [...row.cells].map(c => c.innerText))}))"
        )
        wanted = claims_tables(judge(collection))
        for table in wanted:
            (found,) = (each for each in tables if each["title"] == table.title)
            assert found["rows"] == [[" ".join(c.split()) for c in row] for row in table.rows]
        _save(browser.get_screenshot_as_png(), target, collection.records)
