"""Compares two revisions and fails if the second one is slower or does more.

    python -m benchmarks.gate BASE HEAD [--bench REGEX] [--rounds 5]

The benchmarks are those of HEAD, for both revisions, in the environment of this interpreter. Times
are measured in turns, once each a round, and compared as the median over the rounds of the ratio. A
time fails if that ratio is above 1.3 and the time itself above 2 ms, and if a second measurement of
it says so too. A counter (passes, rejections, collectives) fails if it got larger at all, the loss
after a fixed number of steps if it got larger by more than a thousandth. A benchmark that fails on
HEAD and not on BASE fails the gate as well.

Prints a Markdown table. Exit code 0: nothing got worse; 1: something did; 2: bad input; 3: nothing
could be compared.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from napts import lifeline

OK, WORSE, BAD_INPUT, NOTHING = 0, 1, 2, 3
QUICK = r"^steps\.StepTime|^counters\.|^parts\.|^harness\."
LARGEST_RATIO = 1.3
SHORTEST_S = 2e-3
LOSS_TOLERANCE = 1e-3
_COUNTERS = ("passes/step", "rejections/100 steps", "collectives/step", "loss")


class GateError(Exception):
    """The comparison cannot be made."""


@dataclass(frozen=True)
class Comparison:
    """One benchmark on both revisions.

    Attributes:
        name: Full name with its parameters.
        unit: Unit of a counter; "s" for a time.
        base: Value on the base, a median over the rounds; None if it failed there.
        head: Value on the head; likewise.
        ratio: Median over the rounds of head over base.
        error: What went wrong on the head, or None.
    """

    name: str
    unit: str
    base: float | None
    head: float | None
    ratio: float | None
    error: str | None = None

    @property
    def compared(self) -> bool:
        """Both revisions have a value."""
        return self.base is not None and self.head is not None

    @property
    def suspicious(self) -> bool:
        """A time that looks slower, to be measured again."""
        if self.unit != "s" or self.ratio is None or self.head is None:
            return False
        return self.ratio > LARGEST_RATIO and self.head > SHORTEST_S

    @property
    def worse(self) -> bool:
        """The head is worse: broken, slower, or it counts more."""
        if self.base is None:
            return False
        if self.head is None:
            return True
        if self.unit == "loss":
            return self.head > self.base * (1 + LOSS_TOLERANCE)
        return self.suspicious if self.unit == "s" else self.head > self.base


# --- revisions -----------------------------------------------------------------------------------


def _git(*arguments: str) -> str:
    result = subprocess.run(["git", *arguments], capture_output=True, text=True)
    if result.returncode:
        raise GateError((result.stderr.strip().splitlines() or ["git failed"])[-1])
    return result.stdout.strip()


@contextmanager
def _checkouts(base: str, head: str) -> Iterator[tuple[Path, Path, Path]]:
    """Check both revisions out; yield their folders and that of the head's benchmarks alone."""
    folder = Path(tempfile.mkdtemp(prefix="napts-gate-"))
    added = []
    try:
        for name, revision in (("base", base), ("head", head)):
            commit = _git("rev-parse", "--verify", f"{revision}^{{commit}}")
            _git("worktree", "add", "--detach", str(folder / name), commit)
            added.append(folder / name)
        suite = folder / "suite"
        shutil.copytree(folder / "head" / "benchmarks", suite / "benchmarks")
        yield folder / "base", folder / "head", suite
    finally:
        for checkout in added:
            _git("worktree", "remove", "--force", str(checkout))
        shutil.rmtree(folder, ignore_errors=True)


# --- measuring -----------------------------------------------------------------------------------


def _measure(package: Path, suite: Path, pattern: str) -> dict[str, dict]:
    """Run the matching benchmarks in a fresh process on one revision."""
    path = os.pathsep.join((str(suite), str(package)))
    environment = {"OMP_NUM_THREADS": "1", **os.environ, "PYTHONPATH": path}
    command = [sys.executable, "-P", "-m", "benchmarks.worker", pattern]
    with lifeline.start(
        command, "at once", cwd=suite, env=environment, stdout=subprocess.PIPE
    ) as process:
        told = process.stdout.read().decode() if process.stdout else ""
        process.wait()
    lines = [line for line in told.splitlines() if line.startswith("{")]
    rows = {row["name"]: row for row in map(json.loads, lines)}
    if process.returncode and not rows:
        raise GateError(f"the benchmarks ended with exit code {process.returncode}, see above")
    return rows


