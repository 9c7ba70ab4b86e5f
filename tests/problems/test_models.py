import math

import pytest
import torch
from torch import nn

from napts.problems import get_problem, problem_names


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("name", "shape", "parameters"),
    [
        ("digits-cnn", (1, 8, 8), 9_258),
        ("mnist-fcnn", (1, 28, 28), 26_506),
        ("fashion-mnist-fcnn", (1, 28, 28), 26_506),
        ("cifar10-cnn", (3, 32, 32), 1_225_866),
        ("cifar10-lenet", (3, 32, 32), 62_006),
        ("cifar10-mini", (3, 16, 16), 40_682),
        ("cifar10-mini-deep", (3, 16, 16), 65_322),
        ("cifar10-mini-wide", (3, 16, 16), 1_029_258),
    ],
)
def test_parameter_counts_and_output_shape(name, shape, parameters):
    model = get_problem(name).build_model(0)
    assert count(model) == parameters
    assert model(torch.zeros(2, *shape)).shape == (2, 10)


def test_resnet18_is_torchvisions_with_its_own_head() -> None:
    model = get_problem("cifar10-resnet18").build_model(0)
    assert count(model) == 11_689_512
    assert len(list(model.parameters())) == 62
    model.eval()
    with torch.no_grad():
        assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 1000)


def test_mnist_network_is_that_of_the_2023_paper():
    shapes = [tuple(p.shape) for p in get_problem("mnist-fcnn").build_model(0).parameters()]
    assert shapes == [(32, 784), (32,), (32, 32), (32,), (10, 32), (10,)]


def test_cifar10_network_has_neither_batch_normalisation_nor_dropout():
    kinds = {type(module) for module in get_problem("cifar10-cnn").build_model(0)}
    assert kinds == {nn.Conv2d, nn.ReLU, nn.MaxPool2d, nn.Flatten, nn.Linear}


def test_sigmoid_output_puts_a_floor_under_the_loss():
    workload = get_problem("mnist-fcnn", {"sigmoid_output": True})
    model = workload.build_model(0)
    last = model[-2]
    assert isinstance(last, nn.Linear)
    with torch.no_grad():  # outputs saturate at 1 for class 3 and at 0 for the others
        last.weight.zero_()
        last.bias.fill_(-1e4)
        last.bias[3] = 1e4
    outputs = model(torch.randn(5, 1, 28, 28))
    best = workload.criterion(outputs, torch.full((5,), 3)).item()
    assert best == pytest.approx(math.log(1 + 9 / math.e), abs=1e-6)
    assert best == pytest.approx(1.46115, abs=5e-6)
    assert workload.criterion(outputs, torch.full((5,), 4)).item() > best


def test_without_sigmoid_the_loss_can_vanish():
    workload = get_problem("mnist-fcnn")
    assert not any(isinstance(module, nn.Sigmoid) for module in workload.build_model(0))


@pytest.mark.parametrize("name", [n for n in problem_names() if n != "libsvm-logistic"])
def test_every_network_has_enough_layers_for_its_subdomains(name):
    workload = get_problem(name)
    model = workload.build_model(0)
    with_parameters = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(with_parameters) >= workload.subdomains
    known = name == "cifar10-resnet18" or name.endswith("-logistic")
    assert isinstance(model, nn.Sequential) or known


def test_initialisation_depends_on_the_seed_alone_and_leaves_the_global_state():
    workload = get_problem("synthetic-blobs")
    torch.manual_seed(123)
    state = torch.get_rng_state()
    first = workload.build_model(7)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(10)
    second, other = workload.build_model(7), workload.build_model(8)
    pairs = list(zip(first.parameters(), second.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b in pairs)
    assert not torch.equal(next(iter(first.parameters())), next(iter(other.parameters())))
