"""Times modelled from counted passes, by hand and beside the five printed ones."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from benchmarks.made_runs import WORK, write_comparison, write_run
from napts.analysis import load_collection
from napts.papers.claims import Finding, Verdict, judge
from napts.papers.cost_model import (
    FOUR_DEVICES,
    ONE_PROCESS,
    CostModel,
    Passes,
    bubble,
    counted,
    fit,
    of_the_paper,
    sensitivity,
    side_by_side,
)
from napts.papers.epoch_times import PAPER_SECONDS
from napts.papers.figures.cost_model import cost_model_figure, cost_model_tables
from napts.records.costs import pass_equivalents

THREE_STEPS = Passes(forwards=3, backwards=2, local=2)
"""An accepted batch of NAPTS with three local steps."""


def test_by_hand() -> None:
    # One process: 3 forwards of 1/3, 2 backwards of 2/3, two local passes after one another.
    assert ONE_PROCESS.cost(THREE_STEPS) == pytest.approx(1 + 4 / 3 + 2)
    # Four devices: the passes of the whole network as long as before, local ones in a quarter.
    assert FOUR_DEVICES.cost(THREE_STEPS) == pytest.approx(1 + 4 / 3 + 0.5)
    # A batch in many parts keeps all devices busy: everything takes a quarter.
    assert side_by_side(4, 10**9).cost(THREE_STEPS) == pytest.approx((1 + 4 / 3 + 2) / 4)
    dear = CostModel(devices=1, idle=0, forward_share=0.5)
    assert dear.cost(THREE_STEPS) == pytest.approx(1.5 + 1 + 2)


def test_one_process_is_what_passes_are_counted_as() -> None:
    assert ONE_PROCESS.cost(Passes(7, 3, 2)) == pytest.approx(pass_equivalents(7, 3, 8, 0.25))


def test_bubbles() -> None:
    assert bubble(1, 1) == 0
    assert bubble(4, 1) == 3 / 4
    assert bubble(2, 4) == pytest.approx(0.2)
    # One device has nobody to wait for, and nobody to share with.
    assert side_by_side(1, 3) == ONE_PROCESS


@pytest.mark.parametrize(
    "wrong",
    [
        {"devices": 0, "idle": 0},
        {"devices": 2, "idle": 1},
        {"devices": 2, "idle": -0.1},
        {"devices": 2, "idle": 0, "forward_share": 1},
        {"devices": 2, "idle": 0, "local_share": 0},
    ],
)
def test_what_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        CostModel(**wrong)


def test_the_printed_times_fit_themselves_in_any_unit() -> None:
    found = fit({name: seconds / 35.0 for name, seconds in PAPER_SECONDS.items()})
    assert found.unit == pytest.approx(35.0)
    assert found.error == pytest.approx(0.0, abs=1e-12)


def test_what_remains_is_the_root_of_the_mean_square_of_logarithms() -> None:
    found = fit({"A": 2.0, "B": 2.0, "C": 9.0}, {"A": 1.0, "B": 4.0, "D": 5.0})
    assert found.unit == pytest.approx(1.0)
    assert found.error == pytest.approx(math.log(2))
    assert found.deviations == pytest.approx({"A": math.log(2), "B": -math.log(2)})
    with pytest.raises(ValueError, match="no method"):
        fit({"A": 1.0}, {"B": 1.0})


@pytest.mark.parametrize(
    ("ratios", "error"),
    [
        # Ratios to TR of a regime whose radius floor binds: tries repeated there, and not.
        ({"TR": 1, "NTR": 0.91, "APTS": 3.21, "APTSA": 3.02, "NAPTS": 2.28}, 0.023),
        ({"TR": 1, "NTR": 0.92, "APTS": 3.04, "APTSA": 2.85, "NAPTS": 2.25}, 0.031),
        ({"TR": 1, "NTR": 1.00, "APTS": 2.32, "APTSA": 2.12, "NAPTS": 2.12}, 0.172),
    ],
)
def test_errors_of_known_ratios(ratios: dict[str, float], error: float) -> None:
    assert fit(ratios).error == pytest.approx(error, abs=2e-3)  # of rounded ratios


def test_counts_of_records(tmp_path: Path) -> None:
    write_comparison(tmp_path, workload="cifar10-cnn")
    write_run(
        tmp_path,
        method="NAPTS",
        label="NAPTS quarter",
        workload="cifar10-cnn",
        options={"local_fraction": 0.25},
    )
    (section,) = load_collection(tmp_path).sections
    passes = counted(section)
    assert passes["APTS"] == pytest.approx(WORK["APTS"][3:])
    assert passes["NAPTS quarter"].local == pytest.approx(passes["NAPTS"].local / 4)
    assert list(of_the_paper(passes)) == list(PAPER_SECONDS)
    assert not of_the_paper({name: passes[name] for name in ("TR", "NAPTS")})
    times, residuals = cost_model_tables(section)
    row = dict(zip(times.columns, next(r for r in times.rows if r[0] == "NAPTS"), strict=False))
    assert row["four devices"] == f"{FOUR_DEVICES.cost(passes['NAPTS']):.2f}"
    quarter = next(r for r in residuals.rows if r[0] == "0.25")
    expected = fit({name: FOUR_DEVICES.cost(p) for name, p in of_the_paper(passes).items()})
    assert quarter[2] == f"{expected.error:.3f}"
    assert len(cost_model_figure(of_the_paper(passes), runs=1).axes) == 2


def test_sensitivity_at_the_usual_shares_is_the_error_of_the_model() -> None:
    passes = {name: Passes(2 + seconds, 2, 2) for name, seconds in PAPER_SECONDS.items()}
    found = sensitivity(passes, [1 / 3, 0.5], [0.25])
    costs = {name: FOUR_DEVICES.cost(counts) for name, counts in passes.items()}
    assert found[1 / 3, 0.25] == pytest.approx(fit(costs).error)
    assert found[0.5, 0.25] != pytest.approx(fit(costs).error)


def _findings(root: Path, name: str) -> tuple[Verdict, dict[str, Finding]]:
    (judgement,) = (j for j in judge(load_collection(root)) if j.claim.name == name and j.section)
    return judgement.verdict, {finding.what: finding for finding in judgement.findings}


def test_times_of_four_devices_are_judged_by_counts(tmp_path: Path) -> None:
    """APTSA and APTS as counted, but one process in which APTSA is as slow."""

    def as_slow(row):
        return {**row, "cpu_seconds": 4.4 if row["epoch"] else 0.0}

    write_comparison(tmp_path, change=as_slow)
    verdict, findings = _findings(tmp_path, "N8")
    modelled = findings["modelled time on four devices, APTSA / APTS"]
    assert modelled.estimate is not None
    # (4/3 + 3.44/3 + 1) / (4/3 + 4.42/3 + 1), up to a rejection more or less an epoch
    assert modelled.estimate.value == pytest.approx(0.914, abs=0.005)
    assert verdict is modelled.verdict is Verdict.CONFIRMED
    beside = findings["CPU time per epoch, APTSA / APTS"]
    assert (beside.verdict, beside.counts) == (Verdict.REFUTED, False)
    assert not any("on ranks" in what for what in findings)


def _change_environments(root: Path, **values: int) -> None:
    for path in root.glob("*/*/environment.json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_measured_times_count_where_subdomains_had_cores(tmp_path: Path) -> None:
    write_comparison(tmp_path)
    for path in tmp_path.glob("*/*/spec.json"):
        header = json.loads(path.read_text())
        header["spec"]["pipeline"] = {"stages": 4, "micro_batches": 1}
        path.write_text(json.dumps(header))
    _change_environments(tmp_path, ranks=4, cpu_cores=4)
    _, findings = _findings(tmp_path, "N2")
    measured = findings["time per epoch on ranks, NAPTS / APTS"]
    assert measured.estimate is not None
    assert measured.estimate.value == pytest.approx(3.2 / 4.4, rel=0.05)
    assert measured.counts
    _change_environments(tmp_path, cpu_cores=2)
    _, findings = _findings(tmp_path, "N2")
    assert not any("on ranks" in what for what in findings)
