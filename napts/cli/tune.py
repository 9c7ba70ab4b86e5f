"""``napts tune``: choose a baseline's settings on validation data, over several seeds."""

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from napts.cli.run import sharing, train
from napts.cli.shared import (
    DATA_ROOT,
    FAILED,
    IMPORTS,
    INTERRUPTED,
    JSON,
    OVERRIDES,
    RECORDS,
    LeftOut,
    fail,
)
from napts.text import shown

if TYPE_CHECKING:
    from napts.analysis.tuning import Tuning
    from napts.launch.sweepfile import Sweep
    from napts.launch.tuning import TuningPlan


_SAMPLES = 20


@click.command()
@click.argument("workload")
@click.argument("method")
@click.option(
    "--search",
    type=click.Choice(["grid", "random"]),
    help="The papers' grid (the default), or quasi-random points in its range; not with --space.",
)
@click.option(
    "--space",
    "space_file",
    type=click.Path(path_type=Path),
    help="TOML file of settings to try: a table [grid] or [random], and [fixed]; for any method.",
)
@click.option(
    "--samples", type=click.IntRange(1, 100_000), help="How many random points; default 20."
)
@click.option(
    "--seeds",
    default="0,1,2",
    show_default=True,
    help="All settings run with the first; the best also with the others.",
)
@click.option(
    "--finalists",
    default=5,
    show_default=True,
    type=click.IntRange(1, 100_000),
    help="How many of the best settings run with every seed.",
)
@click.option("--epochs", type=click.IntRange(1, 10**9), help="Per run; by default the workload's.")
@click.option(
    "--metric",
    help="What the winner is chosen by: the problem's own metric on validation data (the default), "
    "val_loss or train_loss.",
)
@click.option(
    "--cluster",
    "cluster_file",
    type=click.Path(path_type=Path),
    help="Profile of the cluster to search on, as in slurm/clusters; by default this process.",
)
@click.option("--allow-dirty", is_flag=True, help="Let jobs run uncommitted code; it is recorded.")
@RECORDS
@DATA_ROOT
@OVERRIDES
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("tuned"),
    show_default=True,
    help="Folder for the winner's spec.",
)
@JSON
@IMPORTS
def tune(
    workload: str,
    method: str,
    search: Any,
    space_file: Path | None,
    samples: int | None,
    seeds: str,
    finalists: int,
    epochs: int | None,
    metric: str | None,
    cluster_file: Path | None,
    allow_dirty: bool,
    records: Path,
    data_root: Path | None,
    overrides: tuple[str, ...],
    out: Path,
    as_json: bool,
) -> None:
    """Find the best settings of METHOD on WORKLOAD.

    For Adam, SGD and LBFGS the settings to try are built in; for any other method, --space gives
    them.

    All settings are run with the first seed, the best of them with the other seeds too. The winner
    has the best mean on validation data and is written as a spec. Finished runs are not repeated:
    on a cluster, give the command once more when the jobs have ended.
    """
    from napts.analysis.tuning import measure_of
    from napts.launch.space_file import load_space
    from napts.launch.tuning import TuningPlan
    from napts.launch.tuning_spaces import EPOCHS

    if search is not None and space_file is not None:
        raise fail(f"--search: found {search} together with --space; allowed: one of the two")
    if samples is not None and space_file is None and search != "random":
        raise fail(f"--samples: found {samples} with a grid, allowed: with --search random")
    if epochs is None and workload not in EPOCHS:
        raise fail(f"tune: found workload {shown(workload)} without --epochs, allowed: --epochs N")
    try:
        space = None if space_file is None else load_space(space_file, samples)
    except ValueError as error:
        raise fail(error) from None
    plan = TuningPlan(
        *(workload, method, _seeds(seeds), epochs or EPOCHS[workload]),
        *(search or "grid", samples or _SAMPLES, finalists, overrides, space),
    )
    left_out = LeftOut()
    run = _Runner(records, data_root, cluster_file, allow_dirty=allow_dirty)
    try:
        screening = plan.screening()
        measure_of(metric, screening.runs()[0].primary)
        run(screening)
        found = _gather(records, plan, metric, left_out)
        final = plan.final(found.screened(plan.seeds[0]))
    except ValueError as error:
        raise fail(error) from None
    run(final)
    found = _gather(records, plan, metric, left_out)
    path = _write(plan, found, out)
    _tell(found, path, as_json)
    if left_out:
        raise click.exceptions.Exit(FAILED)


