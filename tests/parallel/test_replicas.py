"""Ranks that share the subdomains of APTSW or the shards of APTSD do what one process does."""

import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.rank_runs import (
    arguments,
    epochs_done,
    finish,
    rows,
    started,
    wait_until,
)
from tests.parallel.conftest import torchrun

SPEC = """
experiment = "ranks"
label = "shared"
precision = "float64"
[workload]
name = "{workload}"
[optimizer]
{optimizer}
[budget]
epochs = {epochs}
batch_size = 75
[execution]
checkpoint_every_s = 0.2
"""
WEIGHTS = 'method = "APTSW"\nsubdomains = 4\nlocal_steps = 3'
LAYERS = 'method = "ASPQN"\nsubdomains = 3\nlocal_steps = 3\nlocal_memory = "keep"\noverlap = 1'
DATA = 'method = "APTSD"\nshards = 3'


def make(folder: Path, optimizer: str, workload: str = "synthetic-blobs", epochs: int = 4) -> Path:
    folder.mkdir()
    text = SPEC.format(optimizer=optimizer, workload=workload, epochs=epochs)
    (folder / "spec.toml").write_text(text)
    return folder


def trained(folder: Path, ranks: int) -> list[dict[str, Any]]:
    finish(folder, ranks)
    return rows(folder, "steps") + rows(folder, "epochs")


@pytest.mark.parametrize(
    ("workload", "optimizer"),
    [
        ("synthetic-blobs", WEIGHTS),
        ("synthetic-batchnorm", f"{WEIGHTS}\norder = 2\nforced_decrease = true"),
        ("synthetic-blobs", LAYERS),
    ],
)
def test_subdomains_agree_to_the_last_bit(tmp_path: Path, workload: str, optimizer: str) -> None:
    alone = trained(make(tmp_path / "alone", optimizer, workload), 1)
    assert trained(make(tmp_path / "together", optimizer, workload), 2) == alone
    assert {row["epoch"] for row in alone} >= {1, 2, 3, 4}


EQUATION = """
experiment = "ranks"
[workload]
name = "burgers"
points = 40
hidden_layers = 4
width = 5
grid = [5, 5]
[optimizer]
method = "ASPQN"
local_steps = 2
{options}
[budget]
epochs = 20
"""


@pytest.mark.journey
@pytest.mark.parametrize("options", ["", "overlap = 1\ncoarse_steps = 2"])
def test_an_equation_has_the_same_bits_on_one_two_and_four_ranks(
    tmp_path: Path, options: str
) -> None:
    """A rank for each of the four layers, two for each rank, or all of them on one."""
    found = []
    for ranks in (1, 2, 4):
        folder = tmp_path / str(ranks)
        folder.mkdir()
        (folder / "spec.toml").write_text(EQUATION.format(options=options))
        found.append(trained(folder, ranks))
    assert found[0] == found[1] == found[2]
    assert len({row["train_loss"] for row in found[0] if row.get("train_loss")}) > 3


@pytest.mark.parametrize(
    ("workload", "options"),
    [
        ("synthetic-blobs", "shards = 3\norder = 2"),
        # 37 and 38 samples: dropout draws more for the one than for the other.
        ("synthetic-batchnorm", 'shards = 2\nnorm = "inf"'),
    ],
)
def test_shards_agree_but_for_rounding(tmp_path: Path, workload: str, options: str) -> None:
    optimizer = f'method = "APTSD"\n{options}'
    alone = trained(make(tmp_path / "alone", optimizer, workload), 1)
    together = trained(make(tmp_path / "together", optimizer, workload), 2)
    assert len(alone) == len(together)
    for one, other in zip(alone, together, strict=True):
        numbers = {key: value for key, value in one.items() if isinstance(value, float)}
        assert {key: other[key] for key in numbers} == pytest.approx(numbers, rel=1e-6, abs=1e-9)
        assert {k: v for k, v in other.items() if k not in numbers} == {
            k: v for k, v in one.items() if k not in numbers
        }


SCRIPT = """
import sys, torch, napts
from torch.nn import functional

with napts.join_ranks() as ranks:
    torch.manual_seed(int(sys.argv[1]) * ranks.rank)
    model = torch.nn.Linear(4, 3)
    if sys.argv[2] == "weights":
        optimizer = napts.APTSW(napts.deal_parameters(model, 1))
    else:
        optimizer = napts.APTSD(model.parameters(), shards=2)
    inputs = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
    targets = torch.arange(8) % 3
    batch = napts.SplitBatch(
        lambda x, y: functional.cross_entropy(model(x), y), inputs, targets, ranks
    )
    losses = [optimizer.step(batch) for _ in range(3)]
    assert losses[-1] < losses[0]
    assert len(set(ranks.gather(losses[-1]))) == 1
"""


@pytest.mark.parametrize("method", ["weights", "data"])
@pytest.mark.parametrize("apart", [0, 1])
def test_copies_have_to_be_alike(tmp_path: Path, method: str, apart: int) -> None:
    """From a script of one's own; one subdomain leaves the second rank without work."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    ended = torchrun(2, str(script), str(apart), method)
    assert (ended.returncode == 0) == (apart == 0), ended.stderr
    assert ("the processes have different parameters" in ended.stderr) == (apart == 1)


@pytest.mark.parametrize("optimizer", [WEIGHTS, pytest.param(LAYERS, marks=pytest.mark.journey)])
def test_an_interrupted_run_goes_on_alone(tmp_path: Path, optimizer: str) -> None:
    """With all that it has learnt, whichever rank has learnt it."""
    cut, whole = (make(tmp_path / name, optimizer, epochs=60) for name in ("cut", "whole"))
    with started(cut, 2) as process:
        wait_until(lambda: epochs_done(cut) >= 2, process)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=90)
        assert process.returncode == 130
    finish(cut, 1)
    finish(whole, 1)
    assert rows(cut, "steps") == rows(whole, "steps")


@pytest.mark.parametrize(
    ("optimizer", "allowed"),
    [(WEIGHTS, "allowed: 1 to 4, the subdomains"), (DATA, "allowed: 1 to 3, the shards")],
)
def test_no_rank_is_left_without_work(tmp_path: Path, optimizer: str, allowed: str) -> None:
    folder = make(tmp_path / "many", optimizer)
    ended = subprocess.run(arguments(folder, 5), capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert allowed in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1
