"""Problems and methods that installed packages offer, by name, before anything is imported.

A package offers them in its metadata (``[project.entry-points."napts.problems"]`` in its
``pyproject.toml``, or ``napts.methods``): the entry's name is the registered name, its value the
module, or the class in it, whose import registers it.
"""

import importlib.metadata
from collections.abc import Container
from functools import cache
from importlib.metadata import EntryPoint

from napts.exits import guarded, raised

PROBLEMS, METHODS = "napts.problems", "napts.methods"


@cache
def _found(group: str) -> dict[str, EntryPoint]:
    entries = importlib.metadata.entry_points(group=group)
    return {entry.name: entry for entry in sorted(entries, key=_order, reverse=True)}


def _order(entry: EntryPoint) -> tuple[str, str]:
    return (entry.dist.name if entry.dist else "", entry.value)


def names(group: str) -> tuple[str, ...]:
    """Return the names that installed packages offer; imports nothing.

    Args:
        group: "napts.problems" or "napts.methods".
    """
    return tuple(sorted(_found(group)))


def distribution_of(group: str, name: str) -> tuple[str, str] | None:
    """Return name and version of the package that offers a name; None if no package does.

    Args:
        group: "napts.problems" or "napts.methods".
        name: The name that it offers.
    """
    entry = _found(group).get(name)
    return (entry.dist.name, entry.dist.version) if entry and entry.dist else None


def load(group: str, name: str, registered: Container[str]) -> None:
    """Import the module behind a name.

    Args:
        group: "napts.problems" or "napts.methods".
        name: One of `names`.
        registered: The registry that must have it afterwards.

    Raises:
        ValueError: The import fails, or registers nothing under that name. One line, which names
            the package.
    """
    entry = _found(group)[name]
    about = distribution_of(group, name)
    package = " ".join(about) if about else entry.value
    try:
        with guarded():
            entry.load()
    except Exception as error:
        cause = raised(error)
        said = next(iter(str(cause).strip().splitlines()), "")
        raise ValueError(
            f"{name}: cannot be imported from {package} ({entry.value}): "
            f"{type(cause).__name__}: {said}"
        ) from error
    if name not in registered:
        raise ValueError(f"{name}: {package} ({entry.value}) offers it, but registers none")


def forget() -> None:
    """Look at the installed packages again the next time a name is asked for."""
    _found.cache_clear()
