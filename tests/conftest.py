"""What all tests need."""

import signal
from pathlib import Path

import pytest

# A shell that starts the tests in the background lets them ignore Ctrl-C, and every process that
# they start would inherit that; several tests interrupt such processes.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

SLOW = (
    *("cli/", "packaging/", "parallel/", "plotting/", "slurm/", "tracking/", "zoo/"),
    *("benchmarks/test_asv", "benchmarks/test_gate"),
    *("experiment/test_kill", "experiment/test_imports", "experiment/test_runner"),
    *("experiment/test_budget", "experiment/test_foreign_errors", "experiment/test_packages"),
    *("experiment/test_plugins", "experiment/test_optimizer_docs"),
    *("launch/test_local", "launch/test_jobs", "launch/test_own_code"),
    *("optim/test_acceleration", "optim/test_against_reference", "optim/test_random_graphs"),
    *("optim/test_in_data", "optim/test_in_weights", "optim/test_iteration", "optim/test_floor"),
    *("papers/", "analysis/test_statistics", "records/test_merge", "experiment/test_foreign"),
    *("problems/test_runs", "problems/test_kinds", "problems/test_documentation"),
    *("problems/test_own", "problems/test_torchvision_shim", "launch/test_plan"),
)
"""Whose tests start processes, draw or train for long: what `make quick` leaves out."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what `make quick` leaves out."""
    for item in items:
        if item.path.relative_to(Path(__file__).parent).as_posix().startswith(SLOW):
            item.add_marker(pytest.mark.slow)
