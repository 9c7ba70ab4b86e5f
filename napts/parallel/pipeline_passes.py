"""The passes of one batch through a pipeline."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from napts.optim.passes import Passes
from napts.optim.record import PassCounts
from napts.optim.subdomains import Decomposition

if TYPE_CHECKING:
    from napts.parallel.pipeline import Pipeline


class PipelinePasses(Passes):
    """The passes of one batch through a pipeline; every rank does the same ones.

    Args:
        pipeline: The pipeline.
        inputs: ``(n, ...)`` inputs.
        targets: ``(n, ...)`` targets.
    """

    def __init__(self, pipeline: "Pipeline", inputs: Tensor, targets: Tensor) -> None:
        self.communicator = pipeline.communicator
        self.counts = PassCounts()
        self._pipeline = pipeline
        self._inputs, self._targets = inputs, targets
        self._ordinal = -1
        self._undecided = False
        self._gradient: list[Tensor] | None = None

    def linearise(self, decomposition: Decomposition | None) -> tuple[Tensor, list[Tensor]]:
        """Return loss and gradient; keep the boundary data if there is a decomposition."""
        return self._forward_backward(capture=decomposition is not None)

    def value(self) -> Tensor:
        """Return the loss: a forward pass."""
        self._settle(accepted=False)
        self.counts.forwards += 1
        return self._pipeline.forward(self._inputs, self._targets)

    def trial(self) -> Tensor:
        """Return the loss, and compute the gradient with it if that is expected to pay."""
        self._settle(accepted=False)
        self._ordinal += 1
        self._undecided = True
        if not self._pipeline.trial_gradients.at_once(self._ordinal):
            self.counts.forwards += 1
            return self._pipeline.forward(self._inputs, self._targets)
        loss, self._gradient = self._forward_backward(capture=False)
        return loss

    def known_trial_gradient(self) -> list[Tensor] | None:
        """Return the gradient at the latest trial point if it was computed at once."""
        return self._gradient

    def trial_gradient(self, of: Sequence[Tensor] | None = None) -> list[Tensor]:
        """Return the gradient at the latest trial point: a second forward, and the backward.

        Raises:
            ValueError: If the gradient of some parameters alone is asked for.
        """
        if of is not None:
            raise ValueError("exact subdomains need the whole network in one process")
        return self._forward_backward(capture=False)[1]

    def accept_trial(self) -> None:
        """Note that the latest trial was accepted."""
        self._settle(accepted=True)

    def _forward_backward(self, *, capture: bool) -> tuple[Tensor, list[Tensor]]:
        self.counts.forwards += 1
        self.counts.backwards += 1
        return self._pipeline.forward_backward(self._inputs, self._targets, capture=capture)

    def _settle(self, *, accepted: bool) -> None:
        """Note what became of the latest trial."""
        if self._undecided:
            self._pipeline.trial_gradients.observe(self._ordinal, accepted=accepted)
        self._undecided = False
        self._gradient = None
