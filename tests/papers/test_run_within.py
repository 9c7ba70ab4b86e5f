"""A study within a time limit: what there was time for is saved, and goes on later."""

import subprocess
import sys
from pathlib import Path

from napts.records import load_packed

SCRIPT = Path(__file__).parents[2] / "reports" / "run_within.py"
STUDY = """
experiment = "lent"
seeds = [1, 2]
[workload]
name = "synthetic-blobs"
[budget]
epochs = 2
[execution]
device = "cuda"
record_steps = false
[[methods]]
method = "TR"
radius_floor = "repeated"
[[methods]]
method = "NAPTS"
subdomains = 3
radius_floor = "repeated"
"""


def within(
    folder: Path, minutes: str, *overrides: str, records: str = "records"
) -> "subprocess.CompletedProcess[str]":
    study = folder / "study.toml"
    study.write_text(STUDY)
    arguments = [study, folder / records, folder / "saved", minutes, *overrides]
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_what_there_was_time_for_is_saved_and_goes_on(tmp_path: Path) -> None:
    packed = tmp_path / "saved" / "lent.runs.jsonl.gz"
    cpu = "execution.device=cpu"
    nothing = within(tmp_path, "0", cpu)
    assert (nothing.returncode, nothing.stdout) == (1, "0 of 4 runs have ended\n")
    # Far more epochs than there is time for: the first run is interrupted, and saved.
    short = within(tmp_path, "0.01", cpu, "budget.epochs=100000")
    assert short.returncode == 1, short.stderr
    assert short.stdout.splitlines() == ["TR seed 1: interrupted", "0 of 4 runs have ended"]
    assert [run.state for run in load_packed(packed)] == ["interrupted"]
    packed.unlink()
    whole = within(tmp_path, "5", cpu)
    assert whole.returncode == 0, whole.stderr
    labels = ["TR seed 1: done", "NAPTS seed 1: done", "TR seed 2: done", "NAPTS seed 2: done"]
    assert whole.stdout.splitlines() == [*labels, "4 of 4 runs have ended"]
    done = [run for run in load_packed(packed) if run.state == "done"]
    assert sorted((run.method, run.seed) for run in done) == [
        *(("NAPTS", 1), ("NAPTS", 2), ("TR", 1), ("TR", 2)),
    ]
    again = within(tmp_path, "5", cpu)
    assert again.stdout == whole.stdout


def test_another_machine_goes_on_from_what_was_saved(tmp_path: Path) -> None:
    packed = tmp_path / "saved" / "lent.runs.jsonl.gz"
    first = within(tmp_path, "5", "execution.device=cpu", "seeds=[1]")
    assert first.returncode == 0, first.stderr
    one = {run.run_key: run.epochs for run in load_packed(packed)}
    both = within(tmp_path, "5", "execution.device=cpu", records="elsewhere")
    assert both.stdout.splitlines()[-1] == "4 of 4 runs have ended"
    found = {run.run_key: run.epochs for run in load_packed(packed)}
    assert len(found) == 4
    assert {key: found[key] for key in one} == one, "done before, and not again"


def test_what_cannot_begin_is_one_line(tmp_path: Path) -> None:
    for minutes, said in (("five", "five"), ("5", "device")):
        done = within(tmp_path, minutes, "execution.device=tpu")
        assert done.returncode == 2
        assert said in done.stderr
        assert len(done.stderr.splitlines()) == 1
