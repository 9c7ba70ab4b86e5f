"""Which extra installs which package, and the one line that says so when it is missing.

The core needs torch, NumPy and pydantic. Code that needs more asks for it first, with `need`.
"""

from importlib.util import find_spec

EXTRAS: dict[str, tuple[str, ...]] = {
    "harness": (
        *("click", "rich", "psutil", "sklearn", "scipy", "pandas", "matplotlib", "seaborn"),
        *("torchvision", "tomli_w", "PIL"),
    ),
    "slurm": ("submitit",),
    "mlflow": ("mlflow",),
    "baselines": ("prodigyopt", "schedulefree", "dadaptation"),
}
"""Modules, by the extra of `napts` that installs their packages."""

_EXTRA_OF = {module: extra for extra, modules in EXTRAS.items() for module in modules}


class MissingExtra(ImportError):
    """A package of an extra is not installed; the message names both."""


def need(*modules: str) -> None:
    """Check that modules can be imported, without importing them.

    Args:
        modules: Top-level names, extra by extra.

    Raises:
        MissingExtra: One of them is not installed.
    """
    missing = [module for module in modules if not _is_there(module)]
    if missing:
        raise MissingExtra(said(missing), name=missing[0])


def said(modules: list[str]) -> str:
    """Return the line that says what is missing and how to install it.

    Args:
        modules: Top-level names of modules that are not there.
    """
    extras = ",".join(dict.fromkeys(_EXTRA_OF[m] for m in modules if m in _EXTRA_OF))
    verb = "is" if len(modules) == 1 else "are"
    wanted = f"'napts[{extras}]'" if extras else " ".join(modules)
    return f"{', '.join(modules)} {verb} not installed: pip install {wanted}"


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False
