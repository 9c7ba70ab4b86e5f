"""The studies that come with the package, under the names they have in the repository."""

from pathlib import Path

FOLDER = "studies"


def shipped(path: Path) -> Path:
    """Return where a spec lies: as named or, if nothing is there, among the package's studies.

    Args:
        path: For example ``studies/digits.toml``, as the README has it.

    Returns:
        The path itself, unless the package has a study of that name and the path names nothing.
    """
    if path.exists() or path.is_absolute() or path.parts[:1] != (FOLDER,) or ".." in path.parts:
        return path
    package = Path(__file__).resolve().parents[2]
    # In a wheel the folder lies in the package, in a checkout beside it.
    candidates = (package / path, package.parent / path)
    return next((found for found in candidates if found.is_file()), path)
