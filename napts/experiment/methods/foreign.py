"""Methods that a spec names by import path: any optimizer of an installed package.

Reading, planning and reporting a spec imports nothing that it names. The optimizer is imported when
a run starts, when a sweep is submitted, and when asked for.
"""

import contextlib
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidationError, model_validator
from torch import Tensor, nn
from torch.optim import Optimizer

from napts.exits import guarded
from napts.experiment.methods.installed import fitted, load_class, one_line
from napts.experiment.methods.method import Capabilities, Method
from napts.experiment.methods.option_models import MethodOptions
from napts.experiment.methods.parameter_filters import divide
from napts.experiment.methods.path_options import check_path, check_plain
from napts.experiment.methods.registry import build_optimizer, find_paths_by, method_named
from napts.experiment.plugins.error_line import error_line
from napts.optim import calls
from napts.optim.combined import CombinationError, Combined

if TYPE_CHECKING:
    from napts.parallel.pipeline import Pipeline


_Patterns = Annotated[tuple[str, ...], Field(strict=False, min_length=1)]

_LAYERS = 3
"""Size of the network on which constructors are tried."""


class ForeignOptions(MethodOptions):
    """Options of an optimizer that is named by its import path: its keyword arguments, as data.

    Attributes:
        parameters: Which parameters it gets: ``"matrices"`` or patterns of names (see
            :func:`napts.experiment.methods.parameter_filters.divide`); None for all.
        rest: Method and options for the other parameters.
    """

    model_config = ConfigDict(extra="allow")

    parameters: Literal["matrices"] | _Patterns | None = None
    rest: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _plain(self) -> "ForeignOptions":
        check_path(self.method)
        for name, value in self.keywords().items():
            check_plain(name, value)
        if (self.parameters is None) != (self.rest is None):
            found, missing = ("parameters", "rest") if self.rest is None else ("rest", "parameters")
            raise ValueError(f"found {found} without {missing}, allowed: both or neither")
        if self.rest is not None:
            object.__setattr__(self, "rest", _rest_of(self.rest))
        return self

    @classmethod
    def left_out_if_none(cls) -> tuple[str, ...]:
        """Return the fields that are omitted if they are None."""
        return (*super().left_out_if_none(), "parameters", "rest")

    def keywords(self) -> dict[str, Any]:
        """Return the keyword arguments of the optimizer's constructor, as given."""
        return dict(self.model_extra or {})

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments of the optimizer's constructor, importing it to check them.

        Raises:
            ValueError: It is not installed, is not an optimizer, or has no such arguments.
        """
        found = resolve(self.method)
        return fitted(found, self.keywords(), path=self.method, key="optimizer")


def _rest_of(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return a table for other parameters, with defaults filled in."""
    if not isinstance(table.get("method"), str):
        raise ValueError('rest: missing method, allowed: a table such as {method = "Adam"}')
    taken = [name for name in ("parameters", "rest", "scheduler") if name in table]
    if taken:
        raise ValueError(f"rest.{taken[0]}: allowed only beside rest, not in it")
    known = method_named(table["method"])
    if not isinstance(known, ForeignMethod) and known.capabilities.evaluates:
        raise ValueError(
            f"rest.method: found {known.name}, allowed: optimizers that take gradients as given"
        )
    try:
        return known.options.model_validate(dict(table)).model_dump(mode="json")
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, ("rest", *first["loc"])))
        raise ValueError(f"{place}: {first['msg'].removeprefix('Value error, ')}") from None


@dataclass(frozen=True)
class ForeignMethod(Method):
    """A method that is an optimizer of an installed package."""

    def _first_argument(
        self, options: Any, model: "nn.Module | Pipeline", example_inputs: Any, seed: int
    ) -> Any:
        if options.parameters is None:
            return super()._first_argument(options, model, example_inputs, seed)
        if not isinstance(model, nn.Module):
            raise ValueError("optimizer.parameters: needs the network in one process")
        return divide(model, options.parameters)

    def _made(self, first: Any, options: MethodOptions) -> Optimizer:
        assert isinstance(options, ForeignOptions)
        arguments = options.arguments()
        if options.rest is None:
            return _constructed(self.optimizer, arguments, first, "optimizer")
        chosen, others = first
        made = _constructed(self.optimizer, arguments, chosen, "optimizer")
        try:
            return Combined([made, _rest(options.rest, others)])
        except CombinationError as error:
            raise ValueError(f"optimizer.rest: {error}") from error


