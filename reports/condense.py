"""Copy the part of a records folder that is worth committing.

Usage: python reports/condense.py RECORDS TARGET
"""

import sys
from pathlib import Path

from napts.records.condense import condense

if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    for path in condense(Path(sys.argv[1]), Path(sys.argv[2])):
        print(path)
