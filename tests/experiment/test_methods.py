import inspect

import pytest
import torch
from torch import nn

import napts
from napts.experiment import build_optimizer, method_named, method_names

OWN = ("TR", "NTR", "APTS", "APTSA", "NAPTS", "APTSW", "APTSD")


def model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 3))


def residual() -> nn.Sequential:
    torch.manual_seed(0)
    blocks = [nn.Linear(6, 6) for _ in range(4)]
    return napts.residual_network(nn.Linear(4, 6), blocks, nn.Linear(6, 3))


def options(method: str, **values):
    if method in ("APTS", "APTSA", "NAPTS", "APTSW"):
        values.setdefault("subdomains", 2)
    return method_named(method).options.model_validate({"method": method, **values})


@pytest.mark.parametrize("method", OWN)
def test_options_mirror_the_constructor(method: str) -> None:
    parameters = inspect.signature(getattr(napts, method).__init__).parameters
    defaults = {n: p.default for n, p in parameters.items() if p.kind is p.KEYWORD_ONLY}
    arguments = options(method).arguments()
    assert set(arguments) == set(defaults)
    # A spec has the papers' floor, and all runs before there was a choice.
    assert (arguments.pop("radius_floor"), defaults["radius_floor"]) == ("fixed", "yielding")
    for name, value in arguments.items():
        if name not in ("radius", "radius_min", "radius_max"):
            assert value == defaults[name], name


@pytest.mark.parametrize("method", OWN)
def test_what_is_younger_counts_only_where_it_is_used(method: str) -> None:
    """So that runs from before have the same run key."""
    plain = options(method).science()
    assert not {"radius_floor", "weight_decay", "decoupled_weight_decay"} & set(plain)
    for name, value in (("radius_floor", "yielding"), ("weight_decay", 0.1)):
        assert options(method, **{name: value}).science() == {**plain, name: value}


@pytest.mark.parametrize(("name", "method"), [("paper", "NAPTS"), ("apts-2023", "APTSW")])
def test_a_preset_with_the_papers_floor_changes_no_key(name: str, method: str) -> None:
    assert "radius_floor" not in options(method, preset=name).science()


@pytest.mark.parametrize(("norm", "radii"), [("l2", (0.1, 1e-3, 2.0)), ("inf", (1e-2, 1e-4, 0.1))])
def test_radii_default_by_the_norm(norm: str, radii: tuple[float, ...]) -> None:
    found = options("TR", norm=norm).arguments()
    assert tuple(found[name] for name in ("radius", "radius_min", "radius_max")) == radii


@pytest.mark.parametrize("method", method_names())
def test_every_method_steps_and_reports(method: str) -> None:
    network = residual() if method == "RMTR" else model()
    inputs, targets = torch.randn(20, 4), torch.randint(3, (20,))
    cut = {"subdomains": 2} if method in ("ASPQN", "MSPQN") else {}  # a problem says it otherwise
    optimizer = build_optimizer(options(method, **cut), network, example_inputs=inputs)
    batch = napts.SplitBatch(
        lambda x, y: nn.functional.cross_entropy(network(x), y), inputs, targets
    )
    loss = optimizer.step(batch)
    record = optimizer.last_step
    assert record is not None
    assert record.loss == loss
    assert record.forwards >= 1


def test_rmtr_needs_a_residual_network() -> None:
    with pytest.raises(ValueError, match=r"optimizer\.levels: found Sequential without residual"):
        build_optimizer(options("RMTR"), model())
    with pytest.raises(
        ValueError, match=r"optimizer\.levels: found 4, allowed: 1 to 3 for a stage"
    ):
        build_optimizer(options("RMTR", levels=4), residual())


def test_baseline_options_reach_torch() -> None:
    adam = build_optimizer(options("Adam", lr=0.3, betas=[0.5, 0.6], eps=0.1), model())
    group = adam.param_groups[0]  # pyright: ignore[reportAttributeAccessIssue]
    assert (group["lr"], group["betas"], group["eps"]) == (0.3, (0.5, 0.6), 0.1)
    sgd = build_optimizer(options("SGD", lr=0.2, momentum=0.4), model())
    group = sgd.param_groups[0]  # pyright: ignore[reportAttributeAccessIssue]
    assert (group["lr"], group["momentum"]) == (0.2, 0.4)
    lbfgs = build_optimizer(options("LBFGS", history_size=3, line_search="none"), model())
    group = lbfgs.param_groups[0]  # pyright: ignore[reportAttributeAccessIssue]
    assert (group["history_size"], group["line_search_fn"], group["max_iter"]) == (3, None, 1)


def test_schwarz_methods_get_their_subdomains() -> None:
    optimizer = build_optimizer(options("NAPTS", subdomains=3), model())
    assert len(optimizer.param_groups) == 3  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(ValueError, match="at most 3 blocks"):
        build_optimizer(options("NAPTS", subdomains=4), model())


def test_lbfgs_searches_where_it_may_evaluate() -> None:
    """With one iteration per batch torch 2.13 leaves no evaluation for the line search."""
    assert options("LBFGS").science() == options("LBFGS", max_eval=None).science()
    assert "max_eval" not in options("LBFGS").science()
    ends = []
    for more in ({}, {"max_eval": 26}):
        point = nn.Parameter(torch.tensor([-1.2, 1.0], dtype=torch.float64))
        chosen = build_optimizer(options("LBFGS", **more), nn.ParameterList([point]))
        for _ in range(40):
            chosen.step(lambda p=point: 100 * (p[1] - p[0] ** 2) ** 2 + (1 - p[0]) ** 2)
        assert chosen.last_step is not None
        ends.append(chosen.last_step.loss)
    assert ends[1] < 1e-6
    assert ends[1] <= ends[0]  # other versions search in any case
