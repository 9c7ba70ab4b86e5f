"""The settings over which the papers tune the baselines, and the epochs of our comparisons."""

from collections.abc import Mapping, Sequence
from typing import Any

from napts.launch.tuning_spaces import (
    TuningSpace,
    register_tuning_epochs,
    register_tuning_space,
)

_FACTORS = tuple(2.0**power for power in range(8, -5, -1))
"""Step lengths in units of one over the largest Lipschitz constant of a sample's gradient."""

GRIDS: Mapping[str, Mapping[str, Sequence[float]]] = {
    "Adam": {
        "lr": (
            *(1e-5, 2.15e-5, 4.64e-5, 1e-4, 2.15e-4, 4.64e-4, 1e-3, 2.15e-3, 4.64e-3),
            *(1e-2, 2.15e-2, 4.64e-2, 1e-1),
        )
    },
    "SGD": {
        "lr": (1e-4, 3.16e-4, 1e-3, 3.16e-3, 1e-2, 3.16e-2, 1e-1, 3.16e-1, 1.0),
        "momentum": (0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9),
    },
    "LBFGS": {
        "lr": (0.01, 0.0178, 0.0316, 0.0562, 0.1, 0.178, 0.316, 0.562, 1.0),
        "history_size": (3, 6, 12, 25, 50),
    },
    "SVRG": {"lr": _FACTORS},
    "SARAH": {"lr": _FACTORS},
    "SSN": {"lr": (0.05, 0.075, 0.1, 0.2, 0.35, 0.5, 0.7, 1.0)},
}
"""The papers' numbers of settings in their ranges: Adam 13 learning rates, SGD 63 and LBFGS 45
combinations (APTS in weights, arXiv 2312.13677, section 3). Which ones they are is not printed;
these are our choice, and so are all those for the methods for finite sums. The lengths of Newton
steps include those of ASTROM's slides, 0.075, 0.1 and 0.5."""

RANGES: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "Adam": {"lr": {"low": 1e-5, "high": 1e-1, "scale": "log"}},
    "SGD": {
        "lr": {"low": 1e-4, "high": 1.0, "scale": "log"},
        "momentum": {"low": 0.1, "high": 0.9},
    },
    "LBFGS": {
        "lr": {"low": 0.01, "high": 1.0, "scale": "log"},
        "history_size": {"low": 3, "high": 50, "scale": "integer"},
    },
    "SVRG": {"lr": {"low": 2.0**-4, "high": 256.0, "scale": "log"}},
    "SARAH": {"lr": {"low": 2.0**-4, "high": 256.0, "scale": "log"}},
    "SSN": {"lr": {"low": 0.05, "high": 1.0, "scale": "log"}},
}
"""The same ranges for quasi-random search; those of LBFGS's learning rate are ours."""

EPOCHS: Mapping[str, int] = {
    "digits-cnn": 15,
    "mnist-fcnn": 15,
    "fashion-mnist-fcnn": 15,
    "cifar10-mini": 12,
    "cifar10-mini-deep": 12,
    "cifar10-cnn": 50,
    "cifar10-lenet": 50,
    "cifar10-resnet18": 25,
}
"""Epochs of a comparison on each workload, which its tuning uses too."""

for _method, _grid in GRIDS.items():
    register_tuning_space(_method, TuningSpace(_grid, RANGES[_method]))
for _workload, _epochs in EPOCHS.items():
    register_tuning_epochs(_workload, _epochs)
