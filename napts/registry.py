"""Registries: named things that the generic layers use and other layers bring.

What belongs to particular papers registers itself from `napts.papers`; no generic module imports
that. A registry imports what `BUILT_IN` lists for it when it is first looked into, and so do
installed packages' entry points of its group, where it has one.
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
"""By the name of a registry the modules that fill it: the one place where they are named."""

T = TypeVar("T")


class Registry(Mapping[str, T]):
    """Things of one kind by name, in the order in which they were registered.

    Args:
        kind: What they are, as in `BUILT_IN`.
        group: Entry-point group in which installed packages name modules that register more.
    """

    def __init__(self, kind: str, group: str | None = None) -> None:
        self._kind, self._group = kind, group
        self._entries: dict[str, T] = {}
        self._loaded = False

    def register(self, name: str, entry: T) -> None:
        """Add one.

        Args:
            name: Its name.
            entry: What it is.

        Raises:
            ValueError: There is another one of this name.
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
            ValueError: It fails, by whatever it raises; one line that names it.
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
