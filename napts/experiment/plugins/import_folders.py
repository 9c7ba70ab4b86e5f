"""Folders that own code is imported from: whatever is beside a named file.

Source files are loaded as they are, and their digests noted, never from compiled copies.
"""

import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.machinery import (
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    ModuleSpec,
    SourceFileLoader,
)
from pathlib import Path
from types import CodeType, ModuleType

from napts.experiment.plugins import own_code


class PluginError(ValueError):
    """A file or module cannot be imported; one line that says where and why."""


class ExactLoader(SourceFileLoader):
    """Loads a source file and notes its contents; compiled copies are not trusted.

    Python considers a compiled copy current if size and time, in whole seconds, agree.
    """

    def get_code(self, fullname: str) -> CodeType:
        """Return the compiled source."""
        path = self.get_filename(fullname)
        content = self.get_data(path)
        own_code.keep_digest(Path(path).resolve(), content)
        return self.source_to_code(content, path)


_LOADERS = ((ExtensionFileLoader, EXTENSION_SUFFIXES), (ExactLoader, SOURCE_SUFFIXES))


class _Finder:
    """Finds the modules of one folder; never those of the standard library.

    Args:
        folder: The folder.
        namespaces: Whether folders without ``__init__.py`` are packages too.
    """

    def __init__(self, folder: Path, *, namespaces: bool) -> None:
        self._folder, self._namespaces = folder, namespaces

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: object = None
    ) -> ModuleSpec | None:
        """Return the spec of a module of the folder."""
        if name.partition(".")[0] in sys.stdlib_module_names:
            return None
        places = [str(self._folder)] if path is None else list(path)
        for place in places:
            if not Path(place).resolve().is_relative_to(self._folder):
                continue
            spec = FileFinder(place, *_LOADERS).find_spec(name)
            if spec is not None and (spec.loader is not None or self._namespaces):
                if spec.origin and not own_code.is_own(Path(spec.origin)):
                    continue
                return spec
        return None

    def invalidate_caches(self) -> None:
        """Do nothing: every search looks at the folder."""


_behind: dict[Path, _Finder] = {}


@contextmanager
def import_folder(root: Path | None, kept: Collection[str]) -> Iterator[None]:
    """Find a folder's modules: before all others in the block, after them later.

    Args:
        root: The folder; None for nothing.
        kept: Top-level names of modules that stay as they are, whatever the folder holds.

    Yields:
        Nothing.

    Raises:
        PluginError: An imported module has the name of an own module from another folder.
    """
    if root is None:
        yield
        return
    if root not in _behind:
        _behind[root] = _Finder(root, namespaces=True)
        sys.meta_path.append(_behind[root])
    finder = _Finder(root, namespaces=False)
    hidden = _hide(root, kept)
    sys.meta_path.insert(0, finder)
    try:
        yield
        _check_hidden(hidden)
    finally:
        sys.meta_path.remove(finder)
        sys.modules.update(hidden)


def _hide(root: Path, kept: Collection[str]) -> dict[str, ModuleType]:
    """Remove own modules of other folders that have a namesake here."""
    hidden = {}
    # A copy at once: other threads import meanwhile, and so may looking at a lazy module.
    for name, module in sys.modules.copy().items():
        top = name.partition(".")[0]
        file = own_code.file_of(module) if top != "__main__" else None
        elsewhere = file is not None and not file.is_relative_to(root)
        if elsewhere and top in kept:
            continue
        if elsewhere and ((root / f"{top}.py").is_file() or (root / top / "__init__.py").is_file()):
            hidden[name] = sys.modules.pop(name)
    return hidden


def _check_hidden(hidden: Mapping[str, ModuleType]) -> None:
    for name, module in hidden.items():
        if name in sys.modules:
            first, second = getattr(module, "__file__", "?"), sys.modules[name].__file__
            raise PluginError(
                f"module {name}: found {first} and {second}, allowed: one, or different names"
            )
