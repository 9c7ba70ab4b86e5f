"""The batch loss as a function of the parameters: iterates, candidates and what they cost."""

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor

from napts.optim import data_parallel, vectors
from napts.optim.batch import Batch, as_batch
from napts.optim.communicator import Share, norm_share
from napts.optim.data_parallel import AveragedNumbers, DataParallel
from napts.optim.local_model import LocalModel, LocalModels, Step
from napts.optim.part_passes import PartPasses
from napts.optim.passes import GraphWantedError, Passes
from napts.optim.record import PassCounts
from napts.optim.replay import Replay
from napts.optim.replicas import ONE_REPLICA, LedNumbers, check_copies
from napts.optim.step_context import StepContext
from napts.optim.subdomains import Closure, Decomposition
from napts.optim.vectors import Layout, Norm, Vector
from napts.optim.weight_decay import PenalisedPasses, Penalty


class NonFiniteLossError(ArithmeticError):
    """The loss at the start of the iteration is NaN or infinite: no step can be judged."""


@dataclass(slots=True)
class Point:
    """An iterate with its loss and its local model.

    Attributes:
        theta: The parameters.
        loss: ``f_B(theta)``; a tensor until the first acceptance test brings it to the host.
        model: The local model around it.
    """

    theta: Vector
    loss: Tensor | float
    model: LocalModel


@dataclass(frozen=True, slots=True)
class Measured:
    """What one evaluation of a candidate step brings to the host, in one transfer.

    Attributes:
        loss: ``f_B(theta)``.
        trial_loss: ``f_B(theta + s)``.
        predicted: ``m(0) - m(s)``.
        step_norm: ``||s||`` in the trust-region norm.
    """

    loss: float
    trial_loss: float
    predicted: float
    step_norm: float


