"""``napts tune`` and ``napts claims`` as a researcher meets them."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from benchmarks.made_runs import write_comparison
from napts.analysis import load_collection
from napts.analysis.tuning_tables import tuning_table
from napts.cli import main
from napts.cli.shared import BAD_INPUT
from napts.experiment import Study, load_spec
from napts.records import find_runs

SWEEPS = Path(__file__).parents[2] / "slurm" / "sweeps"


def napts(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments], catch_exceptions=False)


def tune(folder: Path, *arguments: object, method: str = "SGD") -> Result:
    places = ("--records", folder / "records", "--out", folder / "tuned")
    search = () if "--space" in arguments else ("--search", "random", "--samples", 4)
    study = ("--epochs", 2, "--seeds", "3,4")
    return napts(
        "tune", "synthetic-blobs", method, *study, *search, "--finalists", 2, *places, *arguments
    )


def _runs(folder: Path) -> list[Path]:
    return find_runs(folder / "records")


def test_the_winner_is_a_spec_that_runs(tmp_path: Path) -> None:
    result = tune(tmp_path)
    assert result.exit_code == 0, result.output
    assert "4 settings, 6 runs" in result.stdout
    path = tmp_path / "tuned" / "synthetic-blobs-SGD.toml"
    text = path.read_text()
    assert "best of 4 settings in 6 runs" in text
    study = load_spec(path)
    assert isinstance(study, Study)
    assert [run.seed for run in study.runs()] == [3, 4]
    assert study.budget.epochs == 2

    data = json.loads(tune(tmp_path, "--json").stdout.splitlines()[-1])
    assert data["best"]["lr"] == pytest.approx(study.methods[0].optimizer.model_dump()["lr"])
    scores = [setting["by_seed"] for setting in data["finalists"]]
    assert [sorted(by_seed) for by_seed in scores] == [["3", "4"]] * 2
    means = [sum(by_seed.values()) / 2 for by_seed in scores]
    assert means == sorted(means, reverse=True)
    assert len(data["expected_best"]) == data["settings"] == 4


def test_what_is_done_is_not_done_again(tmp_path: Path) -> None:
    tune(tmp_path)
    before = {path: (path / "status.json").stat().st_mtime for path in _runs(tmp_path)}
    assert len(before) == 6
    tune(tmp_path, "--finalists", 3)
    after = {path: (path / "status.json").stat().st_mtime for path in _runs(tmp_path)}
    assert len(after) == 7
    assert before.items() <= after.items()


def test_on_a_cluster(tmp_path: Path) -> None:
    profile = tmp_path / "local.toml"
    profile.write_text('kind = "local"\nparallel = 2\n')
    here, there = tmp_path / "here", tmp_path / "there"
    result = tune(there, "--cluster", profile, "--allow-dirty")
    assert result.exit_code == 0, result.output
    assert "4 settings, 6 runs" in result.stdout
    tune(here)
    assert {path.name for path in _runs(here)} == {path.name for path in _runs(there)}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere", "Adam"), "tune: found workload 'nowhere' without --epochs"),
        (("nowhere", "Adam", "--epochs", "1"), "workload.name: found 'nowhere'"),
        (
            ("digits-cnn", "NAPTS"),
            "tune: found method 'NAPTS' without --space, allowed: --space FILE.toml, or one of "
            "Adam, SGD, LBFGS",
        ),
        (("digits-cnn", "Adam", "--seeds", "a"), "--seeds: found 'a'"),
        (("digits-cnn", "Adam", "--seeds=-1"), "--seeds: found '-1'"),
        (
            ("digits-cnn", "Adam", "--samples", "4"),
            "--samples: found 4 with a grid, allowed: ",
        ),
    ],
)
def test_bad_input_gets_one_line(arguments: tuple[str, ...], message: str) -> None:
    result = napts("tune", *arguments)
    assert (result.exit_code, message in result.stderr) == (BAD_INPUT, True)
    assert len(result.stderr.strip().splitlines()) == 1


SPACES = {
    "grid": "[grid]\nmomentum = [0.0, 0.9]\nnesterov = [true, false]\n[fixed]\nlr = 0.1\n",
    "random": '[random]\nsamples = 4\nlr = {low = 1e-3, high = 1.0, scale = "log"}\n'
    "[fixed]\nmomentum = 0.9\n",
}


@pytest.mark.parametrize("space", SPACES)
def test_any_method_is_tuned_over_a_space_of_ones_own(tmp_path: Path, space: str) -> None:
    path = tmp_path / "space.toml"
    text = SPACES[space]
    if space == "grid":  # torch refuses nesterov without momentum: such runs have failed
        text = text.replace("0.0", "0.5")
    path.write_text(text)
    result = tune(tmp_path, "--space", path, "--json", method="torch.optim.SGD")
    assert result.exit_code == 0, result.output
    data = json.loads(result.stdout.splitlines()[-1])
    assert data["settings"] == 4
    assert data["runs"] == 6
    assert data["cpu_seconds"] > 0
    varied = {"grid": {"momentum", "nesterov"}, "random": {"lr"}}[space]
    assert data["best"].keys() == varied
    study = load_spec(data["spec"])
    assert isinstance(study, Study)
    options = study.methods[0].optimizer.model_dump()
    assert options["method"] == "torch.optim.SGD"
    assert {"lr", "momentum"} <= options.keys()
    assert {run.optimizer.method for run in study.runs()} == {"torch.optim.SGD"}


def test_a_winner_may_have_options_that_are_none(tmp_path: Path) -> None:
    space = tmp_path / "space.toml"
    space.write_text("[grid]\nshare = [0.1, 0.5]\n")
    places = ("--records", tmp_path / "records", "--out", tmp_path / "tuned")
    full = ("--set", "budget.batch_size=full", "--epochs", 1, "--seeds", "1")
    result = napts("tune", "cancer-logistic", "SSN", "--space", space, *full, *places)
    assert result.exit_code == 0, result.output
    (path,) = (tmp_path / "tuned").iterdir()
    study = load_spec(path)
    assert isinstance(study, Study)
    assert study.methods[0].optimizer.model_dump()["lr"] is None


@pytest.mark.parametrize(
    ("space", "arguments", "message"),
    [
        ("grid", ("--search", "random"), "--search: found random together with --space"),
        ("random", ("--search", "grid"), "--search: found grid together with --space"),
        ("grid", ("--samples", 3), "space.toml has a grid, allowed: only one"),
        ("random", ("--samples", 3), "space.toml has samples of its own, allowed: only one"),
    ],
)
def test_what_a_space_says_is_not_said_again(
    tmp_path: Path, space: str, arguments: tuple[object, ...], message: str
) -> None:
    path = tmp_path / "space.toml"
    path.write_text(SPACES[space])
    result = tune(tmp_path, "--space", path, *arguments)
    assert (result.exit_code, message in result.stderr) == (BAD_INPUT, True)
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "allowed: one of the tables [grid] and [random]"),
        ("[grid]\nlr = []", "grid.lr"),
        ("[grid]\nlr = 0.1", "grid.lr"),
        ("[random]\nlr = {low = 1.0, high = 0.5}", "random"),
        ("[grid]\nlr = [1.0]\n[fixed]\nlr = 1.0", "found lr in [fixed] too"),
        ("[grids]\nlr = [1.0]", "grids"),
        ("lr = ", "not valid TOML"),
        ("[grid]\nlrr = [1.0]", "optimizer.lrr: torch.optim.AdamW has no such argument"),
        ("[grid]\nlr = [-1.0]", "torch.optim.AdamW refuses its arguments"),
    ],
)
def test_a_space_that_is_none_gets_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "space.toml"
    path.write_text(text)
    result = tune(tmp_path, "--space", path, method="torch.optim.AdamW")
    assert result.exit_code == BAD_INPUT
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "records").exists() or not _runs(tmp_path)


@pytest.mark.parametrize("command", ["plan --check", "submit --allow-dirty", "run"])
def test_arguments_are_checked_before_anything_runs(tmp_path: Path, command: str) -> None:
    path = tmp_path / "study.toml"
    path.write_text(
        'experiment = "checked"\nseeds = [0]\n[workload]\nname = "synthetic-blobs"\n'
        '[budget]\nepochs = 1\n[[methods]]\nmethod = "TR"\n'
        '[[methods]]\nmethod = "torch.optim.AdamW"\nlrr = 1\n'
    )
    records = tmp_path / "records"
    first, *flags = command.split()
    known = ["run"] if first == "run" else ["sweep", first]
    result = napts(*known, path, *flags, "--records", records)
    assert result.exit_code == BAD_INPUT, result.output
    assert (
        "optimizer.lrr: torch.optim.AdamW has no such argument, did you mean lr?" in result.stderr
    )
    assert not list(records.rglob("status.json"))
    if first == "plan":
        assert napts("sweep", "plan", path, "--records", records).exit_code == 0


def test_claims(tmp_path: Path) -> None:
    write_comparison(tmp_path, seeds=4)
    result = napts("claims", tmp_path)
    assert result.exit_code == 0
    assert "N3     NAPTS rejects a third as many" in result.stdout
    assert "What a test would need".lower() in result.stdout
    found = json.loads(napts("claims", tmp_path, "--json").stdout)
    verdicts = {entry["claim"]: entry["verdict"] for entry in found}
    assert verdicts["N2"] == "refuted", "by the passes that are counted"
    assert verdicts["P1"] == "not tested"


def test_claims_of_nothing(tmp_path: Path) -> None:
    result = napts("claims", tmp_path / "none")
    assert result.exit_code == BAD_INPUT
    assert len(result.stderr.strip().splitlines()) == 1


def test_a_metric_that_falls_from_search_to_report(tmp_path: Path) -> None:
    """The smallest error wins; a second study for another measure stands beside the first."""
    space = tmp_path / "space.toml"
    space.write_text("[grid]\nlr = [1e-5, 1e-2, 3e-3]\n")

    def search(*arguments: object) -> Result:
        study = ("--space", space, "--seeds", "0,1", "--finalists", 2, *arguments)
        places = ("--records", tmp_path / "records", "--out", tmp_path / "tuned")
        result = napts("tune", "poisson-pinn", "torch.optim.AdamW", *study, *places, "--json")
        assert result.exit_code == 0, result.output
        return result

    data = json.loads(search("--epochs", 4).stdout.splitlines()[-1])
    assert data["metric"] == "val_relative_error"
    means = [sum(setting["by_seed"].values()) / 2 for setting in data["finalists"]]
    assert means == sorted(means)
    assert data["best"] == {"lr": 0.01} != data["finalists"][1]["options"]
    assert data["expected_best"][0] > data["expected_best"][-1]
    winner = tmp_path / "tuned" / "poisson-pinn-torch.optim.AdamW.toml"
    before = winner.read_text()
    assert f"for val_relative_error: {means[0]:.4g}" in before

    other = json.loads(search("--epochs", 4, "--metric", "val_loss").stdout.splitlines()[-1])
    assert Path(other["spec"]).name == "poisson-pinn-torch.optim.AdamW-val_loss.toml"
    assert winner.read_text() == before

    # Runs with another budget are of another study, and the report tells them apart.
    more = json.loads(search("--epochs", 2).stdout.splitlines()[-1])
    assert (more["settings"], more["runs"]) == (3, 5)
    (tuning,) = load_collection(tmp_path / "records").tunings
    assert len(tuning.settings) == 6
    table = tuning_table(tuning).to_text()
    assert "lr=0.01 [epochs=4]" in table
    assert "lr=0.01 [epochs=2]" in table
