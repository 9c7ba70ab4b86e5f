"""Compiled passes and autocast: the same training to rounding, or one clear line."""

import copy
import pickle
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import napts
from napts.cli.commands import main
from napts.decomposition import compiled
from napts.experiment import RunSpec, run
from napts.experiment.spec.execution import Execution
from napts.experiment.training_calls import train_through
from napts.problems import get_problem
from napts.records import RunRecord, load_run
from tests.experiment.test_runner import Stopper, comparable
from tests.helpers.networks import batch, closure, noisy, plain

METHODS: dict[str, dict[str, Any]] = {
    "NTR": {"order": 2},
    "NAPTS": {"local_steps": 2},
    "APTSA": {"last_block_exact": True},
    "APTSD": {},
    "ASPQN": {"local_steps": 2},
    "LBFGS": {"lr": 0.1},
    "torch.optim.RAdam": {"lr": 1e-2},
}


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Trace, but generate no code; what torch says of itself while it does so is not ours."""
    found: list[Any] = []

    def keep(graph: torch.fx.GraphModule, inputs: Any) -> Any:
        found.append(inputs)
        return graph.forward

    monkeypatch.setattr(compiled, "BACKEND", keep)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield found
        torch.compiler.reset()


def dropping() -> nn.Sequential:
    """With BatchNorm and dropout."""
    model = noisy()
    del model[5]  # its running means depend on a counter
    return model


def through(model: nn.Module, **execution: Any) -> nn.Module:
    example = torch.zeros(2, 6, dtype=next(model.parameters()).dtype)
    train_through(model, Execution(**execution), example, "cpu")
    return model


def trained(spec: Any, root: Path) -> RunRecord:
    outcome = run(spec, root)
    assert outcome.state == "done", outcome.error
    return load_run(outcome.path)


# --- compiled ----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_every_family_trains_as_without(
    method: str, spec_of: Any, tmp_path: Path, graphs: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """300 samples in batches of 64: a compilation for each of two sizes, and for no other."""
    if method == "NAPTS":  # its backward passes are traced too
        monkeypatch.setattr(compiled, "BACKEND", "aot_eager")
    records = []
    for compile in (False, True):
        spec = spec_of(
            method,
            "synthetic-blobs" if method == "ASPQN" else "synthetic-batchnorm",
            options=METHODS[method],
            epochs=1,
            precision="float64",
            execution={"compile": compile},
        )
        records.append(trained(spec, tmp_path / str(compile)))
    ours, theirs = ([row["loss"] for row in record.steps] for record in records)
    assert ours == pytest.approx(theirs, rel=1e-9)
    assert records[0].run_key == records[1].run_key
    if method in ("APTSD", "ASPQN"):
        assert graphs
    elif method != "NAPTS":
        assert len(graphs) == 2


@pytest.mark.usefixtures("compiler")
def test_generated_code_resumes_to_the_same_bits(tmp_path: Path, spec_of: Any) -> None:
    """With dropout and BatchNorm, and rejected trials; a checkpoint fits plain runs too."""

    def spec(*, compile: bool) -> Any:
        execution = {"compile": compile, "checkpoint_every_s": 0.0}
        options = {"radius": 8.0, "radius_max": 8.0}
        workload = {"name": "synthetic-batchnorm", "train_samples": 256}  # batches of one size
        plainly = spec_of("TR", options=options, execution=execution)
        return RunSpec.model_validate({**plainly.as_dict(), "workload": workload})

    straight = trained(spec(compile=True), tmp_path / "straight")
    assert straight.final is not None
    assert any(row["rejections"] for row in straight.epochs)
    for compile in (True, False):
        root = tmp_path / str(compile)
        with pytest.raises(KeyboardInterrupt):
            run(spec(compile=True), root, observer=Stopper(2, 3, KeyboardInterrupt()))
        torch.compiler.reset()
        record = trained(spec(compile=compile), root)
        if compile:
            assert comparable(record) == comparable(straight)
        else:
            assert record.final == pytest.approx(straight.final, rel=1e-2)
            assert record.final != straight.final


def test_names_stay_and_copies_are_plain(graphs: list[Any]) -> None:
    model = dropping()
    names = list(model.state_dict())
    through(model, compile=True)
    assert list(model.state_dict()) == names
    inputs = batch()[0]
    model(inputs)
    assert len(graphs) == 1
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), model.eval()):
        assert isinstance(twin(inputs), Tensor)
    assert len(graphs) == 1


def test_a_loss_has_the_same_bits_with_and_without_a_graph(graphs: list[Any]) -> None:
    model, data = through(dropping(), compile=True), batch()
    torch.manual_seed(0)
    kept = closure(model, data)()
    torch.manual_seed(0)
    with torch.no_grad():
        alone = closure(model, data)()
    assert torch.equal(kept.detach(), alone)
    assert not alone.requires_grad
    assert len(graphs) == 1


def test_captured_passes_are_plain_and_trials_are_not(graphs: list[Any]) -> None:
    model, data = plain(), batch()
    optimizer = napts.NAPTS(napts.partition_layers(model, 2))
    through(model, compile=True)
    with napts.partition_layers(model, 2).capture():
        closure(model, data)()
    assert not graphs
    optimizer.step(closure(model, data))
    assert len(graphs) == 1


def test_networks_that_cannot_be_compiled_in_training_are_refused(graphs: list[Any]) -> None:
    with pytest.raises(ValueError, match=r"compile: .* since torch cannot compile the network"):
        through(noisy().float(), compile=True)


class Jagged(nn.Linear):
    """Its path depends on its inputs' values."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input if input.sum() >= 0 else -input)


