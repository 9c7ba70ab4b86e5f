"""Cells of a calibration: who belongs to which, and which is best."""

from pathlib import Path

from napts.analysis import load_collection
from napts.papers.claims.calibration import calibration_cells, deciding, score_cells
from napts.papers.claims.verdict import Verdict
from tests.papers.conftest import write

SEEDS = range(3)


def calibration(root: Path) -> Path:
    """TR and APTS have no window: their runs as they stand belong to that cell as well."""
    plain = {"cpu_seconds": 4.0, "rejections": 100.0}
    for seed in SEEDS:
        write(root, "TR", seed, plain, experiment="calibration", options={"eta": 1})
        write(root, "APTS", seed, plain, experiment="calibration", options={"eta": 1})
        for window, seconds in ((5, 3.9), (10, 2.0)):
            write(
                *(root, "NAPTS", seed, {**plain, "cpu_seconds": seconds}),
                experiment="calibration",
                options={"eta": 1, "window": window},
                label="NAPTS" if window == 5 else f"NAPTS window={window}",
            )
    return root


def test_cells(tmp_path: Path) -> None:
    (section,) = load_collection(calibration(tmp_path)).of_kind("calibration")
    cells = {cell.slug: cell for cell in calibration_cells(section)}
    assert set(cells) == {"", "window=10"}
    for cell in cells.values():
        assert sorted(run.label for run in cell.records) == [
            *["APTS"] * 3,
            *["NAPTS"] * 3,
            *["TR"] * 3,
        ]
    windows = {run.spec["optimizer"].get("window") for run in cells["window=10"].records}
    assert windows == {None, 10}


def test_the_cell_with_more_claims_is_first(tmp_path: Path) -> None:
    (section,) = load_collection(calibration(tmp_path)).of_kind("calibration")
    best, other = score_cells(section)
    assert (best.name, other.name) == ("window=10", "defaults")
    assert best.score > other.score
    saving = best.judgements[1]
    assert saving.verdict is Verdict.CONFIRMED
    assert deciding(saving) == 0
