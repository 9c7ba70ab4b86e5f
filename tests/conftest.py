"""What all tests need."""

import shutil
import signal
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.installed import build_wheel, install

# A shell that starts the tests in the background lets them ignore Ctrl-C, and every process that
# they start would inherit that; several tests interrupt such processes.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

SLOW = (
    *("campaign/", "cli/", "packaging/", "parallel/", "plotting/", "slurm/", "tracking/"),
    *("zoo/", "input/"),
    *("benchmarks/test_asv", "benchmarks/test_gate"),
    *(
        "experiment/test_damaged",
        "experiment/test_kill",
        "experiment/test_imports",
        "experiment/test_runner",
    ),
    *("experiment/test_budget", "experiment/test_foreign_errors", "experiment/test_packages"),
    *("experiment/test_plugins", "experiment/test_optimizer_docs", "experiment/test_faster"),
    *("launch/test_local", "launch/test_jobs", "launch/test_own_code"),
    *("optim/test_acceleration", "optim/test_against_reference", "optim/test_random_graphs"),
    *("optim/test_in_data", "optim/test_in_weights", "optim/test_iteration", "optim/test_floor"),
    *("papers/", "analysis/test_statistics", "records/test_merge", "experiment/test_foreign"),
    *("problems/test_runs", "problems/test_kinds", "problems/test_documentation"),
    *("problems/test_own", "problems/test_torchvision_shim", "launch/test_plan", "site/test_built"),
)
"""Whose tests start processes, draw or train for long: what `make quick` leaves out."""


JOURNEYS = (
    *("cli/test_own_code", "launch/test_local", "launch/test_own_code"),
    *("packaging/test_wheel", "parallel/test_lost_rank", "tracking/test_killed_ui"),
)
"""Who goes a whole way in processes of its own, with kills and sweeps: `make journeys`."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what `make quick` leaves out, and what `make journeys` runs."""
    for item in items:
        place = item.path.relative_to(Path(__file__).parent).as_posix()
        if place.startswith(SLOW):
            item.add_marker(pytest.mark.slow)
        if place.startswith(JOURNEYS):
            item.add_marker(pytest.mark.journey)


@pytest.fixture
def compiler() -> Iterator[None]:
    """Skip without a C++ compiler; torch's own warnings while it compiles are not ours."""
    if shutil.which("g++") is None:
        pytest.skip("needs g++")
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
        torch.compiler.reset()


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as it is installed, built once."""
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of an environment with the wheel."""
    return install(wheel, tmp_path_factory.mktemp("environment") / "venv")
