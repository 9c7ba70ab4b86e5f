"""Profiles, paths and names reach the script of a job as text: nothing in them is executed."""

import os
import shlex
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from napts.cli import main
from napts.experiment.spec.reading import SpecError
from napts.launch.cluster import SlurmCluster, load_cluster
from napts.launch.packs import make_arrays
from napts.launch.plan import make_plan
from napts.launch.slurm import sbatch_text
from napts.launch.snapshot import Snapshot
from napts.launch.sweepfile import load_sweep
from tests.launch.conftest import Bench

HOSTILE = 'it\'s "one" $(touch pwned) `touch pwned`; touch pwned # & | > pwned'
"""Every character that a shell has a use for, but newline and backslash."""

REFUSED = (
    *("a\nb", "a\rb", "a\0b", "a\x1b[31mb", "a\u2028b", "a\\b", "a\\"),
    *("main\ntouch pwned", "main'\ntouch pwned\n#'", ""),
)


def profile(folder: Path, **keys: object) -> SlurmCluster:
    """Write a profile and read it."""
    lines = [f"{key} = {toml(value)}" for key, value in keys.items()]
    (folder / "cluster.toml").write_text("\n".join(['kind = "slurm"', *lines]), encoding="utf-8")
    cluster = load_cluster(folder / "cluster.toml")
    assert isinstance(cluster, SlurmCluster)
    return cluster


def toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml(k)} = {toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, str):
        hidden = {ord(c): f"\\u{ord(c):04x}" for c in value if ord(c) < 32 or c in "\\\"'"}
        return f'"{value.translate(hidden)}"'
    return str(value).lower()


def text_of(bench: Bench, cluster: SlurmCluster, folder: Path) -> str:
    bench.write()
    runs = make_plan(load_sweep(bench.sweep_file), bench.records).runs
    (array,) = make_arrays(runs, cluster, 100)
    return sbatch_text(array, cluster, folder / "jobs", Snapshot(folder / "code", "rev"), "tests")


def refused(folder: Path, **keys: object) -> str:
    with pytest.raises(SpecError) as caught:
        profile(folder, **keys)
    (line,) = caught.value.problems
    told = line.removeprefix(f"{folder}/cluster.toml: ")
    assert "\n" not in told
    assert len(told) <= 200  # and the name of a file
    return told


@pytest.mark.parametrize("text", REFUSED)
def test_what_would_leave_its_line_is_refused(tmp_path: Path, text: str) -> None:
    for key in ("partition", "account", "qos", "constraint"):
        assert refused(tmp_path, **{key: text}).startswith(f"{key}: found ")
    if text:
        told = refused(tmp_path, additional={"comment": text})
        assert told.startswith("additional: comment: found ")
    if text and "\\" not in text:  # a shell does read those
        assert refused(tmp_path, setup=["true", text]).startswith("setup[1]: found ")
        assert refused(tmp_path, srun_args=[text]).startswith("srun_args[0]: found ")
        assert refused(tmp_path, python=text).startswith("python: found ")


@pytest.mark.parametrize("name", ["", "a b", "a\nb", "a=b", "$(id)", "-a", "x" * 61])
def test_a_setting_has_a_name(tmp_path: Path, name: str) -> None:
    told = refused(tmp_path, additional={name: "value"})
    # Where the line would be too long it begins with the place of the file.
    assert "additional: found the name " in told or "additional: a key: found the " in told


@pytest.mark.parametrize("value", [[1], {"a": 1}, "x" * 1001])
def test_a_setting_has_one_value(tmp_path: Path, value: object) -> None:
    assert refused(tmp_path, additional={"comment": value}).startswith("additional: comment: found")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("timeout_min", 0), ("timeout_min", 10**40), ("memory_gb", 1e-9), ("memory_gb", 1e12)),
        *(("runs_per_job", 2**63), ("array_parallelism", 10**9), ("max_array_size", 10**9)),
        *(("signal_delay_s", 65_536), ("gpus_per_rank", 10**6), ("max_timeouts", 2**70)),
    ],
)
def test_numbers_have_bounds(tmp_path: Path, key: str, value: float) -> None:
    assert refused(tmp_path, **{key: value}).startswith(f"{key}: found ")


