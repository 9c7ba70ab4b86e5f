"""Packages that only the zoo needs."""

import importlib
import os
from typing import Any

from napts.problems.torchvision_shim import load_torchvision


def load(name: str) -> Any:
    """Import a package that may import torchvision, and keep it from the network."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    load_torchvision()
    return importlib.import_module(name)
