"""Named sets of options."""

from typing import Any

LIGHT: dict[str, Any] = {
    "local_steps": 1,
    "moments": "kept",
    "shares": "joint",
    "retry": "shrink",
    "global_step": "never",
    "eta_1": 0.5,
    "eta_2": 0.9,
}
"""NAPTS far below the paper's cost (ours): the direction of Adam, with moments that are kept, and a
length that the non-monotone trust region finds by itself. An accepted batch costs one forward and
backward and one forward. Measured in the README, "Below the paper's cost"."""

PRESETS: dict[str, dict[str, Any]] = {"light": LIGHT}
"""Options by name: ``napts.NAPTS(stages, **napts.PRESETS["light"])``, ``preset`` in a spec."""
