"""Named sets of options by method; `napts.papers` registers those of the papers and ours."""

from collections.abc import Mapping
from typing import Any

from napts.registry import Registry

PRESETS: Registry[Mapping[str, dict[str, Any]]] = Registry("presets")
"""The options of each preset, by its name and the method; ``preset`` in a spec."""


def register_preset(name: str, options: Mapping[str, dict[str, Any]]) -> None:
    """Add a named set of options.

    Args:
        name: Its name.
        options: For each method that has it, keyword arguments of the method's constructor.

    Raises:
        ValueError: The name is taken.
    """
    PRESETS.register(name, options)


def preset(method: str, name: str) -> dict[str, Any]:
    """Return a named set of options.

    Args:
        method: Name of the method, for example ``"NAPTS"``.
        name: One of `PRESETS`.

    Returns:
        Keyword arguments of the method's constructor.

    Raises:
        ValueError: There is no such set for the method.

    Example:
        >>> optimizer = napts.NAPTS(stages, **napts.preset("NAPTS", "light"))
    """
    own = [known for known, methods in PRESETS.items() if method in methods]
    if name not in own:
        raise ValueError(
            f"Invalid preset of {method}: {name!r}, must be one of {', '.join(own) or 'none'}"
        )
    return dict(PRESETS[name][method])
