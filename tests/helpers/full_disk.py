"""A disk without room for one file: what is written in its place goes to ``/dev/full``."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from napts.records import files


@contextmanager
def no_room_for(name: str) -> Iterator[None]:
    """Within the block, files of that name cannot be replaced."""

    def opened(path: Path, mode: str, **options: Any) -> Any:
        if path.name == f"{name}.tmp":
            return open("/dev/full", "wb", **options)
        return open(path, mode, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "open", opened, raising=False)
        yield
