"""Draw the figures of APTS in weights and in data (2023) from a records folder.

Four panels where there are runs with and without forced decrease (Figure 1 of arXiv 2312.13677),
two for every comparison (its Figure 2, and those of the slides); the authors' published averages
beside them, also as tables.

Usage: python reports/family.py RECORDS OUT
"""

import sys
from pathlib import Path

from napts.plotting import render

if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    for path in render("family", Path(sys.argv[1]), Path(sys.argv[2])):
        print(path)
