"""Classes of installed packages by their import paths, and whether their arguments fit.

Nothing is imported before its location is known: below the site-packages of this environment or in
the standard library, never in the current folder or one of PYTHONPATH.
"""

import difflib
import importlib
import importlib.metadata
import inspect
import site
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from importlib.machinery import ModuleSpec, PathFinder
from inspect import Parameter
from pathlib import Path
from types import ModuleType
from typing import Any

from napts import extras
from napts.exits import guarded, raised
from napts.text import shown

_OF_PACKAGES = ("site-packages", "dist-packages")


def load_class(path: str, base: type, *, key: str) -> type:
    """Import a class.

    Args:
        path: Its import path.
        base: What it must be derived from.
        key: Place of the path in the spec, for messages.

    Raises:
        ValueError: It does not exist, is not installed, or is something else; in one line.
    """
    module_name, _, name = path.rpartition(".")
    check_installed(module_name.partition(".")[0], key=key)
    try:
        with guarded():
            module = importlib.import_module(module_name)
    except Exception as error:  # whatever foreign code raises when it is imported
        raise ValueError(
            f"{key}: found {shown(path)}, whose import fails: {one_line(error)}"
        ) from error
    found = getattr(module, name, None)
    if not (isinstance(found, type) and issubclass(found, base)):
        there = "nothing" if found is None else f"no {base.__name__}"
        known = [n for n, c in vars(module).items() if isinstance(c, type) and issubclass(c, base)]
        raise ValueError(f"{key}: found {shown(path)}, which is {there}{_meant(name, known)}")
    return found


def check_installed(package: str, *, key: str = "optimizer.method") -> None:
    """Check that importing a package would execute installed code, without importing it.

    Args:
        package: Its top-level name.
        key: Where it is asked for, for messages.

    Raises:
        ValueError: It is not installed, or another package of that name comes before it.
    """
    loaded = sys.modules.get(package)
    spec = loaded.__spec__ if loaded is not None else PathFinder.find_spec(package)
    if spec is None and loaded is None:
        raise ValueError(extras.said([package]) if _is_shipped(package) else _absent(package, key))
    places = _places(spec, loaded)
    roots = _roots()
    outside = [
        place
        for place in places
        if not any(place.is_relative_to(r) for r in roots) and not _is_distributed(package, place)
    ]
    if outside or not places:
        where = outside[0] if outside else "no file"
        raise ValueError(
            f"{key}: found {shown(package)} in {where}, allowed: installed packages; register your "
            "own code with napts.register_method and name it with --import"
        )


def _absent(package: str, key: str) -> str:
    return f"{key}: found {shown(package)}, which no package installed here provides"


def _is_shipped(package: str) -> bool:
    return package in extras.EXTRAS["baselines"]


def _places(spec: ModuleSpec | None, loaded: ModuleType | None) -> list[Path]:
    """Return where the code of a package is, following links."""
    found = [*(spec.submodule_search_locations or ())] if spec is not None else []
    origin = spec.origin if spec is not None else getattr(loaded, "__file__", None)
    if origin is not None and origin not in ("built-in", "frozen", "namespace"):
        found.append(origin)
    return [Path(place).resolve() for place in found]


def _roots() -> set[Path]:
    """Return the folders of installed packages and of the standard library."""
    paths = sysconfig.get_paths()
    folders = [paths[name] for name in ("purelib", "platlib", "stdlib", "platstdlib")]
    folders += site.getsitepackages()
    if site.ENABLE_USER_SITE:
        folders.append(site.getusersitepackages())
    return {Path(folder).resolve() for folder in folders}


def _is_distributed(package: str, place: Path) -> bool:
    """Tell whether a package was installed into another environment that this one builds upon.

    Its folder on the path then has a name used for installed packages, and holds the metadata of a
    distribution that claims the package; a user's own folder holds none.
    """
    folders = {Path(f).resolve() for f in sys.path if Path(f).name in _OF_PACKAGES}
    return any(
        package in _top_level(distribution)
        for folder in folders
        if place.is_relative_to(folder)
        for distribution in importlib.metadata.distributions(path=[str(folder)])
    )


def _top_level(distribution: importlib.metadata.Distribution) -> set[str]:
    """Return the top-level names that a distribution has installed."""
    names = {file.parts[0].removesuffix(".py") for file in distribution.files or ()}
    return names | set((distribution.read_text("top_level.txt") or "").split())


def fitted(found: type, given: Mapping[str, Any], *, path: str, key: str) -> dict[str, Any]:
    """Return the keyword arguments for a constructor, checked against its signature.

    Args:
        found: The class; the first parameter of its constructor is not given by keyword.
        given: The arguments as in a spec; lists become tuples if the default is one.
        path: The name of the class in the spec.
        key: The table in the spec, for messages.

    Raises:
        ValueError: A name is unknown, or one is missing.
    """
    _, *parameters = inspect.signature(found).parameters.values()
    kinds = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
    known = {p.name: p for p in parameters if p.kind in kinds}
    if not any(p.kind is Parameter.VAR_KEYWORD for p in parameters):
        for name in given:
            if name not in known:
                hint = _meant(name, known) or f", allowed: {', '.join(known)}"
                raise ValueError(f"{key}.{name}: {path} has no such argument{hint}")
    missing = [n for n, p in known.items() if p.default is Parameter.empty and n not in given]
    if missing:
        raise ValueError(f"{key}.{missing[0]}: missing, {path} needs it")
    return {name: _like(value, known.get(name)) for name, value in given.items()}


def _like(value: Any, parameter: Parameter | None) -> Any:
    wants_tuple = parameter is not None and isinstance(parameter.default, tuple)
    return tuple(value) if wants_tuple and isinstance(value, list) else value


def _meant(name: str, known: Iterable[str]) -> str:
    names = list(known)
    same = [n for n in names if n.lower().replace("_", "") == name.lower().replace("_", "")]
    close = same or difflib.get_close_matches(name, names, n=1)
    return f", did you mean {close[0]}?" if close else ""


def one_line(error: BaseException) -> str:
    """Return an exception's type and message in one line."""
    error = raised(error)
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
