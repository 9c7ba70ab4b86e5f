"""Claims on records whose answers are known."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

import napts
from benchmarks.made_runs import write_comparison
from napts.analysis import load_collection
from napts.papers.claims import CLAIMS, Judgement, Verdict, claims_frame, judge, judge_section
from napts.papers.claims.catalogue import INEXACT
from napts.papers.claims.tables import claims_tables
from tests.papers.conftest import BATCHES, MakeSection, write

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
    (finding,) = (f for f in judged(found, "N2").findings if "CPU" in f.what)
    assert not finding.counts, "one process takes the subdomains one after the other"
    assert finding.verdict is expected
    assert finding.estimate is not None
    assert finding.estimate.value == pytest.approx(seconds / 4.5)
    assert finding.estimate.n == SEEDS


def test_seeds_that_disagree_leave_it_undecided(section: MakeSection) -> None:
    rejections = [{"rejections": r * BATCHES} for r in (0.3, 2.9, 0.6, 2.9)]
    found = section({"APTS": each({"rejections": 3.0 * BATCHES}), "NAPTS": rejections})
    assert verdict(found, "N3") is Verdict.UNDECIDED


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


def test_runs_that_diverged_count_as_the_worst(tmp_path: Path) -> None:
    for seed in range(4):
        write(tmp_path, "NAPTS", seed, {"val_accuracy": 0.8})
        ended = {"state": "diverged", "epochs_done": 2} if seed == 3 else {}
        write(tmp_path, "APTS", seed, {"val_accuracy": 0.8}, **ended)
    estimate = judged(load_collection(tmp_path).sections[0], "N1").findings[0].estimate
    assert estimate is not None
    assert (estimate.n, estimate.missing, estimate.bad) == (4, 0, 1)
    assert estimate.value == pytest.approx(80 / 4)


def half_aborted(root: Path, method: str, numbers: dict[str, Any], state: str) -> None:
    """Six runs, of which three did not end well."""
    for seed in range(6):
        ended = {"state": state, "epochs_done": 2} if seed >= 3 else {}
        write(root, method, seed, numbers, **ended)


FEW = {"forwards": 10.0, "backwards": 10.0, "local_passes": 10.0}
GOOD = {"val_accuracy": 0.8, "cpu_seconds": 2.0, "rejections": 1.0, "train_loss": 0.1, **FEW}
MANY = dict.fromkeys(FEW, 30.0)
PLAIN = {"val_accuracy": 0.7, "cpu_seconds": 4.5, "rejections": 50.0, "train_loss": 0.2, **MANY}
BETTER = ("N1", "N2", "N3", "N10")
"""Claims that speak well of NAPTS: a difference, two ratios and a level."""


@pytest.mark.parametrize("name", BETTER)
@pytest.mark.parametrize("state", ["diverged", "failed"])
def test_nothing_good_is_confirmed_of_a_method_whose_runs_end_badly(
    tmp_path: Path, name: str, state: str
) -> None:
    half_aborted(tmp_path, "NAPTS", GOOD, state)
    for seed in range(6):
        write(tmp_path, "APTS", seed, PLAIN)
    judgement = judged(load_collection(tmp_path).sections[0], name)
    assert judgement.verdict in (Verdict.UNDECIDED, Verdict.REFUTED)
    estimate = judgement.findings[0].estimate
    assert estimate is not None
    assert (estimate.n, estimate.missing, estimate.bad) == (6, 0, 3)
    region = judgement.findings[0].region
    assert region is not None
    assert not region.holds(estimate.value)


@pytest.mark.parametrize("name", BETTER)
def test_runs_that_have_not_ended_are_left_out(tmp_path: Path, name: str) -> None:
    half_aborted(tmp_path, "NAPTS", GOOD, "running")
    for seed in range(6):
        write(tmp_path, "APTS", seed, PLAIN)
    judgement = judged(load_collection(tmp_path).sections[0], name)
    assert judgement.verdict is Verdict.CONFIRMED
    estimate = judgement.findings[0].estimate
    assert estimate is not None
    assert (estimate.n, estimate.missing, estimate.bad) == (3, 3, 0)
    measured = claims_tables([judgement])[1]
    assert measured.rows[0][4] == "3 (3 open)"


@pytest.mark.parametrize(
    ("name", "value", "interval"),
    [("N1", -80.0, -80.0), ("N2", math.inf, math.inf), ("N3", math.inf, math.inf)],
)
def test_a_method_whose_runs_all_end_badly_is_refuted(
    tmp_path: Path, name: str, value: float, interval: float
) -> None:
    for seed in range(3):
        write(tmp_path, "NAPTS", seed, GOOD, state="diverged", epochs_done=2)
        write(tmp_path, "APTS", seed, {**PLAIN, "val_accuracy": 0.8})
    finding = judged(load_collection(tmp_path).sections[0], name).findings[0]
    assert finding.verdict is Verdict.REFUTED
    assert finding.estimate is not None
    assert (finding.estimate.value, finding.estimate.low) == pytest.approx((value, interval))


@pytest.mark.parametrize("name", ["N1", "N2", "N3"])
def test_nothing_is_compared_where_everything_ended_badly(tmp_path: Path, name: str) -> None:
    for seed in range(3):
        for method in ("APTS", "NAPTS"):
            write(tmp_path, method, seed, GOOD, state="diverged", epochs_done=2)
    judgement = judged(load_collection(tmp_path).sections[0], name)
    assert judgement.verdict is Verdict.NOT_TESTED
    assert judgement.needs == "a run of NAPTS or APTS that did not end badly"


def test_both_ending_badly_is_a_tie_and_not_left_out(tmp_path: Path) -> None:
    half_aborted(tmp_path, "NAPTS", GOOD, "diverged")
    half_aborted(tmp_path, "APTS", PLAIN, "failed")
    section = load_collection(tmp_path).sections[0]
    difference, ratio = (judged(section, name).findings[0] for name in ("N1", "N2"))
    assert difference.estimate is not None
    assert (difference.estimate.value, difference.estimate.n) == (pytest.approx(5.0), 6)
    assert ratio.estimate is not None
    assert math.isnan(ratio.estimate.value)
    assert (ratio.verdict, ratio.estimate.n, ratio.estimate.bad) == (Verdict.UNDECIDED, 6, 3)


def test_a_divisor_that_is_always_zero_is_said(section: MakeSection) -> None:
    found = section({"APTS": each({"rejections": 0.0}), "NAPTS": each({"rejections": 0.0})})
    judgement = judged(found, "N3")
    assert judgement.verdict is Verdict.NOT_TESTED
    assert judgement.needs == "rejections per batch of APTS that is not 0"


@pytest.mark.parametrize(
    ("of_state", "to_state", "expected"),
    [
        ("done", "done", Verdict.CONFIRMED),
        ("diverged", "done", Verdict.UNDECIDED),
        ("done", "diverged", Verdict.CONFIRMED),
    ],
)
def test_getting_there_sooner_takes_an_end(
    tmp_path: Path, of_state: str, to_state: str, expected: Verdict
) -> None:
    """Even if the run that diverged had met the target before."""
    for seed in range(SEEDS):
        for method, state, options, start in (
            ("Adam", to_state, {}, 8),
            ("APTS", of_state, {**INEXACT, "subdomains": 6}, 4),
        ):
            aborted = seed == 3 and state != "done"
            end = {"state": state, "epochs_done": 6} if aborted else {}
            write(tmp_path, method, seed, {"train_loss": falling(start)}, options=options, **end)
    collection = load_collection(tmp_path)
    finding = judged(collection.sections[0], "A3", {"Adam": {"method": "Adam"}}).findings[1]
    assert finding.verdict is expected
    assert finding.estimate is not None
    assert finding.estimate.n == SEEDS
    assert finding.estimate.bad == int("diverged" in (of_state, to_state))


def test_getting_there_sooner_is_paired_by_seed(section: MakeSection) -> None:
    """Both take from 1 to 10 epochs; seed by seed one takes as long as the other."""
    section({"Adam": [{"train_loss": falling(e)} for e in (1, 4, 7, 10)]})
    found = section(
        {"APTS": [{"train_loss": falling(e)} for e in (1, 4, 7, 10)]},
        options={**INEXACT, "subdomains": 6},
        label="IAPTS 6",
    )
    estimate = judged(found, "A3", {"Adam": {"method": "Adam"}}).findings[1].estimate
    assert estimate is not None
    assert (estimate.value, estimate.low, estimate.high) == (1.0, 1.0, 1.0)


def test_a_number_that_only_one_has_is_a_difference(section: MakeSection) -> None:
    same = {"val_loss": 0.2, "val_accuracy": 0.9, "rejections": 3.0, "radius": 0.1}
    section({"APTS": [{**same, "train_loss": 0.5}] * 3})
    by_seed = [{**same, "train_loss": loss} for loss in (0.5, 0.5, None)]
    found = section({"NAPTS": by_seed}, options={"window": 0}, label="NAPTS window=0")
    finding = judged(found, "N12").findings[0]
    assert finding.estimate is not None
    assert finding.estimate.value == math.inf
    assert finding.verdict is Verdict.REFUTED


@pytest.mark.parametrize(("both", "expected"), [(True, 0.0), (False, math.inf)])
def test_identical_runs_end_badly_together(tmp_path: Path, both: bool, expected: float) -> None:
    same = {"train_loss": 0.5, "val_loss": 0.2, "val_accuracy": 0.9, "rejections": 3.0}
    for seed in range(3):
        for method, options in (("APTS", {}), ("NAPTS", {"window": 0})):
            aborted = seed == 2 and (both or method == "NAPTS")
            end = {"state": "diverged", "epochs_done": 4} if aborted else {}
            numbers = {**same, "radius": 0.1}
            write(tmp_path, method, seed, numbers, options=options, label=method, **end)
    finding = judged(load_collection(tmp_path).sections[0], "N12").findings[0]
    assert finding.estimate is not None
    assert (finding.estimate.value, finding.estimate.bad) == (expected, 1)


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
def test_runs_that_miss_the_target_are_later_than_all_others(
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
    about = [c for c in CLAIMS if found.workload.startswith(c.on) and c.metric == found.metric]
    assert [row[0] for row in verdicts.rows] == [c.name for c in about if c.rules]
    assert {row[0] for row in needs.rows} >= {"D1", "N4"}
    assert any(row[2] == "CPU time per epoch, NAPTS / APTS" for row in measured.rows)
    assert len(claims_frame(judgements)) >= len(about)
    text = verdicts.to_text()
    assert max(map(len, text.splitlines())) < 140
    assert '<td class="words">' in verdicts.to_html()


def test_iapts_of_the_claims_is_the_preset() -> None:
    preset = napts.preset("APTS", "iapts")
    assert preset.pop("radius_floor") == "fixed"  # what a spec has that says nothing of it
    assert {**preset, "correction": []} == INEXACT


def test_runs_that_ended_before_their_first_row_are_judged(tmp_path: Path) -> None:
    write_comparison(tmp_path, seeds=2, epochs=2)
    paths = list(tmp_path.glob("*/apts-*"))
    assert paths
    for path in paths:
        (path / "epochs.jsonl").write_text("")
        status = json.loads((path / "status.json").read_text())
        status |= {"state": "interrupted", "epoch": 0, "final": None}
        (path / "status.json").write_text(json.dumps(status))
    assert judge(load_collection(tmp_path))
