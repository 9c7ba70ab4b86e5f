import re
from pathlib import Path
from typing import Any

import pytest

import napts
from napts.experiment import (
    RunSpec,
    SpecError,
    Study,
    apply_overrides,
    load_spec,
    method_names,
    parse_spec,
)

SPEC = """
experiment = "mnist"
seed = 3
[workload]
name = "synthetic-blobs"
[optimizer]
method = "NAPTS"
[budget]
epochs = 10
"""

STUDY = """
experiment = "study"
seeds = [0, 1]
[workload]
name = "synthetic-blobs"
noise = 0.5
[[methods]]
method = "NAPTS"
[[methods]]
method = "NAPTS"
window = 0
label = "APTS-like"
[[methods]]
method = "Adam"
lr = 0.01
epochs = 9
[budget]
epochs = 4
batch_size = 50
"""


@pytest.fixture
def spec_file(tmp_path: Path) -> Path:
    path = tmp_path / "spec.toml"
    path.write_text(SPEC)
    return path


def load(path: Path, *overrides: str) -> RunSpec:
    spec = load_spec(path, overrides)
    assert isinstance(spec, RunSpec)
    return spec


def test_defaults_are_filled_in_and_stored(spec_file: Path) -> None:
    data = load(spec_file).as_dict()
    assert data["workload"]["validation_size"] == 80
    assert data["budget"]["batch_size"] == 64
    assert data["optimizer"]["subdomains"] == 4
    assert data["optimizer"]["radius"] == 0.1
    assert data["precision"] == "float32"


def test_spec_survives_its_own_description(spec_file: Path) -> None:
    spec = load(spec_file)
    again = parse_spec(spec.header()["spec"])
    assert again == spec
    assert isinstance(again, RunSpec)
    assert again.run_key == spec.run_key
    assert RunSpec.model_validate_json(spec.model_dump_json()) == spec


def test_run_key_is_stable(spec_file: Path) -> None:
    # A change of this key makes all older records unknown; it needs a new schema version.
    assert load(spec_file).run_key == "napts-s3-4adca7cebc"


@pytest.mark.parametrize(
    "override",
    ["experiment=other", "label=mine", "execution.threads=2", "execution.device=auto"],
)
def test_run_key_ignores_where_and_how(spec_file: Path, override: str) -> None:
    assert load(spec_file, override).run_key == load(spec_file).run_key


@pytest.mark.parametrize(
    "override",
    [
        "seed=4",
        "precision=float64",
        "workload.noise=0.8",
        "optimizer.window=6",
        "optimizer.subdomains=2",
        "budget.epochs=11",
        "budget.batch_size=65",
        "budget.overlap=0.1",
    ],
)
def test_run_key_depends_on_the_science(spec_file: Path, override: str) -> None:
    assert load(spec_file, override).run_key != load(spec_file).run_key


def test_run_key_does_not_depend_on_what_is_spelled_out(spec_file: Path) -> None:
    spelled = load(spec_file, "optimizer.window=5", "budget.batch_size=64", "optimizer.radius=0.1")
    assert spelled.run_key == load(spec_file).run_key


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optimizer.window=-1", "optimizer.window: found -1, allowed: integer >= 0"),
        ("optimizer.window=true", "optimizer.window: found True, allowed: integer"),
        ("optimizer.shrink=1.0", "optimizer.shrink: found 1.0, allowed: number < 1.0"),
        ("optimizer.norm=l3", "optimizer.norm: found 'l3', allowed: l2 or inf"),
        ("optimizer.betas=[0.9, 1.0]", "optimizer.betas[1]: found 1.0, allowed: number < 1.0"),
        ("optimizer.radius=5", r"optimizer: Invalid radius: 5.0, must lie in [0.001, 2.0]"),
        ("optimizer.method=Adagrad", "optimizer.method: found 'Adagrad', allowed: TR, NTR, APTS"),
        ("optimizer.windw=3", "optimizer.windw: unknown key, did you mean window? allowed: "),
        ("budget.epochs=0", "budget.epochs: found 0, allowed: integer >= 1"),
        ("budget.epocs=3", "budget.epocs: unknown key, did you mean epochs? allowed: epochs, "),
        ("workload.name=mnist", "workload.name: found 'mnist', allowed: digits-cnn, mnist-fcnn"),
        ("workload.noise=-1", "workload.noise: found -1, allowed: number >= 0.0"),
        ("workload.nois=1", "workload.nois: unknown key, did you mean noise?"),
        ("experiment=../up", "experiment: found '../up', allowed: letters, digits"),
        ("experiment=..", "experiment: found '..', allowed: letters, digits"),
        ("seed=1.5", "seed: found 1.5, allowed: integer"),
        ("execution.device=tpu", "execution.device: found 'tpu', allowed: cpu, cuda or auto"),
        ("budget=3", "budget: found 3, allowed: a table"),
    ],
)
def test_errors_name_file_key_finding_and_allowed(
    spec_file: Path, override: str, message: str
) -> None:
    with pytest.raises(SpecError) as caught:
        load_spec(spec_file, [override])
    [problem] = caught.value.problems
    assert f"spec.toml: {message}" in problem


