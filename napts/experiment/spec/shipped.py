"""The studies that come with the package, under their names in the repository."""

from pathlib import Path

FOLDER = "studies"


def shipped(path: Path) -> Path:
    """Return where a spec is: at its path or, if nothing is there, among the package's studies.

    Args:
        path: For example ``studies/digits.toml``, as in the README.

    Returns:
        The path itself, unless nothing is there and the package has a study of that name.
    """
    if path.exists() or path.is_absolute() or path.parts[:1] != (FOLDER,) or ".." in path.parts:
        return path
    package = Path(__file__).resolve().parents[2]
    # In a wheel the folder lies in the package, in a checkout beside it.
    candidates = (package / path, package.parent / path)
    return next((found for found in candidates if found.is_file()), path)
