"""Mutated specs, sweeps, profiles and search spaces, each through the real command line."""

import random
import shlex
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import tomli_w

from tests.campaign import mutations, runs
from tests.campaign.children import ROOT, Ended, napts
from tests.campaign.outcome import Case, Part

_FOLDERS = ("studies", "studies/tuned", "slurm/sweeps", "slurm/clusters")

_LONGEST_LINE, _MOST_LINES = 200, 9  # a line for each problem, and one for the rest
_LIMIT_S = 40.0
_BAD_INPUT = 2
_ENDS: Mapping[str, Sequence[int]] = {
    "run": (0, 1, _BAD_INPUT, 130),  # what trains is interrupted before its first step
    "tune": (0, 1, _BAD_INPUT, 130),
    "plan": (0, _BAD_INPUT),
    "submit": (0, _BAD_INPUT),
}
_SPACE = """
[grid]
lr = [0.1, 0.01]

[fixed]
betas = [0.9, 0.99]
"""
_PROFILE_WITH_ALL = """
kind = "slurm"
timeout_min = 240
gpus_per_rank = 1
memory_gb = 64
array_parallelism = 8
signal_delay_s = 120
partition = "gpu"
account = "project"
qos = "normal"
constraint = "a100"
max_array_size = 1000
runs_per_job = 4
setup = ["module load cuda"]
srun_args = ["--cpu-bind=cores"]
additional = { mail-type = "FAIL" }
python = "/shared/venv/bin/python"
"""


@dataclass(frozen=True)
class _Sources:
    """What is mutated, as text, by what it is."""

    specs: Sequence[str]
    profiles: Sequence[str]
    spaces: Sequence[str]


def _prepare(folder: Path) -> _Sources:
    texts = {
        name: [path.read_text() for path in sorted((ROOT / name).glob("*.toml"))]
        for name in _FOLDERS
    }
    profiles = [*texts.pop("slurm/clusters"), _PROFILE_WITH_ALL]
    single = [
        tomli_w.dumps(runs.spec_of(label, workload))
        for label in runs.OPTIMIZERS
        for workload in runs.WORKLOADS
    ]
    pipeline = runs.spec_of("NAPTS", runs.WORKLOADS[0])
    pipeline["pipeline"] = {"micro_batches": 2}
    pipeline["budget"]["target"] = {"metric": "val_accuracy", "value": 0.5}
    pipeline["execution"] |= {"device": "cpu", "ranks": 1, "record_steps": False}
    specs = [text for group in texts.values() for text in group]
    return _Sources([*specs, *single, *single, tomli_w.dumps(pipeline)], profiles, [_SPACE])


def _case(choice: random.Random, folder: Path, sources: _Sources) -> Case:
    command, text = _command(choice, sources)
    file, kind, extra = _mutate(choice, folder, text)
    arguments = [file.name if part == "FILE" else part for part in command] + extra
    records = folder / "records"
    known = set(path.name for path in folder.iterdir())
    verb = command[1] if command[0] == "sweep" else command[0]
    ended = napts(
        arguments,
        folder,
        writable=[records, folder / "tuned"] if verb in ("run", "tune") else [],
        disturb=stop_before_training,
        limit_s=_LIMIT_S,
    )
    case = Case()
    case.count(f"{verb}: {kind}: {'refused' if ended.code == _BAD_INPUT else 'accepted'}")
    where = shlex.join(["napts", *(a if len(a) < 100 else f"{a[:100]}..." for a in arguments)])
    rest = runs.left_over(folder, known)
    case.findings = [f"{kind}: {what}: {where}" for what in _wrong(verb, ended, rest)]
    return case


def _command(choice: random.Random, sources: _Sources) -> tuple[list[str], str]:
    """Draw a command, whose file stands as FILE, and the text of that file."""
    kind = choice.random()
    if kind < 0.15:
        verb = choice.choice((["plan"], ["submit", "--dry-run", "--allow-dirty"]))
        spec = str(ROOT / "slurm/sweeps/quickstart.toml")
        return ["sweep", *verb, spec, "--cluster", "FILE"], choice.choice(sources.profiles)
    if kind < 0.2:
        space = choice.choice(sources.spaces)
        return ["tune", "synthetic-blobs", "Adam", "--space", "FILE", "--epochs", "1"], space
    text = choice.choice(sources.specs)
    commands = (
        ["run", "FILE", "--no-track"],
        ["sweep", "plan", "FILE"],
        ["sweep", "plan", "FILE", "--check"],
        ["sweep", "submit", "FILE", "--dry-run", "--allow-dirty"],
    )
    several = "[[methods]]" in text
    return list(choice.choice(commands if several or choice.random() < 0.1 else commands[:1])), text


