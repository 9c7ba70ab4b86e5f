"""Where data sets are looked for, and the messages if they are missing."""

import os
from pathlib import Path

from napts.text import one_line

ENVIRONMENT_VARIABLE = "NAPTS_DATA"

_LONGEST_FOLDER = 30
"""Characters of a folder, so that the remedy fits into the line too."""


class DataMissing(ValueError):
    """A data set is not in the data folder.

    Args:
        dataset: Its name.
        root: The folder.
        reason: What is wrong.
        remedy: What to do, up to "or name another folder"; None for torchvision's sets.
    """

    def __init__(
        self,
        dataset: str,
        root: Path,
        *,
        reason: str = "is not (completely)",
        remedy: str | None = None,
    ) -> None:
        remedy = remedy or (
            f"download it with `napts data prepare {dataset}`, or name a folder in torchvision's "
            "layout"
        )
        super().__init__(
            f"data set {dataset!r} {reason} in {one_line(root, _LONGEST_FOLDER, 2 / 3)}: {remedy} "
            f"with --data-root or {ENVIRONMENT_VARIABLE}"
        )
        self.dataset = dataset
        self.root = root


class DataInvalid(ValueError):
    """The files of a data set are there, but do not have the right contents."""


def resolve_data_root(explicit: Path | str | None = None) -> Path:
    """Return the folder of torchvision's data sets.

    It is the first one given of the argument, the environment variable NAPTS_DATA, and
    ``~/.cache/napts``. The folder need not exist.

    Args:
        explicit: Folder chosen by the user, for example by ``--data-root``.
    """
    chosen = explicit or os.environ.get(ENVIRONMENT_VARIABLE) or Path("~/.cache/napts")
    return Path(chosen).expanduser()
