"""What the documentation shows is what happens: every block of code of a page is run, in order."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed

from tests.helpers.pages import blocks


def test_multilevel_training() -> None:
    """Its page, with a network of one's own."""
    names: dict[str, Any] = {}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for block in blocks("results/multilevel.md", "python"):
            block.run(names)
            if "loss" in names:
                assert math.isfinite(names["loss"])
    assert names["record"].work_units > 0.0
    assert names["hierarchy"].depths == [3, 6, 12]


@pytest.fixture
def one_process(tmp_path: Path) -> Iterator[None]:
    """A process group of one, as under torchrun."""
    distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1
    )
    yield
    distributed.destroy_process_group()


@pytest.mark.usefixtures("one_process")
def test_what_your_closure_may_do() -> None:
    names: dict[str, Any] = {}
    random = torch.get_rng_state()
    losses = []
    for block in blocks("reference/closures.md", "python"):
        block.run(names)
        if "loss = optimizer.step" in block.text:
            losses.append(names["loss"])
            assert names["optimizer"].last_step.accepted, block
    torch.set_rng_state(random)
    assert len(losses) == 8
    assert all(map(math.isfinite, losses))
