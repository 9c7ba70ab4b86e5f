"""Own modules that a run loads only while it is running, so that its key does not include them.

The key covers the files that the user's files import with statements, and those loaded while these
are imported. If a method loads a module by name, for example with `importlib.import_module` in
``network()``, that is detected when it happens: otherwise a later edit would return old results.
"""

import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from napts.experiment.plugins import own_code

_late: dict[str, set[str]] = {}
"""What runs have loaded in this process, by the module of their problem or method."""


class LateImports:
    """Notes what is loaded from now on.

    Args:
        modules: Names of the modules that define and register a run's problem and method.
    """

    def __init__(self, modules: Iterable[str]) -> None:
        own = {module: own_code.own_files(module) for module in modules}
        self._modules = [module for module, files in own.items() if files]
        self._seen = set(sys.modules)
        files = {name: file for part in own.values() for name, file in part.items()}
        self._known = set(files.values())
        self._roots = {own_code.root_of(name, file) for name, file in files.items()}

    def check(self) -> None:
        """Refuse the run if it has loaded own code that its key does not include.

        Raises:
            ValueError: It has, now or in an earlier run of this process.
        """
        if not self._modules:
            return
        names = set(sys.modules)
        for name in names - self._seen:
            if self._is_unknown(name):
                for module in self._modules:
                    _late.setdefault(module, set()).add(name)
        self._seen = names
        found = sorted(n for m in self._modules for n in _late.get(m, ()) if n in names)
        if found:
            file = own_code.file_of(sys.modules[found[0]])
            raise ValueError(
                f"code: found {found[0]} ({file}) loaded during the run, which the run's key does "
                "not include; allowed: import statements, so that a change of it makes another run"
            )

    def _is_unknown(self, name: str) -> bool:
        file = own_code.file_of(sys.modules.get(name))
        if file is None or file in self._known:
            return False
        root = own_code.root_of(name, file)
        # Others put modules that they have written into temporary folders.
        temporary = file.is_relative_to(Path(tempfile.gettempdir()).resolve())
        return root in self._roots or (str(root) in sys.path and not temporary)
