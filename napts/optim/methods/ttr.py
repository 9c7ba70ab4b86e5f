"""The tracking trust region: a member of the family that needs no learning rate."""

from collections.abc import Iterable
from typing import Any, Unpack

from napts.optim.tracking.optimizer import TrackingOptimizer
from napts.optim.tracking.options import TrackingOptions


class TTROptions(TrackingOptions, total=False):
    """Options of :class:`TTR`."""


class TTR(TrackingOptimizer):
    r"""Tracking trust region (ours): Adam's direction, a radius that follows evidence, an average.

    A step is ``theta <- theta + Delta d`` with Adam's direction ``d`` of the gradients so far, and
    costs one forward and one backward, as a step of Adam does. One step in ``probe_every``, and
    each of the first ones, is *probed*:

    1. Its loss is measured at its end too, on its own batch ``B_t``: the ratio ``rho`` of actual
       and promised reduction, as in any trust region. Below ``reject_below`` the step is rejected.
    2. At the next step, the loss of the next batch is measured at both ends of the probed step.
       With the slope at the end, which the next gradient gives, this is how much of the promise was
       real: the slope that another batch finds in the same direction.
    3. What is not real is noise. If ``share`` is the real part of the recent promises, a step is
       right if it keeps ``caution * (1 - share)`` of its promise on its own batch: for a quadratic
       loss and ``caution = 1`` this is the longest step that does not increase the loss of data it
       has not seen. The radius is moved towards that; it does not pass or fail.

    The network is evaluated at an average of the iterates, since steps of that length oscillate:
    call ``eval_mode()`` before an evaluation and ``train_mode()`` before the next step.
    BatchNorm's running statistics remain those of the iterates.

    Args:
        params: Parameters or groups of them.

    Options in ``param_groups`` may be edited; ``optimizer.radius = 0.01`` sets the radius. Groups
    share all options but ``weight_decay``. Learning-rate schedulers drive the entry ``lr``, which
    starts at 1.0 and is a factor on the radius; with ``lr = 0`` a step measures the loss and does
    nothing else. A step whose loss is NaN or infinite goes back to the iterate before, and shrinks
    the radius.

    Raises:
        ValueError: If an argument is out of range.

    Reference: our own. Adam: Kingma and Ba (2015); ratio of a trust region: Conn, Gould, Toint,
    *Trust-Region Methods* (2000), Algorithm 6.1.1; average: Shamir and Zhang (2013). Measured in
    ``docs/results/untuned.md``.
    """

    def __init__(self, params: Iterable[Any], **options: Unpack[TTROptions]) -> None:
        super().__init__(params, options)
