"""The user's own code: which files a problem or a method consists of, and their digests.

Code is own if it was imported from a file that is neither installed, nor in the standard library,
nor in this package. A module's code is its file and those of the own modules that it imports,
anywhere in its text or while it was loaded; a change of any of them makes another run.
"""

import ast
import hashlib
import re
import sys
import sysconfig
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from types import ModuleType

PACKAGE = Path(__file__).resolve().parents[2]

_STANDARD = tuple({Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib")})
_INSTALLED = {"site-packages", "dist-packages"}

_digests: dict[Path, str] = {}
_loaded_with: dict[str, set[str]] = {}


def is_own(file: Path) -> bool:
    """Tell whether a file is the user's: not installed, not Python's, and not this package's.

    Args:
        file: A file that Python has imported or could import.
    """
    file = file.resolve()
    if file.is_relative_to(PACKAGE) or _INSTALLED & set(file.parts):
        return False
    return not (any(map(file.is_relative_to, _STANDARD)) or _is_target(file.parents))


def _is_target(folders: Iterable[Path]) -> bool:
    """Tell whether packages are installed in one of the folders, as with ``pip --target``."""
    return any(_holds_distributions(folder) for folder in folders if str(folder) in sys.path)


@cache
def _holds_distributions(folder: Path) -> bool:
    return any(folder.glob("*.dist-info"))


def file_of(module: ModuleType | None) -> Path | None:
    """Return the file of a module if it is own code, otherwise None.

    Args:
        module: The module.
    """
    name = getattr(module, "__file__", None)
    return _own(name) if name else None


@cache
def _own(name: str) -> Path | None:
    file = Path(name)
    if _INSTALLED & set(file.parts):  # most modules; without asking the disk
        return None
    file = file.resolve()
    return file if file.is_file() and is_own(file) else None


def root_of(module: str, file: Path) -> Path:
    """Return the folder from which a module was imported.

    Args:
        module: Its full name.
        file: Its file.
    """
    levels = module.count(".") + (file.stem == "__init__")
    return file.parents[levels]


def own_files(module: str) -> dict[str, Path]:
    """Return the files of a module's code.

    Args:
        module: Name of an imported module.

    Returns:
        The files by name of the module. Empty for an installed one.
    """
    found: dict[str, Path] = {}
    roots: list[Path] = []
    waiting = [module]
    while waiting:
        name = waiting.pop()
        file = None if name in found else _find(name, roots)
        if file is None:
            continue
        found[name] = file
        roots.append(root_of(name, file))
        parents = [name[: m.start()] for m in re.finditer(r"\.", name)]
        waiting += [*parents, *_imports(name, file), *_loaded_with.get(name, ())]
    return found


def _find(name: str, roots: list[Path]) -> Path | None:
    """Return the own file of a module, imported or not."""
    if name in sys.modules:
        return file_of(sys.modules[name])
    place = Path(*name.split("."))
    choices = (r / p for r in roots for p in (place / "__init__.py", place.with_suffix(".py")))
    return next((file for file in choices if file.is_file() and is_own(file)), None)


@cache
def _imports(name: str, file: Path) -> frozenset[str]:
    """Return the names that a file may import; too many do no harm."""
    if file.suffix != ".py":
        return frozenset()
    package = name if file.stem == "__init__" else name.rpartition(".")[0]
    try:
        names = set(_imported_names(file, package))
    except (SyntaxError, ValueError):  # of a file that nobody has loaded yet
        return frozenset()
    return frozenset(names | {n[: m.start()] for n in names for m in re.finditer(r"\.", n)})


def _imported_names(file: Path, package: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: package.count(".") + 2 - node.level]
                base = ".".join([*above, *([base] if base else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def imported_packages(module: str) -> set[str]:
    """Return the names of the top-level packages that a module's own code imports.

    Args:
        module: Name of an imported module.
    """
    names = {n for name, file in own_files(module).items() for n in _imports(name, file)}
    return {name.partition(".")[0] for name in names if name} - set(sys.stdlib_module_names)


def digest_of(file: Path) -> str:
    """Return the SHA-256 of a file as it was when it was loaded, or when first asked for."""
    if file not in _digests:
        keep_digest(file, file.read_bytes())
    return _digests[file]


def keep_digest(file: Path, content: bytes) -> None:
    """Note the contents of a file when it was loaded.

    Args:
        file: The file.
        content: Its contents.
    """
    _digests[file] = hashlib.sha256(content).hexdigest()


def loaded_with(module: str, others: Iterable[str]) -> None:
    """Note which modules were loaded by a module, however it named them.

    Args:
        module: The module.
        others: The modules.
    """
    _loaded_with.setdefault(module, set()).update(others)


def path_in_code(module: str, file: Path) -> str:
    """Return the name of a file in a run's ``code``; it does not depend on the file's location.

    Args:
        module: Name of the module.
        file: Its file.
    """
    if module == "__main__":
        return file.name
    folder = module if file.stem == "__init__" else module.rpartition(".")[0]
    return "/".join([*folder.split("."), file.name]) if folder else file.name


def module_name(file: Path) -> str:
    """Return the name under which a file is imported, if that name is free.

    Args:
        file: The file.
    """
    name = re.sub(r"\W", "_", file.stem)
    return f"_{name}" if name[:1].isdigit() else name


def code_of(*modules: str) -> dict[str, str]:
    """Return the digests of all files of some modules' own code.

    Args:
        modules: Names of imported modules.

    Returns:
        SHA-256 by name of the file; empty if none of it is own code.
    """
    files = {name: file for module in modules for name, file in own_files(module).items()}
    if "__main__" in files:  # also where the same file was imported by its name
        files = {n: f for n, f in files.items() if n == "__main__" or f != files["__main__"]}
    by_path: dict[str, list[str]] = defaultdict(list)
    for name, file in files.items():
        by_path[path_in_code(name, file)].append(digest_of(file))
    # Files of one name are told apart by their contents: which was imported first is chance.
    return {
        path if number == 1 else f"{path} ({number})": digest
        for path, digests in sorted(by_path.items())
        for number, digest in enumerate(sorted(digests), start=1)
    }


def check_files(modules: Iterable[str]) -> None:
    """Refuse modules without a file: code from a notebook cell, a prompt, or standard input.

    Args:
        modules: Names of imported modules.

    Raises:
        ValueError: There is one; a change of its code could not be detected.
    """
    for name in modules:
        file = getattr(sys.modules.get(name), "__file__", None)
        if not file or not Path(file).is_file():  # "<stdin>" is none
            raise ValueError(
                f"code: found a problem or method of module {name}, which is in no file, "
                "allowed: one from a file, so that a changed one makes another run"
            )


def check_unchanged(modules: Iterable[str]) -> None:
    """Refuse modules whose files have changed since they were imported.

    Args:
        modules: Names of imported modules.

    Raises:
        ValueError: There is one; the imported code is not what the file has now.
    """
    for file in {file for module in modules for file in own_files(module).values()}:
        content = file.read_bytes() if file.is_file() else b""
        if hashlib.sha256(content).hexdigest() != digest_of(file):
            raise ValueError(
                f"code: found {file} changed since it was imported, allowed: a new process, "
                "which imports the current file"
            )


def differing_code(expected: Mapping[str, str], found: Mapping[str, str]) -> str:
    """Return a line about code that differs from a spec's digests.

    Args:
        expected: The digests in the spec.
        found: Those of the imported code.
    """
    changed = [n for n in sorted({*expected, *found}) if expected.get(n) != found.get(n)]
    return (
        f"code: found other contents of {', '.join(changed)} than when the run was planned, "
        "allowed: the same files, or a spec without code for another run"
    )
