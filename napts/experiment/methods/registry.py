"""The methods that a spec can name: a registry, to which users can add optimizers."""

import copyreg
import inspect
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import BeforeValidator, SerializeAsAny, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError
from torch import nn
from torch.optim import Optimizer

from napts import entry_points
from napts.experiment.methods.method import Capabilities, Method, StepOptimizer
from napts.experiment.methods.option_models import MethodOptions, options_model
from napts.text import shown

if TYPE_CHECKING:
    from napts.parallel.pipeline import Pipeline

AnyOptimizer = TypeVar("AnyOptimizer", bound=Callable[..., Optimizer])

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")  # no option of a command line

_METHODS: dict[str, Method] = {}
_by_path: list[Callable[[str], Method]] = []


def find_paths_by(find: Callable[[str], Method]) -> None:
    """Set the function that returns the method of an import path, without importing it.

    Args:
        find: Takes the path; raises ValueError if it is not an import path.
    """
    _by_path[:] = [find]


def register_method(
    name: str, capabilities: Capabilities | None = None
) -> Callable[[AnyOptimizer], AnyOptimizer]:
    """Make an optimizer a method that specs can name; a decorator.

    Its options are the parameters of its constructor after the first one, which is for the trained
    parameters. Annotated options are checked when a spec is read. A spec is stored with all
    options, so that a changed default makes another run.

    Args:
        name: Its name in specs: letters, digits, ``_`` and ``-``.
        capabilities: What it can and cannot do; by default the attributes of its class.

    Returns:
        A decorator for a class, or for a function that makes an optimizer; it returns its argument
        unchanged.

    Raises:
        ValueError: The name is taken or not valid.

    Example:
        >>> @napts.register_method("heavy-ball")
        ... class HeavyBall(torch.optim.Optimizer):
        ...     def __init__(self, params, *, lr: float = 0.01, momentum: float = 0.9):
        ...         super().__init__(params, {"lr": lr, "momentum": momentum})
    """
    if callable(name):
        raise ValueError(
            f"method: found {getattr(name, '__name__', name)} itself, allowed: a name, as in "
            '@napts.register_method("name")'
        )
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(
            f"Invalid name of a method: {name!r}, must be letters, digits, '_' and '-', "
            "no '-' at the start"
        )

    module = sys._getframe(1).f_globals["__name__"]

    def register(optimizer: AnyOptimizer) -> AnyOptimizer:
        known = _METHODS.get(name)
        if known is not None and not _same_source(known.optimizer, optimizer):
            raise ValueError(f"There is already a method {name!r}: {_described(known.optimizer)}")
        method = method_of(name, optimizer, capabilities)
        _METHODS[name] = replace(method, registered_by=module)
        return optimizer

    return register


def method_of(
    name: str, optimizer: Callable[..., Optimizer], capabilities: Capabilities | None = None
) -> Method:
    """Return an optimizer as a method, without registering it.

    Args:
        name: Its name.
        optimizer: A class, or a function that makes an optimizer.
        capabilities: What it can and cannot do; by default the attributes of its class.

    Raises:
        ValueError: A spec cannot hold its options.
    """
    able = capabilities or Capabilities.of(optimizer)
    model = options_model(name, optimizer, able.needs)
    # The class is made here, and cannot be found by its name.
    copyreg.pickle(model, _reduced)
    return Method(name, optimizer, model, able)


def _reduced(options: MethodOptions) -> tuple[Any, ...]:
    return _again, (options.method, options.model_dump())


def _again(method: str, values: Mapping[str, Any]) -> MethodOptions:
    """Make options from pickled data."""
    return method_named(method).options.model_validate(values)


def method_named(name: str) -> Method:
    """Return a method.

    Args:
        name: One of :func:`method_names`, or the import path of an optimizer, which this does not
            import.

    Raises:
        ValueError: There is no such method, or the package that offers it cannot be imported.
    """
    if isinstance(name, str) and "." in name:
        return _by_path[0](name)
    if not isinstance(name, str) or name not in _METHODS:
        if name not in method_names():
            allowed = f"{', '.join(method_names())}; an optimizer of your own needs --import FILE"
            raise ValueError(f"found {shown(name)}, allowed: {allowed}")
        entry_points.load(entry_points.METHODS, name, _METHODS)
    return _METHODS[name]


def method_names(*, imported: bool = False) -> tuple[str, ...]:
    """Return the names of all methods, those of the package first.

    Args:
        imported: Only those of methods already imported, without those that installed packages also
            offer (entry points ``napts.methods``) and that are imported when a spec names them.
    """
    offered = () if imported else entry_points.names(entry_points.METHODS)
    return tuple(dict.fromkeys((*_METHODS, *offered)))


def build_optimizer(
    options: MethodOptions,
    model: "nn.Module | Pipeline",
    *,
    example_inputs: Any = None,
    seed: int = 0,
) -> StepOptimizer:
    """Make the optimizer of a spec; see :meth:`napts.experiment.methods.method.Method.build`."""
    method = method_named(options.method)
    return method.build(options, model, example_inputs=example_inputs, seed=seed)


def _validated(data: Any) -> Any:
    """Validate a table by the model of the method that it names."""
    if not isinstance(data, Mapping):
        return data  # which is refused as it is, or an instance
    if "method" not in data:
        allowed = ", ".join(method_names())
        raise _method_error("method_missing", f"missing, allowed: {allowed}", data)
    try:
        method = method_named(data["method"])
    except ValueError as error:
        raise _method_error("method_unknown", str(error), data["method"]) from None
    return method.options.model_validate(dict(data))


def _method_error(kind: Literal["method_missing", "method_unknown"], text: str, found: Any):
    error = PydanticCustomError(kind, "{text}", {"text": text})
    detail = InitErrorDetails(type=error, loc=("method",), input=found)
    return ValidationError.from_exception_data("options", [detail])


OptimizerOptions = Annotated[SerializeAsAny[MethodOptions], BeforeValidator(_validated)]
"""Options of any method, distinguished by ``method``."""


def _same_source(first: Callable[..., Any], second: Callable[..., Any]) -> bool:
    """Tell whether two definitions are the same one, from a file that was imported twice."""
    return _described(first) == _described(second)


def _described(optimizer: Callable[..., Any]) -> str:
    try:
        file = inspect.getsourcefile(inspect.unwrap(optimizer))
    except TypeError:
        file = None
    name = getattr(optimizer, "__qualname__", repr(optimizer))
    return f"{name} in {file or getattr(optimizer, '__module__', None)}"
