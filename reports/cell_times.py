"""Print how far the counted passes of each calibrated setting are from the NAPTS paper's times.

Usage: python reports/cell_times.py RECORDS
"""

import sys
from pathlib import Path

from napts.analysis import load_collection
from napts.papers.claims.calibration import calibration_cells
from napts.papers.claims.identification import is_identification
from napts.papers.cost_model import FOUR_DEVICES, PAPER_BATCHES, counted, fit, of_the_paper


def main() -> None:
    """Print one line per cell, the nearest first."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    lines = []
    for section in load_collection(Path(sys.argv[1])).of_kind("calibration"):
        if is_identification(section):
            continue  # napts report identification
        for cell in calibration_cells(section):
            if passes := of_the_paper(counted(cell)):
                costs = {name: FOUR_DEVICES.cost(counts) for name, counts in passes.items()}
                lines.append(_line(costs, cell.slug or "defaults"))
    print("error  s a pass  NAPTS/APTS  APTS/TR  NAPTS/TR  cell")
    print("\n".join(sorted(lines)))


def _line(costs: dict[str, float], cell: str) -> str:
    found = fit(costs)
    pairs = (("NAPTS", "APTS"), ("APTS", "TR"), ("NAPTS", "TR"))
    ratios = "  ".join(f"{costs[of] / costs[to]:8.3f}" for of, to in pairs)
    return f"{found.error:.3f}  {found.unit / PAPER_BATCHES:8.3f}    {ratios}  {cell}"


if __name__ == "__main__":
    main()
