"""Reports on differential equations and quasi-Newton methods, on records whose counts are known."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.made_runs import Row, write_run
from napts import experiment
from napts.analysis import Section, load_collection
from napts.experiment import Study, load_spec
from napts.experiment.spec.run_spec import RunSpec
from napts.papers.claims import Verdict, judge_section
from napts.papers.claims.evidence import Who
from napts.papers.claims.quasi_newton import _LBFGS
from napts.papers.claims.tables import claims_tables
from napts.papers.equations import equation_tables
from napts.papers.figures.equations import equation_drawings, fields_of, with_iterations
from napts.plotting.style import style
from napts.records import load_run
from napts.records.kept import write_kept
from napts.records.metric import Metric

ERROR = Metric("relative_error", "min")
ROOT = Path(__file__).parents[2]


def course(rate: float, gradients: float, published: float | None = None) -> Callable[[Row], Row]:
    """Rows whose error falls by a rate per epoch and rises in the last one."""

    def change(row: Row) -> Row:
        epoch = row["epoch"]
        row = {**row, "val_relative_error": rate**epoch if epoch < 6 else 1.0, "radius": None}
        if epoch:
            row |= {"backwards": gradients, "forwards": gradients}
        if epoch and published is not None:
            row |= {"gradients_published": published, "gradients_concurrent": gradients / 2}
            row |= {"update_cost": 3.0}
        return row

    return change


def trained(root: Path, seeds: int, **courses: Any) -> Section:
    """Write runs on Burgers' equation, by their methods, and return their section."""
    for method, change in courses.items():
        options = {"pairs": 3, "momentum": 0.9} if method == "MomentumLBFGS" else {}
        for seed in range(seeds):
            write_run(
                root,
                method=method,
                seed=seed,
                workload="burgers",
                epochs=6,
                batches=1,
                metric=ERROR,
                options=options,
                change=change,
            )
    (section,) = load_collection(root).sections
    return section


@pytest.fixture
def section(tmp_path: Path) -> Section:
    found = trained(tmp_path, seeds=2, ASPQN=course(0.1, 50.0, 12.0), Adam=course(0.5, 1.0))
    axis = np.linspace(0, 1, 5)
    exact = np.add.outer(axis, axis)
    for run in found.records:
        error = {"ASPQN": 1e-3, "Adam": 1e-1}[run.method] * (1 + run.seed)
        write_kept(run.path, {"t": axis, "x": axis, "u": exact + error, "exact": exact})
    return found


def test_the_table_has_the_best_iterate_and_what_it_had_cost(section: Section) -> None:
    table = equation_tables(section)[0]
    rows = {row[0]: row[1:] for row in table.rows}
    # Best in epoch 5 of 6: five steps.
    runs, error, iterations, gradients, published, parallel, update, _, whole = rows["ASPQN"]
    assert (runs, error) == ("2/2", "1.00e-05") or float(error) == pytest.approx(1e-5)
    counts = [float(each) for each in (iterations, gradients, published, parallel, update, whole)]
    assert counts == [5, 250, 60, 125, 15, 300]
    plain = rows["Adam"]
    assert [float(each) for each in plain[2:6]] == [5, 5, 5, 5]
    assert plain[6] == "–"


def test_targets_that_are_not_reached_are_said_to_be(tmp_path: Path) -> None:
    """L-BFGS comes to 0.5^5 in 5 steps, ASPQN below it in 2, and to 4.6e-4 of the slides in 4."""
    section = trained(
        tmp_path,
        seeds=2,
        MomentumLBFGS=course(0.5, 1.0, 1.0),
        ASPQN=course(0.1, 50.0, 12.0),
        Adam=course(0.9, 1.0),
    )
    _, best, printed = equation_tables(section)
    assert best.title == "Cost of a relative error of the best of L-BFGS: 0.0312"
    assert printed.title == "Cost of a relative error that the slides print: 4.60e-04"
    rows = {row[0]: row[1:] for row in best.rows}
    assert rows["Adam"] == ["0/2", *["not reached"] * 6]
    assert rows["ASPQN"][:6] == ["2/2", "2.00", "100", "24.0", "50.0", "6.00"]
    assert rows["MomentumLBFGS"][:3] == ["2/2", "5.00", "5.00"]
    rows = {row[0]: row[1:] for row in printed.rows}
    assert rows["MomentumLBFGS"] == ["0/2", *["not reached"] * 6]
    assert rows["ASPQN"][:3] == ["2/2", "4.00", "200"]


