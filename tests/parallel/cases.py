"""What is trained on one, two and four ranks, to be compared; runs under torchrun as a script."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

import napts
from napts.optim import Baseline

FEATURES, CLASSES, SAMPLES = 6, 3, 54
BATCH = 16  # and a last one of 6
METHODS = ("TR", "NTR", "APTS", "APTSA", "NAPTS", "TTR")
PLAIN = ("TR", "NTR", "TTR", "STTR")
"""Methods without subdomains."""
STAGES = 4
SIZES = (1, 2, 4)
LIGHT = napts.preset("NAPTS", "light")
TRACKING = {"radius_rule": "tracking", "eta_1": 0.05, "probe_every": 2}
Results = dict[int, list[dict[str, Any]]]
"""For each number of ranks what every rank told."""


def plain() -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in (FEATURES, 8, 8):
        layers += [nn.Linear(width, 8), nn.Tanh()]
    return nn.Sequential(*layers, nn.Linear(8, CLASSES))


def normalised() -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in (FEATURES, 8, 8):
        layers += [nn.Linear(width, 8), nn.BatchNorm1d(8), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(8, CLASSES))


def with_dropout() -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in (FEATURES, 8, 8):
        layers += [nn.Linear(width, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3)]
    return nn.Sequential(*layers, nn.Linear(8, CLASSES))


@dataclass(frozen=True)
class Case:
    """A training run: which method on which network, and how the batches are cut."""

    method: str
    network: Callable[[], nn.Sequential] = plain
    options: dict[str, Any] = field(default_factory=dict)
    micro_batches: int = 1
    schedule: str = "gpipe"
    dtype: torch.dtype = torch.float64
    steps: int = 30
    still: bool = False
    """All inputs are 0: the biases soon reach a stationary point."""


def _cases() -> dict[str, Case]:
    wide = {"radius": 8.0, "radius_max": 50.0, "max_tries": 3}
    cases = {f"{m} plain": Case(m, steps=100) for m in METHODS}
    cases |= {f"{m} BatchNorm": Case(m, normalised) for m in METHODS}
    cases |= {f"{m} dropout": Case(m, with_dropout, micro_batches=2) for m in METHODS}
    cases |= {
        f"{m} float32": Case(m, plain, dtype=torch.float32, micro_batches=4, schedule="1f1b")
        for m in METHODS
    }
    cases |= {
        "NAPTS inf": Case("NAPTS", options={"norm": "inf", "direction": "sign"}),
        "NAPTS wide": Case("NAPTS", options={**wide, "local_steps": 2}, micro_batches=2),
        "NAPTS reeval": Case("NAPTS", options={**wide, "history_scope": "reeval"}),
        "NAPTS constant": Case("NAPTS", options={"history": "constant-memory"}),
        "NAPTS last exact": Case("NAPTS", options={"last_block_exact": True}, micro_batches=4),
        "NAPTS own radii": Case("NAPTS", options={**wide, "shared_radius": False}),
        "NAPTS one step": Case("NAPTS", options={"local_steps": 1}),
        "APTS corrected": Case("APTS", options={"norm": "inf", "radius": 0.3, "radius_max": 0.5}),
        "NAPTS still": Case("NAPTS", options={"radius_min": 1e-9}, steps=500, still=True),
        "NAPTS kept": Case("NAPTS", options={"moments": "kept"}, micro_batches=2),
        "NAPTS parts": Case("NAPTS", options={"local_fraction": 0.4}, micro_batches=2),
        "NAPTS light": Case("NAPTS", options=LIGHT, steps=100),
        "NAPTS light clipped": Case("NAPTS", options={**LIGHT, "cap": "clip", "norm": "inf"}),
        "NAPTS on failure": Case("NAPTS", options={**wide, "global_step": "on_failure"}),
        "NTR reeval": Case("NTR", options={**wide, "history_scope": "reeval"}),
        "NTR decay": Case("NTR", options={**wide, "weight_decay": 0.05}),
        "NTR tracking": Case("NTR", options=TRACKING, micro_batches=2, steps=16),
        "NAPTS tracking": Case(
            "NAPTS", options={**TRACKING, "radius": 1.0, "weight_decay": 0.05}, steps=16
        ),
        "NAPTS tracking light": Case("NAPTS", normalised, {**LIGHT, **TRACKING}, steps=16),
        "TTR decay": Case("TTR", options={"weight_decay": 0.05, "probe_every": 2, "gain": 0.5}),
        "TTR rejects": Case("TTR", options={"radius": 0.5, "reject_below": 0.5}),
        "STTR plain": Case("STTR", steps=24),
        "STTR BatchNorm": Case("STTR", normalised, micro_batches=2, steps=16),
        "STTR float32": Case("STTR", dtype=torch.float32, micro_batches=4, steps=16),
        "NAPTS decay": Case("NAPTS", options={**wide, "weight_decay": 0.05}),
        "APTS decoupled": Case(
            "APTS", options={"weight_decay": 0.05, "decoupled_weight_decay": True}
        ),
        "Adam": Case("Adam", with_dropout, {"lr": 0.01}, micro_batches=2),
        "SGD": Case("SGD", normalised, {"lr": 0.1, "momentum": 0.9}, micro_batches=3),
    }
    return cases


CASES = _cases()


def data(dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(SAMPLES, FEATURES, generator=generator, dtype=torch.float64)
    targets = torch.randint(CLASSES, (SAMPLES,), generator=generator)
    return inputs.to(dtype), targets


def network_of(case: Case) -> nn.Sequential:
    torch.manual_seed(0)
    return case.network().to(case.dtype)


def make_optimizer(case: Case, stages: Any, parameters: Any) -> Any:
    if case.method in ("Adam", "SGD"):
        return Baseline(getattr(torch.optim, case.method)(parameters, **case.options))
    first = parameters if case.method in PLAIN else stages
    return getattr(napts, case.method)(first, **case.options)


def train(case: Case, optimizer: Any, closure: Callable[[Tensor, Tensor], Any]) -> list[Any]:
    """Return what every step reports."""
    inputs, targets = data(case.dtype)
    inputs = torch.zeros_like(inputs) if case.still else inputs
    size = SAMPLES if case.still else BATCH
    batches = list(zip(inputs.split(size), targets.split(size), strict=True))
    told = []
    torch.manual_seed(2)
    for step in range(case.steps):
        optimizer.step(closure(*batches[step % len(batches)]))
        record = optimizer.last_step
        trials = [[t.ratio_current, t.ratio_history, t.evaluated] for t in record.trials]
        told.append({**record.as_dict(), "trials": trials})
    return told


def run(case: Case) -> dict[str, Any]:
    """Train a case on the ranks of this process's group."""
    model = network_of(case)
    inputs, _ = data(case.dtype)
    pipeline = napts.Pipeline(
        napts.partition_layers(model, STAGES),
        functional.cross_entropy,
        inputs[:2],
        micro_batches=case.micro_batches,
        schedule=case.schedule,
    )
    optimizer = make_optimizer(case, pipeline, pipeline.groups())
    steps = train(case, optimizer, pipeline.batch)
    outputs = pipeline.outputs(*data(case.dtype))
    return {
        "steps": steps,
        "collectives": pipeline.communicator.collectives,
        "bytes_sent": pipeline.bytes_sent,
        "state": {name: t.tolist() for name, t in pipeline.state_dict().items()},
        "outputs": None if outputs is None else outputs.tolist(),
    }


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    with napts.join_ranks() as ranks:
        results = {name: run(case) for name, case in CASES.items()}
        path = folder / f"rank-{ranks.rank}-of-{ranks.size}.json"
        path.write_text(json.dumps(results))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
