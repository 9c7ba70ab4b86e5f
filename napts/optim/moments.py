"""Adam's running averages of gradients, and who keeps them from one iteration to the next."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from napts.optim.vectors import Layout, Vector

KeepMoments = Literal["reset", "kept"]


class Moments:
    """Running averages of a block's gradients and of their squares.

    Args:
        first: Average of the gradients, flat.
        second: Average of their squares.
        count: Number of gradients in them, a float32 scalar on their device.
    """

    def __init__(self, first: Tensor, second: Tensor, count: Tensor) -> None:
        self.first, self.second, self.count = first, second, count

    @classmethod
    def zeros(cls, like: Tensor) -> "Moments":
        """Return averages with no gradient in them."""
        count = torch.zeros((), dtype=torch.float32, device=like.device)
        return cls(torch.zeros_like(like), torch.zeros_like(like), count)

    def clone(self) -> "Moments":
        """Return an independent copy."""
        return Moments(self.first.clone(), self.second.clone(), self.count.clone())

    def update(self, gradient: Tensor, out: Tensor, betas: tuple[float, float], eps: float) -> None:
        """Take in a gradient and write Adam's direction into a tensor.

        Args:
            gradient: The gradient, flat.
            out: Receives ``-m^ / (sqrt(v^) + eps)`` with both averages free of bias.
            betas: Decay rates of the averages.
            eps: Term added to the denominator.
        """
        self.count += 1
        # One pass over the vectors: the kernel of torch's fused Adam, with learning rate 1, moves
        # a parameter that was zero by just the direction.
        torch._fused_adam_(
            *([out.zero_()], [gradient], [self.first], [self.second], [], [self.count]),
            lr=1.0,
            beta1=betas[0],
            beta2=betas[1],
            weight_decay=0.0,
            eps=eps,
            amsgrad=False,
            maximize=False,
        )


class ResetMoments:
    """Forgets: every iteration starts from zero averages (our choice for the paper's methods)."""

    def begin(self, gradients: Vector) -> list[Moments]:
        """Return zero averages, one for each block."""
        return [Moments.zeros(gradient) for gradient in gradients]

    def propose(self, moments: list[Moments], *, change: bool) -> list[Moments]:
        """Return the averages with which local steps continue: these.

        Args:
            moments: Those that :meth:`begin` returned, with the global gradients in them.
            change: Whether local steps will change them.
        """
        return moments

    def commit(self) -> None:
        """Do nothing."""

    def relayout(self, sources: Sequence[int | None], layout: Layout) -> None:
        """Do nothing."""

    def state_dict(self) -> dict[str, Any]:
        """Return nothing."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Do nothing."""


class KeptMoments(ResetMoments):
    """Remembers the averages of the global gradients, one gradient for each iteration.

    Gradients of local steps are left out: they belong to points that may be rejected. An iteration
    leaves no trace if it ends without a judged step (its loss is not finite, the closure failed) or
    if its gradient is not finite.
    """

    def __init__(self) -> None:
        self._kept: list[Moments] = []
        self._proposed: list[Moments] = []

    def begin(self, gradients: Vector) -> list[Moments]:
        """Return copies of the averages so far."""
        sizes = [gradient.numel() for gradient in gradients]
        if [kept.first.numel() for kept in self._kept] != sizes:
            return super().begin(gradients)
        return [kept.clone() for kept in self._kept]

    def propose(self, moments: list[Moments], *, change: bool) -> list[Moments]:
        """Note the averages for :meth:`commit` to keep; return copies if they will change."""
        self._proposed = moments
        return [each.clone() for each in moments] if change else moments

    def commit(self) -> None:
        """Keep what was proposed."""
        self._kept, self._proposed = self._proposed, []

    def relayout(self, sources: Sequence[int | None], layout: Layout) -> None:
        """Keep the averages of blocks with the same parameters; the others start anew."""
        if not self._kept:
            return
        self._kept = [
            Moments.zeros(layout.buffer(block)) if source is None else self._kept[source]
            for block, source in enumerate(sources)
        ]

    def state_dict(self) -> dict[str, Any]:
        """Return the averages as vectors, and how many gradients are in them."""
        if not self._kept:
            return {}
        counts = [int(kept.count) for kept in self._kept]
        return {
            "first": [kept.first for kept in self._kept],
            "second": [kept.second for kept in self._kept],
            "count": counts[0],
            # Blocks whose parameters have changed have seen fewer gradients than others.
            **({"counts": counts} if len(set(counts)) > 1 else {}),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over averages saved by :meth:`state_dict`; none if they are not finite."""
        self._kept = []
        averages = [*state["first"], *state["second"]] if state else []
        if averages and all(bool(each.isfinite().all()) for each in averages):
            counts = state.get("counts") or [state["count"]] * len(state["first"])
            self._kept = [
                Moments(first, second, torch.tensor(float(count), device=first.device))
                for first, second, count in zip(
                    state["first"], state["second"], counts, strict=True
                )
            ]
