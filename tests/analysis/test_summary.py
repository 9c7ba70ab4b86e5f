"""The comparison and its tables: the numbers are those of the records."""

import io
import math
from pathlib import Path

import pytest

from benchmarks.made_runs import Row, write_comparison, write_run
from napts.analysis import Table, comparison, comparison_tables, load_collection
from napts.analysis.tables import bracketed, median_of, number, percent, spread


def seconds(value: float):
    def change(row: Row) -> Row:
        return {**row, "train_seconds": value if row["epoch"] else 0.0, "cpu_seconds": value / 2}

    return change


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for seed, accuracy in ((0, 0.90), (1, 0.94)):
        for method, each in (("Adam", 1.0), ("TR", 2.0), ("APTS", 8.0), ("NAPTS", 5.0 + seed)):
            write_run(
                tmp_path,
                method=method,
                seed=seed,
                change=seconds(each),
                final={"train_loss": 0.25, "val_accuracy": accuracy, "test_accuracy": 0.5},
            )
    write_run(tmp_path, method="SGD", seed=0, state="diverged", epochs=10, epochs_done=3)
    return tmp_path


def test_comparison_numbers(root: Path) -> None:
    frame = comparison(load_collection(root).sections[0].runs).set_index("label")
    assert frame.index.tolist() == ["TR", "APTS", "NAPTS", "Adam", "SGD"]
    napts = frame.loc["NAPTS"]
    assert (napts["n"], napts["done"]) == (2, 2)
    assert napts["seconds_per_epoch_mean"] == pytest.approx(5.5)
    assert (napts["seconds_per_epoch_min"], napts["seconds_per_epoch_max"]) == (5.0, 6.0)
    assert napts["cpu_seconds_per_epoch_mean"] == pytest.approx(2.75)
    assert napts["time_vs_Adam"] == pytest.approx(5.5)
    assert napts["time_vs_TR"] == pytest.approx(2.75)
    assert napts["time_vs_APTS"] == pytest.approx(0.6875)
    assert napts["final_val_accuracy_mean"] == pytest.approx(0.92)
    assert napts["rejections_per_batch_mean"] == pytest.approx(
        sum(napts[f"rejections_{p}_per_batch_mean"] for p in ("proposal", "correction", "global"))
    )
    sgd = frame.loc["SGD"]
    assert (sgd["done"], sgd["diverged"], sgd["final_val_accuracy_n"]) == (0, 1, 1)
    assert (sgd["final_val_accuracy_mean"], sgd["final_train_loss_mean"]) == (0.0, math.inf)
    assert sgd["seconds_per_epoch_n"] == 1  # what an epoch took was measured


def test_a_run_that_diverged_is_the_worst_and_one_that_goes_on_is_missing(root: Path) -> None:
    write_run(root, method="NAPTS", seed=2, state="diverged", epochs=10, epochs_done=3)
    write_run(root, method="NAPTS", seed=3, state="running", epochs=10, epochs_done=3)
    napts = comparison(load_collection(root).sections[0].runs).set_index("label").loc["NAPTS"]
    assert (napts["n"], napts["final_val_accuracy_n"]) == (4, 3)
    assert napts["final_val_accuracy_mean"] == pytest.approx((0.90 + 0.94 + 0.0) / 3)
    assert (napts["final_val_accuracy_min"], napts["final_train_loss_max"]) == (0.0, math.inf)


def test_tables_show_the_same_numbers(root: Path) -> None:
    tables = comparison_tables(load_collection(root).sections[0].runs)
    time, ratios, rejections, work, outcome = tables
    cells = {row[0]: list(row) for row in time.rows}
    assert cells["NAPTS"] == ["NAPTS", "2", "5.50 [5.00, 6.00]", "2.75 [2.50, 3.00]"]
    assert cells["Adam"] == ["Adam", "2", "1.00", "0.500"]  # both runs took as long
    relative = {row[0]: list(row) for row in ratios.rows}
    assert list(ratios.columns) == ["method", "n", "vs Adam", "vs TR", "vs APTS"]
    assert relative["APTS"] == ["APTS", "2", "8.00", "4.00", "1.00"]
    assert relative["NAPTS"][2].startswith("5.50 [")
    assert relative["SGD"][1] == "1"  # the seed that it shares
    outcomes = {row[0]: list(row) for row in outcome.rows}
    assert outcomes["NAPTS"][1:4] == ["2/2", "0.250", "92.00 [90.00, 94.00]"]
    assert outcomes["SGD"] == ["SGD", "0/1", "∞", "0.00", "0.00"]
    assert "SGD, seed 0: diverged after 3 of 10 epochs." in outcome.notes
    for counts in (rejections, work):
        assert [row[0] for row in counts.rows] == list(outcomes)
        assert [row[1] for row in counts.rows] == ["2", "2", "2", "2", "1"]