def test_a_kind_is_a_word(tmp_path: Path) -> None:
    (tmp_path / "cluster.toml").write_text('kind = ["slurm"]\n')
    with pytest.raises(SpecError, match=r"kind: found \['slurm'\], allowed: local, slurm"):
        load_cluster(tmp_path / "cluster.toml")


def test_what_a_shell_would_execute_is_quoted(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The text is run by a shell that has a stand-in for srun, and read line by line."""
    monkeypatch.setenv("NAPTS_DATA", f"/{HOSTILE}/data")
    words = dict.fromkeys(("partition", "account", "qos", "constraint"), HOSTILE)
    cluster = profile(
        tmp_path,
        **words,
        additional={"comment": HOSTILE, "mail_type": "FAIL", "nice": 3, "exclusive": True},
        setup=["export GREETING='hello there'"],
        srun_args=[HOSTILE],
        python=HOSTILE,
    )
    place = tmp_path / HOSTILE.replace("/", "")
    text = text_of(bench, cluster, place)
    lines = text.splitlines()
    settings = [shlex.split(line)[1] for line in lines if line.startswith("#SBATCH")]
    assert {f"--{key}={value}" for key, value in words.items()} <= set(settings)
    assert f"--comment={HOSTILE}" in settings
    assert {"--mail-type=FAIL", "--nice=3", "--exclusive", "--requeue"} <= set(settings)
    assert f"--output={place}/jobs/%A_%a_0_log.out" in settings

    stand_in = tmp_path / "bin" / "srun"
    stand_in.parent.mkdir()
    stand_in.write_text(
        '#!/bin/bash\nprintf "%s\\0" "$@" "$PYTHONPATH" "$NAPTS_DATA" "$GREETING"\n'
    )
    stand_in.chmod(0o755)
    ended = subprocess.run(
        ["bash", "-e"],
        input=text,
        env={"PATH": f"{stand_in.parent}:{os.environ['PATH']}"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    *command, path, data, greeting = ended.stdout.split("\0")[:-1]
    assert f"{place}/jobs/%A_%a_%t_log.out" in command
    assert command.count(HOSTILE) == 2  # an argument of srun, and the interpreter
    assert command[-1] == str(place / "jobs")
    assert (path, data, greeting) == (str(place / "code"), f"/{HOSTILE}/data", "hello there")
    assert ended.stderr == ""
    assert not (tmp_path / "pwned").exists()


def test_a_setting_that_is_false_is_left_out(bench: Bench, tmp_path: Path) -> None:
    text = text_of(bench, profile(tmp_path, additional={"requeue": False}), tmp_path)
    assert "requeue" not in text


@pytest.mark.parametrize(
    ("kind", "name", "told"),
    [
        ("local", "a:b", "found ':' in "),
        ("slurm", "a:b", "found ':' in "),
        ("slurm", "100%j", "found '%' in "),
        ("slurm", "a\\b", "found '\\\\' in "),
        ("slurm", "a\nb", "visible characters"),
    ],
)
def test_records_lie_where_jobs_can_find_them(
    bench: Bench, kind: str, name: str, told: str
) -> None:
    bench.write()
    cluster, records = bench.folder / "cluster.toml", bench.folder / name
    cluster.write_text(f'kind = "{kind}"\n')
    command = ["sweep", "submit", str(bench.sweep_file), "--cluster", str(cluster)]
    ways = ["--allow-dirty"] if kind == "local" else ["--allow-dirty", "--dry-run"]
    for way in ways:
        ended = CliRunner().invoke(main, [*command, "--records", str(records), way])
        assert ended.exit_code == 2
        assert ended.stderr.startswith("napts: records folder: found ")
        assert told in ended.stderr
        assert ended.stderr.count("\n") == 1
        assert not records.exists()
