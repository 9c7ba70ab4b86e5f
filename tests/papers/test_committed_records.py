"""The committed records give the tables and verdicts that they gave; the paper preset's cell."""

import json
from pathlib import Path

import napts
from napts.analysis import Collection, load_collection
from napts.papers.claims import judge
from napts.papers.claims.calibration import SCORED, score_cells
from napts.papers.claims.identification import ORDER
from napts.papers.claims.repeats import twins
from napts.papers.claims.verdict import Verdict
from napts.papers.figures.identification import identifications
from napts.papers.repeated_tries import wholly_failed
from tests.papers.committed_records import committed

RECORDS = Path(__file__).parents[2] / "reports" / "records"

GOLDEN = Path(__file__).parent / "golden" / "committed-records.json"
"""Made by `tests.papers.committed_records` from revision 199e286, but for what the tables of claims
say that L1, L2, R1 and T1 need, which have tests since then, for modelled times of four devices
among the numbers of N2, N8 and N9, for the tables of the report `times`, and for headings and
descriptions on the page. Figures that would show nothing are no longer there."""


def test_tables_and_verdicts_are_what_they_were() -> None:
    before, now = json.loads(GOLDEN.read_text()), committed()
    assert now["verdicts"] == before["verdicts"]
    assert now["claims"] == before["claims"]
    assert now["files"] == before["files"]


def test_the_paper_preset_is_among_the_best_cells_of_the_calibration(tmp_path: Path) -> None:
    name = "calibration.runs.jsonl.gz"
    (tmp_path / name).write_bytes((RECORDS / name).read_bytes())
    (section,) = load_collection(tmp_path).of_kind("calibration")
    assert len(section.records) == 546
    cells = score_cells(section)
    assert len(cells) == 54
    preset = {name: str(value) for name, value in napts.preset("NAPTS", "paper").items()}
    assert preset.pop("radius_floor") == "fixed"  # as in all runs of the calibration
    (chosen,) = (cell for cell in cells if dict(cell.change) == preset)
    # It was chosen by intervals that were too narrow for three seeds; by these it is half a claim
    # behind the first, as docs/results/napts.md says.
    assert (chosen.score, cells[0].score) == (5.0, 5.5)
    assert [cell.score for cell in cells].count(5.5) == 7
    equals = [cell for cell in cells if cell.score == chosen.score]
    assert max(equals, key=lambda cell: cell.accuracy) == chosen
    confirmed = {j.claim.name for j in chosen.judgements if j.verdict == Verdict.CONFIRMED}
    assert confirmed == {"N1", "N6", "N10"}
    assert tuple(j.claim.name for j in chosen.judgements) == SCORED


def test_verdicts_on_finite_sums(tmp_path: Path) -> None:
    """MLVR is no cheaper than a line search with sub-sampled Newton steps, as was foreseen."""
    for path in (*RECORDS.glob("finite-sums*"), *RECORDS.glob("tune-*-logistic-*")):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    judged = [j for j in judge(load_collection(tmp_path)) if j.section]
    found = {(j.claim.name, j.section.workload): j for j in judged if j.section}
    verdicts = {key: str(judgement.verdict) for key, judgement in found.items()}
    workloads = tuple(f"{n}-logistic" for n in ("a9a", "australian-scale", "mushrooms", "w8a"))
    assert {verdicts["L1", name] for name in workloads} == {"confirmed"}
    assert {verdicts["L2", name] for name in workloads} == {"refuted"}
    rivals = {f.what: str(f.verdict) for f in found["L2", "a9a-logistic"].findings if f.region}
    assert rivals["gradients to gap 1e-06, MLVR2 / tuned SVRG"] == "confirmed"
    assert rivals["gradients to gap 1e-06, MLVR3 / SSN 0.1 with line search"] == "refuted"


def test_verdicts_on_the_papers_problem_at_full_size(tmp_path: Path) -> None:
    """What counts and accuracies say is judged; seconds of runs that shared a GPU are not."""
    for path in (*RECORDS.glob("cifar10-cnn.*"), *RECORDS.glob("cifar10-cnn-seconds.*")):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    collection = load_collection(tmp_path)
    sections = {section.slug: section for section in collection.sections}
    assert [len(section.records) for section in sections.values()] == [45, 9]
    judged = {j.claim.name: j for j in judge(collection) if j.section is sections["cifar10-cnn"]}
    verdicts = {name: str(judgement.verdict) for name, judgement in judged.items()}
    assert {n for n, v in verdicts.items() if v == "confirmed"} == {"N1", "N6", "N10"}
    assert {n for n, v in verdicts.items() if v == "refuted"} == {"N2", "N5", "N7", "N8", "N9"}
    assert {n for n, v in verdicts.items() if v == "undecided"} == {"N3", "N4"}
    ours = [f for name in judged if name.startswith("N") for f in judged[name].findings]
    times = [finding for finding in ours if "CPU time" in finding.what]
    assert len(times) == 10
    assert {(f.verdict, "to themselves" in f.needs) for f in times} == {(Verdict.NOT_TESTED, True)}


def _own(pattern: str, folder: Path) -> Collection:
    for path in RECORDS.glob(pattern):
        (folder / path.name).write_bytes(path.read_bytes())
    return load_collection(folder)


def test_no_cell_of_the_second_calibration_reproduces_the_paper(tmp_path: Path) -> None:
    """What docs/results/identification.md says of the winner."""
    (study,) = identifications(_own("calibration-absolute.*", tmp_path))
    assert len(study.regimes) == 20
    assert not any(regime.reproduces for regime in study.regimes)
    assert sum(regime.fits for regime in study.regimes) == 11
    winner = study.winner
    for run in winner.section.records:
        preset = napts.preset(run.method, "paper-times")
        assert {name: run.spec["optimizer"][name] for name in preset} == preset
    assert (winner.name, winner.seeds) == ("radius=0.1 radius_min=0.1", 2)
    assert round(winner.fit.error, 3) == 0.028
    assert set(SCORED) - set(winner.met) == {"N5", "N7", "N8"}
    assert winner.in_order == len(ORDER) - 2


def test_repeats_cost_what_the_model_says_and_change_nothing_else(tmp_path: Path) -> None:
    pairs = twins(_own("paper-times-*", tmp_path))
    assert {pair.repeated.workload for pair in pairs} == {"digits-cnn", "mnist-fcnn"}
    for pair in pairs:
        assert pair.alike
        once = {(run.label, run.seed): run for run in pair.once.records}
        for run in pair.repeated.records:
            tries = run.spec["optimizer"]["max_tries"]
            for row, other in zip(run.epochs, once[run.label, run.seed].epochs, strict=True):
                if row["epoch"] == 0:
                    continue
                failed = wholly_failed(row, tries)
                more = row["rejections"] - other["rejections"]
                assert row["forwards"] - other["forwards"] == more
                # All tries of a batch that failed for good, and those before a step was taken.
                assert tries * failed <= row["rejections_global"]
                assert row["rejections_global"] <= tries * failed + other["rejections_global"]
                assert bool(more) <= bool(failed)
