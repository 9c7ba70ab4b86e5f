"""The methods that a spec can name: their options in specs, and how they are built.

Start reading in :mod:`napts.experiment.methods.registry`. Methods that ship with the package are
registered in `built_in`; `foreign` has the optimizers that are named by their import path.
"""

from napts.experiment.methods import built_in as _built_in  # noqa: F401, it registers them
from napts.experiment.methods import foreign as _foreign  # noqa: F401, likewise
from napts.experiment.methods.method import Capabilities, Method
from napts.experiment.methods.option_models import MethodOptions
from napts.experiment.methods.registry import (
    build_optimizer,
    method_named,
    method_names,
    register_method,
)
from napts.experiment.methods.step_optimizer import StepOptimizer

__all__ = [
    "Capabilities",
    "Method",
    "MethodOptions",
    "StepOptimizer",
    "build_optimizer",
    "method_named",
    "method_names",
    "register_method",
]
