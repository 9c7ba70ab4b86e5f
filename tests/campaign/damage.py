"""Damaged records and checkpoints, and what every command says of them."""

import gzip
import json
import os
import pickle
import random
import shutil
import signal
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from napts.records import RunRecord, load_run, pack
from napts.records.damage import DamagedRun
from napts.records.layout import ENVIRONMENT, EPOCHS, RESTARTS, SPEC, STATUS, STEPS
from napts.records.packed import SUFFIX
from napts.tracking.store import Store, default_tracking_uri, quiet
from tests.campaign import mutations, runs
from tests.campaign.children import Ended, napts
from tests.campaign.outcome import Case, Part
from tests.campaign.specs import control_characters
from tests.helpers import disturbed_calls

_DONE = ("Adam", "TR", "NAPTS")
_GOING = ("NTR", "APTS")
_PACKED = "packed"
"""Experiment of the runs that lie in one file."""

_EXPERIMENT = "campaign"
_LONGEST_LINE = 200
_FAILED, _BAD_INPUT = 1, 2
_FILES = (SPEC, STATUS, EPOCHS, STEPS, RESTARTS, ENVIRONMENT)
_CHECKPOINTS = ("checkpoint.pt", "checkpoint.previous.pt")

_ODD_JSON: tuple[str, ...] = (
    *("{}", "[]", "null", "0", '"x"', "true", "NaN", "[[]]", '[{"epoch": 1}]', "{", '{"a": 1'),
    *("[" * 50_000, "[" * 500 + "]" * 500, '{"a":' * 3000 + "1" + "}" * 3000, "9" * 10_000),
    *('{"schema": 3}', '{"state": "done"}', '{"state": {}}', '{"state": "done", "epoch": "x"}'),
    *('{"epoch": null}', '{"epoch": 1e308}', '{"attempt": []}', "\ufeff{}", "\x00" * 100),
)


