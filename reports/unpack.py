"""Write packed runs as run directories again, so that a sweep or a tuning study goes on from them.

Usage: python reports/unpack.py FILE... RECORDS
"""

import sys

from napts.records import unpack

if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    *files, records = sys.argv[1:]
    for file in files:
        print(f"{file}: {len(unpack(file, records))} runs")
