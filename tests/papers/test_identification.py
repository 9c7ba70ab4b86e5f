"""Cells judged by what the NAPTS paper prints: by hand, and as a report."""

import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from benchmarks.made_runs import Row, write_run
from napts.analysis import load_collection
from napts.papers.claims.identification import ORDER, is_identification, regimes, with_limits
from napts.papers.claims.repeats import repeats_table, twins
from napts.papers.cost_model import FOUR_DEVICES
from napts.papers.epoch_times import PAPER_SECONDS
from napts.papers.figures.calibration import calibrations
from napts.papers.figures.cost_model import LOCAL_SHARES
from napts.papers.figures.identification import (
    LOCAL_STEPS,
    identification_figure,
    identification_tables,
    identifications,
)
from napts.plotting import render
from napts.plotting.style import style

BATCHES = 50
TRIES = 6
FAILED = {"TR": 5, "NTR": 3, "APTS": 40, "APTSA": 35, "NAPTS": 10}
"""Batches of an epoch whose global step failed, with all its tries."""
ACCURACY = {"TR": 0.3, "NTR": 0.35, "APTS": 0.5, "APTSA": 0.45, "NAPTS": 0.52}


def counts(method: str, failed: int, tries: int) -> Row:
    """Every proposal is accepted; the global step fails for good, or is accepted at once."""
    parts = method not in ("TR", "NTR")
    rejections, proposals = tries * failed, BATCHES * parts
    return {
        "rejections": rejections,
        "rejections_proposal": 0,
        "rejections_correction": 0,
        "rejections_global": rejections,
        "forwards": BATCHES + proposals + rejections + BATCHES - failed,
        "backwards": BATCHES + proposals,
        "local_passes": 2 * proposals,
        "radius": 0.15,
    }


def write(root: Path, *, failed: dict[str, int] = FAILED, label: str = "", **run: Any) -> None:
    floor = run.pop("floor", "repeated")
    tries = TRIES if floor == "repeated" else 1
    more = run.pop("options", {})
    for method in PAPER_SECONDS:
        numbers = counts(method, failed[method], tries)
        options = {"radius_floor": floor, "max_tries": TRIES, "radius": 0.15, "radius_min": 0.15}
        options |= {"radius_max": 2.0, "shrink": 0.5, "grow": 2.0, **more}
        plain = method in ("TR", "NTR")
        options |= {} if plain else {"local_steps": 3}

        def change(row: Row, numbers: Row = numbers, method: str = method) -> Row:
            if not row["epoch"]:
                return {**row, "radius": 0.15}
            return {**row, **numbers, "val_accuracy": ACCURACY[method]}

        for seed in run.get("seeds", (1, 2)):
            write_run(
                *(root,),
                **{"method": method, "seed": seed, "epochs": 12 if plain else 6},
                **{"batches": BATCHES, "change": change, "options": options},
                **{name: value for name, value in run.items() if name != "seeds"},
                label=f"{method} {label}".strip(),
            )


@pytest.fixture
def records(tmp_path: Path) -> Path:
    root, calibration = tmp_path / "records", {"experiment": "abs", "kind": "calibration"}
    write(root, **calibration)
    rare = dict.fromkeys(FAILED, 1)
    write(root, failed=rare, label="radius_min=0.05", options={"radius_min": 0.05}, **calibration)
    return root


def test_counts_follow_the_limit_of_tries(records: Path) -> None:
    (section,) = load_collection(records).of_kind("calibration")
    assert is_identification(section)
    best, other = regimes(section)
    assert (best.name, other.name) == ("centre", "radius_min=0.05")
    limits = {regime.tries: regime for regime in with_limits(best.section)}
    assert list(limits) == [4, 5, 6, 8]
    for tries, regime in limits.items():
        for method, failed in FAILED.items():
            assert regime.rejections[method].mean == pytest.approx(tries * failed / BATCHES)
            expected = counts(method, failed, tries)
            passes = regime.passes[method]
            assert passes.forwards == pytest.approx(expected["forwards"] / BATCHES)
            assert passes.backwards == pytest.approx(expected["backwards"] / BATCHES)


def test_cells_with_fewer_seeds_stand_last(tmp_path: Path) -> None:
    calibration = {"experiment": "abs", "kind": "calibration"}
    write(tmp_path, **calibration, seeds=(1,))
    rare = dict.fromkeys(FAILED, 1)
    write(
        tmp_path, failed=rare, label="radius_min=0.05", options={"radius_min": 0.05}, **calibration
    )
    (section,) = load_collection(tmp_path).of_kind("calibration")
    cells = [(regime.name, regime.seeds, regime.fits) for regime in regimes(section)]
    assert cells == [("radius_min=0.05", 2, False), ("centre", 1, True)]


