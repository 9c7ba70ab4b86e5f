"""The parts of the pipeline that need no second process."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
import torch
import torch.distributed as dist
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

import napts
from napts.optim.communicator import Combine, Share
from napts.parallel.communicator import RankCommunicator
from napts.parallel.engine import micro_batch_count
from napts.parallel.pipeline_batch import TrialGradients
from napts.parallel.ranks import Ranks
from napts.parallel.watch import RankLost, Watch


@pytest.fixture
def alone() -> Iterator[Ranks]:
    with napts.join_ranks(alone=True) as ranks:
        yield ranks


@given(st.integers(1, 2000), st.integers(1, 64))
def test_micro_batches_are_equal_and_as_many_as_possible(size: int, wanted: int) -> None:
    count = micro_batch_count(size, wanted)
    assert size % count == 0
    assert 1 <= count <= wanted
    assert all(size % n for n in range(count + 1, min(wanted, size) + 1))


def test_the_schedule_has_run_before_batchnorm_sees_anything_else(alone: Ranks) -> None:
    """The engine finds out shapes without running the network, so no statistics are disturbed."""
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    inputs, targets = torch.randn(12, 3), torch.randint(2, (12,))
    parts = napts.partition_layers(model, 2)
    pipeline = napts.Pipeline(parts, functional.cross_entropy, inputs[:2], micro_batches=3)
    optimizer = napts.NAPTS(pipeline)
    counter = model[1].num_batches_tracked
    assert counter is not None
    assert int(counter) == 0
    optimizer.step(pipeline.batch(inputs, targets))
    assert int(counter) == 3  # once for each micro-batch of the pass at the iterate


def test_evaluation_leaves_no_trace(alone: Ranks) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 2))
    inputs, targets = torch.randn(10, 3), torch.randint(2, (10,))
    pipeline = napts.Pipeline(
        napts.partition_layers(model, 2), functional.cross_entropy, inputs[:2], micro_batches=4
    )
    before = torch.get_rng_state()
    model.eval()
    outputs = pipeline.outputs(inputs, targets)
    assert outputs is not None
    assert torch.equal(outputs, model(inputs))
    assert torch.equal(torch.get_rng_state(), before)


def test_what_a_pipeline_refuses(alone: Ranks) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    parts = napts.partition_layers(model, 2)
    with pytest.raises(ValueError, match="Invalid micro_batches: 0"):
        napts.Pipeline(parts, functional.cross_entropy, torch.randn(2, 3), micro_batches=0)


class _WithFunction(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 4), nn.Linear(4, 2)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.second(functional.dropout(self.first(inputs), 0.5, self.training))


def test_functions_that_depend_on_the_mode_are_refused(alone: Ranks) -> None:
    parts = napts.partition_layers(_WithFunction(), 2)
    with pytest.raises(ValueError, match="stage 1 calls a function that depends on the training"):
        napts.Pipeline(parts, functional.cross_entropy, torch.randn(2, 3))


def test_an_error_of_the_network_comes_through_as_it_is(alone: Ranks) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    inputs, targets = torch.randn(1, 3), torch.randint(2, (1,))
    parts = napts.partition_layers(model, 2)
    pipeline = napts.Pipeline(parts, functional.cross_entropy, torch.randn(2, 3))
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        napts.NAPTS(pipeline).step(pipeline.batch(inputs, targets))


@pytest.mark.parametrize(
    ("how", "numbers", "expected"),
    [
        ("sum", [1.0, 2.0, 4.0], 7.0),
        ("root", [2.0, 3.0, 6.0], 7.0),
        ("max", [1.0, 9.0, 4.0], 9.0),
        ("max", [1.0, float("nan"), 4.0], float("nan")),
        ("sum", [1.0, float("nan"), 4.0], float("nan")),
    ],
)
def test_shares_combine(alone: Ranks, how: Combine, numbers: list[float], expected: float) -> None:
    communicator = RankCommunicator(torch.device("cpu"), width=3)
    pairs: list[Share] = [(5.0, "sum"), (torch.tensor(numbers), how)]
    assert communicator.collect(pairs) == pytest.approx([5.0, expected], nan_ok=True)
    assert communicator.collectives == 0  # nobody else is there


def test_gradients_of_trials_follow_what_was_observed() -> None:
    choice = TrialGradients()
    assert choice.at_once(0)
    assert not choice.at_once(1)
    for _ in range(5):
        choice.observe(0, accepted=False)
        choice.observe(2, accepted=True)
    assert not choice.at_once(0)
    again = TrialGradients()
    again.load_state_dict(choice.state_dict())
    assert again == choice
    for _ in range(20):
        choice.observe(0, accepted=True)
        choice.observe(1, accepted=True)
    assert choice.at_once(0)
    assert choice.at_once(3)


@pytest.mark.filterwarnings("ignore:.*no step was accepted in the last")
def test_rejected_proposals_stop_paying_their_gradient(alone: Ranks) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2))
    inputs, targets = torch.randn(16, 3), torch.randint(2, (16,))
    parts = napts.partition_layers(model, 2)
    pipeline = napts.Pipeline(parts, functional.cross_entropy, inputs[:2])
    # Steps far too long: every proposal fails.
    optimizer = napts.APTS(
        pipeline,
        radius=400.0,
        radius_min=400.0,
        radius_max=400.0,
        radius_floor="fixed",
        correction=(),
    )
    backwards = []
    for _ in range(8):
        optimizer.step(pipeline.batch(inputs, targets))
        assert optimizer.last_step is not None
        assert optimizer.last_step.rejections_proposal == 1
        backwards.append(optimizer.last_step.backwards)
    assert backwards[0] == 2  # the trial's gradient was computed at once, in vain
    assert backwards[-1] == 1


def test_a_process_that_died_is_named() -> None:
    store = dist.HashStore()
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    about = {"pid": gone.pid, "host": socket.gethostname()}
    store.set("about/1", json.dumps(about))
    store.set("beat/1", "1")
    with Watch(store, 0, 2, grace_s=60) as watch:
        lost = watch.who_is_lost()
    assert lost == f"rank 1 (process {gone.pid} on {socket.gethostname()}) died"


def test_a_rank_elsewhere_that_falls_silent_is_named() -> None:
    store = dist.HashStore()
    store.set("about/1", json.dumps({"pid": os.getpid(), "host": "elsewhere"}))
    store.set("beat/1", "1")
    with Watch(store, 0, 2, silence_s=0.5, grace_s=60) as watch:
        lost = watch.who_is_lost()
    assert lost is not None
    assert "rank 1" in lost
    assert "elsewhere" in lost
    assert "silent" in lost


def test_the_error_of_another_rank_is_passed_on() -> None:
    store = dist.HashStore()

    def fail_on_the_other() -> None:
        with Watch(store, 1, 2):
            raise MemoryError("no room for 3 GB")

    with Watch(store, 0, 2) as watch:
        with pytest.raises(MemoryError):
            fail_on_the_other()
        lost = watch.who_is_lost()
    assert lost == "rank 1 failed: MemoryError: no room for 3 GB"
    assert RankLost(lost).failed


def test_nobody_is_missed_when_all_are_there() -> None:
    store = dist.HashStore()
    with Watch(store, 0, 2, silence_s=3.0) as here, Watch(store, 1, 2, silence_s=3.0):
        time.sleep(1.5)
        assert here.who_is_lost() is None
