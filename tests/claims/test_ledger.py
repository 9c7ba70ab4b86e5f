"""Claims on records whose answers are known."""

from pathlib import Path
from typing import Any

import pytest

import napts
from napts.analysis import load_collection
from napts.claims import CLAIMS, Judgement, Verdict, claims_frame, judge_section
from napts.claims.ledger import INEXACT
from napts.claims.tables import claims_tables
from tests.claims.conftest import BATCHES, MakeSection, write

SEEDS = 4


def judged(section: Any, name: str, tuned: Any = None) -> Judgement:
    (found,) = (j for j in judge_section(section, tuned) if j.claim.name == name)
    return found


def each(numbers: dict[str, Any]) -> list[dict[str, Any]]:
    """The same numbers for every seed, but for a little noise."""
    return [
        {k: v * (1 + 0.001 * s) if isinstance(v, float) else v for k, v in numbers.items()}
        for s in range(SEEDS)
    ]


def verdict(section: Any, name: str, tuned: Any = None) -> Verdict:
    return judged(section, name, tuned).verdict


def test_every_claim_of_the_ledger_is_there_once() -> None:
    names = [claim.name for claim in CLAIMS]
    assert len(set(names)) == len(names)
    assert names == [
        *(f"N{i}" for i in range(1, 14)),
        *(f"A{i}" for i in range(1, 5)),
        *(f"W{i}" for i in range(1, 10)),
        *("D1", "P1", "P2", "P3", "L1", "L2", "T1", "R1"),
    ]
    assert all(bool(claim.rules) != bool(claim.needs) for claim in CLAIMS)


@pytest.mark.parametrize(
    ("seconds", "expected"), [(3.0, Verdict.CONFIRMED), (4.4, Verdict.REFUTED)]
)
def test_cpu_time(section: MakeSection, seconds: float, expected: Verdict) -> None:
    found = section({"APTS": each({"cpu_seconds": 4.5}), "NAPTS": each({"cpu_seconds": seconds})})
    finding = judged(found, "N2").findings[0]
    assert finding.verdict is expected
    assert finding.estimate is not None
    assert finding.estimate.value == pytest.approx(seconds / 4.5)
    assert finding.estimate.n == SEEDS


def test_seeds_that_disagree_leave_it_undecided(section: MakeSection) -> None:
    times = [{"cpu_seconds": s} for s in (2.0, 4.4, 2.5, 4.4)]
    found = section({"APTS": each({"cpu_seconds": 4.5}), "NAPTS": times})
    assert verdict(found, "N2") is Verdict.UNDECIDED


@pytest.mark.parametrize(
    ("rejections", "expected"), [(1.1, Verdict.CONFIRMED), (2.0, Verdict.REFUTED)]
)
def test_rejections(section: MakeSection, rejections: float, expected: Verdict) -> None:
    found = section(
        {
            "APTS": each({"rejections": 3.0 * BATCHES}),
            "NAPTS": each({"rejections": rejections * BATCHES}),
        }
    )
    assert verdict(found, "N3") is expected


def test_accuracy_is_kept_within_a_point(section: MakeSection) -> None:
    found = section({"APTS": each({"val_accuracy": 0.80}), "NAPTS": each({"val_accuracy": 0.795})})
    judgement = judged(found, "N1")
    assert judgement.verdict is Verdict.CONFIRMED
    assert judgement.findings[0].estimate is not None
    assert judgement.findings[0].estimate.value == pytest.approx(-0.5, abs=0.01)


def test_accuracy_is_compared_after_equal_epochs(section: MakeSection) -> None:
    """TR has 20 epochs and is better at their end, worse after ten."""
    slow = {"val_accuracy": lambda epoch: 0.7 if epoch <= 10 else 0.9, "train_loss": 0.5}
    fast = {"val_accuracy": 0.8, "train_loss": 0.4}
    section({"TR": [slow] * SEEDS, "NTR": [slow] * SEEDS}, epochs=20)
    found = section({"APTS": [fast] * SEEDS, "NAPTS": [fast] * SEEDS}, epochs=10)
    assert verdict(found, "N7") is Verdict.CONFIRMED
    assert verdict(found, "N5") is Verdict.REFUTED


def test_twice_the_epochs_are_asked_for(section: MakeSection) -> None:
    found = section({m: each({"val_accuracy": 0.8}) for m in ("TR", "NTR", "APTS", "NAPTS")})
    judgement = judged(found, "N5")
    assert judgement.findings[0].verdict is Verdict.NOT_TESTED
    assert "2 times the epochs" in judgement.needs


def test_too_few_seeds_are_no_test(section: MakeSection) -> None:
    two = [{"cpu_seconds": 1.0}, {"cpu_seconds": 1.1}]
    judgement = judged(section({"APTS": two, "NAPTS": two}), "N2")
    assert judgement.verdict is Verdict.NOT_TESTED
    assert "at least 3 seeds" in judgement.needs