def test_the_figures_draw_what_is_there(section: Section) -> None:
    drawings = {drawing.name: drawing for drawing in equation_drawings(section)}
    assert set(drawings) == {"gradients-burgers", "solution-burgers"}
    with style():
        for drawing in drawings.values():
            drawing.figure().draw_without_rendering()
        axes = drawings["gradients-burgers"].figure().axes
    assert [a.get_title(loc="left") for a in axes] == [
        "By iterations",
        "By gradients",
        "By gradients without searches",
        "By gradients in parallel",
        "By update cost",
        "By seconds",
    ]
    lines = {tuple(line.get_xdata()[:2]) for line in axes[2].get_lines()}
    assert {(1.0, 2.0), (12.0, 24.0)} <= lines
    data = drawings["solution-burgers"].data.set_index("label")
    assert data.loc["ASPQN", "largest"] == pytest.approx(1e-3), "the first seed"
    assert data.loc["Adam", "mean"] == pytest.approx(0.1)
    titles = [a.get_title(loc="left") for a in drawings["solution-burgers"].figure().axes]
    assert {"reference", "ASPQN", "ASPQN, error", "Adam", "Adam, error"} <= set(titles)


def test_counts_follow_for_methods_without_counts_of_their_own(section: Section) -> None:
    frame = with_iterations(section.epochs)
    adam = frame[(frame["label"] == "Adam") & (frame["seed"] == 0)]
    assert adam["gradients_published_total"].tolist() == list(range(7))
    assert adam["iterations"].tolist() == list(range(7))
    assert adam["update_cost_total"].tolist()[0] == 0
    assert adam["update_cost_total"].isna().tolist()[1:] == [True] * 6


def test_local_passes_over_all_blocks_are_gradients_too(tmp_path: Path) -> None:
    def with_local_passes(row: Row) -> Row:
        return course(0.5, 2.0)(row) | {"local_passes": 5 if row["epoch"] else 0}

    courses = {"ASPQN": course(0.1, 50.0, 12.0), "NAPTS": with_local_passes}
    section = trained(tmp_path, seeds=2, **courses)
    rows = {row[0]: row[1:] for row in equation_tables(section)[0].rows}
    assert [float(each) for each in rows["NAPTS"][2:6]] == [5, 35, 35, 35]
    assert float(rows["NAPTS"][-1]) == 6 * 7
    assert float(rows["ASPQN"][3]) == 250


def test_the_best_of_another_run_is_reached_up_to_rounding(tmp_path: Path) -> None:
    """The same parameters have other errors with a reference that was computed on another day."""
    worse = course(1.1, 1.0, 1.0)

    def on_another_day(row: Row) -> Row:
        row = worse(row)
        return row | {"val_relative_error": row["val_relative_error"] * (1 + 1e-13)}

    section = trained(tmp_path, seeds=2, MomentumLBFGS=worse, TR=on_another_day)
    best = {row[0]: row[1:] for row in equation_tables(section)[1].rows}
    assert best["TR"][:2] == best["MomentumLBFGS"][:2] == ["2/2", "0.00"]


# --- claims ------------------------------------------------------------------------------------


def judged(root: Path, seeds: int = 4, **courses: Any) -> dict[str, Any]:
    """Return the findings of P1 to P3 by their words."""
    section = trained(root, seeds, **courses)
    tuned = {"Adam": {}}
    return {j.claim.name: j for j in judge_section(section, tuned) if j.claim.name in "P1P2P3"}


