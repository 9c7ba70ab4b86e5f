"""What the committed records say: the paper preset is what the calibration chooses."""

from pathlib import Path

import napts
from napts.analysis import load_collection
from napts.claims.calibration import SCORED, score_cells
from napts.claims.verdict import Verdict

RECORDS = Path(__file__).parents[2] / "reports" / "records"


def test_the_paper_preset_is_the_best_cell_of_the_calibration(tmp_path: Path) -> None:
    name = "calibration.runs.jsonl.gz"
    (tmp_path / name).write_bytes((RECORDS / name).read_bytes())
    (section,) = load_collection(tmp_path).of_kind("calibration")
    assert len(section.records) == 546
    cells = score_cells(section)
    best = cells[0]
    assert len(cells) == 54
    assert all(cell.score < best.score or cell.accuracy < best.accuracy for cell in cells[1:])
    preset = {name: str(value) for name, value in napts.preset("NAPTS", "paper").items()}
    assert preset.pop("radius_floor") == "fixed"  # as in all runs of the calibration
    assert dict(best.change) == preset
    confirmed = {j.claim.name for j in best.judgements if j.verdict == Verdict.CONFIRMED}
    assert confirmed == {"N1", "N3", "N4", "N6", "N10"}
    assert tuple(j.claim.name for j in best.judgements) == SCORED