def _seeds(text: str) -> tuple[int, ...]:
    try:
        seeds = tuple(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError:
        raise fail(f"--seeds: found {shown(text)}, allowed: integers such as 0,1,2") from None
    if min(seeds) < 0 or max(seeds) >= 2**32:
        raise fail(f"--seeds: found {shown(text)}, allowed: integers from 0 to {2**32 - 1}")
    return seeds


class _Runner:
    """Runs sweeps in this process or on a cluster, and returns when all runs have ended."""

    def __init__(
        self,
        records: Path,
        data_root: Path | None,
        cluster_file: Path | None,
        *,
        allow_dirty: bool,
    ) -> None:
        self._records, self._data_root, self._cluster = records, data_root, cluster_file
        self._allow_dirty = allow_dirty

    def __call__(self, sweep: "Sweep") -> None:
        if self._cluster is None:
            self._here(sweep)
        else:
            self._on_cluster(sweep, self._cluster)

    def _here(self, sweep: "Sweep") -> None:
        specs = sweep.runs()
        with sharing(specs) as ranks:
            assert ranks is not None  # a baseline that is tuned has one rank
            outcomes = train(specs, self._records, "cached", self._data_root, ranks)
        if len(outcomes) < len(specs) or outcomes[-1].state == "interrupted":
            raise click.exceptions.Exit(INTERRUPTED)

    def _on_cluster(self, sweep: "Sweep", profile: Path) -> None:
        from napts.cli.sweep import load_profile, new_submitter, submit_sweep

        submitter = new_submitter(
            load_profile(profile),
            self._records,
            data_root=self._data_root,
            retry_failed=False,
            allow_dirty=self._allow_dirty,
        )
        submission = submit_sweep(submitter, sweep)
        if submission.stopped:
            raise click.exceptions.Exit(INTERRUPTED)
        waiting = [run for run in submitter.look(sweep).runs if run.state not in _ENDED]
        if waiting:
            click.echo(f"{len(waiting)} runs have not ended; give the command again when they have")
            raise click.exceptions.Exit(FAILED if submission.codes else 0)


_ENDED = ("done", "failed", "diverged")


def _gather(records: Path, plan: "TuningPlan", metric: str | None, left_out: LeftOut) -> "Tuning":
    """Read what the study has so far.

    It includes other settings of the method under the same name, but not runs with another budget,
    on other data or with other code.
    """
    from napts.analysis import load_collection
    from napts.analysis.tuning import surroundings, tuning_of

    own = surroundings(plan.screening().runs()[0].as_dict())
    found = load_collection(records / plan.experiment)
    for damage in found.damages:
        left_out(damage)
    return tuning_of([run for run in found.records if surroundings(run.spec) == own], metric)


def _write(plan: "TuningPlan", tuning: "Tuning", out: Path) -> Path:
    import tomli_w

    from napts.experiment.spec.reading import apply_overrides

    best = tuning.best
    data: dict[str, Any] = {
        "experiment": f"tuned-{plan.workload}",
        "seeds": list(plan.seeds),
        "workload": {"name": plan.workload},
        "budget": {"epochs": plan.epochs},
        # TOML has no null: what is left out is the default, which is the only null there is.
        "methods": [{k: value for k, value in best.options.items() if value is not None}],
    }
    value = tuning.value(best.mean)
    command = shlex.join(["napts", *sys.argv[1:]])
    comments = [
        f"{plan.method} tuned on {plan.workload} for {tuning.metric}: {value:.4g}, the mean of "
        f"{_count(len(best.scores), 'seed')},",
        f"best of {_count(len(tuning.settings), 'setting')} in {_count(tuning.runs, 'run')}.",
        f"The search took {_seconds(tuning.cpu_seconds)} of CPU time, the winner's runs "
        f"{_seconds(best.cpu_seconds)} of them.",
        f"Made by: {command}",
    ]
    out.mkdir(parents=True, exist_ok=True)
    # The problem's own metric is what one is tuned for; for another one it is another winner.
    own = tuning.metric == plan.screening().runs()[0].primary.column("val")
    path = out / f"{plan.workload}-{plan.method}{'' if own else f'-{tuning.metric}'}.toml"
    text = tomli_w.dumps(apply_overrides(data, plan.overrides))
    path.write_text("".join(f"# {line}\n" for line in comments) + text, encoding="utf-8")
    return path


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def _seconds(number: float) -> str:
    return f"{number:.0f} s" if number >= 10 else f"{number:.2g} s"


def _tell(tuning: "Tuning", path: Path, as_json: bool) -> None:
    from napts.analysis.tuning_tables import tuning_data, tuning_table

    if as_json:
        click.echo(json.dumps({**tuning_data(tuning), "spec": str(path)}))
        return
    click.echo(f"\n{tuning_table(tuning).to_text()}\n\nSpec:  {path}")
