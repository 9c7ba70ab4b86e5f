"""Every model of the zoo: it is cut as its row says, its gradients agree, and it trains."""

import re
import warnings
from ast import literal_eval
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

import napts
from tests.helpers.overheard import gaps
from tests.zoo.row import Row
from tests.zoo.rows import ROWS
from tests.zoo.training import GAIN, finite, for_row, train

pytestmark = pytest.mark.zoo
TOLERANCE = 1e-9


@contextmanager
def expected_warnings(row: Row) -> Iterator[None]:
    """What a row's cut is warned of, and nothing else."""
    if not row.warns:
        yield
        return
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", f"parameters .*{row.warns}.* used outside their block")
        yield


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_every_parameter_is_in_one_block(row: Row) -> None:
    model = row.model()
    stages = row.partition(model)
    assert len(stages) == row.blocks
    dealt = [id(p) for part in stages.parameter_sets for p in part]
    assert sorted(dealt) == sorted(id(p) for p in model.parameters() if p.requires_grad)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_local_gradients_start_as_the_global_one(row: Row) -> None:
    model = row.model(torch.float64)
    stages = row.partition(model)
    torch.manual_seed(2)
    with expected_warnings(row):
        assert max(gaps(stages, row.closure(model))) < TOLERANCE


@pytest.mark.parametrize("row", [row for row in ROWS if row.by_hand], ids=str)
def test_what_cannot_be_cut_automatically_says_what_helps(row: Row) -> None:
    assert row.refusal
    model = row.model()
    with pytest.raises(napts.PartitionError, match=row.refusal) as caught:
        napts.partition_layers(model, row.blocks)
    text = str(caught.value)
    assert "TR, NTR and APTSW take any model" in text
    suggested = re.search(r"cuts=(\['.*?'\])", text)
    assert suggested, text
    assert len(napts.partition_layers(model, cuts=literal_eval(suggested[1]))) == 2


@pytest.mark.parametrize(
    ("row", "method"), [(row, method) for row in ROWS for method in row.methods], ids=str
)
# It tries one radius a step: where the loss bends sharply, finding one takes several.
@pytest.mark.filterwarnings("ignore:APTSW. no step was accepted")
def test_it_trains(row: Row, method: str) -> None:
    model = row.model()
    closure = row.closure(model)
    with expected_warnings(row):
        assert train(for_row(method, row, model), closure) > GAIN
    assert finite(model)
    assert all(p.grad is None for p in model.parameters())


def test_names_are_unique() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)
    assert torch.get_default_dtype() == torch.float32
