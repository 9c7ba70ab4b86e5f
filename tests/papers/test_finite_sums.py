"""What is said of finite sums, on records whose counts are known."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.made_runs import Row, write_run
from napts.analysis import Section, load_collection
from napts.analysis.target import time_to_target
from napts.papers.claims.claim import Finding, examine
from napts.papers.claims.costs import CostOfTarget
from napts.papers.claims.evidence import Evidence, Who
from napts.papers.claims.verdict import Region, Verdict
from napts.papers.figures.finite_sums import finite_sum_drawings
from napts.papers.finite_sums import finite_sum_tables
from napts.plotting.style import style
from napts.records.metric import Metric

GAP = Metric("gap", "min")
SEEDS = 4
EPOCHS = 8
FAST, SLOW = Who("MLVR"), Who("SVRG")


def course(
    rate: float, *, gradients: float, products: float | None = None, grow: float = 1.0
) -> Callable[[Row], Row]:
    """Rows whose gap falls by a rate per epoch, and which count this per epoch."""

    def change(row: Row) -> Row:
        epoch = row["epoch"]
        row = {**row, "val_gap": rate**epoch, "val_gradient_norm": rate**epoch, "radius": None}
        if epoch == 0:
            return row
        row |= {"backwards": gradients, "forwards": gradients}
        if products is not None:
            share = min(1.0, 0.1 * grow ** (epoch - 1))
            row |= {"hessians": 0.1, "hessian_products": products, "cg_iterations": 10}
            row |= {"sample_fraction": share}
        return row

    return change


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., Section]:
    def make(**courses: Any) -> Section:
        for method, change in courses.items():
            for seed in range(SEEDS):
                write_run(
                    tmp_path,
                    method=method,
                    seed=seed,
                    workload="a9a-logistic",
                    epochs=EPOCHS,
                    batches=1,
                    metric=GAP,
                    change=change,
                )
        return load_collection(tmp_path).sections[0]

    return make


def finding(section: Section, cost: str, region: Region | None, target: float = 1e-4) -> Finding:
    rule = CostOfTarget(cost, FAST, SLOW, region, "val_gap", target)
    return examine(rule, Evidence(section))


def test_running_totals_count_what_a_method_does_not_have_as_nothing(made) -> None:
    section = made(MLVR=course(0.1, gradients=2.0, products=3.0), SVRG=course(0.5, gradients=1.0))
    last = (
        section.epochs[section.epochs["epoch"] == EPOCHS].groupby("method").mean(numeric_only=True)
    )
    assert last.loc["MLVR", "backwards_total"] == 16.0
    assert last.loc["MLVR", "hessian_products_total"] == 24.0
    assert last.loc["MLVR", "evaluations_total"] == 40.0
    assert last.loc["MLVR", "cg_iterations_total"] == 80.0
    assert last.loc["SVRG", "evaluations_total"] == last.loc["SVRG", "backwards_total"] == 8.0
    # A product is a pass; a gradient is one as well.
    assert last.loc["MLVR", "pass_equivalents_total"] == pytest.approx(40.0)


def test_without_counts_there_are_no_such_totals(made) -> None:
    section = made(SVRG=course(0.5, gradients=1.0), SARAH=course(0.5, gradients=1.0))
    assert not {"hessians", "evaluations_total"} & set(section.epochs)
    assert list(finite_sum_drawings(section)) == list(finite_sum_tables(section)) == []
    with pytest.raises(ValueError, match="'evaluations_total' is not a column"):
        time_to_target(section.epochs, "val_gap", 1.0, clock="evaluations_total")


def test_the_cost_of_a_target_is_counted_until_it_is_met(made) -> None:
    # The one gets to 1e-4 in 4 epochs of 2 gradients and 3 products, the other in 8 of 4.
    section = made(
        MLVR=course(0.1, gradients=2.0, products=3.0), SVRG=course(0.1**0.5, gradients=4.0)
    )
    for cost, ratio in (
        ("epoch", 0.5),
        ("backwards_total", 8 / 32),
        ("evaluations_total", 20 / 32),
    ):
        found = finding(section, cost, Region(at_most=0.5), 1.0001e-4)
        assert found.estimate is not None
        assert found.estimate.value == found.estimate.low == found.estimate.high == ratio
        assert found.verdict is (Verdict.CONFIRMED if ratio <= 0.5 else Verdict.REFUTED)
    assert finding(section, "backwards_total", None).what == (
        "gradients to gap 0.0001, MLVR / SVRG"
    )


def test_who_does_not_get_there_is_later_than_all(made) -> None:
    section = made(MLVR=course(0.1, gradients=2.0, products=3.0), SVRG=course(0.9, gradients=0.001))
    found = finding(section, "backwards_total", Region(at_most=1.0))
    assert found.estimate is not None
    assert (found.estimate.value, found.estimate.low) == (0.0, 0.0)
    # Seen for 0.008 gradients, it may need any number: the interval says no more than that.
    assert found.estimate.high > 100
    assert found.verdict is Verdict.UNDECIDED
    nobody = finding(section, "backwards_total", Region(at_most=1.0), 1e-12)
    assert nobody.verdict is Verdict.NOT_TESTED
    assert nobody.needs == "a run of MLVR or SVRG that gets there"


def test_what_nobody_counts_is_missing(made) -> None:
    section = made(MLVR=course(0.1, gradients=2.0), SVRG=course(0.1, gradients=4.0))
    found = finding(section, "hessians_total", Region(at_most=1.0))
    assert found.needs == "Hessians in the records of MLVR"


def test_the_table_tells_every_count_at_the_target(made) -> None:
    section = made(
        ASTROM=course(0.1, gradients=2.0, products=3.0, grow=2.0), SVRG=course(0.9, gradients=1.0)
    )
    gap, norm = finite_sum_tables(section)
    assert (gap.title, norm.title) == (
        "Cost of a gap of 1e-06",
        "Cost of a gradient norm of 1e-06",
    )
    by_method = {row[0]: list(row[1:]) for row in gap.rows}
    assert by_method["SVRG"] == ["0/4", *["∞"] * 7, "–"]
    # 0.1**6 is a little more than 1e-6.
    assert by_method["ASTROM"][:6] == ["4/4", "7.00", "14.0", "0.700", "21.0", "70.0"]
    assert by_method["ASTROM"][-1] == "100"


def test_figures_show_every_method(made) -> None:
    section = made(
        ASTROM=course(0.1, gradients=2.0, products=3.0, grow=2.0),
        SSN=course(0.5, gradients=2.0, products=1.0),
        SVRG=course(0.0, gradients=1.0),  # at once exact: drawn at the floor
    )
    drawings = list(finite_sum_drawings(section))
    assert [drawing.title for drawing in drawings] == ["Gap by work", "Growing subsets"]
    with style():
        work, subsets = (drawing.draw() for drawing in drawings)
    assert [axes.get_yscale() for axes in work.axes] == ["log"] * 3
    for axes in work.axes:
        assert len(axes.get_lines()) == 3
        lowest = [np.asarray(line.get_ydata(), dtype=float).min() for line in axes.get_lines()]
        assert min(lowest) == 1e-16
    assert [len(axes.get_lines()) for axes in subsets.axes] == [2, 2, 1]
    assert not any(math.isnan(v) for v in drawings[0].data["evaluations_total"])