def method(name: str) -> Method:
    """Return the method of an import path, without importing anything.

    Args:
        name: An import path, such as ``"prodigyopt.Prodigy"``.

    Raises:
        ValueError: It is not an import path.
    """
    check_path(name)
    return ForeignMethod(name, _Imported(name), ForeignOptions, _capabilities(name))


def resolve(name: str, key: str = "optimizer.method") -> type[Optimizer]:
    """Import an optimizer.

    Args:
        name: Its import path.
        key: Its place in the spec, for messages.

    Raises:
        ValueError: It is not installed, or is not a ``torch.optim.Optimizer``.
    """
    return load_class(name, Optimizer, key=key)


def check(options: MethodOptions) -> None:
    """Import what the options of a method name, and try the constructors on a small network.

    Args:
        options: Options of any method; nothing happens if they name nothing by its path.

    Raises:
        ValueError: Something is not installed, is not an optimizer or scheduler, or refuses its
            arguments.
    """
    if "." not in options.method and options.scheduler is None:
        return
    if getattr(options, "parameters", None) is not None:
        options = options.model_copy(update={"parameters": "matrices"})
    if (getattr(options, "subdomains", None) or 1) > _LAYERS:
        options = options.model_copy(update={"subdomains": _LAYERS})
    try:
        with guarded():
            build_optimizer(options, nn.Sequential(*(nn.Linear(2, 2) for _ in range(_LAYERS))))
    except ValueError:
        raise
    except Exception as error:  # whatever an own constructor raises
        raise ValueError(f"optimizer: {error_line(error)}") from error


def check_all(tables: Iterable[MethodOptions]) -> None:
    """Check what options name by path, each table of them once; see :func:`check`.

    Args:
        tables: The options of methods.

    Raises:
        ValueError: As for :func:`check`.
    """
    known: set[str] = set()
    for options in tables:
        text = options.model_dump_json()
        if text not in known:
            known.add(text)
            check(options)


@dataclass(frozen=True)
class _Imported:
    """Makes an optimizer that is imported when asked for."""

    path: str

    def __call__(self, parameters: Any, **arguments: Any) -> Optimizer:
        return resolve(self.path)(parameters, **arguments)


def _capabilities(name: str) -> Capabilities:
    package, _, kind = name.rpartition(".")
    apart = package == "torch.optim" and kind in calls.SEPARABLE
    return Capabilities(
        pipeline_ok=apart, spread_ok=apart, channels_last_ok=not kind.endswith("LBFGS")
    )


def _rest(table: Mapping[str, Any], parameters: list[Tensor]) -> Optimizer:
    known = method_named(table["method"])
    options = known.options.model_validate(dict(table))
    if isinstance(options, ForeignOptions):
        found = resolve(options.method, "optimizer.rest.method")
        arguments = fitted(found, options.keywords(), path=options.method, key="optimizer.rest")
    else:
        arguments = options.arguments()
    return _constructed(known.optimizer, arguments, parameters, "optimizer.rest")


def _constructed(
    make: Callable[..., Optimizer], arguments: Mapping[str, Any], parameters: Any, key: str
) -> Optimizer:
    try:
        # Some print what they are up to, where a program may expect JSON.
        with contextlib.redirect_stdout(sys.stderr), guarded():
            return make(parameters, **arguments)
    except Exception as error:  # whatever a foreign constructor raises
        name = getattr(make, "path", "") or getattr(make, "__name__", "")
        raise ValueError(f"{key}: {name} refuses its arguments: {one_line(error)}") from error


find_paths_by(method)

__all__ = ["ForeignMethod", "ForeignOptions", "check", "check_all", "method", "resolve"]
