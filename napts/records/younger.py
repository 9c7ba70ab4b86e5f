"""Options that are younger than the first runs: what a run that does not name them had."""

from collections.abc import Mapping
from typing import Any

_SCHWARZ = ("APTS", "APTSA", "NAPTS")
_CORRECTED = ("APTS", "NAPTS")
_PLAIN = ("TR", "NTR")
_IN_WEIGHTS = ("APTSW",)
_TRUST_REGION = ("TR", "NTR", *_SCHWARZ, "APTSW", "APTSD")

YOUNGER: Mapping[str, tuple[Any, tuple[str, ...]]] = {
    "moments": ("reset", _SCHWARZ),
    "shares": ("equal", _SCHWARZ),
    "local_fraction": (1.0, _SCHWARZ),
    "local_precision": ("full", _SCHWARZ),
    "compile_local": (False, _SCHWARZ),
    "retry": ("mixture", _CORRECTED),
    "global_step": ("always", _CORRECTED),
    "shared_radius": (True, _CORRECTED),
    "order": (1, _PLAIN),
    "pairs": (5, _PLAIN),
    "forced_as": ("paper", _IN_WEIGHTS),
    "radius_floor": ("fixed", _TRUST_REGION),
    "weight_decay": (0.0, _TRUST_REGION),
    "decoupled_weight_decay": (False, _TRUST_REGION),
}
"""Each option with the value that stands for its absence, and the methods that have it. At that
value it is no part of the run key, so that old and new runs of one setting are the same run."""


def with_younger_options(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return a spec whose optimizer names all options that it has by now."""
    optimizer = spec["optimizer"]
    absent = {n: value for n, (value, methods) in YOUNGER.items() if optimizer["method"] in methods}
    return {**spec, "optimizer": {**absent, **optimizer}}