def test_every_problem_is_reported_on_a_line_of_its_own(spec_file: Path) -> None:
    with pytest.raises(SpecError) as caught:
        load_spec(spec_file, ["optimizer.window=-1", "seed=-1", "budget.x=1"])
    assert len(str(caught.value).splitlines()) == 3


def test_missing_parts_are_named() -> None:
    with pytest.raises(SpecError) as caught:
        parse_spec({"experiment": "x", "optimizer": {}}, "here")
    workload, budget, method = sorted(caught.value.problems, key=len)
    assert {workload, budget} == {"here: workload: missing", "here: budget: missing"}
    first = ", ".join(method_names()[:5])  # the line is too short for all of them
    assert method.startswith(f"here: optimizer.method: missing, allowed: {first}")


@pytest.mark.parametrize(
    ("content", "message"), [(None, "cannot be read"), ("a = [1", "not valid TOML")]
)
def test_unreadable_files(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "spec.toml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SpecError, match=f"{re.escape(str(path))}: {message}"):
        load_spec(path)


def test_overrides_are_toml_values_or_bare_strings() -> None:
    data = {"a": {"b": 1}, "c": [{"d": 1}]}
    changed = apply_overrides(
        data, ["a.b=2.5", "a.new=word", "e.f=[1, 2]", "c.0.d=true", 'a.q="x y"', "a.norm=inf"]
    )
    assert changed == {
        "a": {"b": 2.5, "new": "word", "q": "x y", "norm": "inf"},
        "c": [{"d": True}],
        "e": {"f": [1, 2]},
    }
    assert data == {"a": {"b": 1}, "c": [{"d": 1}]}


@pytest.mark.parametrize("assignment", ["a.b", "=3", "a..b=1", "a.b.c=1", "c.7=1", "c.x=1"])
def test_bad_overrides_are_refused(assignment: str) -> None:
    with pytest.raises(SpecError, match="--set"):
        apply_overrides({"a": {"b": 1}, "c": [0]}, [assignment])


def load_study(path: Path, text: str = STUDY) -> Study:
    path.write_text(text)
    study = load_spec(path)
    assert isinstance(study, Study)
    return study


def test_study_expands_to_methods_times_seeds(tmp_path: Path) -> None:
    runs = load_study(tmp_path / "study.toml").runs()
    described = [(r.display_label, r.seed, r.budget.epochs, r.batch_size) for r in runs]
    assert described == [
        (label, seed, epochs, 50)
        for seed in (0, 1)
        for label, epochs in (("NAPTS", 4), ("APTS-like", 4), ("Adam", 9))
    ]
    assert len({run.run_key for run in runs}) == 6
    assert {run.workload.model_extra["noise"] for run in runs if run.workload.model_extra} == {0.5}


def test_run_of_a_study_is_the_same_as_a_run_alone(tmp_path: Path, spec_file: Path) -> None:
    alone = load(
        spec_file, "seed=1", "workload.noise=0.5", "budget.epochs=4", "budget.batch_size=50"
    )
    assert alone.run_key in {run.run_key for run in load_study(tmp_path / "study.toml").runs()}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("window = 0", "window = -2", "methods[1].window: found -2, allowed: integer >= 0"),
        ("lr = 0.01", "rate = 1", "methods[2].rate: unknown key"),
        ('label = "APTS-like"', "", "methods: found the label NAPTS twice"),
        ("[0, 1]", "[0, 0]", "seeds: found 0 twice"),
        ("[0, 1]", "[]", "seeds: found [], allowed: "),
        ('method = "Adam"', 'method = "x"', "methods[2].method: found 'x', allowed: TR"),
        ("seeds =", "seed =", "seed: unknown key, did you mean seeds?"),
    ],
)
def test_study_errors(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        load_study(tmp_path / "study.toml", STUDY.replace(old, new))
    assert any(f": {message}" in problem for problem in caught.value.problems)


def test_a_preset_is_stored_as_the_options_it_stands_for() -> None:
    plain = {"experiment": "e", "workload": {"name": "digits-cnn"}, "budget": {"epochs": 1}}

    def key(**optimizer: Any) -> str:
        return RunSpec.model_validate({**plain, "optimizer": optimizer}).run_key

    for name, methods in napts.PRESETS.items():
        for method, options in methods.items():
            assert key(method=method, preset=name) == key(method=method, **options)
            assert napts.preset(method, name) == options
    light = napts.preset("NAPTS", "light")
    changed = {**light, "eta_1": 0.4}
    assert key(method="NAPTS", preset="light", eta_1=0.4) == key(method="NAPTS", **changed)
    with pytest.raises(
        ValueError,
        match="Invalid preset of NAPTS: 'heavy', must be one of paper, paper-times, light",
    ):
        key(method="NAPTS", preset="heavy")
    with pytest.raises(
        ValueError,
        match="Invalid preset of APTS: 'light', must be one of paper, paper-times, iapts",
    ):
        key(method="APTS", preset="light")
    with pytest.raises(ValueError, match="preset"):
        key(method="Adam", preset="light")


INF = float("inf")


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (
            {"budget": {"seconds": INF}},
            "budget.seconds: found inf, allowed: a finite number",
        ),
        ({"label": ""}, "label: found '', allowed: at least 1 character"),
        ({"budget": 3}, "budget: found 3, allowed: a table"),
        ({"code": 3}, "code: found 3, allowed: a table"),
        (
            {"optimizer": {"method": "Adam", "betas": 0.9}},
            "optimizer.betas: found 0.9, allowed: a list",
        ),
        (
            {"optimizer": {"method": "Adam", "betas": [0.9, 0.9, 0.9]}},
            "optimizer.betas: found [0.9, 0.9, 0.9], allowed: at most 2 of them",
        ),
        (
            {"optimizer": {"method": "torch.optim.SGD", "parameters": []}},
            "optimizer.parameters: found [], allowed: at least 1 of them",
        ),
    ],
)
def test_no_wording_of_the_library_that_checks(change: dict[str, Any], line: str) -> None:
    data = {
        "experiment": "x",
        "workload": {"name": "synthetic-blobs"},
        "optimizer": {"method": "Adam"},
        "budget": {"epochs": 1},
    }
    with pytest.raises(SpecError) as caught:
        parse_spec({**data, **change})
    assert f"spec: {line}" in caught.value.problems


def test_an_unknown_key_of_a_method_in_a_study_gets_one_line() -> None:
    data = {
        "experiment": "x",
        "workload": {"name": "synthetic-blobs"},
        "seeds": [0],
        "budget": {"epochs": 1},
        "methods": [{"method": "SGD", "passes": 3}],
    }
    with pytest.raises(SpecError) as caught:
        parse_spec(data)
    allowed = "method, scheduler, lr, momentum, label, epochs"
    assert caught.value.problems == [f"spec: methods[0].passes: unknown key, allowed: {allowed}"]


def test_what_only_a_run_of_a_study_can_tell_is_told_in_one_line(tmp_path: Path) -> None:
    """Whether the problem can be built is not known to the study itself."""
    workload = '[workload]\nname = "burgers"\ngrid = []'
    text = f"""
experiment = "grids"
seeds = [0]
{workload}
[budget]
passes = 3
[[methods]]
method = "Adam"
"""
    with pytest.raises(SpecError) as caught:
        load_study(tmp_path / "study.toml", text)
    (problem,) = caught.value.problems
    assert problem.endswith("grid: found (), allowed: 2 numbers")
