"""Import torchvision even if its compiled operators cannot be loaded.

The wheel of torchvision on PyPI is built for CUDA. With a CPU-only torch its operator library does
not load, and ``import torchvision`` then stops with "operator torchvision::nms does not exist",
because it describes two operators that nothing has declared. Reading data sets needs neither, so it
is enough to declare their schemas, without any implementation. Calling them still fails, as it
should.
"""

import importlib
import sys
from types import ModuleType

import torch

from napts.extras import need

_MISSING = "operator torchvision::nms does not exist"
_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
# The declarations last as long as this object.
_library: torch.library.Library | None = None


def load_torchvision() -> ModuleType:
    """Return the module torchvision.

    Nothing is declared unless the plain import fails because the operators are missing.

    Raises:
        ImportError: If torchvision is not installed.
        RuntimeError: If its import fails for another reason.
    """
    need("torchvision")
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if _MISSING not in str(error):
            raise
    _forget_partial_import()
    _declare_schemas()
    return importlib.import_module("torchvision")


def shim_active() -> bool:
    """Return whether this process had to declare the operators itself."""
    return _library is not None


def _forget_partial_import() -> None:
    for name in [name for name in list(sys.modules) if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]


def _declare_schemas() -> None:
    global _library
    if _library is None:
        _library = torch.library.Library("torchvision", "FRAGMENT")
        for schema in _SCHEMAS:
            _library.define(schema)