def test_what_is_missing_is_said(section: MakeSection) -> None:
    judgement = judged(section({"APTS": each({"cpu_seconds": 1.0})}), "N2")
    assert (judgement.verdict, judgement.needs) == (Verdict.NOT_TESTED, "runs of NAPTS")


def test_runs_that_diverged_are_counted(tmp_path: Path) -> None:
    for seed in range(4):
        write(tmp_path, "NAPTS", seed, {"val_accuracy": 0.8})
        ended = {"state": "diverged", "epochs_done": 2} if seed == 3 else {}
        write(tmp_path, "APTS", seed, {"val_accuracy": 0.8}, **ended)
    estimate = judged(load_collection(tmp_path).sections[0], "N1").findings[0].estimate
    assert estimate is not None
    assert (estimate.n, estimate.missing) == (3, 1)


@pytest.mark.parametrize(
    ("last", "expected"), [(0.5, Verdict.CONFIRMED), (0.5 + 1e-15, Verdict.REFUTED)]
)
def test_window_zero_must_be_apts_to_the_last_bit(
    section: MakeSection, last: float, expected: Verdict
) -> None:
    same = {"val_loss": 0.2, "val_accuracy": 0.9, "rejections": 3.0, "radius": 0.1}
    section({"APTS": [{**same, "train_loss": 0.5}] * 3})
    by_seed = [{**same, "train_loss": loss} for loss in (0.5, 0.5, last)]
    found = section({"NAPTS": by_seed}, options={"window": 0}, label="NAPTS window=0")
    assert verdict(found, "N12") is expected


def test_a_baseline_must_be_the_tuned_one(section: MakeSection) -> None:
    section({"APTS": each({"val_accuracy": 0.8})})
    section({"SGD": each({"val_accuracy": 0.81})}, options={"lr": 0.1})
    found = section({"Adam": each({"val_accuracy": 0.81})}, options={"lr": 0.01})
    both = {"Adam": {"method": "Adam", "lr": 0.01}, "SGD": {"method": "SGD", "lr": 0.1}}
    other = {**both, "Adam": {"method": "Adam", "lr": 0.02}}
    assert verdict(found, "A1", both) is Verdict.CONFIRMED
    assert judged(found, "A1", other).needs == "runs of tuned Adam"
    assert "a tuning study of Adam" in judged(found, "A1").needs


def falling(epoch_of_target: int | None):
    return lambda epoch: 0.1 if epoch_of_target and epoch >= epoch_of_target else 1.0


@pytest.mark.parametrize(
    ("reached", "expected"),
    [
        ((4, 4, 5, 5), Verdict.CONFIRMED),
        ((10, 10, None, None), Verdict.REFUTED),
        ((None, None, None, None), Verdict.REFUTED),
    ],
)
def test_runs_that_miss_the_target_are_censored(
    section: MakeSection, reached: tuple[int | None, ...], expected: Verdict
) -> None:
    tuned = {"Adam": {"method": "Adam"}}
    section({"Adam": [{"train_loss": falling(8)}] * SEEDS})
    found = section(
        {"APTS": [{"train_loss": falling(epoch)} for epoch in reached]},
        options={**INEXACT, "subdomains": 6},
        label="IAPTS 6",
    )
    sooner = judged(found, "A3", tuned).findings[1]
    assert sooner.verdict is expected


def test_the_radius_floor_matters(section: MakeSection) -> None:
    for floor, accuracy in ((0.001, 0.8), (0.1, 0.7)):
        options = {**INEXACT, "subdomains": 6, "radius_min": floor}
        found = section(
            {"APTS": each({"val_accuracy": accuracy})}, options=options, label=f"floor {floor}"
        )
    spread = judged(found, "A4").findings[1]
    assert spread.verdict is Verdict.CONFIRMED
    assert spread.estimate is not None
    assert spread.estimate.value == pytest.approx(10, abs=0.1)


def test_tables_tell_every_claim(section: MakeSection) -> None:
    found = section({"APTS": each({"cpu_seconds": 4.5}), "NAPTS": each({"cpu_seconds": 3.0})})
    judgements = judge_section(found)
    verdicts, measured, needs = claims_tables(judgements)
    about = [c for c in CLAIMS if found.workload.startswith(c.on)]
    assert [row[0] for row in verdicts.rows] == [c.name for c in about if c.rules]
    assert {row[0] for row in needs.rows} >= {"D1", "P1", "N4"}
    assert any(row[2] == "CPU time per epoch, NAPTS / APTS" for row in measured.rows)
    assert len(claims_frame(judgements)) >= len(about)
    text = verdicts.to_text()
    assert max(map(len, text.splitlines())) < 140
    assert '<td class="words">' in verdicts.to_html()


def test_iapts_of_the_claims_is_the_preset() -> None:
    preset = napts.preset("APTS", "iapts")
    assert preset.pop("radius_floor") == "fixed"  # what a spec has that says nothing of it
    assert {**preset, "correction": []} == INEXACT
