"""Sets of consecutive layers: covering, order, the authors' rule, overlap."""

import pytest
from torch import nn

import napts
from napts.decomposition import LayerSubsets, Split
from napts.optim.quasi_newton.subspaces import LayerSets
from napts.problems import get_problem


def of(layers: int) -> nn.Sequential:
    return nn.Sequential(*(nn.Linear(2, 2) for _ in range(layers)))


def ranges(layers: int, subdomains: int, split: Split = "balanced", overlap: int = 0) -> list[list]:
    found = napts.split_layers(of(layers), subdomains, split=split, overlap=overlap)
    return [list(own) for own in found.ranges]


@pytest.mark.parametrize(("layers", "subdomains"), [(10, 8), (10, 3), (4, 4), (7, 1), (5, 2)])
def test_balanced_sets_cover_every_layer_once(layers: int, subdomains: int) -> None:
    found = ranges(layers, subdomains)
    assert [layer for own in found for layer in own] == list(range(layers))
    sizes = [len(own) for own in found]
    assert sizes == sorted(sizes, reverse=True)
    assert max(sizes) - min(sizes) <= 1
    sets = napts.split_layers(of(layers), subdomains)
    assert [id(p) for own in sets.parameter_sets for p in own] == [id(p) for p in sets.parameters]


def test_the_authors_sets_leave_layers_out() -> None:
    assert ranges(10, 8, "authors") == [[i] for i in range(8)]  # 8 and 9 are in none
    assert ranges(10, 4, "authors") == [[0, 1], [2, 3], [4, 5], [6, 7]]  # round(2.5) = 2
    assert ranges(10, 6, "authors") == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]  # the sixth: empty
    sets = napts.split_layers(of(10), 8, split="authors")
    assert len(sets.parameters) == 20
    assert len([p for own in sets.parameter_sets for p in own]) == 16


def test_overlap() -> None:
    assert ranges(5, 3, overlap=1) == [[0, 1, 2], [1, 2, 3, 4], [3, 4]]
    sets = napts.split_layers(of(5), 3, overlap=1)
    assert [
        layer[0] is sets.tensors[i][0]
        for i, layer in zip((0, 1, 3), sets.first_layers, strict=True)
    ]


def test_a_layer_keeps_its_slope() -> None:
    network = get_problem("burgers").network()
    sets = napts.split_layers(network, 8)
    assert sets.layers == 10
    assert sets.names[1] == ["2.weight", "2.bias", "2.slope"]
    assert isinstance(sets, LayerSets)
    assert isinstance(sets, LayerSubsets)
    assert [len(own) for own in sets.ranges] == [2, 2, 1, 1, 1, 1, 1, 1]


def test_frozen_parameters_are_in_no_set() -> None:
    model = of(3)
    sets = napts.split_layers(model, 3)
    model[1].requires_grad_(False)
    assert len(sets.parameter_sets) == 2
    assert len(sets.parameters) == 4


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(napts.PartitionError, match=r"must lie in \[1, 3\], got 4"):
        napts.split_layers(of(3), 4)
    with pytest.raises(ValueError, match="Invalid overlap: -1, must be integer >= 0"):
        napts.split_layers(of(3), 2, overlap=-1)
