"""Steps and calls of other threads: they do not get into each other's way, or one is told so."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import napts
from napts.optim import Baseline
from tests.helpers.networks import batch, closure, make, plain, same, snapshot


def _at_once(*tasks: Callable[[], Any]) -> list[BaseException | None]:
    """Run tasks in threads of their own; return what each of them raised."""
    errors: list[BaseException | None] = [None] * len(tasks)

    def run(index: int) -> None:
        try:
            tasks[index]()
        except BaseException as error:
            errors[index] = error

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(tasks))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    return errors


def _normalised() -> nn.Sequential:
    return nn.Sequential(plain(), nn.BatchNorm1d(4)).double()


def _others() -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(nn.BatchNorm1d(6), nn.Linear(6, 4), nn.BatchNorm1d(4)).double()


@pytest.mark.parametrize("method", ["TR", "NAPTS"])
@pytest.mark.parametrize("when", ["first", "trial", "always"])
def test_a_module_called_from_another_thread(method: str, when: str) -> None:
    """Its buffers are its own: no error, and each model has the statistics of its own calls."""
    model, other = _normalised(), _others()
    twin, other_twin = _normalised(), _others()
    optimizer, undisturbed = make(method, model), make(method, twin)
    calls = 0

    def disturbed() -> Tensor:
        nonlocal calls
        calls += 1
        if when == "always" or (calls == 1) == (when == "first"):
            assert _at_once(lambda: other(batch()[0])) == [None]
        return closure(model, batch())()

    many = 0
    for _ in range(3):
        calls = 0
        optimizer.step(disturbed)
        many += {"first": 1, "trial": calls - 1, "always": calls}[when]
        undisturbed.step(closure(twin, batch()))
    for _ in range(many):
        other_twin(batch()[0])
    assert same(snapshot(model), snapshot(twin))
    assert same(snapshot(other), snapshot(other_twin))


def _two(networks: list[nn.Sequential], steps: int) -> tuple[list[BaseException | None], Any]:
    """Take steps in two threads, of which the first ones overlap."""
    meeting = threading.Barrier(2)
    optimizers = [make("NTR", network) for network in networks]
    losses: list[list[float]] = [[], []]

    def task(index: int) -> None:
        met: list[int] = []

        def meet() -> Tensor:
            if not met:
                met.append(meeting.wait(20))
            return closure(networks[index], batch(index))()

        for _ in range(steps):
            losses[index].append(optimizers[index].step(meet))

    return _at_once(lambda: task(0), lambda: task(1)), losses


def test_two_optimizers_without_random_numbers() -> None:
    networks, twins = [_normalised(), _others()], [_normalised(), _others()]
    errors, losses = _two(networks, 5)
    assert errors == [None, None]
    for index, twin in enumerate(twins):
        optimizer = make("NTR", twin)
        alone = [optimizer.step(closure(twin, batch(index))) for _ in range(5)]
        assert losses[index] == alone
        assert same(snapshot(networks[index]), snapshot(twin))


def test_two_optimizers_with_random_numbers() -> None:
    networks = [nn.Sequential(plain(), nn.Dropout(0.3)).double() for _ in range(2)]
    before = [snapshot(network) for network in networks]
    errors, _ = _two(networks, 1)
    told = [e for e in errors if isinstance(e, RuntimeError) and "overlap in two threads" in str(e)]
    assert told
    for error, network, start in zip(errors, networks, before, strict=True):
        assert error is None or same(snapshot(network), start)
    # One after the other they go on.
    for network in networks:
        make("NTR", network).step(closure(network, batch()))


def test_one_after_the_other_in_two_threads() -> None:
    network = nn.Sequential(plain(), nn.Dropout(0.3)).double()
    optimizer = make("NTR", network)
    for _ in range(3):
        assert _at_once(lambda: optimizer.step(closure(network, batch()))) == [None]


def test_one_optimizer_in_two_threads() -> None:
    model, inner = plain(), []
    optimizer = napts.TR(model.parameters())

    def nested() -> Tensor:
        inner.extend(_at_once(lambda: optimizer.step(closure(model, batch()))))
        return closure(model, batch())()

    optimizer.step(nested)
    assert inner
    assert all("step is already running" in str(error) for error in inner)
    optimizer.step(closure(model, batch()))


@pytest.mark.parametrize("kinds", [("NTR", "Adam"), ("Adam", "Adam")])
def test_a_baseline_beside_another_optimizer(kinds: tuple[str, str]) -> None:
    """It repeats nothing itself: only a step that does so disturbs it."""
    networks = [plain(), nn.Sequential(plain(), nn.Dropout(0.3)).double()]
    meeting = threading.Barrier(2)
    optimizers: list[Any] = [
        make(kind, network) if kind == "NTR" else Baseline(torch.optim.Adam(network.parameters()))
        for kind, network in zip(kinds, networks, strict=True)
    ]

    for optimizer, network in zip(optimizers, networks, strict=True):
        optimizer.step(closure(network, batch()))

    def step(index: int) -> None:
        met: list[int] = []

        def meet() -> Tensor:
            if not met:
                met.append(meeting.wait(20))
            return closure(networks[index], batch())()

        optimizers[index].step(meet)

    errors = _at_once(lambda: step(0), lambda: step(1))
    assert errors[0] is None
    assert ("overlap in two threads" in str(errors[1])) == (kinds[0] == "NTR")