def test_the_target_is_the_best_of_lbfgs_seed_by_seed(tmp_path: Path) -> None:
    """L-BFGS comes to 0.5^5 in 5 steps, ASPQN to less than that in 2, MSPQN in 1, Adam never."""
    found = judged(
        tmp_path,
        MomentumLBFGS=course(0.5, 1.0, 1.0),
        ASPQN=course(0.1, 50.0, 12.0),
        MSPQN=course(0.01, 60.0, 42.0),
        Adam=course(0.9, 1.0),
    )
    numbers = {f.what: f for judgement in found.values() for f in judgement.findings}
    best = "relative error of the best of L-BFGS"
    for words, value, verdict in (
        (f"iterations to {best}, ASPQN / L-BFGS", 2 / 5, Verdict.REFUTED),
        (f"iterations to {best}, MSPQN / L-BFGS", 1 / 5, Verdict.CONFIRMED),
        (f"gradients to {best}, ASPQN / L-BFGS", 100 / 5, Verdict.CONFIRMED),  # only told
        (f"gradients without searches to {best}, ASPQN / L-BFGS", 24 / 5, Verdict.CONFIRMED),
        (f"gradients in parallel to {best}, ASPQN / L-BFGS", 50 / 2.5, Verdict.REFUTED),
        (f"iterations to {best}, MSPQN / ASPQN", 0.5, Verdict.CONFIRMED),
        ("best relative error, ASPQN / L-BFGS", 0.1**5 / 0.5**5, Verdict.CONFIRMED),
        ("best relative error, ASPQN / tuned Adam", 0.1**5 / 0.9**5, Verdict.CONFIRMED),
    ):
        finding = numbers[words]
        assert finding.estimate is not None, finding.needs
        assert finding.estimate.value == pytest.approx(value), words
        assert finding.estimate.n == 4
        assert finding.verdict is verdict, words
    assert numbers[f"gradients to {best}, ASPQN / L-BFGS"].region is None
    assert found["P1"].verdict is Verdict.REFUTED
    assert found["P3"].verdict is Verdict.CONFIRMED


def test_seconds_on_ranks_are_judged_where_there_are_any(tmp_path: Path) -> None:
    """One process has measured nothing of the kind, nor have ranks that shared a core."""
    courses = {"MomentumLBFGS": course(0.5, 1.0, 1.0), "ASPQN": course(0.1, 50.0, 12.0)}
    words = "seconds of training to relative error of the best of L-BFGS, ASPQN / L-BFGS"
    for ranks, cores in ((1, 2), (2, 1), (2, 2)):
        root = tmp_path / f"{ranks}-{cores}"
        trained(root, 4, **courses)
        for path in root.glob("demo/aspqn-*/environment.json"):
            known = json.loads(path.read_text())
            known |= {"ranks": ranks, "threads": 1, "cpu_cores": cores, "gpu": None}
            path.write_text(json.dumps(known))
        (section,) = load_collection(root).sections
        (p2,) = [j for j in judge_section(section, {}) if j.claim.name == "P2"]
        found = [f for f in p2.findings if f.what == f"{words}, the former on ranks"]
        assert len(found) == (1 if min(ranks, cores) == 2 else 0)
        assert [f.region for f in p2.findings if f.what == words] == [None], "only told"
        for finding in found:
            assert finding.verdict is Verdict.CONFIRMED, "two epochs against five, of equal length"
            assert finding.counts


def test_printed_targets_that_nobody_reaches_are_said_not_to_be(tmp_path: Path) -> None:
    courses = {"MomentumLBFGS": course(0.5, 1.0, 1.0), "ASPQN": course(0.5, 50.0, 12.0)}
    section = trained(tmp_path, 3, **courses)
    _, measured, _ = claims_tables(judge_section(section, {}))
    values = {row[2]: row[3] for row in measured.rows}
    printed = "gradients to relative error that the slides print, ASPQN / L-BFGS"
    assert values[printed] == "not reached"
    assert values[printed.replace("ASPQN", "MSPQN")] == "–", "no such runs"


def test_adam_that_gets_there_refutes_and_one_seed_tests_nothing(tmp_path: Path) -> None:
    courses = {"MomentumLBFGS": course(0.5, 1.0, 1.0), "Adam": course(0.5, 1.0)}
    (finding,) = judged(tmp_path / "four", **courses)["P3"].findings
    assert finding.verdict is Verdict.REFUTED
    assert finding.estimate.value == 1.0
    (finding,) = judged(tmp_path / "one", seeds=1, **courses)["P3"].findings
    assert finding.verdict is Verdict.NOT_TESTED
    assert "at least 3 seeds" in finding.needs
    missing = judged(tmp_path / "four", seeds=0)["P1"].findings
    assert all(f.verdict is Verdict.NOT_TESTED for f in missing)
    assert missing[0].needs == "runs of ASPQN"


