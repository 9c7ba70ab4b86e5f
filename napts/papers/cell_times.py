"""How far the counted passes of each calibrated setting are from the NAPTS paper's times."""

from napts.analysis import Collection, Section, Table
from napts.papers.claims.calibration import calibration_cells
from napts.papers.claims.evidence import Evidence, Who
from napts.papers.claims.identification import is_identification
from napts.papers.claims.tables import interval
from napts.papers.claims.times import ModelledTime
from napts.papers.cost_model import FOUR_DEVICES, PAPER_BATCHES, Fit, counted, fit, of_the_paper

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
                found.append((fit(costs), cell))
    ordered = sorted(found, key=lambda each: (each[0].error, _name(each[1])))
    rows = [_row(fitted, cell) for fitted, cell in ordered]
    return Table(
        "Modelled times of the cells beside the NAPTS paper's",
        ["cell", "n", "error", "s a pass", *(f"{of}/{to}" for of, to in PAIRS)],
        rows,
        [
            "Error: root mean square of the logarithms, one unit fitted to the five printed times; "
            "it and the seconds of a pass are those of the counts' means over n seeds. Ratios with "
            "95 % intervals, paired by seed."
        ],
    )


def _name(cell: Section) -> str:
    return cell.slug or "defaults"


def _row(fitted: Fit, cell: Section) -> list[str]:
    evidence = Evidence(cell)
    ratios = [ModelledTime("", Who(of), Who(to), None).estimate(evidence) for of, to in PAIRS]
    counts = dict.fromkeys(str(ratio.n) for ratio in ratios)
    return [
        _name(cell),
        ", ".join(counts),
        f"{fitted.error:.3f}",
        f"{fitted.unit / PAPER_BATCHES:.3f}",
        *map(interval, ratios),
    ]
