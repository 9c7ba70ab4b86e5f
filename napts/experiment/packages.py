"""The other installed packages that a run uses: their versions, then and now."""

import importlib.metadata
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from napts import entry_points
from napts.experiment.plugins import own_code
from napts.experiment.spec.run_spec import RunSpec
from napts.records.damage import DamagedRun
from napts.records.read import read_environment


def foreign_packages(spec: RunSpec) -> dict[str, str]:
    """Return the packages that a run's problem and method come from, or that own code imports.

    Nothing is imported for this: names are looked up in the metadata of installed packages.

    Args:
        spec: The run.

    Returns:
        Version by name of the distribution.
    """
    imported: set[str] = set()
    for module in spec.modules:
        imported |= own_code.imported_packages(module)
        imported.add(module.partition(".")[0])
    imported -= {"napts", "torch", "__main__"}  # torch is in every record
    imported |= {path.partition(".")[0] for path in _paths(spec.optimizer.model_dump())}
    found = dict(_offering(spec))
    for name in sorted(imported):
        for distribution in _distributions().get(name, ()):
            found[distribution] = importlib.metadata.version(distribution)
    return dict(sorted(found.items()))


def changed_packages(directory: Path, spec: RunSpec) -> str | None:
    """Return a line about a run's packages whose versions differ from those in its record.

    Args:
        directory: The run directory.
        spec: The run.

    Returns:
        The line; None if nothing has changed, or nothing is recorded.
    """
    if _is_ours(spec):
        return None
    try:
        then = read_environment(directory).get("packages")
    except DamagedRun:  # readers of the run tell of that
        return None
    if not then:
        return None
    now = foreign_packages(spec)
    changed = [
        f"{name} {then.get(name, 'none')} in the record, {now.get(name, 'none')} here"
        for name in sorted({*then, *now})
        if then.get(name) != now.get(name)
    ]
    return "; ".join(changed) or None


def _is_ours(spec: RunSpec) -> bool:
    """Tell without disk access that a run uses no other packages, like most runs of most sweeps."""
    ours = ("napts.", "torch.")
    own = spec.code is None and all(name.startswith(ours) for name in spec.modules)
    return own and not any(_paths(spec.optimizer.model_dump()))


def _offering(spec: RunSpec) -> Iterator[tuple[str, str]]:
    """Return the packages whose entry points the spec names."""
    places = (
        (entry_points.PROBLEMS, spec.workload.name),
        (entry_points.METHODS, spec.optimizer.method),
    )
    return (found for place in places if (found := entry_points.distribution_of(*place)))


@cache
def _distributions() -> Mapping[str, list[str]]:
    return importlib.metadata.packages_distributions()


def _paths(options: Mapping[str, Any]) -> Iterator[str]:
    """Return the import paths in a method's options, and in the tables among them."""
    for name, value in options.items():
        if isinstance(value, Mapping):
            yield from _paths(value)
        elif name == "method" and "." in str(value):
            yield value
