"""What two processes with a batch each do in DistributedDataParallel; runs under torchrun."""

import json
import math
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

import napts
from napts.optim import Baseline

STEPS, SAMPLES = 12, 24
TRACKING: dict[str, Any] = {"radius_rule": "tracking", "eta_1": 0.05, "probe_every": 2}
LIGHT = napts.preset("NAPTS", "light")
Make = Callable[[nn.Module], Any]


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for width in (6, 8, 8):
        layers += [nn.Linear(width, 8), nn.Tanh()]
    return nn.Sequential(*layers, nn.Linear(8, 3)).double()


class Centred(nn.Module):
    """Subtracts a running mean, which is a part of the function and changes at every call."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(8, dtype=torch.float64))

    def forward(self, inputs: Tensor) -> Tensor:
        outputs = inputs - self.mean
        if self.training:
            self.mean = 0.5 * self.mean + 0.5 * inputs.detach().mean(0)
        return outputs


def with_buffers(first: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    layers = [nn.Linear(6, 8), first, nn.Tanh(), nn.Linear(8, 8), nn.BatchNorm1d(8)]
    return nn.Sequential(*layers, nn.Dropout(0.2), nn.Linear(8, 3)).double()


def stages(model: nn.Module) -> Any:
    return napts.partition_layers(model, 4)


CASES: dict[str, Make] = {
    "TR": lambda m: napts.TR(m.parameters(), radius=1.0),
    "TR in groups": lambda m: napts.TR([{"params": list(layer.parameters())} for layer in m[::2]]),
    "NTR": lambda m: napts.NTR(m.parameters(), norm="inf", direction="sign"),
    "NTR order 2": lambda m: napts.NTR(m.parameters(), order=2),
    "NTR reeval": lambda m: napts.NTR(m.parameters(), history_scope="reeval", radius=1.5),
    "APTS": lambda m: napts.APTS(stages(m), local_steps=2),
    "APTSA": lambda m: napts.APTSA(stages(m), last_block_exact=True, local_steps=3),
    "NAPTS": lambda m: napts.NAPTS(stages(m), radius=1.0),
    "NAPTS joint": lambda m: napts.NAPTS(stages(m), shares="joint", moments="kept", local_steps=2),
    "light": lambda m: napts.NAPTS(stages(m), **LIGHT),
    "APTSW": lambda m: napts.APTSW(napts.deal_parameters(m, 3)),
    "APTSW alone": lambda m: napts.APTSW(napts.deal_parameters(m, 1), order=2),
    "APTSW forced": lambda m: napts.APTSW(napts.deal_parameters(m, 3), forced_decrease=True),
    "NTR tracking": lambda m: napts.NTR(m.parameters(), **TRACKING),
    "NAPTS tracking": lambda m: napts.NAPTS(stages(m), radius=1.0, local_steps=2, **TRACKING),
    "APTSW tracking": lambda m: napts.APTSW(napts.deal_parameters(m, 3), **TRACKING),
    "TTR": lambda m: napts.TTR(m.parameters(), probe_every=2),
    "STTR": lambda m: napts.STTR(m.parameters(), probe_every=2),
    "TTR rejects": lambda m: napts.TTR(m.parameters(), radius=0.5, reject_below=0.5),
    "Adam": lambda m: Baseline(torch.optim.Adam(m.parameters(), lr=1e-2)),
    "SGD": lambda m: Baseline(torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9)),
}
WRAPPINGS: dict[str, dict[str, Any]] = {
    "unused": {"find_unused_parameters": True},
    "static": {"static_graph": True},
    "views": {"gradient_as_bucket_view": True},
}


def data(step: int, rank: int | None) -> tuple[Tensor, Tensor]:
    """A rank's part of a batch, or all of it."""
    generator = torch.Generator().manual_seed(100 + step % 4)
    inputs = torch.randn(SAMPLES, 6, generator=generator, dtype=torch.float64)
    targets = inputs[:, :3].argmax(1)
    part = slice(None) if rank is None else slice(rank, None, 2)
    return inputs[part], targets[part]


