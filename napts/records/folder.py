"""All runs under a records folder: the good ones, and what is wrong with the others."""

from collections.abc import Iterable
from pathlib import Path

from napts.records.candidate import same_result
from napts.records.damage import Damage, RecordError
from napts.records.layout import EPOCHS, SPEC, STATUS
from napts.records.packed import find_packed, read_packed
from napts.records.read import RunRecord, find_runs, is_hidden, load_run


def read_runs(root: str | Path) -> tuple[list[RunRecord], list[Damage]]:
    """Read every run directory and every file of packed runs.

    Args:
        root: A records folder, an experiment in it, a single run directory, or one packed file.

    Returns:
        The runs, each of them once, and a line for each that was left out.
    """
    runs: list[RunRecord] = []
    damages = [Damage(path, f"{SPEC}: is missing") for path in find_headless(root)]
    for path in find_runs(root):
        try:
            runs.append(load_run(path))
        except (RecordError, OSError) as error:
            damages.append(Damage.of(path, error))
    for path in find_packed(root):
        good, bad = read_packed(path)
        runs += good
        damages += bad
    return _each_once(runs, damages), damages


def find_headless(root: str | Path) -> list[Path]:
    """Return the run directories that have lost the file that identifies them.

    Args:
        root: As for `find_runs`.
    """
    root = Path(root)
    files = (f"{above}{name}" for above in ("", "*/", "*/*/") for name in (STATUS, EPOCHS))
    found = {file.parent for pattern in files for file in root.glob(pattern)}
    lost = (path for path in found if not (path / SPEC).exists())
    return sorted(path for path in lost if not is_hidden(path.relative_to(root)))


def _each_once(runs: Iterable[RunRecord], damages: list[Damage]) -> list[RunRecord]:
    """Return the runs without further copies; copies with another result are reported."""
    known: dict[tuple[str, str], RunRecord] = {}
    for run in runs:
        first = known.setdefault((run.experiment, run.run_key), run)
        if first is not run and not same_result(first, run):
            damages.append(Damage(run.path, f"another result of the same run as {first.path}"))
    return list(known.values())