def test_a_target_that_everybody_starts_at_tests_nothing(tmp_path: Path) -> None:
    """No error falls below that of the initial parameters: nobody was there first, or last."""
    worse = {"MomentumLBFGS": 1.0, "ASPQN": 50.0, "MSPQN": 60.0, "Adam": 1.0}
    found = judged(tmp_path, **{method: course(1.1, cost, 1.0) for method, cost in worse.items()})
    (reaching,) = found["P3"].findings
    costs = [f for f in found["P2"].findings if f.region is not None]
    for finding in (reaching, *costs):
        assert finding.verdict is Verdict.NOT_TESTED
        assert finding.needs == "a target that is not met before the first step"


def test_sections_of_other_kinds_have_none(tmp_path: Path) -> None:
    write_run(tmp_path, method="TR", seed=0, epochs=2)
    (section,) = load_collection(tmp_path).sections
    assert equation_tables(section) == []
    assert list(equation_drawings(section)) == []
    assert fields_of(section) == {}


def test_the_small_study_is_what_its_comment_says() -> None:
    study = load_spec(ROOT / "studies" / "pinn-small-burgers.toml")
    assert isinstance(study, Study)
    runs = study.runs()
    assert [run.display_label for run in runs] == ["ASPQN", "MSPQN", "L-BFGS", "Adam"]
    for run in runs:
        assert isinstance(run, RunSpec)
        assert run.precision == "float64"
        assert run.budget.passes == 2500
        assert run.workload.build().options.points == 400


SLIDES = {
    "burgers": (8, 20, 4.6e-4),
    "klein-gordon": (6, 50, 6.1e-4),
    "transport": (10, 50, None),
    "allen-cahn": (8, 20, None),
}


@pytest.mark.parametrize("name", SLIDES)
def test_the_studies_at_the_slides_size_are_what_their_comments_say(name: str) -> None:
    layers, width, target = SLIDES[name]
    study = load_spec(ROOT / "studies" / f"pinn-{name}.toml")
    assert isinstance(study, Study)
    runs = study.runs()
    assert len(runs) == 4 * len(study.seeds)
    for spec in runs:
        options = spec.workload.build().options
        assert (options.points, options.hidden_layers, options.width) == (10_000, layers, width)
        assert spec.execution.device == "cuda"
        assert (spec.budget.target.value if spec.budget.target else None) == target
        if spec.optimizer.method in ("ASPQN", "MSPQN"):
            assert spec.optimizer.model_dump()["subdomains"] == layers


@pytest.mark.slow
def test_a_study_at_the_slides_size_begins_on_a_cpu(tmp_path: Path) -> None:
    """One local step of each of the eight subdomains is all that is waited for."""
    text = (ROOT / "studies" / "pinn-burgers.toml").read_text()
    for old, new in (
        ("passes = 50000", "epochs = 2"),
        ("[0, 1, 2]", "[0]"),
        ('device = "cuda"', 'device = "cpu"'),
        ('method = "ASPQN"', 'method = "ASPQN"\nlocal_steps = 1'),
    ):
        assert text.count(old) == 1
        text = text.replace(old, new)
    (tmp_path / "study.toml").write_text(text)
    spec, *_ = load_spec(tmp_path / "study.toml").runs()
    outcome = experiment.run(spec, tmp_path / "records")
    assert outcome.state == "done", outcome.error
    _, first, second = load_run(outcome.path).epochs
    assert second["backwards"] > 8
    assert second["val_relative_error"] < first["val_relative_error"]


def test_the_larger_studies_have_what_the_claims_speak_of() -> None:
    for name, points in (
        *(("pinn-claims-burgers", 2_500), ("pinn-claims-transport", 900)),
        ("pinn-burgers", 10_000),
    ):
        study = load_spec(ROOT / "studies" / f"{name}.toml")
        assert isinstance(study, Study)
        runs = study.runs()
        assert len(study.seeds) == 3
        assert {run.workload.build().options.points for run in runs} == {points}
        found = [run.optimizer.model_dump() for run in runs]
        for who in (_LBFGS, Who("ASPQN"), Who("MSPQN"), Who("Adam")):
            wanted = {"method": who.method, **who.options}
            assert len([o for o in found if wanted.items() <= o.items()]) == 3, who
