"""Synthetic records of every kind that reports know: comparison, tuning, calibration, windows."""

from pathlib import Path

from benchmarks.made_runs import write_comparison, write_run

SEEDS = range(3)


def write_studies(root: Path) -> None:
    """Write a comparison, two tuning studies and a calibration with a window ablation."""
    write_comparison(root, seeds=len(SEEDS), epochs=10)
    for method, rates in (("Adam", (0.1, 0.01, 0.001)), ("SGD", (1.0, 0.1))):
        for lr in rates:
            for seed in SEEDS if lr == rates[-1] else (0,):
                write_run(
                    root,
                    method=method,
                    seed=seed,
                    epochs=3,
                    experiment=f"tune-digits-cnn-{method}",
                    options={"lr": lr},
                    label=f"{method} lr={lr:g}",
                    state="diverged" if lr == 1.0 else "done",
                )
    for seed in SEEDS:
        for method in ("TR", "APTS", "APTSA"):
            write_run(root, method=method, seed=seed, epochs=3, experiment="calibration")
        for method in ("NTR", "NAPTS"):
            for window in (0, 5, 10):
                write_run(
                    root,
                    method=method,
                    seed=seed,
                    epochs=3,
                    experiment="calibration",
                    options={"window": window},
                    label=method if window == 5 else f"{method} window={window}",
                )
