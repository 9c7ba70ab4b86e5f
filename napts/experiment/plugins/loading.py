"""Files and modules with a user's problems and methods, imported because they were named.

Specs are data and import nothing. What the command line names with ``--import``, or a program with
``imports``, is imported once per process and registers what it offers.
"""

import importlib
import importlib.util
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from napts.exits import guarded, raised
from napts.experiment.plugins import own_code
from napts.experiment.plugins.import_folders import ExactLoader, PluginError, import_folder

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plugin:
    """Something that was imported.

    Attributes:
        given: How it was named.
        module: Name of the module.
        root: Folder from which it and its helpers are imported; None for an installed module.
        is_file: Whether a file was named rather than a module.
    """

    given: str
    module: str
    root: Path | None
    is_file: bool


_plugins: dict[str, Plugin] = {}
_loading: list[str] = []


def load(imports: Sequence[str], tell: Tell | None = None) -> dict[str, str]:
    """Import files and modules; those imported before are left alone.

    A file is named by its path (anything that ends with ``.py`` or contains a ``/``), a module by
    its dotted name; modules are also found in the current folder. A file can import modules beside
    it. While it is loaded they take precedence over installed packages, afterwards they do not.

    Args:
        imports: Files and modules.
        tell: Takes a line about an import that registered nothing; by default a warning is issued.

    Returns:
        SHA-256 of each of their files that is neither installed nor in the standard library.

    Raises:
        PluginError: One of them is missing or fails.
    """
    found = [_load(given, tell or _warn) for given in imports]
    return own_code.code_of(*(plugin.module for plugin in found))


def plugins_of(modules: Iterable[str]) -> list[Plugin]:
    """Return what another process must import for some runs.

    Args:
        modules: Names of the modules that their problems and methods come from; see
            :attr:`napts.experiment.RunSpec.modules`.

    Returns:
        Everything that was imported here, in order, and modules with problems or methods that a
        program imported itself or defined in its own file.
    """
    found = list(_plugins.values())
    covered = {name for plugin in found for name in own_code.own_files(plugin.module)}
    for module in dict.fromkeys(modules):
        file = own_code.file_of(sys.modules.get(module))
        if file is not None and module not in covered:
            root = file.parent if module == "__main__" else own_code.root_of(module, file)
            found.append(Plugin(str(file), module, root, is_file=module == "__main__"))
            covered |= set(own_code.own_files(module))
    return found


def refuse_while_loading(what: str) -> None:
    """Refuse a call that a file makes while it is being imported.

    Args:
        what: Name of the function that it called.

    Raises:
        RuntimeError: A file is being imported.
    """
    if _loading:
        raise RuntimeError(
            f"{what} was called while {_loading[-1]} was being imported; put it under if "
            '__name__ == "__main__":'
        )


def _warn(line: str) -> None:
    warnings.warn(line, UserWarning, stacklevel=4)


def _load(given: str, tell: Tell) -> Plugin:
    is_file = given.endswith(".py") or "/" in given
    key = str(Path(given).resolve()) if is_file else given
    if key not in _plugins:
        before = _registered()
        with _naming(given):
            _plugins[key] = _import_file(given) if is_file else _import_module(given)
        if _registered() == before and _plugins[key].module in _fresh:
            tell(f"{given}: registered neither a problem nor a method")
    return _plugins[key]


_fresh: set[str] = set()
"""Modules that an import here executed, rather than an earlier one."""


def _registered() -> frozenset[str]:
    """Return the names of all problems and methods."""
    from napts.experiment.methods.registry import method_names
    from napts.problems import problem_names

    problems = map("problem {}".format, problem_names(imported=True))
    return frozenset((*problems, *method_names(imported=True)))


# --- files ----------------------------------------------------------------------------------------


