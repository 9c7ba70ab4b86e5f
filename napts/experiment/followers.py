"""The ranks that do not lead: they train what the first rank announces, and write nothing."""

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from napts.exits import contained
from napts.experiment.clock import Times
from napts.experiment.observer import Observer
from napts.experiment.progress import Progress
from napts.experiment.setup import Setup
from napts.experiment.signals import StopRequest
from napts.experiment.spec.run_spec import RunSpec
from napts.experiment.trainer import Diverged, Interrupted, Trainer
from napts.parallel.ranks import ALONE, Ranks, join_ranks, local_rank, ranks_in


def announce(
    ranks: Ranks, spec: RunSpec, data_root: str | Path | None, state: dict[str, Any] | None
) -> None:
    """Tell the other ranks to train with this one.

    Args:
        ranks: The ranks.
        spec: The run.
        data_root: Folder of the data sets, or None.
        state: The checkpoint to resume from, or None.
    """
    ranks.broadcast((spec.as_dict(), data_root, state))


@contextlib.contextmanager
def leading(ranks: Ranks) -> Iterator[None]:
    """Dismiss the other ranks at the end; after an error they notice on their own.

    Args:
        ranks: The ranks; this is the first one.
    """
    yield
    ranks.broadcast(None)


@contextlib.contextmanager
def joined(specs: Sequence[RunSpec]) -> Iterator[Ranks | None]:
    """Join the ranks that were started with this process, if any.

    Args:
        specs: The runs that they will share.

    Yields:
        The ranks, on the first or only one. None on the others, which by then have trained along
        until nothing was left to do.

    Raises:
        RankLost: Another rank has died or failed.
    """
    if ranks_in() == 1:
        yield ALONE
        return
    with join_ranks(specs[0].execution.torch_device(local_rank())) as ranks:
        if ranks.leads:
            with leading(ranks):
                yield ranks
        else:
            follow(ranks)
            yield None


def follow(ranks: Ranks) -> None:
    """Train what the first rank announces, until it dismisses the others.

    Args:
        ranks: The ranks; this is not the first one.

    Raises:
        RankLost: Another rank has died or failed.
    """
    with StopRequest() as stop:
        try:
            while (task := ranks.broadcast()) is not None:
                _train(ranks, stop, *task)
        except RuntimeError as error:
            lost = ranks.lost(error)
            if lost is None:
                raise
            raise lost from error


def _train(
    ranks: Ranks,
    stop: StopRequest,
    fields: dict[str, Any],
    data_root: str | Path | None,
    state: dict[str, Any] | None,
) -> None:
    spec = RunSpec.model_validate_json(json.dumps(fields))
    with threads(spec.execution.threads):
        with contained:
            setup = Setup.of(spec, None if data_root is None else Path(data_root), ranks)
            progress = Progress() if state is None else setup.restore(state)
        trainer = Trainer(setup, None, progress, Times(), Observer(), lambda: stop.signal_name)
        with contextlib.suppress(Diverged, Interrupted):
            trainer.train()


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    """Set torch's threads for a run; they are a setting of the whole process.

    Args:
        count: Threads of one operation.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