def train(model: nn.Module, call: nn.Module, optimizer: Any, rank: int | None) -> dict[str, Any]:
    """Train; a loss is told as everybody's mean."""
    losses, trials, passes = [], [], []
    for step in range(STEPS):
        inputs, targets = data(step, rank)
        losses.append(optimizer.step(lambda x=inputs, y=targets: criterion(call(x), y)))
        record = optimizer.last_step
        trials += [[t.trial_loss, t.predicted_reduction, t.accepted] for t in record.trials]
        passes.append([record.forwards, record.backwards, record.local_passes])
    return {"losses": losses, "trials": trials, "passes": passes, "theta": flat(model)}


def criterion(outputs: Tensor, targets: Tensor) -> Tensor:
    return functional.cross_entropy(outputs, targets)


def flat(model: nn.Module) -> list[float]:
    return torch.cat([p.detach().reshape(-1) for p in model.parameters()]).tolist()


def wrapped(model: nn.Module, **options: Any) -> DistributedDataParallel:
    return DistributedDataParallel(model, **options)


def in_other_wrappings(rank: int) -> dict[str, Any]:
    """And whether the wrapper averages what backward() leaves afterwards, as it did before."""
    found = {}
    for name, options in WRAPPINGS.items():
        model = network()
        call = wrapped(model, **options)
        found[name] = train(model, call, CASES["TR"](model), rank)
        for _ in range(2):
            model.zero_grad()
            inputs, targets = data(0, rank)
            criterion(call(inputs), targets).backward()
        found[name]["gradient"] = [p.grad.sum().item() for p in model.parameters()]
        model.zero_grad()
        inputs, targets = data(0, None)
        criterion(model(inputs), targets).backward()
        found[name]["expected"] = [p.grad.sum().item() for p in model.parameters()]
    return found


class _Function:
    """A loss that has to be the same wherever the parameters are the same, within a step."""

    def __init__(self, call: nn.Module, inputs: Tensor, targets: Tensor) -> None:
        self.call, self.inputs, self.targets = call, inputs, targets
        self.seen: dict[bytes, float] = {}

    def __call__(self) -> Tensor:
        key = b"".join(p.detach().numpy().tobytes() for p in self.call.parameters())
        loss = criterion(self.call(self.inputs), self.targets)
        assert self.seen.setdefault(key, loss.item()) == loss.item()
        return loss


def with_state(rank: int) -> dict[str, Any]:
    """Buffers, of which one is a part of the function, and masks that differ between the ranks."""
    found = {}
    for name in ("TR", "NAPTS", "light", "APTSW"):
        model = with_buffers(nn.Identity() if "N" in name or name == "light" else Centred())
        call, optimizer = wrapped(model), CASES[name](model)
        torch.manual_seed(rank)

        forwards = []
        for step in range(STEPS):
            optimizer.step(_Function(call, *data(step, rank)))
            forwards.append(optimizer.last_step.forwards)
        call.eval()
        call(data(0, rank)[0])
        buffers = {key: value.tolist() for key, value in model.named_buffers()}
        found[name] = {"theta": flat(model), "forwards": forwards, "buffers": buffers}
    return found


def poisoned(rank: int) -> dict[str, Any]:
    """The loss of one process alone is NaN, once."""
    found = {}
    for name in ("TR", "light", "Adam"):
        model = network()
        call, optimizer = wrapped(model), CASES[name](model)
        taken = []
        for step in range(4):
            factor = math.nan if step == 2 and rank == 0 else 1.0
            x, y = data(step, rank)
            optimizer.step(lambda x=x, y=y, c=call, f=factor: criterion(c(x), y) * f)
            taken.append(optimizer.last_step.accepted)
        found[name] = {"taken": taken, "theta": flat(model)}
    return found