def test_a_network_that_cannot_be_compiled_is_refused_before_training(graphs: list[Any]) -> None:
    wanted = "execution.compile: found true, allowed: false, since torch cannot compile the network"
    with pytest.raises(ValueError, match=wanted) as raised:
        through(Jagged(6, 2), compile=True)
    assert "\n" not in str(raised.value)


def test_too_many_shapes_are_one_clear_error(graphs: list[Any]) -> None:
    model = through(plain(), compile=True)
    batches = [batch(samples=samples)[0] for samples in range(2, 40)]
    with pytest.raises(ValueError, match=r"execution.compile: .* with more different shapes than"):
        list(map(model, batches))


def test_second_derivatives_are_refused(graphs: list[Any]) -> None:
    model = through(plain(), compile=True)
    loss = closure(model, batch())()
    with pytest.raises(ValueError, match=r"execution.compile: .* methods that take second deriv"):
        torch.autograd.grad(loss, list(model.parameters()), create_graph=True)


# --- autocast ------------------------------------------------------------------------------------


class Products(TorchDispatchMode):
    """Notes in which precision matrices are multiplied."""

    def __init__(self) -> None:
        super().__init__()
        self.types: set[torch.dtype] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        if func.overloadpacket in (torch.ops.aten.mm, torch.ops.aten.addmm):
            self.types.add(found.dtype)
        return found


@pytest.mark.parametrize("name", ["digits-cnn", "diabetes-mlp", "text-gpt", "sine-resnet"])
def test_products_are_short_and_losses_are_not(name: str) -> None:
    problem = get_problem(name, {})
    model = problem.build_model(0)
    data = next(iter(problem.load().train.batches(8)))
    full = problem.loss(model, data)
    train_through(model, Execution(autocast="bfloat16"), problem.example_inputs(data), "cpu")
    with Products() as products:
        loss = problem.loss(model.train(), data)
        gradients = torch.autograd.grad(loss, list(model.parameters()))
    assert products.types == {torch.bfloat16}
    assert loss.dtype == torch.float32
    assert {gradient.dtype for gradient in gradients} == {torch.float32}
    assert loss.item() == pytest.approx(full.item(), rel=1e-2)
    assert loss.item() != full.item()
    with Products() as products:
        assert torch.equal(problem.loss(model.eval(), data), full)
    assert products.types == {torch.float32}


