"""How far the counted passes of each calibrated setting are from the NAPTS paper's times."""

from napts.analysis import Collection, Table
from napts.papers.claims.calibration import calibration_cells
from napts.papers.claims.identification import is_identification
from napts.papers.cost_model import FOUR_DEVICES, PAPER_BATCHES, counted, fit, of_the_paper

PAIRS = (("NAPTS", "APTS"), ("APTS", "TR"), ("NAPTS", "TR"))


def cell_times_table(collection: Collection) -> Table:
    """Return a row for each cell of the calibrations by ratios, the nearest first.

    Args:
        collection: The records.
    """
    found = []
    for section in collection.of_kind("calibration"):
        if is_identification(section):
            continue  # `napts report identification` is about these
        for cell in calibration_cells(section):
            if passes := of_the_paper(counted(cell)):
                costs = {name: FOUR_DEVICES.cost(counts) for name, counts in passes.items()}
                found.append((fit(costs), costs, cell.slug or "defaults"))
    rows = [
        [
            cell,
            f"{fitted.error:.3f}",
            f"{fitted.unit / PAPER_BATCHES:.3f}",
            *(f"{costs[of] / costs[to]:.3f}" for of, to in PAIRS),
        ]
        for fitted, costs, cell in sorted(found, key=lambda each: (each[0].error, each[2]))
    ]
    return Table(
        "Modelled times of the cells beside the NAPTS paper's",
        ["cell", "error", "s a pass", *(f"{of}/{to}" for of, to in PAIRS)],
        rows,
        ["Error: root mean square of the logarithms, one unit fitted to the five printed times."],
    )
