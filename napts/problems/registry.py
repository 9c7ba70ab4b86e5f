"""Names of the workloads and how each is made."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from napts.problems.digits import DigitsOptions, digits_cnn
from napts.problems.images import (
    Cifar10MiniOptions,
    Cifar10Options,
    FashionMnistOptions,
    MnistOptions,
    cifar10_cnn,
    cifar10_lenet,
    cifar10_mini,
    cifar10_mini_deep,
    cifar10_resnet18,
    fashion_mnist_fcnn,
    mnist_fcnn,
)
from napts.problems.problem import Workload, WorkloadOptions
from napts.problems.synthetic import SyntheticOptions, synthetic_batchnorm, synthetic_blobs

OptionsT = TypeVar("OptionsT", bound=WorkloadOptions)


@dataclass(frozen=True, slots=True)
class _Entry(Generic[OptionsT]):
    options: type[OptionsT]
    make: Callable[[OptionsT], Workload]

    def build(self, options: Mapping[str, Any]) -> Workload:
        return self.make(self.options.model_validate(dict(options)))


_ENTRIES: dict[str, _Entry[Any]] = {
    "digits-cnn": _Entry(DigitsOptions, digits_cnn),
    "mnist-fcnn": _Entry(MnistOptions, mnist_fcnn),
    "fashion-mnist-fcnn": _Entry(FashionMnistOptions, fashion_mnist_fcnn),
    "cifar10-cnn": _Entry(Cifar10Options, cifar10_cnn),
    "cifar10-lenet": _Entry(Cifar10Options, cifar10_lenet),
    "cifar10-resnet18": _Entry(Cifar10Options, cifar10_resnet18),
    "cifar10-mini": _Entry(Cifar10MiniOptions, cifar10_mini),
    "cifar10-mini-deep": _Entry(Cifar10MiniOptions, cifar10_mini_deep),
    "synthetic-blobs": _Entry(SyntheticOptions, synthetic_blobs),
    "synthetic-batchnorm": _Entry(SyntheticOptions, synthetic_batchnorm),
}


def workload_names() -> tuple[str, ...]:
    """Return the names that `get_workload` takes."""
    return tuple(_ENTRIES)


def options_model(name: str) -> type[WorkloadOptions]:
    """Return the pydantic model of a workload's options.

    Raises:
        ValueError: If there is no such workload.
    """
    return _entry(name).options


def get_workload(name: str, options: Mapping[str, Any] | None = None) -> Workload:
    """Return a workload with these options.

    Args:
        name: One of `workload_names`.
        options: Values that differ from the defaults, by field name of the options model.

    Raises:
        ValueError: If there is no such workload; pydantic's ValidationError (a ValueError) if an
            option is unknown or out of range.
    """
    return _entry(name).build(options or {})


def _entry(name: str) -> _Entry[Any]:
    try:
        return _ENTRIES[name]
    except KeyError:
        allowed = ", ".join(_ENTRIES)
        raise ValueError(f"workload: found {name!r}, allowed: {allowed}") from None
