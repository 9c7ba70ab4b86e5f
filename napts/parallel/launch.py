"""Starting the ranks of a run on this machine."""

import logging
import sys
import uuid
from collections.abc import Sequence


def start_ranks(count: int, module: str, arguments: Sequence[str]) -> int:
    """Run a module once per rank, with torchrun's launcher, and wait for all of them.

    Args:
        count: Number of ranks.
        module: Name of the module, run as with ``python -m``.
        arguments: Its arguments, the same for every rank.

    Returns:
        Exit code: 0, or that of the rank that failed first; 130 after a signal.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    # What went wrong is told by the rank itself, in a line.
    logging.getLogger("torch.distributed").setLevel(logging.CRITICAL)
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=count,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="127.0.0.1:0",
        local_addr="127.0.0.1",
        max_restarts=0,
        monitor_interval=0.2,
    )
    try:
        elastic_launch(config, sys.executable)("-m", module, *arguments)
    except ChildFailedError as error:
        codes = [failure.exitcode for failure in error.failures.values()]
        # A rank that was killed counts less than what the others said about it.
        return max(codes) if max(codes) > 0 else 1
    except SignalException:
        return 130
    return 0
