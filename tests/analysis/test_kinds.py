"""What the runs of a section are for is a field of theirs; of old ones the experiment's name."""

from pathlib import Path

from benchmarks.made_runs import write_run
from napts.analysis import load_collection


def kinds(root: Path) -> dict[str, str]:
    return {section.slug: section.kind for section in load_collection(root).sections}


def test_a_name_says_nothing_where_the_records_do(tmp_path: Path) -> None:
    write_run(tmp_path, experiment="tune-in", kind="comparison")
    write_run(tmp_path, experiment="rates", kind="tuning", workload="mnist-fcnn")
    write_run(tmp_path, experiment="thresholds", kind="calibration", workload="mnist-fcnn")
    assert kinds(tmp_path) == {
        "digits-cnn": "comparison",
        "tuning-rates": "tuning",
        "calibration-thresholds": "calibration",
    }


def test_old_records_say_it_by_their_names(tmp_path: Path) -> None:
    for experiment in ("digits", "tune-digits-cnn-Adam", "calibration"):
        write_run(tmp_path, experiment=experiment)
    assert kinds(tmp_path) == {
        "digits-cnn": "comparison",
        "tune-digits-cnn-Adam": "tuning",
        "calibration": "calibration",
    }


def test_every_section_has_a_name_of_its_own(tmp_path: Path) -> None:
    for workload in ("digits-cnn", "mnist-fcnn"):
        for kind in ("comparison", "tuning", "calibration"):
            write_run(tmp_path, experiment="all", kind=kind, workload=workload, seed=len(kind))
    assert set(kinds(tmp_path)) == {
        *("digits-cnn", "mnist-fcnn", "tuning-all-digits-cnn", "tuning-all-mnist-fcnn"),
        *("calibration-all-digits-cnn", "calibration-all-mnist-fcnn"),
    }
