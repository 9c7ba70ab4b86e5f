"""Sweep files: what they expand to, and what is said of mistakes."""

from pathlib import Path
from typing import Any

import pytest

from napts.experiment import SpecError, load_spec
from napts.experiment.spec.study import Study
from napts.launch.cluster import LocalCluster, SlurmCluster, load_cluster
from napts.launch.sweepfile import Sweep, load_sweep

ROOT = Path(__file__).parents[2]
BASE = """
experiment = "tests"
seeds = [0, 1]
[workload]
name = "synthetic-blobs"
[budget]
epochs = 2
"""


def sweep_of(folder: Path, text: str) -> Sweep:
    path = folder / "sweep.toml"
    path.write_text(BASE + text)
    return load_sweep(path)


@pytest.mark.parametrize("path", sorted((ROOT / "studies").rglob("*.toml")), ids=lambda p: p.stem)
def test_a_study_is_a_sweep(path: Path) -> None:
    study = load_spec(path)
    assert isinstance(study, Study)
    ours, theirs = load_sweep(path).runs(), study.runs()
    assert sorted(run.run_key for run in ours) == sorted(run.run_key for run in theirs)
    assert [run.seed for run in ours] == [run.seed for run in theirs]


@pytest.mark.parametrize(
    ("name", "runs"),
    [
        ("quickstart", 12),
        ("figure2-cifar10-cnn", 35),
        ("tune-adam", 3 * 13),
        ("tune-sgd", 3 * 63),
        ("tune-lbfgs", 3 * 45),
        ("window-ablation", 5 * 12),
        ("scaling", 8),
        ("calibration", 3 * 107),
        ("calibration-joint", 3 * 90),
        ("calibration-absolute", 77),
        ("calibration-absolute-seed2", 15),
        ("pinn-local-phase", 3 * 12),
    ],
)
def test_the_sweeps_that_are_shipped(name: str, runs: int) -> None:
    sweep = load_sweep(ROOT / "slurm" / "sweeps" / f"{name}.toml")
    assert len(sweep.planned) == runs
    assert len({run.run_key for run in sweep.runs()}) == runs


def test_every_shipped_sweep_is_tested() -> None:
    assert len(list((ROOT / "slurm" / "sweeps").glob("*.toml"))) == 12


def test_the_tuning_grids_lie_in_the_papers_ranges() -> None:
    def values(name: str, key: str) -> list[float]:
        runs = load_sweep(ROOT / "slurm" / "sweeps" / f"{name}.toml").runs()
        return sorted({getattr(run.optimizer, key) for run in runs})

    adam = values("tune-adam", "lr")
    assert (adam[0], adam[-1]) == (1e-5, 1e-1)
    sgd = values("tune-sgd", "lr")
    assert (sgd[0], sgd[-1]) == (1e-4, 1.0)
    assert values("tune-sgd", "momentum")[::6] == [0.1, 0.9]
    history = values("tune-lbfgs", "history_size")
    assert (history[0], history[-1]) == (3, 50)


def test_alternatives_are_tried_one_at_a_time_by_the_methods_that_have_them(tmp_path: Path) -> None:
    sweep = sweep_of(
        tmp_path,
        """
        [[methods]]
        method = "TR"
        [[methods]]
        method = "NTR"
        label = "ours"
        [[alternatives]]
        radius = 0.5
        window = 1
        [[alternatives]]
        radius = 0.5
        [[alternatives]]
        window = 3
        """,
    )
    assert [run.spec.display_label for run in sweep.planned if run.spec.seed == 0] == [
        *("TR", "TR radius=0.5"),
        *("ours", "ours radius=0.5 window=1", "ours radius=0.5", "ours window=3"),
    ]


def test_profiles_that_are_shipped() -> None:
    folder = ROOT / "slurm" / "clusters"
    kinds = {path.stem: load_cluster(path) for path in folder.glob("*.toml")}
    assert isinstance(kinds.pop("local"), LocalCluster)
    assert sorted(kinds) == ["gpu-node-4", "slurm-local"]
    assert all(isinstance(cluster, SlurmCluster) for cluster in kinds.values())


