"""Make the pictures that README and documentation show, all of them or those that are named.

Usage: python -m tests.pictures [NAME ...]
"""

import sys
import tempfile
from pathlib import Path

from tests.pictures.pictures import FIGURES, MLFLOW, PAGE, draw, picture_mlflow, picture_page


def main(names: list[str]) -> None:
    """Make them and print their paths."""
    for shown in FIGURES:
        if not names or Path(shown.path).stem in names:
            draw(shown)
            print(shown.path)
    for path, make in ((MLFLOW, picture_mlflow), (PAGE, picture_page)):
        if not names or path.stem in names:
            with tempfile.TemporaryDirectory() as folder:
                make(Path(folder), path)
            print(path)


if __name__ == "__main__":
    main(sys.argv[1:])