def test_a_radius_far_above_the_floor_bears_no_fewer_tries(tmp_path: Path) -> None:
    write(tmp_path, experiment="abs", kind="calibration", options={"radius_min": 0.15 / 8})
    (section,) = load_collection(tmp_path).of_kind("calibration")
    (cell,) = regimes(section)
    # From 0.3 down to an eighth of 0.15 four halvings are needed.
    assert [regime.tries for regime in with_limits(cell.section)] == [5, 6, 8]


def test_what_a_cell_is_judged_by(records: Path) -> None:
    (section,) = load_collection(records).of_kind("calibration")
    best, other = regimes(section)
    assert len(ORDER) == best.in_order == 7
    means = {method: found.mean for method, found in best.accuracies.items()}
    assert means == pytest.approx(ACCURACY)
    assert {found.n for found in (*best.accuracies.values(), *best.rejections.values())} == {2}
    costs = {name: FOUR_DEVICES.cost(passes) for name, passes in best.passes.items()}
    ratio = math.exp(best.fit.deviations["APTS"] - best.fit.deviations["TR"])
    printed = PAPER_SECONDS["APTS"] / PAPER_SECONDS["TR"]
    assert ratio == pytest.approx(costs["APTS"] / costs["TR"] / printed)
    assert best.fits
    assert not other.fits
    assert any(reason.startswith("error of the times") for reason in other.reasons)
    # APTSA saves too little, and NTR rejects three batches for five of TR.
    assert set(best.met) >= {"N1", "N2", "N3", "N4", "N6", "N10"}
    assert "N2" not in other.met
    assert best.rank() < other.rank()
    assert best.with_local_steps(3) == best.passes
    assert best.with_local_steps(5)["APTS"].local == pytest.approx(2 * best.passes["APTS"].local)


def test_the_report_writes_cells_and_errors(records: Path, tmp_path: Path) -> None:
    names = {path.name for path in render(["identification", "calibration"], records, tmp_path)}
    assert {"identification-calibration-abs.csv", "identification-calibration-abs.md"} <= names
    assert not any(name.startswith("calibration") for name in names), "scored by ratios"
    frame = pd.read_csv(tmp_path / "identification-calibration-abs.csv", comment="#")
    assert frame.groupby("cell").size().to_dict() == {"centre": 5, "radius_min=0.05": 5}
    collection = load_collection(records)
    assert not calibrations(collection)
    (study,) = identifications(collection)
    verdicts, *numbers, tries, shares = identification_tables(study)
    assert {table.rows[0][0] for table in (verdicts, *numbers)} == {"centre"}
    for table in numbers:
        assert list(table.columns) == ["changed", "n", *PAPER_SECONDS]
        assert {row[1] for row in table.rows} == {"2"}
    usual = next(row for row in shares.rows if row[0] == "0.25")
    place = shares.columns.index("forward 0.33")
    assert usual[place] == usual[shares.columns.index("3 local steps")] == verdicts.rows[0][3]
    assert len(shares.rows) == len(LOCAL_SHARES)
    assert len(shares.columns) == 4 + len(LOCAL_STEPS)
    assert [row[0] for row in tries.rows] == ["4", "5", "6", "8"]
    with style():
        figure = identification_figure(study.regimes)
    labels = [text.get_text().split("  (")[0] for text in figure.axes[0].get_yticklabels()]
    assert labels == ["centre", "radius_min=0.05"]


def test_the_same_runs_with_repeats_and_without(tmp_path: Path) -> None:
    for floor in ("repeated", "fixed"):
        write(tmp_path, experiment=f"blobs-{floor}", floor=floor, seeds=(1, 2, 3))
    write(
        tmp_path, experiment="other", floor="fixed", options={"radius_min": 0.05}, seeds=(1, 2, 3)
    )
    collection = load_collection(tmp_path)
    (pair,) = twins(collection)
    assert (pair.repeated.experiment, pair.once.experiment) == ("blobs-repeated", "blobs-fixed")
    table = repeats_table(collection)
    assert table is not None
    repeated, once = (dict(zip(table.columns, row, strict=True)) for row in table.rows)
    assert repeated["tries there"], once["tries there"] == ("repeated", "once")
    assert repeated["rejections per batch"] == "0.60 / 0.36 / 4.80 / 4.20 / 1.20"
    assert once["rejections per batch"] == "0.10 / 0.06 / 0.80 / 0.70 / 0.20"
    assert repeated["same way"] == "yes"
    assert float(repeated["time NAPTS / APTS"].split()[0]) < 0.8
    assert float(once["time NAPTS / APTS"].split()[0]) > 0.9
    assert repeated["n"] == "3"