class Objective:
    """``f_B`` for one iteration: every evaluation sees the same data, masks and buffers.

    Args:
        batch: What is evaluated; a closure computes the loss without ``backward()``.
        layout: Where the parameters are in the vectors.
        local_model: Makes the local model from a gradient.
        counts: Where the passes are counted.
        context: What surrounds the steps of its optimizer.
        penalty: Weight decay that is part of ``f_B``; ``None`` for none.
        parts: Number of parts in which the batch is evaluated; 0 for the whole at once.

    Attributes:
        batch: What is evaluated.
        replicas: The processes that share its subdomains.
        penalty: As given.
        parts: The passes of the parts, without the penalty; ``None`` for the whole at once.
    """

    def __init__(
        self,
        batch: Closure | Batch,
        layout: Layout,
        local_model: LocalModels,
        counts: PassCounts,
        context: StepContext | None = None,
        penalty: Penalty | None = None,
        parts: int = 0,
    ) -> None:
        self.batch = batch = as_batch(batch)
        self.penalty = penalty
        self.layout = layout
        self.counts = counts
        self._local_model = local_model
        self._context = context = context or StepContext()
        self._replay = Replay(layout.cuda_devices, lambda m: context.meet(m, layout.parameters))
        self._processes: DataParallel | None = None
        self._ahead: LocalModel | None = None
        self._standing: tuple[Tensor, Tensor] | None = None
        self.parts: PartPasses | None = None
        if parts:
            self.parts = batch.in_parts(parts, layout.parameters, counts, context)
        self._passes = self.parts or batch.passes(layout.parameters, counts, context)
        if penalty is not None:
            self._passes = PenalisedPasses(self._passes, penalty, layout.parameters)
        self.replicas = batch.replicas
        self._communicator = self._passes.communicator
        if self.replicas is not ONE_REPLICA:
            self._communicator = LedNumbers(self.replicas)

    @property
    def norm(self) -> Norm:
        """Norm of the trust region."""
        return self._local_model.norm

    def linearise(self, decomposition: Decomposition | None) -> Point:
        """Evaluate loss and gradient where the parameters are; fill the subdomains' caches.

        Args:
            decomposition: Subdomains whose boundary data are captured on the way.

        Returns:
            The current iterate; its loss is still on the device.

        Raises:
            ValueError: If the closure has called ``backward()`` or does not return a scalar loss,
                or if parameters are sharded over processes.
            RuntimeError: If processes that share the subdomains, or each evaluate a batch, have
                different parameters; or if steps overlap in two threads and draw random numbers.
        """
        self._context.check_whole(self.layout.parameters)
        check_copies(self.replicas, self.layout.parameters)
        if wrapper := data_parallel.called_from():
            self._context.meet(wrapper, self.layout.parameters)
        with self._replay.first():
            loss, gradient = self._passes.linearise(decomposition)
        if self._context.wonders:
            self._context.note(draws=self._replay.draws())
        self._context.check_alone()
        self._join()
        fresh = loss if self._processes is None else loss.clone()
        return self._iterate(self.layout.read(), fresh, gradient, fresh)

    def model_step(self, point: Point, radius: float) -> Step:
        """Return the local model's own step of length ``radius``.

        On several ranks its length may have to be combined first; it is the only number that cannot
        wait for the acceptance test.
        """
        if self._communicator.spread and (shares := point.model.shares()):
            numbers = self._communicator.collect([(point.loss, "sum"), *shares])
            point.loss = numbers[0]
            point.model.complete(*numbers[1:])
        return point.model.minimise(radius)

    def evaluate(
        self, point: Point, step: Step, trial: Vector | None, *, keep_graph: bool
    ) -> Measured:
        """Evaluate a candidate: one forward pass and one transfer of scalars.

        If :meth:`evaluate_block` has just evaluated the candidate, no pass is needed.

        Args:
            point: The start of the step; its pending numbers come to the host too.
            step: The candidate.
            trial: ``theta + s``, if already computed; the parameters are left there.
            keep_graph: Whether :meth:`linearise_trial` may follow.

        Returns:
            The numbers that an acceptance test needs.

        Raises:
            NonFiniteLossError: If the loss at ``point`` is NaN or infinite.
        """
        trial_loss = self._standing_loss(trial)
        if trial_loss is None:
            if trial is None:
                self.layout.write_sum(point.theta, step.factor, step.direction)
            else:
                self.layout.write(trial)
            trial_loss = self.loss_by(self._passes, keep_graph=keep_graph)
        self._ahead = self._model_ahead() if keep_graph else None
        kind = self._local_model.norm
        here = point.model.shares()
        ahead = self._ahead.shares() if self._ahead else []
        shares: list[Share] = [
            (point.loss, "sum"),
            (step.predicted_reduction, "sum"),
            (trial_loss, "loss"),
            (self._share_of_length(step), norm_share(kind)),
        ]
        numbers = self._communicator.collect([*shares, *here, *ahead])
        point.loss, predicted, value, length = numbers[:4]
        if here:
            point.model.complete(*numbers[4:6])
        if self._ahead:
            self._ahead.complete(*numbers[-2:])
        _require_finite(point.loss)
        return Measured(point.loss, value, predicted, length)

    def linearise_trial(self, trial: Vector, trial_loss: float) -> Point:
        """Turn the trial just evaluated into an iterate.

        Args:
            trial: Its parameters.
            trial_loss: Its loss.

        Returns:
            The new iterate.
        """
        self._passes.accept_trial()
        if self._ahead is not None:
            return Point(trial, trial_loss, self._ahead)
        with self._replay.again():
            gradient = self._passes.trial_gradient()
        return self._iterate(trial, trial_loss, gradient)

    def evaluate_block(
        self, block: int, trial: Tensor, predicted: Tensor | float, *, keep_graph: bool
    ) -> tuple[float, float]:
        """Evaluate new values of one block, with the other blocks unchanged.

        Args:
            block: Which one; its parameters are left there.
            trial: Its flat values.
            predicted: The reduction that they promise, which comes to the host too.
            keep_graph: Whether :meth:`block_gradient` may follow, or :meth:`evaluate` of the same.

        Returns:
            The loss and that number.
        """
        self.layout.write_block(block, trial)
        loss = self.loss_by(self._passes, keep_graph=keep_graph)
        self._standing = (trial, loss) if keep_graph and len(self.layout.blocks) == 1 else None
        if self._processes is not None:
            value, promised = self._processes.numbers([(loss, "loss"), (predicted, "sum")])
        else:
            value, promised = vectors.to_host([loss, predicted])
        return value, promised

    def block_gradient(self, block: int) -> Tensor:
        """Return the flat gradient of one block where :meth:`evaluate_block` left it."""
        self._standing = None
        with self._replay.again():
            found = self._passes.trial_gradient(self.layout.blocks[block])
        return self.over_group(self.layout.flatten_block(found))

    def loss_of(self, point: Point) -> float:
        """Bring the loss of an iterate to the host ahead of its first acceptance test.

        Raises:
            NonFiniteLossError: If it is NaN or infinite.
        """
        (point.loss,) = self._communicator.collect([(point.loss, "sum")])
        _require_finite(point.loss)
        return point.loss

    def loss_at(self, theta: Vector) -> float:
        """Return ``f_B`` at other parameters; leaves the parameters there."""
        self.layout.write(
            [flat.to(b[0]) for flat, b in zip(theta, self.layout.blocks, strict=True)]
        )
        loss = self.loss_by(self._passes, keep_graph=False)
        return self._communicator.collect([(loss, "loss")])[0]

    def loss_beside(self, theta: Vector, shares: Sequence[Share]) -> list[float]:
        """Return ``f_B`` at other parameters and further numbers, in one transfer.

        Args:
            theta: The parameters; they are left there.
            shares: This rank's shares of the numbers.
        """
        self.layout.write(theta)
        loss = self.loss_by(self._passes, keep_graph=False)
        return self.collect([(loss, "loss"), *shares])

    def collect(self, shares: Sequence[Share]) -> list[float]:
        """Bring numbers to the host, combined over the ranks, in one transfer."""
        return self._communicator.collect(shares)

    def slope(self, point: Point, direction: Vector) -> Tensor | float:
        """Return this rank's share of the slope ``g^T d`` of the loss at an iterate."""
        return self._communicator.dot(point.model.gradient, direction)

    def loss_here(self, *, keep_graph: bool) -> Tensor:
        """Return the loss at the current parameters; a gradient may be asked for next."""
        return self.loss_by(self._passes, keep_graph=keep_graph)

    def loss_by(self, passes: Passes, *, keep_graph: bool) -> Tensor:
        """Return the loss at the current parameters, of the whole batch or of a part.

        Args:
            passes: What evaluates it.
            keep_graph: Whether a gradient may be asked for next.
        """
        try:
            with self._replay.again():
                loss = passes.trial() if keep_graph else passes.value()
        except GraphWantedError:
            with self._replay.again():
                loss = passes.value()
        self._context.check_alone()
        return loss

    def over_group(self, flat: Tensor) -> Tensor:
        """Return the mean of a flat gradient over processes that each have their own batch.

        Args:
            flat: This process's gradient; overwritten. Without such processes it is returned
                unchanged.
        """
        if self._processes is not None:
            self._processes.average([flat])
        return flat

    def length(self, vector: Vector) -> Tensor | float:
        """Return a vector's length in the trust-region norm, over all ranks.

        On several ranks it costs a collective.
        """
        kind = self._local_model.norm
        share = self._communicator.norm(vector, kind)
        if not self._communicator.spread:
            return share
        return self._communicator.collect([(share, norm_share(kind))])[0]

    def capture_again(self, decomposition: Decomposition) -> None:
        """Refill the subdomains' caches at the current parameters, at the cost of a pass."""
        passes = self.counts.forwards, self.counts.backwards
        with self._replay.again():
            self._passes.linearise(decomposition)
        self.counts.forwards, self.counts.backwards = passes
        self.counts.checks += 1

    def rounding(self, theta: Vector) -> float:
        """Return the rounding of a parameter of typical size, over all ranks.

        Costs a transfer, and on several ranks a collective.

        Returns:
            The root mean square of ``eps(dtype) * theta``.
        """
        scaled = [torch.finfo(flat.dtype).eps * flat for flat in theta]
        count = torch.tensor(float(sum(flat.numel() for flat in theta)), device=theta[0].device)
        shares: list[Share] = [
            (self._communicator.norm(scaled, "l2"), norm_share("l2")),
            (count, "sum"),
        ]
        length, number = self._communicator.collect(shares)
        return length / math.sqrt(number)

    def local_pass(self) -> AbstractContextManager[None]:
        """Surround a subdomain's own pass: the same buffers at its start, and no trace after it."""
        return self._replay.again()

    def with_decay(self, block: int, gradients: list[Tensor]) -> list[Tensor]:
        """Return a block's local gradients plus that of the weight decay at the current weights."""
        if self.penalty is None:
            return gradients
        return self.penalty.added_to(gradients, self.layout.blocks[block])

    def _standing_loss(self, trial: Vector | None) -> Tensor | None:
        """Return the loss at the trial that the parameters hold, with its graph."""
        standing, self._standing = self._standing, None
        if standing is None or trial is None or trial[0] is not standing[0]:
            return None
        return standing[1]

    def _share_of_length(self, step: Step) -> Tensor | float:
        if step.length is not None:
            return step.length
        return self._communicator.norm(step.vector, self._local_model.norm)

    def _join(self) -> None:
        """Find out whether other processes evaluate batches of their own, in the first pass."""
        processes = self._context.joined()
        if processes is None or processes.size == 1:
            return
        if self._passes.divided or self.replicas is not ONE_REPLICA:
            raise ValueError(
                "processes cannot both share the parts of a batch (APTSD, a Batch with ranks) and "
                "have their own batches (DistributedDataParallel): call the network "
                "without the wrapper, or use TR, NTR, APTS, APTSA, NAPTS or APTSW without ranks"
            )
        processes.check_copies(self.layout.parameters)
        self._processes, self._communicator = processes, AveragedNumbers(processes)

    def _iterate(
        self,
        theta: Vector,
        loss: Tensor | float,
        gradient: list[Tensor],
        fresh: Tensor | None = None,
    ) -> Point:
        """Build the iterate; a fresh loss is averaged along with its gradient."""
        flat = self.layout.flatten(gradient)
        self.replicas.lead(flat)
        if self._processes is not None:
            self._processes.average(flat if fresh is None else [*flat, fresh])
        self._local_model.observe(theta, flat)
        return Point(theta, loss, self._local_model.at(flat, self._communicator))

    def _model_ahead(self) -> LocalModel | None:
        gradient = self._passes.known_trial_gradient()
        if gradient is None:
            return None
        return self._local_model.at(self.layout.flatten(gradient), self._communicator)


def _require_finite(loss: float) -> None:
    if not math.isfinite(loss):
        raise NonFiniteLossError(f"the loss at the current iterate is {loss}")
