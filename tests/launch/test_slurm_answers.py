"""What Slurm answers, by stand-ins for its commands: whose job is it, is there accounting?"""

from collections.abc import Callable
from pathlib import Path

import pytest

from napts.launch.cluster import SlurmUnavailable
from napts.launch.slurm import cancel, job_states
from napts.launch.submitted import Job

Install = Callable[..., Path]


def job(number: str, submission: str) -> Job:
    return Job(number, "slurm", ("key",), f"/records/jobs/{submission}/{number}.err", 0.0, "code")


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install programs that print a text, or fail if there is none; scancel notes what it gets."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    def install(squeue: str | None, sacct: str | None) -> Path:
        for name, text in (("squeue", squeue), ("sacct", sacct)):
            lines = "exit 1" if text is None else f"cat <<'TEXT'\n{text}\nTEXT"
            (tmp_path / name).write_text(f"#!/bin/sh\n{lines}\n")
        cancelled = tmp_path / "cancelled"
        (tmp_path / "scancel").write_text(f'#!/bin/sh\necho "$@" >> {cancelled}\n')
        for name in ("squeue", "sacct", "scancel"):
            (tmp_path / name).chmod(0o755)
        return cancelled

    return install


def test_a_stranger_with_the_number_of_an_old_job_is_left_alone(slurm: Install) -> None:
    """A fresh cluster counts its jobs from 1 again."""
    old, new = job("1_0", "old"), job("1_0", "new")
    cancelled = slurm(
        "1_0|RUNNING|/records/jobs/new/script.sh\n2|RUNNING|/home/other/script.sh",
        "1_0|RUNNING|sbatch /records/jobs/new/script.sh",
    )
    assert job_states([old, new, job("2", "mine")]) == {new: "RUNNING"}
    assert cancel([old, job("2", "mine")]) == []
    assert not cancelled.exists()
    assert cancel([old, new]) == [new]
    assert cancelled.read_text() == "1_0\n"


def test_a_cluster_without_accounting(slurm: Install) -> None:
    slurm("7|PENDING|/records/jobs/a/script.sh", None)
    assert job_states([job("7", "a"), job("8", "a")]) == {job("7", "a"): "PENDING"}


def test_accounting_remembers_what_the_queue_forgets(slurm: Install) -> None:
    slurm("", "7|CANCELLED by 0|sbatch /records/jobs/a/script.sh\n7.batch||")
    assert job_states([job("7", "a")]) == {job("7", "a"): "CANCELLED"}


def test_without_a_queue_nothing_is_known(slurm: Install) -> None:
    slurm(None, "")
    with pytest.raises(SlurmUnavailable, match="squeue"):
        job_states([job("7", "a")])


def test_answers_in_any_encoding(slurm: Install, tmp_path: Path) -> None:
    """The queue holds everybody's jobs, with the paths of their scripts."""
    slurm("", None)
    lines = b"7|RUNNING|/records/jobs/a/script.sh\n8|RUNNING|/home/\xff\xfe/script.sh\n"
    (tmp_path / "answer").write_bytes(lines)
    (tmp_path / "squeue").write_text(f"#!/bin/sh\ncat {tmp_path}/answer\n")
    assert job_states([job("7", "a")]) == {job("7", "a"): "RUNNING"}


def test_a_refusal_is_one_line(slurm: Install, tmp_path: Path) -> None:
    slurm("", "")
    text = "first\n\033[31m" + "x" * 5000
    (tmp_path / "answer").write_text(text)
    (tmp_path / "squeue").write_text(f"#!/bin/sh\ncat {tmp_path}/answer >&2\nexit 1\n")
    with pytest.raises(SlurmUnavailable) as caught:
        job_states([job("7", "a")])
    told = str(caught.value)
    assert told.startswith(r"squeue: \x1b[31mxxx")
    assert len(told) <= 200
    (tmp_path / "squeue").chmod(0o644)
    with pytest.raises(SlurmUnavailable, match="squeue: "):
        job_states([job("7", "a")])
