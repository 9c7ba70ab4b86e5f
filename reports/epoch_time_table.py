"""Print and write the NAPTS paper's table of seconds per epoch from a records folder.

Usage: python reports/epoch_time_table.py RECORDS OUT
"""

import sys
from pathlib import Path

from napts.analysis import comparison_tables, load_collection
from napts.plotting import render

if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    for section in load_collection(Path(sys.argv[1])).sections:
        print(f"\n{section.slug}\n")
        print("\n\n".join(table.to_text() for table in comparison_tables(section.runs)))
    print()
    for path in render("table", Path(sys.argv[1]), Path(sys.argv[2])):
        print(path)
