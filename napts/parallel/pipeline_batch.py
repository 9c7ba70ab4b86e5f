"""One batch on a pipeline, and its passes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor

from napts.optim.batch import Batch
from napts.optim.communicator import Communicator
from napts.optim.part_passes import PartPasses
from napts.optim.passes import Passes
from napts.optim.record import PassCounts
from napts.optim.step_context import StepContext
from napts.optim.subdomains import Decomposition

_FORWARD_SHARE = 1 / 3
"""A forward pass as a share of a forward and backward pass, the usual estimate."""

_MEMORY = 0.9
"""Weight of the past in the running acceptance rates."""


@dataclass(slots=True)
class TrialGradients:
    """Chooses by the observed acceptance rate.

    A pipeline schedule runs forward and backward in one go. For a trial that may be differentiated,
    one can pay for both at once, and the backward is lost if the trial is rejected; or for the
    forward alone, and again for a forward if it is accepted. With acceptance rate ``p`` the first
    costs 1 and the second ``1/3 + p``, so the first is cheaper from ``p = 2/3`` on. Proposals and
    corrections have separate rates, since proposals are nearly always accepted and corrections are
    not.

    Attributes:
        rates: Acceptance rate of the first trial of an iteration and of later ones.
    """

    rates: list[float] = field(default_factory=lambda: [1.0, 0.0])

    def at_once(self, ordinal: int) -> bool:
        """Tell whether to differentiate the trial with this number, from 0, at once."""
        return self.rates[min(ordinal, 1)] >= 1 - _FORWARD_SHARE

    def observe(self, ordinal: int, *, accepted: bool) -> None:
        """Note what became of a trial."""
        kind = min(ordinal, 1)
        self.rates[kind] = _MEMORY * self.rates[kind] + (1 - _MEMORY) * accepted

    def state_dict(self) -> dict[str, Any]:
        """Return the rates."""
        return {"rates": list(self.rates)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over rates saved by :meth:`state_dict`."""
        self.rates = list(state["rates"])


class SpreadPasses(Protocol):
    """What a network that is spread over ranks must offer, as :class:`napts.Pipeline` does."""

    @property
    def communicator(self) -> Communicator:
        """Combines the ranks' shares."""
        ...

    @property
    def trial_gradients(self) -> TrialGradients:
        """How gradients of trial points are computed."""
        ...

    def forward(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Return this rank's share of the loss."""
        ...

    def forward_backward(
        self, inputs: Tensor, targets: Tensor, *, capture: bool
    ) -> tuple[Tensor, list[Tensor]]:
        """Return this rank's share of the loss, and the gradient for its parameters.

        Args:
            inputs: ``(n, ...)`` inputs.
            targets: ``(n, ...)`` targets.
            capture: Keep boundary data for local passes.
        """
        ...


class PipelineBatch(Batch):
    """One batch on a pipeline; every rank has the same one.

    Args:
        network: The pipeline.
        inputs: ``(n, ...)`` inputs.
        targets: ``(n, ...)`` targets.
    """

    def __init__(self, network: SpreadPasses, inputs: Tensor, targets: Tensor) -> None:
        super().__init__(self._share, (inputs, targets))
        self.communicator = network.communicator
        self._network = network

    def _share(self, samples: tuple[Tensor, Tensor]) -> Tensor:
        return self._network.forward(*samples)

    def take(self, samples: slice | Tensor) -> "PipelineBatch":
        """Return a batch of some of the samples; see :meth:`napts.Batch.take`."""
        inputs, targets = self._samples
        return PipelineBatch(self._network, inputs[samples], targets[samples])

    def passes(
        self, parameters: Sequence[Tensor], counts: PassCounts, context: StepContext | None = None
    ) -> "PipelinePasses":
        """Return what evaluates and differentiates the batch; see :meth:`napts.Batch.passes`."""
        inputs, targets = self._samples
        return PipelinePasses(self._network, inputs, targets, counts)

    def in_parts(
        self,
        count: int,
        parameters: Sequence[Tensor],
        counts: PassCounts,
        context: StepContext | None = None,
    ) -> PartPasses:
        """Refuse.

        Raises:
            ValueError: Always.
        """
        raise ValueError("parts of a batch need the whole network in one process")


class PipelinePasses(Passes):
    """The passes of one batch through a pipeline; every rank does the same ones.

    Args:
        network: The pipeline.
        inputs: ``(n, ...)`` inputs.
        targets: ``(n, ...)`` targets.
        counts: Where passes are counted.
    """

    divided = True

    def __init__(
        self, network: SpreadPasses, inputs: Tensor, targets: Tensor, counts: PassCounts
    ) -> None:
        self.communicator = network.communicator
        self.counts = counts
        self._network = network
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
        return self._network.forward(self._inputs, self._targets)

    def trial(self) -> Tensor:
        """Return the loss, and compute the gradient with it if that is expected to pay."""
        self._settle(accepted=False)
        self._ordinal += 1
        self._undecided = True
        if not self._network.trial_gradients.at_once(self._ordinal):
            self.counts.forwards += 1
            return self._network.forward(self._inputs, self._targets)
        loss, self._gradient = self._forward_backward(capture=False)
        return loss

    def known_trial_gradient(self) -> list[Tensor] | None:
        """Return the gradient at the latest trial point if it was computed at once."""
        return self._gradient

    def trial_gradient(self, of: Sequence[Tensor] | None = None) -> list[Tensor]:
        """Return the gradient at the latest trial point: a second forward, and the backward.

        Raises:
            ValueError: If the gradient is asked for only some parameters.
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
        return self._network.forward_backward(self._inputs, self._targets, capture=capture)

    def _settle(self, *, accepted: bool) -> None:
        """Note what became of the latest trial."""
        if self._undecided:
            self._network.trial_gradients.observe(self._ordinal, accepted=accepted)
        self._undecided = False
        self._gradient = None