def _import_file(given: str) -> Plugin:
    file = Path(given).resolve()
    if not file.is_file():
        raise PluginError(f"{given}: found no such file, allowed: a Python file, or a module")
    same = (
        name
        for name, module in sys.modules.copy().items()  # which looking at a lazy module changes
        if name != "__main__" and own_code.file_of(module) == file
    )
    name = next(same, None) or _free_name(file)
    if name not in sys.modules:
        with import_folder(file.parent, _names()), _watched(name):
            spec = importlib.util.spec_from_file_location(
                name, file, loader=ExactLoader(name, str(file))
            )
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            sys.modules[name] = module
            spec.loader.exec_module(module)
    return Plugin(given, name, file.parent, is_file=True)


def _free_name(file: Path) -> str:
    """Return the file's stem, with a number if something else has that name."""
    stem, number = own_code.module_name(file), 1
    while True:
        name = stem if number == 1 else f"{stem}_{number}"
        if name not in sys.modules and name not in sys.stdlib_module_names:
            with suppress(ImportError, ValueError):
                spec = importlib.util.find_spec(name)
                if spec is None or (spec.origin and Path(spec.origin).resolve() == file):
                    return name
                if spec.loader is None:  # a folder without __init__.py, which a file goes before
                    return name
        number += 1


def _names() -> set[str]:
    """Return the top-level names of what was imported."""
    return {plugin.module.partition(".")[0] for plugin in _plugins.values()}


# --- modules --------------------------------------------------------------------------------------


def _import_module(given: str) -> Plugin:
    if not all(part.isidentifier() for part in given.split(".")):
        raise PluginError(f"{given!r}: found neither a file nor a module")
    top = given.partition(".")[0]
    here = Path.cwd()
    if importlib.util.find_spec(top) is None and not _is_in(top, here):
        raise PluginError(
            f"{given}: found no such module, allowed: an installed one, one in {here}, or a file"
        )
    spec = importlib.util.find_spec(top)
    place = next(iter(spec.submodule_search_locations or ()), None) if spec else None
    origin = Path(spec.origin) if spec and spec.origin else Path(place) if place else None
    root = here if spec is None or origin is None else _root(top, origin)
    with import_folder(root, _names()), _watched(given):
        importlib.import_module(given)
    return Plugin(given, given, root, is_file=False)


def _root(top: str, origin: Path) -> Path | None:
    """Return the folder that holds an own package, None for an installed one."""
    origin = origin.resolve()
    if origin.is_dir():
        return origin.parent if own_code.is_own(origin) else None
    return own_code.root_of(top, origin) if own_code.is_own(origin) else None


def _is_in(name: str, folder: Path) -> bool:
    return any((folder / place).exists() for place in (f"{name}.py", name))


# --- what an import brings ----------------------------------------------------------------------


@contextmanager
def _watched(module: str) -> Iterator[None]:
    """Note which modules a module loads; forget them all if it fails."""
    before = set(sys.modules)
    try:
        yield
    except BaseException:
        for name in set(sys.modules) - before:
            if own_code.file_of(sys.modules[name]) is not None:
                del sys.modules[name]
        raise
    new = set(sys.modules) - before
    _fresh.update(new)
    own_code.loaded_with(module, (n for n in new if own_code.file_of(sys.modules[n])))


# --- errors ---------------------------------------------------------------------------------------


@contextmanager
def _naming(given: str) -> Iterator[None]:
    """Turn an error in foreign code into one line that says where."""
    _loading.append(given)
    try:
        with guarded():
            yield
    except PluginError:
        raise
    except Exception as failure:
        error = raised(failure)
        raise PluginError(f"{_place(given, error)}: {_said(error)}") from error
    finally:
        _loading.pop()


def _place(given: str, error: BaseException) -> str:
    """Return the file and line of own code that is nearest to an error's origin."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{_shown(error.filename)}:{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if Path(f.filename).is_file() and own_code.is_own(Path(f.filename))]
    return f"{_shown(own[-1].filename)}:{own[-1].lineno}" if own else given


def _shown(file: str) -> str:
    path = Path(file).resolve()
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else file


def _said(error: BaseException) -> str:
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    line = next(iter(text.strip().splitlines()), "")
    return f"{type(error).__name__}: {line}" if line else type(error).__name__
