"""Differential equations for physics-informed networks: what they share, and those that ship."""

from importlib import import_module

from napts.problems.pde.derivatives import Field
from napts.problems.pde.equation import OnSide, Pde, PdeOptions

for _module in ("burgers", "klein_gordon", "transport", "allen_cahn"):
    import_module(f"napts.problems.pde.{_module}")

__all__ = ["Field", "OnSide", "Pde", "PdeOptions"]
