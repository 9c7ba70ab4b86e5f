"""Draw loss and metric by cost, rejections by phase and radius from a records folder.

Usage: python reports/compare.py RECORDS OUT
"""

import sys
from pathlib import Path

from napts.plotting import render

if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    for path in render("compare", Path(sys.argv[1]), Path(sys.argv[2])):
        print(path)
