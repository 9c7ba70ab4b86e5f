"""What a part of the campaign counts and finds, and how its cases are shared among processes."""

import json
import math
import os
import platform
import random
import shutil
import subprocess
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Case:
    """One case, or the sum of many.

    Attributes:
        counted: Faults that struck.
        kinds: The same by kind.
        findings: What should not have happened: one line each.
    """

    counted: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)

    def count(self, kind: str) -> None:
        """Count a fault that struck."""
        self.counted += 1
        self.kinds[kind] += 1


Prepare = Callable[[Path], Any]
Run = Callable[[random.Random, Path, Any], Case]


@dataclass(frozen=True)
class Part:
    """A part of the campaign.

    Attributes:
        name: Its name.
        unit: What is counted.
        short: How many of them the short form has.
        prepare: Makes in a folder what all cases need, and returns it.
        run: Runs one case in a folder of its own; random numbers decide about everything.
    """

    name: str
    unit: str
    short: int
    prepare: Prepare
    run: Run


def campaign(
    part: Part, seed: int, count: int, jobs: int, minutes: float | None = None
) -> dict[str, Any]:
    """Run cases until as many faults have struck as asked for.

    Args:
        part: The part.
        seed: Case ``i`` is a function of the part's name, this and ``i`` (but for moments in time).
        count: Faults.
        jobs: Processes beside each other.
        minutes: Wall time after which no case is begun, if there is such a limit.

    Returns:
        The result, to be written as JSON.
    """
    begin = time.monotonic()
    deadline = begin + 60 * minutes if minutes else math.inf
    with tempfile.TemporaryDirectory(prefix=f"napts-campaign-{part.name}-") as name:
        folder = Path(name).resolve()
        (folder / "common").mkdir()
        prepared = part.prepare(folder / "common")
        shares = [count // jobs + (job < count % jobs) for job in range(jobs)]
        workers = [
            _fork(part, seed, range(job, 10 * count + 100, jobs), share, deadline, folder, prepared)
            for job, share in enumerate(shares)
        ]
        codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid, _ in workers]
        rows = [json.loads(line) for _, log in workers for line in log.read_text().splitlines()]
    rows.sort(key=lambda row: row["case"])
    rows += [_lost_worker(job, code) for job, code in enumerate(codes) if code]
    kinds: Counter[str] = sum((Counter(row["kinds"]) for row in rows), Counter())
    found = [{"case": row["case"], "what": what} for row in rows for what in row["findings"]]
    return {
        "part": part.name,
        "seed": seed,
        "asked for": count,
        "cases": len(rows),
        part.unit: sum(row["counted"] for row in rows),
        "kinds": dict(sorted(kinds.items())),
        "findings": found,
        "seconds": round(time.monotonic() - begin, 1),
        "jobs": jobs,
        **_surroundings(),
    }


def one_case(part: Part, seed: int, number: int, keep: Path | None = None) -> Case:
    """Run one case again, to look at it; ``keep`` is a folder that stays."""
    folder = Path(tempfile.mkdtemp(prefix=f"napts-campaign-{part.name}-")).resolve()
    try:
        (folder / "common").mkdir()
        return _case(part, seed, number, folder, part.prepare(folder / "common"), remove=False)
    finally:
        if keep is not None:
            shutil.copytree(folder, keep, symlinks=True, dirs_exist_ok=True)
        shutil.rmtree(folder, ignore_errors=True)


def _fork(
    part: Part,
    seed: int,
    numbers: range,
    share: int,
    deadline: float,
    folder: Path,
    prepared: Any,
) -> tuple[int, Path]:
    log = folder / f"worker-{numbers.start}.jsonl"
    log.touch()
    pid = os.fork()
    if pid:
        return pid, log
    code = 1
    try:
        counted = 0
        with log.open("a") as lines:
            for number in numbers:
                if counted >= share or time.monotonic() > deadline:
                    break
                case = _case(part, seed, number, folder, prepared)
                counted += case.counted
                lines.write(json.dumps({"case": number, **vars(case)}) + "\n")
                lines.flush()
        code = 0
    except Exception:
        traceback.print_exc()
    finally:
        os._exit(code)


def _lost_worker(job: int, code: int) -> dict[str, Any]:
    what = f"the campaign failed: worker {job} ended with {code}"
    return {"case": -1, "counted": 0, "kinds": {}, "findings": [what]}


def _case(
    part: Part, seed: int, number: int, folder: Path, prepared: Any, *, remove: bool = True
) -> Case:
    own = folder / f"case-{number}"
    own.mkdir()
    try:
        return part.run(random.Random(f"{part.name}:{seed}:{number}"), own, prepared)
    except Exception as error:  # the campaign itself is at fault: say so rather than stop
        return Case(findings=[f"the campaign failed: {type(error).__name__}: {error}"])
    finally:
        if remove:
            shutil.rmtree(own, ignore_errors=True)


def _surroundings() -> dict[str, str]:
    import torch

    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    found = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent)
    return {
        "revision": found.stdout.strip(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
