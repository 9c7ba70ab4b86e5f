"""Runs that are killed again and again, at moments and at calls, and those whose disk is full."""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

from napts.records import load_run
from tests.campaign import runs
from tests.campaign.children import Disturb, Ended, napts
from tests.campaign.outcome import Case, Part
from tests.helpers import disturbed_calls

_SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
_STRIKES = 4
"""Attempts of one run that are disturbed."""

_SHARE_AT_CALLS = 0.6
_SHARE_OF_WRONG_CLOCKS = 0.15

_FAILED, _INTERRUPTED = 1, 130
# SIGTERM kills like SIGKILL before training has begun and after it has ended.
_ENDS = (_FAILED, _INTERRUPTED, -signal.SIGKILL, -signal.SIGTERM)
_NEED_ROOM = ("write", "fsync", "replace")


Draw = Callable[[random.Random, "_Undisturbed"], tuple[str, dict[str, Any]]]


@dataclass(frozen=True)
class _Undisturbed:
    """A run to which nothing happened.

    Attributes:
        spec: Its spec.
        science: What it wrote.
        calls: How often it called the operating system, by name.
        seconds: How long it took.
    """

    spec: dict[str, Any]
    science: dict[str, Any]
    calls: Mapping[str, int]
    seconds: float


def _prepare(labels: Sequence[str], folder: Path) -> list[_Undisturbed]:
    """Train every kind of run once, undisturbed."""
    found = []
    for label in labels:
        for number, workload in enumerate(runs.WORKLOADS):
            place = folder / f"{label}-{number}"
            place.mkdir()
            found.append(_undisturbed(place, runs.spec_of(label, workload)))
    return found


def _undisturbed(folder: Path, spec: dict[str, Any]) -> _Undisturbed:
    log = folder / "calls"
    file = runs.write_toml(folder / "spec.toml", spec)
    ended = _train(file, folder / "records", disturb=partial(_counting, log), writable=[log])
    if ended.code or ended.breaches:
        raise RuntimeError(f"{spec['label']}: undisturbed, {ended.said()} {ended.breaches}")
    lines = [line.split() for line in log.read_text().splitlines()]
    counts = {name: int(number) for name, number in lines}
    record = load_run(runs.only_run(folder / "records"))
    return _Undisturbed(spec, runs.science(record), counts, ended.seconds)


def _counting(log: Path) -> None:
    """Count the calls of this process, and write them down when the program has ended."""
    counts: Counter[str] = Counter()
    disturbed_calls.count_calls(counts)
    leave = os._exit

    def write_and_leave(code: int) -> None:
        log.write_text("".join(f"{name} {number}\n" for name, number in counts.items()))
        leave(code)

    mock.patch.object(os, "_exit", write_and_leave).start()


def _train(
    spec: Path,
    records: Path,
    *,
    disturb: Disturb | None = None,
    kill: tuple[float, int] | None = None,
    writable: list[Path] | None = None,
) -> Ended:
    command = ["run", spec, "--records", records, "--no-track"]
    allowed = [records, *(writable or [])]
    return napts(command, spec.parent, writable=allowed, disturb=disturb, kill=kill)


def _shift_clock(seconds: float, then: Disturb | None) -> None:
    """Let the clock of this process be wrong, and do what else is to be done."""
    now = time.time
    time.time = lambda: now() + seconds
    if then is not None:
        then()


def _kill(choice: random.Random, known: _Undisturbed) -> tuple[str, dict[str, Any]]:
    """Draw a kill: what it is called, and the arguments of `_train` that make it."""
    number = choice.choice(_SIGNALS)
    name = signal.Signals(number).name
    if choice.random() < _SHARE_AT_CALLS:
        call, point = _call(choice, known, disturbed_calls.CALLS)
        disturb: Disturb | None = partial(disturbed_calls.die_at, point, number)
        kind, how = f"{name} before {call}", {}
    else:
        disturb, moment = None, choice.uniform(0.0, 0.8 * known.seconds)
        kind, how = f"{name} at a moment", {"kill": (moment, number)}
    if choice.random() < _SHARE_OF_WRONG_CLOCKS:
        disturb = partial(_shift_clock, choice.uniform(-1e5, 1e5), disturb)
        kind += ", wrong clock"
    return kind, {**how, "disturb": disturb}


def _disk(choice: random.Random, known: _Undisturbed) -> tuple[str, dict[str, Any]]:
    """Draw a call that finds the disk full."""
    call, point = _call(choice, known, _NEED_ROOM)
    return f"{call} on a full disk", {"disturb": partial(disturbed_calls.full_disk_at, point)}


def _call(choice: random.Random, known: _Undisturbed, names: Sequence[str]) -> tuple[str, str]:
    call = choice.choice([name for name in names if known.calls.get(name)])
    return call, f"{call}:{choice.randint(1, known.calls[call])}"


def _run(draw: Draw, choice: random.Random, folder: Path, all_known: list[_Undisturbed]) -> Case:
    """Disturb one run several times, let it end, and compare it with the undisturbed one."""
    case = Case()
    known = choice.choice(all_known)
    spec = runs.write_toml(folder / "spec.toml", known.spec)
    records = folder / "records"
    for _ in range(_STRIKES):
        kind, how = draw(choice, known)
        ended = _train(spec, records, **how)
        case.findings += [f"{kind}: {what}" for what in _wrong(ended)]
        if ended.code == 0:  # it was done before
            break
        case.count(kind)
        case.findings += [f"{kind}: {what}" for what in _unreadable(records)]
    for attempt in range(2):
        ended = _train(spec, records)
        case.findings += [f"undisturbed attempt: {what}" for what in _wrong(ended)]
        if ended.code:
            case.findings.append(f"does not go on: {ended.said()}")
        if attempt == 0:
            case.findings += runs.differences(records, known.science)
    rest = runs.left_over(folder, {"spec.toml", "records"})
    rest += [f"records: {name}" for name in runs.left_over(records, {"campaign"})]
    rest += [str(path.name) for path in records.glob("*/*/checkpoint*")]
    case.findings += [f"left behind: {name}" for name in rest]
    label = known.spec["label"]
    case.findings = [f"{label} on {known.spec['workload']['name']}: {f}" for f in case.findings]
    return case


def _wrong(ended: Ended) -> list[str]:
    found = [f"outside the records: {breach}" for breach in ended.breaches]
    if ended.crashed:
        found.append(f"crashed: {ended.said()}")
    if ended.code is not None and ended.code not in (0, *_ENDS):
        found.append(ended.said())
    return found


def _unreadable(records: Path) -> list[str]:
    """Say whether a run directory cannot be read just after a kill."""
    for path in records.glob("*/*/spec.json"):
        try:
            load_run(path.parent)
        except (OSError, ValueError) as error:
            return [f"cannot be read afterwards: {error}"]
    return []


_ALL = tuple(runs.OPTIMIZERS)

KILLS = Part("kills", "kills", 30, partial(_prepare, _ALL), partial(_run, _kill))
DISK = Part("disk", "full disks", 12, partial(_prepare, _ALL[:3]), partial(_run, _disk))
