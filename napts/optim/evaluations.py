"""The evaluations in one step of a torch optimizer: counted, and checked to be finite."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from napts.optim import vectors
from napts.optim.batch import Batch
from napts.optim.communicator import Share
from napts.optim.passes import BACKWARD_CALLED, require_graph, scalar_loss
from napts.optim.record import PassCounts
from napts.optim.replay import RandomState
from napts.optim.step_context import StepContext


class NotFiniteError(Exception):
    """Ends the step of an optimizer that has met a loss or gradient that is not finite."""


class Evaluations:
    """The evaluations of one step: what they cost and whether all are finite.

    Args:
        optimizer: Gradients are taken with respect to its parameters.
        batch: What is evaluated.
        context: What is known about the closure.
        watch: "values" keeps a copy of the parameters, "versions" notes how often they have been
            written to; either shows whether they moved between :meth:`next` and :meth:`further`.
            "copies" keeps the copy, but assumes that they did not; "nothing" does neither.

    Attributes:
        counts: The passes so far.
        losses: The losses so far.
        finite: Whether losses and gradients so far are all finite.
        parameters: Gradients are taken with respect to these.
        leaves: Whether :meth:`further` raises :class:`NotFiniteError` when it is not.
        again: Whether the loss had to be evaluated at another point, or more than once.
        before: The parameters at the start of the step, where there is a copy.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        batch: Batch,
        context: StepContext,
        watch: str = "nothing",
    ) -> None:
        self.counts = PassCounts()
        self.losses: list[float] = []
        self.finite = True
        groups = optimizer.param_groups
        self.parameters = [p for group in groups for p in group["params"] if p.requires_grad]
        self.leaves = False
        self.again = False
        self.before: list[Tensor] = []
        if watch in ("values", "copies"):
            self.before = [parameter.detach().clone() for parameter in self.parameters]
        self._groups, self._batch, self._context = groups, batch, context
        self._watch = watch
        devices = vectors.cuda_devices(self.parameters[:1])
        self._random = RandomState(devices) if context.wonders else None
        self._ahead = False
        self._left: list[tuple[Tensor | None, int]] = []

    def next(self) -> bool:
        """Evaluate loss and gradient, left in ``.grad``; return whether all is finite."""
        torch.clear_autocast_cache()  # autocast keeps converted weights, the present ones or not
        for group in self._groups:
            for parameter in group["params"]:
                parameter.grad = None
        differentiate = _by_passes if self._batch.communicator.spread else _by_call
        loss, finite = differentiate(self._batch, self.parameters, self.counts)
        self.losses.append(loss)
        self.finite = self.finite and finite and math.isfinite(loss)
        self._ahead = True
        if self._watch in ("values", "versions"):
            self._left = [(parameter.grad, parameter._version) for parameter in self.parameters]
        if self._random is not None:
            drawn = self._random.differs(RandomState(self._random.devices))
            self._context.note(draws=drawn)
        self._context.check_alone()
        return self.finite

    def further(self) -> Tensor:
        """Return the loss: first what :meth:`next` has just found, then new ones.

        An optimizer gets a new evaluation even the first time if it has moved the parameters or
        dropped the gradients by then.
        """
        if not self._ahead or self._moved():
            self.again = bool(self.losses)
            self.next()
        self._ahead = False
        if self.leaves and not self.finite:
            raise NotFiniteError
        return torch.tensor(self.losses[-1], dtype=torch.float64)

    def restore(self) -> None:
        """Put the parameters back to where they were; needs the copy."""
        torch._foreach_copy_(self.parameters, self.before)

    def _moved(self) -> bool:
        if any(
            p.grad is not gradient or p._version != version
            for p, (gradient, version) in zip(self.parameters, self._left, strict=False)
        ):
            return True
        if self._watch != "values":
            return False
        # What is written to through .data leaves no trace but the values.
        pairs = zip(self.parameters, self.before, strict=True)
        return not all(torch.equal(now, old) for now, old in pairs)


def _by_call(batch: Batch, parameters: list[Tensor], counts: PassCounts) -> tuple[float, bool]:
    """Return the loss and whether the gradient, left in ``.grad``, is finite."""
    with torch.enable_grad():
        loss = scalar_loss(batch())
        if any(parameter.grad is not None for parameter in parameters):
            raise ValueError(BACKWARD_CALLED)
        require_graph(loss)
        loss.backward()
    counts.forwards += 1
    counts.backwards += 1
    value, spoilt = vectors.to_host([loss.detach(), _spoilt(parameters)])
    return value, spoilt == 0.0


def _by_passes(batch: Batch, parameters: list[Tensor], counts: PassCounts) -> tuple[float, bool]:
    """Do the same on several ranks, all of which get the same answer."""
    passes = batch.passes(parameters, counts)
    loss, gradients = passes.linearise(None)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
    shares: list[Share] = [(loss, "sum"), (_spoilt(parameters).reshape(1), "max")]
    value, spoilt = passes.communicator.collect(shares)
    return value, spoilt == 0.0


def _spoilt(parameters: list[Tensor]) -> Tensor:
    """Return 0 if all gradients are finite, else 1 or NaN."""
    found = [p.grad for p in parameters if p.grad is not None]
    if not found:
        return torch.zeros((), device=parameters[0].device)
    like = found[0]
    if like.dtype.is_floating_point and all(_plain(g, like) for g in found):
        # What looks for overflow in mixed precision; a scale of 1 leaves the gradients as they are.
        spoilt, one = torch.zeros((), device=like.device), torch.ones((), device=like.device)
        torch._amp_foreach_non_finite_check_and_unscale_(found, spoilt, one)
        return spoilt
    found = [g.coalesce().values() if g.is_sparse else g for g in found]
    total = torch.zeros((), dtype=torch.float64, device=parameters[0].device)
    for norm in (torch.linalg.vector_norm(g, math.inf) for g in found if g.numel()):
        whole: Any = norm.full_tensor() if hasattr(norm, "full_tensor") else norm  # of a DTensor
        total += 0.0 * whole.to(total)
    return total


def _plain(gradient: Tensor, like: Tensor) -> bool:
    return (
        type(gradient) is Tensor
        and not gradient.is_sparse
        and gradient.dtype == like.dtype
        and gradient.device == like.device
    )
