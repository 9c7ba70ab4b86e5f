"""Constructor options: defaults that depend on the norm, checks in torch's style, composition."""

import math
from collections.abc import Mapping
from typing import Any, Literal

from napts.optim.cadam import CAdam
from napts.optim.correction import ConvexCombinations, Correction, ShrinkingRadius
from napts.optim.history import ConstantMemory, History, Window
from napts.optim.local_model import FirstOrder, ModelFamily
from napts.optim.moments import KeptMoments, ResetMoments
from napts.optim.quadratic_model import SecondOrder
from napts.optim.radius import RadiusRule
from napts.optim.schwarz import AdditiveSchwarz
from napts.optim.sr1 import LimitedMemorySR1
from napts.optim.subdomains import Decomposition
from napts.optim.vectors import Norm

HistoryKind = Literal["windowed", "constant-memory"]
HistoryScope = Literal["rolling", "reeval", "per_batch"]
Order = Literal[1, 2]

CORRECTION_WEIGHTS = (0.2, 0.4, 0.6, 0.8, 1.0)
"""Weights of eq. (10). Not printed in the paper; the series of APTS in weights (2023)."""

_RADII: dict[str, tuple[float, float, float]] = {
    "l2": (0.1, 1e-3, 2.0),  # our choice
    "inf": (1e-2, 1e-4, 1e-1),  # APTS in weights (2023), section 3.1
}

_CHOICES: dict[str, tuple[str, ...]] = {
    "norm": ("l2", "inf"),
    "direction": ("scaled_gradient", "sign", "l2"),
    "cap": ("scale", "clip"),
    "history": ("windowed", "constant-memory"),
    "history_scope": ("rolling", "reeval", "per_batch"),
    "moments": ("reset", "kept"),
    "shares": ("equal", "joint"),
    "local_precision": ("full", "tf32", "bfloat16"),
    "retry": ("mixture", "shrink"),
    "global_step": ("always", "on_failure", "never"),
    "radius_floor": ("yielding", "fixed"),
    "forced_as": ("paper", "code", "sequential_code", "code_2024"),
}


def default_radii(
    norm: Norm, radius: float | None, radius_min: float | None, radius_max: float | None
) -> dict[str, float]:
    """Fill in the radii that were not given.

    They are 0.1 in [1e-3, 2] for the 2-norm (our choice) and 1e-2 in [1e-4, 1e-1] for the infinity
    norm (APTS in weights, 2023, section 3.1).
    """
    names = ("radius", "radius_min", "radius_max")
    given = (radius, radius_min, radius_max)
    defaults = _RADII.get(norm, _RADII["l2"])
    return {n: d if g is None else g for n, g, d in zip(names, given, defaults, strict=True)}


def check(options: Mapping[str, Any]) -> None:
    """Check the options that are there.

    Raises:
        ValueError: If one is out of range, in torch's form ``Invalid radius: -1.0``.
    """
    for name, allowed in _CHOICES.items():
        _require(options, name, lambda v, a=allowed: v in a, f"one of {', '.join(allowed)}")
    for name in ("radius", "radius_min", "radius_max"):
        _require(options, name, lambda v: 0 < v < math.inf, "above 0")
    low, start, high = (options[n] for n in ("radius_min", "radius", "radius_max"))
    if not low <= start <= high:
        raise ValueError(f"Invalid radius: {start}, must lie in [{low}, {high}]")
    _require(options, "shrink", lambda v: 0 < v < 1, "in (0, 1)")
    _require(options, "grow", lambda v: 1 < v < math.inf, "above 1")
    _require(options, "eta_1", lambda v: 0 < v <= options["eta_2"], "in (0, eta_2]")
    _require(options, "eta_2", lambda v: 0 < v < 1, "in (0, 1)")
    _require(options, "order", lambda v: _is_integer(v) and v in (1, 2), "1 or 2")
    for name, least in (("max_tries", 1), ("local_steps", 1), ("window", 0)):
        _require(options, name, lambda v, n=least: _is_integer(v) and v >= n, f"integer >= {least}")
    for name in ("pairs", "shards"):
        _require(options, name, lambda v: _is_integer(v) and v >= 1, "integer >= 1")
    _require(options, "betas", lambda v: len(v) == 2 and all(0 <= b < 1 for b in v), "in [0, 1)")
    _require(options, "eps", lambda v: v > 0, "above 0")
    _require(options, "correction", lambda v: all(0 < w <= 1 for w in v), "weights in (0, 1]")
    _require(options, "local_budget", lambda v: 0 < v <= 1, "in (0, 1]")
    _require(options, "local_fraction", lambda v: 0 < v <= 1, "in (0, 1]")
    _require(options, "weight_decay", lambda v: _is_number(v) and 0 <= v < math.inf, "at least 0")
    if options.get("decoupled_weight_decay"):
        _require(options, "weight_decay", lambda v: v < 1, "below 1 if it is decoupled")
    if options.get("last_block_exact"):
        _require(options, "local_fraction", lambda v: v == 1, "1 with last_block_exact")


def _require(options: Mapping[str, Any], name: str, test: Any, allowed: str) -> None:
    if name in options and not test(options[name]):
        raise ValueError(f"Invalid {name}: {options[name]}, must be {allowed}")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def local_model(options: Mapping[str, Any]) -> ModelFamily:
    """Compose the local model."""
    if options.get("order") == 2:
        return SecondOrder(options["norm"], LimitedMemorySR1(options["pairs"]))
    return FirstOrder(options["norm"], options["direction"])


def radius_rule(options: Mapping[str, Any]) -> RadiusRule:
    """Compose the radius rule."""
    return RadiusRule(
        minimum=options["radius_min"],
        maximum=options["radius_max"],
        shrink=options["shrink"],
        grow=options["grow"],
        eta_1=options["eta_1"],
        eta_2=options["eta_2"],
    )


def history(options: Mapping[str, Any]) -> History:
    """Compose a memory."""
    kind = ConstantMemory if options["history"] == "constant-memory" else Window
    return kind(options["window"])


def schwarz(options: Mapping[str, Any], decomposition: Decomposition) -> AdditiveSchwarz:
    """Compose the preconditioner with CAdam as its local solver."""
    solver = CAdam(
        steps=options["local_steps"],
        betas=tuple(options["betas"]),
        eps=options["eps"],
        cap=options["cap"],
        norm=options["norm"],
        moments=KeptMoments() if options["moments"] == "kept" else ResetMoments(),
    )
    return AdditiveSchwarz(
        decomposition,
        solver,
        last_block_exact=options["last_block_exact"],
        shares=options["shares"],
        fraction=options["local_fraction"],
        precision=options["local_precision"],
    )


def correction(options: Mapping[str, Any]) -> Correction | None:
    """Compose the correction; no weights, no mixtures."""
    if options["retry"] == "shrink":
        return ShrinkingRadius(options["max_tries"])
    weights = tuple(options["correction"])
    return ConvexCombinations(weights) if weights else None
