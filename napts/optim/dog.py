"""DoG, distance over gradients: gradient descent whose step length needs no tuning."""

from typing import Annotated, Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from napts.optim.iterate_average import weight
from napts.optim.option import Option
from napts.optim.signature import check, definitions_of

_FIRST_DISTANCE = Option(
    meaning="The first distance is ``reps_rel * (1 + |x_0|)``. The authors advise 1e-4 for "
    "networks with BatchNorm.",
    within="(0, inf)",
)
_FACTOR = Option(
    meaning="Factor on the step length. The authors advise against values other than 1.",
    within="(0, inf)",
)
_DECAY = Option(
    meaning="This factor times the parameters is added to their gradient.", within="[0, inf)"
)
_ADDED = Option(meaning="Added to the sum of squared norms of gradients.", within="(0, inf)")
_EXPONENT = Option(
    meaning="Exponent of the average; the larger, the more recent the iterates in it.",
    within="[0, inf)",
)


class DoG(Optimizer):
    """Distance over gradients, evaluated at an average of its iterates.

    The step from ``x_t`` along the gradient ``g_t`` is ``lr * r_t / sqrt(G_t)`` long, where ``r_t``
    is the largest distance from ``x_0`` so far, and ``G_t`` the sum of the squared norms of all
    gradients so far. All parameters of a group count as one vector.

    ``eval`` puts the average ``a_t = (1 - w) a_(t-1) + w x_t`` with ``w = (1 + gamma) / (t +
    gamma)`` into the parameters, and ``train`` takes it out again, without rounding. BatchNorm's
    running statistics remain those of the iterates. A new optimizer starts in training mode.

    Source: Ivgi, Hinder, Carmon, *DoG is SGD's Best Friend* (2023), arXiv 2302.12022, equations
    (DoG) and, for the average (Shamir and Zhang, 2013), appendix; the defaults are those of their
    package.

    Args:
        params: The parameters, or groups of them.
        reps_rel: The first distance is ``reps_rel * (1 + |x_0|)``.
        lr: Factor on the step length.
        weight_decay: This factor times the parameters is added to their gradient.
        eps: Added to the sum of squared norms.
        gamma: Exponent of the average.

    Raises:
        ValueError: If an argument is out of its range.
    """

    closure_calls = "never"

    def __init__(
        self,
        params: Any,
        *,
        reps_rel: Annotated[float, _FIRST_DISTANCE] = 1e-6,
        lr: Annotated[float, _FACTOR] = 1.0,
        weight_decay: Annotated[float, _DECAY] = 0.0,
        eps: Annotated[float, _ADDED] = 1e-8,
        gamma: Annotated[float, _EXPONENT] = 8.0,
    ) -> None:
        settings = {"reps_rel": reps_rel, "lr": lr, "eps": eps}
        settings |= {"weight_decay": weight_decay, "gamma": gamma}
        check(settings, definitions_of(DoG.__init__, {}, after=2))
        super().__init__(params, {**settings, "steps": 0, "train_mode": True})

    @torch.no_grad()
    def train(self) -> None:
        """Put the iterates into the parameters."""
        self._switch(train_mode=True)

    @torch.no_grad()
    def eval(self) -> None:
        """Put the average into the parameters."""
        self._switch(train_mode=False)

    def _switch(self, *, train_mode: bool) -> None:
        for group in self.param_groups:
            if group["train_mode"] != train_mode and group["steps"]:
                here = [p for p in group["params"] if "average" in self.state.get(p, {})]
                there = [self.state[p]["average"] for p in here]
                kept = [p.clone() for p in here]
                torch._foreach_copy_(here, there)
                torch._foreach_copy_(there, kept)
            group["train_mode"] = train_mode

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Perform one step.

        Args:
            closure: Evaluates the loss and leaves its gradients, as usual in torch.

        Returns:
            What the closure returned.

        Raises:
            RuntimeError: If the optimizer is in evaluation mode, or a gradient is sparse.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            if not group["train_mode"]:
                raise RuntimeError("DoG: found evaluation mode, allowed: call train() before step")
            self._step_group(group)
        return loss

    def _step_group(self, group: dict[str, Any]) -> None:
        trained = [p for p in group["params"] if p.requires_grad]
        moving = [p for p in trained if p.grad is not None]
        if not moving:
            return
        gradients = _gradients(moving, group["weight_decay"])
        self._remember(trained)
        starts = [self.state[p]["start"] for p in trained]
        if group["steps"] == 0 or "distance" not in group:
            group["distance"] = group["reps_rel"] * (1.0 + _norm(trained))
            group["squares"] = torch.full_like(group["distance"], group["eps"])
            group["steps"] = 0
        # After a checkpoint was loaded they may be elsewhere: torch moves states, not groups.
        distance = group["distance"].to(moving[0].device)
        moved = _norm(torch._foreach_sub(trained, starts))
        group["distance"] = distance = torch.maximum(distance, moved)
        squares = group["squares"].to(moving[0].device)
        group["squares"] = squares = squares + _norm(gradients).square()
        length = -group["lr"] * distance / squares.sqrt()
        torch._foreach_mul_(gradients, length)
        torch._foreach_add_(moving, gradients)
        group["steps"] += 1
        share = weight(group["steps"], group["gamma"])
        torch._foreach_lerp_([self.state[p]["average"] for p in trained], trained, share)

    def _remember(self, trained: list[Tensor]) -> None:
        for parameter in trained:
            state = self.state[parameter]
            if "start" not in state:
                state["start"] = parameter.detach().clone()
                state["average"] = parameter.detach().clone()


def _gradients(parameters: list[Tensor], weight_decay: float) -> list[Tensor]:
    """Return the gradients with the penalty's, as copies that may be scaled."""
    found = [parameter.grad for parameter in parameters]
    dense = [gradient for gradient in found if gradient is not None and not gradient.is_sparse]
    if len(dense) < len(found):
        raise RuntimeError("DoG: found a sparse gradient, allowed: dense ones")
    return list(torch._foreach_add(dense, parameters, alpha=weight_decay))


def _norm(tensors: Any) -> Tensor:
    """Return the norm of tensors as one vector, at least in single precision."""
    norms = torch.stack(torch._foreach_norm(list(tensors)))
    return norms.to(torch.promote_types(norms.dtype, torch.float32)).norm()