class _Exploit:
    """What a checkpoint of an enemy holds: reading it carelessly leaves a file behind."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch owned",)


@dataclass(frozen=True)
class _Records:
    """Sound records, to be copied and damaged.

    Attributes:
        folder: The records folder.
        study: The study whose runs they are.
        keys: Run keys by label.
        science: What the runs are when all have ended, by label.
        database: An MLflow store without runs.
    """

    folder: Path
    study: Path
    keys: Mapping[str, str]
    science: Mapping[str, dict[str, Any]]
    database: Path


def _prepare(folder: Path) -> _Records:
    """Train runs of which some are done and some are interrupted, and pack some more."""
    study = runs.write_toml(folder / "study.toml", _study((*_DONE, *_GOING)))
    ended = napts(
        ["run", study, "--records", folder / "whole", "--no-track"],
        folder,
        writable=[folder / "whole"],
    )
    part = runs.write_toml(folder / "part.toml", _study(_DONE))
    records = folder / "records"
    codes = [ended.code]
    codes.append(_train(part, records, None).code)
    for label in _GOING:  # to the middle of the second epoch
        one = runs.write_toml(folder / "one.toml", _study((label,)))
        codes.append(_train(one, records, "fsync:16").code)
    if codes != [0, 0, 130, 130]:
        raise RuntimeError(f"the records were not made: {codes}")
    whole = [load_run(path.parent) for path in sorted(folder.glob("whole/*/*/spec.json"))]
    packed = folder / "packed"
    for run in whole[:3]:
        target = packed / _PACKED / run.run_key
        shutil.copytree(run.path, target)
        header = json.loads((target / SPEC).read_text())
        header |= {"experiment": _PACKED, "label": f"packed-{header['label']}"}
        (target / SPEC).write_text(json.dumps(header))
    pack([path.parent for path in packed.glob("*/*/spec.json")], records / f"{_PACKED}{SUFFIX}")
    store = folder / "store"
    store.mkdir()
    with quiet():
        Store(default_tracking_uri(store))
    keys = {run.label: run.run_key for run in whole}
    science = {run.label: runs.science(run) for run in whole}
    return _Records(records, study, keys, science, store / "mlflow.db")


def _study(labels: Sequence[str]) -> dict[str, Any]:
    first = runs.spec_of(labels[0], runs.WORKLOADS[0], epochs=4)
    del first["label"], first["optimizer"]
    methods = [{"label": label, **runs.OPTIMIZERS[label]} for label in labels]
    return {**first, "seeds": [0], "methods": methods}


def _train(study: Path, records: Path, stop_at: str | None) -> Ended:
    disturb = partial(disturbed_calls.die_at, stop_at, signal.SIGTERM) if stop_at else None
    command = ["run", study, "--records", records, "--no-track"]
    return napts(command, study.parent, writable=[records], disturb=disturb)


# --- damage --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Damage:
    """What was done to the records.

    Attributes:
        kind: What, and to which file.
        label: The run that it was done to; None for the packed ones.
        lost: Whether rows of a run that is done are gone, so that it must be named.
    """

    kind: str
    label: str | None
    lost: bool


def _damage(choice: random.Random, records: Path, sound: _Records) -> _Damage:
    if choice.random() < 0.15:
        path = records / f"{_PACKED}{SUFFIX}"
        how = _damage_packed(choice, path)
        return _Damage(f"packed runs: {how}", None, False)
    going = choice.random() < 0.5
    label = choice.choice(_GOING if going else _DONE)
    run = records / _EXPERIMENT / sound.keys[label]
    names = (*_FILES, *_CHECKPOINTS, *_CHECKPOINTS) if going else _FILES
    name = choice.choice(names)
    before = _positions(run / name)
    if name in _CHECKPOINTS:
        how = _damage_checkpoint(choice, run / name, records / _EXPERIMENT)
    else:
        how = _damage_file(choice, run / name)
    lost = not going and bool(before - _positions(run / name))
    return _Damage(f"{name}: {how}", label, lost)


def _positions(path: Path) -> set[Any]:
    """Return which rows a file of rows holds that can be read at all.

    Rows of steps are counted only: who needs no steps does not read them.
    """
    found: set[Any] = set()
    if path.name == STEPS and path.is_file():
        return set(range(len(path.read_bytes().splitlines())))
    if path.name == EPOCHS and path.is_file():
        for line in path.read_bytes().splitlines():
            try:
                row = json.loads(line)
                found.add(row["epoch"])
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                continue
    return found


def _damage_file(choice: random.Random, path: Path) -> str:
    way = choice.random()
    if way < 0.1:
        path.unlink()
        return "deleted"
    if way < 0.4:
        contents, how = mutations.damaged(path.read_bytes(), choice)
        path.write_bytes(contents)
        return how
    if way < 0.6:
        odd = choice.choice(_ODD_JSON)
        rows = path.read_bytes().splitlines(keepends=True)
        if path.suffix == ".jsonl" and choice.random() < 0.7:
            index = choice.randrange(len(rows))
            rows[index] = odd.encode() + b"\n"
            path.write_bytes(b"".join(rows))
            return "odd row"
        path.write_text(odd, encoding="utf-8")
        return "odd JSON"
    if way < 0.92:
        return _change_values(choice, path)
    return _replace(choice, path)


def _change_values(choice: random.Random, path: Path) -> str:
    """Change values in valid JSON: other types, other names, other places."""
    if path.suffix == ".jsonl":
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        index = choice.randrange(len(rows))
        rows[index], how = _mutated(rows[index], choice)
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    else:
        data, how = _mutated(json.loads(path.read_text()), choice)
        path.write_text(json.dumps(data))
    return f"values, {how}"


def _mutated(data: dict[str, Any], choice: random.Random) -> tuple[dict[str, Any], str]:
    while True:
        changed, how = mutations.mutated(deepcopy(data), choice)
        try:
            json.dumps(changed)
        except (TypeError, ValueError):  # a date, or a number of too many digits
            continue
        return changed, how


def _replace(choice: random.Random, path: Path) -> str:
    """Put something else in the place of a file."""
    contents = path.read_bytes()
    path.unlink()
    way = choice.choice(("folder", "link to nothing", "link outside", "link in a circle"))
    if way == "folder":
        path.mkdir()
    elif way == "link to nothing":
        path.symlink_to(path.parent / "nothing")
    elif way == "link outside":
        outside = path.parents[3] / "outside"
        outside.write_bytes(contents)
        path.symlink_to(outside)
    else:
        path.symlink_to(path.name)
    return way


def _damage_checkpoint(choice: random.Random, path: Path, experiment: Path) -> str:
    way = choice.random()
    if way < 0.1:
        path.unlink()
        return "deleted"
    if way < 0.7:
        contents, how = mutations.damaged(path.read_bytes(), choice)
        path.write_bytes(contents)
        return how
    if way < 0.8:
        path.write_bytes(pickle.dumps(_Exploit()))
        return "a program in it"
    if way < 0.9:
        others = [other for other in experiment.glob(f"*/{path.name}") if other != path]
        shutil.copy(choice.choice(others), path)
        return "of another run"
    return _replace(choice, path)


def _damage_packed(choice: random.Random, path: Path) -> str:
    way = choice.random()
    if way < 0.35:
        contents, how = mutations.damaged(path.read_bytes(), choice)
        path.write_bytes(contents)
        return f"gzip, {how}"
    text = gzip.decompress(path.read_bytes())
    if way < 0.6:
        changed, how = mutations.damaged(text, choice)
        path.write_bytes(gzip.compress(changed))
        return f"text, {how}"
    if way < 0.7:
        path.write_bytes(gzip.compress(bytes(300 << 20), 1))
        return "bomb"
    rows = [json.loads(line) for line in text.splitlines()]
    index = choice.randrange(len(rows))
    rows[index], how = _mutated(rows[index], choice)
    lines = [json.dumps(row) for row in rows]
    if way < 0.8:
        lines[index], how = choice.choice(_ODD_JSON), "odd row"
    path.write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode()))
    return f"values, {how}"


# --- what the commands say -----------------------------------------------------------------------


def _case(choice: random.Random, folder: Path, sound: _Records) -> Case:
    records = folder / "records"
    shutil.copytree(sound.folder, records)
    damage = _damage(choice, records, sound)
    case = Case()
    case.count(damage.kind)
    before = _contents(records)
    for command in _readers(choice, folder, sound):
        ended = napts(
            command, folder, writable=[folder / "out", folder / "collected", folder / "store"]
        )
        name = " ".join(part for part in command[:2] if isinstance(part, str))
        case.findings += [f"{name}: {what}" for what in _wrong(ended)]
        case.findings += [
            f"{name}: {what}" for what in _unnamed(name, ended, damage, folder, sound)
        ]
    if _contents(records) != before:
        case.findings.append("a reader has changed the records")
    outside = folder / "outside"
    kept = outside.read_bytes() if outside.exists() else None
    case.findings += [f"run: {what}" for what in _go_on(folder, damage, sound)]
    if (outside.read_bytes() if outside.exists() else None) != kept:
        case.findings.append("run: wrote through a link, outside the records")
    if (folder / "owned").exists():
        case.findings.append("a program in a checkpoint was run")
    whom = damage.label or "packed"
    case.findings = [f"{damage.kind} ({whom}): {what}" for what in case.findings]
    return case


def _readers(choice: random.Random, folder: Path, sound: _Records) -> list[list[str | Path]]:
    """Return commands that read records: the quick ones, and one of the slow ones."""
    records = folder / "records"
    quick: list[list[str | Path]] = [
        ["sweep", "status", sound.study, "--records", records, "--json"],
        ["report", "table", records, "--out", folder / "out"],
    ]
    store = folder / "store"
    store.mkdir(exist_ok=True)
    shutil.copy(sound.database, store / "mlflow.db")
    collected = ["--records", folder / "collected", "--no-track"]
    slow: list[list[str | Path]] = [
        ["claims", records],
        ["sync", records, "--tracking-uri", default_tracking_uri(store)],
        ["sweep", "collect", sound.study, records, *collected],
        ["sweep", "plan", sound.study, "--records", records],
    ]
    return [*quick, *choice.sample(slow, 2)]


def _contents(records: Path) -> dict[str, bytes]:
    ours = [path for path in records.rglob("*") if path.is_file() and path.name != "sync.lock"]
    return {str(path.relative_to(records)): path.read_bytes() for path in ours}


def _wrong(ended: Ended) -> list[str]:
    found = [f"outside: {breach}" for breach in ended.breaches]
    if ended.crashed:
        found.append(f"crashed: {ended.said()}")
    elif ended.code not in (0, _FAILED, _BAD_INPUT):
        found.append(f"ended oddly: {ended.said()}")
    longest = max((len(line) for line in ended.err.splitlines()), default=0)
    if longest > _LONGEST_LINE:
        found.append(f"a line of {longest} characters: {ended.said()}")
    if control_characters(ended.err + ended.out):
        found.append(f"control characters: {ended.said()}")
    return found


def _unnamed(name: str, ended: Ended, damage: _Damage, folder: Path, sound: _Records) -> list[str]:
    """Say whether something is missing in silence, or others are hidden by one."""
    if ended.crashed or _refused_as_newer(ended):
        return []
    shown = _shown(name, ended, folder, sound)
    if shown is None:
        if damage.lost and not _names(ended, damage, sound):
            return [f"rows are lost and nobody says so: {ended.said()}"]
        return []
    found = []
    others = [label for label in sound.keys if label != damage.label]
    if hidden := [label for label in others if label not in shown]:
        found.append(f"does not show {', '.join(hidden)}: {ended.said()}")
    missing = damage.label is not None and (damage.label not in shown or damage.lost)
    if missing and not _names(ended, damage, sound):
        found.append(f"the damaged run is not named: {ended.said()}")
    return found


def _refused_as_newer(ended: Ended) -> bool:
    """Tell whether a folder was refused because a run in it is of a newer version."""
    return ended.code == _BAD_INPUT and "found schema" in ended.err


def _shown(name: str, ended: Ended, folder: Path, sound: _Records) -> set[str] | None:
    """Return the labels that a command has shown; None for a command that shows none."""
    if name == "sweep status":
        text = ended.out
    elif name == "report table":
        files = [path for path in folder.glob("out/**/*") if path.suffix in (".csv", ".txt", ".md")]
        text = "\n".join(path.read_text() for path in files)
    else:
        return None
    return {label for label, key in sound.keys.items() if _mentions(text, label) or key in text}


def _mentions(text: str, label: str) -> bool:
    words = text.replace('"', " ").replace(",", " ").replace("|", " ").split()
    return label in words


def _names(ended: Ended, damage: _Damage, sound: _Records) -> bool:
    """Tell whether a command has said which run is damaged, and by its exit code that one is."""
    key = sound.keys.get(damage.label or "", _PACKED)
    return ended.code != 0 and key in ended.err


def _go_on(folder: Path, damage: _Damage, sound: _Records) -> list[str]:
    """Run the study again, and say what is wrong with the runs afterwards."""
    records = folder / "records"
    ended = _train(sound.study, records, None)
    found = _wrong(ended)
    if _refused_as_newer(ended):
        return found
    for label, key in sound.keys.items():
        wanted = sound.science[label]
        problem = _not_as(records / _EXPERIMENT / key, wanted, exact=label != damage.label)
        if problem is None:
            continue
        if label == damage.label:
            if not _names(ended, damage, sound):
                found.append(f"the damaged run {problem}, in silence: {ended.said()}")
        elif ended.code == 0 or label in _DONE:  # else it is left for later, and that is said
            found.append(f"{label}, which was not damaged, {problem}: {ended.said()}")
    return found


def _told_by_steps(record: RunRecord) -> bool:
    """Tell whether whoever reads the steps of a run is told that they are damaged."""
    try:
        list(record.steps)
    except DamagedRun:
        return True
    return False


def _not_as(run: Path, wanted: Mapping[str, Any], *, exact: bool) -> str | None:
    """Return in what a run differs from what it should be; numbers only where ``exact``."""
    try:
        record = load_run(run)
        if not exact and _told_by_steps(record):
            return None
        found = runs.science(record)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return f"cannot be read ({type(error).__name__})"
    if found["state"] != "done":
        return f"is {found['state']}"
    for name in ("epochs", "steps"):
        if len(found[name]) != len(wanted[name]):
            return f"has {len(found[name])} of {len(wanted[name])} {name}"
    if exact and found != wanted:
        return "has other numbers"
    return None


DAMAGE = Part("damage", "damaged inputs", 20, _prepare, _case)
