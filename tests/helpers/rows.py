"""A small file in LIBSVM's layout."""

from pathlib import Path

import numpy as np

ROWS = 40


def write_rows(root: Path, rows: int = ROWS) -> Path:
    """Write ``libsvm/data.txt``: rows with 3 features and labels 1 and 2, not separable."""
    path = root / "libsvm" / "data.txt"
    path.parent.mkdir()
    rng = np.random.default_rng(0)
    lines = []
    for inputs, noise in zip(rng.normal(size=(rows, 3)), rng.normal(size=rows), strict=True):
        label = 2 if inputs @ [1.0, -2.0, 0.0] + noise > 0 else 1
        lines.append(f"{label} " + " ".join(f"{j}:{x:.3f}" for j, x in enumerate(inputs, 1)))
    path.write_text("\n".join(lines) + "\n")
    return path
