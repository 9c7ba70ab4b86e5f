"""Registries: named things that the generic layers use and other layers provide.

What belongs to particular papers registers itself from `napts.papers`, which no generic module
imports. When a registry is first used, it imports the modules that `BUILT_IN` lists for it and,
if it has an entry-point group, those that installed packages name in that group.
"""

from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import TypeVar

from napts.exits import guarded, raised

BUILT_IN: Mapping[str, tuple[str, ...]] = {
    "presets": ("napts.papers.presets",),
    "tuning spaces": ("napts.papers.tuning_spaces",),
    "tuning epochs": ("napts.papers.tuning_spaces",),
    "looks": ("napts.papers.looks",),
    "references": ("napts.papers.looks",),
    "leading": ("napts.papers.looks",),
    "tables": ("napts.papers.epoch_times",),
    "reports": ("napts.plotting.report", "napts.papers.reports"),
}
"""The modules that fill each registry, by its name: the one place that lists them."""

T = TypeVar("T")


class Registry(Mapping[str, T]):
    """Things of one kind by name, in order of registration.

    Args:
        kind: What they are, as in `BUILT_IN`.
        group: Entry-point group in which installed packages name modules that register more
            entries.
    """

    def __init__(self, kind: str, group: str | None = None) -> None:
        self._kind, self._group = kind, group
        self._entries: dict[str, T] = {}
        self._loaded = False

    def register(self, name: str, entry: T) -> None:
        """Add an entry.

        Args:
            name: Its name.
            entry: The entry.

        Raises:
            ValueError: The name is taken.
        """
        if self._entries.setdefault(name, entry) != entry:
            raise ValueError(f"{self._kind}: {name!r} is registered already")

    def _load(self) -> dict[str, T]:
        if not self._loaded:
            self._loaded = True  # first, since what is imported looks in here
            try:
                for module in BUILT_IN.get(self._kind, ()):
                    import_module(module)
                for point in entry_points(group=self._group) if self._group else ():
                    self._import(point)
            except BaseException:
                self._loaded = False
                raise
        return self._entries

    def _import(self, point: EntryPoint) -> None:
        """Import what an installed package offers.

        Raises:
            ValueError: The import fails, whatever it raises. One line, which names it.
        """
        try:
            with guarded():
                point.load()
        except Exception as error:
            cause = raised(error)
            said = next(iter(str(cause).strip().splitlines()), "")
            raise ValueError(
                f"{self._kind}: {point.name} ({point.value}) cannot be imported: "
                f"{type(cause).__name__}: {said}"
            ) from error

    def __getitem__(self, name: str) -> T:
        return self._load()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._load())

    def __len__(self) -> int:
        return len(self._load())