def _mutate(choice: random.Random, folder: Path, text: str) -> tuple[Path, str, list[str]]:
    """Write a mutated file; return it, the kind of the mutation, and arguments to be added."""
    file = folder / "file.toml"
    way = choice.random()
    data = tomllib.loads(text)
    if "workload" in data and choice.random() < 0.7:
        data["workload"] = dict(choice.choice(runs.WORKLOADS))  # which needs no data
    if way < 0.6:
        changed, kind = mutations.mutated(data, choice)
        file.write_bytes(_dumped(changed))
        return file, f"data, {kind}", []
    if way < 0.8:
        contents, kind = mutations.damaged(tomli_w.dumps(data).encode(), choice)
        file.write_bytes(contents)
        return file, f"bytes, {kind}", []
    if way < 0.9 and "experiment" in data:
        file.write_text(tomli_w.dumps(data))
        return file, "--set", ["--set", _assignment(choice, data)]
    file.write_bytes(_monster(choice, tomli_w.dumps(data).encode()))
    return file, "monster", []


def _dumped(data: Mapping[str, Any]) -> bytes:
    try:
        return tomli_w.dumps(data).encode(errors="surrogatepass")
    except (TypeError, ValueError):  # a number of very many digits
        return repr(data).encode(errors="surrogatepass")


def _assignment(choice: random.Random, data: Mapping[str, Any]) -> str:
    """Draw an argument of ``--set``."""
    names = [
        "seed",
        "seeds",
        "budget.epochs",
        "budget.batch_size",
        "execution.threads",
        "methods.0.x",
    ]
    names += [
        "workload.name",
        "optimizer.window",
        "methods.0.lr",
        "methods.99.lr",
        "methods",
        "label",
    ]
    names += [
        "experiment",
        "execution.ranks",
        "execution.checkpoint_every_s",
        "a..b",
        "",
        ".",
        "a.b.c",
    ]
    names += [str(key) for key in data]
    value = mutations.odd_value(choice)
    text = str(value) if not isinstance(value, str) else value
    return f"{choice.choice(names)}{choice.choice(('=', '=', '=', '', '=='))}{text}".replace(
        "\0", ""
    )


def _monster(choice: random.Random, contents: bytes) -> bytes:
    """Return a file that is correct in its letters, or nearly, and far too big or too deep."""
    depth = choice.choice((100, 1000, 3000, 20_000))
    return choice.choice(
        (
            contents + b"\nx = " + b"[" * depth + b"]" * depth,
            contents + b"\nx = " + b"{a=" * depth + b"1" + b"}" * depth,
            b"a." * depth + b"a = 1\n" + contents,
            b"[" + b"a." * depth + b"a]\nx = 1\n",
            b"".join(b"k%d.x = 1\n" % number for number in range(depth)) + contents,
            b"seed = " + b"9" * depth + b"\n" + contents,
            b"x = '" + b"y" * 100 * depth + b"'\n" + contents,
            b"seeds = [" + b"1," * depth + b"]\n" + contents.replace(b"seeds", b"sods"),
            contents.decode().encode("utf-16"),
            b"\xef\xbb\xbf" + contents,
            b"\0" * depth,
            b"[[methods]]\n" * depth + contents,
            b"# comment\n" * depth * 10 + contents,
        )
    )


def stop_before_training() -> None:
    """Let every run of this process be interrupted just before its first step."""
    from napts.experiment.trainer import Interrupted, Trainer

    def train(self: Trainer) -> Any:
        raise Interrupted("stopped before its first step")

    mock.patch.object(Trainer, "train", train).start()


def _wrong(verb: str, ended: Ended, rest: Sequence[str]) -> list[str]:
    """Say what should not have happened."""
    found = [f"outside: {breach}" for breach in ended.breaches]
    lines = [line for line in ended.err.splitlines() if line.strip()]
    if ended.crashed:
        found.append(f"crashed: {ended.said()}")
    elif ended.code not in _ENDS[verb]:
        found.append(f"ended oddly: {ended.said()}")
    if ended.code == _BAD_INPUT:
        if not 1 <= len(lines) <= _MOST_LINES:
            found.append(f"refused in {len(lines)} lines: {ended.said()}")
        if rest:
            found.append(f"refused, and leaves {', '.join(rest)}: {ended.said()}")
    elif verb not in ("run", "tune") and rest:
        found.append(f"leaves {', '.join(rest)}")
    longest = max((len(line) for line in lines), default=0)
    if longest > _LONGEST_LINE:
        found.append(f"a line of {longest} characters: {ended.said()}")
    if control_characters(ended.err + ended.out):
        found.append(f"control characters: {ended.said()}")
    return found


def control_characters(text: str) -> str:
    """Return the control characters of a text that no line of ours may hold."""
    return "".join(sorted({c for c in text if (ord(c) < 32 and c not in "\n\t") or ord(c) == 127}))


SPECS = Part("specs", "specs", 300, _prepare, _case)
