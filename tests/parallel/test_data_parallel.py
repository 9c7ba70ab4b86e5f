"""Two real processes in DistributedDataParallel do what one does with the joint batch."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from tests.parallel import data_parallel
from tests.parallel.conftest import once
from tests.parallel.data_parallel import CASES, STEPS, WRAPPINGS, network, train

Told = list[dict[str, Any]]
BASELINES = ("Adam", "SGD")


@pytest.fixture(scope="session")
def told(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Told:
    """Return what each of the two processes told."""
    program = Path(data_parallel.__file__)
    folder = once("data-parallel", program, [2], tmp_path_factory, worker_id)
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


@pytest.mark.parametrize("name", CASES)
def test_two_processes_are_one_with_the_joint_batch(name: str, told: Told) -> None:
    first, second = (dict(rank["cases"][name]) for rank in told)
    model = network()
    alone = train(model, model, CASES[name](model), None)
    losses = [first.pop("losses"), second.pop("losses")]
    assert first == second  # to the last bit
    # A baseline tells the loss of its own batch.
    assert (losses[0] == losses[1]) == (name not in BASELINES)
    mean = [sum(pair) / 2 for pair in zip(*losses, strict=True)]
    assert mean == pytest.approx(alone["losses"], rel=1e-10, abs=1e-10)
    assert first["theta"] == pytest.approx(alone["theta"], rel=1e-10, abs=1e-10)
    assert first["passes"] == alone["passes"]
    for mine, theirs in zip(first["trials"], alone["trials"], strict=True):
        assert mine == pytest.approx(theirs, rel=1e-10, abs=1e-10)
    assert math.isfinite(sum(first["theta"]))


@pytest.mark.parametrize("name", WRAPPINGS)
def test_however_it_is_wrapped(name: str, told: Told) -> None:
    first, second = (rank["wrappings"][name] for rank in told)
    assert first == second
    assert first["theta"] == pytest.approx(told[0]["cases"]["TR"]["theta"], rel=1e-10, abs=1e-10)
    assert first["gradient"] == pytest.approx(first["expected"], rel=1e-10, abs=1e-10)


@pytest.mark.parametrize("name", ["TR", "NAPTS", "light", "APTSW"])
def test_buffers_and_masks(name: str, told: Told) -> None:
    first, second = (rank["state"][name] for rank in told)
    assert first == second
    counts = [int(v) for key, v in first["buffers"].items() if key.endswith("num_batches_tracked")]
    assert counts == [STEPS]


def test_a_step_inside_the_wrappers_forward(told: Told) -> None:
    """As Lightning calls a training step."""
    first, second = (rank["inside"] for rank in told)
    assert first == second
    model = network()
    alone = train(model, model, CASES["NAPTS"](model), None)
    assert first["theta"] == pytest.approx(alone["theta"], rel=1e-10, abs=1e-10)


@pytest.mark.parametrize("name", ["TR", "light", "Adam"])
def test_one_process_without_a_finite_loss_stops_all(name: str, told: Told) -> None:
    first, second = (rank["poisoned"][name] for rank in told)
    assert first == second
    assert first["taken"] == [True, True, False, True]
    assert all(map(math.isfinite, first["theta"]))


REFUSED = {
    "without": "RuntimeError: the closure calls the network without its DistributedDataParallel",
    "unequal": "RuntimeError: the processes of DistributedDataParallel have different parameters",
    "APTSD": "ValueError: processes cannot both share the parts of a batch",
    "ranks": "ValueError: processes cannot both share the parts of a batch",
    "fully_shard": "ValueError: parameter 0 is sharded over processes (DTensor",
    "flat parameters": "ValueError: parameter 0 is sharded over processes (FlatParameter",
    "original parameters": "ValueError: the network is sharded (FullyShardedDataParallel)",
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_right_is_refused(kind: str, told: Told) -> None:
    for rank in told:
        assert rank["refused"][kind].startswith(REFUSED[kind])


def test_baselines_of_sharded_networks_go_on(told: Told) -> None:
    first, second = (rank["shards"] for rank in told)
    assert first == second
    assert first[-1] < first[0]
