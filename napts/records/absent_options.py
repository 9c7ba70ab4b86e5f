"""Options that are younger than the first runs: what a run that does not name them had."""

from collections.abc import Mapping
from typing import Any

ABSENT_OPTIONS: Mapping[str, tuple[Any, tuple[str, ...]]] = {
    # Written by `python -m napts.experiment.methods.reference` from the definitions of the options.
    "radius_rule": ("ratio", ("TR", "NTR", "APTS", "APTSA", "NAPTS", "APTSW", "APTSD")),
    "caution": (1.3, ("TR", "NTR", "APTS", "APTSA", "NAPTS", "APTSW", "APTSD")),
    "probe_every": (12, ("TR", "NTR", "APTS", "APTSA", "NAPTS", "APTSW", "APTSD")),
    "radius_floor": ("fixed", ("TR", "NTR", "APTS", "APTSA", "NAPTS", "APTSW", "APTSD")),
    "weight_decay": (0.0, ("TR", "NTR", "APTS", "APTSA", "NAPTS", "APTSW", "APTSD")),
    "decoupled_weight_decay": (False, ("TR", "NTR", "APTS", "APTSA", "NAPTS", "APTSW", "APTSD")),
    "order": (1, ("TR", "NTR", "APTSW", "APTSD")),
    "pairs": (5, ("TR", "NTR", "APTSW", "APTSD")),
    "moments": ("reset", ("APTS", "APTSA", "NAPTS")),
    "shares": ("equal", ("APTS", "APTSA", "NAPTS")),
    "local_fraction": (1.0, ("APTS", "APTSA", "NAPTS")),
    "local_precision": ("full", ("APTS", "APTSA", "NAPTS")),
    "retry": ("mixture", ("APTS", "NAPTS")),
    "global_step": ("always", ("APTS", "NAPTS")),
    "shared_radius": (True, ("APTS", "NAPTS")),
    "compile_local": (False, ("APTS", "APTSA", "NAPTS")),
    "forced_as": ("paper", ("APTSW",)),
    "spectral": (True, ("STTR",)),
    "share": (1.0, ("RMTR",)),
    "seed": (None, ("RMTR",)),
    # End of what is written.
}
"""Each option with the value that represents its absence, and the methods that have it. At that
value it is not part of the run key, so that old and new runs of one setting are the same run."""


def with_absent_options(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return a spec whose optimizer names all options that it has today."""
    optimizer = spec["optimizer"]
    method = optimizer["method"]
    absent = {n: value for n, (value, methods) in ABSENT_OPTIONS.items() if method in methods}
    return {**spec, "optimizer": {**absent, **optimizer}}
