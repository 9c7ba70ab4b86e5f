"""The user's own code in a snapshot: its files as imported, with links to their data."""

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from napts.experiment.plugins import own_code
from napts.experiment.plugins.loading import Plugin
from napts.experiment.spec.reading import SpecError

_FOLDER = "imports"


class OwnCode:
    """Own code that jobs import, and its place in a copy.

    Files beside or below a named file go into a folder of their own, in the same arrangement;
    modules that were imported from elsewhere go beside the package, where jobs find them.

    Args:
        plugins: What was imported.
    """

    def __init__(self, plugins: Sequence[Plugin]) -> None:
        self._plugins = plugins
        roots = dict.fromkeys(p.root for p in plugins if p.is_file and p.root is not None)
        self._folders = {root: Path(_FOLDER, str(i)) for i, root in enumerate(roots)}
        self._files = dict(self._places())

    def _places(self) -> Iterator[tuple[Path, Path]]:
        """Return each file with its place in a copy."""
        for plugin in self._plugins:
            for module, file in own_code.own_files(plugin.module).items():
                root = plugin.root
                if plugin.is_file and root is not None and file.is_relative_to(root):
                    yield file, self._folders[root] / file.relative_to(root)
                else:
                    yield file, file.relative_to(own_code.root_of(module, file))

    @property
    def digest(self) -> str:
        """Digest of all files and of where they come from; empty if there are none."""
        if not self._files:
            return ""
        content = [[str(p), str(file), own_code.digest_of(file)] for file, p in self._files.items()]
        return hashlib.sha256(json.dumps(sorted(content)).encode()).hexdigest()[:12]

    def copy(self, target: Path) -> None:
        """Copy the files.

        Args:
            target: Folder of the copy.

        Raises:
            SpecError: One of them is no longer what was imported.
        """
        for file, place in self._files.items():
            found = hashlib.sha256(file.read_bytes()).hexdigest()
            if found != own_code.digest_of(file):
                raise SpecError([f"{file}: has changed since it was imported; submit again"])
            (target / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target / place)

    def link_data(self, target: Path) -> None:
        """Link everything beside the files that is not Python code: data that they may read.

        Args:
            target: Folder of the copy.
        """
        beside = {file.parent: place.parent for file, place in self._files.items()}
        for folder, place in beside.items():
            if place == Path():  # beside the package lies whatever else is in somebody's folder
                continue
            for entry in folder.iterdir():
                link = target / place / entry.name
                if _is_data(entry, target) and not link.exists() and not link.is_symlink():
                    link.symlink_to(entry)

    def imports(self, target: Path) -> tuple[str, ...]:
        """Return what jobs import, in order.

        Args:
            target: Folder of the copy.
        """
        return tuple(dict.fromkeys(self._import(plugin, target) for plugin in self._plugins))

    def _import(self, plugin: Plugin, target: Path) -> str:
        if not plugin.is_file:
            return plugin.module
        file = own_code.own_files(plugin.module)[plugin.module]
        return str(target / self._files[file])


def _is_data(entry: Path, target: Path) -> bool:
    hidden = entry.name.startswith((".", "__pycache__"))
    return not hidden and entry.suffix != ".py" and not target.is_relative_to(entry.resolve())
