"""Results that appear as a whole: a report that fails leaves the one before as it was."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """Give a folder whose files replace those of another one when the block ends well.

    Otherwise nothing is left of them, nor of the folders that were made for them.

    Args:
        folder: Where the files are to be, made if missing.

    Yields:
        A folder inside it, to write into.

    Raises:
        OSError: The folder cannot be made or written to.
    """
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        new = Path(tempfile.mkdtemp(prefix=".new-", dir=folder))
        try:
            yield new
            for file in sorted(path for path in new.rglob("*") if path.is_file()):
                target = folder / file.relative_to(new)
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(file, target)
        finally:
            shutil.rmtree(new, ignore_errors=True)
    except BaseException:
        with contextlib.suppress(OSError):
            for place in made:
                place.rmdir()
        raise
