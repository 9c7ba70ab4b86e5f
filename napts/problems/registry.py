"""Problems by name."""

import re
import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from napts import entry_points
from napts.problems.evaluation import METRIC_NAME
from napts.problems.problem import Problem, ProblemOptions

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_FINAL = ("load", "build_model", "training_batches", "evaluation")
_DIRECTIONS = ("max", "min")
_PRECISIONS = ("float32", "float64")

ProblemT = TypeVar("ProblemT", bound=type[Problem])

_PROBLEMS: dict[str, type[Problem]] = {}
_FILES: dict[str, str] = {}
_MODULES: dict[str, str] = {}


def register_problem(name: str) -> Callable[[ProblemT], ProblemT]:
    """Return a decorator that registers a subclass of `Problem` under a name.

    Args:
        name: Name in specs: letters, digits, ``.``, ``_`` and ``-``.

    Raises:
        ValueError: If another class has the name, or if the class has an attribute that is not
            allowed. A file that is imported again replaces its own classes.
        TypeError: If what is registered is not such a class.
    """
    if callable(name):
        raise ValueError(
            f"problem: found {getattr(name, '__name__', name)} itself, allowed: a name, as in "
            '@napts.register_problem("name")'
        )
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(f"problem: found the name {name!r}, allowed: letters, digits, . _ and -")
    frame = sys._getframe(1)
    file, module = frame.f_code.co_filename, frame.f_globals["__name__"]

    def register(problem: ProblemT) -> ProblemT:
        _check(name, problem)
        known = _PROBLEMS.get(name)
        same = known is not None and known.__qualname__ == problem.__qualname__
        if known is not None and not (same and _FILES[name] == file):
            raise ValueError(
                f"problem {name!r}: the name is taken by class {known.__qualname__} in "
                f"{_FILES[name]}; choose another"
            )
        problem.name = name
        _PROBLEMS[name], _FILES[name], _MODULES[name] = problem, file, module
        return problem

    return register


def problem_names(*, imported: bool = False) -> tuple[str, ...]:
    """Return the names that `get_problem` takes.

    Args:
        imported: Only those of problems already imported, without those that installed packages
            also offer (entry points ``napts.problems``) and that are imported when asked for.
    """
    offered = () if imported else entry_points.names(entry_points.PROBLEMS)
    return tuple(dict.fromkeys((*_PROBLEMS, *offered)))


def problem_class(name: str) -> type[Problem]:
    """Return the class of a problem.

    Raises:
        ValueError: If there is no such problem, or the package that offers it cannot be imported.
    """
    if name not in _PROBLEMS:
        if name not in problem_names():
            allowed = ", ".join(problem_names())
            raise ValueError(f"workload: found {name!r}, allowed: {allowed}")
        entry_points.load(entry_points.PROBLEMS, name, _PROBLEMS)
    return _PROBLEMS[name]


def problem_modules(name: str) -> set[str]:
    """Return the names of the modules that define and register a problem.

    Raises:
        ValueError: If there is no such problem.
    """
    return {problem_class(name).__module__, _MODULES[name]}


def options_model(name: str) -> type[ProblemOptions]:
    """Return the pydantic model of a problem's options.

    Raises:
        ValueError: If there is no such problem.
    """
    return problem_class(name).Options


def get_problem(name: str, options: Mapping[str, Any] | None = None) -> Problem:
    """Return a problem with these options.

    Args:
        name: One of `problem_names`.
        options: Values that differ from the defaults, by field name of the options model.

    Raises:
        ValueError: If there is no such problem; pydantic's ValidationError (a ValueError) if an
            option is unknown or out of range.
    """
    problem = problem_class(name)
    return problem(problem.Options.model_validate(dict(options or {})))


def _check(name: str, problem: Any) -> None:
    """Check the attributes of a class.

    Raises:
        TypeError: If it is not a complete subclass of `Problem`.
        ValueError: If one of its attributes is not allowed.
    """
    if not isinstance(problem, type) or not issubclass(problem, Problem):
        found = getattr(problem, "__qualname__", None) or repr(problem)
        raise TypeError(f"problem {name!r}: found {found}, allowed: subclasses of Problem")
    where = f"problem {name!r}, class {problem.__qualname__}"
    if missing := sorted(problem.__abstractmethods__):
        raise TypeError(f"{where}: lacks {', '.join(missing)}")
    changed = [name for name in _FINAL if getattr(problem, name) is not getattr(Problem, name)]
    if changed:
        raise TypeError(f"{where}: replaces {', '.join(changed)}, which belongs to the harness")
    options = problem.Options
    if not isinstance(options, type) or not issubclass(options, ProblemOptions):
        raise TypeError(f"{where}: Options must be a subclass of napts.problems.ProblemOptions")
    if "name" in options.model_fields:
        raise ValueError(
            f"{where}: no option can be called 'name', since the problem's own name is"
        )
    size, subdomains, primary = problem.batch_size, problem.subdomains, problem.primary
    if size != "full" and not _is_count(size):
        raise ValueError(f"{where}: batch_size: found {size!r}, allowed: 1, 2, ... or 'full'")
    if not _is_count(subdomains):
        raise ValueError(f"{where}: subdomains: found {subdomains!r}, allowed: 1, 2, ...")
    if problem.precision not in _PRECISIONS:
        raise ValueError(
            f"{where}: precision: found {problem.precision!r}, allowed: {', '.join(_PRECISIONS)}"
        )
    if not _is_goal(primary):
        raise ValueError(
            f'{where}: primary: found {primary!r}, allowed: a pair such as ("r2", "max")'
        )
    if not METRIC_NAME.fullmatch(primary[0]):
        raise ValueError(
            f"{where}: primary: found the name {primary[0]!r}, allowed: names of metrics, of a-z, "
            "0-9 and _, a letter first"
        )
    if primary[0] == "loss" and primary[1] == "max":
        raise ValueError(f'{where}: primary: found {primary!r}, allowed: ("loss", "min")')
    fractions = problem.fractions
    if not isinstance(fractions, tuple | list) or not all(isinstance(f, str) for f in fractions):
        raise ValueError(f"{where}: fractions: found {fractions!r}, allowed: a tuple of names")


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_goal(value: Any) -> bool:
    if not isinstance(value, tuple | list) or len(value) != 2:
        return False
    return isinstance(value[0], str) and value[1] in _DIRECTIONS