def test_ratios_are_of_references_that_were_run(tmp_path: Path) -> None:
    write_run(tmp_path, method="NAPTS")
    titles = [t.title for t in comparison_tables(load_collection(tmp_path).sections[0].runs)]
    assert titles == ["Time per epoch", "Rejections per batch", "Work per batch", "Outcome"]
    write_run(tmp_path, method="TR", seed=9)
    ratios = comparison_tables(load_collection(tmp_path).sections[0].runs)[1]
    assert [list(row) for row in ratios.rows] == [["TR", "1", "1.00"], ["NAPTS", "0", "–"]]


def test_text_tables_fit_a_terminal(tmp_path: Path) -> None:
    write_comparison(tmp_path)
    for table in comparison_tables(load_collection(tmp_path).sections[0].runs):
        assert max(map(len, table.to_text().splitlines())) <= 82


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.00"),
        (1.0, "1.00"),
        (0.05234, "0.0523"),
        (123.4, "123"),
        (-0.5, "-0.500"),
        (1.5e-6, "1.50e-06"),
        (math.nan, "–"),
        (None, "–"),
        (math.inf, "∞"),
    ],
)
def test_numbers_have_three_significant_digits(value: float | None, text: str) -> None:
    assert number(value) == text


def test_percent_and_spread() -> None:
    row = {"q_mean": 0.5, "q_min": 0.25, "q_max": 0.75, "q_n": 2}
    assert percent(0.97125) == "97.12"
    assert spread(row, "q", percent) == "50.00 [25.00, 75.00]"
    single = {"q_mean": 0.5, "q_min": 0.5, "q_max": 0.5, "q_n": 1}
    assert spread(single, "q", percent) == "50.00"
    assert spread(dict.fromkeys(row, math.nan), "q", percent) == "–"


def test_medians_with_the_range_of_those_that_get_there() -> None:
    assert median_of([3.0, 1.0, 2.0]) == "2.00 [1.00, 3.00]"
    assert median_of([1.0, 3.0], n=3) == "3.00 [1.00, 3.00]"
    assert median_of([1.0, 3.0], n=4) == "∞ [1.00, 3.00]"
    assert median_of([2.0, 2.0]) == "2.00"
    assert (median_of([], n=2), median_of([])) == ("∞", "–")


def test_ends_that_do_not_exist_or_say_nothing_are_left_out() -> None:
    assert bracketed(0.5, math.nan, math.nan) == "0.500"
    assert bracketed(0.5, 0.49999, 0.50001) == "0.500"
    assert bracketed(0.5, 0.0, math.inf) == "0.500 [0.00, ∞]"


TABLE = Table("T <1>", ["method", "a|b"], [["x & y", "1.0"], ["[red]", "22.0"]], ["Note <n>."])


def test_text_is_aligned() -> None:
    lines = TABLE.to_text().splitlines()
    assert lines[2:7] == ["method   a|b", "------------", "x & y    1.0", "[red]   22.0", "-" * 12]


def test_markdown_escapes_bars() -> None:
    lines = TABLE.to_markdown().splitlines()
    assert lines[2:5] == ["| method | a\\|b |", "| --- | ---: |", "| x & y | 1.0 |"]


def test_html_is_escaped() -> None:
    text = TABLE.to_html()
    assert "<caption>T &lt;1&gt;</caption>" in text
    assert "x &amp; y" in text
    assert "Note &lt;n&gt;." in text


def test_rich_shows_labels_in_brackets() -> None:
    from rich.console import Console

    console = Console(file=io.StringIO(), width=80)
    console.print(TABLE.to_rich())
    assert isinstance(console.file, io.StringIO)
    assert "[red]" in console.file.getvalue()
