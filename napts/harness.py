"""The harness from Python: what ``napts run`` and ``napts sweep submit`` do, as two functions.

A problem or method that the calling program registers itself needs no import: the program's file
identifies it in a run, and the jobs of a sweep import that file. Such a program keeps its actions
under ``if __name__ == "__main__":``.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napts.experiment import (
    Mode,
    Observer,
    RunOutcome,
    RunSpec,
    Study,
    apply_overrides,
    load_spec,
    parse_spec,
)
from napts.experiment.plugins.loading import load, refuse_while_loading
from napts.experiment.plugins.own_code import check_unchanged

if TYPE_CHECKING:
    from napts.launch.cluster import Cluster
    from napts.launch.plan import Plan


def run(
    spec: RunSpec | Study | Mapping[str, Any] | str | Path,
    *,
    records: str | Path = "records",
    imports: Sequence[str] = (),
    overrides: Iterable[str] = (),
    mode: Mode = "cached",
    data_root: str | Path | None = None,
    observer: Observer | None = None,
) -> list[RunOutcome]:
    """Train what a spec or a study describes, as ``napts run`` does.

    Finished runs are not repeated; interrupted ones resume from their last checkpoint. If torchrun
    started the program, its ranks share the runs.

    Args:
        spec: A TOML file, its contents as nested plain data, or a validated spec or study.
        records: Folder of all run directories. ``napts sync`` brings them into MLflow.
        imports: Files and modules that define problems and methods, imported first.
        overrides: Assignments such as ``"budget.epochs=3"``; only with a file or plain data.
        mode: "cached" keeps the runs that have ended, "retry" repeats failed ones, "force" repeats
            all.
        data_root: Folder of the data sets; None means the one in NAPTS_DATA, else the cache.
        observer: Watches the runs. By default a progress bar, or a line per epoch without a
            terminal, or nothing if rich is not installed.

    Returns:
        How each run ended, in order. The list is shorter than the study after an interruption,
        and empty on all ranks but the first.

    Raises:
        SpecError: The spec is not valid.
        PluginError: An import fails.
        RunBusy: Another process is running one of the runs.
        RuntimeError: The caller is a file that is still being imported.
        ValueError: A run cannot be carried out here, or a file has changed since it was imported.
    """
    from napts.experiment.followers import joined
    from napts.experiment.series import run_all

    refuse_while_loading("napts.run")
    load(imports)
    specs = _runs(spec, overrides)
    check_unchanged({module for spec in specs for module in spec.modules})
    with joined(specs) as ranks, _watching(observer, len(specs)) as watcher:
        if ranks is None:
            return []
        return run_all(
            specs, records, mode=mode, data_root=data_root, observer=watcher, ranks=ranks
        )


def sweep(
    sweep: Mapping[str, Any] | str | Path,
    *,
    cluster: "Cluster | str | Path | None" = None,
    records: str | Path = "records",
    imports: Sequence[str] = (),
    overrides: Iterable[str] = (),
    data_root: str | Path | None = None,
    retry_failed: bool = False,
    allow_dirty: bool = False,
    dry_run: bool = False,
) -> "Plan":
    """Submit what is left of a sweep, as ``napts sweep submit`` does.

    On a local cluster the runs have ended when this returns. Jobs use a copy, made now, of the
    package and of everything imported: later edits do not affect them.

    Args:
        sweep: A TOML file, or its contents as nested plain data.
        cluster: A profile, or a file with one; by default this machine, one run at a time.
        records: Folder of all run directories.
        imports: Files and modules that define problems and methods, imported first here and in
            every job.
        overrides: Assignments such as ``"budget.epochs=3"``.
        data_root: Folder of the data sets; None means the one in NAPTS_DATA, else the cache.
        retry_failed: Repeat failed and diverged runs.
        allow_dirty: Let jobs run uncommitted changes of this package.
        dry_run: Submit nothing.

    Returns:
        The state of each run.

    Raises:
        SpecError: The sweep or the profile is not valid, or the package has uncommitted changes.
        PluginError: An import fails.
        SubmissionBusy: Another process is submitting the same sweep.
        SlurmUnavailable: Slurm does not answer or refuses.
        RuntimeError: The caller is a file that is still being imported.
        ValueError: A run cannot be carried out on this cluster.
    """
    from napts.launch.cluster import LocalCluster, load_cluster
    from napts.launch.submit import Submitter
    from napts.launch.sweepfile import load_sweep, make_sweep

    refuse_while_loading("napts.sweep")
    load(imports)
    if isinstance(sweep, Mapping):
        found = make_sweep(apply_overrides(sweep, overrides), Path("sweep"))
    else:
        found = load_sweep(sweep, overrides)
    if cluster is None:
        cluster = LocalCluster(kind="local")
    elif isinstance(cluster, str | Path):
        cluster = load_cluster(cluster)
    submitter = Submitter(
        cluster,
        Path(records),
        None if data_root is None else Path(data_root),
        retry_failed,
        allow_dirty,
    )
    if not dry_run:
        submitter.submit(found)
    return submitter.look(found)


def _runs(
    spec: RunSpec | Study | Mapping[str, Any] | str | Path, overrides: Iterable[str]
) -> list[RunSpec]:
    if isinstance(spec, str | Path):
        spec = load_spec(spec, overrides)
    elif isinstance(spec, Mapping):
        spec = parse_spec(apply_overrides(spec, overrides))
    return [spec] if isinstance(spec, RunSpec) else spec.runs()


@contextmanager
def _watching(observer: Observer | None, runs: int) -> Iterator[Observer]:
    """Show the runs on the console, unless another observer was given."""
    if observer is None and find_spec("rich") is not None:
        from napts.console import ConsoleObserver

        with ConsoleObserver(runs) as console:
            yield console
    else:
        yield observer or Observer()
