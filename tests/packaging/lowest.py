"""Print pins of the lowest versions that pyproject.toml allows, as constraints for pip.

Usage: ``python -m tests.packaging.lowest [NAME ...] > lowest.txt``, where each NAME is a package to
leave out because it comes from elsewhere, such as torch.
"""

import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

from packaging.requirements import Requirement

PROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"


def lowest(extras: Iterable[str] = ("all", "dev", "docs")) -> dict[str, str]:
    """Return the lower bound of every direct dependency with these extras."""
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    optional = project["optional-dependencies"]
    found = [*project["dependencies"], *_resolved(extras, optional)]
    bounds = {}
    for requirement in map(Requirement, found):
        (bound,) = (s.version for s in requirement.specifier if s.operator in (">=", "=="))
        bounds[requirement.name] = bound
    return bounds


def _resolved(extras: Iterable[str], optional: dict[str, list[str]]) -> Iterator[str]:
    """Go through extras, and those that they name as extras of this package."""
    for extra in extras:
        for line in optional[extra]:
            requirement = Requirement(line)
            if requirement.name == "napts":
                yield from _resolved(requirement.extras, optional)
            else:
                yield line


if __name__ == "__main__":
    left_out = set(sys.argv[1:])
    print("\n".join(f"{name}=={v}" for name, v in lowest().items() if name not in left_out))
