"""What is said of multilevel training, on records whose counts are known."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.made_runs import Row, write_run
from napts.analysis import Section, load_collection
from napts.papers.claims.claim import examine
from napts.papers.claims.evidence import Evidence
from napts.papers.claims.levels import LEVELS
from napts.papers.claims.verdict import Verdict
from napts.papers.figures.levels import level_drawings, shares_of, visits
from napts.papers.levels import level_tables
from napts.plotting.style import style

SEEDS = 4
EPOCHS = 8
RMTR = {"levels": 3, "cycle": "V"}
TR = {"order": 2}


def course(rate: float, gradients: float, work: tuple[float, ...] = ()) -> Callable[[Row], Row]:
    """Rows whose training loss falls by a rate per epoch, and which count this per epoch."""

    def change(row: Row) -> Row:
        if row["epoch"] == 0:
            return row
        row = {**row, "train_loss": rate ** row["epoch"], "backwards": gradients}
        row |= {f"work_level_{level}": each for level, each in enumerate(work, 1)}
        return row | ({"work_units": sum(work)} if work else {})

    return change


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., Section]:
    def make(*runs: tuple[str, dict[str, Any], Callable[[Row], Row]]) -> Section:
        for method, options, change in runs:
            for seed in range(SEEDS):
                write_run(
                    tmp_path, method=method, seed=seed, workload="digits-resnet", epochs=EPOCHS,
                    batches=1, options=options, change=change,
                )  # fmt: skip
        return load_collection(tmp_path).sections[0]

    return make


@pytest.mark.parametrize(
    ("work", "ratio", "verdict"),
    [((0.5, 0.5, 1.0), 0.5, Verdict.CONFIRMED), ((2.0, 2.0, 4.0), 2.0, Verdict.REFUTED)],
)
def test_the_claim_compares_work_at_the_loss_that_one_level_ends_with(
    made, work: tuple[float, ...], ratio: float, verdict: Verdict
) -> None:
    """0.5 ** 8 after eight epochs of one gradient each; with levels after two of this work."""
    section = made(("RMTR", RMTR, course(0.5**4, 3.0, work)), ("TR", TR, course(0.5, 1.0)))
    (claim,) = LEVELS
    assert claim.speaks_of(section)
    judged, by_operations, *told = [examine(rule, Evidence(section)) for rule in claim.rules]
    assert judged.estimate is not None
    assert (judged.estimate.value, judged.verdict) == (pytest.approx(ratio), verdict)
    assert by_operations.estimate is not None
    assert by_operations.estimate.value == pytest.approx(2 * 3.0 / 8)
    assert all(finding.region is None for finding in (by_operations, *told))


def test_tables_say_what_a_loss_costs_and_who_does_not_get_there(made) -> None:
    section = made(("RMTR", RMTR, course(0.25, 3.0, (0.5, 0.5, 1.0))), ("TR", TR, course(0.8, 1.0)))
    tables = level_tables(section)
    assert [table.title for table in tables] == [
        "Cost of a training loss of 0.5",
        "Cost of a training loss of 0.1",
        "Cost of a training loss of 0.05",
    ]
    rows = {row[0].partition(" ")[0]: row for row in tables[1].rows}
    assert rows["RMTR"][1:3] == ["4/4", "4.00"]
    assert rows["TR"][1:] == ["0/4", *["not reached"] * 5]


def test_shares_by_level(made) -> None:
    section = made(("RMTR", RMTR, course(0.25, 3.0, (0.5, 0.5, 1.0))), ("TR", TR, course(0.8, 1.0)))
    shares = shares_of(section.epochs)
    assert shares["level"].tolist() == [1, 2, 3]
    assert shares["share"].tolist() == pytest.approx([0.25, 0.25, 0.5])


def test_how_levels_are_visited() -> None:
    assert visits(3, "V") == [3, 2, 1, 2, 3]
    assert visits(3, "W") == [3, 2, 1, 2, 2, 1, 2, 3]
    assert visits(2, "W") == [2, 1, 2]
    assert visits(3, "F") == [1, 2, 1, 2, 3, 2, 1, 2, 3]
    assert visits(1, "V") == [1]


def test_figures_are_drawn_where_levels_are_counted(made) -> None:
    section = made(
        ("RMTR", RMTR, course(0.25, 3.0, (0.5, 0.5, 1.0))),
        ("RMTR", {**RMTR, "cycle": "F"}, course(0.2, 3.0, (0.5, 0.5, 1.0))),
        ("TR", TR, course(0.8, 1.0)),
    )
    drawings = list(level_drawings(section))
    assert [drawing.name.partition("-")[0] for drawing in drawings] == ["levels", "level", "cycles"]
    for drawing in drawings:
        assert len(drawing.data)
        with style():
            assert drawing.draw().axes


def test_nothing_is_said_where_no_level_is_counted(made) -> None:
    section = made(("TR", TR, course(0.8, 1.0)))
    assert not list(level_drawings(section))
    assert not level_tables(section)
