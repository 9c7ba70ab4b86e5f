"""Specs, studies, sweeps and profiles that are wrong, too long, too deep or out of bounds."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napts.experiment import SpecError, load_spec, method_names, parse_spec
from napts.experiment.methods.registry import method_named
from napts.experiment.spec.toml_file import LARGEST_BYTES, MOST_KEYS
from napts.launch.cluster import load_cluster
from napts.launch.space_file import load_space
from napts.launch.sweepfile import load_sweep
from napts.problems import options_model, problem_names
from napts.text import is_hidden
from tests.input import specs
from tests.input.commands import MOST_LINES, call, refused, write

RUN, STUDY = specs.RUN, specs.STUDY

FILES = {
    "deep list": (f"x = {'[' * 100_000}", "more than 16 levels"),
    "deep table": (f"x = {'{a = ' * 20}1{'}' * 20}", "more than 16 levels"),
    "dotted key": (f"{'.'.join('a' * 50_000)} = 1", "more than 16 levels"),
    "dotted header": (f"[{'.'.join('a' * 50_000)}]", "more than 16 levels"),
    "tables in tables": (f"[{'.'.join('a' * 10)}]\n{'.'.join('b' * 10)} = 1", "16 levels"),
    "many keys": ("\n".join(f"k{n} = 1" for n in range(MOST_KEYS + 1)), "10,000 keys"),
    "long": ("#" * (LARGEST_BYTES + 1), "more than 256 KiB"),
    "not UTF-8": (b"\xff\xfe", "not valid TOML"),
    "not TOML": ("a = ", "not valid TOML"),
    "long not TOML": ("a" * 100_000, "not valid TOML"),
    "escapes": ('a = "' + '\\"' * 100_000, "not valid TOML"),
    "digits": (f"seed = {'9' * 5000}", "not valid TOML"),
    "hexadecimal": (f"seed = 0x{'f' * 5000}", "an integer of 20000 bits, allowed: integers of 64"),
    "long key": (f"{'k' * 100_000} = 1\nexperiment = 'e'", "unknown key"),
    "hidden key": ('"a\\u001b[31m" = 1', "control character U+001B"),
    "empty": ("", "missing"),
}


@pytest.mark.parametrize(("content", "told"), FILES.values(), ids=FILES)
def test_files_that_nothing_can_read(content: str | bytes, told: str) -> None:
    Path("file.toml").write_bytes(content if isinstance(content, bytes) else content.encode())
    assert told in refused("run", "file.toml", "--no-track", lines=MOST_LINES)
    refused("sweep", "plan", "file.toml", lines=MOST_LINES)
    write("sweep.toml", specs.SWEEP)
    refused("sweep", "plan", "sweep.toml", "--cluster", "file.toml", lines=MOST_LINES)
    refused("tune", "synthetic-blobs", "SGD", "--space", "file.toml", "--epochs", "1", lines=9)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("missing.toml", "No such file"),
        (".", "Is a directory"),
        ("x" * 5000, "File name too long"),
        ("studies/" + "x" * 5000, "File name too long"),
        ("/dev/zero", "more than 256 KiB"),
        ("a\x1b[31mb\u202e", "No such file"),
        ("file.toml/further", "Not a directory"),
    ],
)
def test_names_of_files(name: str, told: str) -> None:
    write("file.toml", RUN)
    assert told in refused("run", name, "--no-track")
    assert told in refused("sweep", "status", name)


BOUNDS = [
    ("optimizer.window", 2**63, "integers of 64 bits"),
    ("optimizer.window", 2**63 - 1, "integer <= 1000000"),
    ("optimizer.local_steps", 2**31, "integer <= 10000"),
    ("optimizer.subdomains", 2**31, "integer <= 1024"),
    ("optimizer.subdomains", 1000, "1000 were asked for"),
    ("workload.train_samples", 10**40, "integers of 64 bits"),
    ("workload.train_samples", 10**12, "integer <= 10000000 (samples)"),
    ("workload.data_seed", -1, "integer >= 0"),
    ("workload.noise", 1e300, "number <= 1000000.0"),
    ("seed", 2**32, "integer < 4294967296"),
    ("budget.epochs", 2**62, "integer <= 1000000000 (epochs)"),
    ("budget.passes", 1e300, "(passes)"),
    ("budget.samples", 2**62, "(samples)"),
    ("budget.seconds", 1e300, "number <= 1000000000.0 (seconds)"),
    ("budget.seconds", -1.0, "number > 0.0 (seconds)"),
    ("budget.batch_size", 2**62, "integer >= 1 (samples), or full"),
    ("budget.target.value", float("inf"), "a finite number"),
    ("execution.threads", 2**31, "integer <= 1024 (threads)"),
    ("execution.ranks", 2**31, "integer <= 1024 (processes)"),
    ("execution.checkpoint_every_s", 1e300, "(seconds)"),
    ("label", "x" * 101, "at most 100 characters"),
    ("label", "a\x1b[31mb", "control character U+001B"),
    ("label", "a\u202eb", "control character U+202E"),
    ("label", "a\nb", "control character U+000A"),
    ("label", "   ", "a visible text"),
    ("experiment", "e\n", "letters, digits"),
    ("experiment", "e" * 101, "at most 100 characters"),
    ("workload.name", "a\x1b[31m", "allowed: digits-cnn"),
    ("optimizer.preset", "x" * 9999, "preset"),
    ("optimizer.scheduler.method", "x" * 9999, "import path"),
    ("budget.target.metric", "x" * 9999, "val_METRIC"),
]


@pytest.mark.parametrize(
    ("where", "value", "told"), BOUNDS, ids=[f"{where}-{n}" for n, (where, *_) in enumerate(BOUNDS)]
)
def test_numbers_and_names_have_bounds(where: str, value: Any, told: str) -> None:
    write("run.toml", specs.put(RUN, tuple(where.split(".")), value))
    assert told in refused("run", "run.toml", "--no-track")


@pytest.mark.parametrize(
    ("data", "where", "value", "told"),
    [
        (specs.SHARDS, "optimizer.shards", 2**31, "integer <= 1000000"),
        (specs.SHARDS, "optimizer.shards", 33, "1 to 32, the samples in the smallest batch"),
        (specs.SHARDS, "budget.batch_size", 63, "1 to 1, the samples in the smallest batch"),
        (specs.PIPELINE, "pipeline.stages", 2**31, "integer <= 1024 (stages)"),
        (specs.PIPELINE, "pipeline.micro_batches", 2**31, "(parts of a batch)"),
        (specs.PIPELINE, "optimizer.pairs", 2**31, "integer <= 1000"),
        (specs.FOREIGN, "optimizer.lr", float("inf"), "finite"),
        (specs.FOREIGN, "optimizer.ns_steps", 2**64, "integers of 64 bits"),
        (specs.STUDY, "seeds", [2**32], "integer < 4294967296"),
    ],
    ids=lambda value: str(value)[:30] if isinstance(value, str | int) else "",
)
def test_bounds_of_methods(data: dict[str, Any], where: str, value: Any, told: str) -> None:
    write("run.toml", specs.put(data, tuple(where.split(".")), value))
    assert told in refused("run", "run.toml", "--no-track")


@pytest.mark.parametrize(
    ("data", "where", "value", "told"),
    [
        (specs.LOCAL, "kind", ["slurm"], "kind: found ['slurm'], allowed: local, slurm"),
        (specs.LOCAL, "kind", {"a": 1}, "kind: found {'a': 1}"),
        (specs.LOCAL, "parallel", 2**40, "(jobs at a time)"),
        (specs.SLURM, "timeout_min", 10**9, "(minutes)"),
        (specs.SLURM, "signal_delay_s", 10**9, "(seconds)"),
        (specs.SLURM, "memory_gb", 1e300, "(GB)"),
    ],
    ids=str,
)
def test_bounds_of_profiles(data: dict[str, Any], where: str, value: Any, told: str) -> None:
    write("sweep.toml", STUDY)
    write("profile.toml", specs.put(data, (where,), value))
    assert told in refused("sweep", "plan", "sweep.toml", "--cluster", "profile.toml")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"seeds": list(range(10_000)), "grid": {"eta_1": [0.1] * 1000}}, "at most 100,000 runs"),
        ({"grid": {f"g{n}": [1, 2, 3, 4] for n in range(99)}}, "at most 100,000 runs"),
        ({"grid": {"window": [2**63]}}, "integers of 64 bits"),
        ({"grid": {"a\x1bb": [1]}}, "control character"),
        ({"alternatives": [{"x" * 9999 + ".a": 1}]}, "found a place in 'xxx"),
        ({"resources": {"timeout_min": 10**12}}, "(minutes)"),
    ],
)
def test_bounds_of_sweeps(change: dict[str, Any], told: str) -> None:
    write("sweep.toml", {**STUDY, **change})
    assert told in refused("sweep", "plan", "sweep.toml")


@pytest.mark.parametrize(
    ("assignment", "told"),
    [
        ("x" * 100_000, "allowed: name.name=value"),
        ("k" * 50_000 + "=1", "unknown key"),
        ("label=" + "x" * 100_000, "at most 100 characters"),
        ("label=a\x1b[31mb", "control character"),
        ("optimizer.window=" + "9" * 5000, "allowed: integer"),
        ("optimizer.window=0x" + "f" * 5000, "integers of 64 bits"),
        ("optimizer.window=nan", "allowed: integer"),
        ("optimizer.window=" + "[" * 5000, "allowed: integer"),
        (".".join("a" * 5000) + "=1", "allowed: name.name=value"),
        ("a\x1b.b=1", "control character"),
        ("seed.a.b=1", "does not name a place"),
        ("optimizer.betas.5=1", "does not name a place"),
        ("optimizer.betas." + "9" * 5000 + "=1", "does not name a place"),
        ("=", "allowed: name.name=value"),
        ("", "allowed: name.name=value"),
        ("seed='''a\nb", "allowed: integer"),
    ],
    ids=lambda value: value[:20].encode("unicode_escape").decode(),
)
def test_assignments_on_the_command_line(assignment: str, told: str) -> None:
    write("run.toml", RUN)
    assert told in refused("run", "run.toml", "--no-track", "--set", assignment)


def test_a_study_has_so_many_runs() -> None:
    methods = [{"method": "SGD", "label": f"SGD {n}"} for n in range(20)]
    write("run.toml", {**STUDY, "seeds": list(range(6000)), "methods": methods})
    assert "at most 100,000 runs" in refused("run", "run.toml", "--no-track")


def test_as_many_problems_are_told_as_fit_on_a_screen() -> None:
    write("run.toml", {f"key{n}": 1 for n in range(5000)})
    assert len(refused("run", "run.toml", lines=MOST_LINES).splitlines()) == MOST_LINES


def test_what_is_at_its_bound_can_be_done() -> None:
    write(
        "run.toml",
        {
            **{key: RUN[key] for key in ("experiment", "workload")},
            "optimizer": {"method": "NTR", "window": 1_000_000, "max_tries": 1000, "pairs": 1000},
            "budget": {"epochs": 10**9, "samples": 64, "seconds": 1e9, "batch_size": 2**53},
            "execution": {"checkpoint_every_s": 1e9},
        },
    )
    assert call("run", "run.toml", "--no-track").exit_code == 0


@pytest.mark.parametrize("name", problem_names())
def test_all_whole_numbers_of_the_problems_are_bounded(name: str) -> None:
    for option, field in options_model(name).model_fields.items():
        schema = str(field.annotation) + str(field.metadata)
        if "int" in schema and "Literal" not in schema:
            assert "Le(" in schema or "Lt(" in schema or "le=" in schema, f"{name}: {option}"


@pytest.mark.parametrize("name", method_names())
def test_all_whole_numbers_of_the_methods_are_bounded(name: str) -> None:
    for option, field in method_named(name).options.model_fields.items():
        schema = str(field.annotation) + str(field.metadata)
        if "int" in schema and "Literal" not in schema:
            assert "Le(" in schema or "Lt(" in schema or "le=" in schema, f"{name}: {option}"


def test_data_of_programs_have_the_same_bounds() -> None:
    endless: dict[str, Any] = {"experiment": "e"}
    endless["workload"] = endless
    shared: Any = [1] * 100
    for _ in range(10):
        shared = [shared] * 100
    for data in (endless, {"a": shared}, {5: 1}, {"a": specs.nested(5000)}):
        with pytest.raises(SpecError, match=r"spec: .*allowed"):
            parse_spec(data)


def read_run(data: Any) -> None:
    load_spec(write("file.toml", data))


def read_sweep(data: Any) -> None:
    load_sweep(write("file.toml", data))


def read_profile(data: Any) -> None:
    load_cluster(write("file.toml", data))


def read_space(data: Any) -> None:
    load_space(Path(write("file.toml", data)), None).cells()


KINDS: dict[str, tuple[dict[str, Any], Callable[[Any], None]]] = {
    "run": (RUN, read_run),
    "foreign": (specs.FOREIGN, read_run),
    "pipeline": (specs.PIPELINE, read_run),
    "shards": (specs.SHARDS, read_run),
    "study": (STUDY, read_run),
    "study as sweep": (STUDY, read_sweep),
    "sweep": (specs.SWEEP, read_sweep),
    "local": (specs.LOCAL, read_profile),
    "slurm": (specs.SLURM, read_profile),
    "space": (specs.SPACE, read_space),
}


def read(kind: str, data: dict[str, Any]) -> None:
    """Read data as what they are, or see them refused in lines."""
    try:
        KINDS[kind][1](data)
    except SpecError as error:
        lines = str(error).splitlines()
        assert 1 <= len(lines) <= MOST_LINES
        assert all(0 < len(line) <= 193 for line in lines), lines
        assert not any(map(is_hidden, "".join(lines)))
        assert not os.path.exists("records")


@pytest.mark.parametrize("kind", KINDS)
def test_valid_input_is_valid(kind: str) -> None:
    data, reader = KINDS[kind]
    reader(data)


@settings(
    max_examples=int(os.environ.get("NAPTS_MUTATIONS", "60")),
    deadline=None,
    derandomize="NAPTS_MUTATIONS" not in os.environ,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
@pytest.mark.parametrize("kind", KINDS)
def test_mutations_are_read_or_refused(kind: str, data: st.DataObject) -> None:
    changed = KINDS[kind][0]
    for _ in range(data.draw(st.integers(1, 3))):
        left = list(specs.places(changed))
        if not left:
            break
        place = data.draw(st.sampled_from(left))
        if data.draw(st.integers(0, 5)):
            value = data.draw(st.sampled_from(specs.WRONG) | st.text(max_size=20))
            changed = specs.put(changed, place, value)
        else:
            changed = specs.without(changed, place)
    read(kind, changed)