def test_what_is_varied_and_what_is_set(tmp_path: Path) -> None:
    sweep = sweep_of(
        tmp_path,
        """
[grid]
"budget.batch_size" = [32, 64]
[resources]
timeout_min = 7
[[methods]]
method = "NAPTS"
local_steps = 2
[methods.grid]
window = [0, 5]
[[methods]]
method = "SGD"
label = "plain SGD"
epochs = 9
seeds = [4]
[methods.set]
"execution.threads" = 2
momentum = 0.0
[methods.random]
samples = 3
lr = { low = 0.001, high = 0.1, scale = "log" }
[methods.resources]
memory_gb = 3
""",
    )
    runs = sweep.runs()
    assert len(runs) == 2 * 2 * 2 + 2 * 3
    assert [run.seed for run in runs] == [0] * 4 + [1] * 4 + [4] * 6
    labels = [run.display_label for run in runs]
    assert labels[0] == "NAPTS batch_size=32 window=0"
    assert labels[-1].startswith("plain SGD batch_size=64 lr=")
    assert all(run.optimizer.local_steps == 2 for run in runs[:8])
    last = sweep.planned[-1]
    assert (last.spec.budget.epochs, last.spec.execution.threads) == (9, 2)
    assert (last.resources.timeout_min, last.resources.memory_gb) == (7, 3)
    assert sweep.planned[0].resources.memory_gb is None


def test_a_setting_with_one_value_is_not_in_the_label(tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path, '[[methods]]\nmethod = "NTR"\n[methods.grid]\nwindow = [3]\n')
    assert sweep.runs()[0].display_label == "NTR"


NAPTS = '[[methods]]\nmethod = "NAPTS"\n'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "methods: missing"),
        (NAPTS + "[methods.grid]\nwindow = []\n", "methods[0].grid.window: "),
        (NAPTS + "[methods.grid]\nwindow = [5, -1]\n", "optimizer.window: found -1"),
        (NAPTS + "[methods.grid]\nwindw = [5]\n", "did you mean window?"),
        (NAPTS + '[methods.grid]\n"budgt.epochs" = [5]\n', "found a place in 'budgt'"),
        (NAPTS + "[methods.random]\nsamples = 0\nwindow = {values = [1]}\n", "samples: found 0"),
        (NAPTS + "[methods.random]\nsamples = 2\nlr = {low = 2, high = 1}\n", "low < high"),
        (NAPTS + NAPTS, "are the same run"),
        (NAPTS + 'label = "A"\n[[methods]]\nmethod = "TR"\nlabel = "A"\n', "a label for each"),
        (NAPTS + "[resources]\ntimeout_mn = 5\n", "did you mean timeout_min?"),
    ],
)
def test_mistakes_are_told_in_a_line(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(SpecError) as caught:
        sweep_of(tmp_path, text)
    (line,) = caught.value.problems
    assert told in line
    assert "toml: " in line or "place" in line


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('kind = "cloud"', "found 'cloud', allowed: local, slurm"),
        ("parallel = 2", "found None"),
        ('kind = "local"\nparallel = 0', "parallel: found 0, allowed: integer >= 1"),
        ('kind = "slurm"\npartion = "a"', "did you mean partition?"),
    ],
)
def test_mistakes_in_a_profile(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "cluster.toml"
    path.write_text(text)
    with pytest.raises(SpecError) as caught:
        load_cluster(path)
    assert told in str(caught.value)
    assert "cluster.toml: " in str(caught.value)


def test_overrides_reach_the_runs(tmp_path: Path) -> None:
    path = tmp_path / "sweep.toml"
    path.write_text(BASE + NAPTS)
    runs: list[Any] = load_sweep(path, ["budget.epochs=7", "seeds=[3]"]).runs()
    assert [(run.seed, run.budget.epochs) for run in runs] == [(3, 7)]