def _compare(base: Path, head: Path, suite: Path, pattern: str, rounds: int) -> list[Comparison]:
    """Measure both revisions in turns; counters once, as they cannot change."""
    pairs = [(_measure(base, suite, pattern), _measure(head, suite, pattern))]
    times = [name for name, row in pairs[0][1].items() if row["kind"] == "time"]
    if times:
        again = _exactly(times)
        for number in range(1, rounds):
            # Take turns in who comes first, so that a machine that slows down slows both.
            order = (base, head) if number % 2 == 0 else (head, base)
            found = {package: _measure(package, suite, again) for package in order}
            pairs.append((found[base], found[head]))
    names = dict.fromkeys(name for pair in pairs[:1] for rows in pair for name in rows)
    return [_summary(name, pairs) for name in names]


def _exactly(names: Iterable[str]) -> str:
    import re

    return "^(" + "|".join(re.escape(name) for name in names) + ")$"


def _summary(name: str, pairs: Sequence[tuple[dict, dict]]) -> Comparison:
    rows = [(base.get(name, {}), head.get(name, {})) for base, head in pairs]
    both = [(b["value"], h["value"]) for b, h in rows if "value" in b and "value" in h]
    first = rows[0][1] or rows[0][0]
    unit = "s" if first.get("kind") == "time" else str(first.get("unit", ""))
    ratios = [head / base for base, head in both if base > 0]
    return Comparison(
        name=name,
        unit=unit,
        base=_median([b["value"] for b, _ in rows if "value" in b]),
        head=_median([h["value"] for _, h in rows if "value" in h]),
        ratio=_median(ratios),
        error=rows[0][1].get("error"),
    )


def _median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None


# --- the verdict ---------------------------------------------------------------------------------


def gate(base: str, head: str, pattern: str, rounds: int) -> tuple[int, str]:
    """Compare two revisions.

    Args:
        base: Revision to compare with.
        head: Revision under test; its benchmarks are used.
        pattern: Regular expression of the benchmarks' full names.
        rounds: How often each time is measured on each revision.

    Returns:
        The exit code and the Markdown table.

    Raises:
        GateError: A revision does not exist, or the benchmarks cannot be run.
    """
    with _checkouts(base, head) as (old, new, suite):
        found = _compare(old, new, suite, pattern, rounds)
        doubtful = [each.name for each in found if each.suspicious]
        if doubtful:
            again = {c.name: c for c in _compare(old, new, suite, _exactly(doubtful), rounds)}
            found = [again.get(each.name, each) for each in found]
    return _verdict(found), _table(found)


def _verdict(found: Sequence[Comparison]) -> int:
    if any(each.worse for each in found):
        return WORSE
    return OK if any(each.compared for each in found) else NOTHING


def _table(found: Sequence[Comparison]) -> str:
    lines = ["| benchmark | base | head | ratio | |", "|---|---:|---:|---:|---|"]
    order = sorted(found, key=lambda each: (not each.worse, -(each.ratio or 0.0)))
    for each in order:
        ratio = "" if each.ratio is None else f"{each.ratio:.2f}"
        cells = (
            f"`{each.name}`",
            _shown(each.base, each.unit),
            _shown(each.head, each.unit),
            ratio,
        )
        lines.append(f"| {' | '.join(cells)} | {_remark(each)} |")
    compared, worse = sum(c.compared for c in found), sum(c.worse for c in found)
    lines.append(f"\n{compared} compared, {worse} worse.")
    return "\n".join(lines)


def _shown(value: float | None, unit: str) -> str:
    if value is None:
        return "–"
    return f"{1e3 * value:.3g} ms" if unit == "s" else f"{value:.6g} {unit}".rstrip()


def _remark(each: Comparison) -> str:
    if each.worse:
        return f"**worse**{': ' + each.error if each.error else ''}"
    if each.base is None:
        return "new" if each.head is not None else (each.error or "failed")
    return ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table and return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("base")
    parser.add_argument("head")
    parser.add_argument("--bench", default=QUICK, help="regular expression of benchmark names")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args(arguments)
    try:
        code, table = gate(given.base, given.head, given.bench, given.rounds)
    except GateError as error:
        print(f"gate: {error}", file=sys.stderr)
        return BAD_INPUT
    print(table)
    if code == NOTHING:
        print(f"gate: nothing was measured on both revisions with --bench {given.bench!r}",
              file=sys.stderr)  # fmt: skip
    return code


if __name__ == "__main__":
    sys.exit(main())
