import os
import struct
from pathlib import Path

import numpy as np
import pytest

from napts.problems.minimum import CACHE
from tests.helpers.rows import write_rows

FASHION_TRAIN, FASHION_TEST = 60, 20


def write_idx(path: Path, array: np.ndarray) -> None:
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    path.write_bytes(header + array.tobytes())


def write_fashion(root: Path) -> None:
    """Write a tiny data set in torchvision's layout of Fashion-MNIST."""
    raw = root / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for part, n in (("train", FASHION_TRAIN), ("t10k", FASHION_TEST)):
        images = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        write_idx(raw / f"{part}-images-idx3-ubyte", images)
        write_idx(raw / f"{part}-labels-idx1-ubyte", np.arange(n, dtype=np.uint8) % 10)


@pytest.fixture
def fashion_root(tmp_path: Path) -> Path:
    write_fashion(tmp_path)
    return tmp_path


@pytest.fixture
def real_root() -> Path:
    root = os.environ.get("NAPTS_DATA")
    if not root:
        pytest.skip("needs real data: set NAPTS_DATA to a folder in torchvision's layout")
    return Path(root)


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own in which minimisers are kept."""
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def rows_root(tmp_path: Path, own_cache: Path) -> Path:
    """A data folder with a small file in LIBSVM's layout."""
    write_rows(tmp_path)
    return tmp_path