def refused(task: Callable[[], Any]) -> str:
    try:
        task()
    except (ValueError, RuntimeError) as error:
        return f"{type(error).__name__}: {error}"
    return "not refused"


def step_of(optimizer: Any, call: nn.Module, rank: int) -> None:
    inputs, targets = data(0, rank)
    optimizer.step(lambda: criterion(call(inputs), targets))


def without_the_wrapper(rank: int) -> None:
    model = network()
    call, optimizer = wrapped(model), napts.TR(model.parameters())
    step_of(optimizer, call, rank)
    step_of(optimizer, model, rank)


def unequal(rank: int) -> None:
    model = network()
    call = wrapped(model)
    with torch.no_grad():
        model[0].weight += rank
    step_of(napts.TR(model.parameters()), call, rank)


def split(rank: int, ranks: Any, method: str) -> None:
    model = network()
    call = wrapped(model)
    if method == "APTSD":
        optimizer: Any = napts.APTSD(model.parameters(), shards=2)
    else:
        optimizer = napts.APTSW(napts.deal_parameters(model, 2))
    inputs, targets = data(0, rank)
    optimizer.step(napts.SplitBatch(lambda x, y: criterion(call(x), y), inputs, targets, ranks))


def sharded(rank: int, kind: str) -> None:
    from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard

    model: nn.Module = network()
    if kind == "fully_shard":
        mesh = dist.init_device_mesh("cpu", (2,))
        fully_shard(model, mesh=mesh)
    else:
        device = torch.device("cpu")
        originals = kind == "original parameters"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = FullyShardedDataParallel(model, device_id=device, use_orig_params=originals)
    step_of(napts.TR(model.parameters()), model, rank)


def baseline_of_shards(rank: int) -> list[float]:
    from torch.distributed.fsdp import fully_shard

    model: nn.Module = network()
    fully_shard(model, mesh=dist.init_device_mesh("cpu", (2,)))
    optimizer = Baseline(torch.optim.Adam(model.parameters(), lr=1e-2))
    losses = []
    for _ in range(3):
        inputs, targets = data(0, None)
        losses.append(optimizer.step(lambda x=inputs, y=targets: criterion(model(x), y)))
    return losses


def inside_forward(rank: int) -> dict[str, Any]:
    """As in Lightning: the step is taken within the wrapper's forward, on the network inside."""

    class Loop(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = network()

        def forward(self, inputs: Tensor, targets: Tensor) -> Tensor:
            return torch.tensor(optimizer.step(lambda: criterion(self.net(inputs), targets)))

    loop = Loop()
    call = wrapped(loop)
    optimizer = CASES["NAPTS"](loop.net)
    losses = [call(*data(step, rank)).item() for step in range(STEPS)]
    return {"losses": losses, "theta": flat(loop.net)}


def main(folder: Path) -> None:
    with napts.join_ranks() as ranks:
        rank = ranks.rank
        found: dict[str, Any] = {"cases": {}}
        for name, make in CASES.items():
            model = network()
            found["cases"][name] = train(model, wrapped(model), make(model), rank)
        found["wrappings"] = in_other_wrappings(rank)
        found["state"] = with_state(rank)
        found["inside"] = inside_forward(rank)
        found["poisoned"] = poisoned(rank)
        found["refused"] = {
            "without": refused(lambda: without_the_wrapper(rank)),
            "unequal": refused(lambda: unequal(rank)),
            "APTSD": refused(lambda: split(rank, napts.optim.replicas.ONE_REPLICA, "APTSD")),
            "ranks": refused(lambda: split(rank, ranks, "APTSW")),
            **{
                kind: refused(lambda kind=kind: sharded(rank, kind))
                for kind in ("fully_shard", "flat parameters", "original parameters")
            },
        }
        found["shards"] = baseline_of_shards(rank)
        (folder / f"{rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