@pytest.mark.parametrize("by_hand", [False, True])
def test_local_gradients_are_blocks_of_the_global_one(by_hand: bool) -> None:
    model, data = plain(torch.float32), batch(dtype=torch.float32)
    stages = napts.partition_layers(model, cuts=[model[3]]) if by_hand else None
    stages = stages or napts.partition_layers(model, 2)
    through(model, autocast="bfloat16")
    with stages.capture():
        loss = closure(model, data)()
    wanted = [p for block in stages.parameter_sets for p in block]
    found = torch.autograd.grad(loss, [*wanted, *stages.boundaries()])
    stages.set_downstream(found[len(wanted) :])
    local = [gradient for index in range(2) for gradient in stages.local_gradient(index)]
    for mine, theirs in zip(local, found, strict=False):
        assert torch.equal(mine, theirs)
    exact = stages.exact_gradient_of_last(closure(model, data))
    for mine, theirs in zip(exact, local[-len(exact) :], strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("method", ["NAPTS", "Adam"])
def test_runs_under_autocast_are_their_own(method: str, spec_of: Any, tmp_path: Path) -> None:
    records = []
    for autocast in ("none", "bfloat16"):
        execution = {"autocast": autocast, "channels_last": True, "checkpoint_every_s": 0.0}
        spec = spec_of(method, "digits-cnn", epochs=1, execution=execution)
        records.append(trained(spec, tmp_path))
    full, short = records
    assert full.run_key != short.run_key
    losses = [[row["loss"] for row in record.steps] for record in records]
    assert losses[1] == pytest.approx(losses[0], rel=0.1)
    assert losses[1] != losses[0]
    with pytest.raises(KeyboardInterrupt):
        run(spec, tmp_path / "cut", observer=Stopper(1, 3, KeyboardInterrupt()))
    assert comparable(trained(spec, tmp_path / "cut")) == comparable(short)


def test_only_autocast_belongs_to_the_key(spec_of: Any) -> None:
    plainly = spec_of("NAPTS")
    assert "execution" not in plainly.science()
    for execution in ({"compile": True}, {"channels_last": True}, {"autocast": "none"}):
        assert spec_of("NAPTS", execution=execution).run_key == plainly.run_key
    short = spec_of("NAPTS", execution={"autocast": "bfloat16", "compile": True})
    assert short.science()["execution"] == {"autocast": "bfloat16"}
    assert short.run_key != plainly.run_key
    assert RunSpec.model_validate(short.as_dict()).run_key == short.run_key


# --- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "workload", "more", "said"),
    [
        ("TR", "burgers", {}, "for burgers, whose loss takes derivatives by the inputs; there is"),
        ("TR", "mushrooms-logistic", {}, "for mushrooms-logistic, whose loss is evaluated"),
        ("TR", "synthetic-blobs", {"pipeline": {"stages": 2}}, r"with \[pipeline\]"),
    ],
)
@pytest.mark.parametrize("option", [{"compile": True}, {"autocast": "bfloat16"}])
def test_what_never_works_is_refused_at_planning(
    option: dict[str, Any], method: str, workload: str, more: Any, said: str, spec_of: Any
) -> None:
    (name,) = option
    with pytest.raises(ValueError, match=rf"execution.{name}: found \w+, allowed: \w+ {said}"):
        spec_of(method, workload, execution=option, **more)


@pytest.mark.parametrize(
    ("method", "more", "said"),
    [
        ("TRNewton", {}, "allowed: false for TRNewton, which takes second derivatives"),
        ("MLVR", {}, "allowed: false for MLVR, which takes second derivatives"),
        ("APTSD", {"ranks": 2}, "allowed: false with execution.ranks > 1"),
    ],
)
def test_what_cannot_be_compiled_is_refused_at_planning(
    method: str, more: dict[str, Any], said: str, spec_of: Any
) -> None:
    with pytest.raises(ValueError, match=f"execution.compile: found true, {said}"):
        spec_of(method, execution={"compile": True, **more})


def test_double_precision_has_no_autocast(spec_of: Any) -> None:
    with pytest.raises(ValueError, match=r"autocast: found bfloat16, allowed: none with precision"):
        spec_of("TR", precision="float64", execution={"autocast": "bfloat16"})
    spec_of("MLVR", options={"coarse_solver": "gd"}, execution={"compile": True})


def test_the_command_says_so_in_one_line(tmp_path: Path) -> None:
    study = tmp_path / "study.toml"
    study.write_text(
        'experiment = "a"\nmethods = [{ method = "TRNewton" }]\nseeds = [0]\n'
        'workload = { name = "synthetic-blobs" }\nbudget = { epochs = 1 }\n'
        "execution = { compile = true }\n"
    )
    result = CliRunner().invoke(main, ["run", str(study), "--records", str(tmp_path), "--no-track"])
    assert result.exit_code == 2
    (line,) = result.stderr.strip().splitlines()
    assert line.endswith("allowed: false for TRNewton, which takes second derivatives")
